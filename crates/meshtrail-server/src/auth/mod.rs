//! Who callers are, and what their roles may do.
//!
//! - A request has at most one [`Caller`]; it is identified once, in [`crate::authorisation`], before any handler runs.
//! - A route names the [`Capability`] it requires in the route table; a role holds a fixed set of them.
//! - Secrets are stored as SHA-256 only and compared in constant time.
//! - An address is looked up in the mesh on an explicit sign-in, never per request.

pub mod host_names;
pub mod links;
pub mod roles;
pub mod secret;
pub mod sign_ins;
pub mod tokens;

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use roles::{Grants, Principal};
pub use secret::{Secret, SecretHash};

/// What a person or a machine is to this server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A machine that may hand in events and nothing else; for tokens only.
    Sender,
    /// Reads lists, events and proofs.
    Viewer,
    /// Also replays, follows and exports recordings.
    Auditor,
    /// Also ends sessions and manages tokens.
    Admin,
}

/// What a route requires of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Capability {
    /// Nothing: health, the sign-in page and its assets.
    Open,
    /// Reading lists, events, checkpoints and proofs.
    Read,
    /// Watching a recording: playback and live view.
    Replay,
    /// Downloading a recording or an evidence pack.
    Export,
    /// Ending a live session.
    Kill,
    /// Creating, listing and revoking API tokens and sign-in links.
    Administer,
    /// Sending events.
    Send,
    /// Reading and ending one's own sign-in: any role.
    SelfService,
}

impl Role {
    /// Every role, from the least to the most.
    pub const ALL: [Role; 4] = [Role::Sender, Role::Viewer, Role::Auditor, Role::Admin];

    /// Whether this role holds `capability`.
    ///
    /// An admin may not send events: whoever can end a session should not be able to forge its record.
    pub fn may(self, capability: Capability) -> bool {
        match capability {
            Capability::Open | Capability::SelfService => true,
            Capability::Send => self == Role::Sender,
            Capability::Read => self >= Role::Viewer,
            Capability::Replay | Capability::Export => self >= Role::Auditor,
            Capability::Kill | Capability::Administer => self >= Role::Admin,
        }
    }

    /// The role's name, as written in the configuration and in answers.
    pub fn name(self) -> &'static str {
        match self {
            Role::Sender => "sender",
            Role::Viewer => "viewer",
            Role::Auditor => "auditor",
            Role::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Role, UnknownRole> {
        Role::ALL.into_iter().find(|role| role.name() == text).ok_or(UnknownRole)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a role; the roles are viewer, auditor, admin and, for tokens, sender")]
pub struct UnknownRole;

impl Capability {
    /// The lowest role that holds this, for messages.
    pub fn least_role(self) -> Role {
        match self {
            Capability::Open | Capability::SelfService | Capability::Send => Role::Sender,
            Capability::Read => Role::Viewer,
            Capability::Replay | Capability::Export => Role::Auditor,
            Capability::Kill | Capability::Administer => Role::Admin,
        }
    }

    /// Its name in the route table's golden file and in refusals.
    pub fn name(self) -> &'static str {
        match self {
            Capability::Open => "open",
            Capability::Read => "read",
            Capability::Replay => "replay",
            Capability::Export => "export",
            Capability::Kill => "kill",
            Capability::Administer => "administer",
            Capability::Send => "send",
            Capability::SelfService => "self",
        }
    }
}

/// The authenticated caller of a request. As an extractor it is available on every route except open ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub who: Principal,
    pub role: Role,
    pub auth_method: AuthMethod,
    /// The peer address; none for a command that reads a store itself.
    pub address: Option<SocketAddr>,
}

/// How a caller was authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthMethod {
    /// An API token in the `Authorization` header.
    Token,
    /// A browser's sign-in cookie.
    Cookie,
    /// Access to the store's files: the command line without a server.
    LocalFiles,
}

impl Caller {
    /// Whether the caller's role holds `capability`, for pages that show or hide a button. Routes are guarded by the table.
    pub fn may(&self, capability: Capability) -> bool {
        self.role.may(capability)
    }
}

impl<S: Send + Sync> axum::extract::FromRequestParts<S> for Caller {
    type Rejection = crate::problem::Problem;

    async fn from_request_parts(parts: &mut http::request::Parts, _: &S) -> Result<Caller, Self::Rejection> {
        parts.extensions.get::<Caller>().cloned().ok_or_else(crate::problem::Problem::unauthenticated)
    }
}

impl<S: Send + Sync> axum::extract::OptionalFromRequestParts<S> for Caller {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(
        parts: &mut http::request::Parts,
        _: &S,
    ) -> Result<Option<Caller>, Self::Rejection> {
        Ok(parts.extensions.get::<Caller>().cloned())
    }
}
