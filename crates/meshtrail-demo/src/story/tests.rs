use std::collections::{BTreeMap, HashMap};

use meshtrail_event::{Detail, Event, Family};
use sha2::{Digest, Sha256};

use super::*;

fn story() -> Story {
    Story::new(7, "2026-11-20T18:00:00Z".parse().unwrap(), "demo")
}

fn events(story: &Story) -> impl Iterator<Item = &StoryEvent> {
    story.items.iter().filter_map(|item| match item {
        Item::Event(event) => Some(&**event),
        _ => None,
    })
}

/// Changes only where the story is changed on purpose: then take the number that the failure shows.
#[test]
fn the_same_seed_gives_the_same_story_byte_for_byte() {
    let digest = |story: &Story| {
        let mut hasher = Sha256::new();
        for item in &story.items {
            match item {
                Item::Event(event) => {
                    let event = event.draft.clone().into_event(event.id.clone(), event.draft.time);
                    hasher.update(event.to_leaf());
                }
                Item::SessionOpened { recording, .. } => hasher.update(&recording.cast),
                Item::SessionClosed { number } => hasher.update(number.to_le_bytes()),
            }
        }
        hex::encode(hasher.finalize())
    };
    let first = digest(&story());
    assert_eq!(first, digest(&story()));
    assert_eq!(&first[..16], "1a2339f279e230b0");
    let other = Story::new(8, "2026-11-20T18:00:00Z".parse().unwrap(), "demo");
    assert_ne!(first, digest(&other));
}

#[test]
fn every_event_is_a_leaf_in_order_and_every_source_counts_without_a_hole() {
    let story = story();
    let mut sequences: HashMap<String, u64> = HashMap::new();
    let mut families: BTreeMap<Family, usize> = BTreeMap::new();
    let mut last = Timestamp::from_nanos(0);
    for item in events(&story) {
        let event = item.draft.clone().into_event(item.id.clone(), item.draft.time);
        let leaf = event.check().unwrap_or_else(|error| panic!("{}: {error}", item.id));
        assert_eq!(Event::from_json(&leaf).unwrap(), event);
        assert!(item.draft.time >= last, "{} goes back in time", item.id);
        last = item.draft.time;
        let sequence = sequences.entry(item.id.source.to_string()).or_default();
        *sequence += 1;
        assert_eq!(item.id.sequence, *sequence);
        *families.entry(event.kind.family()).or_default() += 1;
    }
    for family in [Family::Login, Family::Kube, Family::Flow, Family::Config, Family::Log, Family::Finding] {
        assert!(families.get(&family).is_some_and(|count| *count > 5), "{families:?}");
    }
    assert!((10_000..60_000).contains(&families.values().sum::<usize>()), "{families:?}");
}

#[test]
fn every_session_opens_and_closes_and_its_recording_plays_within_its_time() {
    let story = story();
    let mut open: HashMap<usize, Timestamp> = HashMap::new();
    let (mut count, mut bytes) = (0, 0);
    for item in &story.items {
        match item {
            Item::SessionOpened { number, recording } => {
                let last = recording.cast.trim_ascii_end().rsplit(|byte| *byte == b'\n').next().unwrap();
                let last: (f64, String, String) = serde_json::from_slice(last).unwrap();
                let length = recording.ended.since(recording.started).as_secs_f64();
                assert!(last.0 <= length && length < last.0 + 60.0, "{last:?} in {length}");
                open.insert(*number, recording.ended);
                count += 1;
                bytes += recording.cast.len();
            }
            Item::SessionClosed { number } => {
                assert!(open.remove(number).is_some(), "session {number} was not open")
            }
            Item::Event(_) => {}
        }
    }
    assert!(count > 100 && bytes > 500_000, "{count} sessions, {bytes} bytes");
    assert!(open.len() < 4, "what still runs at the end: {open:?}");
}

#[test]
fn an_address_was_three_devices_in_turn() {
    let story = story();
    let address = crate::company::addresses(240)[0].to_string();
    let joined: Vec<String> = events(&story)
        .filter(|event| event.draft.kind == meshtrail_event::Kind::DeviceAdded)
        .filter_map(|event| event.draft.target.device.clone())
        .filter(|device| device.addresses.contains(&address))
        .filter_map(|device| device.label().map(str::to_owned))
        .collect();
    assert_eq!(joined, ["ci-spare-1", "front-desk-tablet", "ellis-mbp"]);
}

#[test]
fn the_night_can_be_found_in_every_stream() {
    let story = story();
    let night = story.incident;
    let (from, until) = (
        night.before(std::time::Duration::from_secs(3600)),
        night.after(std::time::Duration::from_secs(3600)),
    );
    let mut sent = 0;
    let mut kinds: Vec<String> = Vec::new();
    for event in events(&story).filter(|event| (from..until).contains(&event.draft.time)) {
        let label = |actor: &meshtrail_event::Actor| {
            actor.device.as_ref().and_then(|device| device.label().map(str::to_owned)).unwrap_or_default()
        };
        let to = |event: &StoryEvent| {
            event
                .draft
                .target
                .device
                .as_ref()
                .and_then(|device| device.label())
                .unwrap_or_default()
                .to_owned()
        };
        match &event.draft.detail {
            Some(Detail::Flow(flow)) if label(&event.draft.actor) == "db-1" && to(event) == "debian-x1" => {
                sent += flow.tx_bytes.unwrap_or(0);
            }
            Some(Detail::Change(_) | Detail::Finding(_) | Detail::Login(_)) => {
                kinds.push(event.draft.kind.to_string());
            }
            _ => {}
        }
    }
    assert!((3_500_000_000..5_000_000_000).contains(&sent), "{sent} bytes");
    for kind in [
        "device.added",
        "key.registered",
        "policy.changed",
        "ssh.login",
        "ssh.logout",
        "device.removed",
        "key.revoked",
        "finding.raised",
    ] {
        assert!(kinds.iter().any(|found| found == kind), "{kind} is not in {kinds:?}");
    }
}
