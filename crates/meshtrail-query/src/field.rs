//! The fields of the filter language: their names, the members they look at, and their values.

use meshtrail_event::{IdentityStatus, Kind, Outcome};
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
    /// The command of a session.
    Command,
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
            Field::Identity => Some(IdentityStatus::KNOWN.iter().map(IdentityStatus::as_str).collect()),
            _ => None,
        }
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
