//! The answer to "who is behind this address".

use std::collections::BTreeSet;

use meshtrail_event::{Actor, Device, Identity, IdentityStatus, Timestamp};

use crate::subject::{Contradiction, Provider, Subject};

/// Who is behind an address, how far that is known, by whom and as of when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// The person or the tags, with the device; none where neither is known.
    pub actor: Option<Actor>,
    /// The device; known also where its owner is not.
    pub device: Option<Device>,
    /// How far it is known.
    pub standing: Standing,
    /// Whose account this is; none where no provider had one.
    pub provider: Option<Provider>,
    /// The moment the account was true of.
    pub as_of: Timestamp,
}

/// How far an address is resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A provider knows, and no other says otherwise.
    Resolved,
    /// Two providers know different things; the account is that of the one asked first.
    Conflicting {
        /// What they differ in.
        what: Vec<Contradiction>,
    },
    /// Nobody knows who.
    Unresolved {
        /// Why not.
        why: Unresolved,
    },
}

/// Why nobody is known behind an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// Every provider was asked, and none knows the address.
    #[error("no provider knows this address")]
    Unknown,
    /// The address is none of the mesh, so that tailscaled was not asked, and no directory lists it.
    #[error("not an address of the mesh")]
    Outside,
    /// It came from an address of this machine: that tells the device, not who runs programs on it.
    #[error(
        "the connection comes from this machine itself, where whoever can run a program could have made it"
    )]
    OwnMachine,
    /// The address is one of the mesh, but the mesh did not bring the connection: another host may have taken it.
    #[error("an address of the mesh, but the connection did not come by the mesh")]
    AroundTheMesh,
    /// There is neither a tailscaled nor a directory to ask.
    #[error("no identity provider is set up")]
    NoProvider,
    /// The device is known, but belongs to no person and has no tags.
    #[error("the device is known, its owner is not")]
    NoOwner,
    /// tailscaled could not be asked.
    #[error("tailscaled could not be asked: {reason}")]
    Failed {
        /// What went wrong.
        reason: String,
    },
}

impl Resolution {
    /// How the actor was resolved, as it stands in an event.
    pub fn identity(&self) -> Identity {
        let (status, reason) = match &self.standing {
            Standing::Resolved => (IdentityStatus::Resolved, None),
            Standing::Conflicting { what } => {
                let texts: Vec<String> = what.iter().map(Contradiction::to_string).collect();
                (IdentityStatus::Conflicting, Some(format!("providers disagree: {}", texts.join("; "))))
            }
            Standing::Unresolved { why } => (IdentityStatus::Unresolved, Some(why.to_string())),
        };
        Identity {
            as_of: Some(self.as_of),
            claimed: None,
            provider: self.provider.map(|provider| provider.as_str().to_owned()),
            reason,
            status,
        }
    }

    /// Whether a provider knows who, and no other says otherwise: what access may be given on. What was told some
    /// time ago is not enough for that: an address can have another owner since.
    pub fn is_certain(&self) -> bool {
        self.standing == Standing::Resolved && self.provider != Some(Provider::History)
    }

    /// The person's login.
    pub fn login(&self) -> Option<&str> {
        Some(&self.actor.as_ref()?.person.as_ref()?.login)
    }

    /// The person's groups, written `group:name`.
    pub fn groups(&self) -> &[String] {
        let person = self.actor.as_ref().and_then(|actor| actor.person.as_ref());
        person.map_or(&[], |person| &person.groups)
    }

    /// The tags that stand in a person's place.
    pub fn tags(&self) -> &[String] {
        self.actor.as_ref().map_or(&[], |actor| &actor.tags)
    }

    /// The same device, and nobody: what is known of a connection that this machine made itself.
    pub(crate) fn of_own_machine(self) -> Resolution {
        let standing = Standing::Unresolved { why: Unresolved::OwnMachine };
        Resolution { actor: None, standing, ..self }
    }

    pub(crate) fn unresolved(why: Unresolved, as_of: Timestamp) -> Resolution {
        Resolution {
            actor: None,
            device: None,
            standing: Standing::Unresolved { why },
            provider: None,
            as_of,
        }
    }

    /// One provider's account, with the groups that the directory adds and what another provider contradicts.
    pub(crate) fn of(account: Account<'_>, groups: BTreeSet<String>, what: Vec<Contradiction>) -> Resolution {
        let Account { subject, provider, as_of } = account;
        let mut subject = subject.clone();
        if let Some(owner) = &mut subject.owner {
            owner.groups.extend(groups);
        }
        let standing = if !what.is_empty() {
            Standing::Conflicting { what }
        } else if subject.says_whose() {
            Standing::Resolved
        } else {
            Standing::Unresolved { why: Unresolved::NoOwner }
        };
        let actor = subject.says_whose().then(|| subject.actor());
        Resolution { actor, device: Some(subject.device()), standing, provider: Some(provider), as_of }
    }
}

/// What one provider says, and as of when.
#[derive(Clone, Copy)]
pub(crate) struct Account<'a> {
    pub(crate) subject: &'a Subject,
    pub(crate) provider: Provider,
    pub(crate) as_of: Timestamp,
}
