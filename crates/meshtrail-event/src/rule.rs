//! The rules that raise findings.
//!
//! A rule's name, severity and title stand in each finding that it raises; what a finding of it does not prove stands here
//! and is shown beside it. Names never change: filters, exceptions and alert routes are written with them.

use crate::{EventId, Finding, FindingStatus, Severity, Timestamp};

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its name, in a finding's `detail.rule`.
    pub name: &'static str,
    /// The severity of its findings.
    pub severity: Severity,
    /// The title of its findings.
    pub title: &'static str,
    /// What a finding of it does not prove.
    pub does_not_prove: &'static str,
}

macro_rules! rules {
    ($($(#[$meta:meta])* $constant:ident = $name:literal, $severity:ident, $title:literal, $not:literal;)+) => {
        $(
            $(#[$meta])*
            pub const $constant: Rule =
                Rule { name: $name, severity: Severity::$severity, title: $title, does_not_prove: $not };
        )+

        /// Every rule, by name.
        pub const RULES: &[Rule] = &[$($constant),+];
    };
}

rules! {
    /// A session or a flow to a watched port without a login at the far end.
    ACCESS_WITHOUT_EVIDENCE = "access.without_evidence", High, "Access without a login or session",
        "That somebody got in: the far end may have refused, or its agent may not see this service's logins.";
    /// A hole in the sequence of an agent's events.
    AGENT_GAP = "agent.gap", Medium, "Agent's events have a gap",
        "That something was hidden: a full spool drops the oldest counters, and says so in an event of its own.";
    /// An agent that is not heard while others see its host at work.
    AGENT_SILENT = "agent.silent", High, "Agent is silent while its host is at work",
        "That the agent was switched off: its way to the server may be cut while others are open.";
    /// Both ends count a connection differently, beyond what loss explains.
    FLOW_COUNTERS_DIFFER = "flow.counters_differ", Medium, "Both ends count differently",
        "Which end is wrong, or that either lies: loss, resets and restarts of a reporter make counters differ too.";
    /// A connection that one end reports and the other, which reports others, does not.
    FLOW_END_SILENT = "flow.end_silent", Medium, "One end reports a connection, the other does not",
        "That the silent end hides it: a connection that its reporter can't see looks the same.";
    /// Far more bytes over an edge than its history has.
    FLOW_VOLUME_UNUSUAL = "flow.volume_unusual", High, "Unusual volume",
        "What was carried: counters have no content, and a backup looks like a theft.";
    /// More failed logins of one account or address than people make by mistake.
    LOGIN_FAILED_OFTEN = "login.failed_often", Critical, "Many failed logins",
        "That somebody was let in, or who tried: an address can be shared, and a name is what was typed.";
    /// A client far behind the newest version.
    MESH_CLIENT_OLD = "mesh.client_old", Low, "Old client",
        "That the client has a known fault: it says its own version.";
    /// A device joined.
    MESH_DEVICE_ADDED = "mesh.device_added", Medium, "New device",
        "That the device is new: one that was removed and signs in again is added again.";
    /// A device was removed.
    MESH_DEVICE_REMOVED = "mesh.device_removed", Low, "Device removed",
        "That the machine is gone: it may join again under another id.";
    /// A device that joined without approval, or lost it.
    MESH_DEVICE_UNAUTHORIZED = "mesh.device_unauthorized", High, "Unauthorised device",
        "That it reached anything: without approval the control plane gives it no peers.";
    /// A device that the control plane has not seen for long.
    MESH_DEVICE_UNSEEN = "mesh.device_unseen", Low, "Device not seen for 90 days",
        "That it was off: the control plane says when it last saw it, and forgets some of that at its own restart.";
    /// The same, of a device whose key never expires.
    MESH_DEVICE_UNSEEN_KEY_NEVER_EXPIRES = "mesh.device_unseen_key_never_expires", Low,
        "Device not seen for 90 days, and its key never expires",
        "That it was off: the control plane says when it last saw it, and forgets some of that at its own restart.";
    /// A device's key that never expires.
    MESH_KEY_NEVER_EXPIRES = "mesh.key_never_expires", Low, "Key without expiry",
        "That the key is misused: servers with tags have such keys by design.";
    /// The policy changed.
    MESH_POLICY_CHANGED = "mesh.policy_changed", High, "Policy changed",
        "That reach changed: the change's own page says what it opened and closed.";
    /// A policy that is not one.
    MESH_POLICY_UNREADABLE = "mesh.policy_unreadable", High, "Policy can't be read",
        "That the control plane can't read it: it may know more than this version.";
    /// An upload that is no upload of its protocol.
    SOURCE_BODY_UNREADABLE = "source.body_unreadable", Medium, "Upload can't be read",
        "That somebody meant harm: a cut connection and a newer client send what can't be read too.";
}

impl Rule {
    /// An open finding of this rule, which rests on these events of one time. Subject and summary are the caller's.
    pub fn finding(&self, key: String, events: Vec<EventId>, time: Timestamp) -> Finding {
        Finding {
            count: Some(events.len().max(1) as u64),
            events,
            first_time: Some(time),
            key: Some(key),
            last_time: Some(time),
            rule: Some(self.name.to_owned()),
            severity: Some(self.severity.clone()),
            status: Some(FindingStatus::Open),
            title: Some(self.title.to_owned()),
            ..Finding::default()
        }
    }

    /// The rule with this name.
    pub fn by_name(name: &str) -> Option<&'static Self> {
        RULES.iter().find(|rule| rule.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_in_the_order_of_their_names_and_say_what_they_do_not_prove() {
        assert!(RULES.is_sorted_by(|a, b| a.name < b.name));
        for rule in RULES {
            assert_eq!(Rule::by_name(rule.name), Some(rule));
            assert!(rule.does_not_prove.ends_with('.') && !rule.title.ends_with('.'), "{}", rule.name);
        }
    }
}
