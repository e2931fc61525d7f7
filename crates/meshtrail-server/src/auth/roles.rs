//! Principals, and the roles that the configuration grants to people, groups and tags.
//!
//! A [`Grantee`] is what one line of the configuration names: `alice@example.com`, `group:ops` or `tag:ci`.
//! A principal that matches several lines has the highest of their roles; one that matches none has no role.

use std::fmt;
use std::str::FromStr;

use meshtrail_event::{Actor, IdentityStatus};
use meshtrail_listen::Identity;

use super::Role;

/// Whom a role is granted to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grantee {
    /// A person by login name; letter case does not matter.
    Person(String),
    /// Everyone in this group of the identity provider (`group:…`).
    Group(String),
    /// Every device with this tag (`tag:…`).
    Tag(String),
    /// Every person of the mesh (`*`), without tagged devices.
    Everyone,
}

/// The text names no grantee.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} names nobody: write a login (alice@example.com), group:NAME, tag:NAME or *")]
pub struct InvalidGrantee {
    text: String,
}

impl FromStr for Grantee {
    type Err = InvalidGrantee;

    fn from_str(text: &str) -> Result<Grantee, InvalidGrantee> {
        let invalid = || InvalidGrantee { text: text.to_owned() };
        if text == "*" {
            return Ok(Grantee::Everyone);
        }
        if text.is_empty() || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(invalid());
        }
        match text.split_once(':') {
            Some((_, "")) => Err(invalid()),
            Some(("group", _)) => Ok(Grantee::Group(text.to_owned())),
            Some(("tag", _)) => Ok(Grantee::Tag(text.to_owned())),
            Some(_) => Err(invalid()),
            None => Ok(Grantee::Person(text.to_lowercase())),
        }
    }
}

/// Who a caller is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// A person or a tagged device of the mesh, as it was at sign-in.
    Mesh {
        actor: Box<Actor>,
        /// The provider of the identity, and as of when.
        identity: Box<meshtrail_event::Identity>,
    },
    /// The holder of an API token.
    Token { id: String, name: String },
    /// Somebody who can read this machine's terminal or state folder: a one-time link or the admin token file.
    Local,
}

impl Principal {
    /// This principal as an event's actor and identity.
    pub fn as_actor(&self) -> (Actor, meshtrail_event::Identity) {
        let service = match self {
            Principal::Mesh { actor, identity } => return ((**actor).clone(), (**identity).clone()),
            Principal::Token { id, name } => format!("token {id} ({name})"),
            Principal::Local => self.to_string(),
        };
        let provider = if *self == Principal::Local { "local" } else { "token" };
        let identity = meshtrail_event::Identity {
            status: IdentityStatus::Resolved,
            provider: Some(provider.to_owned()),
            ..Default::default()
        };
        (Actor { service: Some(service), ..Actor::default() }, identity)
    }
}

impl Principal {
    /// The identity against whose share of the limits its requests count.
    pub fn identity(&self) -> Identity {
        match self {
            Principal::Mesh { actor, .. } => {
                let person = actor.person.as_ref().filter(|_| actor.tags.is_empty());
                let device = actor.device.as_ref();
                let key = match (person, device) {
                    (Some(person), _) => person.login.to_lowercase(),
                    (None, Some(device)) => device.id.clone().or(device.name.clone()).unwrap_or_default(),
                    (None, None) => self.to_string(),
                };
                let name = device.filter(|_| person.is_none()).and_then(|device| device.name.clone());
                Identity::new(key, name.into_iter().chain(actor.tags.iter().cloned()))
            }
            Principal::Token { id, name } => Identity::new(format!("token {id}"), [format!("token:{name}")]),
            Principal::Local => Identity::new("local administrator", []),
        }
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Principal::Mesh { actor, .. } => {
                f.write_str(&actor.label().unwrap_or_else(|| "unknown".to_owned()))
            }
            Principal::Token { name, .. } => write!(f, "token {name}"),
            Principal::Local => f.write_str("local administrator"),
        }
    }
}

/// The parsed `[roles]` section of the configuration.
#[derive(Debug, Clone, Default)]
pub struct Grants(Vec<(Grantee, Role)>);

impl Grants {
    pub fn grant(&mut self, grantee: Grantee, role: Role) {
        self.0.push((grantee, role));
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The highest role of an actor, or none.
    pub fn role_of(&self, actor: &Actor) -> Option<Role> {
        self.0.iter().filter(|(grantee, _)| grantee.covers(actor)).map(|(_, role)| *role).max()
    }
}

impl Grantee {
    /// Whether an actor matches. A tagged device belongs to no person, whatever else its identity contains.
    fn covers(&self, actor: &Actor) -> bool {
        let person = actor.person.as_ref().filter(|_| actor.tags.is_empty());
        match (self, person) {
            (Grantee::Tag(wanted), _) => actor.tags.contains(wanted),
            (Grantee::Person(wanted), Some(person)) => *wanted == person.login.to_lowercase(),
            (Grantee::Group(wanted), Some(person)) => {
                let bare = wanted.trim_start_matches("group:");
                person.groups.iter().any(|group| group == wanted || group == bare)
            }
            (Grantee::Everyone, Some(_)) => true,
            (_, None) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use meshtrail_event::Person;

    fn grants(lines: &[(&str, Role)]) -> Grants {
        let mut grants = Grants::default();
        for (grantee, role) in lines {
            grants.grant(grantee.parse().unwrap(), *role);
        }
        grants
    }

    fn person(login: &str, groups: &[&str]) -> Actor {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        Actor {
            person: Some(Person { login: login.to_owned(), groups, ..Person::default() }.into()),
            ..Actor::default()
        }
    }

    fn tagged(tag: &str) -> Actor {
        Actor { tags: vec![tag.to_owned()], ..person("tagged-devices", &[]) }
    }

    #[test]
    fn the_highest_matching_role_counts_and_a_stranger_has_none() {
        let grants = grants(&[
            ("alice@example.com", Role::Viewer),
            ("group:ops", Role::Auditor),
            ("tag:ci", Role::Viewer),
        ]);
        assert_eq!(grants.role_of(&person("Alice@Example.com", &[])), Some(Role::Viewer));
        assert_eq!(grants.role_of(&person("alice@example.com", &["group:ops"])), Some(Role::Auditor));
        assert_eq!(grants.role_of(&person("mallory@example.com", &["devs"])), None);
        assert_eq!(grants.role_of(&tagged("tag:ci")), Some(Role::Viewer));
    }

    #[test]
    fn a_tagged_device_is_never_a_person() {
        let everyone = grants(&[("*", Role::Viewer), ("tagged-devices", Role::Admin)]);
        assert_eq!(everyone.role_of(&tagged("tag:web")), None);
        assert_eq!(everyone.role_of(&person("bob@example.com", &[])), Some(Role::Viewer));
    }

    #[test]
    fn what_names_nobody_is_refused() {
        for text in ["", "group:", "tag:", "role:x", "two words", "a\u{1b}b"] {
            assert!(text.parse::<Grantee>().is_err(), "{text:?} was taken");
        }
    }
}
