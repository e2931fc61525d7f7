//! Any bytes are an event whose leaf reads back as itself, or an error.

#![no_main]

use libfuzzer_sys::fuzz_target;
use meshtrail_event::{Event, MAX_LEAF, Timestamp, canonical_json};
use meshtrail_query::Filter;

fuzz_target!(|bytes: &[u8]| {
    let events = [Event::from_json(bytes), Event::from_source(bytes, Timestamp::from_nanos(1))];
    for event in events.into_iter().flatten() {
        let leaf = event.to_leaf();
        assert!(leaf.len() <= MAX_LEAF);
        let value: serde_json::Value = serde_json::from_slice(&leaf).expect("a leaf is JSON");
        assert_eq!(canonical_json(&value).as_bytes(), leaf, "a leaf is canonical");
        let again = Event::from_json(&leaf).expect("a leaf reads back");
        assert_eq!(again.to_leaf(), leaf, "a leaf is stable");
        assert!(Filter::parse("id:*").expect("it is a filter").matches(&leaf));
    }
});
