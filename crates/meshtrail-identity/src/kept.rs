//! Answers kept for a moment: bounded, and asked for once however many want them at the same time.
//!
//! - Whoever wants an answer that somebody is already asking for waits for that one.
//! - Who asks may give up at any await; the next one waiting asks in its place.
//! - When full, the older half is forgotten: a forgotten answer is asked for again, never wrong.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// One answer's place: held locked by whoever is asking.
type Place<V> = Arc<tokio::sync::Mutex<Option<Aged<V>>>>;

struct Aged<V> {
    value: V,
    until: Instant,
}

/// Answers by key.
pub(crate) struct Kept<K, V> {
    capacity: usize,
    // Guards only the map; no answer is awaited while it is held.
    places: Mutex<HashMap<K, (Instant, Place<V>)>>,
}

impl<K: Hash + Eq + Clone, V: Clone> Kept<K, V> {
    pub(crate) fn new(capacity: usize) -> Kept<K, V> {
        Kept { capacity: capacity.max(2), places: Mutex::new(HashMap::new()) }
    }

    /// The kept answer to `key`, or the one that `ask` gives, together with how long it may be kept.
    pub(crate) async fn get_or_ask<F>(&self, key: K, ask: F) -> V
    where
        F: AsyncFnOnce() -> (V, Duration),
    {
        let place = self.place(key, Instant::now());
        let mut held = place.lock().await;
        if let Some(aged) = &*held
            && Instant::now() < aged.until
        {
            return aged.value.clone();
        }
        let (value, keep_for) = ask().await;
        *held = Some(Aged { value: value.clone(), until: Instant::now() + keep_for });
        value
    }

    fn place(&self, key: K, now: Instant) -> Place<V> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if places.len() >= self.capacity && !places.contains_key(&key) {
            let mut ages: Vec<Instant> = places.values().map(|(since, _)| *since).collect();
            let middle = ages.len() / 2;
            let (_, median, _) = ages.select_nth_unstable(middle);
            let median = *median;
            places.retain(|_, (since, _)| *since > median);
        }
        places.entry(key).or_insert_with(|| (now, Arc::default())).1.clone()
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.places.lock().unwrap().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    const LONG: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn many_who_want_the_same_answer_cause_one_question() {
        let kept = Kept::<u8, u32>::new(8);
        let asked = AtomicU32::new(0);
        let want = || {
            kept.get_or_ask(7, async || {
                tokio::task::yield_now().await;
                (asked.fetch_add(1, Ordering::SeqCst), LONG)
            })
        };
        let (a, b, c) = tokio::join!(want(), want(), want());
        assert_eq!((a, b, c, asked.load(Ordering::SeqCst)), (0, 0, 0, 1));
    }

    #[tokio::test]
    async fn who_gives_up_asking_leaves_the_question_to_the_next() {
        let kept = Kept::<u8, u32>::new(8);
        let gives_up = kept.get_or_ask(7, async || std::future::pending().await);
        assert!(tokio::time::timeout(Duration::ZERO, gives_up).await.is_err());
        assert_eq!(kept.get_or_ask(7, async || (5, LONG)).await, 5);
    }

    #[tokio::test]
    async fn an_answer_past_its_time_is_asked_for_again() {
        let kept = Kept::<u8, u32>::new(8);
        assert_eq!(kept.get_or_ask(7, async || (1, Duration::ZERO)).await, 1);
        assert_eq!(kept.get_or_ask(7, async || (2, LONG)).await, 2);
        assert_eq!(kept.get_or_ask(7, async || (3, LONG)).await, 2);
    }

    #[tokio::test]
    async fn a_flood_of_keys_does_not_grow_it() {
        let kept = Kept::<u32, u32>::new(100);
        for key in 0..10_000 {
            kept.get_or_ask(key, async || (key, LONG)).await;
            assert!(kept.len() <= 100);
        }
        assert_eq!(kept.get_or_ask(9_999, async || (0, LONG)).await, 9_999);
    }
}
