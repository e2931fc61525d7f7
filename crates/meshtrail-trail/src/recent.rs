//! The newest keys with their values: a bounded memory of what came, by which a repeat is recognised.
//!
//! ```
//! use meshtrail_trail::Recent;
//!
//! let mut bodies: Recent<&str, 2> = Recent::default();
//! assert!(bodies.add("a") && bodies.add("b"));
//! assert!(!bodies.add("a"), "a repeat");
//! assert!(bodies.add("c"));
//! assert!(!bodies.contains("a"), "it came first, and is dropped first");
//! ```
//!
//! - Holds at most `LIMIT` keys. Beyond it the key that came first is dropped; a repeat does not make a key newer.
//! - In memory only: whoever must know a key after a restart reads it from the trail.
//! - Lookup and insertion take constant time.
//!
//! For events, which have numbers of their own, [`crate::dedupe`] keeps ranges in place of keys.

use std::borrow::Borrow;
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// The newest `LIMIT` keys, each with a value.
#[derive(Debug, Clone)]
pub struct Recent<K, const LIMIT: usize, V = ()> {
    values: HashMap<K, V>,
    /// The same keys, oldest first.
    order: VecDeque<K>,
}

impl<K, const LIMIT: usize, V> Default for Recent<K, LIMIT, V> {
    fn default() -> Self {
        const { assert!(LIMIT > 0, "a memory of nothing recognises nothing") };
        Self { values: HashMap::new(), order: VecDeque::new() }
    }
}

impl<K: Clone + Eq + Hash, const LIMIT: usize, V> Recent<K, LIMIT, V> {
    /// Whether the key is among the newest.
    pub fn contains<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.values.contains_key(key)
    }

    /// The key's value; none if the key never came or was dropped.
    pub fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.values.get(key)
    }

    /// The key's value, to be changed. A key that is not there is added with `value`, and may displace the oldest.
    pub fn get_or_insert(&mut self, key: K, value: V) -> &mut V {
        if !self.values.contains_key(&key) {
            if self.order.len() == LIMIT
                && let Some(oldest) = self.order.pop_front()
            {
                self.values.remove(&oldest);
            }
            self.order.push_back(key.clone());
        }
        self.values.entry(key).or_insert(value)
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

impl<K: Clone + Eq + Hash, const LIMIT: usize> Recent<K, LIMIT> {
    /// Adds a key. Returns whether it is new.
    pub fn add(&mut self, key: K) -> bool {
        let is_new = !self.contains(&key);
        self.get_or_insert(key, ());
        is_new
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_knows_the_newest_keys_and_no_others(keys in proptest::collection::vec(0u8..20, 0..200)) {
            let (mut recent, mut firsts) = (Recent::<u8, 7>::default(), Vec::new());
            for key in keys {
                let newest: BTreeSet<u8> = firsts.iter().rev().take(7).copied().collect();
                prop_assert_eq!(recent.add(key), !newest.contains(&key));
                if !newest.contains(&key) {
                    firsts.push(key);
                }
                prop_assert_eq!(recent.len(), firsts.len().min(7));
                let newest: BTreeSet<u8> = firsts.iter().rev().take(7).copied().collect();
                prop_assert!((0..20).all(|key| recent.contains(&key) == newest.contains(&key)));
            }
        }
    }

    #[test]
    fn a_changed_value_stays_and_goes_with_its_key() {
        let mut recent: Recent<String, 2, u32> = Recent::default();
        *recent.get_or_insert("a".to_owned(), 1) += 1;
        *recent.get_or_insert("a".to_owned(), 1) += 1;
        assert_eq!(recent.get("a"), Some(&3));
        recent.get_or_insert("b".to_owned(), 1);
        recent.get_or_insert("c".to_owned(), 1);
        assert_eq!((recent.get("a"), recent.len()), (None, 2));
        assert_eq!(*recent.get_or_insert("a".to_owned(), 1), 1);
    }
}
