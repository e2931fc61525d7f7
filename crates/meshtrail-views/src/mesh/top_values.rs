//! The most frequent values of an event property, with their counts.

use std::collections::HashMap;

use meshtrail_api::directory::{TopValues, ValueCount};
use meshtrail_event::Timestamp;

/// Most values listed one by one.
const MAX_LISTED: usize = 12;

/// Most distinct values counted separately; occurrences of further values are counted together.
const MAX_DISTINCT: usize = 2_000;

/// Counts occurrences by id where there is one, else by value.
#[derive(Default)]
pub(super) struct ValueCounter {
    by_key: HashMap<String, ValueCount>,
    /// Occurrences of values that were not counted separately.
    overflow: usize,
}

impl ValueCounter {
    pub(super) fn add(&mut self, value: &str, id: Option<&str>, at: Timestamp) {
        let key = id.unwrap_or(value);
        if let Some(count) = self.by_key.get_mut(key) {
            count.events += 1;
            count.last = count.last.max(at);
            return;
        }
        if self.by_key.len() >= MAX_DISTINCT {
            self.overflow += 1;
            return;
        }
        let count = ValueCount { value: value.to_owned(), id: id.map(str::to_owned), events: 1, last: at };
        self.by_key.insert(key.to_owned(), count);
    }

    pub(super) fn finish(self) -> TopValues {
        let mut top: Vec<ValueCount> = self.by_key.into_values().collect();
        top.sort_by(|a, b| b.events.cmp(&a.events).then_with(|| a.value.cmp(&b.value)));
        let others = top.len().saturating_sub(MAX_LISTED) + self.overflow;
        top.truncate(MAX_LISTED);
        TopValues { top, others }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renamed_device_is_counted_once_under_the_name_that_was_met_first() {
        let at = |nanos| Timestamp::from_nanos(nanos);
        let mut counter = ValueCounter::default();
        counter.add("web-2", Some("n7"), at(9));
        counter.add("web-1", Some("n7"), at(5));
        counter.add("db-1", None, at(7));
        let values = counter.finish();
        let listed: Vec<_> = values.top.iter().map(|count| (count.value.as_str(), count.events)).collect();
        assert_eq!(listed, [("web-2", 2), ("db-1", 1)]);
        assert_eq!(values.top[0].last, at(9));
    }

    #[test]
    fn what_is_beyond_the_list_is_said_as_a_number() {
        let mut counter = ValueCounter::default();
        for number in 0..30 {
            counter.add(&format!("v{number}"), None, Timestamp::from_nanos(1));
        }
        let values = counter.finish();
        assert_eq!((values.top.len(), values.others), (MAX_LISTED, 30 - MAX_LISTED));
    }
}
