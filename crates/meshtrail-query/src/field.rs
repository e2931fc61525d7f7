//! The fields of the filter language: their names, what they look at, and which values they take.

use meshtrail_event::{IdentityStatus, Kind, Outcome};
use serde::Serialize;

/// What a term looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Field {
    /// Who acted: login, name, tags, device or service; also who was claimed to have.
    Actor,
    /// The person's login or name.
    Person,
    /// A group the person was in.
    Group,
    /// A tag of the actor or the target.
    Tag,
    /// A device that took part, as actor or target: name, id or address.
    Device,
    /// What was acted on: device, tags, account, name, address.
    Target,
    /// The kind of event.
    Kind,
    /// How it went.
    Outcome,
    /// The session it belongs to.
    Session,
    /// Who sent the event.
    Source,
    /// The event's id.
    Id,
    /// An address that took part.
    Address,
    /// The command that was run.
    Command,
    /// How far the actor is known.
    Identity,
    /// Any text in the event.
    Text,
    /// Not before this time.
    Since,
    /// Before this time.
    Until,
}

impl Field {
    /// Every field, in the order a person would be shown them.
    pub const ALL: [Field; 17] = [
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
        Field::Command,
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
            Field::Command => "command",
            Field::Identity => "identity",
            Field::Text => "text",
            Field::Since => "since",
            Field::Until => "until",
        }
    }

    /// What it looks at, in a few words.
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
            Field::Identity => "how far the actor is known",
            Field::Text => "any text in the event; a part of it is enough",
            Field::Since => "not before: 24h, 7d, 2026-11-20, 2026-11-20T14:02:11Z, today",
            Field::Until => "before: 1h, 2026-11-20 (that day included), 2026-11-20T14:02:11Z",
        }
    }

    /// The field of this name.
    pub(crate) fn named(name: &str) -> Option<Field> {
        Field::ALL.into_iter().find(|field| field.name().eq_ignore_ascii_case(name))
    }

    /// The words that are the field's only values, if it has such.
    pub(crate) fn vocabulary(self) -> Option<Vec<&'static str>> {
        match self {
            Field::Kind => Some(Kind::KNOWN.iter().map(Kind::as_str).collect()),
            Field::Outcome => Some(Outcome::KNOWN.iter().map(Outcome::as_str).collect()),
            Field::Identity => Some(IdentityStatus::KNOWN.iter().map(IdentityStatus::as_str).collect()),
            _ => None,
        }
    }

    /// The beginning that values of this field have in events and may lack in a filter.
    pub(crate) fn implied_prefix(self) -> &'static str {
        match self {
            Field::Tag => "tag:",
            Field::Group => "group:",
            _ => "",
        }
    }
}

/// Names that people bring from elsewhere, and the field that does it here.
pub(crate) const ELSEWHERE: &[(&str, &str)] = &[
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
    ("status", "outcome"),
    ("result", "outcome"),
    ("cmd", "command"),
    ("after", "since"),
    ("from", "since"),
    ("before", "until"),
    ("to", "until"),
    ("msg", "text"),
    ("message", "text"),
];
