//! Snapshots against a real trail: each change once, also over a restart.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::TryStreamExt;
use meshtrail_event::{Detail, DeviceState, Event, Kind, Timestamp, UserState};
use meshtrail_trail::store::{Store, StoreLocation, WritePolicy};
use meshtrail_trail::{Scan, Trail, TrailConfig};
use proptest::prelude::*;
use serde_json::json;

use super::time_levels::{UNSEEN_DAYS, UNSEEN_FINDING_DAYS};
use super::{DnsState, KeyState, Observer, Origin, PolicyText, Snapshot};
use crate::anomalies::Causes;

fn day(days: u64) -> Timestamp {
    Timestamp::from_seconds(1_790_000_000).unwrap().after(Duration::from_secs(86_400 * days))
}

fn minute(minutes: u64) -> Timestamp {
    day(0).after(Duration::from_secs(60 * minutes))
}

fn device(id: &str, name: &str) -> DeviceState {
    DeviceState {
        addresses: vec!["100.64.0.7".parse().unwrap()],
        authorized: Some(true),
        id: id.to_owned(),
        key_expiry_disabled: Some(false),
        expires: Some(day(100)),
        last_seen: Some(day(0)),
        name: Some(format!("{name}.mesh.example")),
        node_key: Some("nodekey:1".to_owned()),
        online: Some(true),
        owner: Some("alice@example.com".to_owned()),
        ..DeviceState::default()
    }
}

fn of(devices: &[DeviceState], taken: Timestamp) -> Snapshot {
    Snapshot { devices: Some(devices.to_vec()), ..Snapshot::new(Origin::Headscale, taken) }
}

/// Compares and accepts; returns the summaries of the changes.
fn summaries(observer: &mut Observer, snapshot: Snapshot) -> Vec<String> {
    let changes = observer.compare(snapshot);
    let summaries = changes
        .drafts()
        .filter(|draft| draft.kind != Kind::ConfigSnapshot)
        .map(|draft| match &draft.detail {
            Some(Detail::Change(change)) => format!("{}: {}", draft.kind, change.summary.clone().unwrap()),
            _ => panic!("no change"),
        })
        .collect();
    observer.accept(changes);
    summaries
}

#[test]
fn the_first_sight_is_a_baseline_and_what_flaps_says_nothing() {
    let mut observer = Observer::fresh(Origin::Headscale);
    let changes = observer.compare(of(&[device("1", "fra-1"), device("2", "fra-2")], minute(0)));
    assert!(changes.drafts().all(|draft| draft.kind == Kind::ConfigSnapshot));
    assert_eq!(changes.len(), 3, "two devices and a census");
    observer.accept(changes);
    let mut flapping = device("1", "fra-1");
    (flapping.online, flapping.last_seen) = (Some(false), Some(minute(3)));
    assert!(observer.compare(of(&[device("2", "fra-2"), flapping], minute(4))).is_empty());
}

#[test]
fn each_change_of_a_device_is_said_as_a_person_would() {
    let change = |by: fn(&mut DeviceState)| {
        let mut observer = Observer::fresh(Origin::Headscale);
        assert!(summaries(&mut observer, of(&[device("1", "fra-1")], minute(0))).is_empty());
        let mut changed = device("1", "fra-1");
        by(&mut changed);
        let first = summaries(&mut observer, of(&[changed.clone()], minute(1)));
        assert!(summaries(&mut observer, of(&[changed], minute(2))).is_empty(), "said twice");
        first
    };
    let who = "alice@example.com's device fra-1";
    let routes = |routes: &[&str]| routes.iter().map(|route| (*route).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(
        change(|device| device.name = Some("ber-1.mesh.example".into())),
        [format!("device.renamed: {who} was renamed to ber-1")]
    );
    assert_eq!(
        change(|device| device.tags = BTreeSet::from(["tag:ci".to_owned()])),
        [format!("device.tagged: {who} was tagged tag:ci")]
    );
    assert_eq!(
        change(|device| device.owner = Some("bob@example.com".into())),
        [format!("device.transferred: {who} belongs to bob@example.com now")]
    );
    assert_eq!(
        change(|device| device.authorized = Some(false)),
        [format!("device.unauthorized: {who} is no longer approved")]
    );
    assert_eq!(
        change(|device| device.addresses = vec!["100.64.0.9".parse().unwrap()]),
        [format!("device.addressed: {who} has 100.64.0.9 now, before 100.64.0.7")]
    );
    assert_eq!(
        change(|device| device.key_expiry_disabled = Some(true)),
        [format!("key.expiry_changed: {who} has a key that never expires now")]
    );
    assert_eq!(
        change(|device| device.node_key = Some("nodekey:2".into())),
        [format!("key.renewed: {who} signed in again with a new node key")]
    );
    assert_eq!(
        change(|device| device.expires = Some(day(0))),
        [format!("key.expired: {who} has an expired key")]
    );
    let mut observer = Observer::fresh(Origin::Headscale);
    let mut router = device("1", "fra-1");
    summaries(&mut observer, of(&[router.clone()], minute(0)));
    router.advertised_routes = routes(&["10.0.0.0/8", "0.0.0.0/0", "::/0"]);
    assert_eq!(
        summaries(&mut observer, of(&[router.clone()], minute(1))),
        [
            format!("route.advertised: {who} offers 10.0.0.0/8"),
            format!("route.advertised: {who} offers to be an exit node")
        ]
    );
    router.enabled_routes = router.advertised_routes.clone();
    assert_eq!(
        summaries(&mut observer, of(&[router.clone()], minute(2))),
        [
            format!("route.enabled: {who} serves 10.0.0.0/8 now"),
            format!("route.exit_node_changed: {who} is an exit node now")
        ]
    );
    router.enabled_routes = routes(&[]);
    assert_eq!(
        summaries(&mut observer, of(&[router], minute(3))),
        [
            format!("route.disabled: {who} no longer serves 10.0.0.0/8"),
            format!("route.exit_node_changed: {who} is no exit node any more")
        ]
    );
    assert_eq!(
        summaries(&mut observer, of(&[], minute(4))),
        ["device.removed: alice@example.com's device fra-1 was removed"]
    );
}

#[test]
fn a_device_that_joins_without_approval_is_said_to_wait_and_its_approval_too() {
    let mut observer = Observer::fresh(Origin::Tailscale);
    summaries(&mut observer, of(&[], minute(0)));
    let mut waiting = device("1", "fra-1");
    waiting.authorized = Some(false);
    let joined = summaries(&mut observer, of(&[waiting], minute(1)));
    assert_eq!(joined.len(), 2, "{joined:?}");
    assert_eq!(joined[1], "device.unauthorized: alice@example.com's device fra-1 waits for approval");
    let approved = summaries(&mut observer, of(&[device("1", "fra-1")], minute(2)));
    assert_eq!(approved, ["device.approved: alice@example.com's device fra-1 was approved"]);
}

#[test]
fn unseen_is_said_at_thirty_and_ninety_days_once_each_and_again_after_it_was_seen() {
    let mut observer = Observer::fresh(Origin::Headscale);
    let away = |since: u64| DeviceState {
        online: Some(false),
        last_seen: Some(day(since)),
        expires: None,
        ..device("1", "fra-1")
    };
    let mut summaries_on = |since: u64, today: u64| summaries(&mut observer, of(&[away(since)], day(today)));
    assert!(summaries_on(0, 0).is_empty() && summaries_on(0, 29).is_empty());
    assert!(summaries_on(0, 30)[0].contains("was not seen for 30 days"));
    assert!(summaries_on(0, 31).is_empty() && summaries_on(0, 89).is_empty());
    assert!(summaries_on(0, 95)[0].contains("was not seen for 90 days"));
    assert!(summaries_on(0, 200).is_empty() && summaries_on(200, 201).is_empty());
    assert!(summaries_on(200, 230)[0].contains("was not seen for 30 days"));
}

#[test]
fn a_device_unseen_for_the_days_of_a_finding_raises_one_that_names_them() {
    let title = |days: u64, key_never_expires: bool| {
        let away = DeviceState {
            online: Some(false),
            last_seen: Some(day(0)),
            expires: None,
            key_expiry_disabled: Some(key_never_expires),
            ..device("1", "fra-1")
        };
        let changes = Observer::fresh(Origin::Headscale).compare(of(&[away], day(days)));
        let draft = changes.drafts().find(|draft| draft.kind == Kind::DeviceUnseen).unwrap().clone();
        let time = draft.time;
        let event = draft.into_event("main.headscale.1.1".parse().unwrap(), time);
        Causes::default().judge(&event).map(|draft| match draft.detail {
            Some(Detail::Finding(finding)) => finding.title.unwrap(),
            _ => panic!("no finding"),
        })
    };
    assert!(UNSEEN_DAYS.is_sorted() && UNSEEN_DAYS.contains(&UNSEEN_FINDING_DAYS));
    for days in UNSEEN_DAYS {
        for title in [title(days, false), title(days, true)] {
            assert_eq!(title.is_some(), days == UNSEEN_FINDING_DAYS, "{days} days: {title:?}");
            assert!(title.is_none_or(|title| title.contains(&format!("{days} days"))));
        }
    }
}

#[test]
fn an_expired_key_that_still_is_connected_is_said_once_after_a_while() {
    let mut observer = Observer::fresh(Origin::Headscale);
    let mut expiring = device("1", "fra-1");
    expiring.expires = Some(minute(10));
    let mut summaries_at = |minutes: u64| summaries(&mut observer, of(&[expiring.clone()], minute(minutes)));
    assert!(summaries_at(0).is_empty());
    assert_eq!(summaries_at(11), ["key.expired: alice@example.com's device fra-1 has an expired key"]);
    assert!(summaries_at(12).is_empty());
    assert!(summaries_at(25)[0].starts_with("device.expired_active"));
    assert!(summaries_at(26).is_empty());
}

#[test]
fn people_dns_keys_and_settings_are_told_of_too() {
    let user = |role: &str, status: &str| UserState {
        id: "u1".into(),
        login: "ana@example.com".into(),
        role: Some(role.into()),
        status: Some(status.into()),
        ..UserState::default()
    };
    let key = KeyState {
        id: "k1".into(),
        of_type: Some("auth".into()),
        expires: Some(minute(90)),
        ..KeyState::default()
    };
    let dns = |on: bool, servers: &[&str]| DnsState {
        magic_dns: Some(on),
        nameservers: Some(servers.iter().map(|server| (*server).to_owned()).collect()),
        ..DnsState::default()
    };
    let mut observer = Observer::fresh(Origin::Tailscale);
    let snapshot = |minutes: u64| Snapshot::new(Origin::Tailscale, minute(minutes));
    let first = Snapshot {
        users: Some(vec![user("member", "active")]),
        keys: Some(Vec::new()),
        dns: Some(dns(true, &["1.1.1.1", "9.9.9.9"])),
        settings: Some(json!({"httpsEnabled": false, "devicesKeyDurationDays": 90})),
        ..snapshot(0)
    };
    assert!(summaries(&mut observer, first).is_empty());
    let second = Snapshot {
        users: Some(vec![user("admin", "suspended")]),
        keys: Some(vec![key.clone()]),
        dns: Some(dns(false, &["9.9.9.9", "1.1.1.1"])),
        settings: Some(json!({"httpsEnabled": true, "devicesKeyDurationDays": 90})),
        ..snapshot(1)
    };
    assert_eq!(
        summaries(&mut observer, second),
        [
            "user.role_changed: ana@example.com is admin now, before member",
            "user.suspended: ana@example.com was suspended",
            "key.created: The auth key k1 was made",
            "dns.changed: MagicDNS was switched off",
            "config.changed: settings: httpsEnabled is true now, before false",
        ]
    );
    assert!(summaries(&mut observer, snapshot(2)).is_empty(), "what was not asked for says nothing");
    let gone = Snapshot { users: Some(vec![]), keys: Some(vec![]), ..snapshot(3) };
    assert_eq!(
        summaries(&mut observer, gone),
        ["user.removed: ana@example.com was removed", "key.revoked: The auth key k1 was revoked or deleted"]
    );
    summaries(&mut observer, Snapshot { keys: Some(vec![key.clone()]), ..snapshot(4) });
    let expired = Snapshot { keys: Some(vec![key]), ..snapshot(100) };
    assert!(summaries(&mut observer, expired)[0].starts_with("key.expired: The auth key k1 expired"));
    assert!(
        summaries(&mut observer, Snapshot { keys: Some(vec![]), ..snapshot(101) }).is_empty(),
        "it was told of"
    );
}

fn policy(text: &str) -> Option<PolicyText> {
    Some(PolicyText { text: text.to_owned(), ..PolicyText::default() })
}

#[test]
fn a_policy_change_names_the_rule_and_a_comment_alone_is_kept_but_no_change() {
    let mut observer = Observer::fresh(Origin::Headscale);
    let snapshot = |text: &str, minutes| Snapshot {
        policy: policy(text),
        ..Snapshot::new(Origin::Headscale, minute(minutes))
    };
    let old = r#"{"groups": {"group:dev": ["ana@example.com"]}, "tagOwners": {}}"#;
    summaries(&mut observer, snapshot(old, 0));
    let commented = format!("// why\n{old}");
    let changes = observer.compare(snapshot(&commented, 1));
    assert_eq!(changes.drafts().map(|draft| draft.kind.clone()).collect::<Vec<_>>(), [Kind::ConfigSnapshot]);
    observer.accept(changes);
    let new = commented.replace("{}}", r#"{"tag:db": ["group:dev"]}}"#);
    assert_eq!(
        summaries(&mut observer, snapshot(&new, 2)),
        [
            "policy.changed: The policy changed: tag:db is new, owned by group:dev",
            "policy.tag_created: tag:db has owners now in the policy",
        ]
    );
    let broken = summaries(&mut observer, snapshot("{ broken", 3));
    assert_eq!(
        broken,
        [
            "policy.changed: The policy changed and can't be read: line 1, column 3: a member begins with its name in quotes"
        ]
    );
}

#[test]
fn people_are_put_into_the_groups_of_the_policy_of_their_snapshot() {
    let mut observer = Observer::fresh(Origin::Headscale);
    let user = UserState { id: "1".into(), login: "ana".into(), ..UserState::default() };
    let snapshot = |text: &str, minutes| Snapshot {
        policy: policy(text),
        users: Some(vec![user.clone()]),
        ..Snapshot::new(Origin::Headscale, minute(minutes))
    };
    summaries(&mut observer, snapshot(r#"{"groups": {"group:ops": ["ana@"]}}"#, 0));
    assert_eq!(observer.state.users.as_ref().unwrap()["1"].groups.first().unwrap(), "group:ops");
    let moved = summaries(&mut observer, snapshot(r#"{"groups": {"group:dev": ["ana@"]}}"#, 1));
    assert_eq!(moved[0], "user.changed: ana is in group:dev now, no longer in group:ops");
}

struct Fixture {
    folder: tempfile::TempDir,
}

impl Fixture {
    async fn open(&self) -> Trail {
        let location: StoreLocation = self.folder.path().join("store").to_str().unwrap().parse().unwrap();
        let store = Store::open(&location, &WritePolicy::default()).await.unwrap();
        Trail::open(store, &self.folder.path().join("local"), TrailConfig::new("main")).await.unwrap()
    }
}

/// An observer's state without the times of its parts, which a rebuild does not restore exactly.
fn state_without_times(observer: &Observer) -> super::observer::State {
    super::observer::State { taken: [].into(), ..observer.state.clone() }
}

async fn kinds(trail: &Trail) -> Vec<String> {
    let rows: Vec<_> = trail.scan(Scan::oldest(0..trail.size())).try_collect().await.unwrap();
    rows.iter().map(|(_, leaf)| Event::from_json(leaf).unwrap().kind.to_string()).collect()
}

fn everything(minutes: u64) -> Snapshot {
    let away = DeviceState {
        online: Some(false),
        last_seen: Some(day(0).before(Duration::from_secs(86_400 * 40))),
        ..device("3", "old")
    };
    let mut expired = device("4", "expired");
    expired.expires = Some(day(0).before(Duration::from_secs(86_400)));
    let long = format!("// {}\n{{}}", "a long reason ".repeat(20_000));
    Snapshot {
        devices: Some(vec![device("1", "fra-1"), device("2", "fra-2"), away, expired]),
        users: Some(vec![UserState {
            id: "u1".into(),
            login: "ana@example.com".into(),
            ..UserState::default()
        }]),
        policy: policy(&long),
        dns: Some(DnsState { magic_dns: Some(true), ..DnsState::default() }),
        keys: Some(vec![KeyState { id: "k1".into(), expires: Some(minute(0)), ..KeyState::default() }]),
        settings: Some(json!({"httpsEnabled": true})),
        others: [("webhooks".to_owned(), json!([{"endpointId": "wh1"}]))].into(),
        ..Snapshot::new(Origin::Headscale, minute(minutes))
    }
}

#[tokio::test]
async fn after_a_restart_nothing_is_told_twice_and_what_changed_meanwhile_is_told() {
    let fixture = Fixture { folder: tempfile::tempdir().unwrap() };
    let trail = fixture.open().await;
    let mut observer = Observer::rebuild(&trail, Origin::Headscale).await.unwrap();
    let emitter = trail.emitter("headscale");
    observer.record(everything(5), &emitter).await.unwrap();
    let mut renamed = everything(6);
    renamed.devices.as_mut().unwrap()[0] = device("1", "ber-1");
    renamed.devices.as_mut().unwrap().remove(1);
    assert_eq!(observer.record(renamed.clone(), &emitter).await.unwrap(), 2);
    let before = observer.state.clone();
    let size = trail.size();
    trail.close().await;

    let trail = fixture.open().await;
    let mut again = Observer::rebuild(&trail, Origin::Headscale).await.unwrap();
    assert!(state_without_times(&again) == super::observer::State { taken: [].into(), ..before });
    let emitter = trail.emitter("headscale");
    renamed.taken = minute(7);
    assert_eq!(again.record(renamed.clone(), &emitter).await.unwrap(), 0);
    assert_eq!(trail.size(), size);
    let other = Observer::rebuild(&trail, Origin::LocalApi).await.unwrap();
    assert_eq!(other.state, super::observer::State::default(), "another origin's events say nothing");
    // A day later, changes that happened in between are written together with a full snapshot, and the state can be
    // rebuilt from that snapshot alone.
    renamed.taken = minute(7).after(Duration::from_secs(86_400));
    renamed.users = Some(Vec::new());
    again.record(renamed.clone(), &emitter).await.unwrap();
    let kinds = kinds(&trail).await;
    assert_eq!(kinds.iter().filter(|kind| *kind == "user.removed").count(), 1);
    assert_eq!(kinds.iter().filter(|kind| *kind == "device.unseen").count(), 1);
    assert_eq!(kinds.iter().filter(|kind| *kind == "key.expired").count(), 1);
    assert!(
        state_without_times(&Observer::rebuild(&trail, Origin::Headscale).await.unwrap())
            == state_without_times(&again)
    );
    trail.close().await;
}

#[tokio::test]
async fn a_baseline_that_was_cut_off_is_begun_again() {
    let fixture = Fixture { folder: tempfile::tempdir().unwrap() };
    let trail = fixture.open().await;
    let emitter = trail.emitter("headscale");
    let many: Vec<_> = (0..200).map(|id| device(&id.to_string(), &format!("d{id}"))).collect();
    let mut changes = Observer::fresh(Origin::Headscale).compare(of(&many, minute(0)));
    let batches = changes.batches();
    assert!(batches.len() > 3, "more than one append");
    emitter.emit_all(batches.into_iter().next().unwrap()).await.unwrap();
    let mut observer = Observer::rebuild(&trail, Origin::Headscale).await.unwrap();
    let again = observer.compare(of(&many, minute(1)));
    assert!(again.drafts().all(|draft| draft.kind == Kind::ConfigSnapshot), "no device is told as added");
    observer.record(of(&many, minute(1)), &emitter).await.unwrap();
    let rebuilt = Observer::rebuild(&trail, Origin::Headscale).await.unwrap();
    assert!(rebuilt.compare(of(&many, minute(2))).is_empty());
    trail.close().await;
}

fn some_device() -> impl Strategy<Value = DeviceState> {
    let set = |items: &'static [&'static str]| {
        prop::sample::subsequence(items.to_vec(), 0..=items.len())
            .prop_map(|items| items.into_iter().map(str::to_owned).collect::<BTreeSet<_>>())
    };
    let addresses = prop::sample::subsequence(vec!["100.64.0.1", "100.64.0.2"], 0..=2).prop_shuffle();
    (
        set(&["tag:a", "tag:b"]),
        set(&["10.0.0.0/8", "0.0.0.0/0"]),
        set(&["10.0.0.0/8", "::/0"]),
        (prop::option::of(any::<bool>()), prop::option::of(any::<bool>()), prop::option::of(any::<bool>())),
        (prop::option::of("[ab]"), prop::option::of("[ab]"), prop::option::of("[ab]@x")),
        addresses,
        0u64..3,
    )
        .prop_map(|(tags, advertised_routes, enabled_routes, flags, texts, addresses, seen)| {
            DeviceState {
                addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
                advertised_routes,
                authorized: flags.0,
                enabled_routes,
                id: "1".to_owned(),
                key_expiry_disabled: flags.1,
                last_seen: Some(day(seen)),
                name: texts.0,
                node_key: texts.1,
                online: flags.2,
                owner: texts.2,
                tags,
                ..DeviceState::default()
            }
        })
}

/// The old state with the changed members, by the properties of the changes, taken from the new one.
fn apply(old: &DeviceState, new: &DeviceState, properties: &[String]) -> DeviceState {
    let mut state = old.clone();
    for property in properties {
        match property.as_str() {
            "name" => state.name.clone_from(&new.name),
            "tags" => state.tags.clone_from(&new.tags),
            "owner" => state.owner.clone_from(&new.owner),
            "addresses" => state.addresses.clone_from(&new.addresses),
            "authorized" => state.authorized = new.authorized,
            "node_key" => state.node_key.clone_from(&new.node_key),
            "key_expiry_disabled" => state.key_expiry_disabled = new.key_expiry_disabled,
            "advertised_routes" | "exit_offer" => state.advertised_routes.clone_from(&new.advertised_routes),
            "enabled_routes" | "exit_node" => state.enabled_routes.clone_from(&new.enabled_routes),
            other => panic!("{other}"),
        }
    }
    state
}

/// The state without what may differ without a change: order, what flaps, and members that one side lacks.
fn normalize(mut state: DeviceState, old: &DeviceState, new: &DeviceState) -> DeviceState {
    (state.last_seen, state.online) = (None, None);
    state.addresses.sort();
    macro_rules! ignore_absent { ($($member:ident),+) => { $(if old.$member.is_none() || new.$member.is_none() { state.$member = None; })+ } }
    ignore_absent!(name, owner, authorized, node_key, key_expiry_disabled);
    state
}

proptest! {
    #[test]
    fn a_state_differs_from_itself_in_nothing(state in some_device()) {
        prop_assert_eq!(crate::diff::device(&state, &state, day(1)), vec![]);
    }

    #[test]
    fn what_is_told_makes_the_new_state_of_the_old(old in some_device(), new in some_device()) {
        let properties: Vec<String> =
            crate::diff::device(&old, &new, day(1)).iter().map(|change| change.property.to_owned()).collect();
        let applied = normalize(apply(&old, &new, &properties), &old, &new);
        prop_assert_eq!(applied, normalize(new.clone(), &old, &new), "{:?}", properties);
    }

    #[test]
    fn the_order_of_a_snapshot_is_no_change(count in 0usize..8, rotated in 0usize..8) {
        let mut devices: Vec<_> = (0..count).map(|id| device(&id.to_string(), &format!("d{id}"))).collect();
        let mut observer = Observer::fresh(Origin::Headscale);
        summaries(&mut observer, of(&devices, minute(0)));
        devices.rotate_left(rotated % count.max(1));
        prop_assert!(observer.compare(of(&devices, minute(1))).is_empty());
    }
}
