//! Grants of memory to queries, so that all of them together stay within the configured limit.

use std::sync::{Arc, Mutex, PoisonError};

/// The smallest grant, in bytes.
const MIN_GRANT: usize = 16 << 20;

/// Grants parts of a total number of bytes.
#[derive(Debug, Clone)]
pub(crate) struct MemoryGrants {
    total: usize,
    granted: Arc<Mutex<usize>>,
}

/// A grant; dropping it returns its bytes.
#[derive(Debug)]
pub(crate) struct MemoryGrant {
    bytes: usize,
    granted: Arc<Mutex<usize>>,
}

impl MemoryGrants {
    pub(crate) fn new(total: usize) -> Self {
        Self { total, granted: Arc::default() }
    }

    /// Grants three quarters of what is left, so that one more query always gets some; at least [`MIN_GRANT`].
    pub(crate) fn grant(&self) -> MemoryGrant {
        let mut granted = self.granted.lock().unwrap_or_else(PoisonError::into_inner);
        let left = self.total.saturating_sub(*granted);
        let bytes = (left - left / 4).max(MIN_GRANT);
        *granted += bytes;
        MemoryGrant { bytes, granted: self.granted.clone() }
    }
}

impl MemoryGrant {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for MemoryGrant {
    fn drop(&mut self) {
        *self.granted.lock().unwrap_or_else(PoisonError::into_inner) -= self.bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_shrink_as_more_ask_and_come_back() {
        let grants = MemoryGrants::new(512 << 20);
        let first = grants.grant();
        let second = grants.grant();
        assert_eq!((first.bytes() >> 20, second.bytes() >> 20), (384, 96));
        let more: Vec<MemoryGrant> = (0..8).map(|_| grants.grant()).collect();
        assert!(more.iter().all(|grant| grant.bytes() >= MIN_GRANT));
        drop((first, second, more));
        assert_eq!(grants.grant().bytes() >> 20, 384);
    }
}
