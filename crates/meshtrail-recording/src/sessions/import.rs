//! Recordings from elsewhere, taken in: tsrecorder's, or a node's own session logs.
//!
//! - The bytes are kept as they are. The one event that tells of them says where they came from, for good: nobody here
//!   witnessed the session, there is no start event and there are no marks.
//! - The same bytes are taken in once, whatever they are called, and not at all where they were recorded here.
//! - Who it was is what the header says, held against the directory of that time.

use std::{
    collections::{HashMap, hash_map::Entry},
    path::Path,
    sync::Arc,
};

use futures::StreamExt;
use meshtrail_event::{Device, Identity, IdentityStatus, SessionId, Timestamp};
use meshtrail_identity::{History, Known};

use super::{
    Recordings,
    whole::{self, Damage, PlaceError, Read},
};
use crate::{
    journal::{Closing, End, Opening},
    ledger::{LedgerError, SessionScan},
    portrait::{Portrait, claim_of},
    session::Session,
};

/// The largest recording that is taken in.
pub const MAX_IMPORT: u64 = 2 << 30;

/// One recording to take in.
pub struct Import<'a> {
    /// A file with its bytes, which stays as it is while it is read.
    pub file: &'a Path,
    /// Where it came from, as it will stand in its event.
    pub from: &'a str,
    /// When it began, by its name; for headers that don't say.
    pub named_start: Option<Timestamp>,
    /// The node that recorded it, by id or name, where its place tells.
    pub node: Option<&'a str>,
    /// Who was who at that time.
    pub history: &'a History,
}

/// What became of one recording.
#[derive(Debug, Clone, PartialEq)]
pub enum Imported {
    /// It was taken in.
    New(Box<Session>),
    /// The same bytes are here, as this session.
    Known(SessionId),
}

/// Why a recording was not taken in.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file is no recording.
    #[error(transparent)]
    Damage(#[from] Damage),
    /// It is larger than is taken in.
    #[error("it is {bytes} bytes long, at most {MAX_IMPORT} are taken in")]
    TooLarge {
        /// How long it is.
        bytes: u64,
    },
    /// The file can't be read.
    #[error("failed to read the file")]
    Read(#[source] std::io::Error),
    /// Recordings are only read here.
    #[error("nothing can be taken in here: recordings are only read")]
    ReadOnly,
    /// It can't be put into the store.
    #[error("failed to keep it")]
    Place(#[from] PlaceError),
    /// The trail can't be read, or does not take its event.
    #[error("failed to write or read the trail")]
    Ledger(#[from] LedgerError),
}

/// Sessions by the SHA-256 of their bytes, as far as the trail was read.
#[derive(Default)]
pub(super) struct ByDigest {
    sessions: HashMap<[u8; 32], SessionId>,
    read_to: u64,
}

impl Recordings {
    /// The session that has exactly these bytes, by their SHA-256 in hex.
    pub async fn with_bytes(&self, sha256: &str) -> Result<Option<SessionId>, LedgerError> {
        let mut known = self.inner.by_digest.lock().await;
        self.read_digests(&mut known).await?;
        Ok(digest(sha256).and_then(|digest| known.sessions.get(&digest).cloned()))
    }

    async fn read_digests(&self, known: &mut ByDigest) -> Result<(), LedgerError> {
        let mut ends = self.ledger().sessions(SessionScan::default());
        let (down_to, mut newest) = (known.read_to, known.read_to);
        while let Some(row) = ends.next().await {
            let (index, event) = row?;
            if index < down_to {
                break;
            }
            newest = newest.max(index + 1);
            let ended = Session::of_end(&event);
            let named = ended.and_then(|session| Some((digest(session.sha256.as_deref()?)?, session.id)));
            if let Some((digest, session)) = named
                && let Entry::Vacant(place) = known.sessions.entry(digest)
            {
                place.insert(session);
            }
        }
        known.read_to = newest;
        Ok(())
    }

    /// Takes a recording in; its event is durable when this returns. One at a time, so that none comes in twice.
    pub async fn import(&self, import: Import<'_>) -> Result<Imported, ImportError> {
        if self.inner.journal.is_none() {
            return Err(ImportError::ReadOnly);
        }
        let bytes = std::fs::metadata(import.file).map_err(ImportError::Read)?.len();
        if bytes > MAX_IMPORT {
            return Err(ImportError::TooLarge { bytes });
        }
        let file = import.file.to_owned();
        let read = super::finish::blocking(move || whole::read(&file)).await.map_err(ImportError::Read)??;
        let mut known = self.inner.by_digest.clone().lock_owned().await;
        self.read_digests(&mut known).await?;
        let digest = digest(&read.sha256);
        if let Some(session) = digest.and_then(|digest| known.sessions.get(&digest)) {
            return Ok(Imported::Known(session.clone()));
        }
        let started = started(&read, &import).ok_or(Damage::NoStart)?;
        let id = self.name_session(started);
        let index_sha256 = self.place(&id, import.file.to_owned(), (read.bytes, &read.sha256)).await?;
        let mut portrait = portrait(id.clone(), started, &read, &import);
        portrait.facts.index_sha256 = index_sha256;
        let closing = closing(started, &read);
        let draft = portrait.ended(&closing);
        let event = self.ledger().emit(draft.clone()).await?;
        known.sessions.extend(digest.map(|digest| (digest, id)));
        let session = Session::of_end(&draft.into_event(event, Timestamp::now()));
        Ok(Imported::New(Box::new(session.expect("the event that ends a session tells of it"))))
    }
}

/// What the map of digests is kept in.
pub(super) type Digests = Arc<tokio::sync::Mutex<ByDigest>>;

fn digest(sha256: &str) -> Option<[u8; 32]> {
    hex::decode(sha256).ok()?.try_into().ok()
}

fn started(read: &Read, import: &Import<'_>) -> Option<Timestamp> {
    read.header.timestamp.and_then(Timestamp::from_seconds).or(import.named_start)
}

fn closing(started: Timestamp, read: &Read) -> Closing {
    let (end, reason) = match read.cut {
        false => (End::Ended, None),
        true => (End::Interrupted, Some("the file ends within a line".to_owned())),
    };
    Closing {
        end,
        reason,
        ended: started.after(read.length),
        bytes: read.bytes,
        sha256: Some(read.sha256.clone()),
    }
}

fn portrait(session: SessionId, started: Timestamp, read: &Read, import: &Import<'_>) -> Portrait {
    let opening = Opening { session, number: 0, started, peer: String::new(), protocol: String::new() };
    let mut portrait = Portrait::claimed(&opening, &read.header, &read.anomalies);
    portrait.facts.peer = None;
    portrait.facts.protocol = None;
    portrait.facts.marks = Some(0);
    portrait.facts.imported_from = Some(import.from.to_owned());
    hold_against(&mut portrait, read, (import.history, started));
    if let Some(node) = import.node {
        let known = find(import.history, Some(node), Some(node), started);
        let device = known.map(|known| known.device().clone());
        let device =
            device.unwrap_or_else(|| Device { name: Some(node.to_owned()), ..Device::default() }.into());
        portrait.facts.recorded_by.clone_from(&device.name);
        portrait.target.device = Some(device);
    }
    portrait
}

/// Holds what the header claims against the directory of that time.
fn hold_against(portrait: &mut Portrait, read: &Read, (history, at): (&History, Timestamp)) {
    let claim = claim_of(&read.header);
    let known = find(history, claim.node_id.as_deref(), claim.node.as_deref(), at);
    let Some(known) = known else {
        if portrait.identity.status == IdentityStatus::SelfReported {
            portrait.identity.reason = Some("the directory does not know the device at that time".to_owned());
        }
        return;
    };
    let theirs = known.person().map(|person| person.login.to_lowercase());
    let claimed = claim.login.as_ref().map(|login| login.to_lowercase());
    portrait.actor = (**known.actor()).clone();
    let differs = claimed != theirs && (claimed.is_some() || !claim.tags.is_empty());
    portrait.identity = match differs {
        false => known.identity(),
        true => Identity {
            reason: Some(format!(
                "the header disagrees: login: {} or {}",
                claimed.as_deref().unwrap_or("no person"),
                theirs.as_deref().unwrap_or("no person")
            )),
            claimed: Some(claim),
            status: IdentityStatus::Conflicting,
            ..known.identity()
        },
    };
}

/// The device with this id at that time, else the only one with this name.
fn find(history: &History, id: Option<&str>, name: Option<&str>, at: Timestamp) -> Option<Known> {
    let by_id = id.and_then(|id| history.device(id, at));
    by_id.or_else(|| match history.named(name?, at).as_slice() {
        [only] => Some(only.clone()),
        _ => None,
    })
}

#[cfg(test)]
#[path = "import_tests.rs"]
mod tests;
