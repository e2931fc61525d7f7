//! What one act of a person made the control plane write: several records with one `eventGroupID`.

use std::collections::HashMap;

use serde::Deserialize;

/// What other records of the same operation say, as far as they are at hand.
///
/// It only makes events finer: that a device signed in for the first time or again stands in another record than the
/// signing in. A record that is read without its group is still an event.
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
struct Glance<'a> {
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
    /// What these records say of their operations; what is no record is passed over.
    pub fn of<'a>(records: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut groups = Self::default();
        for record in records {
            groups.add(record);
        }
        groups
    }

    /// Adds what one more record says.
    pub fn add(&mut self, record: &[u8]) {
        let Ok(Glance { group: Some(id), action: Some(action), target: Some(target) }) =
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

    /// Whether a device is made in this operation.
    pub(super) fn creates(&self, id: &str) -> bool {
        self.groups.get(id).is_some_and(|group| group.creates)
    }

    /// Whether a node key's expiry moves in this operation.
    pub(super) fn moves_expiry(&self, id: &str) -> bool {
        self.groups.get(id).is_some_and(|group| group.moves_expiry)
    }
}
