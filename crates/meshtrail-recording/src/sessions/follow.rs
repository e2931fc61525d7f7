//! Following a live session: the current screen, then every line as it is received.

use std::{sync::Arc, time::Duration};

use futures::Stream;
use meshtrail_event::SessionId;
use tokio::sync::{broadcast, mpsc};
use tokio_stream::wrappers::ReceiverStream;

use super::{
    LiveSession, ReadError, Recordings,
    byte_source::{ByteSource, PIECE},
    live::ReceivedBytes,
};
use crate::cast::{CastLine, Code, Piece, Repair, Screen, Size};

/// The time limit of drawing the first screen.
const BUDGET: Duration = Duration::from_secs(5);

/// Lines that are buffered for a slow follower. Beyond that, received bytes wait in its broadcast channel; if that is
/// full too, the follower is dropped.
const QUEUE: usize = 256;

/// An item of the stream that a follower gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FollowEvent {
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
    ) -> Result<impl Stream<Item = FollowEvent> + Send + 'static, ReadError> {
        let live = self.find_live(id).ok_or_else(|| ReadError::NotLive { session: id.clone() })?;
        // Subscribed before the backlog is read, so that no bytes are missed in between.
        let (until, received_bytes) = live.follow();
        let backlog = read_backlog(self.clone(), live, until).await?;
        let (lines, received) = mpsc::channel(QUEUE);
        tokio::spawn(relay(backlog, received_bytes, lines));
        Ok(ReceiverStream::new(received))
    }
}

/// The part of a session that was received before the follower subscribed.
struct Backlog {
    repair: Repair,
    screen: Screen,
    /// The offset of its end.
    until: u64,
}

async fn read_backlog(
    recordings: Recordings,
    live: Arc<LiveSession>,
    until: u64,
) -> Result<Backlog, ReadError> {
    let mut durable = live.stream.watch_durable();
    // Received bytes are durable within milliseconds, or have failed.
    drop(durable.wait_for(|durable| durable.bytes >= until || durable.failed.is_some()).await);
    let source = ByteSource::Local { recordings, live, bytes: until };
    let screen = Screen::new(Size::DEFAULT, BUDGET);
    let mut backlog = Backlog { repair: Repair::default(), screen, until };
    let mut at = 0;
    while at < until {
        let bytes = source.read(at..(at + PIECE).min(until)).await?;
        if bytes.is_empty() {
            break;
        }
        at += bytes.len() as u64;
        let screen = &mut backlog.screen;
        backlog.repair.push(&bytes, |piece| match piece {
            Piece::Header(header) => *screen = Screen::new(header.size(), BUDGET),
            Piece::Event { line, .. } => screen.feed(&line),
        });
    }
    Ok(backlog)
}

async fn relay(
    backlog: Backlog,
    mut received_bytes: broadcast::Receiver<ReceivedBytes>,
    lines: mpsc::Sender<FollowEvent>,
) {
    let Backlog { mut repair, mut screen, until } = backlog;
    let mut ready = Vec::new();
    if let Some(header) = repair.header() {
        ready.push(header.to_playable_in(screen.size()));
        let dump = screen.dump().filter(|_| repair.lines() > 1);
        ready.extend(dump.map(|dump| {
            let time = repair.time();
            CastLine { time, code: Code::Output, data: dump.into(), replaced: false }.to_playable()
        }));
    }
    drop(screen);
    loop {
        for line in ready.drain(..) {
            if lines.send(FollowEvent::Line(line)).await.is_err() {
                return;
            }
        }
        let last = tokio::select! {
            next = received_bytes.recv() => match next {
                Ok(received) if received.offset < until => None,
                Ok(received) => {
                    repair.push(&received.bytes, |piece| ready.push(match piece {
                        Piece::Header(header) => header.to_playable(),
                        Piece::Event { line, .. } => line.to_playable(),
                    }));
                    None
                }
                Err(broadcast::error::RecvError::Closed) => Some(FollowEvent::Ended),
                Err(broadcast::error::RecvError::Lagged(_)) => Some(FollowEvent::TooSlow),
            },
            () = lines.closed() => return,
        };
        if let Some(last) = last {
            // If the follower is gone, nobody needs the last item.
            drop(lines.send(last).await);
            return;
        }
    }
}
