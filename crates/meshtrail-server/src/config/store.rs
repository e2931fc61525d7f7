//! `store`: the location of events and recordings, as a text or as a table that also names a group of readers.

use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};

use super::{ConfigError, invalid_value};

const GROUPS: &str = "/etc/group";

/// `store = "PLACE"`, or `[store]` with `location` and `group`.
#[derive(Debug, Default)]
pub(super) struct StoreFile {
    pub(super) location: Option<String>,
    group: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoreTable {
    location: Option<String>,
    group: Option<String>,
}

impl StoreFile {
    /// The id of the group, if one is named.
    pub(super) fn group(&self) -> Result<Option<u32>, ConfigError> {
        let Some(name) = self.group.as_deref() else { return Ok(None) };
        if let Ok(id) = name.parse() {
            return Ok(Some(id));
        }
        let list = std::fs::read_to_string(GROUPS)
            .map_err(|error| invalid_value("store.group", format!("{GROUPS} can't be read: {error}")))?;
        let unknown = || {
            let reason = format!("{GROUPS} lists no group {name:?}; make it, or write the group's number");
            invalid_value("store.group", reason)
        };
        group_id(name, &list).ok_or_else(unknown).map(Some)
    }
}

/// The id of a group in a list such as `/etc/group`: `name:password:id:members`.
fn group_id(name: &str, list: &str) -> Option<u32> {
    list.lines().find_map(|line| {
        let mut parts = line.split(':');
        (parts.next() == Some(name)).then(|| parts.nth(1)?.parse().ok())?
    })
}

impl<'de> Deserialize<'de> for StoreFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<StoreFile, D::Error> {
        deserializer.deserialize_any(StoreVisitor)
    }
}

struct StoreVisitor;

impl<'de> Visitor<'de> for StoreVisitor {
    type Value = StoreFile;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a folder or s3://bucket/prefix, or a table with `location` and `group`")
    }

    fn visit_str<E>(self, text: &str) -> Result<StoreFile, E> {
        Ok(StoreFile { location: Some(text.to_owned()), group: None })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<StoreFile, A::Error> {
        let StoreTable { location, group } = StoreTable::deserialize(MapAccessDeserializer::new(map))?;
        Ok(StoreFile { location, group })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_found_by_its_name_or_is_its_number() {
        let list = "root:x:0:\n# a comment\naudit:x:1007:alice,bob\nauditors:x:1008:\nbroken\n";
        assert_eq!(group_id("audit", list), Some(1007));
        assert_eq!(group_id("auditors", list), Some(1008));
        assert_eq!((group_id("broken", list), group_id("", list)), (None, None));
        let numbered = StoreFile { location: None, group: Some("1007".to_owned()) };
        assert_eq!(numbered.group().unwrap(), Some(1007));
    }
}
