//! Who asks, and what they may do.
//!
//! - A request has one [`Viewer`] or none; it is found once, in [`gate`], before any handler runs.
//! - A route names the [`Capability`] it needs in the route table; a role holds a fixed set of them.
//! - Secrets are kept as SHA-256 only and compared in constant time.
//! - Looking an address up in the mesh happens on an explicit sign-in, never per request.

pub mod gate;
pub mod links;
pub mod names;
pub mod roles;
pub mod secret;
pub mod sessions;
pub mod tokens;

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use roles::{Grants, Holder};
pub use secret::{Secret, SecretHash};

/// What a person or a machine is to this server.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
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

/// What a route needs of whoever calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Capability {
    /// Open to everyone: health, the sign-in page and its parts.
    Open,
    /// Reading lists, events, checkpoints and proofs.
    Read,
    /// Watching a recording: playback and live view.
    Replay,
    /// Taking a recording or an evidence pack away.
    Export,
    /// Ending a live session.
    Kill,
    /// Making, listing and revoking API tokens and sign-in links.
    Administer,
    /// Handing in events.
    Send,
    /// Knowing and ending one's own sign-in: any role.
    SelfService,
}

impl Role {
    /// Every role, from the least to the most.
    pub const ALL: [Role; 4] = [Role::Sender, Role::Viewer, Role::Auditor, Role::Admin];

    /// Whether this role holds `capability`.
    ///
    /// An admin may not hand in events: whoever can end a session should not be able to make up its record.
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

/// The text names no role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a role; the roles are viewer, auditor, admin and, for tokens, sender")]
pub struct UnknownRole;

impl Capability {
    /// The least role that holds this, for messages.
    pub fn least_role(self) -> Role {
        match self {
            Capability::Open | Capability::SelfService | Capability::Send => Role::Sender,
            Capability::Read => Role::Viewer,
            Capability::Replay | Capability::Export => Role::Auditor,
            Capability::Kill | Capability::Administer => Role::Admin,
        }
    }

    /// What it is called in the route table's golden file and in refusals.
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

/// Who is behind a request and how we know: in handlers, an extractor that is there on every route but open ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Viewer {
    /// Whom the mesh, a token or a local link says this is.
    pub who: Holder,
    /// What they may do here.
    pub role: Role,
    /// How they showed it.
    pub via: Via,
    /// Where they asked from; none for a command that reads a store itself.
    pub address: Option<SocketAddr>,
}

/// How a viewer showed who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Via {
    /// An API token in the `Authorization` header.
    Token,
    /// A browser's session cookie.
    Cookie,
    /// By reading the store's files: the command line without a server.
    Files,
}

impl Viewer {
    /// Whether the viewer's role holds `capability`: for pages that show or hide a button. Routes are guarded by the table.
    pub fn may(&self, capability: Capability) -> bool {
        self.role.may(capability)
    }
}

impl<S: Send + Sync> axum::extract::FromRequestParts<S> for Viewer {
    type Rejection = crate::problem::Problem;

    async fn from_request_parts(parts: &mut http::request::Parts, _: &S) -> Result<Viewer, Self::Rejection> {
        parts.extensions.get::<Viewer>().cloned().ok_or_else(crate::problem::Problem::unauthenticated)
    }
}

impl<S: Send + Sync> axum::extract::OptionalFromRequestParts<S> for Viewer {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(
        parts: &mut http::request::Parts,
        _: &S,
    ) -> Result<Option<Viewer>, Self::Rejection> {
        Ok(parts.extensions.get::<Viewer>().cloned())
    }
}
