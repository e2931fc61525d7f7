//! The API over a store that is only read, for the command line without a server.
//!
//! Nothing is written and nothing is locked: safe beside a running server, and for a copy of a store. What is
//! looked at leaves no entry in the trail: whoever can read the files could read them anyhow.

use std::path::Path;
use std::sync::atomic::AtomicU64;

use axum::Router;
use meshtrail_event::Timestamp;
use meshtrail_identity::Resolver;
use meshtrail_recording::Recordings;
use meshtrail_trail::store::{Store, StoreLocation};
use meshtrail_trail::{OpenError, Trail, TrailConfig};
use tokio_util::sync::CancellationToken;

use crate::auth::Grants;
use crate::auth::links::Links;
use crate::auth::names::HostNames;
use crate::auth::secret::{NoRandomness, Secret};
use crate::auth::sessions::SignIns;
use crate::auth::tokens::{Tokens, TokensError};
use crate::diary::Diary;
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
    let state = AppState::new(Parts {
        sources: meshtrail_collect::sources::Sources::none(),
        trail: opened,
        trail_name: trail.to_owned(),
        banner: None,
        recordings,
        diary: Diary::Reading,
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
        refusals: std::sync::Mutex::default(),
    });
    Ok(routes::router(state))
}
