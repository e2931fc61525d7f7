//! What every handler can reach: one cheap handle, made once at start.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use meshtrail_event::Timestamp;
use meshtrail_identity::Resolver;

use crate::auth::links::Links;
use crate::auth::names::HostNames;
use crate::auth::sessions::SignIns;
use crate::auth::tokens::Tokens;
use crate::auth::{Grants, Holder, Role, Secret, SecretHash};

/// A cheap clone of the server's state.
#[derive(Clone)]
pub struct AppState(Arc<Parts>);

/// What a state is made of.
pub struct Parts {
    /// Who is behind an address.
    pub resolver: Resolver,
    /// API tokens.
    pub tokens: Tokens,
    /// The hash of the admin token that lies in the state folder.
    pub admin_token: SecretHash,
    /// Who has which role after a tailnet sign-in.
    pub grants: Grants,
    /// The names under which browsers are answered.
    pub host_names: HostNames,
    /// When this server started.
    pub started: Timestamp,
    /// Browsers that are signed in.
    pub sign_ins: SignIns,
    /// One-time sign-in links that wait to be used.
    pub links: Links,
    /// The how-manyth request this is.
    pub requests: AtomicU64,
}

impl AppState {
    /// The state made of `parts`.
    pub fn new(parts: Parts) -> AppState {
        AppState(Arc::new(parts))
    }

    /// Who is behind an address.
    pub fn resolver(&self) -> &Resolver {
        &self.0.resolver
    }

    /// API tokens.
    pub fn tokens(&self) -> &Tokens {
        &self.0.tokens
    }

    /// Browsers that are signed in.
    pub fn sign_ins(&self) -> &SignIns {
        &self.0.sign_ins
    }

    /// One-time sign-in links.
    pub fn links(&self) -> &Links {
        &self.0.links
    }

    /// Who has which role after a tailnet sign-in.
    pub fn grants(&self) -> &Grants {
        &self.0.grants
    }

    /// The names under which browsers are answered.
    pub fn host_names(&self) -> &HostNames {
        &self.0.host_names
    }

    /// When this server started.
    pub fn started(&self) -> Timestamp {
        self.0.started
    }

    /// Whose API token this is: that of the state folder, or one of the list.
    pub fn token_holder(&self, secret: &Secret, now: Timestamp) -> Option<(Holder, Role)> {
        if secret.hash() == self.0.admin_token {
            return Some((Holder::Local, Role::Admin));
        }
        self.0.tokens.find(secret, now)
    }

    /// An id for a request: unique among the servers of a store by the start it is counted from.
    pub fn next_request_id(&self) -> String {
        let count = self.0.requests.fetch_add(1, Ordering::Relaxed);
        format!("r{:x}-{count}", self.0.started.as_nanos() / 1_000_000)
    }
}
