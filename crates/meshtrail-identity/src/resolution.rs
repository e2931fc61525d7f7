//! The result of resolving an address.

use std::collections::BTreeSet;

use meshtrail_event::{Actor, Device, Identity, IdentityStatus, Timestamp};

use crate::subject::{Contradiction, Provider, Subject};

/// The actor and the device behind an address, with status, provider and time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// The person or the tags, with the device; none if neither is known.
    pub actor: Option<Actor>,
    /// The device; it may be known without an owner.
    pub device: Option<Device>,
    /// Status.
    pub status: ResolutionStatus,
    /// The provider of this answer; none if no provider had one.
    pub provider: Option<Provider>,
    /// The moment that the answer is about.
    pub as_of: Timestamp,
}

/// Whether an address is resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResolutionStatus {
    /// A provider knows, and no other contradicts it.
    Resolved,
    /// Two providers contradict each other; the answer is that of the first one queried.
    Conflicting {
        /// The contradictions.
        what: Vec<Contradiction>,
    },
    /// No provider knows.
    Unresolved {
        /// The reason.
        why: Unresolved,
    },
}

/// Why an address is unresolved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum Unresolved {
    #[error("no provider knows this address")]
    Unknown,
    /// The address is not one of the mesh, so that tailscaled was not queried, and no directory lists it.
    #[error("not an address of the mesh")]
    Outside,
    /// The connection came from an address of this machine: the device is known, but not who runs programs on it.
    #[error(
        "the connection comes from this machine itself, where whoever can run a program could have made it"
    )]
    OwnMachine,
    /// The address is one of the mesh, but the mesh did not deliver the connection: another host may have taken the address.
    #[error("an address of the mesh, but the connection did not come by the mesh")]
    AroundTheMesh,
    /// There is neither a tailscaled nor a directory.
    #[error("no identity provider is set up")]
    NoProvider,
    /// The device is known, but belongs to no person and has no tags.
    #[error("the device is known, its owner is not")]
    NoOwner,
    #[error("tailscaled could not be asked: {reason}")]
    Failed { reason: String },
}

impl Resolution {
    /// The `identity` member of an event.
    pub fn identity(&self) -> Identity {
        let (status, reason) = match &self.status {
            ResolutionStatus::Resolved => (IdentityStatus::Resolved, None),
            ResolutionStatus::Conflicting { what } => {
                let texts: Vec<String> = what.iter().map(Contradiction::to_string).collect();
                (IdentityStatus::Conflicting, Some(format!("providers disagree: {}", texts.join("; "))))
            }
            ResolutionStatus::Unresolved { why } => (IdentityStatus::Unresolved, Some(why.to_string())),
        };
        Identity {
            as_of: Some(self.as_of),
            provider: self.provider.map(|provider| provider.as_str().to_owned()),
            reason,
            status,
            ..Identity::default()
        }
    }

    /// Whether access may be granted on this answer: a live provider knows the owner, and no other contradicts it. The
    /// history does not suffice, since the address may have another owner by now.
    pub fn is_certain(&self) -> bool {
        self.status == ResolutionStatus::Resolved && self.provider != Some(Provider::History)
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

    /// The tags that own the device in place of a person.
    pub fn tags(&self) -> &[String] {
        self.actor.as_ref().map_or(&[], |actor| &actor.tags)
    }

    /// The same device without an actor, for a connection that this machine made itself.
    pub(crate) fn of_own_machine(self) -> Resolution {
        let status = ResolutionStatus::Unresolved { why: Unresolved::OwnMachine };
        Resolution { actor: None, status, ..self }
    }

    pub(crate) fn unresolved(why: Unresolved, as_of: Timestamp) -> Resolution {
        Resolution {
            actor: None,
            device: None,
            status: ResolutionStatus::Unresolved { why },
            provider: None,
            as_of,
        }
    }

    /// One provider's account, with the directory's groups and other providers' contradictions.
    pub(crate) fn of(account: Account<'_>, groups: BTreeSet<String>, what: Vec<Contradiction>) -> Resolution {
        let Account { subject, provider, as_of } = account;
        let mut subject = subject.clone();
        if let Some(owner) = &mut subject.owner {
            owner.groups.extend(groups);
        }
        let status = if !what.is_empty() {
            ResolutionStatus::Conflicting { what }
        } else if subject.names_owner() {
            ResolutionStatus::Resolved
        } else {
            ResolutionStatus::Unresolved { why: Unresolved::NoOwner }
        };
        let actor = subject.names_owner().then(|| subject.actor());
        Resolution { actor, device: Some(subject.device()), status, provider: Some(provider), as_of }
    }
}

/// One provider's account of a device, and its time.
#[derive(Clone, Copy)]
pub(crate) struct Account<'a> {
    pub(crate) subject: &'a Subject,
    pub(crate) provider: Provider,
    pub(crate) as_of: Timestamp,
}
