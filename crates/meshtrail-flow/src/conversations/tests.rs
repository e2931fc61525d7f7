use meshtrail_event::{Actor, Detail, Device, Draft, Flow, Kind, Person, Target};
use meshtrail_trail::TrailConfig;
use meshtrail_trail::store::{Store, StoreLocation, WritePolicy};

use super::*;

/// A window of one connection, as one end reports it.
struct Window {
    near: (&'static str, &'static str),
    far: (&'static str, &'static str),
    start: i64,
    sent: u64,
    received: u64,
}

const WEB: (&str, &str) = ("n1", "100.64.0.1:443");
const LAPTOP: (&str, &str) = ("n2", "100.64.0.2:51000");
const BEGIN: i64 = 1_795_167_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_seconds(BEGIN + second).unwrap()
}

fn device(id: &str) -> Device {
    Device { id: Some(id.into()), name: Some(format!("{id}.tail.example")), ..Device::default() }
}

fn person(id: &str) -> Person {
    Person { login: format!("owner-of-{id}@example.com"), ..Person::default() }
}

fn draft(window: &Window) -> Draft {
    let Window { near, far, start, sent, received } = *window;
    let flow = Flow {
        dst: Some(far.1.into()),
        dst_node: Some(far.0.into()),
        end: Some(at(start + 5)),
        layer: Some("virtual".into()),
        proto: Some(6),
        reporter: Some(near.0.into()),
        rx_bytes: Some(received),
        rx_packets: Some(received.div_ceil(1000)),
        src: Some(near.1.into()),
        src_node: Some(near.0.into()),
        start: Some(at(start)),
        tx_bytes: Some(sent),
        tx_packets: Some(sent.div_ceil(1000)),
        ..Flow::default()
    };
    Draft {
        actor: Actor {
            device: Some(device(near.0).into()),
            person: Some(person(near.0).into()),
            ..Actor::default()
        },
        target: Target {
            device: Some(device(far.0).into()),
            person: Some(person(far.0).into()),
            ..Target::default()
        },
        detail: Some(Detail::Flow(Box::new(flow))),
        ..Draft::new(Kind::FlowCounted, at(start))
    }
}

async fn aggregate(windows: &[Window], change: impl FnOnce(&mut FlowQuery)) -> Conversations {
    let folder = tempfile::tempdir().unwrap();
    let location = StoreLocation::Folder(folder.path().to_owned());
    let store = Store::open(&location, &WritePolicy::default()).await.unwrap();
    let trail = Trail::open(store, &folder.path().join("local"), TrailConfig::new("main")).await.unwrap();
    trail.emitter("flowlog").emit_all(windows.iter().map(draft).collect()).await.unwrap();
    let mut query = FlowQuery {
        since: at(0),
        until: at(3600),
        layer: None,
        person: None,
        device: None,
        port: None,
        grain: Grain::Connection,
        limit: 100,
        budget: Duration::from_secs(60),
    };
    change(&mut query);
    conversations(&trail, &query).await.unwrap()
}

#[tokio::test]
async fn two_ends_that_report_the_same_bytes_are_one_conversation_that_counts_them_once() {
    let windows = [
        Window { near: WEB, far: LAPTOP, start: 0, sent: 3000, received: 500 },
        Window { near: WEB, far: LAPTOP, start: 5, sent: 2000, received: 0 },
        // The other end's windows begin two seconds later: sums agree, windows do not.
        Window { near: LAPTOP, far: WEB, start: 2, sent: 500, received: 4000 },
        Window { near: LAPTOP, far: WEB, start: 7, sent: 0, received: 1000 },
    ];
    let found = aggregate(&windows, |_| {}).await;
    assert_eq!((found.total, found.events, found.items.len()), (1, 4, 1));
    let conversation = &found.items[0];
    assert_eq!(
        (conversation.a.device.as_deref(), conversation.b.device.as_deref()),
        (Some("n1"), Some("n2"))
    );
    assert_eq!(
        (conversation.a.port, conversation.b.port, conversation.proto),
        (Some(443), Some(51000), Some(6))
    );
    assert_eq!((conversation.by_a.windows, conversation.by_b.windows), (2, 2));
    assert_eq!((conversation.by_a.tx_bytes, conversation.by_b.rx_bytes), (5000, 5000));
    assert_eq!((conversation.a_to_b.bytes, conversation.b_to_a.bytes), (5000, 500));
    assert!(!conversation.by_a.undercounts && !conversation.by_b.undercounts);
    assert_eq!((conversation.first, conversation.last), (at(0), at(12)));
    assert_eq!(conversation.b.login.as_deref(), Some("owner-of-n2@example.com"));
}

#[tokio::test]
async fn an_end_whose_network_stack_takes_what_it_receives_is_known_to_count_too_little() {
    let windows = [
        Window { near: WEB, far: LAPTOP, start: 0, sent: 3000, received: 0 },
        Window { near: LAPTOP, far: WEB, start: 0, sent: 700, received: 3000 },
    ];
    let conversation = aggregate(&windows, |_| {}).await.items.remove(0);
    assert!(conversation.by_a.undercounts && !conversation.by_b.undercounts);
    assert_eq!(conversation.b_to_a.bytes, 700, "what its sender counted stands");
    let alone = aggregate(&windows[..1], |_| {}).await.items.remove(0);
    assert!(!alone.by_a.undercounts, "with one end alone nobody can tell");
    assert_eq!(alone.by_b.windows, 0);
}

#[tokio::test]
async fn pairs_of_devices_are_told_from_connections_and_filters_hold_for_either_end() {
    let other = ("n2", "100.64.0.2:51001");
    let windows = [
        Window { near: WEB, far: LAPTOP, start: 0, sent: 10, received: 10 },
        Window { near: other, far: WEB, start: 0, sent: 10, received: 10 },
        Window {
            near: ("n3", "100.64.0.3:1"),
            far: ("n4", "100.64.0.4:22"),
            start: 100,
            sent: 1,
            received: 1,
        },
    ];
    assert_eq!(aggregate(&windows, |_| {}).await.total, 3);
    assert_eq!(aggregate(&windows, |query| query.grain = Grain::Pair).await.total, 2);
    let person = Some("OWNER-of-n2@example.com".to_owned());
    assert_eq!(aggregate(&windows, |query| query.person = person).await.total, 2);
    assert_eq!(aggregate(&windows, |query| query.device = Some("n3".into())).await.total, 1);
    assert_eq!(aggregate(&windows, |query| query.device = Some("100.64.0.4".into())).await.total, 1);
    assert_eq!(aggregate(&windows, |query| query.port = Some(22)).await.total, 1);
    assert_eq!(aggregate(&windows, |query| query.since = at(50)).await.total, 1);
    assert_eq!(aggregate(&windows, |query| query.layer = Some("exit".into())).await.total, 0);
}
