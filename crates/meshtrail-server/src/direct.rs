//! The API over a store, for the command line without a server.
//!
//! - [`open`] writes nothing and locks nothing: safe beside a running server, and for a copy of a store. What is looked
//!   at leaves no entry in the trail: whoever can read the files could read them anyhow.
//! - [`open_to_write`] holds the trail as a server does; what is done then is in it.

use std::path::Path;
use std::sync::atomic::AtomicU64;

use axum::Router;
use meshtrail_event::Timestamp;
use meshtrail_identity::{History, Resolver};
use meshtrail_recording::{RecordingConfig, Recordings};
use meshtrail_trail::store::{Store, StoreLocation, WritePolicy};
use meshtrail_trail::{OpenError, Trail, TrailConfig};
use meshtrail_worker::{Limits, Workers};
use tokio_util::sync::CancellationToken;

use crate::auth::Grants;
use crate::auth::links::Links;
use crate::auth::names::HostNames;
use crate::auth::secret::{NoRandomness, Secret};
use crate::auth::sessions::SignIns;
use crate::auth::tokens::{Tokens, TokensError};
use crate::diary::Diary;
use crate::directory::{Learned, load};
use crate::exports::Exports;
use crate::routes;
use crate::state::{AppState, Door, Parts};

/// Why a store can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The place is none.
    #[error("{location} is no place of a store")]
    Location {
        /// What was given.
        location: String,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The folder is a demo's.
    #[error("{} holds a demo, which takes nothing real", path.display())]
    Demo {
        /// Which folder.
        path: std::path::PathBuf,
    },
    /// The store can't be opened.
    #[error("the store can't be opened")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The trail can't be opened.
    #[error("the trail {name} can't be opened")]
    Trail {
        /// Its name.
        name: String,
        /// Why.
        source: Box<OpenError>,
    },
    /// There is no place for what questions in SQL spill.
    #[error("there is no place for what questions in SQL spill")]
    Spill(#[source] std::io::Error),
    /// The tokens can't be read.
    #[error(transparent)]
    Tokens(#[from] TokensError),
    /// No secret could be made.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

/// The API's routes over the store at `location`.
pub async fn open(location: &str, data: &Path, trail: &str) -> Result<Router, ReadError> {
    let place: StoreLocation = location
        .parse()
        .map_err(|error| ReadError::Location { location: location.to_owned(), source: Box::new(error) })?;
    let store = Store::open_read_only(&place).await.map_err(|error| ReadError::Store(Box::new(error)))?;
    let local = data.join("local");
    let opened = Trail::open_read_only(store.clone(), Some(&local), TrailConfig::new(trail))
        .await
        .map_err(|source| ReadError::Trail { name: trail.to_owned(), source: Box::new(source) })?;
    let recordings = Recordings::open_read_only(store, opened.clone());
    Ok(routes::router(state(Reach::Reading, trail, opened, recordings)?))
}

/// What this process may do with the store.
enum Reach {
    /// Read it.
    Reading,
    /// Write to it as a server would: what is done is in the trail.
    Writing(History, Learned),
}

fn state(reach: Reach, trail: &str, opened: Trail, recordings: Recordings) -> Result<AppState, ReadError> {
    let (diary, history, learned) = match reach {
        Reach::Reading => (Diary::Reading, History::of_trail(trail), Learned::default()),
        Reach::Writing(history, learned) => (Diary::Kept(opened.emitter("server")), history, learned),
    };
    Ok(AppState::new(Parts {
        sources: meshtrail_collect::sources::Sources::none(),
        history,
        learned,
        sql: workers(&opened)?,
        network: crate::network::Kept::default(),
        exports: Exports::none(),
        trail: opened,
        trail_name: trail.to_owned(),
        summaries: crate::counts::Summaries::default(),
        banner: None,
        recordings,
        diary,
        door: Door::Files,
        stop: CancellationToken::new(),
        local_url: String::new(),
        resolver: Resolver::knowing_nobody(),
        tokens: Tokens::none(),
        admin_token: Secret::token()?.hash(),
        grants: Grants::default(),
        host_names: HostNames::default(),
        started: Timestamp::now(),
        sign_ins: SignIns::default(),
        links: Links::default(),
        requests: AtomicU64::new(1),
        metrics: meshtrail_listen::Metrics::default(),
        refused_requests: meshtrail_listen::Fold::default(),
        refusals: std::sync::Mutex::default(),
    }))
}

/// Answers one question after another; what they spill lies among the system's temporary files, for this process alone.
fn workers(trail: &Trail) -> Result<Workers, ReadError> {
    let spill = tempfile::Builder::new().prefix("meshtrail-spill-").tempdir().map_err(ReadError::Spill)?;
    let limits = Limits { keeps_one_ready: false, ..Limits::spilling_into(spill.path().to_owned()) };
    Ok(Workers::new(trail.clone(), limits).holding(spill))
}

/// A store that no server runs over, opened to be written.
pub struct Held {
    router: Router,
    trail: Trail,
    recordings: Recordings,
}

/// Opens the store at `location` for writing, which locks its trail: beside a running server this fails.
pub async fn open_to_write(location: &str, data: &Path, trail: &str) -> Result<Held, ReadError> {
    let place: StoreLocation = location
        .parse()
        .map_err(|error| ReadError::Location { location: location.to_owned(), source: Box::new(error) })?;
    if crate::serve::demo::is_demo(data) {
        return Err(ReadError::Demo { path: data.to_owned() });
    }
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| ReadError::Store(error);
    let store =
        Store::open(&place, &WritePolicy::default()).await.map_err(|error| failed(Box::new(error)))?;
    let local = data.join("local");
    let opened = Trail::open(store.clone(), &local, TrailConfig::new(trail))
        .await
        .map_err(|source| ReadError::Trail { name: trail.to_owned(), source: Box::new(source) })?;
    let nobody = Resolver::knowing_nobody();
    let recordings =
        Recordings::open(store, &local, opened.clone(), nobody, RecordingConfig::default()).await;
    let recordings = recordings.map_err(|error| failed(Box::new(error)))?;
    let (history, learned) = (History::of_trail(trail), Learned::default());
    load(&history, &learned, &opened).await.map_err(|error| failed(Box::new(error)))?;
    let state = state(Reach::Writing(history, learned), trail, opened.clone(), recordings.clone())?;
    Ok(Held { router: routes::router(state), trail: opened, recordings })
}

impl Held {
    /// The API's routes over it.
    pub fn router(&self) -> &Router {
        &self.router
    }

    /// Closes it in order.
    pub async fn close(self) {
        drop(self.router);
        self.recordings.close().await;
        self.trail.close().await;
    }
}
