//! Imports: recordings from elsewhere, such as tsrecorder's or a node's own session logs.
//!
//! - The bytes are stored unchanged. A single event records them, with their origin: the session was not witnessed
//!   here, so there is no start event and there are no marks.
//! - The same bytes are imported once, under whatever name, and not at all if they were recorded here.
//! - The actor is the header's claim, checked against the directory as of that time.

use std::{
    collections::{HashMap, hash_map::Entry},
    path::Path,
    sync::Arc,
};

use futures::StreamExt;
use meshtrail_event::{Device, Identity, IdentityStatus, SessionId, Timestamp};
use meshtrail_identity::{DeviceAsOf, History};

use super::{
    Recordings,
    cast_file::{self, CastFileError, CastSummary, StoreFileError},
};
use crate::{
    cast::Header,
    journal::{Closing, End, Opening},
    ledger::{LedgerError, SessionScan},
    session_identity::{SessionIdentity, claim_of},
    session_view::Session,
};

/// The size of the largest recording that can be imported, in bytes.
pub const MAX_IMPORT: u64 = 2 << 30;

/// A recording to import.
pub struct Import<'a> {
    /// A file with its bytes. Nobody may change the file during the import.
    pub file: &'a Path,
    /// Its origin, as its event records it.
    pub from: &'a str,
    /// The start by its name, for a header without a time.
    pub named_start: Option<Timestamp>,
    /// The id or the name of the node that recorded it, if its origin tells.
    pub node: Option<&'a str>,
    /// The directory over time.
    pub history: &'a History,
}

/// The result of an import.
#[derive(Debug, Clone, PartialEq)]
pub enum ImportOutcome {
    /// It was imported as this session.
    New(Box<Session>),
    /// This session has the same bytes.
    Existing(SessionId),
}

/// Why a recording was not imported.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ImportError {
    #[error(transparent)]
    CastFile(#[from] CastFileError),
    #[error("it is {bytes} bytes long, at most {MAX_IMPORT} are taken in")]
    TooLarge { bytes: u64 },
    #[error("failed to read the file")]
    Read(#[source] std::io::Error),
    #[error("nothing can be taken in here: recordings are only read")]
    ReadOnly,
    #[error("failed to keep it")]
    Store(#[from] StoreFileError),
    #[error("failed to write or read the trail")]
    Ledger(#[from] LedgerError),
}

/// Sessions by the SHA-256 of their bytes.
#[derive(Default)]
pub(super) struct DigestIndex {
    sessions: HashMap<[u8; 32], SessionId>,
    /// The events of the trail below this index were read.
    read_until: u64,
}

impl Recordings {
    /// The session whose bytes have this SHA-256, in hex.
    pub async fn find_by_sha256(&self, sha256: &str) -> Result<Option<SessionId>, LedgerError> {
        let mut index = self.inner.digests.lock().await;
        self.update_digests(&mut index).await?;
        Ok(parse_digest(sha256).and_then(|digest| index.sessions.get(&digest).cloned()))
    }

    /// Adds the sessions whose terminal events are new in the trail.
    async fn update_digests(&self, digests: &mut DigestIndex) -> Result<(), LedgerError> {
        let mut ends = self.ledger().sessions(SessionScan::default());
        let (down_to, mut newest) = (digests.read_until, digests.read_until);
        while let Some(row) = ends.next().await {
            let (index, event) = row?;
            if index < down_to {
                break;
            }
            newest = newest.max(index + 1);
            let ended = Session::from_terminal_event(&event);
            let named =
                ended.and_then(|session| Some((parse_digest(session.sha256.as_deref()?)?, session.id)));
            if let Some((digest, session)) = named
                && let Entry::Vacant(entry) = digests.sessions.entry(digest)
            {
                entry.insert(session);
            }
        }
        digests.read_until = newest;
        Ok(())
    }

    /// Imports a recording. Its event is durable when this returns. Imports run one at a time, so that none is stored
    /// twice.
    pub async fn import(&self, import: Import<'_>) -> Result<ImportOutcome, ImportError> {
        if self.inner.journal.is_none() {
            return Err(ImportError::ReadOnly);
        }
        let bytes = std::fs::metadata(import.file).map_err(ImportError::Read)?.len();
        if bytes > MAX_IMPORT {
            return Err(ImportError::TooLarge { bytes });
        }
        let file = import.file.to_owned();
        let cast = super::sealing::run_blocking(move || cast_file::read(&file))
            .await
            .map_err(ImportError::Read)??;
        let mut digests = self.inner.digests.clone().lock_owned().await;
        self.update_digests(&mut digests).await?;
        let digest = parse_digest(&cast.sha256);
        if let Some(session) = digest.and_then(|digest| digests.sessions.get(&digest)) {
            return Ok(ImportOutcome::Existing(session.clone()));
        }
        let started = start_time(&cast, &import).ok_or(CastFileError::NoStart)?;
        let id = self.new_session_id(started);
        let index_sha256 = self.store_file(&id, import.file.to_owned(), (cast.bytes, &cast.sha256)).await?;
        let mut identity = imported_identity(id.clone(), started, &cast, &import);
        identity.facts.index_sha256 = index_sha256;
        let closing = imported_closing(started, &cast);
        let draft = identity.terminal_event(&closing);
        let event = self.ledger().emit(draft.clone()).await?;
        digests.sessions.extend(digest.map(|digest| (digest, id)));
        let session = Session::from_terminal_event(&draft.into_event(event, Timestamp::now()));
        Ok(ImportOutcome::New(Box::new(session.expect("a terminal event describes its session"))))
    }
}

/// The digests. An import holds the lock until its event is durable.
pub(super) type SharedDigestIndex = Arc<tokio::sync::Mutex<DigestIndex>>;

fn parse_digest(sha256: &str) -> Option<[u8; 32]> {
    hex::decode(sha256).ok()?.try_into().ok()
}

fn start_time(cast: &CastSummary, import: &Import<'_>) -> Option<Timestamp> {
    cast.header.timestamp.and_then(Timestamp::from_seconds).or(import.named_start)
}

fn imported_closing(started: Timestamp, cast: &CastSummary) -> Closing {
    let (end, reason) = match cast.is_cut_off {
        false => (End::Ended, None),
        true => (End::Interrupted, Some("the file ends within a line".to_owned())),
    };
    Closing {
        end,
        reason,
        ended: started.after(cast.length),
        bytes: cast.bytes,
        sha256: Some(cast.sha256.clone()),
    }
}

fn imported_identity(
    session: SessionId,
    started: Timestamp,
    cast: &CastSummary,
    import: &Import<'_>,
) -> SessionIdentity {
    let opening = Opening { session, number: 0, started, peer: String::new(), protocol: String::new() };
    let mut identity = SessionIdentity::from_header(&opening, &cast.header, &cast.anomalies);
    identity.facts.peer = None;
    identity.facts.protocol = None;
    identity.facts.marks = Some(0);
    identity.facts.imported_from = Some(import.from.to_owned());
    check_claim(&mut identity, &cast.header, (import.history, started));
    if let Some(node) = import.node {
        let found = find_device(import.history, Some(node), Some(node), started);
        let device = found.map(|found| found.device().clone());
        let device =
            device.unwrap_or_else(|| Device { name: Some(node.to_owned()), ..Device::default() }.into());
        identity.facts.recorded_by.clone_from(&device.name);
        identity.target.device = Some(device);
    }
    identity
}

/// Checks the header's claim against the directory as of `time`.
fn check_claim(session: &mut SessionIdentity, header: &Header, (history, time): (&History, Timestamp)) {
    let claim = claim_of(header);
    let device = find_device(history, claim.node_id.as_deref(), claim.node.as_deref(), time);
    let Some(device) = device else {
        if session.identity.status == IdentityStatus::SelfReported {
            session.identity.reason = Some("the directory does not know the device at that time".to_owned());
        }
        return;
    };
    let owner = device.person().map(|person| person.login.to_lowercase());
    let claimed = claim.login.as_ref().map(|login| login.to_lowercase());
    session.actor = (**device.actor()).clone();
    let differs = claimed != owner && (claimed.is_some() || !claim.tags.is_empty());
    session.identity = match differs {
        false => device.identity(),
        true => Identity {
            reason: Some(format!(
                "the header disagrees: login: {} or {}",
                claimed.as_deref().unwrap_or("no person"),
                owner.as_deref().unwrap_or("no person")
            )),
            claimed: Some(claim),
            status: IdentityStatus::Conflicting,
            ..device.identity()
        },
    };
}

/// The device with this id as of `at`, else the only device with this name.
fn find_device(history: &History, id: Option<&str>, name: Option<&str>, at: Timestamp) -> Option<DeviceAsOf> {
    let by_id = id.and_then(|id| history.device(id, at));
    by_id.or_else(|| match history.devices_by_name(name?, at).as_slice() {
        [only] => Some(only.clone()),
        _ => None,
    })
}

#[cfg(test)]
#[path = "import_tests.rs"]
mod tests;
