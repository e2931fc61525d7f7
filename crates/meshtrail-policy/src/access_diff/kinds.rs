//! What rules open: ports, logins, capabilities.

use std::collections::{BTreeMap, BTreeSet};

use crate::access::Access;
use crate::ports::PortSet;

impl Access for PortSet {
    fn union(&self, other: &Self) -> Self {
        self.union(other)
    }

    fn without(&self, other: &Self) -> Self {
        self.gained_over(other)
    }

    fn is_nothing(&self) -> bool {
        self.is_empty()
    }

    fn brief(&self) -> String {
        self.brief()
    }
}

/// Local users as whom logins are let in, as rules write them, and on which terms.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Logins(pub BTreeMap<String, LoginTerms>);

/// The terms of a login. Fewer terms are more access.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LoginTerms {
    /// Whether the person confirms who they are.
    pub checked: bool,
    /// Whether the session is recorded.
    pub recorded: bool,
}

impl LoginTerms {
    /// The terms where two rules match: those of a check, which comes first. Of two alike, that it is recorded is sure only
    /// if both say so.
    fn both(self, other: Self) -> Self {
        match (self.checked, other.checked) {
            (true, false) => self,
            (false, true) => other,
            _ => Self { checked: self.checked, recorded: self.recorded && other.recorded },
        }
    }

    /// Whether the login needs something less than under the other terms.
    fn is_easier(self, other: Self) -> bool {
        (other.checked && !self.checked) || (other.recorded && !self.recorded)
    }
}

impl Access for Logins {
    fn union(&self, other: &Self) -> Self {
        let mut all = self.0.clone();
        for (user, terms) in &other.0 {
            let known = all.entry(user.clone()).or_insert(*terms);
            *known = known.both(*terms);
        }
        Self(all)
    }

    fn without(&self, other: &Self) -> Self {
        let is_more =
            |user: &String, terms: &LoginTerms| other.0.get(user).is_none_or(|known| terms.is_easier(*known));
        Self(
            self.0
                .iter()
                .filter(|(user, terms)| is_more(user, terms))
                .map(|(user, terms)| (user.clone(), *terms))
                .collect(),
        )
    }

    fn is_nothing(&self) -> bool {
        self.0.is_empty()
    }

    /// `login as root (checked, recorded), autogroup:nonroot`.
    fn brief(&self) -> String {
        let user = |(user, terms): (&String, &LoginTerms)| match (terms.checked, terms.recorded) {
            (false, false) => user.clone(),
            (true, false) => format!("{user} (checked)"),
            (false, true) => format!("{user} (recorded)"),
            (true, true) => format!("{user} (checked, recorded)"),
        };
        format!("login as {}", self.0.iter().map(user).collect::<Vec<_>>().join(", "))
    }
}

/// Capabilities with one parameter object each, as JSON; empty text for a capability without parameters.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CapabilityGrants(pub BTreeSet<(String, String)>);

impl Access for CapabilityGrants {
    fn union(&self, other: &Self) -> Self {
        Self(self.0.union(&other.0).cloned().collect())
    }

    fn without(&self, other: &Self) -> Self {
        Self(self.0.difference(&other.0).cloned().collect())
    }

    fn is_nothing(&self) -> bool {
        self.0.is_empty()
    }

    fn brief(&self) -> String {
        let grant =
            |(name, parameters): &(String, String)| format!("{name} {parameters}").trim_end().to_owned();
        self.0.iter().map(grant).collect::<Vec<_>>().join(", ")
    }
}
