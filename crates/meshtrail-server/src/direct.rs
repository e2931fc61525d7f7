//! The API over a store's files, for commands that run without a server.
//!
//! - [`open`] writes nothing and takes no lock: it is safe beside a running server, and on a copy of a store. Views
//!   leave no audit entry in the trail, since whoever can read the files could read them anyhow.
//! - [`open_to_write`] locks the trail as a server does; actions are recorded in it.

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

use crate::audit_log::AuditLog;
use crate::auth::Grants;
use crate::auth::host_names::HostNames;
use crate::auth::links::SignInLinks;
use crate::auth::secret::{NoRandomness, Secret};
use crate::auth::sign_ins::SignIns;
use crate::auth::tokens::{Tokens, TokensError};
use crate::directory::{LateIdentities, load};
use crate::exports::Exports;
use crate::routes;
use crate::state::{Access, AppParts, AppState};

/// Why a store can't be opened.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum OpenStoreError {
    #[error("{location} is no place of a store")]
    Location { location: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("{} holds a demo, which takes nothing real", path.display())]
    Demo { path: std::path::PathBuf },
    #[error("the store can't be opened")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the trail {name} can't be opened")]
    Trail { name: String, source: Box<OpenError> },
    #[error("there is no place for what questions in SQL spill")]
    Spill(#[source] std::io::Error),
    #[error(transparent)]
    Tokens(#[from] TokensError),
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

/// The API's routes over the store at `location`, read-only.
pub async fn open(location: &str, data: &Path, trail: &str) -> Result<Router, OpenStoreError> {
    let place: StoreLocation = location.parse().map_err(|error| OpenStoreError::Location {
        location: location.to_owned(),
        source: Box::new(error),
    })?;
    let store =
        Store::open_read_only(&place).await.map_err(|error| OpenStoreError::Store(Box::new(error)))?;
    let local = data.join("local");
    let opened = Trail::open_read_only(store.clone(), Some(&local), TrailConfig::new(trail))
        .await
        .map_err(|source| OpenStoreError::Trail { name: trail.to_owned(), source: Box::new(source) })?;
    let recordings = Recordings::open_read_only(store, opened.clone());
    Ok(routes::router(state(StoreMode::ReadOnly, opened, recordings)?))
}

/// What this process may do with the store.
enum StoreMode {
    ReadOnly,
    /// Actions are recorded in the trail, as a server would.
    Writable(History, LateIdentities),
}

fn state(mode: StoreMode, trail: Trail, recordings: Recordings) -> Result<AppState, OpenStoreError> {
    let (audit_log, history, late_identities) = match mode {
        StoreMode::ReadOnly => {
            let history = History::for_trail(trail.name().as_str());
            (AuditLog::Disabled, history, LateIdentities::default())
        }
        StoreMode::Writable(history, late_identities) => {
            (AuditLog::Trail(trail.emitter("server")), history, late_identities)
        }
    };
    Ok(AppState::new(AppParts {
        sources: meshtrail_collect::sources::Sources::none(),
        traffic_cache: meshtrail_views::network::TrafficCache::new(trail.clone(), history.clone()),
        policies: meshtrail_views::policy::PolicyCache::default(),
        history,
        late_identities,
        sql: workers(&trail)?,
        exports: Exports::none(),
        trail,
        summaries: crate::counts::Summaries::default(),
        banner: None,
        recordings,
        audit_log,
        access: Access::LocalFiles,
        stop: CancellationToken::new(),
        local_url: String::new(),
        resolver: Resolver::without_providers(),
        tokens: Tokens::none(),
        admin_token: Secret::new_token()?.hash(),
        grants: Grants::default(),
        host_names: HostNames::default(),
        started: Timestamp::now(),
        sign_ins: SignIns::default(),
        links: SignInLinks::default(),
        requests: AtomicU64::new(1),
        metrics: meshtrail_listen::Metrics::default(),
        refused_requests: meshtrail_listen::LogThrottle::default(),
        refusals: std::sync::Mutex::default(),
    }))
}

/// SQL workers, started for each question; they spill into a temporary folder of this process.
fn workers(trail: &Trail) -> Result<Workers, OpenStoreError> {
    let spill =
        tempfile::Builder::new().prefix("meshtrail-spill-").tempdir().map_err(OpenStoreError::Spill)?;
    let limits = Limits { keeps_one_ready: false, ..Limits::with_spill_folder(spill.path().to_owned()) };
    Ok(Workers::new(trail.clone(), limits).with_guard(spill))
}

/// A store opened for writing without a server.
pub struct WritableStore {
    router: Router,
    trail: Trail,
    recordings: Recordings,
}

/// Opens the store at `location` for writing, which locks its trail: beside a running server this fails.
pub async fn open_to_write(
    location: &str,
    data: &Path,
    trail: &str,
) -> Result<WritableStore, OpenStoreError> {
    let place: StoreLocation = location.parse().map_err(|error| OpenStoreError::Location {
        location: location.to_owned(),
        source: Box::new(error),
    })?;
    if crate::serve::demo::is_demo(data) {
        return Err(OpenStoreError::Demo { path: data.to_owned() });
    }
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| OpenStoreError::Store(error);
    let store =
        Store::open(&place, &WritePolicy::default()).await.map_err(|error| failed(Box::new(error)))?;
    let local = data.join("local");
    let opened = Trail::open(store.clone(), &local, TrailConfig::new(trail))
        .await
        .map_err(|source| OpenStoreError::Trail { name: trail.to_owned(), source: Box::new(source) })?;
    let nobody = Resolver::without_providers();
    let recordings =
        Recordings::open(store, &local, opened.clone(), nobody, RecordingConfig::default()).await;
    let recordings = recordings.map_err(|error| failed(Box::new(error)))?;
    let (history, late_identities) = (History::for_trail(trail), LateIdentities::default());
    load(&history, &late_identities, &opened, None).await.map_err(|error| failed(Box::new(error)))?;
    let state = state(StoreMode::Writable(history, late_identities), opened.clone(), recordings.clone())?;
    Ok(WritableStore { router: routes::router(state), trail: opened, recordings })
}

impl WritableStore {
    /// The API's routes.
    pub fn router(&self) -> &Router {
        &self.router
    }

    /// Closes the recordings, then the trail.
    pub async fn close(self) {
        drop(self.router);
        self.recordings.close().await;
        self.trail.close().await;
    }
}
