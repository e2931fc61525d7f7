//! A worker: the process that answers one question, or one client of the Postgres wire, and ends.
//!
//! - It is started by a server with two sockets, its standard input for messages and its standard output for bytes of
//!   answers, and [`Setup`] as its argument. It confines itself before it reads anything: see `confine`.
//! - When the server goes, so does the worker, whatever it is doing.

mod ahead;
mod confine;
mod link;
mod opened;
mod question;
mod remote;
mod statements;

use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use meshtrail_worker::message::{FromWorker, Setup, ToWorker, VERSION};
use meshtrail_worker::{Budget, QueryError};

use crate::engine::{Engine, Limits};
use crate::wire::Wire;
use ahead::ReadingAhead;
use link::Link;
pub(crate) use statements::{Guard, Statements};

/// Why a worker could not begin.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// It could not be confined.
    #[error("the worker can't confine itself")]
    Confine(#[from] confine::ConfineError),
    /// Its sockets are none.
    #[error("standard input and output are no sockets of a server: meshtrail starts this program by itself")]
    Sockets(#[source] io::Error),
    /// There is no engine.
    #[error("the engine can't be set up")]
    Engine(#[source] QueryError),
}

/// Serves whoever started this process, and returns when it is done.
pub fn run(setup: &Setup) -> Result<(), WorkerError> {
    let socket =
        |stream: &dyn AsFd| Ok::<_, io::Error>(UnixStream::from(stream.as_fd().try_clone_to_owned()?));
    let control = socket(&io::stdin()).map_err(WorkerError::Sockets)?;
    let data = socket(&io::stdout()).map_err(WorkerError::Sockets)?;
    control.peer_addr().map_err(WorkerError::Sockets)?;
    let confined = confine::confine(setup)?;
    let (link, commands) = Link::start(control).map_err(WorkerError::Sockets)?;
    let limits = Limits {
        memory: setup.caches.saturating_mul(4),
        spill: Some(setup.spill.clone()),
        spill_bytes: setup.spill_bytes,
        // Each question brings its own.
        budget: Budget { time: Duration::from_secs(60), rows: 1_000_000 },
        threads: setup.threads,
    };
    let engine = Engine::new(remote::Remote::new(link.clone()), limits).map_err(WorkerError::Engine)?;
    let ahead = ReadingAhead::start(engine.clone());
    link.send(&FromWorker::Ready { version: VERSION.to_owned(), confined });
    match commands.recv() {
        Ok(ToWorker::Ask(ask)) => {
            ahead.stop();
            question::answer(&engine, &link, data, ask);
        }
        Ok(ToWorker::Connect(connect)) => serve(&engine, &link, commands, data, &connect),
        // The server has gone, or says what makes no sense here.
        _ => {}
    }
    Ok(())
}

/// Serves one client of the Postgres wire.
fn serve(
    engine: &Engine,
    link: &Arc<Link>,
    commands: std::sync::mpsc::Receiver<ToWorker>,
    data: UnixStream,
    connect: &meshtrail_worker::message::Connect,
) {
    let statements = Statements::new(link.clone(), engine.clone());
    let wire = match Wire::new(engine, statements, connect) {
        Ok(wire) => wire,
        Err(error) => return link.send(&FromWorker::Failed(error)),
    };
    let cancel = wire.canceller();
    let runtime = engine.handle().clone();
    let canceller = std::thread::Builder::new().name("cancel".to_owned()).spawn(move || {
        while let Ok(command) = commands.recv() {
            if matches!(command, ToWorker::Cancel) {
                runtime.block_on(cancel());
            }
        }
    });
    // Without the thread nothing can be cancelled, and everything still ends in time.
    drop(canceller);
    let served = engine.handle().block_on(async {
        data.set_nonblocking(true)?;
        wire.serve(tokio::net::UnixStream::from_std(data)?).await
    });
    if let Err(error) = served {
        tracing::debug!(error = &error as &dyn std::error::Error, "a connection broke");
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}
