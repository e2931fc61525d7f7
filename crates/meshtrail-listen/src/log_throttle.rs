//! A limit on log lines that peers can cause: a few per peer are logged, the rest is a number in a later line.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::shares::Peer;

/// The time window of the limits.
const WINDOW: Duration = Duration::from_secs(10);
/// Lines of one peer in a window.
const LINES_PER_PEER: u32 = 5;
/// Lines of all peers in a window.
const MAX_LINES: u32 = 50;

/// The limit for one kind of lines.
#[derive(Debug, Default)]
pub struct LogThrottle(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    began: Option<Instant>,
    lines: u32,
    by_peer: HashMap<Peer, u32>,
    left_out: u64,
}

impl LogThrottle {
    /// If a line about this peer may be logged now, the number of lines that were left out before it.
    pub fn allow(&self, peer: &Peer, now: Instant) -> Option<u64> {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if window.began.is_none_or(|began| now.saturating_duration_since(began) >= WINDOW) {
            window.began = Some(now);
            window.lines = 0;
            window.by_peer.clear();
        }
        let of_this = window.by_peer.get(peer).copied().unwrap_or(0);
        if window.lines >= MAX_LINES || of_this >= LINES_PER_PEER {
            window.left_out += 1;
            return None;
        }
        window.lines += 1;
        window.by_peer.insert(peer.clone(), of_this + 1);
        Some(std::mem::take(&mut window.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_a_few_lines_and_a_number_and_hides_no_other_peer() {
        let (throttle, now) = (LogThrottle::default(), Instant::now());
        let peer = |last| Peer::from_ip([10, 0, 0, last].into());
        let allowed = (0..4446).filter(|_| throttle.allow(&peer(1), now).is_some()).count();
        assert_eq!(allowed, 5);
        assert_eq!(throttle.allow(&peer(2), now), Some(4441), "the next line says how many it stands for");
        for last in 3..=255 {
            throttle.allow(&peer(last), now);
        }
        assert_eq!(throttle.allow(&peer(1), now), None, "many peers are bounded as well");
        assert!(throttle.allow(&peer(1), now + WINDOW).is_some());
        assert!(throttle.0.lock().unwrap().by_peer.len() <= MAX_LINES as usize);
    }
}
