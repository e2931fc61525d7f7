//! API tokens, sign-in links, and who the caller is.

use meshtrail_event::Timestamp;
use serde::{Deserialize, Serialize};

use crate::open_enum::open_enum;

open_enum! {
    /// What a person or a machine is to this server.
    Role {
        /// A machine that may hand in events and nothing else; for tokens only.
        Sender = "sender",
        /// Reads lists, events and proofs.
        Viewer = "viewer",
        /// Also replays, follows and exports recordings.
        Auditor = "auditor",
        /// Also ends sessions and manages tokens.
        Admin = "admin",
    }
}

/// What a new token shall be.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// What it is for, at most 100 bytes. A sender's name is the source whose events it may hand in.
    pub name: String,
    /// What it may do.
    #[serde(deserialize_with = "Role::deserialize_known")]
    pub role: Role,
    /// When it stops working; never, without it.
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
}

/// One token, without its secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Token {
    /// What it is revoked by.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// When it was made.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub created: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// When it stops working, if ever.
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>))]
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires: Option<Timestamp>,
}

/// A new token, with its secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct MadeToken {
    /// The token.
    #[serde(flatten)]
    pub token: Token,
    /// The secret: shown here and never again.
    pub secret: String,
}

/// The tokens in force.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct TokenList<T = Token> {
    /// Each, oldest first.
    #[cfg_attr(feature = "schema", schema(value_type = Vec<Token>))]
    pub tokens: Vec<T>,
}

/// A link that signs one browser in.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SignInLink {
    /// The link.
    pub url: String,
    /// When it stops working.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub expires: Timestamp,
}

/// Who the caller is here.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct WhoAmI {
    /// By what name.
    pub name: String,
    /// With what role.
    pub role: Role,
    /// How they showed it: `token`, `cookie` or `files`.
    pub via: String,
}
