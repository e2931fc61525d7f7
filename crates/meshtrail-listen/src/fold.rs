//! Log lines that anybody can cause, folded: a few of each peer are written, the rest is a number in a later line.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::shares::Peer;

/// How long lines are counted together.
const WINDOW: Duration = Duration::from_secs(10);
/// Lines of one peer in that time.
const OF_ONE: u32 = 5;
/// Lines of all peers in that time.
const OF_ALL: u32 = 50;

/// Lines of one kind.
#[derive(Debug, Default)]
pub struct Fold(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    began: Option<Instant>,
    lines: u32,
    by_peer: HashMap<Peer, u32>,
    left_out: u64,
}

impl Fold {
    /// Whether a line about this peer is to be written now, and how many were left out before it.
    pub fn line(&self, peer: &Peer, now: Instant) -> Option<u64> {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if window.began.is_none_or(|began| now.saturating_duration_since(began) >= WINDOW) {
            window.began = Some(now);
            window.lines = 0;
            window.by_peer.clear();
        }
        let of_this = window.by_peer.get(peer).copied().unwrap_or(0);
        if window.lines >= OF_ALL || of_this >= OF_ONE {
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
        let (fold, now) = (Fold::default(), Instant::now());
        let peer = |last| Peer::of([10, 0, 0, last].into());
        let written = (0..4446).filter(|_| fold.line(&peer(1), now).is_some()).count();
        assert_eq!(written, 5);
        assert_eq!(fold.line(&peer(2), now), Some(4441), "the next line says how many it stands for");
        for last in 3..=255 {
            fold.line(&peer(last), now);
        }
        assert_eq!(fold.line(&peer(1), now), None, "many peers are bounded as well");
        assert!(fold.line(&peer(1), now + WINDOW).is_some());
        assert!(fold.0.lock().unwrap().by_peer.len() <= OF_ALL as usize);
    }
}
