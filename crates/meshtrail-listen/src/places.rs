//! Places of one sort, such as connections of a port: a number in all, and of these a share for each peer.
//!
//! - [`Places::take`] never waits: it gives a [`Place`], or says why there is none. A place gives itself back.
//! - A place is counted for one peer at a time. Once it is known who is behind an address, [`Place::count_for`] moves it
//!   to their share, so that many who come through one address do not share that address's part.
//! - [`SharedRoom`] is for what is waited for: bytes in memory, taken as they come. Waiting is in order, and first for
//!   the peer's own share, so that who floods waits behind themselves alone.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::metrics::{Counter, Metrics};
use crate::shares::{Peer, Shares};

/// What everything that is shared goes by: whose share is how large, and where it is counted. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    /// How large each peer's part is.
    pub shares: Shares,
    /// Where open and refused places are counted.
    pub metrics: Metrics,
}

/// Why there is no place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// There are no more.
    #[error("all {total} {what} are taken; try again later")]
    All {
        /// Places of what.
        what: &'static str,
        /// How many there are.
        total: usize,
    },
    /// This peer has its part.
    #[error(
        "{peer} holds {share} {what}, which is one peer's share of {total}; try again later, or have it raised in \
         [limits.shares]"
    )]
    Share {
        /// Whose share.
        peer: String,
        /// Places of what.
        what: &'static str,
        /// How many it may hold.
        share: usize,
        /// How many there are.
        total: usize,
    },
}

/// How many places each peer holds.
#[derive(Debug, Default)]
struct Counts {
    taken: usize,
    by_peer: HashMap<Peer, usize>,
}

/// Why not one more.
#[derive(Debug, PartialEq, Eq)]
enum No {
    All,
    Share,
}

impl Counts {
    fn take(&mut self, peer: &Peer, share: usize, total: usize) -> Result<(), No> {
        let held = self.by_peer.get(peer).copied().unwrap_or(0);
        if held >= share {
            return Err(No::Share);
        }
        if self.taken >= total {
            return Err(No::All);
        }
        self.taken += 1;
        self.by_peer.insert(peer.clone(), held + 1);
        Ok(())
    }

    fn give_back(&mut self, peer: &Peer) {
        self.taken = self.taken.saturating_sub(1);
        match self.by_peer.get_mut(peer) {
            Some(held) if *held > 1 => *held -= 1,
            _ => drop(self.by_peer.remove(peer)),
        }
    }

    fn pass_on(&mut self, from: &Peer, to: &Peer, share: usize) -> Result<(), No> {
        if from == to {
            return Ok(());
        }
        // What is moved is taken already: there is always room for it in all.
        self.take(to, share, usize::MAX)?;
        self.give_back(from);
        Ok(())
    }
}

/// Places of one sort; cheap to clone.
#[derive(Clone)]
pub struct Places(Arc<Pool>);

struct Pool {
    what: &'static str,
    total: usize,
    shares: Shares,
    counts: Mutex<Counts>,
    refused: [Counter; 2],
}

/// What is known of places under their names at `/metrics`.
#[derive(Debug, Clone, Copy)]
pub struct Sort {
    /// What they are, in words: `connections`.
    pub what: &'static str,
    /// The gauge of those that are taken.
    pub open: &'static str,
    /// The gauge of how many there are.
    pub limit: &'static str,
    /// The counter of those that were refused.
    pub refused: &'static str,
}

impl Sort {
    /// Connections of a port.
    pub const CONNECTIONS: Sort = Sort {
        what: "connections",
        open: "meshtrail_connections_open",
        limit: "meshtrail_connections_limit",
        refused: "meshtrail_connections_refused_total",
    };
    /// Requests that are answered at the same time.
    pub const REQUESTS: Sort = Sort {
        what: "requests",
        open: "meshtrail_requests_open",
        limit: "meshtrail_requests_limit",
        refused: "meshtrail_requests_refused_total",
    };
}

impl Places {
    /// So many places of a port.
    pub fn new(port: &str, sort: Sort, total: usize, limits: &Limits) -> Places {
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
        let open = move || weak.upgrade().map_or(0, |pool| pool.counts().taken as u64);
        metrics.gauge(sort.open, "Open now.", &[("port", port)], open);
        metrics.gauge(sort.limit, "How many may be open.", &[("port", port)], move || total as u64);
        Places(pool)
    }

    /// A place for this peer.
    pub fn take(&self, peer: &Peer) -> Result<Place, Full> {
        let share = self.share(peer);
        let taken = self.0.counts().take(peer, share, self.0.total);
        taken.map_err(|no| self.full(&no, peer, share))?;
        Ok(Place { places: self.clone(), peer: Mutex::new(peer.clone()) })
    }

    /// How many this peer holds.
    pub fn held(&self, peer: &Peer) -> usize {
        self.0.counts().by_peer.get(peer).copied().unwrap_or(0)
    }

    /// How many are taken.
    pub fn taken(&self) -> usize {
        self.0.counts().taken
    }

    /// How many there are.
    pub fn total(&self) -> usize {
        self.0.total
    }

    fn share(&self, peer: &Peer) -> usize {
        self.0.shares.of(peer).of(self.0.total)
    }

    fn full(&self, no: &No, peer: &Peer, share: usize) -> Full {
        let (what, total, [by_share, by_all]) = (self.0.what, self.0.total, &self.0.refused);
        match no {
            No::Share => {
                by_share.add();
                Full::Share { peer: peer.to_string(), what, share, total }
            }
            No::All => {
                by_all.add();
                Full::All { what, total }
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

/// One place, given back when it is dropped.
#[must_use]
#[derive(Debug)]
pub struct Place {
    places: Places,
    peer: Mutex<Peer>,
}

impl Place {
    /// Counts the place for somebody else from now on: whom the peer turned out to be. Where their share is full it
    /// stays where it was.
    pub fn count_for(&self, peer: &Peer) -> Result<(), Full> {
        let share = self.places.share(peer);
        let mut now = self.peer.lock().unwrap_or_else(PoisonError::into_inner);
        let moved = self.places.0.counts().pass_on(&now, peer, share);
        moved.map_err(|no| self.places.full(&no, peer, share))?;
        *now = peer.clone();
        Ok(())
    }

    /// Whom it is counted for.
    pub fn peer(&self) -> Peer {
        self.peer.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let peer = self.peer.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.places.0.counts().give_back(peer);
    }
}

impl std::fmt::Debug for Places {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Pool { what, total, .. } = &*self.0;
        f.debug_struct("Places").field("what", what).field("total", total).finish_non_exhaustive()
    }
}

/// How many dead entries of peers are kept before they are looked for.
const SWEEP_AT: usize = 256;

/// Room for bytes that all peers share, and that is waited for; cheap to clone.
#[derive(Clone)]
pub struct SharedRoom(Arc<Space>);

struct Space {
    total: usize,
    least: usize,
    shares: Shares,
    whole: Arc<Semaphore>,
    /// Each peer's own part, for as long as somebody uses it.
    own: Mutex<Own>,
    waiting: AtomicUsize,
}

#[derive(Default)]
struct Own {
    by_peer: HashMap<Peer, Weak<Semaphore>>,
    sweep_at: usize,
}

/// One peer's part of a room; cheap to clone.
#[derive(Clone)]
pub struct PeerRoom {
    room: SharedRoom,
    own: Arc<Semaphore>,
    most: usize,
}

/// Room that was taken, given back when it is dropped.
#[must_use]
#[derive(Debug)]
pub struct Taken {
    own: OwnedSemaphorePermit,
    whole: OwnedSemaphorePermit,
}

impl SharedRoom {
    /// Room for `total` bytes, called `name` at `/metrics`. A peer's part is at least `least`, so that the largest
    /// thing it may send fits.
    pub fn new(name: &str, total: usize, least: usize, limits: &Limits) -> SharedRoom {
        let space = Arc::new(Space {
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

    /// This peer's part.
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
    /// Room for so many bytes, once there is some: first in the peer's own part, then in all. More than the peer may
    /// have at all counts as that.
    pub async fn take(&self, bytes: usize) -> Taken {
        let wanted = self.wanted(bytes);
        let _waits = Waits::begin(&self.room.0.waiting);
        let closed = "the room is never closed";
        let own = self.own.clone().acquire_many_owned(wanted).await.expect(closed);
        let whole = self.room.0.whole.clone().acquire_many_owned(wanted).await.expect(closed);
        Taken { own, whole }
    }

    /// Room for so many bytes, if there is some now.
    pub fn take_now(&self, bytes: usize) -> Option<Taken> {
        let wanted = self.wanted(bytes);
        let own = self.own.clone().try_acquire_many_owned(wanted).ok()?;
        let whole = self.room.0.whole.clone().try_acquire_many_owned(wanted).ok()?;
        Some(Taken { own, whole })
    }

    fn wanted(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.min(self.most)).unwrap_or(u32::MAX)
    }
}

impl Taken {
    /// Puts more of the same room to it.
    pub fn add(&mut self, more: Taken) {
        self.own.merge(more.own);
        self.whole.merge(more.whole);
    }

    /// Gives back what is more than so many bytes.
    pub fn keep(&mut self, bytes: usize) {
        let surplus = self.whole.num_permits().saturating_sub(bytes);
        drop(self.own.split(surplus));
        drop(self.whole.split(surplus));
    }
}

/// Counts one that waits, for as long as it does.
struct Waits<'a>(&'a AtomicUsize);

impl<'a> Waits<'a> {
    fn begin(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Waits<'_> {
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
        Peer::of([127, 0, 0, last].into())
    }

    fn places(total: usize, limits: &Limits) -> Places {
        Places::new("test", Sort::CONNECTIONS, total, limits)
    }

    #[test]
    fn a_peer_has_its_share_and_the_others_have_the_rest() {
        let limits = Limits::default();
        let places = places(16, &limits);
        let held: Vec<Place> = (0..2).map(|_| places.take(&peer(1)).unwrap()).collect();
        let full = places.take(&peer(1)).err().unwrap();
        assert_eq!(
            full.to_string(),
            "127.0.0.1 holds 2 connections, which is one peer's share of 16; try again later, or have it raised in \
             [limits.shares]"
        );
        assert_eq!((places.held(&peer(1)), places.held(&peer(2))), (2, 0));
        let others: Vec<Place> = (2..9)
            .flat_map(|last| [places.take(&peer(last)).unwrap(), places.take(&peer(last)).unwrap()])
            .collect();
        assert_eq!(places.take(&peer(9)).err().unwrap(), Full::All { what: "connections", total: 16 });
        drop(others);
        places.take(&peer(1)).err().unwrap();
        drop(held);
        drop(places.take(&peer(1)).unwrap());
        assert_eq!(places.taken(), 0);
        assert!(places.0.counts().by_peer.is_empty(), "who holds nothing is not remembered");
        let text = limits.metrics.text();
        assert!(text.contains("meshtrail_connections_refused_total{port=\"test\",reason=\"share\"} 2\n"));
        assert!(text.contains("meshtrail_connections_refused_total{port=\"test\",reason=\"all\"} 1\n"));
        assert!(text.contains("meshtrail_connections_open{port=\"test\"} 0\n"));
    }

    #[test]
    fn many_known_behind_one_address_have_a_share_each() {
        let places = places(16, &Limits::default());
        let device = |id: &str| Peer::known(Identity::new(id, []));
        let mut held = Vec::new();
        for id in ["n1", "n2", "n3"] {
            for _ in 0..2 {
                let place = places.take(&peer(1)).unwrap();
                place.count_for(&device(id)).unwrap();
                held.push(place);
            }
        }
        let place = places.take(&peer(1)).unwrap();
        assert!(matches!(place.count_for(&device("n1")), Err(Full::Share { share: 2, .. })));
        assert_eq!(place.peer(), peer(1), "it stays where it was counted");
        place.count_for(&place.peer()).unwrap();
        drop(held);
        place.count_for(&device("n1")).unwrap();
        drop(place);
        assert_eq!(places.taken(), 0);
    }

    #[test]
    fn who_fills_their_own_room_waits_alone_and_in_order() {
        let limits = Limits::default();
        let room = SharedRoom::new("test", 800, 10, &limits);
        let (flooding, other) = (room.of(&peer(1)), room.of(&peer(2)));
        let mut held = flooding.take_now(60).unwrap();
        held.add(flooding.take(40).now_or_never().unwrap());
        assert!(flooding.take_now(1).is_none());
        let waiting = room.of(&peer(1));
        let mut waits = std::pin::pin!(waiting.take(30));
        assert!(waits.as_mut().now_or_never().is_none());
        assert!(limits.metrics.text().contains("meshtrail_room_waiting{room=\"test\"} 1\n"));
        drop(other.take_now(100).unwrap());
        held.keep(70);
        drop(waits.now_or_never().unwrap());
        drop(held);
        assert!(limits.metrics.text().contains("meshtrail_room_bytes{room=\"test\"} 0\n"));
    }

    #[test]
    fn the_largest_thing_fits_however_small_a_share_is() {
        let room = SharedRoom::new("test", 800, 300, &Limits::default());
        let own = room.of(&peer(1));
        let all = own.take_now(5000).unwrap();
        assert!(own.take_now(1).is_none(), "more than the peer may have is all that it may have");
        drop(room.of(&peer(2)).take_now(300).unwrap());
        drop(all);
    }

    #[test]
    fn peers_that_are_gone_are_forgotten() {
        let room = SharedRoom::new("test", 800, 1, &Limits::default());
        for number in 0..10_000_u32 {
            drop(room.of(&Peer::of(std::net::Ipv4Addr::from(number).into())));
        }
        let own = room.0.own.lock().unwrap();
        assert!(own.by_peer.len() <= SWEEP_AT, "{}", own.by_peer.len());
    }
}
