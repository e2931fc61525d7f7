//! One address: who held it, and the newest answer, kept beside it for those who ask of now.
//!
//! A directory of many devices lies spread over memory, and each hop to another piece of it costs as much as all the
//! rest of an answer. Events come with times that are almost now: for them everything stands in one place.

use std::net::IpAddr;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use meshtrail_event::{Actor, Timestamp};

use super::holders::Holders;
use super::{Inner, Known};

/// An address of the mesh over time.
#[derive(Default)]
pub(super) struct Address {
    pub(super) holders: Holders,
    newest: RwLock<Option<Held>>,
}

/// Who has an address, with the actor at hand.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) known: Known,
    pub(super) actor: Actor,
    /// From when on the answer stays the same.
    since: Timestamp,
    /// What had been learned by then: the answer stands until more is.
    learned: u64,
}

/// An answer, kept or just made.
pub(super) enum Answer<'a> {
    Kept(RwLockReadGuard<'a, Option<Held>>),
    Made(Option<Box<Held>>),
}

impl Answer<'_> {
    pub(super) fn held(&self) -> Option<&Held> {
        match self {
            Self::Kept(held) => held.as_ref(),
            Self::Made(held) => held.as_deref(),
        }
    }
}

impl Inner {
    pub(super) fn address(&self, address: IpAddr) -> Option<&Address> {
        self.addresses.get(&address.to_canonical())
    }

    /// Who had the address at `time`.
    pub(super) fn holder<'a>(&self, address: &'a Address, time: Timestamp) -> Answer<'a> {
        let kept = address.newest.read().unwrap_or_else(PoisonError::into_inner);
        if kept.as_ref().is_some_and(|held| held.learned == self.learned && held.since <= time) {
            return Answer::Kept(kept);
        }
        drop(kept);
        let Some(known) = self.known_of(&address.holders, time) else { return Answer::Made(None) };
        let since = self.settled(&address.holders);
        let held = Held {
            actor: Actor::clone(known.actor()),
            known,
            since: since.unwrap_or_default(),
            learned: self.learned,
        };
        // Whoever holds it now reads what was there before: then the next one keeps the answer. Nobody waits, so that
        // two who hold one address each can't wait for each other.
        if since.is_some_and(|since| since <= time)
            && let Ok(mut newest) = address.newest.try_write()
        {
            *newest = Some(held.clone());
        }
        Answer::Made(Some(Box::new(held)))
    }

    /// From when on the same answer stands, if one device alone has the address.
    fn settled(&self, holders: &Holders) -> Option<Timestamp> {
        let since = holders.settled();
        let &[place] = holders.at(since) else { return None };
        let record = &self.devices[place as usize].record;
        let since = since.max(record.settled());
        let owner = record.at(since)?.state?.owner;
        let person = owner.map(|owner| self.people[owner as usize].record.settled());
        Some(since.max(person.unwrap_or_default()))
    }
}
