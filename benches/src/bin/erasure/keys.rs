//! Keys of people and keys of values.
//!
//! - A person has one secret, from which a key for each UTC day is derived. Destroying the secret closes all days.
//! - A value that may name anybody has a key of its own: a leaf of a tree in which each node's children are hashes of it.
//!   To destroy one leaf, the node above it is replaced by the siblings along its path.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result};
use ring::rand::SecureRandom;
use ring::{aead, hmac};
use sha2::{Digest, Sha256};

/// A secret of 32 bytes.
pub(crate) type Secret = [u8; 32];

/// Levels of a tree of value keys: it has 2^32 leaves.
const LEVELS: u32 = 32;

pub(crate) fn random() -> Result<Secret> {
    let mut secret = [0; 32];
    let filled = ring::rand::SystemRandom::new().fill(&mut secret);
    filled.ok().context("the system gives no random bytes")?;
    Ok(secret)
}

/// A secret derived from another one and a label; nobody can go back.
pub(crate) fn derive(secret: &Secret, label: &[u8]) -> Secret {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), label);
    tag.as_ref().try_into().expect("HMAC-SHA-256 has 32 bytes")
}

/// ChaCha20's keystream over `text`; the same call undoes it.
pub(crate) fn apply_keystream(key: &Secret, nonce: [u8; 12], text: &mut [u8]) {
    let key = aead::UnboundKey::new(&aead::CHACHA20_POLY1305, key).expect("the key has 32 bytes");
    let key = aead::LessSafeKey::new(key);
    let nonce = aead::Nonce::assume_unique_for_key(nonce);
    // The cipher's own tag is not stored: the synthetic nonce is compared after opening.
    let tag = key.seal_in_place_separate_tag(nonce, aead::Aad::empty(), text);
    debug_assert!(tag.is_ok(), "a value is shorter than 2^38 bytes");
}

/// The people's secrets. Serialised, this is all that must be destroyed for a person.
#[derive(Default)]
pub(crate) struct PersonKeys {
    secrets: BTreeMap<u32, Secret>,
    handles: HashMap<i64, HashMap<Secret, u32>>,
}

/// A person's keys of one day.
pub(crate) struct PersonDay {
    /// Names these keys in leaves, and commits to them.
    pub(crate) handle: Secret,
    pub(crate) mac: hmac::Key,
    pub(crate) stream: Secret,
    /// Mixed into the keys of values that are the person's and may name others.
    pub(crate) mix: Secret,
}

impl PersonKeys {
    /// The person's keys of a day; the person's secret is made at first use.
    pub(crate) fn day_for_encryption(&mut self, person: u32, day: i64) -> Result<PersonDay> {
        if let Entry::Vacant(place) = self.secrets.entry(person) {
            place.insert(random()?);
            self.handles.clear();
        }
        Ok(PersonDay::derive(&self.secrets[&person], day))
    }

    pub(crate) fn day(&self, person: u32, day: i64) -> Option<PersonDay> {
        Some(PersonDay::derive(self.secrets.get(&person)?, day))
    }

    /// Whose keys of this day have this handle.
    pub(crate) fn person_of(&mut self, handle: &Secret, day: i64) -> Option<u32> {
        let secrets = &self.secrets;
        let of_day = self.handles.entry(day).or_insert_with(|| {
            secrets.iter().map(|(&person, secret)| (PersonDay::derive(secret, day).handle, person)).collect()
        });
        of_day.get(handle).copied()
    }

    pub(crate) fn destroy(&mut self, person: u32) {
        self.secrets.remove(&person);
        self.handles.clear();
    }

    pub(crate) fn people(&self) -> Vec<u32> {
        self.secrets.keys().copied().collect()
    }

    /// The secrets as they would be stored.
    pub(crate) fn stored(&self) -> Vec<u8> {
        self.secrets
            .iter()
            .flat_map(|(person, secret)| [&person.to_be_bytes()[..], secret].concat())
            .collect()
    }
}

impl PersonDay {
    fn derive(secret: &Secret, day: i64) -> Self {
        let key = derive(secret, format!("meshtrail person day {day}").as_bytes());
        Self {
            handle: derive(&key, b"handle"),
            mac: hmac::Key::new(hmac::HMAC_SHA256, &derive(&key, b"mac")),
            stream: derive(&key, b"stream"),
            mix: derive(&key, b"mix"),
        }
    }
}

/// The keys of values, in the order of their first use.
pub(crate) struct ValueKeys {
    /// The nodes from which all keys that are not destroyed follow, by level above the leaves and index there.
    nodes: BTreeMap<(u32, u32), Secret>,
    /// The path to the last leaf, from `top` levels above the leaves down.
    path: Vec<Secret>,
    last: u32,
    top: Option<(u32, u32)>,
    /// Leaves given out.
    pub(crate) used: u32,
}

impl ValueKeys {
    pub(crate) fn new() -> Result<Self> {
        let nodes = BTreeMap::from([((LEVELS, 0), random()?)]);
        Ok(Self { nodes, path: Vec::new(), last: 0, top: None, used: 0 })
    }

    /// A new leaf's number and key.
    pub(crate) fn next(&mut self) -> Result<(u32, Secret)> {
        let number = self.used;
        self.used = number.checked_add(1).context("the tree of value keys is full")?;
        let key = self.get(number).context("a leaf that was never used is there")?;
        Ok((number, key))
    }

    /// The key of a leaf, unless it was destroyed.
    pub(crate) fn get(&mut self, number: u32) -> Option<Secret> {
        let (level, index) = match self.top {
            Some((level, index)) if above(number, level) == index && !self.path.is_empty() => (level, index),
            _ => {
                let top = self.covering(number)?;
                self.path = vec![self.nodes[&top]];
                self.top = Some(top);
                self.last = number;
                top
            }
        };
        debug_assert_eq!(above(number, level), index);
        // The part of the path that both leaves share stays.
        let differ = u32::BITS - (number ^ self.last).leading_zeros();
        self.path.truncate((level.saturating_sub(differ) + 1) as usize);
        while self.path.len() <= level as usize {
            let height = level - self.path.len() as u32;
            let above = self.path.last()?;
            self.path.push(child(above, (number >> height) & 1));
        }
        self.last = number;
        self.path.last().copied()
    }

    /// Destroys the key of one leaf; the others stay. Returns whether it was there.
    pub(crate) fn destroy(&mut self, number: u32) -> bool {
        let Some((mut level, index)) = self.covering(number) else { return false };
        let mut node = self.nodes.remove(&(level, index)).expect("it covers the leaf");
        while level > 0 {
            level -= 1;
            let bit = (number >> level) & 1;
            let sibling = above(number, level) ^ 1;
            // What was never given out is not needed: an erasure begins a new tree for later values.
            if u64::from(sibling) << level < u64::from(self.used) {
                self.nodes.insert((level, sibling), child(&node, bit ^ 1));
            }
            node = child(&node, bit);
        }
        (self.path, self.top) = (Vec::new(), None);
        true
    }

    fn covering(&self, number: u32) -> Option<(u32, u32)> {
        (0..=LEVELS).map(|level| (level, above(number, level))).find(|node| self.nodes.contains_key(node))
    }

    /// The nodes as they would be stored.
    pub(crate) fn stored(&self) -> Vec<u8> {
        let node = |(&(level, index), secret): (&(u32, u32), &Secret)| {
            [&[level as u8][..], &index.to_be_bytes(), secret].concat()
        };
        self.nodes.iter().flat_map(node).collect()
    }
}

/// The index of the node `level` levels above a leaf.
fn above(number: u32, level: u32) -> u32 {
    number.checked_shr(level).unwrap_or(0)
}

fn child(node: &Secret, bit: u32) -> Secret {
    let mut input = [0; 33];
    input[0] = bit as u8;
    input[1..].copy_from_slice(node);
    Sha256::digest(input).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destroyed_key_is_gone_and_every_other_one_stays() {
        let mut keys = ValueKeys::new().unwrap();
        let all: Vec<Secret> = (0..100).map(|_| keys.next().unwrap().1).collect();
        for gone in [0, 41, 42, 99] {
            assert!(keys.destroy(gone));
            assert!(!keys.destroy(gone), "it is gone");
        }
        for (number, key) in (0..).zip(&all) {
            let expected = (![0, 41, 42, 99].contains(&number)).then_some(*key);
            assert_eq!(keys.get(number), expected, "{number}");
        }
        let stored = keys.stored();
        for gone in [0, 41, 42, 99] {
            assert!(!stored.windows(32).any(|window| window == all[gone]), "{gone} is still stored");
        }
    }

    #[test]
    fn days_of_a_person_have_different_keys_and_end_with_the_secret() {
        let mut people = PersonKeys::default();
        let (monday, tuesday) =
            (people.day_for_encryption(7, 1).unwrap(), people.day_for_encryption(7, 2).unwrap());
        assert_ne!((monday.handle, monday.stream), (tuesday.handle, tuesday.stream));
        assert_eq!(people.person_of(&monday.handle, 1), Some(7));
        assert_eq!(people.person_of(&monday.handle, 2), None);
        people.destroy(7);
        assert!(people.day(7, 1).is_none() && people.person_of(&monday.handle, 1).is_none());
    }
}
