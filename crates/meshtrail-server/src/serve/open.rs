//! Opening everything a server needs, in order, with errors that say what to do next.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;

use futures::FutureExt;
use futures::future::BoxFuture;
use meshtrail_collect::sources::Sources;
use meshtrail_event::{Detail, Draft, Kind, Own, Timestamp};
use meshtrail_identity::{DEFAULT_SOCKET, DirectoryFile, History, Resolver, ResolverConfig};
use meshtrail_listen::Fold;
use meshtrail_listen::tls::TlsError;
use meshtrail_recording::{RecordingConfig, Recordings};
use meshtrail_trail::store::{Store, StoreLocation, WritePolicy};
use meshtrail_trail::{OpenError, Trail, TrailConfig};
use meshtrail_worker::{Budget, Limits, Workers};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::admin_token::{self, AdminTokenError};
use super::note::ServerNote;
use super::ports::Ports;
use super::{Server, folders, postgres, recorders};
use crate::auth::links::Links;
use crate::auth::sessions::SignIns;
use crate::auth::tokens::{Tokens, TokensError};
use crate::config::{Config, QuerySettings, RecorderListen, TrailSettings};
use crate::counts::Summaries;
use crate::diary::Diary;
use crate::directory::{self, Keeper, Learned};
use crate::exports::Exports;
use crate::state::{AppState, Door, Parts};

/// Why a server could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state folder can't be used.
    #[error("the folder {} can't be used", path.display())]
    Folder {
        /// Which folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Everybody can write to the folder.
    #[error("everybody on this machine can write to the folder {} (mode {mode:o}), and so put keys and recordings of their own in place of what is in it: `chmod o-w {}` closes it", path.display(), path.display())]
    WritableByAll {
        /// Which folder.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The folder is a demo's.
    #[error("{} holds a demo, which never mixes with real data: serve it with `meshtrail demo --keep`, or name another folder", path.display())]
    Demo {
        /// Which folder.
        path: PathBuf,
    },
    /// An address can't be listened on.
    #[error("can't listen on {address}{}", hint(source))]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The store can't be used.
    #[error("the store {location} can't be used")]
    Store {
        /// Where it is.
        location: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The trail can't be opened.
    #[error("the trail {name} can't be opened")]
    Trail {
        /// Its name.
        name: String,
        /// Why.
        source: Box<OpenError>,
    },
    /// The recordings can't be opened.
    #[error("the recordings can't be opened")]
    Recordings(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The first event of a new trail can't be written.
    #[error(
        "the first event of the new trail, which names the newest heads of the store's other trails, can't be written"
    )]
    OtherHeads(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What the trail tells of devices and people can't be read.
    #[error(
        "the trail's events about devices and people can't be read; `meshtrail verify --all` tells what is wrong"
    )]
    History(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The directory file can't be read.
    #[error("the directory file can't be used")]
    Directory(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What is to be collected can't be.
    #[error("the sources can't be opened")]
    Sources(#[from] meshtrail_collect::OpenError),
    /// The Postgres wire can't be served.
    #[error("postgres.tls_cert")]
    Tls(#[from] TlsError),
    /// The tokens can't be read.
    #[error(transparent)]
    Tokens(#[from] TokensError),
    /// The admin token can't be read or made.
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
    /// Opens everything; nothing is served before [`Server::run`].
    pub fn open(config: Config) -> BoxFuture<'static, Result<Server, StartError>> {
        // Boxed here: a bare future would be compiled again by every crate that awaits it.
        Self::open_all(config).boxed()
    }

    async fn open_all(config: Config) -> Result<Server, StartError> {
        if config.banner.is_none() && super::demo::is_demo(&config.data) {
            return Err(StartError::Demo { path: config.data });
        }
        let local = folders::prepare(&config)?;
        let listener = listen(config.listen)?;
        let recorders = recorder_listeners(&config.recorder_listen)?;
        let socket = socket(&config);
        let collectors = meshtrail_collect::open(config.sources.clone())?.with_local_api(socket.clone());
        let ports = Ports::within_descriptors(&config, collectors.receivers());
        let history = History::of_trail(&config.trail.name);
        let resolver = resolver(&config, socket, history.clone())?;
        let (store, trail) = open_trail(&config, &local).await?;
        if config.banner.is_none() {
            name_other_heads(&trail).await.map_err(StartError::OtherHeads)?;
        }
        let (learned, keeper) = directory(&history, &trail).await?;
        let recordings = recordings(store, &local, &trail, &resolver, ports.recording()).await?;
        let (admin_token, admin_token_file) = admin_token::load_or_make(&local)?;
        let admin_token_file = std::path::absolute(&admin_token_file).unwrap_or(admin_token_file);
        let address =
            listener.local_addr().map_err(|source| StartError::Listen { address: config.listen, source })?;
        let url = local_url(address);
        let note = ServerNote::new(
            url.clone(),
            absolute_store(&config.store),
            config.trail.name.clone(),
            admin_token_file.clone(),
        );
        let sql = workers(&trail, &config.query, &local)?;
        let exports = Exports::open(local.join("exports"))
            .map_err(|source| StartError::Folder { path: local.join("exports"), source })?;
        let postgres = postgres::open(config.postgres.as_ref())?;
        let state = AppState::new(Parts {
            diary: Diary::Kept(trail.emitter("server")),
            sources: Sources::new(trail.emitter("sources")),
            history,
            learned,
            sql,
            network: crate::network::Kept::default(),
            exports,
            trail: trail.clone(),
            trail_name: config.trail.name.clone(),
            summaries: Summaries::in_folder(local.join("cache").join("summaries")),
            banner: config.banner,
            recordings: recordings.clone(),
            door: Door::Guarded,
            stop: CancellationToken::new(),
            local_url: url,
            resolver,
            tokens: Tokens::open(local.join("tokens.json"))?,
            admin_token,
            grants: config.grants,
            host_names: config.names,
            started: Timestamp::now(),
            sign_ins: SignIns::of_port(address.port()),
            links: Links::default(),
            requests: AtomicU64::new(1),
            metrics: ports.limits.metrics.clone(),
            refused_requests: Fold::default(),
            refusals: std::sync::Mutex::default(),
        });
        Ok(Server {
            state,
            trail,
            recordings,
            collectors,
            keeper,
            listener,
            recorders,
            postgres,
            ports,
            data: config.data,
            note,
            admin_token_file,
        })
    }
}

/// Workers over the trail, within what the configuration allows.
fn workers(trail: &Trail, settings: &QuerySettings, local: &Path) -> Result<Workers, StartError> {
    let spill = local.join("spill");
    // What workers of a server that was killed spilled is of no use to anybody.
    match std::fs::remove_dir_all(&spill) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            return Err(StartError::Folder { path: spill, source });
        }
        _ => folders::make_private(&spill)?,
    }
    let limits = Limits {
        program: settings.program.clone(),
        memory: settings.memory,
        budget: Budget { time: settings.time, rows: settings.rows },
        running: settings.at_once,
        ..Limits::spilling_into(spill)
    };
    let workers = Workers::new(trail.clone(), limits);
    if let Err(error) = workers.is_there() {
        tracing::warn!(%error, "no SQL: everything else works");
    }
    Ok(workers)
}

/// What the trail tells of devices and people, and what keeps up with it.
async fn directory(history: &History, trail: &Trail) -> Result<(Learned, Keeper), StartError> {
    let learned = Learned::default();
    let read_to = directory::load(history, &learned, trail)
        .await
        .map_err(|error| StartError::History(Box::new(error)))?;
    let keeper = Keeper::new(history.clone(), learned.clone(), trail.clone(), read_to);
    Ok((learned, keeper))
}

/// The recordings, of which those that a crash left open are closed.
async fn recordings(
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

/// Opens every fixed address for recordings; the node's own come later.
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

/// Begins a new trail with the newest heads of the others in its store: one of them may have ended because what it
/// had signed was lost, and then this says up to where it went. All of them are named, or the next start does it.
async fn name_other_heads(trail: &Trail) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
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

/// The trail's own configuration; what is not set keeps its default.
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

/// tailscaled's socket: the configured one, else the usual one if it is there or is needed to listen.
fn socket(config: &Config) -> Option<PathBuf> {
    let usual = Path::new(DEFAULT_SOCKET);
    let follows =
        config.recorder_listen.iter().any(|listen| matches!(listen, RecorderListen::Tailscale { .. }));
    match &config.tailscale_socket {
        Some(socket) => Some(socket.clone()),
        None => (follows || usual.exists()).then(|| usual.to_owned()),
    }
}

fn resolver(config: &Config, socket: Option<PathBuf>, history: History) -> Result<Resolver, StartError> {
    if config.banner.is_some() {
        // Nobody real is in a demo.
        return Ok(Resolver::knowing_nobody());
    }
    let directory = config
        .directory
        .as_ref()
        .map(DirectoryFile::open)
        .transpose()
        .map_err(|error| StartError::Directory(Box::new(error)))?;
    Ok(Resolver::start(ResolverConfig { socket, directory, history, ..ResolverConfig::default() }))
}

/// Where a browser on this machine finds the console.
fn local_url(address: SocketAddr) -> String {
    let ip = address.ip();
    let reached = match ip {
        _ if !ip.is_unspecified() => address,
        std::net::IpAddr::V4(_) => SocketAddr::new(std::net::Ipv4Addr::LOCALHOST.into(), address.port()),
        std::net::IpAddr::V6(_) => SocketAddr::new(std::net::Ipv6Addr::LOCALHOST.into(), address.port()),
    };
    format!("http://{reached}")
}

/// A folder's full path, so that a command started elsewhere finds it; a bucket as it is.
fn absolute_store(store: &str) -> String {
    if store.contains("://") {
        return store.to_owned();
    }
    std::path::absolute(store)
        .ok()
        .and_then(|path| path.to_str().map(str::to_owned))
        .unwrap_or_else(|| store.to_owned())
}
