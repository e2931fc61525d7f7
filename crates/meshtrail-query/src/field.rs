//! The fields of the filter language: their names, the members they look at, and their values.

use meshtrail_event::{Family, FindingStatus, IdentityStatus, Kind, Outcome, Severity};
use serde::Serialize;

/// A field of a term.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Field {
    /// The actor: login, name, tags, device or service, including claimed ones.
    Actor,
    /// The person's login or name.
    Person,
    /// A group of the person.
    Group,
    /// A tag of the actor or the target.
    Tag,
    /// A device of the actor or the target: name, id or address.
    Device,
    /// The target: device, tags, account, name, address.
    Target,
    /// The kind of event.
    Kind,
    /// The outcome.
    Outcome,
    /// The session.
    Session,
    /// The event's source.
    Source,
    /// The event's id.
    Id,
    /// An address of the actor or the target.
    Address,
    /// A Kubernetes namespace.
    Namespace,
    /// A Kubernetes cluster.
    Cluster,
    /// A command: of a session, a login, a process, a Kubernetes exec.
    Command,
    /// One argument of a command.
    Argv,
    /// The file of a process's program.
    Executable,
    /// The path of a file that was transferred.
    File,
    /// The path and query of a Kubernetes request.
    Url,
    /// The rule of a finding, or the one that decided.
    Rule,
    /// The severity of a finding.
    Severity,
    /// The status of a finding.
    Status,
    /// What a finding is about.
    Subject,
    /// How the actor was known.
    By,
    /// The status of the actor's identity.
    Identity,
    /// Any text in the event.
    Text,
    /// Not before this time.
    Since,
    /// Before this time.
    Until,
}

impl Field {
    /// Every field, in the order of display.
    pub const ALL: [Field; 28] = [
        Field::Actor,
        Field::Person,
        Field::Group,
        Field::Tag,
        Field::Device,
        Field::Target,
        Field::Kind,
        Field::Outcome,
        Field::Session,
        Field::Source,
        Field::Id,
        Field::Address,
        Field::Namespace,
        Field::Cluster,
        Field::Command,
        Field::Argv,
        Field::Executable,
        Field::File,
        Field::Url,
        Field::Rule,
        Field::Severity,
        Field::Status,
        Field::Subject,
        Field::By,
        Field::Identity,
        Field::Text,
        Field::Since,
        Field::Until,
    ];

    /// The name before the colon.
    pub fn name(self) -> &'static str {
        match self {
            Field::Actor => "actor",
            Field::Person => "person",
            Field::Group => "group",
            Field::Tag => "tag",
            Field::Device => "device",
            Field::Target => "target",
            Field::Kind => "kind",
            Field::Outcome => "outcome",
            Field::Session => "session",
            Field::Source => "source",
            Field::Id => "id",
            Field::Address => "address",
            Field::Namespace => "namespace",
            Field::Cluster => "cluster",
            Field::Command => "command",
            Field::Argv => "argv",
            Field::Executable => "executable",
            Field::File => "file",
            Field::Url => "url",
            Field::Rule => "rule",
            Field::Severity => "severity",
            Field::Status => "status",
            Field::Subject => "subject",
            Field::By => "by",
            Field::Identity => "identity",
            Field::Text => "text",
            Field::Since => "since",
            Field::Until => "until",
        }
    }

    /// A short description of what it looks at.
    pub fn about(self) -> &'static str {
        match self {
            Field::Actor => "who acted: login, name, tag, device or service",
            Field::Person => "the person: login or name",
            Field::Group => "a group the person was in",
            Field::Tag => "a tag of the actor or the target",
            Field::Device => "a device that took part: name, id or address",
            Field::Target => "what was acted on: device, tag, account, name or address",
            Field::Kind => "what happened; a beginning such as ssh.session is enough",
            Field::Outcome => "how it went",
            Field::Session => "the session it belongs to",
            Field::Source => "who sent the event",
            Field::Id => "the event's id",
            Field::Address => "an address that took part, or a network such as 100.64.0.0/10",
            Field::Command => "the command; a part of it is enough",
            Field::Namespace => "the Kubernetes namespace",
            Field::Cluster => "the Kubernetes cluster",
            Field::Argv => "one argument of a command, whole",
            Field::Executable => "the program of a process: its path or the last part of it",
            Field::File => "a transferred file: its path or the last part of it",
            Field::Url => "path and query of a Kubernetes request; a part of it is enough",
            Field::Rule => "the rule of a finding, or the policy rule that decided",
            Field::Severity => "how urgent a finding is",
            Field::Status => "whether somebody works on a finding",
            Field::Subject => "what a finding is about: its id, such as a device's, or its type",
            Field::By => "how the actor was known: token, localapi, directory",
            Field::Identity => "how far the actor is known",
            Field::Text => "any text in the event; a part of it is enough",
            Field::Since => "not before: 24h, 7d, 2026-11-20, 2026-11-20T14:02:11Z, today",
            Field::Until => "before: 1h, 2026-11-20 (that day included), 2026-11-20T14:02:11Z",
        }
    }

    /// The field with this name.
    pub(crate) fn by_name(name: &str) -> Option<Field> {
        Field::ALL.into_iter().find(|field| field.name().eq_ignore_ascii_case(name))
    }

    /// The field's only possible values, if they are a fixed set.
    pub(crate) fn vocabulary(self) -> Option<Vec<&'static str>> {
        match self {
            Field::Kind => Some(Kind::KNOWN.iter().map(Kind::as_str).collect()),
            Field::Outcome => Some(Outcome::KNOWN.iter().map(Outcome::as_str).collect()),
            Field::Severity => Some(Severity::KNOWN.iter().map(Severity::as_str).collect()),
            Field::Status => Some(FindingStatus::KNOWN.iter().map(FindingStatus::as_str).collect()),
            Field::Identity => Some(IdentityStatus::KNOWN.iter().map(IdentityStatus::as_str).collect()),
            _ => None,
        }
    }

    /// The families of the kinds that have this field; none if any can.
    pub(crate) fn families(self) -> Option<&'static [Family]> {
        Some(match self {
            Field::Executable => &[Family::Process],
            Field::File => &[Family::Transfer],
            Field::Url => &[Family::Kube],
            Field::Severity => &[Family::Finding, Family::Delivery],
            Field::Status | Field::Subject => &[Family::Finding],
            _ => return None,
        })
    }

    /// The prefix of this field's values in events, which a filter may omit.
    pub(crate) fn implied_prefix(self) -> &'static str {
        match self {
            Field::Tag => "tag:",
            Field::Group => "group:",
            _ => "",
        }
    }
}

/// Field names of other tools, and the corresponding field, for suggestions.
pub(crate) const FOREIGN_NAMES: &[(&str, &str)] = &[
    ("user", "person"),
    ("login", "person"),
    ("who", "actor"),
    ("node", "device"),
    ("host", "device"),
    ("machine", "device"),
    ("ip", "address"),
    ("src", "actor"),
    ("dst", "target"),
    ("type", "kind"),
    ("event", "kind"),
    ("action", "kind"),
    ("result", "outcome"),
    ("cmd", "command"),
    ("args", "argv"),
    ("exe", "executable"),
    ("program", "executable"),
    ("path", "file"),
    ("ns", "namespace"),
    ("priority", "severity"),
    ("state", "status"),
    ("provider", "by"),
    ("after", "since"),
    ("from", "since"),
    ("before", "until"),
    ("to", "until"),
    ("msg", "text"),
    ("message", "text"),
];
