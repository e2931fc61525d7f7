//! Whether one rule matches a login, and what it lacks.

use std::fmt;

use super::{LoginQuestion, Uid};
use crate::compile::{CompiledSsh, Holds, Policy};
use crate::control_plane::ControlPlane;
use crate::directory::{Hindrance, Role};
use crate::file::{LocalUserPattern, RuleSite};

/// A condition of a rule that a login does not meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unmet {
    /// The rule is for a role, and the person has another one.
    Role {
        /// The roles of the rule.
        wanted: Vec<Role>,
        /// The person's.
        role: Role,
    },
    /// It is not known whether a source names the person: their role or synced groups are not known.
    Membership {
        /// The sources in question, as written.
        sources: Vec<String>,
    },
    /// `autogroup:self`, and the host is somebody else's.
    OtherOwner {
        /// The login of the host's owner.
        owner: String,
    },
    /// The local user is not among those of the rule.
    User {
        /// The users of the rule, as written.
        users: Vec<String>,
    },
    /// The local user has uid 0, which `autogroup:nonroot` leaves out.
    UserIsRoot,
    /// The host has no such local user.
    NoSuchUser,
    /// The local user's uid is not known, so that it may be 0.
    UidUnknown,
    /// The device does not have the posture.
    Posture {
        /// What is missing, in words.
        reason: String,
    },
    /// Whether the device has the posture can't be evaluated.
    PostureUnknown {
        /// What is not known, in words.
        reason: String,
    },
    /// The rule has members that are not known here.
    UnknownMembers {
        /// Their names.
        members: Vec<String>,
    },
    /// The rule matches, and another one comes before it.
    Behind {
        /// The rule that decides.
        decides: RuleSite,
        /// The recorders that this rule would have recorded with.
        recorders: Vec<String>,
    },
    /// A device takes no part in the mesh.
    Device {
        /// Its name.
        device: String,
        /// Why.
        hindrance: Hindrance,
    },
}

impl Unmet {
    /// Whether it is a condition that nobody can evaluate, and not one that is known to fail.
    pub fn is_open(&self) -> bool {
        matches!(
            self,
            Self::Membership { .. }
                | Self::UidUnknown
                | Self::PostureUnknown { .. }
                | Self::UnknownMembers { .. }
        )
    }
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Role { wanted, role } => {
                let wanted: Vec<_> = wanted.iter().map(|role| role.name()).collect();
                write!(f, "it is for the role {}, and the person's role is {role}", wanted.join(" or "))
            }
            Self::Membership { sources } => {
                write!(f, "it is not known whether the person is in {}", sources.join(" or "))
            }
            Self::OtherOwner { owner } => {
                write!(f, "it is for the person's own devices, and this one is {owner}'s")
            }
            Self::User { users } => write!(f, "it is for the local users {}", users.join(", ")),
            Self::UserIsRoot => {
                f.write_str("the local user has uid 0, and autogroup:nonroot leaves that out")
            }
            Self::NoSuchUser => f.write_str("the host has no such local user"),
            Self::UidUnknown => {
                f.write_str("the local user's uid is not known, and autogroup:nonroot leaves out uid 0")
            }
            Self::Posture { reason } => write!(f, "the device does not have the posture: {reason}"),
            Self::PostureUnknown { reason } => write!(f, "the device's posture can't be evaluated: {reason}"),
            Self::UnknownMembers { members } => {
                write!(f, "members that are not known here can't be evaluated: {}", members.join(", "))
            }
            Self::Behind { decides, recorders } if recorders.is_empty() => {
                write!(f, "it matches too, but {decides} comes first")
            }
            Self::Behind { decides, recorders } => {
                let recorders = recorders.join(", ");
                write!(f, "it matches too, but {decides} comes first: it does not record with {recorders}")
            }
            Self::Device { device, hindrance } => write!(f, "{device} {hindrance}"),
        }
    }
}

/// How a rule and a login go together.
pub(super) enum Verdict {
    Matches,
    /// It lacks one condition, or only such as nobody can evaluate.
    Near(Vec<Unmet>),
    /// The rule is for other people, hosts or users.
    Other,
}

impl Policy {
    pub(super) fn judge(&self, rule: &CompiledSsh, question: &LoginQuestion<'_>) -> Verdict {
        let mut unmet = Vec::new();
        for condition in [self.judge_source(rule, question), self.judge_host(rule, question)] {
            match condition {
                Condition::Met => {}
                Condition::Unmet(reason) => unmet.push(reason),
                Condition::Other => return Verdict::Other,
            }
        }
        unmet.extend(self.judge_user(rule, question));
        match self.posture(&rule.postures, question.from) {
            Holds::Yes => {}
            Holds::No(reason) => unmet.push(Unmet::Posture { reason }),
            Holds::Unknown(reason) => unmet.push(Unmet::PostureUnknown { reason }),
        }
        if !rule.unknown.is_empty() {
            unmet.push(Unmet::UnknownMembers { members: rule.unknown.clone() });
        }
        let is_near = unmet.len() <= 1 || unmet.iter().all(Unmet::is_open);
        match (unmet.is_empty(), is_near) {
            (true, _) => Verdict::Matches,
            (false, true) => Verdict::Near(unmet),
            (false, false) => Verdict::Other,
        }
    }

    fn judge_source(&self, rule: &CompiledSsh, question: &LoginQuestion<'_>) -> Condition {
        if rule.sources.iter().any(|source| self.source(*source).devices.contains(question.from)) {
            return Condition::Met;
        }
        let unsure =
            rule.sources.iter().filter(|source| self.source(**source).unsure.contains(question.from));
        let sources: Vec<String> = unsure.map(|source| self.source_text(*source).to_owned()).collect();
        if !sources.is_empty() {
            return Condition::Unmet(Unmet::Membership { sources });
        }
        // A person with a role of their own may take one role for another; for all others it is a rule of others.
        let person = self.mesh.owner(question.from).map(|person| self.mesh.person(person));
        match person.and_then(|person| person.role) {
            Some(role) if role != Role::Member && !rule.roles.is_empty() => {
                Condition::Unmet(Unmet::Role { wanted: rule.roles.clone(), role })
            }
            _ => Condition::Other,
        }
    }

    fn judge_host(&self, rule: &CompiledSsh, question: &LoginQuestion<'_>) -> Condition {
        let named =
            rule.destinations.iter().any(|host| self.destination(*host).devices.contains(question.to));
        if named || self.is_own_source(rule, question) {
            return Condition::Met;
        }
        let (person, owner) = (self.mesh.owner(question.from), self.mesh.owner(question.to));
        match owner {
            Some(owner) if rule.own_devices && person == Some(owner) => Condition::Met,
            Some(owner) if rule.own_devices => {
                Condition::Unmet(Unmet::OtherOwner { owner: self.mesh.person(owner).login.clone() })
            }
            _ => Condition::Other,
        }
    }

    /// A rule with `localpart` also lets people in to their own devices that are among its sources, though these are no
    /// destinations (captured); a tagged source to itself only.
    fn is_own_source(&self, rule: &CompiledSsh, question: &LoginQuestion<'_>) -> bool {
        let has_localpart = rule.users.iter().any(|user| matches!(user, LocalUserPattern::Localpart(_)));
        let owner = self.mesh.owner(question.to);
        let is_own =
            question.from == question.to || (owner.is_some() && owner == self.mesh.owner(question.from));
        let is_source =
            || rule.sources.iter().any(|source| self.source(*source).devices.contains(question.to));
        has_localpart && !rule.destinations.is_empty() && is_own && is_source()
    }

    /// What the local user lacks; `None` if one of the rule's patterns is theirs.
    fn judge_user(&self, rule: &CompiledSsh, question: &LoginQuestion<'_>) -> Option<Unmet> {
        let mut reason = None;
        for pattern in &rule.users {
            match pattern {
                LocalUserPattern::Name(name) if name == question.user.name => return None,
                LocalUserPattern::Localpart(domain) if self.is_localpart(domain, question) => return None,
                LocalUserPattern::NonRoot => match question.user.uid {
                    _ if question.user.name == "root" => reason = Some(Unmet::UserIsRoot),
                    Uid::Known(0) => reason = Some(Unmet::UserIsRoot),
                    Uid::Known(_) => return None,
                    Uid::Absent => reason = Some(Unmet::NoSuchUser),
                    Uid::Unknown => reason = Some(Unmet::UidUnknown),
                },
                _ => {}
            }
        }
        let users = rule.users.iter().map(LocalUserPattern::to_string).collect();
        Some(reason.unwrap_or(Unmet::User { users }))
    }

    /// Whether the local user is the part before the @ of the person's login. Headscale compares domains without case.
    fn is_localpart(&self, domain: &str, question: &LoginQuestion<'_>) -> bool {
        let Some(person) = self.mesh.owner(question.from) else { return false };
        let Some((local, of)) = self.mesh.person(person).login.rsplit_once('@') else { return false };
        let is_domain = match self.plane {
            ControlPlane::Headscale => of.eq_ignore_ascii_case(domain),
            ControlPlane::Tailscale | ControlPlane::PlainWireGuard => of == domain,
        };
        is_domain && local == question.user.name
    }
}

/// How one part of a rule and of a login go together.
enum Condition {
    Met,
    Unmet(Unmet),
    Other,
}
