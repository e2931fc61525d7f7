//! Playing a recording from anywhere in it: repaired lines, after a picture of what stood there before.

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
    source::{PIECE, Source},
};
use crate::{
    cast::{CastLine, Code, Header, Piece, Repair, Screen, Size},
    seal::{Entry, Index, IndexBuilder, StoredRecording, index_key},
};

/// How long drawing the screen at the start of a playback may take.
const BUDGET: Duration = Duration::from_secs(5);

/// Pieces that wait for a slow reader.
const QUEUE: usize = 4;

/// Indexes made again that are kept: at most 32 MiB of screens each.
const REBUILT: usize = 4;

impl Recordings {
    /// The recording from `from` on as asciicast v2 lines, each with its line feed: a header, the screen as it
    /// was at `from`, then every line after it with its time.
    pub async fn playback(
        &self,
        id: &SessionId,
        from: Duration,
    ) -> Result<impl Stream<Item = Result<Bytes, ReadError>> + Send + 'static, ReadError> {
        let source = Source::open(self, id).await?;
        let place = self.place_before(&source, id, from).await;
        let header = first_header(&source).await?;
        let (lines, received) = mpsc::channel(QUEUE);
        let start = place.as_ref().map_or(0, |entry| entry.offset);
        let player = Player::new(header, place, from);
        tokio::spawn(async move {
            if let Err(error) = play(player, &source, start, &lines).await {
                // A reader that has gone needs no error.
                drop(lines.send(Err(error)).await);
            }
        });
        Ok(ReceiverStream::new(received))
    }

    /// The place to start reading at; without an index that somebody vouches for, the start of the recording.
    async fn place_before(&self, source: &Source, id: &SessionId, from: Duration) -> Option<Entry> {
        let Source::Stored(recording) = source else { return None };
        if from.is_zero() {
            return None;
        }
        match self.vouched_index(recording, id).await {
            Ok(index) => index?.before(from.as_secs_f64()).cloned(),
            Err(error) => {
                let error = with_causes(&error);
                tracing::warn!(session = %id, error, "the index can't be used; the recording is read from its start");
                None
            }
        }
    }

    /// The index that the event that ended the session names; for an older event, which names none, one made from the
    /// recording now.
    async fn vouched_index(
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
        let known = || self.inner.rebuilt.get(id);
        if let Some(index) = known() {
            return Ok(index);
        }
        // One at a time: reading a whole recording and drawing it is work, and whoever waits may want the same one.
        let _turn = self.inner.rebuilt.turn.acquire().await.expect("the turns are never closed");
        if let Some(index) = known() {
            return Ok(index);
        }
        let index = Arc::new(rebuild(recording.clone()).await?);
        self.hold_against_stored(&index, id).await;
        self.inner.rebuilt.keep(id, &index);
        Ok(index)
    }

    /// Says in the log when the stored index is not what the recording makes; it is not used either way.
    async fn hold_against_stored(&self, made: &Index, id: &SessionId) {
        // Which screens were kept is no matter here: `verify` compares each of them.
        let stored = StoredRecording::unvouched_index(self.store(), id).await;
        match stored.map(|stored| stored.map(Index::without_screens)) {
            Ok(Some(stored)) if !stored.agrees_with(made) => tracing::warn!(
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

/// Indexes that were made again because nothing vouches for the stored ones; the ones used last.
pub(super) struct RebuiltIndexes {
    newest: Mutex<VecDeque<(SessionId, Arc<Index>)>>,
    turn: Semaphore,
}

impl Default for RebuiltIndexes {
    fn default() -> Self {
        Self { newest: Mutex::default(), turn: Semaphore::new(1) }
    }
}

impl RebuiltIndexes {
    fn get(&self, id: &SessionId) -> Option<Arc<Index>> {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let at = newest.iter().position(|(session, _)| session == id)?;
        let found = newest.remove(at)?;
        let index = found.1.clone();
        newest.push_front(found);
        Some(index)
    }

    fn keep(&self, id: &SessionId, index: &Arc<Index>) {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        newest.truncate(REBUILT - 1);
        newest.push_front((id.clone(), index.clone()));
    }
}

/// Makes a recording's index from its bytes, off the async threads.
async fn rebuild(recording: StoredRecording) -> Result<Index, ReadError> {
    let (pieces, mut received) = mpsc::channel::<Bytes>(QUEUE);
    let making = tokio::task::spawn_blocking(move || {
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
    making.await.map_err(|panic| ReadError::Local(std::io::Error::other(panic)))
}

async fn first_header(source: &Source) -> Result<Header, ReadError> {
    let start = source.read(0..PIECE).await?;
    let mut repair = Repair::default();
    repair.push(&start, |_| {});
    Ok(repair.header().cloned().unwrap_or_default())
}

async fn play(
    mut player: Player,
    source: &Source,
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

/// Turns received bytes into playable lines, of which those before a moment become one screen.
struct Player {
    repair: Repair,
    header: Header,
    from: f64,
    /// Draws until the moment is reached; then it is shown once.
    before: Option<Screen>,
    out: String,
}

impl Player {
    fn new(header: Header, place: Option<Entry>, from: Duration) -> Self {
        let (repair, size) = match &place {
            Some(entry) => {
                let size = Size::playable(entry.cols.into(), entry.rows.into());
                (Repair::resumed(header.clone(), entry.offset, entry.time, size), size)
            }
            None => (Repair::default(), header.size()),
        };
        let mut screen = Screen::new(size, BUDGET);
        if let Some(dump) = place.and_then(|entry| entry.screen) {
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
                begin(header, screen, *from, out);
            }
            out.push_str(&line.to_playable());
            out.push('\n');
        });
    }

    fn finish(&mut self) {
        self.repair.finish();
        if let Some(screen) = self.before.take() {
            begin(&self.header, screen, self.from, &mut self.out);
        }
    }

    fn take(&mut self) -> Option<Bytes> {
        (!self.out.is_empty()).then(|| std::mem::take(&mut self.out).into())
    }
}

/// The header in the size of the moment, and the screen as it was then.
fn begin(header: &Header, mut screen: Screen, at: f64, out: &mut String) {
    out.push_str(&header.to_playable_in(screen.size()));
    out.push('\n');
    let shown = if at > 0.0 { screen.dump() } else { None };
    if let Some(dump) = shown {
        out.push_str(&output(at, dump).to_playable());
        out.push('\n');
    }
}

fn output(time: f64, data: String) -> CastLine<'static> {
    CastLine { time, code: Code::Output, data: data.into(), replaced: false }
}
