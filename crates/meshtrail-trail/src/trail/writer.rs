//! The writer thread: orders events, and syncs all waiting batches with one commit.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use meshtrail_event::Timestamp;
use meshtrail_log::LogWriter;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot};

use super::AppendError;
use super::append::AppendOutcome;
use super::log_index::{ClosedFile, Commit};
use super::shared::Shared;
use crate::dedupe::{Dedupe, Novelty};
use crate::tree::Hash;
use crate::wal::{self, BATCH, Batch, FORMAT, WalError};

/// How long the writer polls the queue before it sleeps.
const WATCH: Duration = Duration::from_micros(40);
/// The size from which a commit takes no further batches.
const MAX_COMMIT: usize = 4 << 20;
/// Bytes of a frame besides its entries, at most.
const FRAME_OVERHEAD: usize = 64;

pub(super) type Answer = Result<Vec<AppendOutcome>, AppendError>;

/// A batch to append atomically.
pub(super) struct Request {
    pub(super) batch: Batch,
    pub(super) reply: oneshot::Sender<Answer>,
}

/// A message to the writer.
pub(super) enum Message {
    Append(Request),
    /// Close the current log file, so that it can be sealed.
    Rotate(oneshot::Sender<()>),
    /// End after the queued batches.
    Stop,
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    queue: mpsc::Receiver<Message>,
    folder: PathBuf,
    dedupe: Dedupe,
    next: u64,
    /// The next file's generation.
    generation: u64,
    current: Option<Current>,
    /// The next file, created while the current one fills.
    prepared: Option<JoinHandle<Result<LogWriter, WalError>>>,
    pending: PendingCommit,
}

/// The log file being written.
struct Current {
    log: LogWriter,
    first: u64,
}

/// The contents of the next commit.
#[derive(Default)]
struct PendingCommit {
    frames: Vec<u8>,
    first: u64,
    hashes: Vec<Hash>,
    replies: Vec<(oneshot::Sender<Answer>, Vec<AppendOutcome>)>,
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        queue: mpsc::Receiver<Message>,
        folder: PathBuf,
        dedupe: Dedupe,
        next: u64,
        generation: u64,
    ) -> Self {
        let (current, prepared, pending) = (None, None, PendingCommit::default());
        Self { shared, queue, folder, dedupe, next, generation, current, prepared, pending }
    }

    pub(super) fn run(mut self) {
        while let Some(message) = self.next_message() {
            let mut going = self.handle(message);
            while going && self.pending.frames.len() < MAX_COMMIT {
                let Ok(message) = self.queue.try_recv() else { break };
                going = self.handle(message);
            }
            self.commit();
            if !going {
                break;
            }
            self.wait_for_room();
        }
        self.mark();
        self.close_current();
        // A file that was prepared and never used is removed at the next start.
        drop(self.prepared.take().map(JoinHandle::join));
        // The closed channel is the answer to requests in the queue and later ones.
        self.queue.close();
    }

    /// The next message; none once all senders are dropped.
    ///
    /// A sender often sends again within microseconds of its answer, faster than a sleeping thread is woken: so the queue
    /// is polled briefly before sleeping.
    fn next_message(&mut self) -> Option<Message> {
        let asleep_at = Instant::now() + WATCH;
        loop {
            match self.queue.try_recv() {
                Ok(message) => return Some(message),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) if Instant::now() < asleep_at => std::hint::spin_loop(),
                Err(TryRecvError::Empty) => break,
            }
        }
        self.mark();
        self.queue.blocking_recv()
    }

    fn handle(&mut self, message: Message) -> bool {
        match message {
            Message::Append(Request { batch, reply }) => match self.add_batch(&batch) {
                Ok(appended) => self.pending.replies.push((reply, appended)),
                Err(error) => answer(reply, Err(error)),
            },
            Message::Rotate(done) => {
                self.commit();
                self.close_current();
                // The receiver may be gone.
                done.send(()).ok();
            }
            Message::Stop => return false,
        }
        true
    }

    fn add_batch(&mut self, batch: &Batch) -> Answer {
        if self.shared.edge().stopped.is_some() {
            return Err(self.shared.closed());
        }
        // Reserve room first: on a full disk this batch is refused and nothing changes.
        self.make_room(batch.entries.len() + FRAME_OVERHEAD).map_err(|error| no_room(&error))?;
        let novelty = self.dedupe.record(batch.events.iter().map(|event| &event.id))?;
        let first = self.next;
        if self.pending.hashes.is_empty() {
            self.pending.first = first;
        }
        let mut appended = Vec::with_capacity(batch.events.len());
        for (event, novelty) in batch.events.iter().zip(&novelty) {
            appended.push(match novelty {
                Novelty::Duplicate => AppendOutcome::Duplicate { index: None },
                Novelty::New => {
                    let index = self.next;
                    self.next += 1;
                    self.pending.hashes.push(event.hash);
                    AppendOutcome::New { index, id: event.id.clone() }
                }
            });
        }
        if self.next > first {
            self.frame(batch, &novelty, first);
        }
        Ok(appended)
    }

    fn frame(&mut self, batch: &Batch, novelty: &[Novelty], first: u64) {
        let current = self.current.as_ref().expect("room was made in a file");
        let count = u32::try_from(self.next - first).expect("a batch is at most 4 MiB");
        let (frames, generation) = (&mut self.pending.frames, current.log.file().generation);
        FORMAT.write(frames, generation, BATCH, [current.log.tail()], |out| {
            wal::begin_batch(out, first, Timestamp::now(), count);
            if count as usize == batch.events.len() {
                return out.extend_from_slice(&batch.entries);
            }
            for (at, event) in batch.events.iter().enumerate().filter(|(at, _)| novelty[*at] == Novelty::New)
            {
                out.extend_from_slice(&batch.entries[event.at..batch.end_of(at)]);
            }
        });
    }

    /// Reserves room in the log for the pending bytes and `bytes` more.
    fn make_room(&mut self, bytes: usize) -> Result<(), WalError> {
        let config = &self.shared.config;
        let full = |current: &Current| {
            self.next - current.first >= config.segment_events || current.log.tail() >= config.segment_bytes
        };
        if self.current.as_ref().is_some_and(full) {
            self.commit();
            self.close_current();
        }
        if self.current.is_none() {
            let log = self.next_file()?;
            self.current = Some(Current { log, first: self.next });
        }
        let wanted = self.pending.frames.len() + bytes;
        let Some(Current { log, .. }) = &mut self.current else { return Ok(()) };
        log.reserve(wanted).map_err(WalError::disk("make room in", &log.file().path))
    }

    /// Takes the prepared file, or creates one.
    fn next_file(&mut self) -> Result<LogWriter, WalError> {
        let prepared = self.prepared.take().and_then(|making| making.join().ok()?.ok());
        let log = match prepared {
            Some(log) => log,
            None => wal::create(&self.folder, self.generation, 0, &self.shared.config.faults)?,
        };
        self.generation += 1;
        Ok(log)
    }

    /// Starts to create the next file once the current one is half full, with as much room as this one is expected to
    /// need, so that appends at a steady rate don't wait for room.
    fn prepare(&mut self) {
        let Some(current) = self.current.as_ref().filter(|_| self.prepared.is_none()) else { return };
        let config = &self.shared.config;
        let bytes = current.log.tail();
        if (self.next - current.first) * 2 < config.segment_events && bytes * 2 < config.segment_bytes {
            return;
        }
        let room = (bytes * 2).min(config.segment_bytes) + (MAX_COMMIT as u64);
        let (folder, generation, faults) = (self.folder.clone(), self.generation, config.faults.clone());
        let make = move || wal::create(&folder, generation, room, &faults);
        // Without a thread the file is created when it is needed.
        self.prepared = std::thread::Builder::new().name("trail-prepare".into()).spawn(make).ok();
    }

    /// Writes and syncs the pending commit, and answers. After a failure no more events are accepted.
    fn commit(&mut self) {
        let mut pending = std::mem::take(&mut self.pending);
        if pending.replies.is_empty() {
            return;
        }
        if self.shared.edge().stopped.is_some() {
            for (reply, _) in pending.replies {
                answer(reply, Err(self.shared.closed()));
            }
            return;
        }
        match self.write(&pending) {
            Ok(()) => {
                for (reply, appended) in pending.replies.drain(..) {
                    answer(reply, Ok(appended));
                }
                self.reuse(pending);
                self.prepare();
            }
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::error!(error, "the log can't be written");
                self.shared.stop("writing the local log failed; free or replace the disk, then restart");
                for (reply, _) in pending.replies {
                    answer(reply, Err(self.shared.closed()));
                }
            }
        }
    }

    /// Makes the pending commit durable, then visible.
    fn write(&mut self, pending: &PendingCommit) -> Result<(), WalError> {
        let Some(current) = self.current.as_mut().filter(|_| !pending.hashes.is_empty()) else {
            return Ok(());
        };
        let at = current.log.tail();
        let written = current.log.append(&pending.frames);
        written.map_err(WalError::disk("write to", &current.log.file().path))?;
        let commit = Commit {
            first: pending.first,
            count: pending.hashes.len() as u64,
            file: current.log.file().clone(),
            at,
            length: pending.frames.len(),
        };
        let mut edge = self.shared.edge();
        pending.hashes.iter().for_each(|hash| edge.tail.push(*hash));
        edge.log_index.since.get_or_insert_with(Timestamp::now);
        edge.log_index.commits.push_back(commit);
        drop(edge);
        self.shared.size.send_replace(self.next);
        Ok(())
    }

    /// Reuses the buffers, unless they have grown unusually large.
    fn reuse(&mut self, mut pending: PendingCommit) {
        if pending.frames.capacity() <= 2 * MAX_COMMIT {
            pending.frames.clear();
            pending.hashes.clear();
            self.pending = pending;
        }
    }

    /// Marks in the log that the last frame is synced, so that damage to it is detected as well.
    fn mark(&self) {
        if let Some(Err(error)) = self.current.as_ref().map(|current| wal::mark(&current.log)) {
            tracing::warn!(%error, "the log's end could not be marked");
        }
    }

    /// Passes the current file to the sealer, if it has events.
    fn close_current(&mut self) {
        let Some(current) = self.current.take_if(|current| self.next > current.first) else { return };
        let file = current.log.file();
        let closed = ClosedFile {
            generation: file.generation,
            path: file.path.clone(),
            first: current.first,
            end: self.next,
            bytes: current.log.tail(),
        };
        if let Err(error) = wal::mark(&current.log) {
            tracing::warn!(%error, "the log's end could not be marked");
        }
        self.shared.edge().closed.push_back(closed);
        self.shared.wakeup.notify_all();
    }

    /// Blocks, and with it the senders, while too many files wait for the store.
    fn wait_for_room(&self) {
        let mut edge = self.shared.edge();
        while edge.is_full(&self.shared.config) && edge.stopped.is_none() && !edge.closing && !edge.rotating {
            edge = self.shared.wakeup.wait(edge).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn no_room(error: &WalError) -> AppendError {
    let cause = std::error::Error::source(error).map(|cause| format!("{error} ({cause})"));
    AppendError::NoRoom { reason: cause.unwrap_or_else(|| error.to_string()).into() }
}

fn answer(reply: oneshot::Sender<Answer>, result: Answer) {
    // A sender that is gone retries under the same id.
    reply.send(result).ok();
}
