//! Values counted by how often they come, the most frequent first.

use std::collections::HashMap;

use meshtrail_event::Timestamp;
use serde::Serialize;

/// The most values that are told one by one.
const TOLD: usize = 12;

/// The most values that are kept apart while counting; what comes beyond is counted together.
const KEPT: usize = 2_000;

/// Counts by value.
#[derive(Debug, Default, Clone, Serialize, utoipa::ToSchema)]
pub struct Counted {
    /// The most frequent values, the most frequent first.
    pub top: Vec<Often>,
    /// How many other values there are.
    pub others: usize,
}

/// How often one value came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Often {
    /// The value, as people read it.
    pub value: String,
    /// The id of what it names, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// How often.
    pub events: u64,
    /// When it came last.
    #[schema(value_type = String)]
    pub last: Timestamp,
}

/// Values while they are counted: by id where there is one, else by value.
#[derive(Default)]
pub(super) struct Tally {
    by_key: HashMap<String, Often>,
    beyond: usize,
}

impl Tally {
    pub(super) fn add(&mut self, value: &str, id: Option<&str>, at: Timestamp) {
        let key = id.unwrap_or(value);
        if let Some(often) = self.by_key.get_mut(key) {
            often.events += 1;
            often.last = often.last.max(at);
            return;
        }
        if self.by_key.len() >= KEPT {
            self.beyond += 1;
            return;
        }
        let often = Often { value: value.to_owned(), id: id.map(str::to_owned), events: 1, last: at };
        self.by_key.insert(key.to_owned(), often);
    }

    pub(super) fn done(self) -> Counted {
        let mut top: Vec<Often> = self.by_key.into_values().collect();
        top.sort_by(|a, b| b.events.cmp(&a.events).then_with(|| a.value.cmp(&b.value)));
        let others = top.len().saturating_sub(TOLD) + self.beyond;
        top.truncate(TOLD);
        Counted { top, others }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renamed_device_is_counted_once_under_the_name_that_was_met_first() {
        let at = |nanos| Timestamp::from_nanos(nanos);
        let mut tally = Tally::default();
        tally.add("web-2", Some("n7"), at(9));
        tally.add("web-1", Some("n7"), at(5));
        tally.add("db-1", None, at(7));
        let counted = tally.done();
        let told: Vec<_> = counted.top.iter().map(|often| (often.value.as_str(), often.events)).collect();
        assert_eq!(told, [("web-2", 2), ("db-1", 1)]);
        assert_eq!(counted.top[0].last, at(9));
    }

    #[test]
    fn what_is_beyond_the_list_is_said_as_a_number() {
        let mut tally = Tally::default();
        for number in 0..30 {
            tally.add(&format!("v{number}"), None, Timestamp::from_nanos(1));
        }
        let counted = tally.done();
        assert_eq!((counted.top.len(), counted.others), (TOLD, 30 - TOLD));
    }
}
