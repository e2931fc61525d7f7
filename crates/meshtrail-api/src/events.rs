//! Events: query, show and send.

use std::collections::BTreeMap;
use std::sync::Arc;

use meshtrail_event::{Actor, Device, EventId, Identity, Person, Position, RelativePosition};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The order of a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// Newest first.
    #[default]
    Newest,
    /// Oldest first.
    Oldest,
}

/// Which events, and how many.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
#[serde(deny_unknown_fields, default)]
pub struct EventsQuery {
    /// A filter, such as `actor:alice@example.com kind:ssh.* since:24h`.
    pub q: Option<String>,
    /// At most this many: 1 to 1000, 100 without it.
    pub limit: Option<usize>,
    /// Where the last answer's `next` left off.
    pub cursor: Option<String>,
    /// Which end to begin at: `newest` or `oldest`.
    pub order: Option<Order>,
}

/// A page of events.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct EventsAnswer {
    /// The leaves, byte for byte as they are proven.
    #[cfg_attr(feature = "schema", schema(value_type = Vec<crate::schema::Event>))]
    pub events: Vec<Box<RawValue>>,
    /// Where each is in the trail.
    pub indexes: Vec<u64>,
    /// The same with the trail: `main:17`.
    #[cfg_attr(feature = "schema", schema(value_type = Vec<String>))]
    pub positions: Vec<Position>,
    /// What became known of these events' people after they were written, by event id; a leaf itself never changes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub learned: BTreeMap<String, LateIdentity>,
    /// Where the list goes on; absent at its end. A page can be short, or empty, and still have a next one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// The people and devices of an earlier event, as they are known now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct LateIdentity {
    /// The `identity.learned` event.
    #[serde(rename = "told_by")]
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub learned_event: EventId,
    /// Who acted.
    #[serde(default, skip_serializing_if = "Actor::is_empty")]
    #[cfg_attr(feature = "schema", schema(value_type = crate::schema::Actor))]
    pub actor: Actor,
    /// How the actor is known.
    #[cfg_attr(feature = "schema", schema(value_type = crate::schema::Identity))]
    pub identity: Identity,
    /// What was acted on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<crate::schema::Device>))]
    pub target_device: Option<Arc<Device>>,
    /// The owner of the target device.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<crate::schema::Person>))]
    pub target_person: Option<Arc<Person>>,
}

/// Which events, and from where on.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
#[serde(deny_unknown_fields, default)]
pub struct FollowQuery {
    /// A filter.
    pub q: Option<String>,
    /// Begin after this position, such as `main:17`, or this index; without it, with what comes from now on.
    /// `Last-Event-ID` says the same.
    #[cfg_attr(feature = "schema", param(value_type = Option<String>))]
    pub after: Option<RelativePosition>,
}

/// How many events were taken.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Taken {
    /// Events that are in the trail now and were not before.
    pub accepted: usize,
    /// Events that were in the trail already: sending them again did nothing.
    pub duplicates: usize,
}
