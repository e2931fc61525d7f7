use std::path::Path;

use futures::TryStreamExt as _;
use meshtrail_event::{
    Change, Detail, DeviceState, Draft, Event, EventId, IdentityStatus, Json, Kind, Target,
};
use meshtrail_trail::store::{Store, StoreLocation, WritePolicy};
use meshtrail_trail::{Scan, TrailConfig};
use serde_json::json;

use super::*;

const BEFORE: &str = "2026-11-20T08:00:00Z";

pub(crate) async fn trail(folder: &Path) -> Trail {
    let store =
        Store::open(&StoreLocation::Folder(folder.to_owned()), &WritePolicy::default()).await.unwrap();
    Trail::open(store, &folder.join("local"), TrailConfig::new("main")).await.unwrap()
}

pub(crate) async fn events(trail: &Trail) -> Vec<Event> {
    let leaves: Vec<_> = trail.scan(Scan::oldest(0..trail.size())).try_collect().await.unwrap();
    let event = |(_, leaf): &(u64, bytes::Bytes)| {
        let event = Event::from_json(leaf).unwrap();
        assert_eq!(event.to_leaf(), leaf[..], "{} is not in canonical form", String::from_utf8_lossy(leaf));
        event
    };
    leaves.iter().map(event).collect()
}

fn device(id: &str, ip: &str, owner: Option<&str>, tags: &[&str]) -> Event {
    let state = DeviceState {
        id: id.into(),
        name: Some(format!("{id}.tail.example")),
        addresses: vec![ip.parse().unwrap()],
        owner: owner.map(str::to_owned),
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        ..DeviceState::default()
    };
    let change = Change {
        new: Some(Json::from(&serde_json::to_value(&state).unwrap())),
        origin: Some("headscale".into()),
        property: Some("device".into()),
        ..Change::default()
    };
    let target = Target { of_type: Some("device".into()), id: Some(id.into()), ..Target::default() };
    let draft = Draft {
        detail: Some(Detail::Change(Box::new(change))),
        target,
        ..Draft::new(Kind::ConfigSnapshot, BEFORE.parse().unwrap())
    };
    let id = EventId { source: "main.headscale".parse().unwrap(), epoch: 1, sequence: 1 };
    draft.into_event(id, BEFORE.parse().unwrap())
}

fn history() -> History {
    let history = History::new();
    history.learn(&device("n1", "100.64.0.1", None, &["tag:web"]));
    history.learn(&device("n2", "100.64.0.2", Some("ana@example.com"), &[]));
    history
}

fn report(virtual_traffic: serde_json::Value) -> FlowRecord {
    let json = json!({
        "logtail": {"client_time": "2026-11-20T09:40:05.1Z", "proc_id": 77, "proc_seq": 9},
        "nodeId": "n1", "start": "2026-11-20T09:40:00.000118Z", "end": "2026-11-20T09:40:05Z",
        "srcNode": {"nodeId": "n1", "name": "web.tail.example", "addresses": ["100.64.0.1"], "tags": ["tag:web"]},
        "virtualTraffic": virtual_traffic,
    });
    FlowRecord { json: json.to_string().into(), logged: None }
}

fn flow(event: &Event) -> &meshtrail_event::Flow {
    match &event.detail {
        Some(Detail::Flow(flow)) => flow,
        other => panic!("no flow: {other:?}"),
    }
}

#[tokio::test]
async fn a_connection_names_the_people_and_devices_at_both_ends() {
    let folder = tempfile::tempdir().unwrap();
    let trail = trail(folder.path()).await;
    let flows = Flows::new(trail.clone(), history());
    let record = report(json!([
        {"proto": 6, "src": "100.64.0.1:22", "dst": "100.64.0.2:51000", "txPkts": 10, "txBytes": 2000, "newMember": [1]}
    ]));
    let summary = flows.ingest(&trail.emitter("flowlog"), vec![record]).await.unwrap();
    assert_eq!((summary.new, summary.duplicates, summary.refused.len()), (1, 0, 0));
    let event = &events(&trail).await[0];
    assert_eq!((event.kind.as_str(), event.actor.tags.join(",")), ("flow.counted", "tag:web".to_owned()));
    assert_eq!(event.identity.status, IdentityStatus::Resolved);
    assert_eq!(event.target.person.as_ref().unwrap().login, "ana@example.com");
    assert_eq!(event.target.device.as_ref().unwrap().id.as_deref(), Some("n2"));
    let flow = flow(event);
    assert_eq!((flow.src_node.as_deref(), flow.dst_node.as_deref()), (Some("n1"), Some("n2")));
    assert_eq!((flow.tx_bytes, flow.rx_bytes, flow.proc_seq), (Some(2000), Some(0), Some(9)));
    assert_eq!(flow.record.as_ref().unwrap().text(), r#"{"newMember":[1]}"#);
}

#[tokio::test]
async fn who_nobody_knows_is_taken_from_the_report_and_marked_so_or_stays_unknown() {
    let folder = tempfile::tempdir().unwrap();
    let trail = trail(folder.path()).await;
    let flows = Flows::new(trail.clone(), History::new());
    let old_client = json!({"nodeId": "n9", "start": "2026-11-20T09:40:00Z", "end": "2026-11-20T09:40:05Z",
        "exitTraffic": [{"src": "100.64.0.9:0", "txPkts": 1, "txBytes": 60}],
        "physicalTraffic": [{"src": "100.64.0.8:0", "dst": "203.0.113.7:41641", "txPkts": 1}]});
    let records = vec![
        report(json!([{"proto": "udp", "src": "100.64.0.1:1", "dst": "100.64.0.3:53", "txPkts": 1}])),
        FlowRecord { json: old_client.to_string().into(), logged: None },
    ];
    assert_eq!(flows.ingest(&trail.emitter("flowlog"), records).await.unwrap().new, 3);
    let events = events(&trail).await;
    assert_eq!(events[0].identity.status, IdentityStatus::SelfReported);
    assert_eq!((flow(&events[0]).proto, events[0].target.device.is_none()), (Some(17), true));
    assert_eq!(events[1].identity.status, IdentityStatus::Unresolved);
    assert!(events[1].identity.reason.is_some() && events[1].target.is_empty());
    assert_eq!(events[2].target.address.as_deref(), Some("203.0.113.7:41641"));
}

#[tokio::test]
async fn a_node_that_says_of_itself_what_the_directory_does_not_is_conflicting() {
    let folder = tempfile::tempdir().unwrap();
    let trail = trail(folder.path()).await;
    let history = history();
    history.learn(&device("n1", "100.64.0.1", Some("bo@example.com"), &[]));
    let flows = Flows::new(trail.clone(), history);
    let record = report(json!([{"src": "100.64.0.1:0", "dst": "100.64.0.2:0", "txPkts": 1}]));
    flows.ingest(&trail.emitter("flowlog"), vec![record]).await.unwrap();
    let event = &events(&trail).await[0];
    assert_eq!(event.identity.status, IdentityStatus::Conflicting);
    assert_eq!(event.identity.claimed.as_ref().unwrap().tags, ["tag:web"]);
}

#[tokio::test]
async fn a_report_that_counts_for_anothers_address_does_not_pass_for_that_device() {
    let folder = tempfile::tempdir().unwrap();
    let trail = trail(folder.path()).await;
    let flows = Flows::new(trail.clone(), history());
    let forged = json!({"nodeId": "n1", "start": "2026-11-20T09:40:00Z", "end": "2026-11-20T09:40:05Z",
        "srcNode": {"nodeId": "n1", "addresses": ["100.64.0.1", "100.64.0.2"]},
        "virtualTraffic": [{"src": "100.64.0.2:22", "dst": "100.64.0.1:1", "txPkts": 1}]});
    let record = FlowRecord { json: forged.to_string().into(), logged: None };
    flows.ingest(&trail.emitter("flowlog"), vec![record]).await.unwrap();
    let event = &events(&trail).await[0];
    assert_eq!(event.actor.device.as_ref().unwrap().id.as_deref(), Some("n1"), "it is the reporter's word");
    assert_eq!(event.identity.status, IdentityStatus::Conflicting);
    assert_eq!(flow(event).src_node.as_deref(), Some("n2"), "whose address it is");
}

#[tokio::test]
async fn a_report_counts_once_whichever_way_and_however_often_it_comes_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let two = json!([
        {"proto": 6, "src": "100.64.0.1:22", "dst": "100.64.0.2:51000", "txPkts": 10},
        {"proto": 6, "src": "100.64.0.1:22", "dst": "100.64.0.2:51001", "txPkts": 10}
    ]);
    {
        let trail = trail(folder.path()).await;
        let flows = Flows::new(trail.clone(), history());
        let (upload, stream) = (trail.emitter("flowlog"), trail.emitter("hec"));
        let both = tokio::join!(
            flows.ingest(&upload, vec![report(two.clone())]),
            flows.ingest(&stream, vec![report(two.clone())])
        );
        let (one, other) = (both.0.unwrap(), both.1.unwrap());
        assert_eq!((one.new + other.new, one.duplicates + other.duplicates), (2, 2));
        trail.close().await;
    }
    let trail = trail(folder.path()).await;
    let flows = Flows::new(trail.clone(), history());
    let three =
        json!([two[0], two[1], {"proto": 6, "src": "100.64.0.1:22", "dst": "100.64.0.2:51002", "txPkts": 1}]);
    let summary = flows.ingest(&trail.emitter("flowlog"), vec![report(two), report(three)]).await.unwrap();
    assert_eq!(
        (summary.new, summary.duplicates),
        (1, 4),
        "what a crash had cut off is finished, not doubled"
    );
    assert_eq!(trail.size(), 3);
}

#[tokio::test]
async fn a_report_longer_than_a_batch_of_the_trail_is_taken_whole() {
    let folder = tempfile::tempdir().unwrap();
    let trail = trail(folder.path()).await;
    let flows = Flows::new(trail.clone(), history());
    let many: Vec<_> = (0..10_000)
        .map(|port| json!({"proto": 6, "src": "100.64.0.1:22", "dst": format!("100.64.0.2:{port}"), "txPkts": 1}))
        .collect();
    let record = report(json!(many));
    let summary = flows.ingest(&trail.emitter("flowlog"), vec![record.clone()]).await.unwrap();
    assert_eq!((summary.new, trail.size()), (10_000, 10_000));
    assert_eq!(flows.ingest(&trail.emitter("flowlog"), vec![record]).await.unwrap().duplicates, 10_000);
}

#[tokio::test]
async fn what_is_no_report_is_refused_alone_with_its_member_named() {
    let folder = tempfile::tempdir().unwrap();
    let trail = trail(folder.path()).await;
    let flows = Flows::new(trail.clone(), History::new());
    let good = report(json!([{"src": "100.64.0.1:0", "txPkts": 1}]));
    let mut records = vec![good];
    for bad in [
        "{",
        "[]",
        r#"{"start":"2026-11-20T09:40:00Z","end":"2026-11-20T09:40:05Z"}"#,
        r#"{"nodeId":"n","start":"soon","end":"2026-11-20T09:40:05Z"}"#,
        r#"{"nodeId":"n","start":"2026-11-20T09:40:09Z","end":"2026-11-20T09:40:05Z"}"#,
        r#"{"nodeId":"n","start":"2026-11-20T09:40:00Z","end":"2026-11-20T09:40:05Z","exitTraffic":[{"txPkts":-1}]}"#,
        r#"{"nodeId":"n","start":"2026-11-20T09:40:00Z","end":"2026-11-20T09:40:05Z","exitTraffic":[{"txPkts":9007199254740993}]}"#,
        r#"{"nodeId":"n","start":"2026-11-20T09:40:00Z","end":"2026-11-20T09:40:05Z","exitTraffic":[{"proto":"quic"}]}"#,
    ] {
        records.push(FlowRecord { json: Bytes::from_static(bad.as_bytes()), logged: None });
    }
    let summary = flows.ingest(&trail.emitter("flowlog"), records).await.unwrap();
    assert_eq!((summary.new, summary.refused.len()), (1, 8));
    assert!(summary.refused[5].1.to_string().contains("line 1"), "{}", summary.refused[5].1);
}
