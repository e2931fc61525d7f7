//! The server of `meshtrail serve`: opened in order, served until stopped, closed in order.
//!
//! Start: state folder, store, trail (locks it), recordings (closes those that a crash left open), listeners,
//! `meshtrail.started`, the discovery file, ready.
//! Stop: listeners, live sessions (closed as interrupted), running requests, `meshtrail.stopped`, the trail's log.

pub mod admin_token;
pub mod demo;
pub mod discovery;
pub mod recorders;

mod folders;
mod open;
mod ports;
mod postgres;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use meshtrail_collect::{Collectors, Wiring};
use meshtrail_event::{Kind, Outcome};
use meshtrail_listen::{HttpPort, PortTimeouts};
use meshtrail_recording::Recordings;
use meshtrail_redact::Redactor;
use meshtrail_trail::Trail;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::audit_log::Entry;
use crate::auth::secret::NoRandomness;
use crate::config::RecorderListen;
use crate::directory::DirectoryFollower;
use crate::routes;
use crate::state::AppState;
use discovery::{DiscoveryFile, Ready};

pub use open::StartError;

/// How long closing live sessions may take at a stop.
const CLOSE_TIME: Duration = Duration::from_secs(10);

/// The callback for when everything listens.
type ReadyCallback<'a> = Box<dyn FnOnce(Ready) + Send + 'a>;

/// A server that is opened but does not serve yet.
pub struct Server {
    state: AppState,
    trail: Trail,
    recordings: Recordings,
    redactor: Redactor,
    collectors: Collectors,
    directory_follower: DirectoryFollower,
    listener: TcpListener,
    recorders: Vec<(RecorderListen, Option<TcpListener>)>,
    postgres: Option<postgres::PostgresListener>,
    ports: ports::Ports,
    data: PathBuf,
    discovery: DiscoveryFile,
    admin_token_file: PathBuf,
}

impl Server {
    /// The URL of the console.
    pub fn url(&self) -> &str {
        &self.discovery.url
    }

    /// The address of the API and the console.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    pub fn admin_token_file(&self) -> &std::path::Path {
        &self.admin_token_file
    }

    /// Issues a one-time sign-in link.
    pub fn sign_in_link(&self) -> Result<String, NoRandomness> {
        self.state.new_sign_in_link(std::time::Instant::now())
    }

    /// Serves until `stop`, then closes everything in order. `ready` is called once, when everything listens.
    pub fn run<'a>(
        self,
        stop: CancellationToken,
        ready: impl FnOnce(Ready) + Send + 'a,
    ) -> BoxFuture<'a, Result<(), StopError>> {
        self.run_boxed(stop, Box::new(ready))
    }

    /// Boxed here, and not generic: otherwise the future would be compiled again by every crate that awaits it.
    fn run_boxed(
        self,
        stop: CancellationToken,
        ready: ReadyCallback<'_>,
    ) -> BoxFuture<'_, Result<(), StopError>> {
        self.run_until(stop, ready).boxed()
    }

    async fn run_until(self, stop: CancellationToken, ready: ReadyCallback<'_>) -> Result<(), StopError> {
        let Server {
            state,
            trail,
            recordings,
            redactor,
            collectors,
            directory_follower,
            listener,
            recorders,
            postgres,
            ports,
            data,
            discovery,
            admin_token_file,
        } = self;
        let listen = listener.local_addr().map_err(StopError::Address)?.to_string();
        let entry = Entry::new(Kind::MeshtrailStarted, &format!("server {}", env!("CARGO_PKG_VERSION")));
        state
            .audit_log()
            .write_for_server(entry)
            .await
            .map_err(|problem| StopError::AuditLog(problem.detail))?;
        let tasks = TaskTracker::new();
        let router = routes::router(state.clone());
        let port = HttpPort { listener, tls: None, slots: ports.console, timeouts: PortTimeouts::default() };
        tasks.spawn(port.serve(router, stop.clone()));
        tasks.spawn(record_reloads(state.clone(), stop.clone()));
        tasks.spawn(state.summaries().clone().follow(trail.clone(), stop.clone()));
        tasks.spawn(directory_follower.run(stop.clone()));
        let (history, sources) = (state.history().clone(), state.sources().clone());
        let wiring = Wiring::new(trail.clone(), history, sources, tasks.clone(), stop.clone());
        collectors.start(&wiring.with_limits(ports.limits.clone(), ports.receiver));
        if let Some(deaths) = state.sql().take_deaths() {
            tasks.spawn(record_deaths(deaths, state.clone(), stop.clone()));
        }
        if let Some(postgres) = postgres {
            tasks.spawn(postgres.serve(state.clone(), ports.limits, stop.clone()));
        }
        let recorders_open =
            serve_recorders(&tasks, (&recordings, &redactor), state.resolver(), recorders, &stop);
        if let Err(error) = discovery.write(&data) {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the command line won't find this server by itself"
            );
        }
        if let Some(recorder_listen) = wait_until_open(recorders_open, &stop).await {
            tracing::info!(listen, ?recorder_listen, "ready");
            ready(Ready { listen, recorder_listen, admin_token_file });
        }
        stop.cancelled().await;
        tracing::info!("stopping");
        state.stop().cancel();
        DiscoveryFile::remove(&data);
        tasks.close();
        close(&state, trail, recordings, &tasks).await
    }
}

/// Records SQL workers that ended before they had answered.
async fn record_deaths(
    mut deaths: tokio::sync::mpsc::Receiver<meshtrail_worker::Death>,
    state: AppState,
    stop: CancellationToken,
) {
    while let Some(Some(death)) = stop.run_until_cancelled(deaths.recv()).await {
        let mut entry = Entry::new(Kind::MeshtrailViewed, "query that was ended")
            .with_outcome(Outcome::Failure)
            .with_query(&death.sql);
        entry.own.reason = Some(format!("asked by {}: {}", death.asker, death.error));
        if let Err(problem) = state.audit_log().write_for_server(entry).await {
            tracing::error!(cause = problem.cause, "the end of a SQL worker could not be written down");
        }
    }
}

/// Why a server could not run or stop in order.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    #[error("the listener has no address")]
    Address(#[source] std::io::Error),
    #[error("the trail takes no entry: {0}")]
    AuditLog(String),
}

/// The addresses that one entry of the recorder configuration listens on now.
type OpenAddresses = watch::Receiver<Vec<SocketAddr>>;

fn serve_recorders(
    tasks: &TaskTracker,
    (recordings, redactor): (&Recordings, &Redactor),
    resolver: &meshtrail_identity::Resolver,
    recorders: Vec<(RecorderListen, Option<TcpListener>)>,
    stop: &CancellationToken,
) -> Vec<OpenAddresses> {
    let mut open_addresses = Vec::new();
    for (listen, listener) in recorders {
        let (sender, listening) = watch::channel(Vec::new());
        open_addresses.push(listening);
        match (listen, listener) {
            (_, Some(listener)) => {
                sender.send_replace(listener.local_addr().into_iter().collect());
                let (recordings, redactor, stop) = (recordings.clone(), redactor.clone(), stop.clone());
                tasks.spawn(async move { recordings.serve(listener, redactor, stop).await });
            }
            (RecorderListen::Tailscale { port }, None) => {
                let (recordings, redactor) = (recordings.clone(), redactor.clone());
                let serve: recorders::Serve = Arc::new(move |listener, closed| {
                    let (recordings, redactor) = (recordings.clone(), redactor.clone());
                    Box::pin(async move { recordings.serve(listener, redactor, closed).await })
                });
                tasks.spawn(recorders::follow(resolver.own_addresses(), port, serve, sender, stop.clone()));
            }
            (RecorderListen::Address(_), None) => unreachable!("fixed addresses are opened before serving"),
        }
    }
    open_addresses
}

/// Records each reload of the directory file: from then on other people may be behind an address.
async fn record_reloads(state: AppState, stop: CancellationToken) {
    let Some(directory) = state.resolver().directory() else { return };
    let mut changes = directory.subscribe();
    let mut recorded = changes.borrow_and_update().reloads;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            changed = changes.changed() => if changed.is_err() { return },
        }
        let reloads = changes.borrow_and_update().reloads;
        if reloads != recorded {
            recorded = reloads;
            let entry = Entry::new(Kind::MeshtrailConfigChanged, "directory file read anew");
            if let Err(problem) = state.audit_log().write_for_server(entry).await {
                tracing::error!(
                    cause = problem.cause,
                    "the directory file was read anew, which could not be written down"
                );
            }
        }
    }
}

/// Waits until every recorder entry listens on an address; none if stopped before.
async fn wait_until_open(recorders: Vec<OpenAddresses>, stop: &CancellationToken) -> Option<Vec<String>> {
    let mut addresses = Vec::new();
    for mut one in recorders {
        let open = tokio::select! {
            () = stop.cancelled() => return None,
            open = one.wait_for(|open| !open.is_empty()) => open.ok()?.clone(),
        };
        addresses.extend(open.iter().map(ToString::to_string));
    }
    Some(addresses)
}

async fn close(
    state: &AppState,
    trail: Trail,
    recordings: Recordings,
    tasks: &TaskTracker,
) -> Result<(), StopError> {
    if tokio::time::timeout(CLOSE_TIME, tasks.wait()).await.is_err() {
        tracing::warn!("not everything ended in time; the next start closes what is left as interrupted");
    }
    recordings.close().await;
    let entry = Entry::new(Kind::MeshtrailStopped, &format!("server {}", env!("CARGO_PKG_VERSION")));
    let written = state
        .audit_log()
        .write_for_server(entry)
        .await
        .map_err(|problem| StopError::AuditLog(problem.detail));
    trail.close().await;
    written
}
