//! Playback from any time of a recording: the screen at that time, then repaired lines.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures::{Stream, TryStreamExt};
use meshtrail_event::{SessionId, text::with_causes};
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;

use super::{
    ReadError, Recordings,
    byte_source::{ByteSource, PIECE},
};
use crate::{
    cast::{CastLine, Code, Header, Piece, Repair, Screen, Size},
    seal::{Entry, Index, IndexBuilder, StoredRecording, index_key},
};

/// The time limit of drawing the first screen.
const BUDGET: Duration = Duration::from_secs(5);

/// Pieces that are buffered for a slow reader.
const QUEUE: usize = 4;

/// The number of cached indexes, with at most 32 MiB of screens each.
const MAX_REBUILT: usize = 4;

impl Recordings {
    /// The recording from `from` on as asciicast v2 lines, each with its line feed: a header, the screen as it
    /// was at `from`, then every line after it with its time.
    pub async fn playback(
        &self,
        id: &SessionId,
        from: Duration,
    ) -> Result<impl Stream<Item = Result<Bytes, ReadError>> + Send + 'static, ReadError> {
        let source = ByteSource::open(self, id).await?;
        let entry = self.start_entry(&source, id, from).await;
        let header = first_header(&source).await?;
        let (lines, received) = mpsc::channel(QUEUE);
        let start = entry.as_ref().map_or(0, |entry| entry.offset);
        let player = Player::new(header, entry, from);
        tokio::spawn(async move {
            if let Err(error) = play(player, &source, start, &lines).await {
                // If the reader is gone, nobody needs the error.
                drop(lines.send(Err(error)).await);
            }
        });
        Ok(ReceiverStream::new(received))
    }

    /// The index entry to start at; `None`, which is the start of the recording, without a trusted index.
    async fn start_entry(&self, source: &ByteSource, id: &SessionId, from: Duration) -> Option<Entry> {
        let ByteSource::Stored(recording) = source else { return None };
        if from.is_zero() {
            return None;
        }
        match self.trusted_index(recording, id).await {
            Ok(index) => index?.before(from.as_secs_f64()).cloned(),
            Err(error) => {
                let error = with_causes(&error);
                tracing::warn!(session = %id, error, "the index can't be used; the recording is read from its start");
                None
            }
        }
    }

    /// The index whose hash is in the terminal event; if an older event names none, an index made from the recording.
    async fn trusted_index(
        &self,
        recording: &StoredRecording,
        id: &SessionId,
    ) -> Result<Option<Arc<Index>>, ReadError> {
        let Some(session) = self.session(id).await? else { return Ok(None) };
        match &session.index_sha256 {
            Some(sha256) => Ok(StoredRecording::index(self.store(), id, sha256).await?.map(Arc::new)),
            None => self.rebuilt_index(recording, id).await.map(Some),
        }
    }

    async fn rebuilt_index(
        &self,
        recording: &StoredRecording,
        id: &SessionId,
    ) -> Result<Arc<Index>, ReadError> {
        let cached = || self.inner.rebuilt_indexes.get(id);
        if let Some(index) = cached() {
            return Ok(index);
        }
        // One at a time: it takes much I/O and processor time, and the next caller may want the same index.
        let _permit =
            self.inner.rebuilt_indexes.permit.acquire().await.expect("the semaphore is never closed");
        if let Some(index) = cached() {
            return Ok(index);
        }
        let index = Arc::new(rebuild(recording.clone()).await?);
        self.compare_with_stored(&index, id).await;
        self.inner.rebuilt_indexes.insert(id, &index);
        Ok(index)
    }

    /// Logs a warning if the stored index differs from the rebuilt one. The stored index is not used in any case.
    async fn compare_with_stored(&self, rebuilt: &Index, id: &SessionId) {
        // Without screens: `verify` compares each of them.
        let stored = StoredRecording::unverified_index(self.store(), id).await;
        match stored.map(|stored| stored.map(Index::without_screens)) {
            Ok(Some(stored)) if !stored.agrees_with(rebuilt) => tracing::warn!(
                session = %id, key = %index_key(id),
                "the stored index does not say what the recording says: run `meshtrail verify --all`"
            ),
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(session = %id, error = with_causes(&error), "the stored index can't be read")
            }
        }
    }
}

/// A cache of indexes that were rebuilt, because no event names the stored ones.
pub(super) struct RebuiltIndexCache {
    /// The last used index is first.
    entries: Mutex<VecDeque<(SessionId, Arc<Index>)>>,
    /// Held while an index is rebuilt.
    permit: Semaphore,
}

impl Default for RebuiltIndexCache {
    fn default() -> Self {
        Self { entries: Mutex::default(), permit: Semaphore::new(1) }
    }
}

impl RebuiltIndexCache {
    fn get(&self, id: &SessionId) -> Option<Arc<Index>> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let at = entries.iter().position(|(session, _)| session == id)?;
        let entry = entries.remove(at)?;
        let index = entry.1.clone();
        entries.push_front(entry);
        Some(index)
    }

    fn insert(&self, id: &SessionId, index: &Arc<Index>) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.truncate(MAX_REBUILT - 1);
        entries.push_front((id.clone(), index.clone()));
    }
}

/// Makes a recording's index from its bytes, off the async threads.
async fn rebuild(recording: StoredRecording) -> Result<Index, ReadError> {
    let (pieces, mut received) = mpsc::channel::<Bytes>(QUEUE);
    let building = tokio::task::spawn_blocking(move || {
        let mut builder = IndexBuilder::default();
        while let Some(piece) = received.blocking_recv() {
            builder.push(&piece);
        }
        builder.finish()
    });
    let mut read = std::pin::pin!(recording.stream(0));
    while let Some(piece) = read.try_next().await? {
        if pieces.send(piece).await.is_err() {
            break;
        }
    }
    drop(pieces);
    building.await.map_err(|panic| ReadError::Local(std::io::Error::other(panic)))
}

async fn first_header(source: &ByteSource) -> Result<Header, ReadError> {
    let start = source.read(0..PIECE).await?;
    let mut repair = Repair::default();
    repair.push(&start, |_| {});
    Ok(repair.header().cloned().unwrap_or_default())
}

async fn play(
    mut player: Player,
    source: &ByteSource,
    start: u64,
    lines: &mpsc::Sender<Result<Bytes, ReadError>>,
) -> Result<(), ReadError> {
    let mut at = start;
    while at < source.bytes() {
        let bytes = source.read(at..at + PIECE).await?;
        if bytes.is_empty() {
            break;
        }
        at += bytes.len() as u64;
        player.push(&bytes);
        if let Some(ready) = player.take()
            && lines.send(Ok(ready)).await.is_err()
        {
            return Ok(());
        }
    }
    player.finish();
    if let Some(ready) = player.take() {
        drop(lines.send(Ok(ready)).await);
    }
    Ok(())
}

/// Makes playable lines of received bytes. The lines before a time become one screen.
struct Player {
    repair: Repair,
    header: Header,
    from: f64,
    /// Draws the lines before `from`; `None` once the screen was written.
    before: Option<Screen>,
    out: String,
}

impl Player {
    fn new(header: Header, entry: Option<Entry>, from: Duration) -> Self {
        let (repair, size) = match &entry {
            Some(entry) => {
                let size = Size::playable(entry.cols.into(), entry.rows.into());
                (Repair::resumed(header.clone(), entry.offset, entry.time, size), size)
            }
            None => (Repair::default(), header.size()),
        };
        let mut screen = Screen::new(size, BUDGET);
        if let Some(dump) = entry.and_then(|entry| entry.screen) {
            screen.feed(&output(0.0, dump));
        }
        Self { repair, header, from: from.as_secs_f64(), before: Some(screen), out: String::new() }
    }

    fn push(&mut self, bytes: &[u8]) {
        let Self { repair, header, from, before, out } = self;
        repair.push(bytes, |piece| {
            let Piece::Event { line, .. } = piece else { return };
            if line.time < *from {
                if let Some(screen) = before {
                    screen.feed(&line);
                }
                return;
            }
            if let Some(screen) = before.take() {
                write_start(header, screen, *from, out);
            }
            out.push_str(&line.to_playable());
            out.push('\n');
        });
    }

    fn finish(&mut self) {
        self.repair.finish();
        if let Some(screen) = self.before.take() {
            write_start(&self.header, screen, self.from, &mut self.out);
        }
    }

    fn take(&mut self) -> Option<Bytes> {
        (!self.out.is_empty()).then(|| std::mem::take(&mut self.out).into())
    }
}

/// Writes the header with the terminal's size at the time `at`, and the screen at that time.
fn write_start(header: &Header, mut screen: Screen, at: f64, out: &mut String) {
    out.push_str(&header.to_playable_in(screen.size()));
    out.push('\n');
    let dump = if at > 0.0 { screen.dump() } else { None };
    if let Some(dump) = dump {
        out.push_str(&output(at, dump).to_playable());
        out.push('\n');
    }
}

fn output(time: f64, data: String) -> CastLine<'static> {
    CastLine { time, code: Code::Output, data: data.into(), replaced: false }
}
