//! The port for clients of the Postgres wire: psql, drivers and tools, each behind a worker of its own.
//!
//! - The server ends TLS and asks for the password, which is a token; no worker is started before it was right.
//! - From then on bytes go between client and worker. Each question is written down before it runs, and takes a place
//!   among all questions that run.
//! - At most [`Port::most`] connections at once, and of those that wait for a password so many more; one more is told so
//!   or closed. An address has a share of them, and after the password a token has. What says nothing is closed after
//!   [`STARTUP_TIME`].
//! - A worker that dies is an error to its client, and nothing to anybody else.
//!
//! Whose token it is, and where questions are written down, is the [`Authenticator`]'s business. The messages after the
//! start are the worker's.

mod relay;
mod startup;
mod statements;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use meshtrail_listen::{Limits, Peer, Place, Places, Refusal, Sort, accept};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::message::{Connect, ToWorker};
use crate::pool::Workers;
use crate::process::Control;
use crate::question::Fault;
use startup::{Hello, StartupMessage};
pub(crate) use statements::Statements;

/// Connections beside those that are served: they have not signed in yet, or are told that there are too many. What comes
/// beyond them is closed.
const SPARE_CONNECTIONS: usize = 32;
/// From accepting a connection to a password that was right.
pub const STARTUP_TIME: Duration = Duration::from_secs(10);

/// Says who is let in.
pub trait Authenticator: Send + Sync + 'static {
    /// The client that `password` belongs to.
    fn authenticate(&self, user: &str, password: &str, peer: SocketAddr) -> Result<Arc<dyn Client>, Refused>;
}

/// Somebody who was let in.
pub trait Client: Send + Sync + 'static {
    /// Whom its connections count for.
    fn peer(&self) -> Peer;

    /// The name that is theirs, whatever connection they use.
    fn name(&self) -> String;
    /// Writes down what they ask; the question does not run before this is durable, nor if it fails.
    fn record_question<'a>(&'a self, sql: &'a str) -> BoxFuture<'a, Result<(), String>>;
}

/// Nobody's password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Refused {
    /// What the client is told.
    pub reason: String,
}

/// The port.
pub struct Port {
    workers: Workers,
    authenticator: Arc<dyn Authenticator>,
    tls: Option<TlsAcceptor>,
    /// All connections, those that have not signed in too.
    places: Places,
    /// Those that are served.
    connections: Arc<Semaphore>,
    most: usize,
    running: Mutex<HashMap<(i32, i32), Control>>,
}

impl Port {
    /// The tables of `workers`, to whoever `authenticator` lets in; with TLS where there is an acceptor.
    pub fn new(
        workers: Workers,
        authenticator: Arc<dyn Authenticator>,
        tls: Option<TlsAcceptor>,
        (most, limits): (usize, &Limits),
    ) -> Port {
        let places = Places::new("postgres", Sort::CONNECTIONS, most + SPARE_CONNECTIONS, limits);
        let connections = Arc::new(Semaphore::new(most));
        Port { workers, authenticator, tls, places, connections, most, running: Mutex::default() }
    }

    /// How many connections are served at once.
    pub fn most(&self) -> usize {
        self.most
    }

    /// Serves `listener` until `stop`; open connections end with it.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, stop: CancellationToken) {
        let tasks = TaskTracker::new();
        let serve = |socket, peer, place| {
            let (port, stop) = (self.clone(), stop.clone());
            async move {
                stop.run_until_cancelled(port.connection(socket, peer, place)).await;
            }
        };
        let accepting = accept(listener, &self.places, Refusal::Close, &tasks, serve);
        stop.run_until_cancelled(accepting).await;
        tasks.close();
        tasks.wait().await;
    }

    async fn connection(&self, socket: TcpStream, peer: SocketAddr, place: Place) {
        // A client that waits for a few bytes must not wait for more of them.
        let _slower = socket.set_nodelay(true);
        let until = Instant::now() + STARTUP_TIME;
        let opened = tokio::time::timeout_at(until, startup::open(socket, self.tls.as_ref())).await;
        let served = match opened {
            Ok(Ok((stream, Hello::Start(message)))) => {
                self.start(stream, message, (peer, place, until)).await
            }
            Ok(Ok((_, Hello::Cancel { process, secret }))) => {
                self.cancel(process, secret).await;
                Ok(())
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Ok(()),
        };
        if let Err(error) = served {
            tracing::debug!(%peer, error = &error as &dyn std::error::Error, "a Postgres connection broke");
        }
    }

    async fn start(
        &self,
        mut stream: impl AsyncRead + AsyncWrite + Unpin + Send,
        message: StartupMessage,
        (peer, place, until): (SocketAddr, Place, Instant),
    ) -> io::Result<()> {
        let password = tokio::time::timeout_at(until, startup::password(&mut stream)).await;
        let Ok(password) = password else { return Ok(()) };
        let client = match self.authenticator.authenticate(message.user(), &password?, peer) {
            Ok(client) => client,
            Err(refused) => {
                tracing::info!(%peer, reason = refused.reason, "a Postgres sign-in was refused");
                return startup::refuse(&mut stream, "28P01", &refused.reason).await;
            }
        };
        if let Err(full) = place.count_for(&client.peer()) {
            return startup::refuse(&mut stream, "53300", &full.to_string()).await;
        }
        let Ok(served) = self.connections.clone().try_acquire_owned() else {
            return startup::refuse(&mut stream, "53300", "too many connections: try again later").await;
        };
        let ended = self.serve_client(stream, message, client).await;
        drop((served, place));
        ended
    }

    async fn serve_client(
        &self,
        mut stream: impl AsyncRead + AsyncWrite + Unpin + Send,
        message: StartupMessage,
        client: Arc<dyn Client>,
    ) -> io::Result<()> {
        let mut process = match self.workers.process().await {
            Ok(process) => process,
            Err(error) => {
                let state = if error.fault == Fault::Missing { "0A000" } else { "58000" };
                return startup::refuse(&mut stream, state, &error.to_string()).await;
            }
        };
        let asker = client.name();
        let statements = Arc::new(Statements::new(self.workers.clone(), client, process.killer().clone()));
        process.feed.connect(statements.clone());
        let key = startup::key()?;
        let budget = self.workers.budget().clone();
        let connect = Connect { process: key.0, secret: key.1, budget };
        if let Err(error) = process.send(&ToWorker::Connect(connect)).await {
            return startup::refuse(&mut stream, "58000", &error.to_string()).await;
        }
        let registered = Registered::new(self, key, process.control());
        process.data.write_all(message.bytes()).await?;
        let relayed = relay::run(&mut stream, &mut process.data).await;
        drop(registered);
        if let Ok(relay::End::Worker { at_boundary }) = relayed {
            let error = process.died().await;
            if let Some(sql) = statements.newest() {
                self.workers.record(crate::pool::Death { asker, sql, error: error.clone() });
            }
            // In the middle of a message nothing more can be said.
            if at_boundary {
                let state = process.sqlstate(&error);
                let text = format!("{error}; this connection ends with it");
                return startup::refuse(&mut stream, state, &text).await;
            }
        }
        relayed.map(drop)
    }

    async fn cancel(&self, process: i32, secret: i32) {
        let control = self.running().get(&(process, secret)).cloned();
        if let Some(control) = control {
            // One that is gone has nothing to cancel.
            let _told = control.send(&ToWorker::Cancel).await;
        }
    }

    fn running(&self) -> MutexGuard<'_, HashMap<(i32, i32), Control>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that can be told to cancel; dropped, it can't any more.
struct Registered<'p> {
    port: &'p Port,
    key: (i32, i32),
}

impl<'p> Registered<'p> {
    fn new(port: &'p Port, key: (i32, i32), control: Control) -> Self {
        port.running().insert(key, control);
        Self { port, key }
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        let gone = self.port.running().remove(&self.key);
        drop(gone);
    }
}
