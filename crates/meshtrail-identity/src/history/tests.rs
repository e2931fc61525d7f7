use std::collections::BTreeMap;
use std::net::IpAddr;

use meshtrail_event::{
    Change, Detail, DeviceState, Draft, Event, EventId, IdentityStatus, Json, Kind, Outcome, Target,
    Timestamp, UserState,
};
use proptest::prelude::*;

use super::{DeviceAsOf, EventAddresses, History};

fn at(second: i64) -> Timestamp {
    Timestamp::from_seconds(second).unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn json<T: serde::Serialize>(state: &T) -> Json {
    Json::from(&serde_json::to_value(state).unwrap())
}

fn event(sequence: u64, kind: Kind, second: i64, origin: &str, of_type: &str, change: Change) -> Event {
    let id = change.new.as_ref().or(change.old.as_ref()).map(|state| state.value()["id"].clone());
    let mut draft = Draft::new(kind, at(second));
    draft.target = Target {
        of_type: Some(of_type.to_owned()),
        id: id.and_then(|id| Some(id.as_str()?.to_owned())),
        ..Target::default()
    };
    let change = Change { origin: Some(origin.to_owned()), ..change };
    draft.detail = Some(Detail::Change(Box::new(change)));
    let id = EventId { source: "main.snapshot".parse().unwrap(), epoch: 1, sequence };
    draft.into_event(id, at(second))
}

fn device(id: &str, addresses: &[&str], owner: &str) -> DeviceState {
    DeviceState {
        id: id.to_owned(),
        name: Some(format!("{id}.tail.example")),
        os: Some("linux".to_owned()),
        addresses: addresses.iter().map(|text| ip(text)).collect(),
        owner: (!owner.is_empty()).then(|| owner.to_owned()),
        ..DeviceState::default()
    }
}

fn tells(second: i64, origin: &str, state: &DeviceState) -> Event {
    let change = Change { new: Some(json(state)), ..Change::default() };
    event(u64::try_from(second).unwrap() + 1, Kind::ConfigSnapshot, second, origin, "device", change)
}

fn removes(second: i64, origin: &str, state: &DeviceState) -> Event {
    let change = Change { old: Some(json(state)), ..Change::default() };
    event(u64::try_from(second).unwrap() + 1, Kind::DeviceRemoved, second, origin, "device", change)
}

fn history(events: &[Event]) -> History {
    let history = History::new();
    for event in events {
        history.learn(event);
    }
    history
}

fn login(known: Option<&DeviceAsOf>) -> Option<&str> {
    Some(&known?.person()?.login)
}

const SEVEN: &str = "100.64.0.7";

#[test]
fn who_gives_the_right_person_for_an_address_that_three_devices_had_in_turn() {
    let (one, two, three) = (
        device("n1", &[SEVEN], "alice@example.com"),
        device("n2", &[SEVEN, "fd7a::2"], "bob@example.com"),
        device("n3", &[SEVEN], "carol@example.com"),
    );
    let events = [
        tells(10, "snapshot", &one),
        removes(20, "snapshot", &one),
        tells(30, "snapshot", &two),
        removes(40, "snapshot", &two),
        tells(50, "snapshot", &three),
    ];
    let mut backwards = events.to_vec();
    backwards.reverse();
    for history in [history(&events), history(&backwards)] {
        let who = |second| {
            let known = history.at(ip(SEVEN), at(second));
            login(known.as_ref()).map(str::to_owned)
        };
        assert_eq!(who(9), None, "nothing is said of a time before anything was told");
        assert_eq!(who(10).as_deref(), Some("alice@example.com"));
        assert_eq!(who(25), None, "after a removal nobody has it");
        assert_eq!(who(35).as_deref(), Some("bob@example.com"));
        assert_eq!(who(45), None);
        assert_eq!(who(5_000).as_deref(), Some("carol@example.com"));
        let known = history.at(ip(SEVEN), at(35)).unwrap();
        assert_eq!((&*known.provider, known.as_of), ("snapshot", at(30)));
        let tenures = history.tenures(ip(SEVEN));
        let spans: Vec<_> =
            tenures.iter().map(|tenure| (&*tenure.device.facts().id, tenure.since, tenure.until)).collect();
        let expected = [("n1", at(10), Some(at(20))), ("n2", at(30), Some(at(40))), ("n3", at(50), None)];
        assert_eq!(spans, expected);
    }
}

#[test]
fn an_address_that_moved_unseen_belongs_to_whoever_was_told_to_have_it_last() {
    let (one, two) = (device("n1", &[SEVEN], "alice@example.com"), device("n2", &[SEVEN], "bob@example.com"));
    let moved = history(&[tells(10, "snapshot", &one), tells(30, "snapshot", &two)]);
    let known = moved.at(ip(SEVEN), at(40)).unwrap();
    assert_eq!((login(Some(&known)), &known.conflict), (Some("bob@example.com"), &None));

    let both =
        history(&[tells(10, "snapshot", &one), tells(30, "localapi", &two), tells(35, "snapshot", &one)]);
    let known = both.at(ip(SEVEN), at(40)).unwrap();
    assert_eq!(login(Some(&known)), Some("bob@example.com"));
    assert_eq!(known.identity().status, IdentityStatus::Conflicting);
    assert!(known.conflict.unwrap().contains("device n1 has the address too, says snapshot"));
    assert_eq!(both.conflicts(at(40)).len(), 1);
}

#[test]
fn renames_and_transfers_are_known_from_their_time_on() {
    let first = device("n1", &[SEVEN], "alice@example.com");
    let renamed = DeviceState { name: Some("web.tail.example".to_owned()), ..first.clone() };
    let given = DeviceState { owner: Some("Bob@example.com".to_owned()), ..renamed.clone() };
    let tagged = DeviceState { tags: ["tag:prod".to_owned()].into(), ..given.clone() };
    let history = history(&[
        tells(10, "snapshot", &first),
        tells(20, "snapshot", &renamed),
        tells(30, "snapshot", &given),
        tells(40, "snapshot", &tagged),
    ]);
    assert_eq!(history.devices_by_name("n1", at(15)).len(), 1);
    assert!(
        history.devices_by_name("n1", at(25)).is_empty() && history.devices_by_name("WEB", at(25)).len() == 1
    );
    assert_eq!(login(history.at(ip(SEVEN), at(25)).as_ref()), Some("alice@example.com"));
    assert_eq!(login(history.at(ip(SEVEN), at(35)).as_ref()), Some("Bob@example.com"));
    let known = history.at(ip(SEVEN), at(45)).unwrap();
    assert_eq!((known.person(), &known.actor().tags[..]), (None, &["tag:prod".to_owned()][..]));
    assert_eq!(history.devices_by_owner("bob@EXAMPLE.com", at(35)).len(), 1);
    assert!(history.devices_by_owner("bob@example.com", at(45)).is_empty(), "a tagged device is nobody's");
    let periods = history.device_periods("n1");
    assert_eq!(periods.iter().map(|period| period.since).collect::<Vec<_>>(), [10, 20, 30, 40].map(at));
    assert_eq!(periods[3].until, None);
}

#[test]
fn a_person_is_as_they_were_then_with_their_groups() {
    let user = |groups: &[&str]| UserState {
        id: "u1".to_owned(),
        login: "alice@example.com".to_owned(),
        name: Some("Alice".to_owned()),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        ..UserState::default()
    };
    let told = |second: i64, user: &UserState| {
        let change = Change { new: Some(json(user)), ..Change::default() };
        event(u64::try_from(second).unwrap(), Kind::UserChanged, second, "snapshot", "user", change)
    };
    let history = history(&[
        tells(10, "snapshot", &device("n1", &[SEVEN], "Alice@example.com")),
        told(20, &user(&["group:eng"])),
        told(30, &user(&["group:eng", "group:sre"])),
    ]);
    let person = |second| history.at(ip(SEVEN), at(second)).unwrap().person().unwrap().clone();
    assert_eq!((person(15).name.clone(), person(15).groups.len()), (None, 0));
    assert_eq!(
        (person(25).name.as_deref(), &person(25).groups[..]),
        (Some("Alice"), &["group:eng".to_owned()][..])
    );
    assert_eq!(person(35).groups, ["group:eng", "group:sre"]);
    assert_eq!(person(25).groups, ["group:eng"], "an answer that was given before stays what it was");
    assert_eq!(history.person_periods("ALICE@example.com").len(), 2);
}

#[test]
fn what_one_origin_leaves_out_another_fills_in_and_what_they_contradict_is_kept() {
    let whole = device("n1", &[SEVEN], "alice@example.com");
    let webhook = DeviceState {
        id: "n1".to_owned(),
        name: Some("web.tail.example".to_owned()),
        ..DeviceState::default()
    };
    let other = DeviceState { owner: Some("mallory@example.com".to_owned()), ..whole.clone() };
    let told = history(&[tells(10, "snapshot", &whole), tells(20, "webhook", &webhook)]);
    let known = told.at(ip(SEVEN), at(25)).unwrap();
    assert_eq!(
        (known.facts().name.as_deref(), login(Some(&known))),
        (Some("web.tail.example"), Some("alice@example.com"))
    );
    assert_eq!((&*known.provider, known.as_of), ("snapshot", at(10)), "whose it is was told then");

    let old = history(&[tells(10, "snapshot", &whole), tells(20, "localapi", &other)]);
    assert_eq!(old.at(ip(SEVEN), at(25)).unwrap().conflict, None, "nobody looked since");
    let contrary = history(&[
        tells(10, "snapshot", &whole),
        tells(20, "localapi", &other),
        tells(30, "snapshot", &whole),
    ]);
    let known = contrary.at(ip(SEVEN), at(35)).unwrap();
    assert_eq!(login(Some(&known)), Some("alice@example.com"));
    assert!(
        known
            .identity()
            .reason
            .unwrap()
            .starts_with("alice@example.com against mallory@example.com (says localapi")
    );
    let accounts = contrary.accounts("n1", at(35));
    assert_eq!(accounts.iter().map(|says| &*says.provider).collect::<Vec<_>>(), ["snapshot", "localapi"]);
}

#[test]
fn a_removal_by_any_origin_ends_it_until_somebody_sees_it_again() {
    let laptop = device("n1", &[SEVEN], "alice@example.com");
    let history = history(&[
        tells(10, "snapshot", &laptop),
        removes(20, "webhook", &laptop),
        tells(30, "snapshot", &laptop),
    ]);
    let who = |second| login(history.at(ip(SEVEN), at(second)).as_ref()).map(str::to_owned);
    assert_eq!((who(15).is_some(), who(25).is_some(), who(35).is_some()), (true, false, true));
}

#[test]
fn a_host_behind_a_subnet_router_is_nobody_but_its_way_is_known() {
    let mut router = device("n1", &[SEVEN], "");
    router.tags = ["tag:router".to_owned()].into();
    router.enabled_routes = ["10.40.0.0/16", "0.0.0.0/0"].map(str::to_owned).into();
    let mut narrow = device("n2", &["100.64.0.8"], "bob@example.com");
    narrow.enabled_routes = ["10.40.9.0/24".to_owned()].into();
    let history = history(&[
        tells(10, "snapshot", &router),
        tells(20, "snapshot", &narrow),
        removes(30, "snapshot", &narrow),
    ]);
    let via = |second| {
        let routed = history.route_to(ip("10.40.9.1"), at(second))?;
        Some((routed.prefix.to_string(), routed.routers[0].facts().id.to_string()))
    };
    assert_eq!(via(5), None);
    assert_eq!(via(15), Some(("10.40.0.0/16".to_owned(), "n1".to_owned())));
    assert_eq!(via(25), Some(("10.40.9.0/24".to_owned(), "n2".to_owned())));
    assert_eq!(via(35), Some(("10.40.0.0/16".to_owned(), "n1".to_owned())));
    assert_eq!(history.at(ip("10.40.9.1"), at(25)), None);
    assert!(history.route_to(ip("192.0.2.1"), at(25)).is_none(), "an exit node says nothing of anybody");

    let mut draft = Draft::new(Kind::FlowCounted, at(15));
    history.enrich(&mut draft, EventAddresses { near: Some(ip("10.40.9.1")), far: Some(ip(SEVEN)) });
    assert!(draft.actor.is_empty());
    assert_eq!(draft.identity.reason.as_deref(), Some("a host behind n1, which routes 10.40.0.0/16"));
    assert_eq!(draft.target.device.unwrap().tags, ["tag:router"]);
}

#[test]
fn a_draft_is_told_both_ends_as_of_its_own_time() {
    let mut shared = device("n9", &["100.64.0.9"], "eve@elsewhere.example");
    shared.external = Some(true);
    let history = history(&[
        tells(10, "headscale", &device("n1", &[SEVEN], "alice@example.com")),
        tells(10, "headscale", &shared),
    ]);
    let mut draft = Draft::new(Kind::FlowCounted, at(15));
    history.enrich(&mut draft, EventAddresses { near: Some(ip(SEVEN)), far: Some(ip("::ffff:100.64.0.9")) });
    assert_eq!(draft.actor.label().as_deref(), Some("alice@example.com"));
    assert_eq!((draft.identity.provider.as_deref(), draft.identity.as_of), (Some("headscale"), Some(at(10))));
    assert_eq!(draft.target.person.unwrap().login, "eve@elsewhere.example");
    assert_eq!(history.at(ip("100.64.0.9"), at(15)).unwrap().facts().external, Some(true));

    let mut early = Draft::new(Kind::FlowCounted, at(5));
    history.enrich(&mut early, EventAddresses { near: Some(ip(SEVEN)), far: None });
    assert_eq!(early.identity.status, IdentityStatus::Unresolved);
    assert!(early.actor.is_empty() && early.identity.reason.is_some());
}

#[test]
fn what_failed_and_what_is_a_part_only_tells_nothing() {
    let laptop = device("n1", &[SEVEN], "alice@example.com");
    let mut denied = tells(10, "audit-log", &laptop);
    denied.outcome = Outcome::Denied;
    let part = Change { new: Some(Json::from(&serde_json::json!(["10.0.0.0/24"]))), ..Change::default() };
    let history = History::new();
    assert!(!history.learn(&denied));
    assert!(!history.learn(&event(1, Kind::RouteEnabled, 10, "audit-log", "device", part.clone())));
    assert!(!history.learn(&event(1, Kind::ConfigChanged, 10, "audit-log", "policy", part)));
    assert_eq!(history.generation(), 0);
    assert!(history.device_ids().is_empty());
}

#[test]
fn the_state_before_a_change_is_known_back_to_the_snapshot_that_saw_it() {
    let (old, new) = (device("n1", &[SEVEN], "alice@example.com"), device("n1", &[SEVEN], "bob@example.com"));
    let change = Change {
        old: Some(json(&old)),
        new: Some(json(&new)),
        not_before: Some(at(40)),
        ..Change::default()
    };
    let history = history(&[event(1, Kind::DeviceChanged, 50, "snapshot", "device", change)]);
    let who = |second| login(history.at(ip(SEVEN), at(second)).as_ref()).map(str::to_owned);
    assert_eq!(who(39), None);
    assert_eq!(who(45).as_deref(), Some("alice@example.com"));
    assert_eq!(who(50).as_deref(), Some("bob@example.com"));
}

#[test]
fn a_sender_does_not_speak_in_a_control_planes_name() {
    let true_one = device("n1", &[SEVEN], "alice@example.com");
    let forged = device("n1", &[SEVEN], "mallory@example.com");
    let mut sent = tells(20, "snapshot", &forged);
    sent.id.source = "agent-1".parse().unwrap();
    let history = History::for_trail("main");
    for event in [tells(10, "snapshot", &true_one), sent, tells(30, "snapshot", &true_one)] {
        assert!(history.learn(&event));
    }
    assert_eq!(&*history.at(ip(SEVEN), at(25)).unwrap().provider, "snapshot by agent-1");
    let known = history.at(ip(SEVEN), at(30)).unwrap();
    let found = (login(Some(&known)), known.identity().status);
    assert_eq!(found, (Some("alice@example.com"), IdentityStatus::Conflicting));
}

const ORIGINS: [&str; 3] = ["localapi", "snapshot", "webhook"];
const OWNERS: [&str; 3] = ["", "alice@example.com", "bob@example.com"];

/// An origin's observation of one of four devices; without addresses it is a removal.
type Note = (i64, usize, usize, usize, Vec<u8>);

fn noted(note: &Note, sequence: u64) -> Event {
    let (second, origin, id, owner, addresses) = note;
    let texts: Vec<String> = addresses.iter().map(|last| format!("100.64.0.{last}")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let state = device(&format!("n{id}"), &texts, OWNERS[*owner]);
    let mut event = match addresses.is_empty() {
        true => removes(*second, ORIGINS[*origin], &DeviceState { addresses: Vec::new(), ..state }),
        false => tells(*second, ORIGINS[*origin], &state),
    };
    if let (true, Some(Detail::Change(change))) = (addresses.is_empty(), &mut event.detail) {
        change.old = None;
        event.target.id = Some(format!("n{id}"));
    }
    event.id.sequence = sequence;
    event
}

/// The holders of an address by a naive implementation of the rules: the last observation of each origin and device, the
/// newest first, and nothing from before a removal.
fn naive(notes: &[(Note, u64)], time: i64, last: u8) -> Vec<String> {
    let mut words: BTreeMap<(usize, usize), (i64, u64, &Note)> = BTreeMap::new();
    for (note, sequence) in notes.iter().filter(|(note, _)| note.0 <= time) {
        let word = words.entry((note.2, note.1)).or_insert((note.0, *sequence, note));
        if (note.0, *sequence) > (word.0, word.1) {
            *word = (note.0, *sequence, note);
        }
    }
    let mut holders = Vec::new();
    for id in 0..4 {
        let mut of_device: Vec<&(i64, u64, &Note)> =
            words.iter().filter(|((device, _), _)| *device == id).map(|(_, word)| word).collect();
        of_device.sort_by_key(|(second, _, note)| (std::cmp::Reverse(*second), note.4.is_empty()));
        let present: Vec<&Note> =
            of_device.iter().map(|(_, _, note)| *note).take_while(|note| !note.4.is_empty()).collect();
        if present.first().is_some_and(|newest| newest.4.contains(&last)) {
            holders.push(format!("n{id}"));
        }
    }
    holders
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    #[test]
    fn any_order_and_any_repetition_give_the_answers_of_the_plain_reading(
        notes in proptest::collection::vec(
            (0i64..12, 0usize..3, 0usize..4, 0usize..3, proptest::collection::vec(1u8..4, 0..3)), 1..25),
        order in proptest::collection::vec(any::<prop::sample::Index>(), 0..60),
        cut in any::<prop::sample::Index>(),
    ) {
        let notes: Vec<(Note, u64)> = notes.into_iter().zip(1..).collect();
        let events: Vec<Event> = notes.iter().map(|(note, sequence)| noted(note, *sequence)).collect();
        let straight = history(&events);
        let shuffled = History::new();
        for index in order {
            shuffled.learn(index.get(&events));
        }
        let leaves: Vec<Vec<u8>> = events.iter().rev().map(Event::to_leaf).collect();
        shuffled.learn_leaves(leaves.iter().map(Vec::as_slice));
        // A start that reads an image of some events, and learns the others.
        let (before, after) = events.split_at(cut.index(events.len() + 1));
        let restored = History::new();
        restored.restore(&history(before).image()).unwrap();
        for event in after {
            restored.learn(event);
        }
        prop_assert_eq!(restored.generation(), straight.generation());
        for second in 0..13 {
            for last in 1..4u8 {
                let address = ip(&format!("100.64.0.{last}"));
                let (one, two) = (straight.at(address, at(second)), shuffled.at(address, at(second)));
                prop_assert_eq!(&one, &two, "at {} of {}", second, address);
                prop_assert_eq!(&one, &restored.at(address, at(second)), "restored, at {} of {}", second, address);
                let holders = naive(&notes, second, last);
                let found = one.map(|known| known.facts().id.to_string());
                prop_assert_eq!(found.is_some(), !holders.is_empty(), "at {} of {}: {:?}", second, address, holders);
                prop_assert!(found.is_none_or(|found| holders.contains(&found)));
            }
            for id in 0..4 {
                let id = format!("n{id}");
                prop_assert_eq!(straight.device(&id, at(second)), shuffled.device(&id, at(second)));
                prop_assert_eq!(straight.device(&id, at(second)), restored.device(&id, at(second)));
            }
        }
        for last in 1..4u8 {
            let address = ip(&format!("100.64.0.{last}"));
            prop_assert_eq!(straight.tenures(address), shuffled.tenures(address));
            prop_assert_eq!(straight.tenures(address), restored.tenures(address));
        }
    }
}

#[test]
fn an_image_has_people_presences_names_routes_and_removals_or_is_refused_whole() {
    let state = DeviceState {
        enabled_routes: ["10.1.0.0/16".to_owned()].into(),
        tags: ["tag:router".to_owned()].into(),
        online: Some(true),
        ..device("n1", &[SEVEN], "")
    };
    let alice = UserState {
        id: "u1".to_owned(),
        login: "Alice@example.com".to_owned(),
        groups: ["group:sre".to_owned()].into(),
        ..UserState::default()
    };
    let change = Change { new: Some(json(&alice)), ..Change::default() };
    let told = event(3, Kind::ConfigSnapshot, 3, "snapshot", "user", change);
    let mut removed = event(9, Kind::UserRemoved, 9, "webhook", "user", Change::default());
    removed.target.id = Some("u2".to_owned());
    let original = history(&[tells(1, "snapshot", &state), told, removed]);
    let image = original.image();
    let restored = History::new();
    restored.restore(&image).unwrap();
    assert_eq!(restored.at(ip(SEVEN), at(5)), original.at(ip(SEVEN), at(5)));
    assert_eq!(restored.device_presence("n1", at(5)), original.device_presence("n1", at(5)));
    assert!(restored.device_presence("n1", at(5)).is_some());
    assert_eq!(restored.person("alice@EXAMPLE.com", at(5)), original.person("alice@EXAMPLE.com", at(5)));
    assert!(restored.person("alice@example.com", at(5)).is_some());
    let again: serde_json::Value = serde_json::from_slice(&restored.image()).unwrap();
    assert_eq!(again, serde_json::from_slice::<serde_json::Value>(&image).unwrap());

    assert!(restored.restore(&image).is_err(), "it has learned something");
    let mut damaged = again.clone();
    damaged["devices"][0]["tracks"][0]["sightings"][0][2] = serde_json::json!(7);
    let empty = History::new();
    assert!(empty.restore(damaged.to_string().as_bytes()).is_err() && empty.restore(b"{}").is_err());
    assert!(empty.at(ip(SEVEN), at(5)).is_none());
    empty.restore(&image).unwrap();
}

#[test]
fn presence_is_the_newest_told_in_whatever_order() {
    let state = device("n1", &[SEVEN], "ana@example.com");
    let there = DeviceState { online: Some(true), ..state.clone() };
    let away = DeviceState { online: Some(false), last_seen: Some(at(20)), ..state.clone() };
    for order in [[0, 1], [1, 0]] {
        let history = History::new();
        history.update_presence(at(5), std::slice::from_ref(&there), &[]);
        assert_eq!(history.device_presence("n1", at(99)), None, "nobody told who that is");
        history.learn(&tells(1, "headscale", &state));
        assert_eq!(history.device_presence("n1", at(99)), None);
        let (told, learned) = ([(10, &there), (30, &away)], history.generation());
        for (second, state) in order.map(|which| told[which]) {
            history.update_presence(at(second), std::slice::from_ref(state), &[]);
        }
        let presence = history.device_presence("n1", at(99)).unwrap();
        assert_eq!(
            (presence.as_of, presence.online, presence.last_seen),
            (at(30), Some(false), Some(at(20)))
        );
        assert_eq!(history.device_presence("n1", at(29)), None, "not before it was told");
        assert_eq!(history.generation(), learned, "it flaps: no answer about who was who changed");
        history.learn(&tells(40, "headscale", &there));
        assert_eq!(history.device_presence("n1", at(99)).unwrap().last_seen, Some(at(40)));
        assert_eq!(history.person_presence("Ana@example.com", at(99)).unwrap().online, Some(true));
    }
}
