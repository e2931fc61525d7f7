//! Pages read from a real trail equal a filter over all its leaves.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod fixture;

use std::sync::Arc;
use std::time::Duration;

use meshtrail_event::{
    Actor, Detail, Device, Draft, Event, EventId, Identity, IdentityStatus, Kind, Outcome, Person,
    SessionFacts, Target, Timestamp,
};
use meshtrail_query::{Filter, LateKnowledge, Order, PageRequest, Start, query, query_with};
use meshtrail_trail::{Exemption, Trail};

const EVENTS: u64 = 1200;
/// The only event of one person.
const RARE: u64 = 177;

fn start() -> Timestamp {
    "2026-11-20T00:00:00Z".parse().unwrap()
}

/// One event a minute; kinds, people and outcomes in turn.
fn event(number: u64) -> Event {
    let kinds = [
        Kind::SshSessionStarted,
        Kind::SshSessionEnded,
        Kind::FlowCounted,
        Kind::PolicyChanged,
        Kind::from("quantum.entangled"),
    ];
    let kind = kinds[number as usize % kinds.len()].clone();
    let time = start().after(Duration::from_secs(60 * number));
    let mut draft = Draft::new(kind.clone(), time);
    if kind.as_str().starts_with("ssh") {
        let command = Some(format!("run {}", number % 13));
        draft.detail = Some(Detail::Session(Box::new(SessionFacts { command, ..SessionFacts::default() })));
    }
    if number.is_multiple_of(3) {
        let login = if number == RARE {
            "rare@example.com".to_owned()
        } else {
            format!("user{}@example.com", number % 7)
        };
        let person = Some(Person { login, ..Person::default() }.into());
        draft.actor = Actor { person, ..Actor::default() };
        draft.identity = Identity { status: IdentityStatus::Resolved, ..Identity::default() };
    }
    if number.is_multiple_of(11) {
        draft.outcome = Outcome::Denied;
    }
    let name = Some(format!("web-{}.tail.example", number % 4));
    draft.target = Target { device: Some(Device { name, ..Device::default() }.into()), ..Target::default() };
    draft.into_event(format!("agent-{}.1.{number}", number % 2).parse().unwrap(), time)
}

/// All pages of a filter, read with small pages.
async fn pages(trail: &Trail, filter: &Filter, order: Order) -> Vec<u64> {
    let (mut found, mut start) = (Vec::new(), Start::Fresh(order));
    loop {
        let page = query(trail, filter, &PageRequest { start, limit: 37, budget: Duration::from_secs(60) })
            .await
            .unwrap();
        found.extend(page.items.iter().map(|(index, _)| *index));
        match page.next {
            Some(next) => start = Start::After(next),
            None => return found,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_of_every_filter_is_what_a_look_at_each_leaf_gives() {
    let folder = tempfile::tempdir().unwrap();
    let trail = fixture::trail(folder.path(), EVENTS, event).await;
    let size = trail.size();
    assert!(size >= EVENTS);
    let now = start().after(Duration::from_secs(60 * EVENTS));
    let leaves = trail.read(0..size, usize::MAX).await.unwrap();
    assert_eq!(leaves.len() as u64, size);
    for text in [
        "",
        "kind:ssh",
        "kind:ssh.session.ended outcome:denied",
        "kind:quantum*",
        "kind:policy OR kind:flow.counted",
        "actor:user3@example.com",
        "-actor:* kind:ssh",
        "actor:rare@example.com",
        "person:rare* OR id:agent-1.1.777",
        "actor:rare@example.com outcome:success",
        "device:web-2 person:user4@example.com",
        "device:web-9",
        "address:10.0.0.1",
        "source:agent-1",
        "id:agent-1.1.777",
        "id:agent-1.1.77*",
        "identity:resolved",
        "identity:unresolved outcome:denied",
        "target:web-2 since:5h",
        "since:2026-11-20T03:00 until:2026-11-20T04:00",
        "command:\"run 7\"",
        "\"run 7\" -outcome:denied",
        "session:2026*",
        "zebra",
    ] {
        let filter = Filter::parse(text).unwrap().with_now(now);
        let matching = leaves.iter().filter(|(_, leaf)| filter.matches(leaf));
        let mut expected: Vec<u64> = matching.map(|(index, _)| *index).collect();
        assert_eq!(pages(&trail, &filter, Order::Oldest).await, expected, "{text}");
        expected.reverse();
        assert_eq!(pages(&trail, &filter, Order::Newest).await, expected, "{text}");
    }
    trail.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rare_value_is_found_without_reading_the_other_files() {
    let folder = tempfile::tempdir().unwrap();
    let trail = fixture::trail(folder.path(), EVENTS, event).await;
    while trail.snapshot().sealed() < RARE + 400 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let logged = trail.size() - trail.snapshot().sealed();
    let request =
        PageRequest { start: Start::Fresh(Order::Newest), limit: 50, budget: Duration::from_secs(60) };
    for (text, found) in
        [("person:rare@example.com", 1), ("actor:nobody@example.com", 0), ("device:web-9", 0)]
    {
        // Asked twice: the second time of values that are known.
        for _ in 0..2 {
            let page = query(&trail, &Filter::parse(text).unwrap(), &request).await.unwrap();
            assert_eq!(page.items.len(), found, "{text}");
            assert!(page.looked_at <= logged + found as u64, "{text}: {} leaves read", page.looked_at);
        }
    }
    trail.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_found_by_what_became_known_of_it_later() {
    let folder = tempfile::tempdir().unwrap();
    let trail = fixture::trail(folder.path(), EVENTS, event).await;
    while trail.snapshot().sealed() < 800 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let about: EventId = "agent-1.1.501".parse().unwrap();
    let (in_files, in_events) = (about.clone(), about.clone());
    let exemption = Exemption {
        in_file: Arc::new(move |file| file.may_hold(&in_files)),
        events: Arc::new(move |source, epoch, sequence| {
            (source, epoch, sequence) == (in_events.source.as_str(), in_events.epoch, in_events.sequence)
        }),
    };
    let apply = |leaf: &[u8]| {
        let mut event: serde_json::Value = serde_json::from_slice(leaf).ok()?;
        (event["id"] == about.to_string()).then(|| {
            event["actor"] = serde_json::json!({"person": {"login": "late@example.com"}});
            event.to_string().into_bytes()
        })
    };
    let request =
        PageRequest { start: Start::Fresh(Order::Newest), limit: 50, budget: Duration::from_secs(60) };
    let filter = Filter::parse("actor:late@example.com").unwrap();
    let late = LateKnowledge { apply, events: Some(exemption) };
    let page = query_with(&trail, &filter, &request, late).await.unwrap();
    let ids: Vec<String> =
        page.items.iter().map(|(_, leaf)| Event::from_json(leaf).unwrap().id.to_string()).collect();
    assert_eq!(ids, [about.to_string()]);
    trail.close().await;
}
