//! Sealing: a closed session in the spool becomes a recording in the store and a terminal event in the trail.

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

use super::{LiveSession, Recordings, list};
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

/// The first and the longest pause between two attempts.
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

/// Seals a closed session. Tries until it succeeds or the recorder stops; then the next start continues.
pub(super) async fn seal(
    recordings: Recordings,
    live: Arc<LiveSession>,
    closing: Closing,
    start_task: Option<JoinHandle<()>>,
    marks: Vec<Event>,
) {
    if let Some(start_task) = start_task {
        // A panic there was reported, and does not prevent the terminal event.
        drop(start_task.await);
    }
    let mut wait = RETRY.0;
    let mut is_retry = false;
    loop {
        let attempt = try_seal(&recordings, &live, closing.clone(), &marks, is_retry).await;
        let Err(failed) = attempt else { break };
        error!(session = %live.id(), error = with_causes(&failed), "a session could not be sealed; trying again");
        is_retry = true;
        tokio::select! {
            () = tokio::time::sleep(wait) => wait = (wait * 2).min(RETRY.1),
            () = recordings.stopping().cancelled() => return,
        }
    }
    recordings.live_sessions().remove(live.id());
    info!(session = %live.id(), bytes = closing.bytes, "a session was sealed");
}

async fn try_seal(
    recordings: &Recordings,
    live: &Arc<LiveSession>,
    mut closing: Closing,
    marks: &[Event],
    is_retry: bool,
) -> Result<(), SealError> {
    // The trail may have stored an event although appending it returned an error.
    let is_stored = is_retry
        && list::find_terminal_event(recordings.ledger(), live.id())
            .await
            .map_err(SealError::Event)?
            .is_some();
    if !is_stored {
        let packed = pack(recordings, live, &closing, marks).await?;
        let stored = put_recording(recordings, live, &packed, closing.sha256.as_deref()).await?;
        // A crash here leaves a recording without an event. The next start packs it again, finds the same bytes in the
        // store, and continues.
        let mut identity = live.identity();
        if stored == StoredBytes::Packed {
            identity.facts.index_sha256 = put_index(recordings, live.id(), &packed.index).await;
            // A crash here leaves the index too. The next start makes the same index, whose hash the event then names.
            // If the screens come out differently, the stored index is never named, and so never shown.
            packed.correct_closing(&mut closing);
        }
        identity.add_anomalies(packed.index.anomalies());
        let faults = &recordings.config().faults;
        let failed = |source: io::Error| {
            SealError::Event(LedgerError { failure: "could not take an event", source: source.into() })
        };
        faults.check(Step::EndEvent, Moment::Before).map_err(failed)?;
        live.set_min_terminal_index(recordings.ledger().size());
        recordings.ledger().emit(identity.terminal_event(&closing)).await.map_err(SealError::Event)?;
        faults.check(Step::EndEvent, Moment::After).map_err(failed)?;
    }
    // A crash here leaves spool files of a session whose event is in the trail. The next start removes them.
    let sealed = live.clone();
    run_blocking(move || sealed.stream.discard()).await.map_err(SealError::Remove)
}

/// The bytes that the store has under the recording's name.
#[derive(PartialEq, Eq)]
enum StoredBytes {
    /// The bytes that were packed now.
    Packed,
    /// The received bytes, put there by an earlier attempt. The spool was changed after that.
    Received,
}

/// A recording that is ready for the store.
pub(super) struct PackedRecording {
    pub(super) object: Bytes,
    pub(super) index: Index,
    pub(super) sha256: String,
    /// The first difference between the spool and the session's marks, in words.
    disagreement: Option<String>,
}

impl PackedRecording {
    /// Marks the session as failed if the spool's bytes are not the received ones.
    fn correct_closing(&self, closing: &mut Closing) {
        match &closing.sha256 {
            // The hash of the received bytes stays, so that every check shows that the stored bytes differ.
            Some(received) if *received != self.sha256 => {
                closing.end = End::Failed;
                let words = "the bytes in the spool are not those that were received";
                closing.reason = Some(append_reason(closing.reason.take(), words));
            }
            Some(_) => {}
            None => closing.sha256 = Some(self.sha256.clone()),
        }
        if let Some(words) = &self.disagreement {
            closing.end = End::Failed;
            closing.reason = Some(append_reason(closing.reason.take(), words));
        }
    }
}

fn append_reason(before: Option<String>, words: &str) -> String {
    before.map_or_else(|| words.to_owned(), |before| format!("{before}; {words}"))
}

async fn pack(
    recordings: &Recordings,
    live: &Arc<LiveSession>,
    closing: &Closing,
    marks: &[Event],
) -> Result<PackedRecording, SealError> {
    let permit = recordings.inner.sealing_permits.acquire().await.expect("the semaphore is never closed");
    let (live, bytes) = (live.clone(), closing.bytes);
    let statements = marks.iter().filter_map(mark_statement).collect();
    let local = recordings.inner.local.clone();
    let packed =
        run_blocking(move || pack_spooled(&live, bytes, statements, local)).await.map_err(SealError::Read);
    drop(permit);
    packed
}

/// A mark's statement about the recording.
pub(crate) fn mark_statement(event: &Event) -> Option<Statement> {
    let Some(Detail::Mark(mark)) = &event.detail else { return None };
    Some(Statement { event: event.id.clone(), bytes: mark.bytes?, sha256: mark.sha256.clone()? })
}

fn pack_spooled(
    live: &LiveSession,
    bytes: u64,
    marks: Vec<Statement>,
    local: PathBuf,
) -> io::Result<PackedRecording> {
    let path = local.join(format!("spool/{}.sealing", live.id()));
    pack_to(&path, bytes, marks, |at, length| live.stream.read(at, length).map(Bytes::from))
}

/// Packs `bytes` bytes, which `read` returns by offset and length. They are compressed into a temporary file at `path`,
/// so that a large recording is in memory only when it is complete.
pub(super) fn pack_to(
    path: &Path,
    bytes: u64,
    marks: Vec<Statement>,
    mut read: impl FnMut(u64, usize) -> io::Result<Bytes>,
) -> io::Result<PackedRecording> {
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
    Ok(PackedRecording {
        object,
        index: index.finish(),
        sha256: hex::encode(hasher.finalize()),
        disagreement,
    })
}

async fn put_recording(
    recordings: &Recordings,
    live: &LiveSession,
    packed: &PackedRecording,
    received: Option<&str>,
) -> Result<StoredBytes, SealError> {
    let key = recording_key(live.id());
    let faults = &recordings.config().faults;
    let failed = |source| SealError::Step { key: key.clone(), source };
    faults.check(Step::PutRecording, Moment::Before).map_err(failed)?;
    let stored = match recordings.store().put_new(&key, packed.object.clone()).await {
        Ok(()) => StoredBytes::Packed,
        Err(PutError::Exists { .. }) => match sha256_in_store(recordings, live).await? {
            found if found == packed.sha256 => StoredBytes::Packed,
            found if received == Some(&found) => StoredBytes::Received,
            _ => return Err(SealError::Taken { key }),
        },
        Err(source) => return Err(SealError::Put { key, source }),
    };
    faults.check(Step::PutRecording, Moment::After).map_err(failed)?;
    Ok(stored)
}

/// The SHA-256 of the unpacked bytes of the recording in the store.
async fn sha256_in_store(recordings: &Recordings, live: &LiveSession) -> Result<String, SealError> {
    let stored = StoredRecording::open(recordings.store(), live.id()).await.map_err(SealError::Compare)?;
    let hash = stored.stream(0).try_fold(Sha256::new(), |mut hasher, bytes| async move {
        hasher.update(&bytes);
        Ok(hasher)
    });
    Ok(hex::encode(hash.await.map_err(SealError::Compare)?.finalize()))
}

/// Puts the index, and returns its SHA-256 if the store then has exactly this index. A recording is complete without
/// it.
pub(super) async fn put_index(recordings: &Recordings, session: &SessionId, index: &Index) -> Option<String> {
    let key = index_key(session);
    let faults = &recordings.config().faults;
    let put = async {
        faults.check(Step::PutIndex, Moment::Before).map_err(|error| error.to_string())?;
        let packed = Bytes::from(index.packed().map_err(|error| error.to_string())?);
        match recordings.store().put_new(&key, packed.clone()).await {
            Ok(()) => {}
            Err(PutError::Exists { .. }) => {
                let stored = recordings.store().get(&key).await.map_err(|error| with_causes(&error))?;
                if stored != packed {
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

pub(super) async fn run_blocking<T: Send + 'static>(
    run: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(run).await.unwrap_or_else(|panic| Err(io::Error::other(panic)))
}
