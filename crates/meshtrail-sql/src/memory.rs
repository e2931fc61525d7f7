//! The memory pool of queries: DataFusion's fair pool, but with a size that may change while it is in use.
//!
//! Operators that cannot spill take what they need; those that can share the rest evenly.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use datafusion::common::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};

/// A memory pool of the size that was granted last.
#[derive(Debug)]
pub(crate) struct GrantedPool {
    size: AtomicUsize,
    reserved: Mutex<Reserved>,
}

#[derive(Debug, Default)]
struct Reserved {
    spilling_consumers: usize,
    can_spill: usize,
    cannot_spill: usize,
}

impl GrantedPool {
    /// A pool of `size` bytes.
    pub(crate) fn new(size: usize) -> Self {
        Self { size: AtomicUsize::new(size), reserved: Mutex::default() }
    }

    /// Sets the size to `size` bytes; what is reserved stays reserved.
    pub(crate) fn grant(&self, size: usize) {
        self.size.store(size, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Reserved> {
        self.reserved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for GrantedPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} MB", self.size.load(Ordering::Relaxed) >> 20)
    }
}

impl MemoryPool for GrantedPool {
    fn name(&self) -> &'static str {
        "granted"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.lock().spilling_consumers += usize::from(consumer.can_spill());
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        let mut reserved = self.lock();
        reserved.spilling_consumers =
            reserved.spilling_consumers.saturating_sub(usize::from(consumer.can_spill()));
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        let mut reserved = self.lock();
        if reservation.consumer().can_spill() {
            reserved.can_spill += additional;
        } else {
            reserved.cannot_spill += additional;
        }
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        let mut reserved = self.lock();
        if reservation.consumer().can_spill() {
            reserved.can_spill = reserved.can_spill.saturating_sub(shrink);
        } else {
            reserved.cannot_spill = reserved.cannot_spill.saturating_sub(shrink);
        }
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let size = self.size.load(Ordering::Relaxed);
        let mut reserved = self.lock();
        let (has, may) = if reservation.consumer().can_spill() {
            let shared = size.saturating_sub(reserved.cannot_spill);
            (reservation.size(), shared / reserved.spilling_consumers.max(1))
        } else {
            (0, size.saturating_sub(reserved.cannot_spill + reserved.can_spill))
        };
        if has.saturating_add(additional) > may {
            return Err(DataFusionError::ResourcesExhausted(format!(
                "{} asked for {additional} bytes more than its {has} bytes, {may} are left of {self}",
                reservation.consumer().name()
            )));
        }
        if reservation.consumer().can_spill() {
            reserved.can_spill += additional;
        } else {
            reserved.cannot_spill += additional;
        }
        Ok(())
    }

    fn reserved(&self) -> usize {
        let reserved = self.lock();
        reserved.can_spill + reserved.cannot_spill
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.size.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn what_can_spill_shares_what_is_left_and_a_smaller_grant_holds_at_once() {
        let granted = Arc::new(GrantedPool::new(100));
        let pool: Arc<dyn MemoryPool> = granted.clone();
        let fixed = MemoryConsumer::new("hash").register(&pool);
        fixed.try_grow(40).unwrap();
        let one = MemoryConsumer::new("sort").with_can_spill(true).register(&pool);
        let other = MemoryConsumer::new("sort").with_can_spill(true).register(&pool);
        one.try_grow(30).unwrap();
        other.try_grow(30).unwrap();
        assert!(one.try_grow(1).is_err(), "half of what is left");
        drop(other);
        granted.grant(60);
        assert!(one.try_grow(1).is_err());
        granted.grant(200);
        one.try_grow(100).unwrap();
        assert_eq!(pool.reserved(), 170);
        drop((fixed, one));
        assert_eq!(pool.reserved(), 0);
    }
}
