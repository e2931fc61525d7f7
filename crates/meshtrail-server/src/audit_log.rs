//! The audit log: events about uses of Meshtrail itself, written to the trail before the response is sent.
//!
//! - [`AuditLog::write`] returns once the event is durable; if it can't be written, the request is refused.
//! - The entry is written before the action; if the action then fails, a second entry records the failure.
//! - Reading the files of a store without a server leaves no entry: nothing could enforce one.

use meshtrail_event::{Detail, Draft, Kind, Outcome, Own, SessionId, Target, Timestamp};
use meshtrail_trail::Emitter;

use crate::auth::Caller;
use crate::problem::Problem;

/// The longest query that is written in full, in bytes.
const MAX_QUERY: usize = 8 << 10;

/// Where entries are written; cheap to clone.
#[derive(Clone)]
pub enum AuditLog {
    Trail(Emitter),
    /// No entries: this process only reads a store.
    Disabled,
}

/// One entry, without its actor and time.
#[derive(Debug, Clone)]
pub struct Entry {
    pub kind: Kind,
    pub outcome: Outcome,
    pub session: Option<SessionId>,
    pub target: Target,
    /// The other details.
    pub own: Own,
}

impl Entry {
    /// A successful entry of `kind`; `what` goes into its details.
    pub fn new(kind: Kind, what: &str) -> Entry {
        let own = Own { what: Some(what.to_owned()), ..Own::default() };
        Entry { kind, outcome: Outcome::Success, session: None, target: Target::default(), own }
    }

    #[must_use]
    pub fn with_session(mut self, session: &SessionId) -> Entry {
        self.session = Some(session.clone());
        self
    }

    /// Sets the target; empty texts are left out.
    #[must_use]
    pub fn with_target(mut self, of_type: &str, id: &str, name: &str) -> Entry {
        self.target = Target {
            of_type: Some(of_type.to_owned()),
            id: Some(id.to_owned()).filter(|id| !id.is_empty()),
            name: Some(name.to_owned()).filter(|name| !name.is_empty()),
            ..Target::default()
        };
        self
    }

    /// Sets the message to a query: in full, or truncated with its length.
    #[must_use]
    pub fn with_query(mut self, query: &str) -> Entry {
        self.own.message = Some(truncate_query(query));
        self
    }

    #[must_use]
    pub fn with_outcome(mut self, outcome: Outcome) -> Entry {
        self.outcome = outcome;
        self
    }
}

fn truncate_query(query: &str) -> String {
    if query.len() <= MAX_QUERY {
        return query.to_owned();
    }
    format!("{}… ({} bytes in all)", &query[..query.floor_char_boundary(MAX_QUERY)], query.len())
}

impl AuditLog {
    /// Writes an entry about what `caller` is about to see or do; durable on return.
    pub async fn write(&self, caller: &Caller, entry: Entry) -> Result<(), Problem> {
        let AuditLog::Trail(emitter) = self else { return Ok(()) };
        let (actor, identity) = caller.who.as_actor();
        let mut own = entry.own;
        own.address = caller.address.map(|address| address.to_string());
        own.role = Some(caller.role.name().to_owned());
        let draft = Draft {
            actor,
            identity,
            outcome: entry.outcome,
            session: entry.session,
            target: entry.target,
            detail: Some(Detail::Own(Box::new(own))),
            ..Draft::new(entry.kind, Timestamp::now())
        };
        self.emit(emitter, draft).await
    }

    /// Writes an entry about this server itself, without an actor; durable on return.
    pub async fn write_for_server(&self, entry: Entry) -> Result<(), Problem> {
        let AuditLog::Trail(emitter) = self else { return Ok(()) };
        let draft = Draft {
            outcome: entry.outcome,
            session: entry.session,
            target: entry.target,
            detail: Some(Detail::Own(Box::new(entry.own))),
            ..Draft::new(entry.kind, Timestamp::now())
        };
        self.emit(emitter, draft).await
    }

    async fn emit(&self, emitter: &Emitter, draft: Draft) -> Result<(), Problem> {
        match emitter.emit(draft).await {
            Ok(_) => Ok(()),
            Err(error) => Err(Problem::unavailable(
                "this must be written into the trail first, and the trail takes nothing now; try again later",
            )
            .because(&error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{AuthMethod, Principal, Role};
    use meshtrail_trail::store::{Store, StoreLocation, WritePolicy};
    use meshtrail_trail::{Trail, TrailConfig};

    #[tokio::test]
    async fn what_cannot_be_written_down_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let location = StoreLocation::Folder(folder.path().to_owned());
        let store = Store::open(&location, &WritePolicy::default()).await.unwrap();
        let local = folder.path().join("local");
        let trail = Trail::open(store, &local, TrailConfig::new("main")).await.unwrap();
        let audit_log = AuditLog::Trail(trail.emitter("server"));
        let caller = Caller {
            who: Principal::Local,
            role: Role::Admin,
            auth_method: AuthMethod::Token,
            address: None,
        };
        let entry = Entry::new(Kind::MeshtrailExported, "recording");
        audit_log.write(&caller, entry.clone()).await.unwrap();
        assert_eq!(trail.size(), 1, "it is durable when the request goes on");
        trail.clone().close().await;
        let refused = audit_log.write(&caller, entry).await.unwrap_err();
        assert_eq!(refused.status, http::StatusCode::SERVICE_UNAVAILABLE);
    }
}
