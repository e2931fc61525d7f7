//! Which people, groups and tags have which role, as the configuration says.
//!
//! A [`Subject`] is what one line of the configuration names: `alice@example.com`, `group:ops` or `tag:ci`.
//! Who matches several gets the highest; who matches none gets none.

use std::fmt;
use std::str::FromStr;

use meshtrail_event::{Actor, IdentityStatus};
use meshtrail_listen::Identity;

use super::Role;

/// Whom a role is given to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A person by login name; letter case does not matter.
    Person(String),
    /// Everyone whom the identity provider puts into this group (`group:…`).
    Group(String),
    /// Every device with this tag (`tag:…`).
    Tag(String),
    /// Every person of the mesh (`*`), tagged devices not included.
    Everyone,
}

/// A subject that can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} names nobody: write a login (alice@example.com), group:NAME, tag:NAME or *")]
pub struct BadSubject {
    text: String,
}

impl FromStr for Subject {
    type Err = BadSubject;

    fn from_str(text: &str) -> Result<Subject, BadSubject> {
        let bad = || BadSubject { text: text.to_owned() };
        if text == "*" {
            return Ok(Subject::Everyone);
        }
        if text.is_empty() || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(bad());
        }
        match text.split_once(':') {
            Some((_, "")) => Err(bad()),
            Some(("group", _)) => Ok(Subject::Group(text.to_owned())),
            Some(("tag", _)) => Ok(Subject::Tag(text.to_owned())),
            Some(_) => Err(bad()),
            None => Ok(Subject::Person(text.to_lowercase())),
        }
    }
}

/// Who someone is, with what the mesh says of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// A person or a tagged device of the mesh, as it was at sign-in.
    Mesh {
        /// Who.
        actor: Box<Actor>,
        /// Who says so, as of when.
        identity: Box<meshtrail_event::Identity>,
    },
    /// Whoever holds an API token.
    Token {
        /// The token's id.
        id: String,
        /// The token's name.
        name: String,
    },
    /// Whoever can read this machine's terminal or state folder: a one-time link or the admin token file.
    Local,
}

impl Holder {
    /// As the actor of an event, with how it is known.
    pub fn as_actor(&self) -> (Actor, meshtrail_event::Identity) {
        let service = match self {
            Holder::Mesh { actor, identity } => return ((**actor).clone(), (**identity).clone()),
            Holder::Token { id, name } => format!("token {id} ({name})"),
            Holder::Local => self.to_string(),
        };
        let provider = if *self == Holder::Local { "local" } else { "token" };
        let identity = meshtrail_event::Identity {
            status: IdentityStatus::Resolved,
            provider: Some(provider.to_owned()),
            ..Default::default()
        };
        (Actor { service: Some(service), ..Actor::default() }, identity)
    }
}

impl Holder {
    /// Whose share of what is shared their requests count in.
    pub fn identity(&self) -> Identity {
        match self {
            Holder::Mesh { actor, .. } => {
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
            Holder::Token { id, name } => Identity::new(format!("token {id}"), [format!("token:{name}")]),
            Holder::Local => Identity::new("local administrator", []),
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Holder::Mesh { actor, .. } => f.write_str(&actor.label().unwrap_or_else(|| "unknown".to_owned())),
            Holder::Token { name, .. } => write!(f, "token {name}"),
            Holder::Local => f.write_str("local administrator"),
        }
    }
}

/// The roles section of the configuration, read.
#[derive(Debug, Clone, Default)]
pub struct Grants(Vec<(Subject, Role)>);

impl Grants {
    /// Gives `role` to `subject`.
    pub fn give(&mut self, subject: Subject, role: Role) {
        self.0.push((subject, role));
    }

    /// Whether nobody was given anything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The highest role of an actor, or none.
    pub fn role_of(&self, actor: &Actor) -> Option<Role> {
        self.0.iter().filter(|(subject, _)| subject.covers(actor)).map(|(_, role)| *role).max()
    }
}

impl Subject {
    /// A device with tags belongs to no person, whatever else is said of it.
    fn covers(&self, actor: &Actor) -> bool {
        let person = actor.person.as_ref().filter(|_| actor.tags.is_empty());
        match (self, person) {
            (Subject::Tag(wanted), _) => actor.tags.contains(wanted),
            (Subject::Person(wanted), Some(person)) => *wanted == person.login.to_lowercase(),
            (Subject::Group(wanted), Some(person)) => {
                let bare = wanted.trim_start_matches("group:");
                person.groups.iter().any(|group| group == wanted || group == bare)
            }
            (Subject::Everyone, Some(_)) => true,
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
        for (subject, role) in lines {
            grants.give(subject.parse().unwrap(), *role);
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
            assert!(text.parse::<Subject>().is_err(), "{text:?} was taken");
        }
    }
}
