//! What every handler can reach: one cheap handle, made once at start.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use meshtrail_collect::sources::Sources;
use meshtrail_event::Timestamp;
use meshtrail_identity::{History, OwnNode, Resolver};
use meshtrail_listen::{Fold, Metrics};
use meshtrail_recording::Recordings;
use meshtrail_trail::Trail;
use meshtrail_worker::Workers;
use tokio_util::sync::CancellationToken;

use crate::auth::links::Links;
use crate::auth::names::HostNames;
use crate::auth::secret::NoRandomness;
use crate::auth::sessions::SignIns;
use crate::auth::tokens::Tokens;
use crate::auth::{Grants, Holder, Role, Secret, SecretHash, Via, Viewer};
use crate::counts::Summaries;
use crate::diary::Diary;
use crate::directory::Learned;
use crate::exports::Exports;

/// How many refused sign-ins of known people are written into the trail per [`REFUSALS_WINDOW`]; more go to the log
/// alone, so that nobody can fill a disk by pressing a button.
const MAX_REFUSALS: u32 = 20;

/// See [`MAX_REFUSALS`].
const REFUSALS_WINDOW: Duration = Duration::from_secs(60);

/// A cheap clone of the server's state.
#[derive(Clone)]
pub struct AppState(Arc<Parts>);

/// Who can ask at all.
pub enum Door {
    /// Whoever shows who they are, over HTTP.
    Guarded,
    /// Only this process, which reads the store's files itself: everything that is reading is open to it.
    Files,
}

/// What a state is made of.
pub struct Parts {
    /// The trail.
    pub trail: Trail,
    /// The trail's name.
    pub trail_name: String,
    /// What was counted once of each stretch of the trail.
    pub summaries: Summaries,
    /// What every page of the console says on top, such as that this is a demo.
    pub banner: Option<String>,
    /// How each source does.
    pub sources: Sources,
    /// Devices and people over time.
    pub history: History,
    /// What became known late of events' people.
    pub learned: Learned,
    /// Who answers questions in SQL.
    pub sql: Workers,
    /// Export jobs.
    pub exports: Exports,
    /// Pictures of who talks to whom, kept for a while.
    pub network: crate::network::Kept,
    /// The recordings.
    pub recordings: Recordings,
    /// Where what people do is written.
    pub diary: Diary,
    /// Who can ask at all.
    pub door: Door,
    /// Cancelled when the server stops: what streams without end then ends.
    pub stop: CancellationToken,
    /// Where the console is, as this machine's browsers reach it.
    pub local_url: String,
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
    /// What is counted for `/metrics`. Whoever has something to count makes a counter of it.
    pub metrics: Metrics,
    /// Lines of the log about requests that were refused.
    pub refused_requests: Fold,
    /// Refused sign-ins since the beginning of the window; never held across an await.
    pub refusals: Mutex<Option<(Instant, u32)>>,
}

impl AppState {
    /// The state made of `parts`.
    pub fn new(parts: Parts) -> AppState {
        AppState(Arc::new(parts))
    }

    /// The trail.
    pub fn trail(&self) -> &Trail {
        &self.0.trail
    }

    /// The trail's name.
    pub fn trail_name(&self) -> &str {
        &self.0.trail_name
    }

    /// Who answers questions in SQL.
    pub fn sql(&self) -> &Workers {
        &self.0.sql
    }

    /// Pictures of who talks to whom.
    pub fn network(&self) -> &crate::network::Kept {
        &self.0.network
    }

    /// Export jobs.
    pub fn exports(&self) -> &Exports {
        &self.0.exports
    }

    /// What became known late of events' people.
    pub fn learned(&self) -> &Learned {
        &self.0.learned
    }

    /// Devices and people over time.
    pub fn history(&self) -> &History {
        &self.0.history
    }

    /// How each source does.
    pub fn sources(&self) -> &Sources {
        &self.0.sources
    }

    /// What was counted once of each stretch of the trail.
    pub fn summaries(&self) -> &Summaries {
        &self.0.summaries
    }

    /// What every page of the console says on top.
    pub fn banner(&self) -> Option<&str> {
        self.0.banner.as_deref()
    }

    /// The recordings.
    pub fn recordings(&self) -> &Recordings {
        &self.0.recordings
    }

    /// Where what people do is written.
    pub fn diary(&self) -> &Diary {
        &self.0.diary
    }

    /// Cancelled when the server stops.
    pub fn stop(&self) -> &CancellationToken {
        &self.0.stop
    }

    /// The viewer that this process itself is, when it reads the store's files.
    pub fn reader(&self) -> Option<Viewer> {
        match self.0.door {
            Door::Guarded => None,
            Door::Files => {
                Some(Viewer { who: Holder::Local, role: Role::Admin, via: Via::Files, address: None })
            }
        }
    }

    /// A fresh one-time sign-in link for a browser on this machine.
    pub fn new_sign_in_link(&self, now: Instant) -> Result<String, NoRandomness> {
        let secret = self.0.links.make(now)?;
        Ok(format!("{}/sign-in/link?token={}", self.0.local_url, secret.reveal()))
    }

    /// Whether one more refused sign-in may be written into the trail.
    pub fn may_note_refusal(&self, now: Instant) -> bool {
        let mut refusals = self.0.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, count) = match *refusals {
            Some((since, count)) if now.duration_since(since) < REFUSALS_WINDOW => (since, count),
            _ => (now, 0),
        };
        *refusals = Some((since, count.saturating_add(1)));
        count < MAX_REFUSALS
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

    /// Whether browsers are answered under this name: an address, one of the configuration, or the node's own.
    pub fn answers_as(&self, host: &str) -> bool {
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

    /// What is counted for `/metrics`.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// Lines of the log about requests that were refused.
    pub fn refused_requests(&self) -> &Fold {
        &self.0.refused_requests
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
