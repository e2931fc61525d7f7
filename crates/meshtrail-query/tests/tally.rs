//! Counts from summaries equal counts of every leaf.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod fixture;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use meshtrail_event::{Actor, Device, Draft, Event, Kind, Outcome, Person, Target, Timestamp};
use meshtrail_query::Filter;
use meshtrail_query::tally::{CountQuery, CountResult, Facet, SLOT, Summary, Tally, count, summarise};
use meshtrail_trail::Trail;

const EVENTS: u64 = 900;

/// One event in 97 seconds; kinds, people and outcomes in turn.
fn event(number: u64) -> Event {
    let kinds =
        [Kind::SshSessionEnded, Kind::FlowCounted, Kind::PolicyChanged, Kind::from("quantum.entangled")];
    let start: Timestamp = "2026-11-20T00:00:00Z".parse().unwrap();
    let time = start.after(Duration::from_secs(97 * number));
    let mut draft = Draft::new(kinds[number as usize % kinds.len()].clone(), time);
    if number.is_multiple_of(3) {
        let login = format!("user{}@example.com", number % 7);
        draft.actor =
            Actor { person: Some(Person { login, ..Person::default() }.into()), ..Actor::default() };
    }
    if number.is_multiple_of(11) {
        draft.outcome = Outcome::Denied;
    }
    let name = Some(format!("web-{}.tail.example", number % 4));
    draft.target = Target { device: Some(Device { name, ..Device::default() }.into()), ..Target::default() };
    draft.into_event(format!("agent-{}.1.{number}", number % 2).parse().unwrap(), time)
}

async fn summaries(trail: &Trail) -> Vec<Arc<Summary>> {
    let mut summaries = Vec::new();
    for first in (0..700).step_by(140) {
        let range = first..first + 140;
        let mut tally = Tally::new(SLOT, true);
        summarise(trail, range.clone(), &mut tally).await.unwrap();
        let bytes = Summary::new(range.clone(), &tally).to_bytes();
        assert!(Summary::from_bytes(&bytes, &(first..first + 141)).is_none());
        summaries.push(Arc::new(Summary::from_bytes(&bytes, &range).unwrap()));
    }
    // One summary is missing: its leaves are read instead.
    summaries.remove(2);
    summaries
}

type CountMaps = (u64, BTreeMap<(i64, String, String), u64>, Vec<Vec<(String, u64)>>);

fn as_maps(counted: &CountResult) -> CountMaps {
    let tally = &counted.tally;
    let cells = tally
        .cells()
        .map(|(slot, sort, count)| ((slot, sort.kind.to_string(), sort.outcome.to_string()), count));
    let values = Facet::ALL
        .into_iter()
        .filter_map(|facet| tally.values(facet))
        .map(|values| values.top(100).into_iter().map(|(value, count)| (value.to_owned(), count)).collect());
    (tally.events(), cells.collect(), values.collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn summaries_tell_what_the_leaves_tell() {
    let folder = tempfile::tempdir().unwrap();
    let trail = fixture::trail(folder.path(), EVENTS, event).await;
    let summaries = summaries(&trail).await;
    for text in [
        "",
        "kind:ssh.*",
        "-outcome:denied",
        "since:2026-11-20T05:07:11Z",
        "since:2026-11-20T05:15:00Z until:2026-11-20T09:41:00Z",
        "kind:flow OR outcome:denied",
        "since:2026-11-20T03:00:00Z (kind:policy.changed OR -until:2026-11-20T06:07:00Z)",
        "actor:user3@example.com",
        "until:2026-11-20T00:00:00.5Z",
        "target:web-1 since:2026-11-20T05:07:11Z",
        "nothing at all",
    ] {
        let filter = Filter::parse(text).unwrap();
        for facets in [false, true] {
            let question =
                CountQuery { filter: &filter, width: SLOT, facets, budget: Duration::from_secs(60) };
            let summed = count(&trail, 0, &summaries, &question).await.unwrap();
            let read = count(&trail, 0, &[], &question).await.unwrap();
            assert!(summed.is_whole() && read.is_whole(), "{text}: {} of {}", summed.looked_at, summed.of);
            assert_eq!(as_maps(&summed), as_maps(&read), "{text}");
            let matching = (1..=EVENTS).filter(|&number| filter.matches(&event(number).to_leaf())).count();
            assert_eq!(summed.tally.events(), matching as u64, "{text}");
        }
    }
    trail.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_count_whose_time_is_up_says_how_far_it_got() {
    let folder = tempfile::tempdir().unwrap();
    let trail = fixture::trail(folder.path(), EVENTS, event).await;
    let filter = Filter::parse("kind:ssh.*").unwrap();
    let question = CountQuery { filter: &filter, width: 60, facets: true, budget: Duration::ZERO };
    let counted = count(&trail, 0, &[], &question).await.unwrap();
    assert!(!counted.is_whole() && counted.looked_at > 0 && counted.of == EVENTS, "{}", counted.looked_at);
    trail.close().await;
}
