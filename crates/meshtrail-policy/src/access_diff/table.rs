//! What rules open, by number: few values are different, and unions of the same two are asked for again and again.

use std::collections::HashMap;
use std::sync::Arc;

use super::kinds::Access;

/// Values and their numbers.
#[derive(Debug, Clone)]
pub(crate) struct AccessTable<T> {
    values: Vec<Arc<T>>,
    numbers: HashMap<Arc<T>, u32>,
    unions: HashMap<(u32, u32), u32>,
}

impl<T> Default for AccessTable<T> {
    fn default() -> Self {
        Self { values: Vec::new(), numbers: HashMap::new(), unions: HashMap::new() }
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
        let key = (one.min(other), one.max(other));
        if let Some(number) = self.unions.get(&key) {
            return *number;
        }
        let joined = Arc::new(self.value(one).union(self.value(other)));
        let number = self.number(&joined);
        self.unions.insert(key, number);
        number
    }
}
