//! Checkpoints and proofs. Hashes are lower-case hex.

use meshtrail_event::{Position, RelativePosition};
use serde::{Deserialize, Serialize};

/// A signed head of the trail.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Head {
    /// The trail's origin line.
    pub origin: String,
    /// Events in the trail.
    pub size: u64,
    /// The root hash, in hex.
    pub root: String,
    /// The signed note, as C2SP tlog-checkpoint has it.
    pub note: String,
    /// The key that signs it.
    pub vkey: String,
}

/// What to prove: an event by id or position, or consistency from an older size.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct ProofQuery {
    /// The event's id.
    pub event: Option<String>,
    /// The event's position, such as `main:17`, or its index.
    #[cfg_attr(feature = "schema", param(value_type = Option<String>))]
    pub index: Option<RelativePosition>,
    /// In the trail of this size; the newest checkpoint's without it.
    pub size: Option<u64>,
    /// Consistency from this size, such as `main:1000` or 1000.
    #[cfg_attr(feature = "schema", param(value_type = Option<String>))]
    pub from: Option<RelativePosition>,
    /// Consistency up to this size; the newest checkpoint's without it.
    pub to: Option<u64>,
}

/// That an event is in the trail.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Inclusion {
    /// `inclusion`
    #[serde(rename = "type")]
    pub of_type: String,
    /// The event.
    pub event_id: String,
    /// Where it is.
    pub index: u64,
    /// The same with the trail: `main:17`.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub position: Position,
    /// SHA-256 of 0x00 and the leaf, in hex.
    pub leaf_hash: String,
    /// Events in the tree.
    pub size: u64,
    /// The tree's root, in hex.
    pub root: String,
    /// The siblings on the way up, lowest first, in hex.
    pub hashes: Vec<String>,
    /// The signed checkpoint of that size; absent when another size was asked for than is signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The key that signs it.
    pub vkey: String,
}

/// That an older trail is the beginning of a newer one.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Consistency {
    /// `consistency`
    #[serde(rename = "type")]
    pub of_type: String,
    /// Events in the older trail.
    pub from: u64,
    /// Events in the newer trail.
    pub to: u64,
    /// The older root, in hex.
    pub from_root: String,
    /// The newer root, in hex.
    pub to_root: String,
    /// The nodes that lead to both, in hex.
    pub hashes: Vec<String>,
    /// The signed checkpoint of the newer size; absent when another size was asked for than is signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The key that signs it.
    pub vkey: String,
}

/// Either proof.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum ProofAnswer {
    /// That an event is in the trail.
    Inclusion(Inclusion),
    /// That an older trail is the beginning of a newer one.
    Consistency(Consistency),
}
