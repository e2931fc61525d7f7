//! What rules open: what every kind of it can do, and values by number, of which few are different.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::sync::Arc;

/// Something that rules open between a source and a target, and that adds up over rules.
pub trait Access: Clone + Debug + Default + Ord + Hash {
    /// What both open together, in whatever order.
    #[must_use]
    fn union(&self, other: &Self) -> Self;

    /// What this opens and the other does not.
    #[must_use]
    fn without(&self, other: &Self) -> Self;

    /// Whether it opens nothing.
    fn is_nothing(&self) -> bool;

    /// In a few words, as a change shows it.
    fn brief(&self) -> String;
}

/// The most answers that a cache holds; a full one begins anew.
pub(crate) const MAX_CACHED: usize = 1 << 16;

/// Values and their numbers: unions of the same two are asked for again and again.
#[derive(Debug, Clone)]
pub(crate) struct AccessTable<T> {
    values: Vec<Arc<T>>,
    numbers: HashMap<Arc<T>, u32>,
    /// The union of two numbers, the lower one first.
    unions: HashMap<u64, u32, NumberHashing>,
}

/// Hashes numbers of a table: they are given by us, so that a fast hash does.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct NumberHash(u64);

pub(crate) type NumberHashing = BuildHasherDefault<NumberHash>;

impl Hasher for NumberHash {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        let mixed = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl<T> Default for AccessTable<T> {
    fn default() -> Self {
        Self { values: Vec::new(), numbers: HashMap::new(), unions: HashMap::default() }
    }
}

impl<T: Access> AccessTable<T> {
    /// The number of a value.
    pub(crate) fn number(&mut self, value: &Arc<T>) -> u32 {
        if let Some(number) = self.numbers.get(value) {
            return *number;
        }
        let number = u32::try_from(self.values.len()).expect("fewer than four billion different values");
        self.values.push(Arc::clone(value));
        self.numbers.insert(Arc::clone(value), number);
        number
    }

    /// The value of a number.
    pub(crate) fn value(&self, number: u32) -> &Arc<T> {
        &self.values[number as usize]
    }

    /// The number of what both open together.
    pub(crate) fn union(&mut self, one: u32, other: u32) -> u32 {
        if one == other {
            return one;
        }
        let key = (u64::from(one.min(other)) << 32) | u64::from(one.max(other));
        if let Some(number) = self.unions.get(&key) {
            return *number;
        }
        let joined = Arc::new(self.value(one).union(self.value(other)));
        let number = self.number(&joined);
        if self.unions.len() >= MAX_CACHED {
            self.unions.clear();
        }
        self.unions.insert(key, number);
        number
    }
}
