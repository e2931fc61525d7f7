//! The writer thread: commits queued frames of all sessions with one write and one fdatasync.

use std::{
    collections::{HashMap, VecDeque},
    io,
    sync::{Arc, MutexGuard, PoisonError, mpsc},
    time::{Duration, Instant},
};

use bytes::Bytes;
use meshtrail_log::LogWriter;
use tracing::{error, warn};

use super::{
    Shared, file,
    frame::{FORMAT, Frame, FrameKind},
    lock,
    session_stream::{AppendPermit, Extent, StreamState},
};

/// The size of a commit's batch, which limits the time that others wait for it.
const MAX_BATCH: usize = 1 << 20;

/// The bytes of one lane before the next lane's turn.
const QUANTUM: usize = 64 << 10;

/// The size of queued bytes from which the writer does not wait for more.
const COMMIT_AT_ONCE: usize = 256 << 10;

/// One queued frame.
pub(super) struct Item {
    pub(super) stream: Arc<StreamState>,
    pub(super) kind: FrameKind,
    pub(super) offset: u64,
    pub(super) payload: Bytes,
    /// Returned to the budget when the item is dropped: it is durable then, or has failed.
    #[expect(dead_code, reason = "held for what dropping it does")]
    pub(super) permit: Option<AppendPermit>,
}

/// Frames that wait for the writer. The permits of senders limit its size.
///
/// Each sender has a lane. The lanes are served in turn (round robin by bytes), so that a sender with many bytes delays
/// only itself. Within a lane frames stay in order.
#[derive(Default)]
pub(super) struct Queue {
    lanes: HashMap<u64, VecDeque<Item>>,
    /// Lanes that are not empty; the next one to be served is first.
    ready_lanes: VecDeque<u64>,
    bytes: usize,
    pub(super) rotate: bool,
    pub(super) stop: bool,
    /// Why the last attempt to lay out a file failed; `None` once one succeeds.
    pub(super) layout_error: Option<Arc<str>>,
}

impl Queue {
    pub(super) fn push(&mut self, item: Item) {
        self.bytes += item.payload.len();
        let lane = item.stream.lane;
        let waiting = self.lanes.entry(lane).or_default();
        if waiting.is_empty() {
            self.ready_lanes.push_back(lane);
        }
        waiting.push_back(item);
    }

    /// Whether a lane has frames and need not wait.
    fn is_ready(&self, must_wait: impl Fn(u64) -> bool) -> bool {
        self.ready_lanes.iter().any(|lane| !must_wait(*lane))
    }

    /// Takes a batch from the lanes that need not wait.
    fn take_batch(&mut self, must_wait: impl Fn(u64) -> bool) -> Vec<Item> {
        let (mut taken, mut size, mut passed_over) = (Vec::new(), 0, VecDeque::new());
        while size < MAX_BATCH
            && let Some(lane) = self.ready_lanes.pop_front()
        {
            if must_wait(lane) {
                passed_over.push_back(lane);
                continue;
            }
            let waiting = self.lanes.get_mut(&lane).expect("a ready lane is not empty");
            let mut served = 0;
            while served < QUANTUM
                && let Some(item) = waiting.pop_front()
            {
                served += FORMAT.size(item.payload.len());
                self.bytes -= item.payload.len();
                taken.push(item);
            }
            size += served;
            if waiting.is_empty() {
                self.lanes.remove(&lane);
            } else {
                self.ready_lanes.push_back(lane);
            }
        }
        passed_over.append(&mut self.ready_lanes);
        self.ready_lanes = passed_over;
        taken
    }
}

/// The journal file that is being written.
struct Current {
    log: LogWriter,
    since: Instant,
    /// The bytes of each lane in the file.
    lanes: HashMap<u64, u64>,
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    batch: u64,
    current: Option<Current>,
    finished: mpsc::Sender<u64>,
    buffer: Vec<u8>,
}

/// The writer's next task.
enum Task {
    Commit(Vec<Item>),
    Rotate,
    Stop,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, finished: mpsc::Sender<u64>) -> Self {
        Self { shared, batch: 0, current: None, finished, buffer: Vec::new() }
    }

    pub(super) fn run(mut self) {
        loop {
            match self.wait_for_task() {
                Task::Commit(items) => self.commit(items),
                Task::Rotate => self.finish_current(),
                Task::Stop => return self.finish_current(),
            }
        }
    }

    fn wait_for_task(&self) -> Task {
        let mut queue = lock(&self.shared.queue);
        let mut gathered = self.shared.limits.gather_time.is_zero();
        loop {
            let throttled = self.is_layout_behind(&queue);
            let must_wait = |lane| throttled && self.has_used_share(lane);
            if queue.is_ready(must_wait) {
                if gathered || queue.stop || queue.bytes >= COMMIT_AT_ONCE {
                    return Task::Commit(queue.take_batch(must_wait));
                }
                gathered = true;
                drop(queue);
                std::thread::sleep(self.shared.limits.gather_time);
                queue = lock(&self.shared.queue);
                continue;
            }
            if std::mem::take(&mut queue.rotate) && self.current.is_some() {
                return Task::Rotate;
            }
            if queue.stop {
                return Task::Stop;
            }
            let due = match &self.current {
                Some(current) => self.shared.limits.rotate_every.saturating_sub(current.since.elapsed()),
                None => Duration::from_secs(3600),
            };
            if due.is_zero() {
                return Task::Rotate;
            }
            queue = self.wait_for_wakeup(queue, due);
        }
    }

    /// Whether files are laid out more slowly than they are written. Then the senders that write most wait, before all
    /// have to.
    fn is_layout_behind(&self, queue: &Queue) -> bool {
        let behind = lock(&self.shared.files).len() > self.shared.limits.max_files / 2;
        behind && !queue.stop && queue.layout_error.is_none()
    }

    /// Whether a lane has written an eighth of the current file.
    fn has_used_share(&self, lane: u64) -> bool {
        let written = self.current.as_ref().and_then(|current| current.lanes.get(&lane));
        written.is_some_and(|written| *written >= self.shared.limits.file_size / 8)
    }

    fn wait_for_wakeup<'a>(&self, queue: MutexGuard<'a, Queue>, longest: Duration) -> MutexGuard<'a, Queue> {
        self.shared.wakeup.wait_timeout(queue, longest).unwrap_or_else(PoisonError::into_inner).0
    }

    fn commit(&mut self, mut items: Vec<Item>) {
        // Bytes after lost bytes would falsify the recording.
        items.retain(|item| item.kind != FrameKind::Bytes || item.stream.durable.borrow().failed.is_none());
        match self.write(&items) {
            Ok(generation_and_start) => self.publish(items, generation_and_start),
            Err(why) => self.fail(items, &why),
        }
    }

    /// Writes and syncs the frames; returns the generation and the position of the first.
    fn write(&mut self, items: &[Item]) -> io::Result<(u64, u64)> {
        let size: usize = items.iter().map(|item| FORMAT.size(item.payload.len())).sum();
        self.batch += 1;
        let (batch, limit) = (self.batch, self.shared.limits.file_size);
        let rotate_every = self.shared.limits.rotate_every;
        if let Some(current) = &self.current
            && (current.log.tail() + size as u64 > limit || current.since.elapsed() >= rotate_every)
        {
            self.finish_current();
        }
        if self.current.is_none() {
            self.open_next()?;
        }
        let Current { log, lanes, .. } = self.current.as_mut().expect("a file was just opened");
        let (generation, start) = (log.file().generation, log.tail());
        self.buffer.clear();
        for Item { stream, kind, offset, payload, .. } in items {
            *lanes.entry(stream.lane).or_default() += FORMAT.size(payload.len()) as u64;
            let frame = Frame { kind: *kind, batch, number: stream.number(), offset: *offset, payload };
            frame.write(generation, &mut self.buffer);
        }
        log.append(&self.buffer)?;
        if self.buffer.capacity() > COMMIT_AT_ONCE * 2 {
            self.buffer = Vec::new();
        }
        Ok((generation, start))
    }

    fn open_next(&mut self) -> io::Result<()> {
        self.wait_for_layout()?;
        let mut next = lock(&self.shared.next);
        let generation = next.generation;
        let log = match next.file.take() {
            Some(log) => log,
            None => file::create(&self.shared, generation)?,
        };
        lock(&self.shared.files).insert(generation, log.file().clone());
        next.generation += 1;
        drop(next);
        self.current = Some(Current { log, since: Instant::now(), lanes: HashMap::new() });
        Ok(())
    }

    /// Waits while too many files are not laid out, and with it all senders. Fails if layout fails.
    fn wait_for_layout(&self) -> io::Result<()> {
        loop {
            let unfinished = lock(&self.shared.files).len();
            if unfinished < self.shared.limits.max_files {
                return Ok(());
            }
            let queue = lock(&self.shared.queue);
            if let Some(why) = &queue.layout_error {
                return Err(io::Error::other(why.to_string()));
            }
            if queue.stop {
                return Ok(());
            }
            drop(self.wait_for_wakeup(queue, Duration::from_millis(100)));
        }
    }

    fn finish_current(&mut self) {
        let Some(current) = self.current.take() else { return };
        if self.finished.send(current.log.file().generation).is_err() {
            warn!("the layout thread has stopped; the next start lays the journal out");
        }
    }

    fn publish(&self, items: Vec<Item>, (generation, mut at): (u64, u64)) {
        for item in items {
            let length = u32::try_from(item.payload.len()).expect("a payload is at most MAX_PAYLOAD");
            if item.kind == FrameKind::Bytes {
                let extent =
                    Extent { generation, at: at + FORMAT.head_size() as u64, offset: item.offset, length };
                lock(&item.stream.locations).extents.push(extent);
            }
            at += FORMAT.size(item.payload.len()) as u64;
            item.stream.durable.send_modify(|durable| match item.kind {
                FrameKind::Open => durable.opened = true,
                FrameKind::Bytes => durable.bytes = item.offset + u64::from(length),
                FrameKind::Close => durable.closed = true,
                FrameKind::Done => {}
            });
        }
    }

    /// Ends each session that has frames in the failed commit, since it is unknown which of them are on disk. The next
    /// frames go to a new file.
    fn fail(&mut self, items: Vec<Item>, why: &io::Error) {
        error!(error = %why, "the journal can't be written");
        self.finish_current();
        let why: Arc<str> = why.to_string().into();
        for item in items {
            item.stream.durable.send_modify(|durable| {
                durable.failed.get_or_insert_with(|| why.clone());
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use meshtrail_event::{SessionId, Timestamp};

    use super::*;
    use crate::journal::Opening;

    fn stream(number: u64, lane: u64) -> Arc<StreamState> {
        let started = Timestamp::from_seconds(1_790_000_000).unwrap();
        let session = SessionId::new(started, "main", 1, number).unwrap();
        let (peer, protocol) = ("127.0.0.1:9".into(), "v2".into());
        Arc::new(StreamState::new(Opening { session, number, started, peer, protocol }, lane))
    }

    #[test]
    fn a_senders_flood_stands_before_nobody_else_and_keeps_its_order() {
        let mut queue = Queue::default();
        let (flood, other) = ([stream(1, 7), stream(2, 7)], stream(3, 8));
        let item = |stream: &Arc<StreamState>, offset, length| Item {
            stream: stream.clone(),
            kind: FrameKind::Bytes,
            offset,
            payload: Bytes::from(vec![0; length]),
            permit: None,
        };
        for offset in 0..200 {
            queue.push(item(&flood[offset % 2], offset as u64, 40_000));
        }
        queue.push(item(&other, 0, 10));
        let no_lane_waits = |_| false;
        assert!(!queue.is_ready(|_| true) && queue.take_batch(|_| true).is_empty());
        let first = queue.take_batch(|lane| lane == 7);
        assert!(
            first.len() == 1 && first[0].stream.number() == 3,
            "what another wrote too much holds up nobody"
        );
        queue.push(item(&other, 10, 10));
        let first = queue.take_batch(no_lane_waits);
        assert!(first.iter().any(|item| item.stream.number() == 3), "the other's turn comes at once");
        let size: usize = first.iter().map(|item| item.payload.len()).sum();
        assert!(size <= MAX_BATCH + QUANTUM + 40_000, "{size}");
        let mut flooded: Vec<u64> = Vec::new();
        let mut taken = first;
        while !taken.is_empty() {
            flooded.extend(taken.iter().filter(|item| item.stream.lane == 7).map(|item| item.offset));
            taken = queue.take_batch(no_lane_waits);
        }
        assert!(flooded.is_sorted() && flooded.len() == 200);
        assert!(!queue.is_ready(no_lane_waits) && queue.bytes == 0 && queue.lanes.is_empty());
    }
}
