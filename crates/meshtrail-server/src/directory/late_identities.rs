//! Identities that became known after their events were written, each from an `identity.learned` event that refers to the
//! earlier one.
//!
//! At most [`MAX_ENTRIES`] are held, the newest; older ones are in the trail alone. Leaves never change: late identities
//! are applied to a copy.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, PoisonError, RwLock};

use meshtrail_api::events::LateIdentity;
use meshtrail_event::{Detail, Event, EventId, Kind};
use meshtrail_query::LateKnowledge;
use meshtrail_trail::Exemption;
use meshtrail_trail::manifest::SegmentFile;
use serde::Deserialize;
use serde_json::Value;

/// Most identities held, about a kilobyte each.
const MAX_ENTRIES: usize = 100_000;

/// Late identities by the event they are about. Clones share one table.
#[derive(Clone, Default)]
pub struct LateIdentities {
    // Guards the table; held for one lookup or one insertion.
    table: Arc<RwLock<Table>>,
}

#[derive(Default)]
struct Table {
    /// Ordered, because scans ask for ranges.
    by_event: BTreeMap<EventId, Arc<LateIdentity>>,
    order: VecDeque<EventId>,
}

impl Table {
    fn insert(&mut self, about: EventId, late: LateIdentity) {
        if self.by_event.insert(about.clone(), Arc::new(late)).is_none() {
            self.order.push_back(about);
        }
        if self.order.len() > MAX_ENTRIES
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_event.remove(&oldest);
        }
    }

    /// Whether one of the events may be in the file.
    fn may_be_in(&self, file: &SegmentFile) -> bool {
        let Some(sources) = &file.sources else { return true };
        sources.iter().any(|(source, span)| {
            let id = |sequence| EventId { source: source.clone(), epoch: span.epoch, sequence };
            span.first <= span.last && self.by_event.range(id(span.first)..=id(span.last)).next().is_some()
        })
    }
}

impl LateIdentities {
    /// The late identity of an event.
    pub fn get(&self, id: &EventId) -> Option<Arc<LateIdentity>> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).by_event.get(id).cloned()
    }

    /// The event id of a leaf, and its late identity; `None` where there is none.
    pub fn get_by_leaf(&self, leaf: &[u8]) -> Option<(EventId, Arc<LateIdentity>)> {
        #[derive(Deserialize)]
        struct Named {
            id: EventId,
        }
        if self.is_empty() {
            return None;
        }
        let Named { id } = serde_json::from_slice(leaf).ok()?;
        let late = self.get(&id)?;
        Some((id, late))
    }

    /// Whether there is no late identity.
    pub fn is_empty(&self) -> bool {
        self.table.read().unwrap_or_else(PoisonError::into_inner).by_event.is_empty()
    }

    /// Adds an `identity.learned` event; any other is ignored.
    pub(super) fn learn(&self, event: &Event) {
        let Some(Detail::Change(change)) = &event.detail else { return };
        let Some(about) = change.refers_to.clone().filter(|_| event.kind == Kind::IdentityLearned) else {
            return;
        };
        let late = LateIdentity {
            learned_event: event.id.clone(),
            actor: event.actor.clone(),
            identity: event.identity.clone(),
            target_device: event.target.device.clone(),
            target_person: event.target.person.clone(),
        };
        self.table.write().unwrap_or_else(PoisonError::into_inner).insert(about, late);
    }

    /// The events with a late identity, which a filter may match although their leaves don't; none if there are none.
    pub fn exemption(&self) -> Option<Exemption> {
        if self.is_empty() {
            return None;
        }
        let (files, events) = (self.table.clone(), self.clone());
        let in_file =
            move |file: &SegmentFile| files.read().unwrap_or_else(PoisonError::into_inner).may_be_in(file);
        let is_one = move |source: &str, epoch, sequence| {
            let source = source.parse().ok();
            source.is_some_and(|source| events.get(&EventId { source, epoch, sequence }).is_some())
        };
        Some(Exemption { in_file: Arc::new(in_file), events: Arc::new(is_one) })
    }

    /// What a query needs to find events by their late identities.
    pub fn knowledge(&self) -> LateKnowledge<impl Fn(&[u8]) -> Option<Vec<u8>>> {
        let late = self.clone();
        LateKnowledge { apply: move |leaf: &[u8]| late.apply_to(leaf), events: self.exemption() }
    }

    /// A copy of the leaf with the late identity in it; `None` where there is none.
    pub fn apply_to(&self, leaf: &[u8]) -> Option<Vec<u8>> {
        let (_, late) = self.get_by_leaf(leaf)?;
        let mut updated: Value = serde_json::from_slice(leaf).ok()?;
        let members = updated.as_object_mut()?;
        if !late.actor.is_empty() {
            members.insert("actor".to_owned(), serde_json::to_value(&late.actor).ok()?);
            members.insert("identity".to_owned(), serde_json::to_value(&late.identity).ok()?);
        }
        if late.target_device.is_some() {
            let target = members.entry("target").or_insert_with(|| Value::Object(serde_json::Map::new()));
            let target = target.as_object_mut()?;
            target.insert("device".to_owned(), serde_json::to_value(&late.target_device).ok()?);
            if let Some(person) = &late.target_person {
                target.insert("person".to_owned(), serde_json::to_value(person).ok()?);
            }
        }
        serde_json::to_vec(&updated).ok()
    }
}

impl std::fmt::Debug for LateIdentities {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("LateIdentities").field("events", &table.by_event.len()).finish()
    }
}
