//! The writer thread: one write and one fdatasync for all that is queued.

use std::{
    collections::{HashMap, VecDeque},
    fs::File,
    io,
    os::unix::fs::FileExt,
    sync::{Arc, MutexGuard, PoisonError, mpsc},
    time::{Duration, Instant},
};

use bytes::Bytes;
use tracing::{error, warn};

use super::{
    Shared, file,
    frame::{Frame, FrameKind, HEAD},
    locked,
    tape::{Extent, Room, TapeState},
};
use crate::faults::Step;

/// The most that goes into one commit, so that nobody waits long for one that is under way.
const MAX_BATCH: usize = 1 << 20;

/// What one sender has in a commit before the next one's turn.
const QUANTUM: usize = 64 << 10;

/// Once a batch is this large, waiting for more gains nothing.
const WORTH_COMMITTING: usize = 256 << 10;

/// One frame to be written.
pub(super) struct Item {
    pub(super) tape: Arc<TapeState>,
    pub(super) kind: FrameKind,
    pub(super) offset: u64,
    pub(super) payload: Bytes,
    /// Given back to the budget when the item is dropped: durable, or failed.
    #[expect(dead_code, reason = "held for what dropping it does")]
    pub(super) room: Option<Room>,
}

/// What waits for the writer. Its size is bounded by the budget that senders take from.
///
/// Each sender has a lane, and the lanes take turns: who sends much waits behind themselves. In a lane all is in order.
#[derive(Default)]
pub(super) struct Queue {
    lanes: HashMap<u64, VecDeque<Item>>,
    /// Lanes that hold something, the one whose turn is next first.
    turns: VecDeque<u64>,
    bytes: usize,
    pub(super) rotate: bool,
    pub(super) stop: bool,
    /// Why nothing can be laid out at the moment.
    pub(super) stuck: Option<Arc<str>>,
}

impl Queue {
    pub(super) fn push(&mut self, item: Item) {
        self.bytes += item.payload.len();
        let lane = item.tape.lane;
        let waiting = self.lanes.entry(lane).or_default();
        if waiting.is_empty() {
            self.turns.push_back(lane);
        }
        waiting.push_back(item);
    }

    /// Whether a lane that need not wait holds something.
    fn is_ready(&self, waits: impl Fn(u64) -> bool) -> bool {
        self.turns.iter().any(|lane| !waits(*lane))
    }

    fn take(&mut self, waits: impl Fn(u64) -> bool) -> Vec<Item> {
        let (mut taken, mut size, mut passed_over) = (Vec::new(), 0, VecDeque::new());
        while size < MAX_BATCH
            && let Some(lane) = self.turns.pop_front()
        {
            if waits(lane) {
                passed_over.push_back(lane);
                continue;
            }
            let waiting = self.lanes.get_mut(&lane).expect("a lane with a turn holds something");
            let mut turn = 0;
            while turn < QUANTUM
                && let Some(item) = waiting.pop_front()
            {
                turn += Frame::size(item.payload.len());
                self.bytes -= item.payload.len();
                taken.push(item);
            }
            size += turn;
            if waiting.is_empty() {
                self.lanes.remove(&lane);
            } else {
                self.turns.push_back(lane);
            }
        }
        passed_over.append(&mut self.turns);
        self.turns = passed_over;
        taken
    }
}

/// The file that is written now.
struct Current {
    generation: u64,
    file: Arc<File>,
    end: u64,
    since: Instant,
    /// Bytes of each lane in it.
    lanes: HashMap<u64, u64>,
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    batch: u64,
    current: Option<Current>,
    finished: mpsc::Sender<u64>,
    buffer: Vec<u8>,
}

/// What the writer was woken for.
enum Turn {
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
            match self.wait() {
                Turn::Commit(items) => self.commit(items),
                Turn::Rotate => self.finish_current(),
                Turn::Stop => return self.finish_current(),
            }
        }
    }

    fn wait(&self) -> Turn {
        let mut queue = locked(&self.shared.queue);
        let mut gathered = self.shared.limits.gather.is_zero();
        loop {
            let slowed = self.is_slowed(&queue);
            let waits = |lane| slowed && self.has_its_part(lane);
            if queue.is_ready(waits) {
                if gathered || queue.stop || queue.bytes >= WORTH_COMMITTING {
                    return Turn::Commit(queue.take(waits));
                }
                gathered = true;
                drop(queue);
                std::thread::sleep(self.shared.limits.gather);
                queue = locked(&self.shared.queue);
                continue;
            }
            if std::mem::take(&mut queue.rotate) && self.current.is_some() {
                return Turn::Rotate;
            }
            if queue.stop {
                return Turn::Stop;
            }
            let due = match &self.current {
                Some(current) => self.shared.limits.rotate_every.saturating_sub(current.since.elapsed()),
                None => Duration::from_secs(3600),
            };
            if due.is_zero() {
                return Turn::Rotate;
            }
            queue = self.wait_for_bell(queue, due);
        }
    }

    /// Whether files are laid out slower than they are written. The senders that write most wait first, long before all
    /// have to.
    fn is_slowed(&self, queue: &Queue) -> bool {
        let behind = locked(&self.shared.files).len() > self.shared.limits.files / 2;
        behind && !queue.stop && queue.stuck.is_none()
    }

    /// Whether a lane has had an eighth of the current file.
    fn has_its_part(&self, lane: u64) -> bool {
        let written = self.current.as_ref().and_then(|current| current.lanes.get(&lane));
        written.is_some_and(|written| *written >= self.shared.limits.file / 8)
    }

    fn wait_for_bell<'a>(&self, queue: MutexGuard<'a, Queue>, longest: Duration) -> MutexGuard<'a, Queue> {
        self.shared.bell.wait_timeout(queue, longest).unwrap_or_else(PoisonError::into_inner).0
    }

    fn commit(&mut self, mut items: Vec<Item>) {
        // Bytes behind a hole would make the recording a lie.
        items.retain(|item| item.kind != FrameKind::Bytes || item.tape.durable.borrow().failed.is_none());
        match self.write(&items) {
            Ok(generation_and_start) => self.publish(items, generation_and_start),
            Err(why) => self.fail(items, &why),
        }
    }

    /// Writes and syncs the frames; returns where they start.
    fn write(&mut self, items: &[Item]) -> io::Result<(u64, u64)> {
        let size: usize = items.iter().map(|item| Frame::size(item.payload.len())).sum();
        self.batch += 1;
        let (batch, limit) = (self.batch, self.shared.limits.file);
        let rotate_every = self.shared.limits.rotate_every;
        if let Some(current) = &self.current
            && (current.end + size as u64 > limit || current.since.elapsed() >= rotate_every)
        {
            self.finish_current();
        }
        if self.current.is_none() {
            self.open_next()?;
        }
        let current = self.current.as_mut().expect("a file was just opened");
        self.buffer.clear();
        for Item { tape, kind, offset, payload, .. } in items {
            *current.lanes.entry(tape.lane).or_default() += Frame::size(payload.len()) as u64;
            let frame = Frame { kind: *kind, batch, number: tape.number(), offset: *offset, payload };
            frame.write(current.generation, &mut self.buffer);
        }
        let start = current.end;
        // A crash from here until the sync is done leaves any part of these frames: none was acknowledged,
        // and the checksums tell whole ones from torn ones.
        self.shared.faults.around(Step::WriteFrames, || current.file.write_all_at(&self.buffer, start))?;
        self.shared.faults.around(Step::SyncFrames, || current.file.sync_data())?;
        current.end += self.buffer.len() as u64;
        if self.buffer.capacity() > WORTH_COMMITTING * 2 {
            self.buffer = Vec::new();
        }
        Ok((current.generation, start))
    }

    fn open_next(&mut self) -> io::Result<()> {
        self.wait_for_layout()?;
        let mut next = locked(&self.shared.next);
        let generation = next.generation;
        let file = match next.made.take() {
            Some(file) => file,
            None => file::create(&self.shared, generation)?,
        };
        let file = Arc::new(file);
        locked(&self.shared.files).insert(generation, file.clone());
        next.generation += 1;
        drop(next);
        let (end, since, lanes) = (file::HEAD, Instant::now(), HashMap::new());
        self.current = Some(Current { generation, file, end, since, lanes });
        Ok(())
    }

    /// The last resort: senders wait while too many files are not laid out yet; they fail if that can't be.
    fn wait_for_layout(&self) -> io::Result<()> {
        loop {
            let waiting = locked(&self.shared.files).len();
            if waiting < self.shared.limits.files {
                return Ok(());
            }
            let queue = locked(&self.shared.queue);
            if let Some(why) = &queue.stuck {
                return Err(io::Error::other(why.to_string()));
            }
            if queue.stop {
                return Ok(());
            }
            drop(self.wait_for_bell(queue, Duration::from_millis(100)));
        }
    }

    fn finish_current(&mut self) {
        let Some(current) = self.current.take() else { return };
        if self.finished.send(current.generation).is_err() {
            warn!("the layout thread has stopped; the next start lays the journal out");
        }
    }

    fn publish(&self, items: Vec<Item>, (generation, mut at): (u64, u64)) {
        for item in items {
            let length = u32::try_from(item.payload.len()).expect("a payload is at most MAX_PAYLOAD");
            if item.kind == FrameKind::Bytes {
                let extent = Extent { generation, at: at + HEAD as u64, offset: item.offset, length };
                locked(&item.tape.placed).extents.push(extent);
            }
            at += Frame::size(item.payload.len()) as u64;
            item.tape.durable.send_modify(|durable| match item.kind {
                FrameKind::Open => durable.opened = true,
                FrameKind::Bytes => durable.bytes = item.offset + u64::from(length),
                FrameKind::Close => durable.closed = true,
                FrameKind::Done => {}
            });
        }
    }

    /// Whether these frames are on disk is not known: each session with bytes in them ends here, and the next
    /// frames go to a new file.
    fn fail(&mut self, items: Vec<Item>, why: &io::Error) {
        error!(error = %why, "the journal can't be written");
        self.finish_current();
        let why: Arc<str> = why.to_string().into();
        for item in items {
            item.tape.durable.send_modify(|durable| {
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

    fn tape(number: u64, lane: u64) -> Arc<TapeState> {
        let started = Timestamp::from_seconds(1_790_000_000).unwrap();
        let session = SessionId::new(started, "main", 1, number).unwrap();
        let (peer, protocol) = ("127.0.0.1:9".into(), "v2".into());
        Arc::new(TapeState::new(Opening { session, number, started, peer, protocol }, lane))
    }

    #[test]
    fn a_senders_flood_stands_before_nobody_else_and_keeps_its_order() {
        let mut queue = Queue::default();
        let (flood, other) = ([tape(1, 7), tape(2, 7)], tape(3, 8));
        let item = |tape: &Arc<TapeState>, offset, length| Item {
            tape: tape.clone(),
            kind: FrameKind::Bytes,
            offset,
            payload: Bytes::from(vec![0; length]),
            room: None,
        };
        for offset in 0..200 {
            queue.push(item(&flood[offset % 2], offset as u64, 40_000));
        }
        queue.push(item(&other, 0, 10));
        let none_waits = |_| false;
        assert!(!queue.is_ready(|_| true) && queue.take(|_| true).is_empty());
        let first = queue.take(|lane| lane == 7);
        assert!(
            first.len() == 1 && first[0].tape.number() == 3,
            "what another wrote too much holds up nobody"
        );
        queue.push(item(&other, 10, 10));
        let first = queue.take(none_waits);
        assert!(first.iter().any(|item| item.tape.number() == 3), "the other's turn comes at once");
        let size: usize = first.iter().map(|item| item.payload.len()).sum();
        assert!(size <= MAX_BATCH + QUANTUM + 40_000, "{size}");
        let mut flooded: Vec<u64> = Vec::new();
        let mut taken = first;
        while !taken.is_empty() {
            flooded.extend(taken.iter().filter(|item| item.tape.lane == 7).map(|item| item.offset));
            taken = queue.take(none_waits);
        }
        assert!(flooded.is_sorted() && flooded.len() == 200);
        assert!(!queue.is_ready(none_waits) && queue.bytes == 0 && queue.lanes.is_empty());
    }
}
