//! Interning of texts.

use std::hash::{BuildHasher, RandomState};

const EMPTY: u32 = u32::MAX;

/// Assigns equal texts equal numbers, from 0 in order of appearance.
pub(super) struct Interner {
    /// Open addressing; the upper half of a slot is part of the hash.
    slots: Vec<(u32, u32)>,
    ends: Vec<u32>,
    bytes: Vec<u8>,
    /// A random seed, so that senders can't choose colliding texts.
    seed: u64,
}

impl Default for Interner {
    fn default() -> Self {
        let seed = RandomState::new().hash_one(0u8) | 1;
        Self { slots: Vec::new(), ends: Vec::new(), bytes: Vec::new(), seed }
    }
}

impl Interner {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    #[inline]
    pub(super) fn get(&self, number: u32) -> &[u8] {
        let number = number as usize;
        let start = if number == 0 { 0 } else { self.ends[number - 1] as usize };
        &self.bytes[start..self.ends[number] as usize]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len() as u32).map(|number| self.get(number))
    }

    /// Whether both have the same texts in the same order.
    pub(super) fn equals(&self, other: &Self) -> bool {
        self.ends == other.ends && self.bytes == other.bytes
    }

    #[inline]
    pub(super) fn intern(&mut self, text: &[u8]) -> u32 {
        if self.ends.len() * 4 >= self.slots.len() * 3 {
            self.grow();
        }
        let hash = self.hash(text);
        let tag = (hash >> 32) as u32;
        let mask = self.slots.len() - 1;
        let mut slot = hash as usize & mask;
        loop {
            let (number, known) = self.slots[slot];
            if number == EMPTY {
                break;
            }
            if known == tag && self.get(number) == text {
                return number;
            }
            slot = (slot + 1) & mask;
        }
        let number = self.ends.len() as u32;
        self.bytes.extend_from_slice(text);
        self.ends.push(self.bytes.len() as u32);
        self.slots[slot] = (number, tag);
        number
    }

    fn grow(&mut self) {
        let size = (self.slots.len() * 2).max(16);
        self.slots = vec![(EMPTY, 0); size];
        for number in 0..self.ends.len() as u32 {
            let hash = self.hash(self.get(number));
            let mut slot = hash as usize & (size - 1);
            while self.slots[slot].0 != EMPTY {
                slot = (slot + 1) & (size - 1);
            }
            self.slots[slot] = (number, (hash >> 32) as u32);
        }
    }

    #[inline]
    fn hash(&self, text: &[u8]) -> u64 {
        let mut hash = self.seed ^ text.len() as u64;
        let (words, rest) = text.as_chunks::<8>();
        for word in words {
            hash = mix(hash ^ u64::from_le_bytes(*word), self.seed);
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        mix(mix(hash ^ u64::from_le_bytes(last), self.seed), 0x9e37_79b9_7f4a_7c15)
    }
}

#[inline]
fn mix(a: u64, b: u64) -> u64 {
    let wide = u128::from(a ^ 0xa076_1d64_78bd_642f) * u128::from(b);
    (wide as u64) ^ (wide >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_share_a_number_and_come_back() {
        let mut interner = Interner::default();
        let texts: Vec<String> = (0..5000).map(|n| format!("text {}", n % 777)).collect();
        let numbers: Vec<u32> = texts.iter().map(|text| interner.intern(text.as_bytes())).collect();
        assert_eq!(interner.len(), 777);
        for (text, number) in texts.iter().zip(numbers) {
            assert_eq!(interner.get(number), text.as_bytes());
        }
    }
}
