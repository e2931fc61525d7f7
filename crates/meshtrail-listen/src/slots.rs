//! Limits on connections, requests and memory: a total, and a share of it for each peer.
//!
//! - [`Slots::acquire`] never waits: it returns a [`Slot`], or the reason for a refusal. Dropping a slot releases it.
//! - A slot is counted for one peer at a time. Once the identity behind an address is known, [`Slot::assign_to`] moves the
//!   slot to its share, so that many identities behind one address don't have to share that address's part.
//! - [`SharedRoom`] limits bytes in memory, and lets callers wait. Waiting is in order, and first for the peer's own share,
//!   so that a flooding peer waits only for itself.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::metrics::{Counter, Metrics};
use crate::shares::{Peer, Shares};

/// The shares of peers, and the metrics for usage and refusals. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    /// The share of each peer.
    pub shares: Shares,
    /// The metrics that open and refused slots are counted in.
    pub metrics: Metrics,
}

/// Why there is no slot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum SlotsFull {
    #[error("all {total} {what} are taken; try again later")]
    All {
        /// What the slots are for, in words.
        what: &'static str,
        total: usize,
    },
    #[error(
        "{peer} holds {share} {what}, which is one peer's share of {total}; try again later, or have it raised in \
         [limits.shares]"
    )]
    Share { peer: String, what: &'static str, share: usize, total: usize },
}

/// The slots in use, in total and by peer.
#[derive(Debug, Default)]
struct Counts {
    in_use: usize,
    by_peer: HashMap<Peer, usize>,
}

/// The limit that was reached.
#[derive(Debug, PartialEq, Eq)]
enum Shortage {
    All,
    Share,
}

impl Counts {
    fn acquire(&mut self, peer: &Peer, share: usize, total: usize) -> Result<(), Shortage> {
        let count = self.by_peer.get(peer).copied().unwrap_or(0);
        if count >= share {
            return Err(Shortage::Share);
        }
        if self.in_use >= total {
            return Err(Shortage::All);
        }
        self.in_use += 1;
        self.by_peer.insert(peer.clone(), count + 1);
        Ok(())
    }

    fn release(&mut self, peer: &Peer) {
        self.in_use = self.in_use.saturating_sub(1);
        match self.by_peer.get_mut(peer) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(self.by_peer.remove(peer)),
        }
    }

    fn transfer(&mut self, from: &Peer, to: &Peer, share: usize) -> Result<(), Shortage> {
        if from == to {
            return Ok(());
        }
        // A transfer does not change the total.
        self.acquire(to, share, usize::MAX)?;
        self.release(from);
        Ok(())
    }
}

/// The slots of one kind on one port; cheap to clone.
#[derive(Clone)]
pub struct Slots(Arc<Pool>);

struct Pool {
    what: &'static str,
    total: usize,
    shares: Shares,
    counts: Mutex<Counts>,
    refused: [Counter; 2],
}

/// A kind of slots, and the names of its metrics.
#[derive(Debug, Clone, Copy)]
pub struct SlotKind {
    /// What the slots are for, in words: `connections`.
    pub what: &'static str,
    /// The gauge of slots in use.
    pub open: &'static str,
    /// The gauge of the number of slots.
    pub limit: &'static str,
    /// The counter of refusals.
    pub refused: &'static str,
}

impl SlotKind {
    /// Connections of a port.
    pub const CONNECTIONS: SlotKind = SlotKind {
        what: "connections",
        open: "meshtrail_connections_open",
        limit: "meshtrail_connections_limit",
        refused: "meshtrail_connections_refused_total",
    };
    /// Requests that are answered at the same time.
    pub const REQUESTS: SlotKind = SlotKind {
        what: "requests",
        open: "meshtrail_requests_open",
        limit: "meshtrail_requests_limit",
        refused: "meshtrail_requests_refused_total",
    };
}

impl Slots {
    /// Creates `total` slots for a port, and their metrics.
    pub fn new(port: &str, sort: SlotKind, total: usize, limits: &Limits) -> Slots {
        let metrics = &limits.metrics;
        let refused = ["share", "all"].map(|reason| {
            let help = "Refused, since one peer's share or all places were taken.";
            metrics.counter(sort.refused, help, &[("port", port), ("reason", reason)])
        });
        let pool = Arc::new(Pool {
            what: sort.what,
            total,
            shares: limits.shares.clone(),
            counts: Mutex::default(),
            refused,
        });
        let weak: Weak<Pool> = Arc::downgrade(&pool);
        let open = move || weak.upgrade().map_or(0, |pool| pool.counts().in_use as u64);
        metrics.gauge(sort.open, "Open now.", &[("port", port)], open);
        metrics.gauge(sort.limit, "How many may be open.", &[("port", port)], move || total as u64);
        Slots(pool)
    }

    /// Acquires a slot for this peer.
    pub fn acquire(&self, peer: &Peer) -> Result<Slot, SlotsFull> {
        let share = self.share(peer);
        let acquired = self.0.counts().acquire(peer, share, self.0.total);
        acquired.map_err(|no| self.refuse(&no, peer, share))?;
        Ok(Slot { slots: self.clone(), peer: Mutex::new(peer.clone()) })
    }

    /// The number of slots that this peer uses.
    pub fn in_use_by(&self, peer: &Peer) -> usize {
        self.0.counts().by_peer.get(peer).copied().unwrap_or(0)
    }

    /// The number of slots in use.
    pub fn in_use(&self) -> usize {
        self.0.counts().in_use
    }

    /// The number of slots.
    pub fn total(&self) -> usize {
        self.0.total
    }

    fn share(&self, peer: &Peer) -> usize {
        self.0.shares.of(peer).of(self.0.total)
    }

    fn refuse(&self, no: &Shortage, peer: &Peer, share: usize) -> SlotsFull {
        let (what, total, [by_share, by_all]) = (self.0.what, self.0.total, &self.0.refused);
        match no {
            Shortage::Share => {
                by_share.add();
                SlotsFull::Share { peer: peer.to_string(), what, share, total }
            }
            Shortage::All => {
                by_all.add();
                SlotsFull::All { what, total }
            }
        }
    }
}

impl Pool {
    /// Never held across an await.
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A slot in use; dropping it releases it.
#[must_use]
#[derive(Debug)]
pub struct Slot {
    slots: Slots,
    peer: Mutex<Peer>,
}

impl Slot {
    /// Counts the slot for another peer from now on, such as the identity behind an address. If that peer's share is in
    /// use, nothing changes.
    pub fn assign_to(&self, peer: &Peer) -> Result<(), SlotsFull> {
        let share = self.slots.share(peer);
        let mut now = self.peer.lock().unwrap_or_else(PoisonError::into_inner);
        let moved = self.slots.0.counts().transfer(&now, peer, share);
        moved.map_err(|no| self.slots.refuse(&no, peer, share))?;
        *now = peer.clone();
        Ok(())
    }

    /// The peer that the slot is counted for.
    pub fn peer(&self) -> Peer {
        self.peer.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let peer = self.peer.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.slots.0.counts().release(peer);
    }
}

impl std::fmt::Debug for Slots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Pool { what, total, .. } = &*self.0;
        f.debug_struct("Slots").field("what", what).field("total", total).finish_non_exhaustive()
    }
}

/// The number of entries from which dead ones are removed.
const SWEEP_AT: usize = 256;

/// A limit on bytes in memory that all peers share, with waiting; cheap to clone.
#[derive(Clone)]
pub struct SharedRoom(Arc<RoomState>);

struct RoomState {
    total: usize,
    least: usize,
    shares: Shares,
    whole: Arc<Semaphore>,
    /// The semaphore of each peer's part, while it is in use.
    own: Mutex<PeerSemaphores>,
    waiting: AtomicUsize,
}

#[derive(Default)]
struct PeerSemaphores {
    by_peer: HashMap<Peer, Weak<Semaphore>>,
    sweep_at: usize,
}

/// One peer's part of a [`SharedRoom`]; cheap to clone.
#[derive(Clone)]
pub struct PeerRoom {
    room: SharedRoom,
    own: Arc<Semaphore>,
    most: usize,
}

/// Bytes of a room that are in use; dropping it releases them.
#[must_use]
#[derive(Debug)]
pub struct RoomPermit {
    own: OwnedSemaphorePermit,
    whole: OwnedSemaphorePermit,
}

impl SharedRoom {
    /// A room of `total` bytes, named `name` in its metrics. A peer's part is at least `least`, so that the largest message
    /// that it may send fits.
    pub fn new(name: &str, total: usize, least: usize, limits: &Limits) -> SharedRoom {
        let space = Arc::new(RoomState {
            total,
            least,
            shares: limits.shares.clone(),
            whole: Arc::new(Semaphore::new(total)),
            own: Mutex::default(),
            waiting: AtomicUsize::new(0),
        });
        let (weak, labels) = (Arc::downgrade(&space), [("room", name)]);
        let waiting = move || weak.upgrade().map_or(0, |space| space.waiting.load(Ordering::Relaxed) as u64);
        limits.metrics.gauge("meshtrail_room_waiting", "Waiting for room in memory.", &labels, waiting);
        let weak = Arc::downgrade(&space);
        let used =
            move || weak.upgrade().map_or(0, |space| (space.total - space.whole.available_permits()) as u64);
        limits.metrics.gauge("meshtrail_room_bytes", "Bytes in memory.", &labels, used);
        SharedRoom(space)
    }

    /// The part of this peer.
    pub fn of(&self, peer: &Peer) -> PeerRoom {
        let most = self.0.shares.of(peer).of(self.0.total).max(self.0.least).min(self.0.total);
        let mut own = self.0.own.lock().unwrap_or_else(PoisonError::into_inner);
        let known = own.by_peer.get(peer).and_then(Weak::upgrade);
        let semaphore = known.unwrap_or_else(|| {
            if own.by_peer.len() >= own.sweep_at.max(SWEEP_AT) {
                own.by_peer.retain(|_, used| used.strong_count() > 0);
                own.sweep_at = own.by_peer.len() * 2;
            }
            let new = Arc::new(Semaphore::new(most));
            own.by_peer.insert(peer.clone(), Arc::downgrade(&new));
            new
        });
        PeerRoom { room: self.clone(), own: semaphore, most }
    }
}

impl PeerRoom {
    /// Waits for `bytes` in the peer's own part, then in the total. More than the peer's part counts as the whole part.
    pub async fn acquire(&self, bytes: usize) -> RoomPermit {
        let wanted = self.permits(bytes);
        let _waits = WaitCount::begin(&self.room.0.waiting);
        let closed = "the room is never closed";
        let own = self.own.clone().acquire_many_owned(wanted).await.expect(closed);
        let whole = self.room.0.whole.clone().acquire_many_owned(wanted).await.expect(closed);
        RoomPermit { own, whole }
    }

    /// Acquires `bytes` if they are available now.
    pub fn try_acquire(&self, bytes: usize) -> Option<RoomPermit> {
        let wanted = self.permits(bytes);
        let own = self.own.clone().try_acquire_many_owned(wanted).ok()?;
        let whole = self.room.0.whole.clone().try_acquire_many_owned(wanted).ok()?;
        Some(RoomPermit { own, whole })
    }

    fn permits(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.min(self.most)).unwrap_or(u32::MAX)
    }
}

impl RoomPermit {
    /// Adds a permit of the same room.
    pub fn merge(&mut self, more: RoomPermit) {
        self.own.merge(more.own);
        self.whole.merge(more.whole);
    }

    /// Releases all but `bytes`.
    pub fn shrink_to(&mut self, bytes: usize) {
        let surplus = self.whole.num_permits().saturating_sub(bytes);
        drop(self.own.split(surplus));
        drop(self.whole.split(surplus));
    }
}

/// Counts a waiting caller until it is dropped.
struct WaitCount<'a>(&'a AtomicUsize);

impl<'a> WaitCount<'a> {
    fn begin(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for WaitCount<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for SharedRoom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedRoom").field("total", &self.0.total).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for PeerRoom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PeerRoom").field("most", &self.most).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;
    use crate::shares::Identity;

    fn peer(last: u8) -> Peer {
        Peer::from_ip([127, 0, 0, last].into())
    }

    fn slots(total: usize, limits: &Limits) -> Slots {
        Slots::new("test", SlotKind::CONNECTIONS, total, limits)
    }

    #[test]
    fn a_peer_has_its_share_and_the_others_have_the_rest() {
        let limits = Limits::default();
        let slots = slots(16, &limits);
        let held: Vec<Slot> = (0..2).map(|_| slots.acquire(&peer(1)).unwrap()).collect();
        let full = slots.acquire(&peer(1)).err().unwrap();
        assert_eq!(
            full.to_string(),
            "127.0.0.1 holds 2 connections, which is one peer's share of 16; try again later, or have it raised in \
             [limits.shares]"
        );
        assert_eq!((slots.in_use_by(&peer(1)), slots.in_use_by(&peer(2))), (2, 0));
        let others: Vec<Slot> = (2..9)
            .flat_map(|last| [slots.acquire(&peer(last)).unwrap(), slots.acquire(&peer(last)).unwrap()])
            .collect();
        assert_eq!(slots.acquire(&peer(9)).err().unwrap(), SlotsFull::All { what: "connections", total: 16 });
        drop(others);
        slots.acquire(&peer(1)).err().unwrap();
        drop(held);
        drop(slots.acquire(&peer(1)).unwrap());
        assert_eq!(slots.in_use(), 0);
        assert!(slots.0.counts().by_peer.is_empty(), "who holds nothing is not remembered");
        let text = limits.metrics.text();
        assert!(text.contains("meshtrail_connections_refused_total{port=\"test\",reason=\"share\"} 2\n"));
        assert!(text.contains("meshtrail_connections_refused_total{port=\"test\",reason=\"all\"} 1\n"));
        assert!(text.contains("meshtrail_connections_open{port=\"test\"} 0\n"));
    }

    #[test]
    fn many_known_behind_one_address_have_a_share_each() {
        let slots = slots(16, &Limits::default());
        let device = |id: &str| Peer::from_identity(Identity::new(id, []));
        let mut held = Vec::new();
        for id in ["n1", "n2", "n3"] {
            for _ in 0..2 {
                let slot = slots.acquire(&peer(1)).unwrap();
                slot.assign_to(&device(id)).unwrap();
                held.push(slot);
            }
        }
        let slot = slots.acquire(&peer(1)).unwrap();
        assert!(matches!(slot.assign_to(&device("n1")), Err(SlotsFull::Share { share: 2, .. })));
        assert_eq!(slot.peer(), peer(1), "it stays where it was counted");
        slot.assign_to(&slot.peer()).unwrap();
        drop(held);
        slot.assign_to(&device("n1")).unwrap();
        drop(slot);
        assert_eq!(slots.in_use(), 0);
    }

    #[test]
    fn who_fills_their_own_room_waits_alone_and_in_order() {
        let limits = Limits::default();
        let room = SharedRoom::new("test", 800, 10, &limits);
        let (flooding, other) = (room.of(&peer(1)), room.of(&peer(2)));
        let mut held = flooding.try_acquire(60).unwrap();
        held.merge(flooding.acquire(40).now_or_never().unwrap());
        assert!(flooding.try_acquire(1).is_none());
        let waiting = room.of(&peer(1));
        let mut waits = std::pin::pin!(waiting.acquire(30));
        assert!(waits.as_mut().now_or_never().is_none());
        assert!(limits.metrics.text().contains("meshtrail_room_waiting{room=\"test\"} 1\n"));
        drop(other.try_acquire(100).unwrap());
        held.shrink_to(70);
        drop(waits.now_or_never().unwrap());
        drop(held);
        assert!(limits.metrics.text().contains("meshtrail_room_bytes{room=\"test\"} 0\n"));
    }

    #[test]
    fn the_largest_thing_fits_however_small_a_share_is() {
        let room = SharedRoom::new("test", 800, 300, &Limits::default());
        let own = room.of(&peer(1));
        let all = own.try_acquire(5000).unwrap();
        assert!(own.try_acquire(1).is_none(), "more than the peer may have is all that it may have");
        drop(room.of(&peer(2)).try_acquire(300).unwrap());
        drop(all);
    }

    #[test]
    fn peers_that_are_gone_are_forgotten() {
        let room = SharedRoom::new("test", 800, 1, &Limits::default());
        for number in 0..10_000_u32 {
            drop(room.of(&Peer::from_ip(std::net::Ipv4Addr::from(number).into())));
        }
        let own = room.0.own.lock().unwrap();
        assert!(own.by_peer.len() <= SWEEP_AT, "{}", own.by_peer.len());
    }
}
