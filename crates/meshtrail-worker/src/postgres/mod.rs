//! The port for clients of the Postgres wire (psql, drivers, tools), each served by a worker of its own.
//!
//! - The server terminates TLS and asks for the password, which is a token; a worker starts only after a correct one.
//! - From then on bytes are relayed between client and worker. Each query is recorded before it runs, and takes one of the
//!   query slots.
//! - At most [`Port::most`] connections are served at once, and `SPARE_CONNECTIONS` more may wait for a password; further
//!   ones get an error or are closed. Each address, and after the password each token, has a share of them. A connection
//!   without a password is closed after [`STARTUP_TIME`].
//! - The death of a worker is an error to its client alone.
//!
//! The [`Authenticator`] checks tokens, and its [`Client`]s record queries. The worker handles the messages after the
//! startup.

mod relay;
mod startup;
mod statements;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use meshtrail_listen::{Limits, Peer, Refusal, Slot, SlotKind, Slots, accept};
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
use crate::query::Fault;
use startup::{FirstMessage, StartupMessage};
pub(crate) use statements::ClientStatements;

/// Connections beside those that are served: before the password, or while they get the error that there are too many.
/// Further ones are closed.
const SPARE_CONNECTIONS: usize = 32;
/// The time from accepting a connection to a correct password.
pub const STARTUP_TIME: Duration = Duration::from_secs(10);

/// Authenticates clients.
pub trait Authenticator: Send + Sync + 'static {
    /// Returns the client that `password` belongs to.
    fn authenticate(
        &self,
        user: &str,
        password: &str,
        peer: SocketAddr,
    ) -> Result<Arc<dyn Client>, SignInRefused>;
}

/// An authenticated client.
pub trait Client: Send + Sync + 'static {
    /// The peer that its connections are counted for.
    fn peer(&self) -> Peer;

    /// The client's stable name, the same on every connection.
    fn name(&self) -> String;
    /// Records a query; it runs only after this is durable, and not if it fails.
    fn record_query<'a>(&'a self, sql: &'a str) -> BoxFuture<'a, Result<(), String>>;
}

/// A refused sign-in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct SignInRefused {
    /// The message to the client.
    pub reason: String,
}

/// A port for the Postgres wire.
pub struct Port {
    workers: Workers,
    authenticator: Arc<dyn Authenticator>,
    tls: Option<TlsAcceptor>,
    /// All connections, those before the password included.
    slots: Slots,
    /// Connections that are served.
    connections: Arc<Semaphore>,
    most: usize,
    cancel_keys: Mutex<HashMap<(i32, i32), Control>>,
}

impl Port {
    /// A port that serves the tables of `workers` to clients of `authenticator`; with TLS if there is an acceptor.
    pub fn new(
        workers: Workers,
        authenticator: Arc<dyn Authenticator>,
        tls: Option<TlsAcceptor>,
        (most, limits): (usize, &Limits),
    ) -> Port {
        let slots = Slots::new("postgres", SlotKind::CONNECTIONS, most + SPARE_CONNECTIONS, limits);
        let connections = Arc::new(Semaphore::new(most));
        Port { workers, authenticator, tls, slots, connections, most, cancel_keys: Mutex::default() }
    }

    /// The number of connections that are served at once.
    pub fn most(&self) -> usize {
        self.most
    }

    /// Serves `listener` until `stop`, which also ends open connections.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, stop: CancellationToken) {
        let tasks = TaskTracker::new();
        let serve = |socket, peer, slot| {
            let (port, stop) = (self.clone(), stop.clone());
            async move {
                stop.run_until_cancelled(port.connection(socket, peer, slot)).await;
            }
        };
        let accepting = accept(listener, &self.slots, Refusal::Close, &tasks, serve);
        stop.run_until_cancelled(accepting).await;
        tasks.close();
        tasks.wait().await;
    }

    async fn connection(&self, socket: TcpStream, peer: SocketAddr, slot: Slot) {
        // Small answers must not wait in the socket; if it can't be set they are only slower.
        let _slower = socket.set_nodelay(true);
        let until = Instant::now() + STARTUP_TIME;
        let opened =
            tokio::time::timeout_at(until, startup::read_first_message(socket, self.tls.as_ref())).await;
        let served = match opened {
            Ok(Ok((stream, FirstMessage::Start(message)))) => {
                self.start(stream, message, (peer, slot, until)).await
            }
            Ok(Ok((_, FirstMessage::Cancel { process, secret }))) => {
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
        (peer, slot, until): (SocketAddr, Slot, Instant),
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
        if let Err(full) = slot.assign_to(&client.peer()) {
            return startup::refuse(&mut stream, "53300", &full.to_string()).await;
        }
        let Ok(served) = self.connections.clone().try_acquire_owned() else {
            return startup::refuse(&mut stream, "53300", "too many connections: try again later").await;
        };
        let ended = self.serve_client(stream, message, client).await;
        drop((served, slot));
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
        let statements =
            Arc::new(ClientStatements::new(self.workers.clone(), client, process.killer().clone()));
        process.calls.connect(statements.clone());
        let key = startup::new_cancel_key()?;
        let budget = self.workers.budget().clone();
        let connect = Connect { process: key.0, secret: key.1, budget };
        if let Err(error) = process.send(&ToWorker::Connect(connect)).await {
            return startup::refuse(&mut stream, "58000", &error.to_string()).await;
        }
        let registration = CancelRegistration::new(self, key, process.control());
        process.data.write_all(message.bytes()).await?;
        let relayed = relay::run(&mut stream, &mut process.data).await;
        drop(registration);
        if let Ok(relay::ClosedBy::Worker { at_boundary }) = relayed {
            let error = process.exit_error().await;
            if let Some(sql) = statements.newest() {
                self.workers.record(crate::pool::Death { asker, sql, error: error.clone() });
            }
            // In the middle of a message no error can be sent.
            if at_boundary {
                let state = process.sqlstate(&error);
                let text = format!("{error}; this connection ends with it");
                return startup::refuse(&mut stream, state, &text).await;
            }
        }
        relayed.map(drop)
    }

    async fn cancel(&self, process: i32, secret: i32) {
        let control = self.cancel_keys().get(&(process, secret)).cloned();
        if let Some(control) = control {
            // A worker that is gone has nothing to cancel.
            let _told = control.send(&ToWorker::Cancel).await;
        }
    }

    fn cancel_keys(&self) -> MutexGuard<'_, HashMap<(i32, i32), Control>> {
        self.cancel_keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The registration of a connection's cancel key; dropping it removes the key.
struct CancelRegistration<'p> {
    port: &'p Port,
    key: (i32, i32),
}

impl<'p> CancelRegistration<'p> {
    fn new(port: &'p Port, key: (i32, i32), control: Control) -> Self {
        port.cancel_keys().insert(key, control);
        Self { port, key }
    }
}

impl Drop for CancelRegistration<'_> {
    fn drop(&mut self) {
        let gone = self.port.cancel_keys().remove(&self.key);
        drop(gone);
    }
}
