//! The answer about a login.

use std::fmt;

use super::Unmet;
use crate::file::{CheckPeriod, RuleSite};

/// Whether a login may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It may.
    Accept,
    /// It may once the person has confirmed who they are.
    Check,
    /// It may not.
    Deny,
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Accept => "accept",
            Self::Check => "check",
            Self::Deny => "deny",
        })
    }
}

/// Who records a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recording {
    /// The tags of the rule.
    pub tags: Vec<String>,
    /// The names of the devices with these tags; empty if there is none.
    pub recorders: Vec<String>,
    /// Whether the session is refused, or ended, when none of them can be reached.
    pub enforced: bool,
}

/// Whether packets reach a port, by `acls` and `grants`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortAccess {
    /// They do, by this rule.
    Open(RuleSite),
    /// They would, by this rule, if these conditions were met, of which nobody can tell.
    Could(RuleSite, Vec<String>),
    /// They do not.
    Closed,
}

/// A rule that did not decide, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherRule {
    /// The rule.
    pub site: RuleSite,
    /// What it lacks; never empty.
    pub unmet: Vec<Unmet>,
}

/// Whether a login may be, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginAnswer {
    /// Whether it may be.
    pub decision: Decision,
    /// The rule that decides; `None` if none does.
    pub rule: Option<RuleSite>,
    /// How long a confirmation counts, if the rule asks for one.
    pub period: Option<CheckPeriod>,
    /// Whether the confirmation in the question counts.
    pub confirmed: bool,
    /// Who records the session; `None` if nobody does.
    pub recording: Option<Recording>,
    /// Variables that the client may send, with `*` and `?`.
    pub accept_env: Vec<String>,
    /// Of a login with a rule: the other rules that match, whose recorders do not count. Of one without: the rules that
    /// almost matched. In the order in which they would be asked.
    pub others: Vec<OtherRule>,
    /// Why one of the devices takes no part in the mesh, which denies the login whatever the rule says.
    pub hindrances: Vec<Unmet>,
    /// Whether packets reach port 22 of the host.
    pub port: PortAccess,
}

impl LoginAnswer {
    /// A login that no rule is for.
    pub(super) fn denied(near: Vec<OtherRule>) -> Self {
        Self {
            decision: Decision::Deny,
            rule: None,
            period: None,
            confirmed: false,
            recording: None,
            accept_env: Vec::new(),
            others: near,
            hindrances: Vec::new(),
            port: PortAccess::Closed,
        }
    }

    /// The conditions that nobody can evaluate and that would decide: of a denial, those of the rules that almost matched.
    pub fn open_conditions(&self) -> impl Iterator<Item = (&RuleSite, &Unmet)> {
        let of_rule = |rule: &'_ OtherRule| rule.unmet.iter().all(Unmet::is_open);
        let open = self.others.iter().filter(move |rule| self.decision == Decision::Deny && of_rule(rule));
        open.flat_map(|rule| rule.unmet.iter().map(move |unmet| (&rule.site, unmet)))
    }
}

impl fmt::Display for LoginAnswer {
    /// The decision and its rule in one line; other rules and ports are not in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.decision)?;
        match &self.rule {
            Some(rule) => write!(f, ", by {rule}")?,
            None => f.write_str(", no rule is for it")?,
        }
        if self.confirmed {
            f.write_str(", confirmed within its period")?;
        }
        for hindrance in &self.hindrances {
            write!(f, "; {hindrance}")?;
        }
        Ok(())
    }
}
