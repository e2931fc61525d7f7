//! Playing a recording from anywhere in it: repaired lines, after a picture of what stood there before.

use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use meshtrail_event::SessionId;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{
    ReadError, Recordings,
    source::{PIECE, Source},
};
use crate::{
    cast::{CastLine, Code, Header, Piece, Repair, Screen, Size},
    seal::{Entry, StoredRecording},
};

/// How long drawing the screen at the start of a playback may take.
const BUDGET: Duration = Duration::from_secs(5);

/// Pieces that wait for a slow reader.
const QUEUE: usize = 4;

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

    /// The place to start reading at; without an index, the start of the recording.
    async fn place_before(&self, source: &Source, id: &SessionId, from: Duration) -> Option<Entry> {
        if from.is_zero() || matches!(source, Source::Local { .. }) {
            return None;
        }
        match StoredRecording::index(self.store(), id).await {
            Ok(index) => index?.before(from.as_secs_f64()).cloned(),
            Err(error) => {
                tracing::warn!(session = %id, %error, "the index can't be used; the recording is read from its start");
                None
            }
        }
    }
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
