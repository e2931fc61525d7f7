//! Recordings of a demo: fictional, but with the same store, index and events as real ones.
//!
//! The sessions' times are the story's times, the events' receive times are real. Only a trail named [`DEMO_TRAIL`]
//! accepts such recordings. The trail's name is part of each session's and each event's id, so that none is taken for a
//! real one.

use std::{io, time::Duration};

use meshtrail_event::{
    Actor, Detail, Draft, EventId, Identity, Kind, Mark, SessionFacts, SessionId, Target, Timestamp,
};
use sha2::{Digest, Sha256};

use super::{Recordings, cast_file::StoreFileError};
use crate::{
    cast::{Anomalies, Header, HeaderError},
    journal::{Closing, End, Opening},
    ledger::LedgerError,
    session_identity::SessionIdentity,
};

/// The name of the trails of demos.
pub const DEMO_TRAIL: &str = "demo";

/// The least time between two marks of a session, and the largest number of marks.
const MARKS: (Duration, usize) = (Duration::from_secs(20), 5);

/// A fictional session.
pub struct DemoSession<'a> {
    /// The start.
    pub started: Timestamp,
    /// The end.
    pub ended: Timestamp,
    /// The recording's bytes.
    pub cast: &'a [u8],
    /// Who opened it.
    pub actor: Actor,
    /// The source and the status of the actor's identity.
    pub identity: Identity,
    /// The target it was opened on.
    pub target: Target,
    /// `address:port` of the node that recorded.
    pub peer: String,
    /// The node that recorded, by its full name.
    pub recorded_by: Option<String>,
    /// Why it was interrupted, if it was.
    pub cut_off: Option<String>,
}

/// A fictional session whose bytes are in the store, but whose events are not appended yet.
pub struct StoredDemoSession {
    identity: SessionIdentity,
    closing: Closing,
    marks: Vec<(Timestamp, Mark)>,
    index_sha256: Option<String>,
}

/// Why a demo's recording can't be stored.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum DemoSessionError {
    #[error("made-up recordings go into a trail named {DEMO_TRAIL:?} only")]
    NotADemo,
    #[error("the made-up recording has no header")]
    Header(#[from] HeaderError),
    /// The temporary file can't be written.
    #[error("failed to write the made-up recording")]
    Scratch(#[source] io::Error),
    #[error("failed to keep the made-up recording")]
    Store(#[from] StoreFileError),
    #[error("failed to tell of the made-up recording")]
    Ledger(#[from] LedgerError),
}

impl Recordings {
    /// Stores a fictional session's bytes. Its events are appended by [`Recordings::start_demo`] and
    /// [`Recordings::end_demo`].
    pub async fn store_demo(&self, demo: DemoSession<'_>) -> Result<StoredDemoSession, DemoSessionError> {
        if self.ledger().trail() != DEMO_TRAIL {
            return Err(DemoSessionError::NotADemo);
        }
        let line = demo.cast.split(|&byte| byte == b'\n').next().unwrap_or_default();
        let header = Header::parse(line, &mut Anomalies::default())?;
        let session = self.new_session_id(demo.started);
        let sha256 = hex::encode(Sha256::digest(demo.cast));
        let file = self.inner.local.join(format!("spool/{session}.staged"));
        std::fs::write(&file, demo.cast).map_err(DemoSessionError::Scratch)?;
        let stored = self.store_file(&session, file.clone(), (demo.cast.len() as u64, &sha256)).await;
        std::fs::remove_file(&file).map_err(DemoSessionError::Scratch)?;
        let index_sha256 = stored?;
        Ok(StoredDemoSession { index_sha256, ..stored_session(session, demo, &header, sha256) })
    }

    /// Appends the start event.
    pub async fn start_demo(&self, session: &mut StoredDemoSession) -> Result<SessionId, DemoSessionError> {
        let id = self.ledger().emit(session.identity.start_event()).await?;
        session.identity.set_marks(session.marks.len() as u64, Some(id));
        Ok(session.identity.session.clone())
    }

    /// Appends the marks and the terminal event.
    pub async fn end_demo(&self, session: StoredDemoSession) -> Result<EventId, DemoSessionError> {
        let StoredDemoSession { mut identity, closing, marks, index_sha256 } = session;
        identity.facts.index_sha256 = index_sha256;
        for (time, mark) in marks {
            let draft = Draft {
                detail: Some(Detail::Mark(mark)),
                session: Some(identity.session.clone()),
                ..Draft::new(Kind::RecordingMark, time)
            };
            self.ledger().emit(draft).await?;
        }
        Ok(self.ledger().emit(identity.terminal_event(&closing)).await?)
    }
}

fn stored_session(
    session: SessionId,
    demo: DemoSession<'_>,
    header: &Header,
    sha256: String,
) -> StoredDemoSession {
    let DemoSession { started, ended, cast, actor, identity, target, peer, recorded_by, cut_off } = demo;
    let opening = Opening { session, number: 0, started, peer, protocol: "v2".to_owned() };
    let from_header = SessionIdentity::from_header(&opening, header, &Anomalies::default());
    let facts = SessionFacts { recorded_by, ..from_header.facts };
    let identity = SessionIdentity { actor, identity, target, facts, ..from_header };
    let closing = Closing {
        end: if cut_off.is_some() { End::Interrupted } else { End::Ended },
        reason: cut_off,
        ended,
        bytes: cast.len() as u64,
        sha256: Some(sha256),
    };
    StoredDemoSession {
        identity,
        closing,
        index_sha256: None,
        marks: marks(started, ended.since(started), cast),
    }
}

/// Marks at about equal distances, each at the end of a line.
fn marks(started: Timestamp, length: Duration, cast: &[u8]) -> Vec<(Timestamp, Mark)> {
    let count = usize::try_from(length.as_secs() / MARKS.0.as_secs()).unwrap_or(MARKS.1).min(MARKS.1);
    let mut marks = Vec::new();
    for number in 1..=count {
        let near = cast.len() * number / (count + 1);
        let end = cast[near..].iter().position(|&byte| byte == b'\n').map_or(cast.len(), |at| near + at + 1);
        let sha256 = Some(hex::encode(Sha256::digest(&cast[..end])));
        let part = u32::try_from(number).unwrap_or(1);
        let time = started.after(length * part / u32::try_from(count + 1).unwrap_or(2));
        marks.push((time, Mark { bytes: Some(end as u64), sha256 }));
    }
    marks
}
