//! Recordings that are made up, for a demonstration: through the same store, index and events as real ones.
//!
//! Times are those of the story, receipts are real. That none of it can be taken for a record of anything is in every
//! name: only a trail called [`STAGE`] takes them, and its name is part of each session's and event's.

use std::{io, time::Duration};

use meshtrail_event::{
    Actor, Detail, Draft, EventId, Identity, Kind, Mark, SessionFacts, SessionId, Target, Timestamp,
};
use sha2::{Digest, Sha256};

use super::{Recordings, whole::PlaceError};
use crate::{
    cast::{Anomalies, Header, HeaderError},
    journal::{Closing, End, Opening},
    ledger::LedgerError,
    portrait::Portrait,
};

/// The name of trails whose contents are made up.
pub const STAGE: &str = "demo";

/// How much of a story's time lies between two marks at least, and how many there are at most.
const MARKS: (Duration, usize) = (Duration::from_secs(20), 5);

/// A session as a story tells it.
pub struct Staging<'a> {
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// Its bytes.
    pub cast: &'a [u8],
    /// Who was in it.
    pub actor: Actor,
    /// How that is known.
    pub identity: Identity,
    /// Where it was.
    pub target: Target,
    /// `address:port` of the node that recorded.
    pub peer: String,
    /// The node that recorded, by its full name.
    pub recorded_by: Option<String>,
    /// Why it stopped short, where it did.
    pub cut_off: Option<String>,
}

/// A session whose bytes are in the store, and of which nothing was told yet.
pub struct Staged {
    portrait: Portrait,
    closing: Closing,
    marks: Vec<(Timestamp, Mark)>,
    index_sha256: Option<String>,
}

/// Why a session can't be staged.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The trail is a real one.
    #[error("made-up recordings go into a trail named {STAGE:?} only")]
    NotAStage,
    /// The header is none.
    #[error("the made-up recording has no header")]
    Header(#[from] HeaderError),
    /// The bytes can't be put down.
    #[error("failed to write the made-up recording")]
    Scratch(#[source] io::Error),
    /// The bytes can't be kept.
    #[error("failed to keep the made-up recording")]
    Place(#[from] PlaceError),
    /// The trail does not take its events.
    #[error("failed to tell of the made-up recording")]
    Ledger(#[from] LedgerError),
}

impl Recordings {
    /// Keeps a made-up session's bytes. Nothing is told of it before [`Recordings::tell_start`].
    pub async fn stage(&self, staging: Staging<'_>) -> Result<Staged, StageError> {
        if self.ledger().trail() != STAGE {
            return Err(StageError::NotAStage);
        }
        let line = staging.cast.split(|&byte| byte == b'\n').next().unwrap_or_default();
        let header = Header::parse(line, &mut Anomalies::default())?;
        let session = self.name_session(staging.started);
        let sha256 = hex::encode(Sha256::digest(staging.cast));
        let file = self.inner.local.join(format!("spool/{session}.staged"));
        std::fs::write(&file, staging.cast).map_err(StageError::Scratch)?;
        let placed = self.place(&session, file.clone(), (staging.cast.len() as u64, &sha256)).await;
        std::fs::remove_file(&file).map_err(StageError::Scratch)?;
        let index_sha256 = placed?;
        Ok(Staged { index_sha256, ..staged(session, staging, &header, sha256) })
    }

    /// Tells that a staged session began.
    pub async fn tell_start(&self, staged: &mut Staged) -> Result<SessionId, StageError> {
        let id = self.ledger().emit(staged.portrait.started()).await?;
        staged.portrait.count(staged.marks.len() as u64, Some(id));
        Ok(staged.portrait.session.clone())
    }

    /// Tells its marks, and that it ended.
    pub async fn tell_end(&self, staged: Staged) -> Result<EventId, StageError> {
        let Staged { mut portrait, closing, marks, index_sha256 } = staged;
        portrait.facts.index_sha256 = index_sha256;
        for (time, mark) in marks {
            let draft = Draft {
                detail: Some(Detail::Mark(mark)),
                session: Some(portrait.session.clone()),
                ..Draft::new(Kind::RecordingMark, time)
            };
            self.ledger().emit(draft).await?;
        }
        Ok(self.ledger().emit(portrait.ended(&closing)).await?)
    }
}

fn staged(session: SessionId, staging: Staging<'_>, header: &Header, sha256: String) -> Staged {
    let Staging { started, ended, cast, actor, identity, target, peer, recorded_by, cut_off } = staging;
    let opening = Opening { session, number: 0, started, peer, protocol: "v2".to_owned() };
    let portrait = Portrait::claimed(&opening, header, &Anomalies::default());
    let facts = SessionFacts { recorded_by, ..portrait.facts };
    let portrait = Portrait { actor, identity, target, facts, ..portrait };
    let closing = Closing {
        end: if cut_off.is_some() { End::Interrupted } else { End::Ended },
        reason: cut_off,
        ended,
        bytes: cast.len() as u64,
        sha256: Some(sha256),
    };
    Staged { portrait, closing, index_sha256: None, marks: marks(started, ended.since(started), cast) }
}

/// Marks at even distances, each at the end of a line.
fn marks(started: Timestamp, length: Duration, cast: &[u8]) -> Vec<(Timestamp, Mark)> {
    let wanted = usize::try_from(length.as_secs() / MARKS.0.as_secs()).unwrap_or(MARKS.1).min(MARKS.1);
    let mut found = Vec::new();
    for number in 1..=wanted {
        let near = cast.len() * number / (wanted + 1);
        let end = cast[near..].iter().position(|&byte| byte == b'\n').map_or(cast.len(), |at| near + at + 1);
        let sha256 = Some(hex::encode(Sha256::digest(&cast[..end])));
        let part = u32::try_from(number).unwrap_or(1);
        let time = started.after(length * part / u32::try_from(wanted + 1).unwrap_or(2));
        found.push((time, Mark { bytes: Some(end as u64), sha256 }));
    }
    found
}
