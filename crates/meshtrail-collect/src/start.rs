//! Everything that collects, opened before the server serves and started when it does.
//!
//! - [`open`] reads every secret and binds every port: what is wrong with the configuration stops the start, and says
//!   what to do. What a control plane answers later never does.
//! - [`Collectors::start`] puts each poller and receiver on the tracker; all end at `stop`.

use meshtrail_event::Timestamp;
use meshtrail_identity::History;
use meshtrail_listen::Limits;
use meshtrail_listen::tls::TlsError;
use meshtrail_trail::Trail;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{SecretError, SecretPlace, SourcesConfig};
use crate::flow::Flows;
use crate::headscale::Headscale;
use crate::once::Once;
use crate::receive::{self, Receivers};
use crate::sources::Sources;
use crate::tailscale::Tailscale;

/// What collectors are wired to.
#[derive(Clone)]
pub struct Wiring {
    /// Where events go.
    pub trail: Trail,
    /// Who was who, to name what comes by an address alone.
    pub history: History,
    /// Where flow reports go, whichever way they come: each counts once.
    pub flows: Flows,
    /// Where audit records go, whichever way they come: each is written once.
    pub once: Once,
    /// Where each source says how it does.
    pub sources: Sources,
    /// What is spawned, so that a stop can wait for it.
    pub tasks: TaskTracker,
    /// Ends everything.
    pub stop: CancellationToken,
    /// Which part of what senders share one may have, and where that is counted.
    pub limits: Limits,
    /// How many connections each receiver serves at a time.
    pub connections: usize,
}

impl Wiring {
    /// Wires collectors to a trail and to what the server knows.
    pub fn new(
        trail: Trail,
        history: History,
        sources: Sources,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        let flows = Flows::new(trail.clone(), history.clone());
        let once = Once::new(trail.clone());
        let (limits, connections) = (Limits::default(), receive::MAX_CONNECTIONS);
        Self { trail, history, flows, once, sources, tasks, stop, limits, connections }
    }

    /// Wires receivers to these limits, each with so many connections at a time.
    #[must_use]
    pub fn within(self, limits: Limits, connections: usize) -> Self {
        Self { limits, connections, ..self }
    }
}

/// Why collecting can't begin.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A secret is not there.
    #[error("{key}")]
    Secret {
        /// The key of the configuration that names its place.
        key: &'static str,
        /// Why not.
        source: SecretError,
    },
    /// An address can't be listened on.
    #[error("{key}: {address} can't be listened on; is another program there, or is it not this machine's?")]
    Listen {
        /// The key of the configuration.
        key: &'static str,
        /// The address.
        address: std::net::SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// A certificate can't be used.
    #[error("{key}")]
    Tls {
        /// The key of the configuration.
        key: &'static str,
        /// Why not.
        source: TlsError,
    },
    /// An API can't be asked at all.
    #[error("{key}")]
    Web {
        /// The section of the configuration.
        key: &'static str,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Everything that collects, opened.
pub struct Collectors {
    tailscale: Option<Tailscale>,
    headscale: Option<Headscale>,
    receivers: Receivers,
    /// tailscaled's socket, where no control plane is asked.
    local_api: Option<std::path::PathBuf>,
}

/// Opens everything that `config` names.
pub fn open(config: SourcesConfig) -> Result<Collectors, OpenError> {
    let web = |key: &'static str| move |error| OpenError::Web { key, source: Box::new(error) };
    if let Some(tailscale) = &config.tailscale {
        check(tailscale.credentials.key(), tailscale.credentials.place())?;
    }
    if let Some(headscale) = &config.headscale {
        check("sources.headscale.api_key_file", &headscale.api_key)?;
    }
    let receivers = receive::open(&config)?;
    let tailscale = config.tailscale.map(Tailscale::open).transpose().map_err(web("sources.tailscale"))?;
    let headscale = config.headscale.map(Headscale::open).transpose().map_err(web("sources.headscale"))?;
    Ok(Collectors { tailscale, headscale, receivers, local_api: None })
}

impl Collectors {
    /// Where each receiver listens, by the key of the configuration that says so.
    pub fn addresses(&self) -> Vec<(&'static str, std::net::SocketAddr)> {
        self.receivers.addresses()
    }

    /// How many receivers there are.
    pub fn receivers(&self) -> usize {
        self.receivers.count()
    }

    /// Lets this machine's own tailscaled tell who is in the mesh, unless a control plane is asked.
    #[must_use]
    pub fn with_local_api(mut self, socket: Option<std::path::PathBuf>) -> Self {
        self.local_api = socket.filter(|_| self.tailscale.is_none() && self.headscale.is_none());
        self
    }

    /// Begins to collect.
    pub fn start(self, wiring: &Wiring) {
        let Wiring { trail, sources, tasks, stop, .. } = wiring;
        tasks.spawn(sources.clone().tell(stop.clone()));
        tasks.spawn(watch(sources.clone(), trail.clone(), stop.clone()));
        tasks.spawn(raise(trail.clone(), stop.clone()));
        if let Some(tailscale) = self.tailscale {
            tailscale.start(wiring);
        }
        if let Some(headscale) = self.headscale {
            headscale.start(wiring);
        }
        if let Some(socket) = self.local_api {
            crate::localapi::start(socket, wiring);
        }
        self.receivers.start(wiring, wiring.connections);
    }
}

/// Raises findings over what changes in the mesh, from whichever source.
async fn raise(trail: Trail, stop: CancellationToken) {
    let emitter = trail.emitter("anomalies");
    if let Err(error) = crate::anomalies::follow(&trail, &emitter, stop).await {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(error, "no more findings are raised over what changes, until the next start");
    }
}

/// Remembers who was there, then follows the recorder.
async fn watch(sources: Sources, trail: Trail, stop: CancellationToken) {
    let size = trail.size();
    if let Err(error) = sources.remember(&trail, Timestamp::now()).await {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(error, "the trail could not be read for the sources that were there");
    }
    sources.follow(trail, size, stop).await;
}

/// Reads the secret once, so that a missing one stops the start; warns of a file that others can read.
fn check(key: &'static str, place: &SecretPlace) -> Result<(), OpenError> {
    if let Some(exposure) = place.exposure() {
        tracing::warn!(key, "{exposure}");
    }
    place.read().map(drop).map_err(|source| OpenError::Secret { key, source })
}
