//! Sealing: from a closed session in the spool to an event in the trail.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures::TryStreamExt;
use meshtrail_event::text::with_causes;
use meshtrail_event::{Detail, Event, SessionId};
use meshtrail_trail::store::{Key, PutError};
use sha2::{Digest, Sha256};
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use super::{Live, Recordings, list};
use crate::{
    check::{Checker, Statement},
    faults::{Moment, Step},
    journal::{Closing, End},
    ledger::LedgerError,
    seal::{
        Index, IndexBuilder, SeekableWriter, StoredError, StoredRecording, index_key, recording_key,
        sha256_of,
    },
};

/// Bytes read from the spool at a time.
const PIECE: usize = 256 << 10;

/// Waits between two attempts: the first, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));

/// Why a session is not sealed yet.
#[derive(Debug, thiserror::Error)]
enum SealError {
    #[error("its bytes can't be read from the local disk")]
    Read(#[source] io::Error),
    #[error("the store did not take {key}")]
    Put { key: Key, source: PutError },
    #[error("the store did not take {key}")]
    Step { key: Key, source: io::Error },
    #[error("what the store holds under its name can't be read")]
    Compare(#[source] StoredError),
    #[error("the store holds other bytes under {key}: somebody put them there before")]
    Taken { key: Key },
    #[error("the trail did not take its event")]
    Event(#[source] LedgerError),
    #[error("its spool files could not be removed")]
    Remove(#[source] io::Error),
}

/// Seals a closed session; tries until it is done or the recorder stops, then the next start goes on.
pub(super) async fn seal(
    recordings: Recordings,
    live: Arc<Live>,
    closing: Closing,
    introduction: Option<JoinHandle<()>>,
    marks: Vec<Event>,
) {
    if let Some(introduction) = introduction {
        // A panic there was reported; the end is told all the same.
        drop(introduction.await);
    }
    let mut wait = RETRY.0;
    let mut again = false;
    loop {
        let attempt = attempt(&recordings, &live, closing.clone(), &marks, again).await;
        let Err(failed) = attempt else { break };
        error!(session = %live.id(), error = with_causes(&failed), "a session could not be sealed; trying again");
        again = true;
        tokio::select! {
            () = tokio::time::sleep(wait) => wait = (wait * 2).min(RETRY.1),
            () = recordings.stopping().cancelled() => return,
        }
    }
    recordings.live_sessions().remove(live.id());
    info!(session = %live.id(), bytes = closing.bytes, "a session was sealed");
}

async fn attempt(
    recordings: &Recordings,
    live: &Arc<Live>,
    mut closing: Closing,
    marks: &[Event],
    again: bool,
) -> Result<(), SealError> {
    // An event that was refused may have been taken all the same.
    let told =
        again && list::end_of(recordings.ledger(), live.id()).await.map_err(SealError::Event)?.is_some();
    if !told {
        let packed = pack(recordings, live, &closing, marks).await?;
        let stored = put_recording(recordings, live, &packed, closing.sha256.as_deref()).await?;
        // A crash here leaves a recording without event: the next start packs it again, finds the same bytes
        // under its name, and goes on.
        let mut portrait = live.portrait();
        if stored == Stored::Packed {
            portrait.facts.index_sha256 = put_index(recordings, live.id(), &packed.index).await;
            // A crash here leaves the index too. The next start makes the same one, which is bound then; where
            // drawing came out otherwise, the one that is there stays unbound, and is never shown.
            packed.correct(&mut closing);
        }
        portrait.note(packed.index.anomalies());
        let faults = &recordings.config().faults;
        let failed = |source: io::Error| {
            SealError::Event(LedgerError { doing: "could not take an event", source: source.into() })
        };
        faults.check(Step::EndEvent, Moment::Before).map_err(failed)?;
        live.seal_from(recordings.ledger().size());
        recordings.ledger().emit(portrait.ended(&closing)).await.map_err(SealError::Event)?;
        faults.check(Step::EndEvent, Moment::After).map_err(failed)?;
    }
    // A crash here leaves spool files of a session whose event is in the trail: the next start removes them.
    let done = live.clone();
    blocking(move || done.tape.done()).await.map_err(SealError::Remove)
}

/// Which bytes the store holds.
#[derive(PartialEq, Eq)]
enum Stored {
    /// Those that were packed now.
    Packed,
    /// Those that were received, put there by an earlier attempt; the spool was changed since.
    Received,
}

/// A recording ready for the store.
pub(super) struct Packed {
    pub(super) object: Bytes,
    pub(super) index: Index,
    pub(super) sha256: String,
    /// Where the spool does not hold what the trail or the receiver saw.
    disagreement: Option<String>,
}

impl Packed {
    fn correct(&self, closing: &mut Closing) {
        match &closing.sha256 {
            // What was received stands, so that whoever checks finds what is stored to be something else.
            Some(received) if *received != self.sha256 => {
                closing.end = End::Failed;
                let words = "the bytes in the spool are not those that were received";
                closing.reason = Some(joined(closing.reason.take(), words));
            }
            Some(_) => {}
            None => closing.sha256 = Some(self.sha256.clone()),
        }
        if let Some(words) = &self.disagreement {
            closing.end = End::Failed;
            closing.reason = Some(joined(closing.reason.take(), words));
        }
    }
}

fn joined(before: Option<String>, words: &str) -> String {
    before.map_or_else(|| words.to_owned(), |before| format!("{before}; {words}"))
}

async fn pack(
    recordings: &Recordings,
    live: &Arc<Live>,
    closing: &Closing,
    marks: &[Event],
) -> Result<Packed, SealError> {
    let turn = recordings.inner.sealing.acquire().await.expect("the turns are never closed");
    let (live, bytes) = (live.clone(), closing.bytes);
    let statements = marks.iter().filter_map(statement_of).collect();
    let local = recordings.inner.local.clone();
    let packed = blocking(move || pack_now(&live, bytes, statements, local)).await.map_err(SealError::Read);
    drop(turn);
    packed
}

/// What a mark says.
pub(crate) fn statement_of(event: &Event) -> Option<Statement> {
    let Some(Detail::Mark(mark)) = &event.detail else { return None };
    Some(Statement { event: event.id.clone(), bytes: mark.bytes?, sha256: mark.sha256.clone()? })
}

fn pack_now(live: &Live, bytes: u64, marks: Vec<Statement>, local: PathBuf) -> io::Result<Packed> {
    let path = local.join(format!("spool/{}.sealing", live.id()));
    pack_to(&path, bytes, marks, |at, length| live.tape.read(at, length).map(Bytes::from))
}

/// Packs `bytes` bytes, as `read` gives them from an offset. Compressed into a file at `path`, so that a large recording
/// is not held in memory while it grows; the file is gone afterwards.
pub(super) fn pack_to(
    path: &Path,
    bytes: u64,
    marks: Vec<Statement>,
    mut read: impl FnMut(u64, usize) -> io::Result<Bytes>,
) -> io::Result<Packed> {
    let mut writer = SeekableWriter::new(io::BufWriter::new(fs::File::create(path)?))?;
    let (mut index, mut hasher) = (IndexBuilder::default(), Sha256::new());
    let mut checker = Checker::new(marks, None);
    let mut at = 0;
    while at < bytes {
        let length = usize::try_from(bytes - at).unwrap_or(PIECE).min(PIECE);
        let piece = read(at, length)?;
        if piece.is_empty() {
            break;
        }
        writer.push(&piece)?;
        index.push(&piece);
        hasher.update(&piece);
        checker.push(&piece);
        at += piece.len() as u64;
    }
    writer.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
    let object = fs::read(path)?.into();
    fs::remove_file(path)?;
    let found = checker.finish();
    let disagreement = found.first().map(ToString::to_string);
    Ok(Packed { object, index: index.finish(), sha256: hex::encode(hasher.finalize()), disagreement })
}

async fn put_recording(
    recordings: &Recordings,
    live: &Live,
    packed: &Packed,
    received: Option<&str>,
) -> Result<Stored, SealError> {
    let key = recording_key(live.id());
    let faults = &recordings.config().faults;
    let failed = |source| SealError::Step { key: key.clone(), source };
    faults.check(Step::PutRecording, Moment::Before).map_err(failed)?;
    let stored = match recordings.store().put_new(&key, packed.object.clone()).await {
        Ok(()) => Stored::Packed,
        Err(PutError::Exists { .. }) => match sha256_in_store(recordings, live).await? {
            found if found == packed.sha256 => Stored::Packed,
            found if received == Some(&found) => Stored::Received,
            _ => return Err(SealError::Taken { key }),
        },
        Err(source) => return Err(SealError::Put { key, source }),
    };
    faults.check(Step::PutRecording, Moment::After).map_err(failed)?;
    Ok(stored)
}

/// Of the received bytes that lie under the name already.
async fn sha256_in_store(recordings: &Recordings, live: &Live) -> Result<String, SealError> {
    let stored = StoredRecording::open(recordings.store(), live.id()).await.map_err(SealError::Compare)?;
    let hash = stored.stream(0).try_fold(Sha256::new(), |mut hasher, bytes| async move {
        hasher.update(&bytes);
        Ok(hasher)
    });
    Ok(hex::encode(hash.await.map_err(SealError::Compare)?.finalize()))
}

/// Puts the index; gives its SHA-256 once the store has exactly this one. A recording is whole without it.
pub(super) async fn put_index(recordings: &Recordings, session: &SessionId, index: &Index) -> Option<String> {
    let key = index_key(session);
    let faults = &recordings.config().faults;
    let put = async {
        faults.check(Step::PutIndex, Moment::Before).map_err(|error| error.to_string())?;
        let packed = Bytes::from(index.packed().map_err(|error| error.to_string())?);
        match recordings.store().put_new(&key, packed.clone()).await {
            Ok(()) => {}
            Err(PutError::Exists { .. }) => {
                let there = recordings.store().get(&key).await.map_err(|error| with_causes(&error))?;
                if there != packed {
                    return Err("another one is there already, which is not used".to_owned());
                }
            }
            Err(error) => return Err(with_causes(&error)),
        }
        faults.check(Step::PutIndex, Moment::After).map_err(|error| error.to_string())?;
        Ok(sha256_of(&packed))
    };
    match put.await {
        Ok(sha256) => Some(sha256),
        Err(error) => {
            warn!(%key, error, "an index was not put; jumps into the recording will be slow");
            None
        }
    }
}

pub(super) async fn blocking<T: Send + 'static>(
    run: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(run).await.unwrap_or_else(|panic| Err(io::Error::other(panic)))
}
