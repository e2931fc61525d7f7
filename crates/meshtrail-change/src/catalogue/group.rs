//! Operations: the records with one `eventGroupID`, which the control plane wrote for one action of a person.

use std::collections::HashMap;

use serde::Deserialize;

/// Facts from the other records of an operation, as far as these were read.
///
/// They only make kinds more specific: whether a sign-in is a device's first is in another record than the sign-in
/// itself. A record that is read without its group still becomes an event.
#[derive(Debug, Clone, Default)]
pub struct Groups {
    groups: HashMap<String, Group>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Group {
    creates: bool,
    moves_expiry: bool,
}

#[derive(Deserialize)]
struct GroupFields<'a> {
    #[serde(rename = "eventGroupID", borrow)]
    group: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow)]
    action: Option<std::borrow::Cow<'a, str>>,
    target: Option<Target>,
}

#[derive(Deserialize)]
struct Target {
    #[serde(rename = "type")]
    of_type: Option<String>,
    property: Option<String>,
}

impl Groups {
    /// Reads the groups of these records; bytes that are no record are skipped.
    pub fn of<'a>(records: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut groups = Self::default();
        for record in records {
            groups.add(record);
        }
        groups
    }

    /// Adds one more record.
    pub fn add(&mut self, record: &[u8]) {
        let Ok(GroupFields { group: Some(id), action: Some(action), target: Some(target) }) =
            serde_json::from_slice(record)
        else {
            return;
        };
        if target.of_type.as_deref() != Some("NODE") {
            return;
        }
        let group = self.groups.entry(id.into_owned()).or_default();
        group.creates |= action == "CREATE" && target.property.is_none();
        group.moves_expiry |= action == "UPDATE" && target.property.as_deref() == Some("KEY_EXPIRY_TIME");
    }

    /// Whether the operation creates a device.
    pub(super) fn creates(&self, id: &str) -> bool {
        self.groups.get(id).is_some_and(|group| group.creates)
    }

    /// Whether the operation changes a node key's expiry.
    pub(super) fn moves_expiry(&self, id: &str) -> bool {
        self.groups.get(id).is_some_and(|group| group.moves_expiry)
    }
}
