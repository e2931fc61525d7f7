//! One address: its holders over time, and the newest answer as a cache.
//!
//! The data of many devices are scattered in memory, and each cache miss costs as much as the rest of a query. Most events
//! have times close to now: for them everything needed is in one place.

use std::net::IpAddr;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use meshtrail_event::{Actor, Timestamp};

use super::holders::Holders;
use super::{DeviceAsOf, Inner};

/// An address of the mesh over time.
#[derive(Default)]
pub(super) struct Address {
    pub(super) holders: Holders,
    newest: RwLock<Option<HolderAnswer>>,
}

/// The holder of an address, with a copy of its actor.
#[derive(Clone)]
pub(super) struct HolderAnswer {
    pub(super) device: DeviceAsOf,
    pub(super) actor: Actor,
    /// The start of the time for which the answer is valid.
    since: Timestamp,
    /// The generation of the history for which the answer is valid.
    generation: u64,
}

/// The result of looking up an address: a cached answer, or a new one.
pub(super) enum HolderLookup<'a> {
    Cached(RwLockReadGuard<'a, Option<HolderAnswer>>),
    Computed(Option<Box<HolderAnswer>>),
}

impl HolderLookup<'_> {
    pub(super) fn answer(&self) -> Option<&HolderAnswer> {
        match self {
            Self::Cached(answer) => answer.as_ref(),
            Self::Computed(answer) => answer.as_deref(),
        }
    }
}

impl Inner {
    pub(super) fn address(&self, address: IpAddr) -> Option<&Address> {
        self.addresses.get(&address.to_canonical())
    }

    /// Looks up the holder of the address at `time`.
    pub(super) fn holder<'a>(&self, address: &'a Address, time: Timestamp) -> HolderLookup<'a> {
        let cached = address.newest.read().unwrap_or_else(PoisonError::into_inner);
        if cached.as_ref().is_some_and(|answer| answer.generation == self.generation && answer.since <= time)
        {
            return HolderLookup::Cached(cached);
        }
        drop(cached);
        let Some(device) = self.holder_as_of(&address.holders, time) else {
            return HolderLookup::Computed(None);
        };
        let since = self.stable_since(&address.holders);
        let answer = HolderAnswer {
            actor: Actor::clone(device.actor()),
            device,
            since: since.unwrap_or_default(),
            generation: self.generation,
        };
        // If the lock is taken, the answer is cached by a later query instead. Nobody waits, so that two queries that have
        // one address locked each can't deadlock.
        if since.is_some_and(|since| since <= time)
            && let Ok(mut newest) = address.newest.try_write()
        {
            *newest = Some(answer.clone());
        }
        HolderLookup::Computed(Some(Box::new(answer)))
    }

    /// The start of the time for which the newest answer is valid, if only one device has the address.
    fn stable_since(&self, holders: &Holders) -> Option<Timestamp> {
        let since = holders.stable_since();
        let &[place] = holders.at(since) else { return None };
        let record = &self.devices[place as usize].record;
        let since = since.max(record.stable_since());
        let owner = record.at(since)?.state?.owner;
        let person = owner.map(|owner| self.people[owner as usize].record.stable_since());
        Some(since.max(person.unwrap_or_default()))
    }
}
