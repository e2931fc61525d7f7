//! Which people, groups and tags have which role, as the configuration says.
//!
//! A [`Subject`] is what one line of the configuration names: `alice@example.com`, `group:ops` or `tag:ci`.
//! Who matches several gets the highest; who matches none gets none.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Holder {
    /// A person of the mesh, signed in from one of their devices.
    Person {
        /// Their login name.
        login: String,
        /// The name they go by, if the mesh told.
        name: Option<String>,
        /// The device they came from, if the mesh told.
        device: Option<String>,
    },
    /// A tagged device.
    Tagged {
        /// Its tags, sorted.
        tags: Vec<String>,
        /// Its name, if the mesh told.
        device: Option<String>,
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

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Holder::Person { login, .. } => f.write_str(login),
            Holder::Tagged { tags, .. } => f.write_str(&tags.join(",")),
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

    /// The highest role of someone who is in `groups`, or none.
    pub fn role_of(&self, holder: &Holder, groups: &[String]) -> Option<Role> {
        self.0.iter().filter(|(subject, _)| subject.covers(holder, groups)).map(|(_, role)| *role).max()
    }
}

impl Subject {
    fn covers(&self, holder: &Holder, groups: &[String]) -> bool {
        match (self, holder) {
            (Subject::Person(wanted), Holder::Person { login, .. }) => *wanted == login.to_lowercase(),
            (Subject::Group(wanted), Holder::Person { .. }) => {
                let bare = wanted.trim_start_matches("group:");
                groups.iter().any(|group| group == wanted || group == bare)
            }
            (Subject::Tag(wanted), Holder::Tagged { tags, .. }) => tags.contains(wanted),
            (Subject::Everyone, Holder::Person { .. }) => true,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(lines: &[(&str, Role)]) -> Grants {
        let mut grants = Grants::default();
        for (subject, role) in lines {
            grants.give(subject.parse().unwrap(), *role);
        }
        grants
    }

    fn person(login: &str) -> Holder {
        Holder::Person { login: login.to_owned(), name: None, device: None }
    }

    #[test]
    fn the_highest_matching_role_counts_and_a_stranger_has_none() {
        let grants = grants(&[
            ("alice@example.com", Role::Viewer),
            ("group:ops", Role::Auditor),
            ("tag:ci", Role::Viewer),
        ]);
        let ops = ["group:ops".to_owned()];
        assert_eq!(grants.role_of(&person("Alice@Example.com"), &[]), Some(Role::Viewer));
        assert_eq!(grants.role_of(&person("alice@example.com"), &ops), Some(Role::Auditor));
        assert_eq!(grants.role_of(&person("mallory@example.com"), &[]), None);
        let tagged = Holder::Tagged { tags: vec!["tag:ci".to_owned()], device: None };
        assert_eq!(grants.role_of(&tagged, &ops), Some(Role::Viewer));
    }

    #[test]
    fn a_tagged_device_is_never_a_person() {
        let everyone = grants(&[("*", Role::Viewer), ("tagged-devices", Role::Admin)]);
        let tagged = Holder::Tagged { tags: vec!["tag:web".to_owned()], device: None };
        assert_eq!(everyone.role_of(&tagged, &[]), None);
        assert_eq!(everyone.role_of(&person("bob@example.com"), &[]), Some(Role::Viewer));
    }

    #[test]
    fn what_names_nobody_is_refused() {
        for text in ["", "group:", "tag:", "role:x", "two words", "a\u{1b}b"] {
            assert!(text.parse::<Subject>().is_err(), "{text:?} was taken");
        }
    }
}
