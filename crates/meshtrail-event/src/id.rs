//! Ids made of counters: the sender, its epoch (a start without its old state), and a sequence number.
//!
//! - An [`EventId`] is written `source.epoch.sequence`; the last two parts are decimal numbers without leading
//!   zeros, so that an id has one spelling.
//! - A [`SessionId`] is written `date-trail-epoch-number`; the date is the UTC day on which the session started, and
//!   the path of its recording follows from it.
//!
//! Ids are not random: a retry is not counted twice, and a gap is visible.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{MAX_EXACT_INTEGER, Timestamp};

/// Why a text is not an id or a source name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum IdError {
    #[error("{text:?} is not an event id such as main.recorder.3.17 (source.epoch.sequence)")]
    Event { text: String },
    #[error(
        "{text:?} is not a source name: 1 to {} of a-z 0-9 . _ @ -, beginning with a letter or digit",
        SourceName::MAX
    )]
    Source { text: String },
    #[error("{text:?} is not a session id such as 20261120-main-3-17")]
    Session { text: String },
}

/// The beginning of a text, for an error.
pub(crate) fn truncate(text: &str) -> String {
    text.chars().take(80).collect()
}

/// The name of a sender: a recorder, an agent, a collector. Unique in a store.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceName(Arc<str>);

impl SourceName {
    /// The longest name, in bytes.
    pub const MAX: usize = 120;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SourceName {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let allowed = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'@' | b'-')
        };
        let begins =
            text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        if !begins || text.len() > Self::MAX || !text.bytes().all(allowed) || text.ends_with('.') {
            return Err(IdError::Source { text: truncate(text) });
        }
        Ok(Self(text.into()))
    }
}

/// An event id: source, epoch (a start of that source without its old state) and sequence number.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    /// The sender.
    pub source: SourceName,
    /// The epoch of that source, from 1.
    pub epoch: u64,
    /// The sequence number in that epoch, from 1.
    pub sequence: u64,
}

impl EventId {
    /// Splits an id in its canonical form into source, epoch and sequence, without allocating.
    pub fn split_canonical(text: &[u8]) -> Option<(&str, u64, u64)> {
        let text = std::str::from_utf8(text).ok()?;
        let mut parts = text.rsplitn(3, '.');
        let (sequence, epoch, source) = (parts.next()?, parts.next()?, parts.next()?);
        Some((source, parse_counter(epoch)?, parse_counter(sequence)?))
    }
}

/// A decimal number without sign or leading zeros.
pub(crate) fn parse_decimal(text: &str) -> Option<u64> {
    let is_plain = text.len() == 1 || !text.starts_with(['0', '+']);
    text.parse().ok().filter(|_| is_plain)
}

/// A decimal number without leading zeros, up to [`MAX_EXACT_INTEGER`].
fn parse_counter(text: &str) -> Option<u64> {
    parse_decimal(text).filter(|&number| number <= MAX_EXACT_INTEGER)
}

impl FromStr for EventId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let wrong = || IdError::Event { text: truncate(text) };
        let (source, epoch, sequence) = Self::split_canonical(text.as_bytes()).ok_or_else(wrong)?;
        Ok(Self { source: source.parse().map_err(|_| wrong())?, epoch, sequence })
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.source, self.epoch, self.sequence)
    }
}

/// A session id; the path of its recording follows from it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(Arc<str>);

impl SessionId {
    /// The id of session `number` in the server's `epoch` on `trail`, started at `started`.
    pub fn new(started: Timestamp, trail: &str, epoch: u64, number: u64) -> Result<Self, IdError> {
        let (year, month, day) = started.date();
        format!("{year:04}{month:02}{day:02}-{trail}-{epoch}-{number}").parse()
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The UTC day on which it started, as the texts of year, month and day.
    pub fn day(&self) -> (&str, &str, &str) {
        (&self.0[0..4], &self.0[4..6], &self.0[6..8])
    }

    /// The trail it was recorded on.
    pub fn trail(&self) -> &str {
        let named = &self.0[9..];
        named.rsplitn(3, '-').nth(2).unwrap_or(named)
    }
}

impl FromStr for SessionId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let wrong = || IdError::Session { text: truncate(text) };
        let (date, rest) = text.split_once('-').ok_or_else(wrong)?;
        let mut parts = rest.rsplitn(3, '-');
        let (number, epoch, trail) = (parts.next(), parts.next(), parts.next());
        let number = number.and_then(parse_counter).zip(epoch.and_then(parse_counter));
        let dated = date.len() == 8 && date.bytes().all(|byte| byte.is_ascii_digit());
        let named = trail.is_some_and(|name| name.parse::<SourceName>().is_ok());
        if !dated || !named || number.is_none() {
            return Err(wrong());
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

macro_rules! text_form {
    ($name:ident, $example:literal) => {
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "examples": [$example] })
            }
        }
    };
}

pub(crate) use text_form;

text_form!(SourceName, "main.recorder");
text_form!(EventId, "main.recorder.3.17");
text_form!(SessionId, "20261120-main-3-17");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_id_has_one_spelling() {
        for good in ["main.recorder.3.17", "a.0.0", "agent@db-1.example.com.1.9007199254740991"] {
            assert_eq!(good.parse::<EventId>().unwrap().to_string(), good);
        }
        for bad in
            ["", "a.1", ".1.1", "a.01.1", "a.1.+1", "A.1.1", "a.1.9007199254740992", "a b.1.1", "a..1.1"]
        {
            assert!(bad.parse::<EventId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_session_id_has_its_day_and_trail() {
        let started: Timestamp = "2026-11-20T23:59:59Z".parse().unwrap();
        let id = SessionId::new(started, "edge-fra", 3, 17).unwrap();
        assert_eq!((id.as_str(), id.trail()), ("20261120-edge-fra-3-17", "edge-fra"));
        assert_eq!(id.day(), ("2026", "11", "20"));
        for bad in ["", "20261120", "2026112-a-1-1", "20261120-../x-1-1", "20261120-a-1", "20261120-a-x-1"] {
            assert!(bad.parse::<SessionId>().is_err(), "{bad}");
        }
    }
}
