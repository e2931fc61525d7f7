//! Watching a live session: whoever comes late sees the screen as it is, then every line as it comes.

use std::{sync::Arc, time::Duration};

use futures::Stream;
use meshtrail_event::SessionId;
use tokio::sync::{broadcast, mpsc};
use tokio_stream::wrappers::ReceiverStream;

use super::{
    Live, ReadError, Recordings,
    live::Heard,
    source::{PIECE, Source},
};
use crate::cast::{CastLine, Code, Piece, Repair, Screen, Size};

/// How long drawing the screen for one who comes late may take.
const BUDGET: Duration = Duration::from_secs(5);

/// Lines that wait for a slow follower; then chunks wait in its channel; then it is dropped.
const QUEUE: usize = 256;

/// What a follower gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Followed {
    /// An asciicast v2 line without its line feed; the first is a header.
    Line(String),
    /// The session is over; nothing follows.
    Ended,
    /// The follower read too slowly and is dropped; nothing follows.
    TooSlow,
}

impl Recordings {
    /// Follows a live session.
    pub async fn follow(
        &self,
        id: &SessionId,
    ) -> Result<impl Stream<Item = Followed> + Send + 'static, ReadError> {
        let live = self.open_session(id).ok_or_else(|| ReadError::NotLive { session: id.clone() })?;
        // Listening starts before the past is read, so that nothing falls in between.
        let (until, heard) = live.follow();
        let past = past(self.clone(), live, until).await?;
        let (lines, received) = mpsc::channel(QUEUE);
        tokio::spawn(relay(past, heard, lines));
        Ok(ReceiverStream::new(received))
    }
}

/// What came before a follower did.
struct Past {
    repair: Repair,
    screen: Screen,
    until: u64,
}

async fn past(recordings: Recordings, live: Arc<Live>, until: u64) -> Result<Past, ReadError> {
    let mut durable = live.tape.durable();
    // Received bytes are durable within milliseconds, or never.
    drop(durable.wait_for(|durable| durable.bytes >= until || durable.failed.is_some()).await);
    let source = Source::Local { recordings, live, bytes: until };
    let mut past = Past { repair: Repair::default(), screen: Screen::new(Size::DEFAULT, BUDGET), until };
    let mut at = 0;
    while at < until {
        let bytes = source.read(at..(at + PIECE).min(until)).await?;
        if bytes.is_empty() {
            break;
        }
        at += bytes.len() as u64;
        let screen = &mut past.screen;
        past.repair.push(&bytes, |piece| match piece {
            Piece::Header(header) => *screen = Screen::new(header.size(), BUDGET),
            Piece::Event { line, .. } => screen.feed(&line),
        });
    }
    Ok(past)
}

async fn relay(past: Past, mut heard: broadcast::Receiver<Heard>, lines: mpsc::Sender<Followed>) {
    let Past { mut repair, mut screen, until } = past;
    let mut ready = Vec::new();
    if let Some(header) = repair.header() {
        ready.push(header.to_playable_in(screen.size()));
        let shown = screen.dump().filter(|_| repair.lines() > 1);
        ready.extend(shown.map(|dump| {
            let time = repair.time();
            CastLine { time, code: Code::Output, data: dump.into(), replaced: false }.to_playable()
        }));
    }
    drop(screen);
    loop {
        for line in ready.drain(..) {
            if lines.send(Followed::Line(line)).await.is_err() {
                return;
            }
        }
        let last = tokio::select! {
            next = heard.recv() => match next {
                Ok(chunk) if chunk.offset < until => None,
                Ok(chunk) => {
                    repair.push(&chunk.bytes, |piece| ready.push(match piece {
                        Piece::Header(header) => header.to_playable(),
                        Piece::Event { line, .. } => line.to_playable(),
                    }));
                    None
                }
                Err(broadcast::error::RecvError::Closed) => Some(Followed::Ended),
                Err(broadcast::error::RecvError::Lagged(_)) => Some(Followed::TooSlow),
            },
            () = lines.closed() => return,
        };
        if let Some(last) = last {
            // A follower that has gone needs no last word.
            drop(lines.send(last).await);
            return;
        }
    }
}
