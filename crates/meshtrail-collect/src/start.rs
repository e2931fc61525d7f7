//! Opens all pollers and receivers before the server serves, and starts them when it does.
//!
//! - [`open`] reads every secret and binds every port. An error in the configuration stops the start, with a message that
//!   says what to do. No response of a control plane stops the server.
//! - [`Collectors::start`] spawns each poller and receiver on [`Wiring::tasks`]; all end at [`Wiring::stop`].

use meshtrail_event::Timestamp;
use meshtrail_flow::Flows;
use meshtrail_identity::History;
use meshtrail_listen::Limits;
use meshtrail_listen::tls::TlsError;
use meshtrail_trail::Trail;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{SecretError, SecretPlace, SourcesConfig};
use crate::dedupe::RecordDedupe;
use crate::headscale::Headscale;
use crate::policy_file::MeshFiles;
use crate::receive::{self, Receivers};
use crate::sources::Sources;
use crate::tailscale::Tailscale;

/// The parts of the server that pollers and receivers write to.
#[derive(Clone)]
pub struct Wiring {
    /// Events are appended here.
    pub trail: Trail,
    /// Resolves addresses to devices and people, as of a time.
    pub history: History,
    /// Takes flow reports from every source; a report counts once.
    pub flows: Flows,
    /// Takes audit records from every source; a record is written once.
    pub dedupe: RecordDedupe,
    /// The state of each source.
    pub sources: Sources,
    /// All spawned tasks, so that a stop can wait for them.
    pub tasks: TaskTracker,
    /// Cancelled at shutdown.
    pub stop: CancellationToken,
    /// The share of connections, requests and memory that one peer may have, with its counters.
    pub limits: Limits,
    /// The most connections of each receiver at a time.
    pub connections: usize,
}

impl Wiring {
    /// With default limits.
    pub fn new(
        trail: Trail,
        history: History,
        sources: Sources,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        let flows = Flows::new(trail.clone(), history.clone());
        let dedupe = RecordDedupe::new(trail.clone());
        let (limits, connections) = (Limits::default(), receive::MAX_CONNECTIONS);
        Self { trail, history, flows, dedupe, sources, tasks, stop, limits, connections }
    }

    /// The same with these limits, and with this many connections for each receiver.
    #[must_use]
    pub fn with_limits(self, limits: Limits, connections: usize) -> Self {
        Self { limits, connections, ..self }
    }
}

/// Why collecting can't begin. `key` is the key of the configuration at fault.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum OpenError {
    #[error("{key}")]
    Secret { key: &'static str, source: SecretError },
    #[error("{key}: {address} can't be listened on; is another program there, or is it not this machine's?")]
    Listen { key: &'static str, address: std::net::SocketAddr, source: std::io::Error },
    #[error("{key}")]
    Tls { key: &'static str, source: TlsError },
    /// No HTTP client could be built for the API of this section.
    #[error("{key}")]
    Web { key: &'static str, source: Box<dyn std::error::Error + Send + Sync> },
}

/// Opened pollers and receivers, not started yet.
pub struct Collectors {
    tailscale: Option<Tailscale>,
    headscale: Option<Headscale>,
    receivers: Receivers,
    /// tailscaled's socket; none where a control plane is polled.
    local_api: Option<std::path::PathBuf>,
    files: Option<MeshFiles>,
}

/// Opens every poller and receiver that `config` names.
pub fn open(config: SourcesConfig) -> Result<Collectors, OpenError> {
    let web = |key: &'static str| move |error| OpenError::Web { key, source: Box::new(error) };
    if let Some(tailscale) = &config.tailscale {
        check_secret(tailscale.credentials.key(), tailscale.credentials.place())?;
    }
    if let Some(headscale) = &config.headscale {
        check_secret("sources.headscale.api_key_file", &headscale.api_key)?;
    }
    let receivers = receive::open(&config.receivers)?;
    let tailscale = config.tailscale.map(Tailscale::open).transpose().map_err(web("sources.tailscale"))?;
    let headscale = config.headscale.map(Headscale::open).transpose().map_err(web("sources.headscale"))?;
    Ok(Collectors { tailscale, headscale, receivers, local_api: None, files: None })
}

impl Collectors {
    /// The listening addresses of receivers, each with its key in the configuration.
    pub fn addresses(&self) -> Vec<(&'static str, std::net::SocketAddr)> {
        self.receivers.addresses()
    }

    /// Number of receivers.
    pub fn receivers(&self) -> usize {
        self.receivers.count()
    }

    /// Polls the tailscaled at `socket` for devices and people, unless a control plane is polled.
    #[must_use]
    pub fn with_local_api(mut self, socket: Option<std::path::PathBuf>) -> Self {
        self.local_api = socket.filter(|_| self.tailscale.is_none() && self.headscale.is_none());
        self
    }

    /// Reads the files of a mesh without a control plane.
    #[must_use]
    pub fn with_mesh_files(mut self, files: Option<MeshFiles>) -> Self {
        self.files = files;
        self
    }

    /// Spawns everything.
    pub fn start(self, wiring: &Wiring) {
        let Wiring { trail, sources, tasks, stop, .. } = wiring;
        tasks.spawn(sources.clone().write_events(stop.clone()));
        tasks.spawn(follow_sources(sources.clone(), trail.clone(), stop.clone()));
        tasks.spawn(raise_findings(trail.clone(), stop.clone()));
        if let Some(tailscale) = self.tailscale {
            tailscale.start(wiring);
        }
        if let Some(headscale) = self.headscale {
            headscale.start(wiring);
        }
        if let Some(socket) = self.local_api {
            crate::localapi::start(socket, wiring);
        }
        if let Some(files) = self.files {
            crate::policy_file::start(files, wiring);
        }
        self.receivers.start(wiring, wiring.connections);
    }
}

/// Raises findings about changes in the mesh, from all sources.
async fn raise_findings(trail: Trail, stop: CancellationToken) {
    let emitter = trail.emitter("anomalies");
    if let Err(error) = meshtrail_change::anomalies::follow(&trail, &emitter, stop).await {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(error, "no more findings are raised over what changes, until the next start");
    }
}

/// Loads the state of sources from the trail, then follows what the recorder writes.
async fn follow_sources(sources: Sources, trail: Trail, stop: CancellationToken) {
    let size = trail.size();
    if let Err(error) = sources.load_from_trail(&trail, Timestamp::now()).await {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(error, "the trail could not be read for the sources that were there");
    }
    sources.follow_recorder(trail, size, stop).await;
}

/// Reads a secret once, so that a missing one stops the start. Logs a warning if others can read its file.
fn check_secret(key: &'static str, place: &SecretPlace) -> Result<(), OpenError> {
    if let Some(exposure) = place.exposure() {
        tracing::warn!(key, "{exposure}");
    }
    place.read().map(drop).map_err(|source| OpenError::Secret { key, source })
}
