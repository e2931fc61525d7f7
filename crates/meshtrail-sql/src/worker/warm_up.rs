//! Warm-up of a spare worker: a first query, which brings the program itself into memory, and the ends of the newest files.
//!
//! It runs on a thread of the lowest priority, because another worker may run a query meanwhile.

use std::thread::Builder;

use futures::TryStreamExt;
use meshtrail_worker::{Budget, QueryError};
use rustix::process::setpriority_process;
use tokio::sync::oneshot;

use crate::engine::Engine;

/// The lowest priority.
const NICE: i32 = 19;
/// Uses parser, planner and scan, and reads no file.
const FIRST_QUERY: &str = "select index, kind, actor_login, count(*) from event where index < 0 and time < '1970-01-01' group by 1, 2, 3";

/// A running warm-up; it continues when this is dropped.
pub(super) struct WarmUp(oneshot::Sender<()>);

impl WarmUp {
    pub(super) fn start(engine: Engine) -> Self {
        let (stop, stopped) = oneshot::channel();
        let work = move || run(&engine, stopped);
        // Without the thread the first query takes a little longer.
        drop(Builder::new().name("warm-up".to_owned()).spawn(work));
        Self(stop)
    }

    /// Stops the warm-up: from now on only the query decides what is read.
    pub(super) fn stop(self) {
        // It may have ended.
        let _ended = self.0.send(());
    }
}

fn run(engine: &Engine, stopped: oneshot::Receiver<()>) {
    // A normal priority would only be slower for others.
    let _nice = setpriority_process(None, NICE);
    // Threads of this runtime inherit the priority.
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    runtime.block_on(async {
        tokio::select! {
            // A dropped sender means that no query came.
            Ok(()) = stopped => {}
            // Errors are ignored: the query that needs the file reports them.
            _read = warm_up(engine) => {}
        }
    });
    runtime.shutdown_background();
}

async fn warm_up(engine: &Engine) -> Result<(), QueryError> {
    let budget = Budget { rows: 1, ..engine.budget().clone() };
    let answer = engine.query(FIRST_QUERY, &budget).await?;
    let rows: Result<Vec<_>, _> = answer.stream.try_collect().await;
    drop(rows);
    engine.read_ahead().await
}
