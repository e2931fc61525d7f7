//! May this login be: from a device, to a device, as a local user; by which rule, and which rules almost matched.
//!
//! - The order is tailscaled's: all check rules come before all accept rules, each in the order of the file; the first
//!   whose source, host and local user match decides, and it alone says who records. No rule: denied.
//! - What can't be evaluated is a condition that is not met, and the answer names it.
//! - A rule grants the login only: that packets reach port 22 is up to `acls` and `grants`, which the answer tells apart.

mod answer;
mod judge;

use std::time::Duration;

pub use answer::{Decision, LoginAnswer, OtherRule, PortAccess, Recording};
pub use judge::Unmet;

use crate::compile::{CompiledSsh, Policy};
use crate::file::CheckPeriod;
use crate::mesh::DeviceRef;
use crate::ports::Protocol;
use judge::Verdict;

/// A login that somebody asks about.
#[derive(Debug, Clone)]
pub struct LoginQuestion<'q> {
    /// The device that it comes from.
    pub from: DeviceRef,
    /// The device that it goes to.
    pub to: DeviceRef,
    /// The local user there.
    pub user: LocalUser<'q>,
    /// How long ago the person last confirmed who they are, for this host. Whoever the confirmation was for as a local
    /// user, it counts: periods belong to rules, not to users.
    pub confirmed: Option<Duration>,
}

impl<'q> LoginQuestion<'q> {
    /// A login without a confirmation.
    pub fn new(from: DeviceRef, to: DeviceRef, user: LocalUser<'q>) -> Self {
        Self { from, to, user, confirmed: None }
    }
}

/// A local user of a host.
#[derive(Debug, Clone, Copy)]
pub struct LocalUser<'q> {
    /// The name that is asked for.
    pub name: &'q str,
    /// Its uid on the host.
    pub uid: Uid,
}

impl<'q> LocalUser<'q> {
    /// A user with this uid.
    pub fn with_uid(name: &'q str, uid: u32) -> Self {
        Self { name, uid: Uid::Known(uid) }
    }

    /// A user of whom only the name is known; `root` has uid 0 everywhere.
    pub fn unknown(name: &'q str) -> Self {
        Self { name, uid: if name == "root" { Uid::Known(0) } else { Uid::Unknown } }
    }
}

/// What is known of a local user's uid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uid {
    /// It is this.
    Known(u32),
    /// The host has no such user.
    Absent,
    /// Nobody asked the host.
    Unknown,
}

impl Policy {
    /// Whether the login may be, by which rule, and which rules almost matched.
    pub fn login(&self, question: &LoginQuestion<'_>) -> LoginAnswer {
        let (mut matching, mut near) = (Vec::new(), Vec::new());
        for rule in self.ssh_rules_in_order() {
            match self.judge(rule, question) {
                Verdict::Matches => matching.push(rule),
                Verdict::Near(unmet) => near.push(OtherRule { site: rule.site.clone(), unmet }),
                Verdict::Other => {}
            }
        }
        let mut answer = match matching.split_first() {
            Some((rule, rest)) => self.decided(rule, rest, question),
            None => LoginAnswer::denied(near),
        };
        answer.hindrances = self.hindrances(question);
        if !answer.hindrances.is_empty() {
            answer.decision = Decision::Deny;
        }
        answer.port = self.port_access(question.from, question.to, Protocol::TCP, 22);
        answer
    }

    /// Check rules, then accept rules.
    fn ssh_rules_in_order(&self) -> impl Iterator<Item = &CompiledSsh> {
        let checks = self.ssh.iter().filter(|rule| rule.check.is_some());
        checks.chain(self.ssh.iter().filter(|rule| rule.check.is_none()))
    }

    fn decided(
        &self,
        rule: &CompiledSsh,
        rest: &[&CompiledSsh],
        question: &LoginQuestion<'_>,
    ) -> LoginAnswer {
        let is_confirmed = match (rule.check, question.confirmed) {
            (Some(CheckPeriod::For(period)), Some(age)) => age <= period,
            _ => false,
        };
        let decision = if rule.check.is_none() || is_confirmed { Decision::Accept } else { Decision::Check };
        let behind = |other: &&CompiledSsh| OtherRule {
            site: other.site.clone(),
            unmet: vec![Unmet::Behind { decides: rule.site.clone(), recorders: self.recorder_names(other) }],
        };
        LoginAnswer {
            decision,
            rule: Some(rule.site.clone()),
            period: rule.check,
            confirmed: is_confirmed,
            recording: self.recording(rule),
            accept_env: rule.accept_env.clone(),
            others: rest.iter().map(behind).collect(),
            ..LoginAnswer::denied(Vec::new())
        }
    }

    fn recording(&self, rule: &CompiledSsh) -> Option<Recording> {
        let is_recorded = !rule.recorders.is_empty();
        is_recorded.then(|| Recording {
            tags: rule.recorders.clone(),
            recorders: self.recorder_names(rule),
            enforced: rule.enforce_recorder,
        })
    }

    /// The names of the devices that would record.
    fn recorder_names(&self, rule: &CompiledSsh) -> Vec<String> {
        let devices = rule.recorders.iter().flat_map(|tag| self.mesh.index().with_tag(tag));
        let mut names: Vec<String> = devices.map(|device| self.mesh.device(*device).name.clone()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Why one of the two devices takes no part in the mesh.
    fn hindrances(&self, question: &LoginQuestion<'_>) -> Vec<Unmet> {
        let mut found = Vec::new();
        for device in [question.from, question.to] {
            let device = self.mesh.device(device);
            if let Some(hindrance) = device.hindrance {
                found.push(Unmet::Device { device: device.name.clone(), hindrance });
            }
        }
        found
    }
}
