//! Memory that is given out to questions, so that all together stay within what is configured.

use std::sync::{Arc, Mutex, PoisonError};

/// The least that a question is given.
const LEAST: usize = 16 << 20;

/// Bytes that are given out, of a whole.
#[derive(Debug, Clone)]
pub(crate) struct Ledger {
    whole: usize,
    given: Arc<Mutex<usize>>,
}

/// A part of a ledger's whole; dropped, it goes back.
#[derive(Debug)]
pub(crate) struct Grant {
    bytes: usize,
    given: Arc<Mutex<usize>>,
}

impl Ledger {
    pub(crate) fn new(whole: usize) -> Self {
        Self { whole, given: Arc::default() }
    }

    /// Three quarters of what is left, so that one more always gets something; never less than [`LEAST`].
    pub(crate) fn grant(&self) -> Grant {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let left = self.whole.saturating_sub(*given);
        let bytes = (left - left / 4).max(LEAST);
        *given += bytes;
        Grant { bytes, given: self.given.clone() }
    }
}

impl Grant {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        *self.given.lock().unwrap_or_else(PoisonError::into_inner) -= self.bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_shrink_as_more_ask_and_come_back() {
        let ledger = Ledger::new(512 << 20);
        let first = ledger.grant();
        let second = ledger.grant();
        assert_eq!((first.bytes() >> 20, second.bytes() >> 20), (384, 96));
        let more: Vec<Grant> = (0..8).map(|_| ledger.grant()).collect();
        assert!(more.iter().all(|grant| grant.bytes() >= LEAST));
        drop((first, second, more));
        assert_eq!(ledger.grant().bytes() >> 20, 384);
    }
}
