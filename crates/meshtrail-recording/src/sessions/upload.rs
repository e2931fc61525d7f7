//! [`Upload`]: receives one recording into the journal, and acks durable bytes.
//!
//! The user's terminal waits for the recorder, so an upload never waits for the store, the trail or the resolver. It
//! stops reading only while the limit of bytes that are not durable is reached: of the session, of the sender or in
//! total.

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

use super::{LiveSession, Recordings};
use crate::{
    cast::{Anomalies, Header, HeaderError, MAX_HEADER},
    journal::{AppendPermit, Closing},
    protocol::AckSlot,
    refusal::StopReason,
    session_identity::SessionIdentity,
};

type PermitFuture = Pin<Box<dyn Future<Output = Result<AppendPermit, Arc<str>>> + Send>>;

/// A running upload.
pub(crate) struct Upload<B> {
    recordings: Recordings,
    live: Arc<LiveSession>,
    body: B,
    /// The ack stream; `None` in protocol v1.
    acks: Option<Arc<AckSlot>>,
    version: hyper::Version,
    /// Both ends of the sender's connection.
    connection: Connection,
    /// Cancelled when the listener stops.
    halt: CancellationToken,
    /// The sender's share of the bytes that are not durable.
    share: PeerRoom,
    began: Instant,
    hasher: Sha256,
    received: u64,
    /// The received part of the first line; `None` once the line is parsed.
    first_line: Option<Vec<u8>>,
    header_error: Option<HeaderError>,
    /// The task that resolves the identity and appends the start event.
    start_task: Option<JoinHandle<()>>,
    acked: u64,
    /// When the last frame was sent.
    framed_at: Instant,
    /// When the last frame that acknowledged more bytes was sent.
    acked_at: Instant,
    marks: Marks,
}

/// The schedule of a session's marks.
struct Marks {
    /// The time of the last mark, and the bytes that it covers.
    at: Instant,
    bytes: u64,
    /// The next mark's digest, until its bytes are durable.
    pending: Option<(u64, String)>,
    /// A mark is being appended. The next one is made after that.
    appending: Arc<AtomicBool>,
}

enum Step {
    Received(Bytes),
    Nothing,
    Stop(StopReason),
}

impl<B> Upload<B>
where
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    pub(crate) fn new(
        recordings: Recordings,
        live: Arc<LiveSession>,
        (body, version): (B, hyper::Version),
        acks: Option<Arc<AckSlot>>,
        (connection, share, halt): (Connection, PeerRoom, CancellationToken),
    ) -> Self {
        let now = Instant::now();
        let appending = Arc::new(AtomicBool::new(false));
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
            start_task: None,
            acked: 0,
            framed_at: now,
            acked_at: now,
            marks: Marks { at: now, bytes: 0, pending: None, appending },
        }
    }

    /// Runs until the upload stops. Then all received bytes are durable, or have failed, and the session is being
    /// sealed.
    pub(crate) async fn run(mut self) -> StopReason {
        let stop = self.receive().await;
        let closing = self.finish(&stop).await;
        self.live.close(closing.clone());
        let Self { recordings, live, start_task, .. } = self;
        let sealing = super::sealing::seal(recordings.clone(), live, closing, start_task, Vec::new());
        recordings.tasks().spawn(sealing);
        stop
    }

    async fn receive(&mut self) -> StopReason {
        let mut durable = self.live.stream.watch_durable();
        let mut waiting: Option<(Bytes, PermitFuture)> = None;
        loop {
            let next_due = self.next_due();
            let is_waiting = waiting.is_some();
            let step = tokio::select! {
                biased;
                order = self.live.wait_for_kill() => Step::Stop(StopReason::Killed(order)),
                () = self.halt.cancelled() => Step::Stop(StopReason::RecorderStopped),
                permit = wait_for_permit(&mut waiting), if is_waiting => match (permit, waiting.take()) {
                    (Ok(permit), Some((bytes, _))) => { self.append(bytes, permit); Step::Nothing }
                    (Err(why), _) => Step::Stop(StopReason::WriteFailed { why: why.to_string() }),
                    (Ok(_), None) => Step::Nothing,
                },
                frame = self.body.frame(), if !is_waiting => self.step_of(frame),
                _ = durable.changed() => {
                    let failed = durable.borrow_and_update().failed.clone();
                    failed.map_or(Step::Nothing, |why| {
                        Step::Stop(StopReason::WriteFailed { why: why.to_string() })
                    })
                }
                () = tokio::time::sleep_until(next_due) => Step::Nothing,
            };
            match step {
                Step::Received(bytes) => match self.try_acquire_room(bytes.len()) {
                    Some(permit) => self.append(bytes, permit),
                    None => {
                        let permit = self.acquire_room(bytes.len());
                        waiting = Some((bytes, permit));
                    }
                },
                Step::Nothing => {}
                Step::Stop(reason) => return reason,
            }
            // While there is no room for received bytes, the sender is not late.
            if waiting.is_none()
                && let Some(after) = self.header_overdue()
            {
                return StopReason::NoHeader { after };
            }
            self.send_due();
        }
    }

    /// A permit to append bytes, if there is room now: in the sender's share, the session's limit and the total.
    fn try_acquire_room(&self, length: usize) -> Option<AppendPermit> {
        let share = self.share.try_acquire(length)?;
        Some(self.live.stream.try_acquire_room(length)?.with_share(share))
    }

    fn acquire_room(&self, length: usize) -> PermitFuture {
        let (live, share) = (self.live.clone(), self.share.clone());
        Box::pin(async move {
            let share = share.acquire(length).await;
            Ok(live.stream.acquire_room(length).await?.with_share(share))
        })
    }

    /// The timeout of the header line, if the line has exceeded it.
    fn header_overdue(&self) -> Option<Duration> {
        let timeout = self.recordings.config().header_timeout;
        (self.first_line.is_some() && self.began.elapsed() >= timeout).then_some(timeout)
    }

    fn step_of(&self, frame: Option<Result<Frame<Bytes>, B::Error>>) -> Step {
        match frame {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(bytes) if !bytes.is_empty() => Step::Received(bytes),
                _ => Step::Nothing,
            },
            Some(Err(error)) => Step::Stop(StopReason::Lost { how: with_causes(&error) }),
            // Only this tells a stream that was reset without an error from a complete one.
            None if self.version == hyper::Version::HTTP_2 && !self.body.is_end_stream() => {
                Step::Stop(StopReason::Lost { how: "the sender reset the stream".to_owned() })
            }
            None => Step::Stop(StopReason::Ended),
        }
    }

    /// Hashes bytes, sends them to followers, and queues them for the journal.
    fn append(&mut self, bytes: Bytes, permit: AppendPermit) {
        self.hasher.update(&bytes);
        self.received += bytes.len() as u64;
        self.live.publish(&bytes);
        if self.first_line.is_some() {
            self.read_first_line(&bytes);
        }
        self.live.stream.append(bytes, permit);
    }

    fn read_first_line(&mut self, bytes: &[u8]) {
        let Some(line) = &mut self.first_line else { return };
        let end = bytes.iter().position(|&byte| byte == b'\n');
        let more = &bytes[..end.unwrap_or(bytes.len())];
        // One byte more than a header may have: enough to tell that it is too long.
        line.extend_from_slice(&more[..more.len().min(MAX_HEADER + 1 - line.len())]);
        if end.is_none() && line.len() <= MAX_HEADER {
            return;
        }
        let line = self.first_line.take().unwrap_or_default();
        let mut anomalies = Anomalies::default();
        match Header::parse(&line, &mut anomalies) {
            Ok(header) => {
                let identity = SessionIdentity::from_header(self.live.stream.opening(), &header, &anomalies);
                let (recordings, live) = (self.recordings.clone(), self.live.clone());
                let start_task = record_start(recordings, live, self.connection, header, identity);
                self.start_task = Some(tokio::spawn(start_task));
            }
            Err(error) => self.header_error = Some(error),
        }
    }

    /// When the next frame, mark or timeout is due.
    fn next_due(&self) -> Instant {
        let config = self.recordings.config();
        let mut next = self.framed_at + config.keep_alive;
        let header_due = self.began + config.header_timeout;
        if self.first_line.is_some() && header_due > Instant::now() {
            next = next.min(header_due);
        }
        if self.durable() > self.acked {
            next = next.min(self.acked_at + config.ack_every);
        }
        if self.received > self.marks.bytes {
            next = next.min(self.marks.at + config.mark_every);
        }
        // The time of a mark that waits for durable bytes may have passed. The change of those bytes wakes this task.
        next.max(Instant::now() + Duration::from_millis(1))
    }

    /// Sends a frame and makes a mark, if they are due.
    fn send_due(&mut self) {
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
        self.live.stream.durable_bytes()
    }

    /// Binds the bytes so far into the trail by a mark, at intervals of bytes and time, once they are durable.
    fn mark(&mut self, now: Instant, durable: u64) {
        let config = self.recordings.config();
        let new = self.received - self.marks.bytes;
        let due = new >= config.mark_bytes || (new > 0 && now - self.marks.at >= config.mark_every);
        if due && self.marks.pending.is_none() && !self.marks.appending.load(Ordering::Acquire) {
            self.marks.pending = Some((self.received, hex::encode(self.hasher.clone().finalize())));
        }
        let Some((bytes, sha256)) = self.marks.pending.take_if(|(bytes, _)| *bytes <= durable) else {
            return;
        };
        self.marks.at = now;
        self.marks.bytes = bytes;
        // Without a permit this mark is left out; a later one covers its bytes.
        let Ok(permit) = self.recordings.inner.mark_permits.clone().try_acquire_owned() else { return };
        let mark = Mark { bytes: Some(bytes), sha256: Some(sha256) };
        let (recordings, live, appending) =
            (self.recordings.clone(), self.live.clone(), self.marks.appending.clone());
        appending.store(true, Ordering::Release);
        self.recordings.tasks().spawn(async move {
            append_mark(&recordings, &live, mark).await;
            appending.store(false, Ordering::Release);
            drop(permit);
        });
    }

    /// Waits until all received bytes are durable, and closes the session.
    async fn finish(&mut self, stop: &StopReason) -> Closing {
        let live = self.live.clone();
        let mut flushed = std::pin::pin!(live.stream.wait_flushed());
        let flushed = loop {
            tokio::select! {
                flushed = &mut flushed => break flushed,
                // Without frames the sender would time out, although its recording is complete.
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
        let (end, reason) = stop.end(self.header_error.as_ref(), self.received);
        let closing = Closing {
            end,
            reason,
            ended: Timestamp::now(),
            bytes: self.durable(),
            sha256: complete.then(|| hex::encode(self.hasher.clone().finalize())),
        };
        if let Err(why) = self.live.stream.close(&closing).await {
            // Then the closing is in memory only, and the next start would end the session as interrupted.
            warn!(session = %self.live.id(), %why, "the end of a session could not be written");
        }
        self.ack(Instant::now(), self.durable());
        closing
    }
}

async fn wait_for_permit(waiting: &mut Option<(Bytes, PermitFuture)>) -> Result<AppendPermit, Arc<str>> {
    match waiting {
        Some((_, permit)) => permit.await,
        None => std::future::pending().await,
    }
}

/// Resolves the session's identity, and appends its start event.
async fn record_start(
    recordings: Recordings,
    live: Arc<LiveSession>,
    connection: Connection,
    header: Header,
    mut identity: SessionIdentity,
) {
    live.set_identity(identity.clone());
    identity.resolve(&header, connection, recordings.resolver()).await;
    live.set_identity(identity.clone());
    match recordings.ledger().emit(identity.start_event()).await {
        Ok(event) => live.set_start_event(event),
        // The terminal event contains the same facts.
        Err(error) => {
            warn!(session = %live.id(), error = with_causes(&error), "a session's start was not told")
        }
    }
}

async fn append_mark(recordings: &Recordings, live: &LiveSession, mark: Mark) {
    let draft = Draft {
        detail: Some(Detail::Mark(mark)),
        session: Some(live.id().clone()),
        ..Draft::new(Kind::RecordingMark, Timestamp::now())
    };
    match recordings.ledger().emit(draft).await {
        Ok(_) => live.add_marks(1),
        Err(error) => warn!(session = %live.id(), error = with_causes(&error), "a mark was not told"),
    }
}
