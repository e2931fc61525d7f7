//! One upload: received bytes go to the journal, what is durable goes back as acks.
//!
//! The sender's terminal waits for the recorder, so the pump reads eagerly: nothing it does waits for a store,
//! a trail or a resolver, and it stops reading only when the session's or everybody's bound of bytes that are
//! not durable yet is reached.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame};
use meshtrail_event::text::with_causes;
use meshtrail_event::{Detail, Draft, Kind, Mark, Timestamp};
use meshtrail_identity::Connection;
use meshtrail_listen::PeerRoom;
use sha2::{Digest, Sha256};
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{Live, Recordings, live::KillOrder};
use crate::{
    cast::{Anomalies, Header, HeaderError, MAX_HEADER},
    journal::{Closing, End, Room},
    portrait::Portrait,
    protocol::AckSlot,
};

/// Why an upload stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The sender ended it.
    Ended,
    /// The connection broke, or the sender gave up.
    Lost { how: String },
    /// An operator ended it.
    Killed(KillOrder),
    /// Its header line did not come in time.
    Headless { after: Duration },
    /// The recorder stops.
    Stopped,
    /// The disk did not take it.
    Disk { why: String },
}

impl Cut {
    /// What the sender is told, if it was not the sender who ended it.
    pub(crate) fn message(&self) -> Option<String> {
        match self {
            Self::Ended | Self::Lost { .. } => None,
            Self::Killed(order) => Some(order.message.clone()),
            Self::Headless { after } => Some(headless(*after)),
            Self::Stopped => Some("the recorder is stopping".to_owned()),
            Self::Disk { why } => Some(format!("the recorder can't write: {why}")),
        }
    }
}

type WaitForRoom = Pin<Box<dyn Future<Output = Result<Room, Arc<str>>> + Send>>;

/// An upload while it runs.
pub(crate) struct Pump<B> {
    recordings: Recordings,
    live: Arc<Live>,
    body: B,
    /// Where acks go; the first version of the protocol has none.
    acks: Option<Arc<AckSlot>>,
    version: hyper::Version,
    /// Both ends of the sender's connection.
    connection: Connection,
    /// Told when whoever listens stops.
    halt: CancellationToken,
    /// The sender's part of what may be on the way to the disk.
    share: PeerRoom,
    began: Instant,
    hasher: Sha256,
    received: u64,
    /// The first line as far as it came; nothing once it was read.
    first_line: Option<Vec<u8>>,
    header_error: Option<HeaderError>,
    introduction: Option<JoinHandle<()>>,
    acked: u64,
    /// When the last frame went out, and when the last one that told of more bytes did.
    framed_at: Instant,
    acked_at: Instant,
    marks: Marks,
}

/// When a session is marked next.
struct Marks {
    at: Instant,
    bytes: u64,
    /// A digest that waits for its bytes to be durable.
    ready: Option<(u64, String)>,
    /// One mark at a time is on its way; while it is, the next one grows.
    under_way: Arc<AtomicBool>,
}

enum Step {
    Received(Bytes),
    Nothing,
    Stop(Cut),
}

impl<B> Pump<B>
where
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    pub(crate) fn new(
        recordings: Recordings,
        live: Arc<Live>,
        (body, version): (B, hyper::Version),
        acks: Option<Arc<AckSlot>>,
        (connection, share, halt): (Connection, PeerRoom, CancellationToken),
    ) -> Self {
        let now = Instant::now();
        let under_way = Arc::new(AtomicBool::new(false));
        Self {
            recordings,
            live,
            body,
            acks,
            version,
            connection,
            halt,
            share,
            began: now,
            hasher: Sha256::new(),
            received: 0,
            first_line: Some(Vec::new()),
            header_error: None,
            introduction: None,
            acked: 0,
            framed_at: now,
            acked_at: now,
            marks: Marks { at: now, bytes: 0, ready: None, under_way },
        }
    }

    /// Runs until the upload stops; then all that came is durable and the session is being sealed.
    pub(crate) async fn run(mut self) -> Cut {
        let cut = self.receive().await;
        let closing = self.finish(&cut).await;
        self.live.close(closing.clone());
        let Self { recordings, live, introduction, .. } = self;
        let sealing = super::finish::seal(recordings.clone(), live, closing, introduction, Vec::new());
        recordings.tasks().spawn(sealing);
        cut
    }

    async fn receive(&mut self) -> Cut {
        let mut durable = self.live.tape.durable();
        let mut waiting: Option<(Bytes, WaitForRoom)> = None;
        loop {
            let next_turn = self.next_turn();
            let is_waiting = waiting.is_some();
            let step = tokio::select! {
                biased;
                order = self.live.ordered() => Step::Stop(Cut::Killed(order)),
                () = self.halt.cancelled() => Step::Stop(Cut::Stopped),
                room = wait_for_room(&mut waiting), if is_waiting => match (room, waiting.take()) {
                    (Ok(room), Some((bytes, _))) => { self.keep(bytes, room); Step::Nothing }
                    (Err(why), _) => Step::Stop(Cut::Disk { why: why.to_string() }),
                    (Ok(_), None) => Step::Nothing,
                },
                frame = self.body.frame(), if !is_waiting => self.step_of(frame),
                _ = durable.changed() => {
                    let failed = durable.borrow_and_update().failed.clone();
                    failed.map_or(Step::Nothing, |why| Step::Stop(Cut::Disk { why: why.to_string() }))
                }
                () = tokio::time::sleep_until(next_turn) => Step::Nothing,
            };
            match step {
                Step::Received(bytes) => match self.room_now(bytes.len()) {
                    Some(room) => self.keep(bytes, room),
                    None => {
                        let room = self.room(bytes.len());
                        waiting = Some((bytes, room));
                    }
                },
                Step::Nothing => {}
                Step::Stop(cut) => return cut,
            }
            // While there is no room, it is not the sender who is late.
            if waiting.is_none()
                && let Some(after) = self.is_headless()
            {
                return Cut::Headless { after };
            }
            self.turn();
        }
    }

    /// Room for bytes, if there is some now: in the sender's own part, and in all.
    fn room_now(&self, length: usize) -> Option<Room> {
        let share = self.share.try_acquire(length)?;
        Some(self.live.tape.room_now(length)?.beside(share))
    }

    fn room(&self, length: usize) -> WaitForRoom {
        let (live, share) = (self.live.clone(), self.share.clone());
        Box::pin(async move {
            let share = share.acquire(length).await;
            Ok(live.tape.room(length).await?.beside(share))
        })
    }

    /// Whether the header line is overdue, and since when it was waited for.
    fn is_headless(&self) -> Option<Duration> {
        let patience = self.recordings.config().header_patience;
        (self.first_line.is_some() && self.began.elapsed() >= patience).then_some(patience)
    }

    fn step_of(&self, frame: Option<Result<Frame<Bytes>, B::Error>>) -> Step {
        match frame {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(bytes) if !bytes.is_empty() => Step::Received(bytes),
                _ => Step::Nothing,
            },
            Some(Err(error)) => Step::Stop(Cut::Lost { how: with_causes(&error) }),
            // A stream that was reset without an error ends like a whole one, but for this.
            None if self.version == hyper::Version::HTTP_2 && !self.body.is_end_stream() => {
                Step::Stop(Cut::Lost { how: "the sender reset the stream".to_owned() })
            }
            None => Step::Stop(Cut::Ended),
        }
    }

    /// Takes a chunk: hashed, queued for the journal, heard by followers.
    fn keep(&mut self, bytes: Bytes, room: Room) {
        self.hasher.update(&bytes);
        self.received += bytes.len() as u64;
        self.live.heard(&bytes);
        if self.first_line.is_some() {
            self.read_first_line(&bytes);
        }
        self.live.tape.append(bytes, room);
    }

    fn read_first_line(&mut self, bytes: &[u8]) {
        let Some(line) = &mut self.first_line else { return };
        let end = bytes.iter().position(|&byte| byte == b'\n');
        let more = &bytes[..end.unwrap_or(bytes.len())];
        // One byte more than a header may have tells that it is too long; the rest is not needed for that.
        line.extend_from_slice(&more[..more.len().min(MAX_HEADER + 1 - line.len())]);
        if end.is_none() && line.len() <= MAX_HEADER {
            return;
        }
        let line = self.first_line.take().unwrap_or_default();
        let mut anomalies = Anomalies::default();
        match Header::parse(&line, &mut anomalies) {
            Ok(header) => {
                let portrait = Portrait::claimed(self.live.tape.opening(), &header, &anomalies);
                let (recordings, live) = (self.recordings.clone(), self.live.clone());
                let introduction = introduce(recordings, live, self.connection, header, portrait);
                self.introduction = Some(tokio::spawn(introduction));
            }
            Err(error) => self.header_error = Some(error),
        }
    }

    /// When something is due although nothing happens.
    fn next_turn(&self) -> Instant {
        let config = self.recordings.config();
        let mut next = self.framed_at + config.keep_alive;
        let header_due = self.began + config.header_patience;
        if self.first_line.is_some() && header_due > Instant::now() {
            next = next.min(header_due);
        }
        if self.durable() > self.acked {
            next = next.min(self.acked_at + config.ack_every);
        }
        if self.received > self.marks.bytes {
            next = next.min(self.marks.at + config.mark_every);
        }
        // What is overdue for other reasons is looked at when those change.
        next.max(Instant::now() + Duration::from_millis(1))
    }

    fn turn(&mut self) {
        let now = Instant::now();
        let config = self.recordings.config();
        let durable = self.durable();
        let progress = durable > self.acked && now - self.acked_at >= config.ack_every;
        if progress || now - self.framed_at >= config.keep_alive {
            self.ack(now, durable);
        }
        self.mark(now, durable);
    }

    fn ack(&mut self, now: Instant, durable: u64) {
        if let Some(acks) = &self.acks {
            acks.ack(durable);
        }
        if durable > self.acked {
            self.acked = durable;
            self.acked_at = now;
        }
        self.framed_at = now;
    }

    fn durable(&self) -> u64 {
        self.live.tape.durable_bytes()
    }

    /// Binds the bytes so far into the trail: each so many bytes or seconds, once they are durable.
    fn mark(&mut self, now: Instant, durable: u64) {
        let config = self.recordings.config();
        let new = self.received - self.marks.bytes;
        let due = new >= config.mark_bytes || (new > 0 && now - self.marks.at >= config.mark_every);
        if due && self.marks.ready.is_none() && !self.marks.under_way.load(Ordering::Acquire) {
            self.marks.ready = Some((self.received, hex::encode(self.hasher.clone().finalize())));
        }
        let Some((bytes, sha256)) = self.marks.ready.take_if(|(bytes, _)| *bytes <= durable) else { return };
        self.marks.at = now;
        self.marks.bytes = bytes;
        // Where too many are under way, this one is left out; a later one covers its bytes.
        let Ok(permit) = self.recordings.inner.marking.clone().try_acquire_owned() else { return };
        let mark = Mark { bytes: Some(bytes), sha256: Some(sha256) };
        let (recordings, live, under_way) =
            (self.recordings.clone(), self.live.clone(), self.marks.under_way.clone());
        under_way.store(true, Ordering::Release);
        self.recordings.tasks().spawn(async move {
            tell_mark(&recordings, &live, mark).await;
            under_way.store(false, Ordering::Release);
            drop(permit);
        });
    }

    /// Waits until all that came is durable, and says how the session ended.
    async fn finish(&mut self, cut: &Cut) -> Closing {
        let live = self.live.clone();
        let mut flushed = std::pin::pin!(live.tape.flushed());
        let flushed = loop {
            tokio::select! {
                flushed = &mut flushed => break flushed,
                // The sender gives up without frames, and its recording is complete all but for this.
                () = tokio::time::sleep(self.recordings.config().keep_alive) => {
                    self.ack(Instant::now(), self.durable());
                }
            }
        };
        let complete = flushed.is_ok();
        if let Some(line) = self.first_line.take() {
            let header = Header::parse(&line, &mut Anomalies::default());
            self.header_error =
                Some(header.err().unwrap_or(HeaderError::NotJson { reason: "the line has no end".into() }));
        }
        let (end, reason) = self.verdict(cut);
        let closing = Closing {
            end,
            reason,
            ended: Timestamp::now(),
            bytes: self.durable(),
            sha256: complete.then(|| hex::encode(self.hasher.clone().finalize())),
        };
        if let Err(why) = self.live.tape.close(&closing).await {
            // Only kept in memory then; the next start would call it interrupted.
            warn!(session = %self.live.id(), %why, "the end of a session could not be written");
        }
        self.ack(Instant::now(), self.durable());
        closing
    }

    fn verdict(&self, cut: &Cut) -> (End, Option<String>) {
        let cut_off = match cut {
            Cut::Ended => None,
            Cut::Lost { how } => Some(format!("the upload was cut off: {how}")),
            Cut::Killed(KillOrder { by, reason, .. }) => Some(format!("ended by {by}: {reason}")),
            Cut::Headless { after } => Some(headless(*after)),
            Cut::Stopped => Some(STOPPED.to_owned()),
            Cut::Disk { why } => Some(format!("the recorder could not write: {why}")),
        };
        let headless = match &self.header_error {
            Some(_) if self.received == 0 => Some("it ended before its first byte".to_owned()),
            Some(error) => Some(error.to_string()),
            None => None,
        };
        match (headless, cut_off) {
            (None, None) => (End::Ended, None),
            (None, Some(why)) => (End::Interrupted, Some(why)),
            (Some(why), None) => (End::Failed, Some(why)),
            (Some(why), Some(also)) => (End::Failed, Some(format!("{why}; {also}"))),
        }
    }
}

fn headless(after: Duration) -> String {
    format!("no header line came within {after:?}")
}

/// What is said of sessions that were open when the recorder stopped.
pub(super) const STOPPED: &str = "the recorder stopped";

async fn wait_for_room(waiting: &mut Option<(Bytes, WaitForRoom)>) -> Result<Room, Arc<str>> {
    match waiting {
        Some((_, room)) => room.await,
        None => std::future::pending().await,
    }
}

/// Finds out who it is and tells the trail that it started.
async fn introduce(
    recordings: Recordings,
    live: Arc<Live>,
    connection: Connection,
    header: Header,
    mut portrait: Portrait,
) {
    live.introduce(portrait.clone());
    portrait.resolve(&header, connection, recordings.resolver()).await;
    live.introduce(portrait.clone());
    match recordings.ledger().emit(portrait.started()).await {
        Ok(event) => live.started(event),
        // The event that ends it tells all of it once more.
        Err(error) => {
            warn!(session = %live.id(), error = with_causes(&error), "a session's start was not told")
        }
    }
}

async fn tell_mark(recordings: &Recordings, live: &Live, mark: Mark) {
    let draft = Draft {
        detail: Some(Detail::Mark(mark)),
        session: Some(live.id().clone()),
        ..Draft::new(Kind::RecordingMark, Timestamp::now())
    };
    match recordings.ledger().emit(draft).await {
        Ok(_) => live.marked(1),
        Err(error) => warn!(session = %live.id(), error = with_causes(&error), "a mark was not told"),
    }
}
