//! Opens everything a server needs, in order; errors say what to do next.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;

use futures::FutureExt;
use futures::future::BoxFuture;
use meshtrail_collect::MeshFiles;
use meshtrail_collect::sources::Sources;
use meshtrail_event::{Detail, Draft, Kind, Own, Timestamp};
use meshtrail_identity::{DEFAULT_SOCKET, DirectoryFile, History, Resolver, ResolverConfig};
use meshtrail_listen::LogThrottle;
use meshtrail_listen::tls::TlsError;
use meshtrail_recording::{RecordingConfig, Recordings};
use meshtrail_redact::{FingerprintKey, KEY_FILE, KeyError, Redactor};
use meshtrail_trail::store::{Store, StoreLocation, WritePolicy};
use meshtrail_trail::{OpenError, Trail, TrailConfig};
use meshtrail_worker::{Budget, Limits, Workers};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::admin_token::{self, AdminTokenError};
use super::discovery::DiscoveryFile;
use super::ports::Ports;
use super::{Server, folders, postgres, recorders};
use crate::audit_log::AuditLog;
use crate::auth::links::SignInLinks;
use crate::auth::sign_ins::SignIns;
use crate::auth::tokens::{Tokens, TokensError};
use crate::config::{Config, QuerySettings, RecorderListen, TrailSettings};
use crate::counts::Summaries;
use crate::directory::{self, DirectoryFollower, DirectoryImage, LateIdentities};
use crate::exports::Exports;
use crate::state::{Access, AppParts, AppState};

/// Why a server could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the folder {} can't be used", path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error("everybody on this machine can write to the folder {} (mode {mode:o}), and so put keys and recordings of their own in place of what is in it: `chmod o-w {}` closes it", path.display(), path.display())]
    WritableByAll { path: PathBuf, mode: u32 },
    #[error("{} holds a demo, which never mixes with real data: serve it with `meshtrail demo --keep`, or name another folder", path.display())]
    Demo { path: PathBuf },
    #[error("can't listen on {address}{}", hint(source))]
    Listen { address: SocketAddr, source: io::Error },
    #[error("the store {location} can't be used")]
    Store { location: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("the trail {name} can't be opened")]
    Trail { name: String, source: Box<OpenError> },
    #[error("secrets in requests can't be fingerprinted")]
    FingerprintKey(#[from] KeyError),
    #[error("the recordings can't be opened")]
    Recordings(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error(
        "the first event of the new trail, which names the newest heads of the store's other trails, can't be written"
    )]
    OtherHeads(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error(
        "the trail's events about devices and people can't be read; `meshtrail verify --all` tells what is wrong"
    )]
    History(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the directory file can't be used")]
    Directory(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the sources can't be opened")]
    Sources(#[from] meshtrail_collect::OpenError),
    #[error("postgres.tls_cert")]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Tokens(#[from] TokensError),
    #[error(transparent)]
    AdminToken(#[from] AdminTokenError),
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => ": something listens there already; is a server running?",
        io::ErrorKind::AddrNotAvailable => {
            ": this machine does not have that address (tailscale:PORT waits for one)"
        }
        io::ErrorKind::PermissionDenied => ": ports below 1024 need root, or CAP_NET_BIND_SERVICE",
        _ => "",
    }
}

impl Server {
    /// Opens everything; nothing is served before [`Server::run`] is called.
    pub fn open(config: Config) -> BoxFuture<'static, Result<Server, StartError>> {
        // Boxed here: otherwise the future would be compiled again by every crate that awaits it.
        Self::open_all(config).boxed()
    }

    async fn open_all(config: Config) -> Result<Server, StartError> {
        if config.banner.is_none() && super::demo::is_demo(&config.data) {
            return Err(StartError::Demo { path: config.data });
        }
        let local = folders::prepare(&config)?;
        let listener = listen(config.listen)?;
        let recorders = recorder_listeners(&config.recorder_listen)?;
        let socket = tailscale_socket(&config);
        let directory = config.directory.clone();
        let files = config.policy_file.clone().map(|policy| MeshFiles { policy, directory });
        let collectors = meshtrail_collect::open(config.sources.clone())?
            .with_local_api(socket.clone())
            .with_mesh_files(files);
        let ports = Ports::within_descriptors(&config, collectors.receivers());
        let history = History::for_trail(&config.trail.name);
        let resolver = start_resolver(&config, socket, history.clone())?;
        let (store, trail) = open_trail(&config, &local).await?;
        if config.banner.is_none() {
            record_other_heads(&trail).await.map_err(StartError::OtherHeads)?;
        }
        let (late_identities, directory_follower) = load_directory(&history, &trail, &local).await?;
        let redactor = open_redactor(&local)?;
        let recordings = open_recordings(store, &local, &trail, &resolver, ports.recording()).await?;
        let (admin_token, admin_token_file) = admin_token::load_or_create(&local)?;
        let admin_token_file = std::path::absolute(&admin_token_file).unwrap_or(admin_token_file);
        let address =
            listener.local_addr().map_err(|source| StartError::Listen { address: config.listen, source })?;
        let url = local_url(address);
        let discovery = DiscoveryFile::new(
            url.clone(),
            absolute_store(&config.store),
            config.trail.name.clone(),
            admin_token_file.clone(),
        );
        let sql = start_workers(&trail, &config.query, &local)?;
        let exports = Exports::open(local.join("exports"))
            .map_err(|source| StartError::Folder { path: local.join("exports"), source })?;
        let postgres = postgres::open(config.postgres.as_ref())?;
        let state = AppState::new(AppParts {
            audit_log: AuditLog::Trail(trail.emitter("server")),
            sources: Sources::new(trail.emitter("sources")),
            traffic_cache: meshtrail_views::network::TrafficCache::new(trail.clone(), history.clone()),
            policies: meshtrail_views::policy::PolicyCache::default(),
            history,
            late_identities,
            sql,
            exports,
            trail: trail.clone(),
            summaries: Summaries::in_folder(local.join("cache").join("summaries")),
            banner: config.banner,
            recordings: recordings.clone(),
            access: Access::Authenticated,
            stop: CancellationToken::new(),
            local_url: url,
            resolver,
            tokens: Tokens::open(local.join("tokens.json"))?,
            admin_token,
            grants: config.grants,
            host_names: config.names,
            started: Timestamp::now(),
            sign_ins: SignIns::for_port(address.port()),
            links: SignInLinks::default(),
            requests: AtomicU64::new(1),
            metrics: ports.limits.metrics.clone(),
            refused_requests: LogThrottle::default(),
            refusals: std::sync::Mutex::default(),
        });
        Ok(Server {
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
            data: config.data,
            discovery,
            admin_token_file,
        })
    }
}

/// The SQL workers over the trail, within the configured limits.
fn start_workers(trail: &Trail, settings: &QuerySettings, local: &Path) -> Result<Workers, StartError> {
    let spill = local.join("spill");
    // Spill files of workers of a server that was killed are useless.
    match std::fs::remove_dir_all(&spill) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            return Err(StartError::Folder { path: spill, source });
        }
        _ => folders::create_private(&spill)?,
    }
    let limits = Limits {
        program: settings.program.clone(),
        memory: settings.memory,
        budget: Budget { time: settings.time, rows: settings.rows },
        running: settings.at_once,
        ..Limits::with_spill_folder(spill)
    };
    let workers = Workers::new(trail.clone(), limits);
    if let Err(error) = workers.check_program() {
        tracing::warn!(%error, "no SQL: everything else works");
    }
    Ok(workers)
}

/// Reads the directory from the trail, and makes the task that keeps it up to date.
async fn load_directory(
    history: &History,
    trail: &Trail,
    local: &Path,
) -> Result<(LateIdentities, DirectoryFollower), StartError> {
    let late_identities = LateIdentities::default();
    let image = DirectoryImage::below(local, trail);
    let loaded = directory::load(history, &late_identities, trail, Some(&image))
        .await
        .map_err(|error| StartError::History(Box::new(error)))?;
    let follower =
        DirectoryFollower::new(history.clone(), late_identities.clone(), trail.clone(), loaded, image);
    Ok((late_identities, follower))
}

/// What cuts secrets, under the key of this data folder.
fn open_redactor(local: &Path) -> Result<Redactor, KeyError> {
    let key = FingerprintKey::load_or_create(&local.join("keys").join(KEY_FILE))?;
    // A lost key is replaced by a new one: this line shows that fingerprints can't be compared any more.
    tracing::info!(key = %key.id(), "secrets are fingerprinted under this key");
    Ok(Redactor::new(key))
}

/// Opens the recordings; those that a crash left open are closed.
async fn open_recordings(
    store: Store,
    local: &Path,
    trail: &Trail,
    resolver: &Resolver,
    config: RecordingConfig,
) -> Result<Recordings, StartError> {
    Recordings::open(store, local, trail.clone(), resolver.clone(), config)
        .await
        .map_err(|error| StartError::Recordings(Box::new(error)))
}

/// Binds every fixed recorder address; the node's own addresses are bound later.
fn recorder_listeners(
    places: &[RecorderListen],
) -> Result<Vec<(RecorderListen, Option<TcpListener>)>, StartError> {
    let open = |place: &RecorderListen| match place {
        RecorderListen::Address(address) => listen(*address).map(|listener| (*place, Some(listener))),
        RecorderListen::Tailscale { .. } => Ok((*place, None)),
    };
    places.iter().map(open).collect()
}

fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    recorders::bind(address).map_err(|source| StartError::Listen { address, source })
}

async fn open_trail(config: &Config, local: &Path) -> Result<(Store, Trail), StartError> {
    let failed = |source| StartError::Store { location: config.store.clone(), source };
    let location: StoreLocation = config.store.parse().map_err(|error| failed(Box::new(error)))?;
    let policy = WritePolicy { retention: config.object_lock, group: config.store_group };
    let store = Store::open(&location, &policy).await.map_err(|error| failed(Box::new(error)))?;
    let trail = Trail::open(store.clone(), local, trail_config(&config.trail))
        .await
        .map_err(|source| StartError::Trail { name: config.trail.name.clone(), source: Box::new(source) })?;
    Ok((store, trail))
}

/// Starts a new trail with events that name the newest heads of the store's other trails: if one of those ended
/// because its signed head was lost, the event says how far it went. The events are written all or none; after a
/// failure the next start writes them.
async fn record_other_heads(trail: &Trail) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    if trail.size() > 0 {
        return Ok(());
    }
    let drafts = trail.heads_of_other_trails().await?.into_iter().map(|head| {
        let message = format!(
            "this trail comes after {}, whose newest head is over {} events with root {}",
            head.origin, head.size, head.root
        );
        let own = Own { what: Some("trail".to_owned()), message: Some(message), ..Own::default() };
        let detail = Some(Detail::Own(Box::new(own)));
        Draft { detail, ..Draft::new(Kind::MeshtrailStarted, Timestamp::now()) }
    });
    trail.emitter("trail").emit_all(drafts.collect()).await?;
    Ok(())
}

/// The configuration of the trail; settings that are absent keep their defaults.
fn trail_config(settings: &TrailSettings) -> TrailConfig {
    let mut config = TrailConfig::new(&settings.name);
    if let Some(origin) = &settings.origin {
        config.origin = origin.clone();
    }
    if let Some(events) = settings.segment_events {
        config.segment_events = events;
    }
    if let Some(age) = settings.segment_age {
        config.segment_age = age;
    }
    if let Some(every) = settings.ship_every {
        config.ship_every = every;
    }
    config.retention = settings.retention;
    config
}

/// tailscaled's socket: the configured one, else the default one if it exists or is needed to listen.
fn tailscale_socket(config: &Config) -> Option<PathBuf> {
    let default = Path::new(DEFAULT_SOCKET);
    let follows =
        config.recorder_listen.iter().any(|listen| matches!(listen, RecorderListen::Tailscale { .. }));
    match &config.tailscale_socket {
        Some(socket) => Some(socket.clone()),
        None => (follows || default.exists()).then(|| default.to_owned()),
    }
}

fn start_resolver(
    config: &Config,
    socket: Option<PathBuf>,
    history: History,
) -> Result<Resolver, StartError> {
    if config.banner.is_some() {
        // A demo contains no real people.
        return Ok(Resolver::without_providers());
    }
    let directory = config
        .directory
        .as_ref()
        .map(DirectoryFile::open)
        .transpose()
        .map_err(|error| StartError::Directory(Box::new(error)))?;
    Ok(Resolver::start(ResolverConfig { socket, directory, history, ..ResolverConfig::default() }))
}

/// The URL of the console for browsers on this machine.
fn local_url(address: SocketAddr) -> String {
    let ip = address.ip();
    let reachable = match ip {
        _ if !ip.is_unspecified() => address,
        std::net::IpAddr::V4(_) => SocketAddr::new(std::net::Ipv4Addr::LOCALHOST.into(), address.port()),
        std::net::IpAddr::V6(_) => SocketAddr::new(std::net::Ipv6Addr::LOCALHOST.into(), address.port()),
    };
    format!("http://{reachable}")
}

/// The absolute path of a folder, so that a command started elsewhere finds it; a bucket's URL as it is.
fn absolute_store(store: &str) -> String {
    if store.contains("://") {
        return store.to_owned();
    }
    std::path::absolute(store)
        .ok()
        .and_then(|path| path.to_str().map(str::to_owned))
        .unwrap_or_else(|| store.to_owned())
}
