//! Places in trails: a trail's name and the index of an event in it.
//!
//! - A [`Position`] is written `trail:index`; the index is a decimal number without leading zeros, so that a position has
//!   one spelling.
//! - A [`RelativePosition`] may leave the trail out: a bare index is in the own trail of whoever reads it. What was
//!   written before positions had a trail is read as such.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::id::{parse_decimal, text_form, truncate};

/// Why a text is not a trail's name or a position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum PositionError {
    #[error(
        "{text:?} is not a trail's name: 1 to {} of a-z, 0-9 and -, beginning with a letter or digit",
        TrailName::MAX
    )]
    Trail { text: String },
    #[error("{text:?} is not a position such as main:17 (trail:index)")]
    Position { text: String },
    #[error("{text:?} is not a position such as main:17 (trail:index), or an index")]
    Relative { text: String },
}

/// A position is in a trail that is not here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no trail {trail} here; the trail here is {own}")]
#[expect(missing_docs, reason = "the message says it")]
pub struct UnknownTrail {
    pub trail: TrailName,
    pub own: TrailName,
}

/// A trail's name. Unique in a store.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrailName(Arc<str>);

impl TrailName {
    /// The longest name, in bytes.
    pub const MAX: usize = 40;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TrailName {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, PositionError> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let fits = (1..=Self::MAX).contains(&text.len()) && text.bytes().all(allowed);
        if !fits || text.starts_with('-') {
            return Err(PositionError::Trail { text: truncate(text) });
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for TrailName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The place of an event in a trail, or a size of the trail: the index after its last event.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The trail.
    pub trail: TrailName,
    /// The index in it, from 0.
    pub index: u64,
}

impl FromStr for Position {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, PositionError> {
        let wrong = || PositionError::Position { text: truncate(text) };
        let (trail, index) = text.split_once(':').ok_or_else(wrong)?;
        let trail = trail.parse().map_err(|_| wrong())?;
        Ok(Self { trail, index: parse_decimal(index).ok_or_else(wrong)? })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.trail, self.index)
    }
}

/// A position as it is given to a reader with a trail of its own: `trail:index`, or an index in the own trail.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RelativePosition {
    /// The trail; none is the reader's own.
    pub trail: Option<TrailName>,
    /// The index in it, from 0.
    pub index: u64,
}

impl RelativePosition {
    /// The index in `own`, the only trail here; an error if the position is in another trail.
    pub fn index_in(&self, own: &TrailName) -> Result<u64, UnknownTrail> {
        match &self.trail {
            Some(trail) if trail != own => Err(UnknownTrail { trail: trail.clone(), own: own.clone() }),
            _ => Ok(self.index),
        }
    }
}

impl From<Position> for RelativePosition {
    fn from(position: Position) -> Self {
        Self { trail: Some(position.trail), index: position.index }
    }
}

impl FromStr for RelativePosition {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, PositionError> {
        let wrong = || PositionError::Relative { text: truncate(text) };
        if text.contains(':') {
            return text.parse::<Position>().map(Self::from).map_err(|_| wrong());
        }
        Ok(Self { trail: None, index: text.parse().map_err(|_| wrong())? })
    }
}

impl fmt::Display for RelativePosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.trail {
            Some(trail) => write!(f, "{trail}:{}", self.index),
            None => write!(f, "{}", self.index),
        }
    }
}

text_form!(TrailName, "main");
text_form!(Position, "main:17");
text_form!(RelativePosition, "main:17");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_position_comes_back_from_its_text(trail in "[a-z0-9][a-z0-9-]{0,39}", index: u64) {
            let position = Position { trail: trail.parse().unwrap(), index };
            let text = position.to_string();
            prop_assert_eq!(&text, &format!("{trail}:{index}"));
            prop_assert_eq!(&text.parse::<Position>().unwrap(), &position);
            let json = serde_json::to_string(&position).unwrap();
            prop_assert_eq!(&json, &format!("\"{text}\""));
            prop_assert_eq!(&serde_json::from_str::<Position>(&json).unwrap(), &position);

            let relative: RelativePosition = text.parse().unwrap();
            prop_assert_eq!(relative.to_string(), text);
            prop_assert_eq!(relative.index_in(&position.trail), Ok(index));
            prop_assert_eq!(relative, RelativePosition::from(position));
        }

        #[test]
        fn a_bare_index_is_in_whatever_trail_is_the_own(own in "[a-z0-9][a-z0-9-]{0,39}", index: u64) {
            let relative: RelativePosition = index.to_string().parse().unwrap();
            prop_assert_eq!(relative.to_string(), index.to_string());
            prop_assert_eq!(relative.index_in(&own.parse().unwrap()), Ok(index));
        }

        #[test]
        fn what_is_read_at_all_has_one_spelling(text in "[a-z0-9:+-]{0,12}") {
            if let Ok(position) = text.parse::<Position>() {
                prop_assert_eq!(position.to_string(), text);
            }
        }
    }

    #[test]
    fn what_is_no_position_is_refused() {
        let long = format!("{}:1", "a".repeat(41));
        for bad in [
            "",
            ":",
            "main:",
            ":17",
            "main:-1",
            "main:+1",
            "main:017",
            "main:1:2",
            "Main:1",
            "-a:1",
            long.as_str(),
        ] {
            assert!(bad.parse::<Position>().is_err(), "{bad}");
            assert!(bad.parse::<RelativePosition>().is_err(), "{bad}");
        }
        for bad in ["17", "main:18446744073709551616", "main: 1"] {
            assert!(bad.parse::<Position>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_trail_that_is_not_here_is_named() {
        let position: RelativePosition = "edge-fra:17".parse().unwrap();
        let error = position.index_in(&"main".parse().unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "there is no trail edge-fra here; the trail here is main");
    }
}
