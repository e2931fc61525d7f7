//! The worker: a process that runs one query, or serves one client of the Postgres wire, and exits.
//!
//! - The server starts it with two sockets, standard input for messages and standard output for the bytes of answers, and
//!   with [`Setup`] as its argument. It confines itself before it reads anything: see `confine`.
//! - It exits when the server does, whatever it is doing.

mod confine;
mod file_cache;
mod link;
mod permits;
mod query;
mod remote;
mod warm_up;

use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use meshtrail_worker::message::{FromWorker, Setup, ToWorker, VERSION};
use meshtrail_worker::{Budget, QueryError};

use crate::engine::{Engine, Limits};
use crate::wire::WireServer;
use link::Link;
pub(crate) use permits::{StatementPermit, StatementPermits};
use warm_up::WarmUp;

/// Why a worker could not start.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum WorkerError {
    #[error("the worker can't confine itself")]
    Confine(#[from] confine::ConfineError),
    #[error("standard input and output are no sockets of a server: meshtrail starts this program by itself")]
    Sockets(#[source] io::Error),
    #[error("the engine can't be set up")]
    Engine(#[source] QueryError),
}

/// Runs the worker until it is done.
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
        // Each query brings its own.
        budget: Budget { time: Duration::from_secs(60), rows: 1_000_000 },
        threads: setup.threads,
    };
    let engine = Engine::new(remote::Remote::new(link.clone()), limits).map_err(WorkerError::Engine)?;
    let warm_up = WarmUp::start(engine.clone());
    link.send(&FromWorker::Ready { version: VERSION.to_owned(), confined });
    match commands.recv() {
        Ok(ToWorker::Ask(ask)) => {
            warm_up.stop();
            query::run(&engine, &link, data, ask);
        }
        Ok(ToWorker::Connect(connect)) => serve_client(&engine, &link, commands, data, &connect),
        // The server is gone, or sent a message that does not start anything.
        _ => {}
    }
    Ok(())
}

/// Serves one client of the Postgres wire.
fn serve_client(
    engine: &Engine,
    link: &Arc<Link>,
    commands: std::sync::mpsc::Receiver<ToWorker>,
    data: UnixStream,
    connect: &meshtrail_worker::message::Connect,
) {
    let permits = StatementPermits::new(link.clone(), engine.clone());
    let wire = match WireServer::new(engine, permits, connect) {
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
    // Without the thread nothing can be cancelled, but time limits still hold.
    drop(canceller);
    let result = engine.handle().block_on(async {
        data.set_nonblocking(true)?;
        wire.serve(tokio::net::UnixStream::from_std(data)?).await
    });
    if let Err(error) = result {
        tracing::debug!(error = &error as &dyn std::error::Error, "a connection broke");
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}
