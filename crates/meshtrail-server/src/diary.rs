//! What people and machines did with Meshtrail itself, in the trail before the answer goes out.
//!
//! - [`Diary::write`] returns once the event is durable; if it can't be written, the request is refused.
//! - An act is written before it is done; if doing it then fails, another entry says so.
//! - Somebody who reads the files of a store without a server leaves no trace: nobody could make them.

use meshtrail_event::{Detail, Draft, Kind, Outcome, Own, SessionId, Target, Timestamp};
use meshtrail_trail::Emitter;

use crate::auth::Viewer;
use crate::problem::Problem;

/// Where entries go.
pub enum Diary {
    /// Into the trail.
    Kept(Emitter),
    /// Nowhere: this process only reads a store.
    Reading,
}

/// One entry, but for who and when.
#[derive(Debug, Clone)]
pub struct Entry {
    /// What happened.
    pub kind: Kind,
    /// How it went.
    pub outcome: Outcome,
    /// The session it is about.
    pub session: Option<SessionId>,
    /// What else it is about.
    pub target: Target,
    /// The rest.
    pub own: Own,
}

impl Entry {
    /// An entry of `kind` about `what`.
    pub fn new(kind: Kind, what: &str) -> Entry {
        let own = Own { what: Some(what.to_owned()), ..Own::default() };
        Entry { kind, outcome: Outcome::Success, session: None, target: Target::default(), own }
    }

    /// About a session.
    #[must_use]
    pub fn of_session(mut self, session: &SessionId) -> Entry {
        self.session = Some(session.clone());
        self
    }

    /// About a thing of a type.
    #[must_use]
    pub fn of(mut self, of_type: &str, id: &str, name: &str) -> Entry {
        self.target = Target {
            of_type: Some(of_type.to_owned()),
            id: Some(id.to_owned()).filter(|id| !id.is_empty()),
            name: Some(name.to_owned()).filter(|name| !name.is_empty()),
            ..Target::default()
        };
        self
    }

    /// That did not come to be.
    #[must_use]
    pub fn with_outcome(mut self, outcome: Outcome) -> Entry {
        self.outcome = outcome;
        self
    }
}

impl Diary {
    /// Writes an entry about what `viewer` is about to be given or about to do; durable on return.
    pub async fn write(&self, viewer: &Viewer, entry: Entry) -> Result<(), Problem> {
        let Diary::Kept(emitter) = self else { return Ok(()) };
        let (actor, identity) = viewer.who.as_actor();
        let mut own = entry.own;
        own.address = viewer.address.map(|address| address.to_string());
        own.role = Some(viewer.role.name().to_owned());
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

    /// Writes an entry about this server itself.
    pub async fn write_own(&self, entry: Entry) -> Result<(), Problem> {
        let Diary::Kept(emitter) = self else { return Ok(()) };
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
    use crate::auth::{Holder, Role, Via};
    use meshtrail_trail::store::{Store, StoreLocation, WritePolicy};
    use meshtrail_trail::{Trail, TrailConfig};

    #[tokio::test]
    async fn what_cannot_be_written_down_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let location = StoreLocation::Folder(folder.path().to_owned());
        let store = Store::open(&location, &WritePolicy::default()).await.unwrap();
        let local = folder.path().join("local");
        let trail = Trail::open(store, &local, TrailConfig::new("main")).await.unwrap();
        let diary = Diary::Kept(trail.emitter("server"));
        let viewer = Viewer { who: Holder::Local, role: Role::Admin, via: Via::Token, address: None };
        let entry = Entry::new(Kind::MeshtrailExported, "recording");
        diary.write(&viewer, entry.clone()).await.unwrap();
        assert_eq!(trail.size(), 1, "it is durable when the request goes on");
        trail.clone().close().await;
        let refused = diary.write(&viewer, entry).await.unwrap_err();
        assert_eq!(refused.status, http::StatusCode::SERVICE_UNAVAILABLE);
    }
}
