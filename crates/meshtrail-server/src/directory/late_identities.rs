//! Identities that became known after their events were written, each from an `identity.learned` event that refers to the
//! earlier one.
//!
//! At most [`MAX_ENTRIES`] are held, the newest; older ones are in the trail alone. Leaves never change: late identities
//! are applied to a copy.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, PoisonError, RwLock};

use meshtrail_event::{Actor, Detail, Device, Event, EventId, Identity, Kind, Person};
use serde::Deserialize;
use serde_json::Value;

/// Most identities held, about a kilobyte each.
const MAX_ENTRIES: usize = 100_000;

/// The people and devices of an earlier event, as they are known now.
#[derive(Clone, Debug, PartialEq)]
pub struct LateIdentity {
    /// The `identity.learned` event.
    pub learned_event: EventId,
    /// Who acted.
    pub actor: Actor,
    /// How the actor is known.
    pub identity: Identity,
    /// What was acted on.
    pub target_device: Option<Arc<Device>>,
    /// The owner of the target device.
    pub target_person: Option<Arc<Person>>,
}

/// Late identities by the event they are about. Clones share one table.
#[derive(Clone, Default)]
pub struct LateIdentities {
    // Guards the table; held for one lookup or one insertion.
    table: Arc<RwLock<Table>>,
}

#[derive(Default)]
struct Table {
    by_event: HashMap<EventId, Arc<LateIdentity>>,
    order: VecDeque<EventId>,
}

impl LateIdentities {
    /// The late identity of an event.
    pub fn get(&self, id: &EventId) -> Option<Arc<LateIdentity>> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).by_event.get(id).cloned()
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
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        if table.by_event.insert(about.clone(), Arc::new(late)).is_none() {
            table.order.push_back(about);
        }
        if table.order.len() > MAX_ENTRIES
            && let Some(oldest) = table.order.pop_front()
        {
            table.by_event.remove(&oldest);
        }
    }

    /// A copy of the leaf with the late identity in it; `None` where there is none.
    pub fn apply_to(&self, leaf: &[u8]) -> Option<Vec<u8>> {
        #[derive(Deserialize)]
        struct Named {
            id: EventId,
        }
        if self.is_empty() {
            return None;
        }
        let named: Named = serde_json::from_slice(leaf).ok()?;
        let late = self.get(&named.id)?;
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
