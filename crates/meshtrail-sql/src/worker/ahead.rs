//! What a worker does until it is asked something: a first question, so that the program itself is in memory, and the
//! ends of the newest files.
//!
//! It is done on a thread that gives way to every other, since another worker is answering meanwhile.

use std::thread::{Builder, JoinHandle};

use futures::TryStreamExt;
use meshtrail_worker::{Budget, QueryError};
use rustix::process::setpriority_process;
use tokio::sync::oneshot;

use crate::engine::Engine;

/// As nice as can be.
const NICE: i32 = 19;
/// Goes through parser, planner and scan, and reads no file.
const FIRST_QUESTION: &str = "select index, kind, actor_login, count(*) from event where index < 0 and time < '1970-01-01' group by 1, 2, 3";

/// What is read ahead; dropped, it goes on.
pub(super) struct ReadingAhead(Option<oneshot::Sender<()>>);

impl ReadingAhead {
    pub(super) fn start(engine: Engine) -> Self {
        let (stop, stopped) = oneshot::channel();
        let work = move || read_until(&engine, stopped);
        // Without the thread the first question takes a little longer.
        let _thread: Result<JoinHandle<()>, _> = Builder::new().name("ahead".to_owned()).spawn(work);
        Self(Some(stop))
    }

    /// Ends it: from here on a question alone says what is read.
    pub(super) fn stop(mut self) {
        if let Some(stop) = self.0.take() {
            // It may be through.
            let _ended = stop.send(());
        }
    }
}

fn read_until(engine: &Engine, stopped: oneshot::Receiver<()>) {
    // Not giving way is no danger.
    let _nice = setpriority_process(None, NICE);
    // A runtime of its own: the threads it makes are as nice.
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    runtime.block_on(async {
        tokio::select! {
            // Dropped without a word, nobody asks yet.
            Ok(()) = stopped => {}
            // What can't be read now is read, or reported, when it is asked for.
            _read = read(engine) => {}
        }
    });
    runtime.shutdown_background();
}

async fn read(engine: &Engine) -> Result<(), QueryError> {
    let budget = Budget { rows: 1, ..engine.budget().clone() };
    let answer = engine.query(FIRST_QUESTION, &budget).await?;
    let rows: Result<Vec<_>, _> = answer.stream.try_collect().await;
    drop(rows);
    engine.read_ahead().await
}
