//! A bounded cache of answers with a time to live, which runs one query for concurrent requests of the same key.
//!
//! - A request for a key that is being queried waits for that answer.
//! - A query may be dropped at any await; then the next waiting request queries instead.
//! - When the cache is full, the older half of its entries is dropped.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The slot of one answer: locked while it is queried.
type Slot<V> = Arc<tokio::sync::Mutex<Option<CachedAnswer<V>>>>;

struct CachedAnswer<V> {
    value: V,
    until: Instant,
}

/// Answers by key.
pub(crate) struct AnswerCache<K, V> {
    capacity: usize,
    // Guards only the map: never locked while an answer is awaited.
    slots: Mutex<HashMap<K, (Instant, Slot<V>)>>,
}

impl<K: Hash + Eq + Clone, V: Clone> AnswerCache<K, V> {
    pub(crate) fn new(capacity: usize) -> AnswerCache<K, V> {
        AnswerCache { capacity: capacity.max(2), slots: Mutex::new(HashMap::new()) }
    }

    /// The cached answer for `key`, or else the one of `query`, which returns it with its time to live.
    pub(crate) async fn get_or_query<F>(&self, key: K, query: F) -> V
    where
        F: AsyncFnOnce() -> (V, Duration),
    {
        let slot = self.slot(key, Instant::now());
        let mut guard = slot.lock().await;
        if let Some(cached) = &*guard
            && Instant::now() < cached.until
        {
            return cached.value.clone();
        }
        let (value, ttl) = query().await;
        *guard = Some(CachedAnswer { value: value.clone(), until: Instant::now() + ttl });
        value
    }

    fn slot(&self, key: K, now: Instant) -> Slot<V> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= self.capacity && !slots.contains_key(&key) {
            let mut ages: Vec<Instant> = slots.values().map(|(since, _)| *since).collect();
            let middle = ages.len() / 2;
            let (_, median, _) = ages.select_nth_unstable(middle);
            let median = *median;
            slots.retain(|_, (since, _)| *since > median);
        }
        slots.entry(key).or_insert_with(|| (now, Arc::default())).1.clone()
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.slots.lock().unwrap().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    const LONG: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn many_who_want_the_same_answer_cause_one_question() {
        let cache = AnswerCache::<u8, u32>::new(8);
        let asked = AtomicU32::new(0);
        let want = || {
            cache.get_or_query(7, async || {
                tokio::task::yield_now().await;
                (asked.fetch_add(1, Ordering::SeqCst), LONG)
            })
        };
        let (a, b, c) = tokio::join!(want(), want(), want());
        assert_eq!((a, b, c, asked.load(Ordering::SeqCst)), (0, 0, 0, 1));
    }

    #[tokio::test]
    async fn who_gives_up_asking_leaves_the_question_to_the_next() {
        let cache = AnswerCache::<u8, u32>::new(8);
        let gives_up = cache.get_or_query(7, async || std::future::pending().await);
        assert!(tokio::time::timeout(Duration::ZERO, gives_up).await.is_err());
        assert_eq!(cache.get_or_query(7, async || (5, LONG)).await, 5);
    }

    #[tokio::test]
    async fn an_answer_past_its_time_is_asked_for_again() {
        let cache = AnswerCache::<u8, u32>::new(8);
        assert_eq!(cache.get_or_query(7, async || (1, Duration::ZERO)).await, 1);
        assert_eq!(cache.get_or_query(7, async || (2, LONG)).await, 2);
        assert_eq!(cache.get_or_query(7, async || (3, LONG)).await, 2);
    }

    #[tokio::test]
    async fn a_flood_of_keys_does_not_grow_it() {
        let cache = AnswerCache::<u32, u32>::new(100);
        for key in 0..10_000 {
            cache.get_or_query(key, async || (key, LONG)).await;
            assert!(cache.len() <= 100);
        }
        assert_eq!(cache.get_or_query(9_999, async || (0, LONG)).await, 9_999);
    }
}
