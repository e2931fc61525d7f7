//! What became known of earlier events: each by an `identity.learned` event, which names the one it adds to.
//!
//! At most [`KEPT`] are held, the newest; of older ones only the trail tells. Leaves are never changed: whoever shows
//! best knowledge lays this over a copy.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, PoisonError, RwLock};

use meshtrail_event::{Actor, Detail, Device, Event, EventId, Identity, Kind, Person};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How many are held: about a kilobyte each.
const KEPT: usize = 100_000;

/// What is known now of an earlier event's people and devices.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Late {
    /// The event that tells it.
    pub told_by: EventId,
    /// Who acted.
    #[serde(skip_serializing_if = "Actor::is_empty")]
    pub actor: Actor,
    /// How that is known.
    pub identity: Identity,
    /// What was acted on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_device: Option<Arc<Device>>,
    /// Whose that is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_person: Option<Arc<Person>>,
}

/// What became known late, by the event it is about. A clone shares everything.
#[derive(Clone, Default)]
pub struct Learned {
    // Guards the table; held for one look-up or one insertion.
    table: Arc<RwLock<Table>>,
}

#[derive(Default)]
struct Table {
    of: HashMap<EventId, Arc<Late>>,
    order: VecDeque<EventId>,
}

impl Learned {
    /// What became known of an event.
    pub fn of(&self, id: &EventId) -> Option<Arc<Late>> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).of.get(id).cloned()
    }

    /// Whether nothing became known late.
    pub fn is_empty(&self) -> bool {
        self.table.read().unwrap_or_else(PoisonError::into_inner).of.is_empty()
    }

    /// Takes in an `identity.learned` event; any other tells nothing.
    pub(super) fn learn(&self, event: &Event) {
        let Some(Detail::Change(change)) = &event.detail else { return };
        let Some(about) = change.refers_to.clone().filter(|_| event.kind == Kind::IdentityLearned) else {
            return;
        };
        let late = Late {
            told_by: event.id.clone(),
            actor: event.actor.clone(),
            identity: event.identity.clone(),
            target_device: event.target.device.clone(),
            target_person: event.target.person.clone(),
        };
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        if table.of.insert(about.clone(), Arc::new(late)).is_none() {
            table.order.push_back(about);
        }
        if table.order.len() > KEPT
            && let Some(oldest) = table.order.pop_front()
        {
            table.of.remove(&oldest);
        }
    }

    /// The leaf as it would be had everything been known when it was written; none where nothing became known late.
    pub fn best(&self, leaf: &[u8]) -> Option<Vec<u8>> {
        #[derive(Deserialize)]
        struct Named {
            id: EventId,
        }
        if self.is_empty() {
            return None;
        }
        let named: Named = serde_json::from_slice(leaf).ok()?;
        let late = self.of(&named.id)?;
        let mut best: Value = serde_json::from_slice(leaf).ok()?;
        let members = best.as_object_mut()?;
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
        serde_json::to_vec(&best).ok()
    }
}

impl std::fmt::Debug for Learned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("Learned").field("events", &table.of.len()).finish()
    }
}
