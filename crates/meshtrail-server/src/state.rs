//! The application state that every handler shares; built once at start.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::FromRef;
use meshtrail_collect::sources::Sources;
use meshtrail_event::Timestamp;
use meshtrail_identity::{History, OwnNode, Resolver};
use meshtrail_listen::{LogThrottle, Metrics};
use meshtrail_recording::Recordings;
use meshtrail_trail::Trail;
use meshtrail_views::network::TrafficCache;
use meshtrail_views::policy::PolicyCache;
use meshtrail_worker::Workers;
use tokio_util::sync::CancellationToken;

use crate::audit_log::AuditLog;
use crate::auth::host_names::HostNames;
use crate::auth::links::SignInLinks;
use crate::auth::secret::NoRandomness;
use crate::auth::sign_ins::SignIns;
use crate::auth::tokens::Tokens;
use crate::auth::{AuthMethod, Caller, Grants, Principal, Role, Secret, SecretHash};
use crate::counts::Summaries;
use crate::directory::LateIdentities;
use crate::exports::{ExportParts, Exports};

/// How many refused sign-ins of known people are written to the trail per [`REFUSALS_WINDOW`]; further ones are only
/// logged, so that repeated attempts can't fill the disk.
const MAX_REFUSALS: u32 = 20;

/// See [`MAX_REFUSALS`].
const REFUSALS_WINDOW: Duration = Duration::from_secs(60);

/// A handle to the server's state, cheap to clone.
#[derive(Clone)]
pub struct AppState(Arc<AppParts>);

/// Who can send requests.
pub enum Access {
    /// Authenticated callers over HTTP.
    Authenticated,
    /// Only this process, which reads the store's files itself; it may read everything.
    LocalFiles,
}

/// The parts of an [`AppState`].
pub struct AppParts {
    pub trail: Trail,
    pub summaries: Summaries,
    /// A line at the top of every console page; set for a demo.
    pub banner: Option<String>,
    pub sources: Sources,
    /// Devices and people over time.
    pub history: History,
    /// Identities that were learned after their events were written.
    pub late_identities: LateIdentities,
    /// The SQL workers.
    pub sql: Workers,
    pub exports: Exports,
    /// Cached traffic matrices of the network page.
    pub traffic_cache: TrafficCache,
    /// The compiled policy.
    pub policies: PolicyCache,
    pub recordings: Recordings,
    pub audit_log: AuditLog,
    pub access: Access,
    /// Cancelled when the server stops; unbounded streams end then.
    pub stop: CancellationToken,
    /// The URL of the console for browsers on this machine.
    pub local_url: String,
    /// Maps addresses to identities.
    pub resolver: Resolver,
    pub tokens: Tokens,
    /// The hash of the admin token in the state folder.
    pub admin_token: SecretHash,
    /// Roles for tailnet identities.
    pub grants: Grants,
    /// The host names that browsers may use.
    pub host_names: HostNames,
    pub started: Timestamp,
    pub sign_ins: SignIns,
    pub links: SignInLinks,
    /// Request counter.
    pub requests: AtomicU64,
    /// The metrics served at `/metrics`.
    pub metrics: Metrics,
    /// Limits the log lines about refused requests.
    pub refused_requests: LogThrottle,
    /// Start of the current window and refused sign-ins in it; never held across an await.
    pub refusals: Mutex<Option<(Instant, u32)>>,
}

impl AppState {
    pub fn new(parts: AppParts) -> AppState {
        AppState(Arc::new(parts))
    }

    pub fn trail(&self) -> &Trail {
        &self.0.trail
    }

    pub fn sql(&self) -> &Workers {
        &self.0.sql
    }

    /// Cached traffic matrices of the network page.
    pub fn traffic_cache(&self) -> &TrafficCache {
        &self.0.traffic_cache
    }

    /// The compiled policy.
    pub fn policies(&self) -> &PolicyCache {
        &self.0.policies
    }

    pub fn exports(&self) -> &Exports {
        &self.0.exports
    }

    pub fn late_identities(&self) -> &LateIdentities {
        &self.0.late_identities
    }

    pub fn history(&self) -> &History {
        &self.0.history
    }

    pub fn sources(&self) -> &Sources {
        &self.0.sources
    }

    pub fn summaries(&self) -> &Summaries {
        &self.0.summaries
    }

    pub fn banner(&self) -> Option<&str> {
        self.0.banner.as_deref()
    }

    pub fn recordings(&self) -> &Recordings {
        &self.0.recordings
    }

    pub fn audit_log(&self) -> &AuditLog {
        &self.0.audit_log
    }

    /// Cancelled when the server stops.
    pub fn stop(&self) -> &CancellationToken {
        &self.0.stop
    }

    /// The caller that stands for this process when it reads the store's files itself.
    pub fn local_caller(&self) -> Option<Caller> {
        match self.0.access {
            Access::Authenticated => None,
            Access::LocalFiles => Some(Caller {
                who: Principal::Local,
                role: Role::Admin,
                auth_method: AuthMethod::LocalFiles,
                address: None,
            }),
        }
    }

    /// Issues a one-time sign-in link for a browser on this machine.
    pub fn new_sign_in_link(&self, now: Instant) -> Result<String, NoRandomness> {
        let secret = self.0.links.issue(now)?;
        Ok(format!("{}/sign-in/link?token={}", self.0.local_url, secret.reveal()))
    }

    /// Whether one more refused sign-in may be written to the trail; counts it.
    pub fn may_record_refusal(&self, now: Instant) -> bool {
        let mut refusals = self.0.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, count) = match *refusals {
            Some((since, count)) if now.duration_since(since) < REFUSALS_WINDOW => (since, count),
            _ => (now, 0),
        };
        *refusals = Some((since, count.saturating_add(1)));
        count < MAX_REFUSALS
    }

    pub fn resolver(&self) -> &Resolver {
        &self.0.resolver
    }

    pub fn tokens(&self) -> &Tokens {
        &self.0.tokens
    }

    pub fn sign_ins(&self) -> &SignIns {
        &self.0.sign_ins
    }

    pub fn links(&self) -> &SignInLinks {
        &self.0.links
    }

    pub fn grants(&self) -> &Grants {
        &self.0.grants
    }

    /// Whether browsers may use this host name: an address, a name from the configuration, or the node's own name.
    pub fn serves_host(&self, host: &str) -> bool {
        if self.0.host_names.allows(host) {
            return true;
        }
        match &*self.0.resolver.own_node().borrow() {
            OwnNode::Running { name: Some(name), .. } => {
                let short = name.split('.').next().unwrap_or(name);
                HostNames::new([name.clone(), short.to_owned()]).allows(host)
            }
            _ => false,
        }
    }

    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    pub fn refused_requests(&self) -> &LogThrottle {
        &self.0.refused_requests
    }

    pub fn started(&self) -> Timestamp {
        self.0.started
    }

    /// The principal and role of an API token: the admin token of the state folder, or one of the list.
    pub fn authenticate_token(&self, secret: &Secret, now: Timestamp) -> Option<(Principal, Role)> {
        if secret.hash() == self.0.admin_token {
            return Some((Principal::Local, Role::Admin));
        }
        self.0.tokens.find(secret, now)
    }

    /// The id of the next request: unique among the servers of a store, since it contains the start time.
    pub fn next_request_id(&self) -> String {
        let count = self.0.requests.fetch_add(1, Ordering::Relaxed);
        format!("r{:x}-{count}", self.0.started.as_nanos() / 1_000_000)
    }
}

/// Parts that a handler can take in place of the whole state: `State<Trail>`.
macro_rules! part {
    ($($part:ident: $type:ty),+ $(,)?) => {
        $(impl FromRef<AppState> for $type {
            fn from_ref(state: &AppState) -> $type {
                state.0.$part.clone()
            }
        })+
    };
}

part! {
    trail: Trail,
    sources: Sources,
    history: History,
    late_identities: LateIdentities,
    summaries: Summaries,
    sql: Workers,
    exports: Exports,
    recordings: Recordings,
    audit_log: AuditLog,
    stop: CancellationToken,
}

impl FromRef<AppState> for ExportParts {
    fn from_ref(state: &AppState) -> ExportParts {
        ExportParts {
            trail: state.0.trail.clone(),
            sql: state.0.sql.clone(),
            audit_log: state.0.audit_log.clone(),
            stop: state.0.stop.clone(),
        }
    }
}
