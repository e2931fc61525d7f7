//! Any bytes are an audit record or not; what is one makes events that a trail takes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use meshtrail_change::catalogue::{Groups, audit};
use meshtrail_change::snapshot::Origin;
use meshtrail_event::{Event, EventId, Timestamp};

fuzz_target!(|record: &[u8]| {
    let now = Timestamp::from_seconds(1_800_000_000).expect("2027 lies in the range");
    let groups = Groups::of([record]);
    let Ok(drafts) = audit(record, Origin::AuditLog, Some(now), &groups) else { return };
    for (sequence, draft) in (1..).zip(drafts) {
        let source = "main.tailscale.audit".parse().expect("a source's name");
        let event = draft.into_event(EventId { source, epoch: 1, sequence }, now);
        let leaf = event.check().expect("a record makes events that a trail takes");
        Event::from_json(&leaf).expect("a leaf reads back");
    }
});
