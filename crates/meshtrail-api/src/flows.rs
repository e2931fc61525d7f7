//! Conversations between devices.

use meshtrail_event::Timestamp;
use serde::{Deserialize, Serialize};

/// Which conversations are asked for.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct FlowsQuery {
    /// Windows that began at this time or later: `2h` ago, `2026-11-20`, `2026-11-20T14:02Z`. An hour ago if absent.
    pub since: Option<String>,
    /// Windows that began before this time. Now if absent.
    pub until: Option<String>,
    /// `virtual`, `subnet`, `exit` or `physical`.
    pub layer: Option<String>,
    /// With this person at either end, by login.
    pub person: Option<String>,
    /// With this device at either end: its id, its name, or an address.
    pub device: Option<String>,
    /// With this port at either end.
    pub port: Option<u16>,
    /// What is told apart: `pair` of devices, which is usual, or `connection`.
    pub by: Option<By>,
    /// How many at most, those that carried most first.
    pub limit: Option<usize>,
}

/// What is told apart.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// Each pair of devices, and layer.
    Pair,
    /// Each connection.
    Connection,
}

/// Conversations.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct FlowsPage {
    /// Those that carried most first.
    pub conversations: Vec<ConversationView>,
    /// How many there are in all.
    pub total: usize,
    /// Windows of connections that were folded.
    pub windows: u64,
    /// Windows of conversations beyond those that can be told apart.
    pub left_out: u64,
    /// From when.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub since: Timestamp,
    /// Until when.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub until: Timestamp,
    /// From when on everything was looked at, where the work took too long to look at all of it: ask for less.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>))]
    pub reaches_back_to: Option<Timestamp>,
}

/// Two parties, what each counted, and what went between them.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ConversationView {
    /// One party.
    pub a: PartyView,
    /// The other.
    pub b: PartyView,
    /// `virtual`, `subnet`, `exit` or `physical`.
    pub layer: String,
    /// IANA protocol number, where connections are told apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proto: Option<u64>,
    /// What the first counted; absent where it reported nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by_a: Option<EndView>,
    /// What the other counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by_b: Option<EndView>,
    /// What went from the first to the other: the larger of what one sent and the other received.
    pub a_to_b: WayView,
    /// What went from the other to the first.
    pub b_to_a: WayView,
    /// The beginning of the earliest window.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub first: Timestamp,
    /// The end of the latest window.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub last: Timestamp,
}

/// Whoever is at one end, as known then.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct PartyView {
    /// The device's id, else the address, else `outside`.
    pub key: String,
    /// The device's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The device's full name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The person it belonged to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
    /// The tags that own it in a person's place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Its addresses here.
    pub addresses: Vec<String>,
    /// Its port, where connections are told apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// What one end counted.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct EndView {
    /// Windows.
    pub windows: u64,
    /// Bytes it sent.
    pub tx_bytes: u64,
    /// Packets it sent.
    pub tx_packets: u64,
    /// Bytes it received.
    pub rx_bytes: u64,
    /// Packets it received.
    pub rx_packets: u64,
    /// It received nothing of what the other says it sent: its received counts are too low.
    pub undercounts: bool,
}

/// What went one way.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct WayView {
    /// Bytes.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
}
