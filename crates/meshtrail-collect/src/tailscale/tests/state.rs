//! Devices, users, policy and settings as snapshots.

use meshtrail_event::{Event, Kind};
use serde_json::{Value, json};
use tailscale_api_stand_in::Misdeed;

use super::{Run, Scene, change, now};
use crate::sources::SourceState;
use crate::turn::Turn as _;

fn device(id: &str, name: &str) -> Value {
    json!({
        "addresses": ["100.64.12.7", "fd7a:115c:a1e0::c01:7"], "id": "48213377", "nodeId": id,
        "user": "ana@example.com", "name": format!("{name}.tail9c2a.ts.net"), "hostname": name,
        "clientVersion": "1.98.2", "os": "linux", "created": "2026-02-11T09:14:02Z", "connectedToControl": true,
        "keyExpiryDisabled": false, "expires": "2027-02-11T09:14:02Z", "authorized": true, "isExternal": false,
        "machineKey": "mkey:5f0c", "nodeKey": "nodekey:91ab", "enabledRoutes": [], "advertisedRoutes": ["10.40.0.0/16"],
        "sshEnabled": true, "somethingNew": {"of": "tomorrow"},
    })
}

async fn scene() -> Scene {
    let scene = Scene::new().await;
    {
        let mut world = scene.api.world();
        world.devices = vec![device("n1CNTRL", "build-3"), device("n2CNTRL", "db-1")];
        world.users = vec![json!({
            "id": "u1CNTRL", "displayName": "Ana Ruiz", "loginName": "ana@example.com", "type": "member",
            "role": "admin", "status": "active", "created": "2025-12-01T08:00:00Z",
        })];
        world.keys = vec![json!({
            "id": "k1CNTRL", "keyType": "auth", "description": "ci", "userId": "u1CNTRL",
            "capabilities": {"devices": {"create": {"reusable": true, "tags": ["tag:ci"]}}},
        })];
    }
    scene
}

async fn kinds(run: &Run) -> Vec<Kind> {
    run.events()
        .await
        .into_iter()
        .map(|event| event.kind)
        .filter(|kind| *kind != Kind::ConfigSnapshot)
        .collect()
}

#[tokio::test]
async fn the_first_look_is_a_baseline_and_then_only_changes_are_told() {
    let scene = scene().await;
    let run = scene.run().await;
    let mut poll = run.state();
    poll.turn(now()).await;
    assert!(kinds(&run).await.is_empty(), "nobody joined now: {:?}", kinds(&run).await);
    let baseline = run.wiring.trail.size();
    assert!(baseline >= 5, "{baseline}");
    poll.turn(now()).await;
    assert_eq!(run.wiring.trail.size(), baseline, "nothing changed");
    scene.api.world().devices[0]["name"] = json!("build-4.tail9c2a.ts.net");
    scene.api.world().devices.remove(1);
    poll.turn(now()).await;
    let mut told = kinds(&run).await;
    told.sort();
    assert_eq!(told, [Kind::DeviceRemoved, Kind::DeviceRenamed]);
    run.stop().await;
    let run = scene.run().await;
    run.state().turn(now()).await;
    assert_eq!(kinds(&run).await.len(), 2, "a restart repeats nothing");
}

#[tokio::test]
async fn what_a_device_lets_in_and_runs_on_is_kept_and_its_changes_are_told_by_their_weight() {
    let scene = scene().await;
    {
        let device = &mut scene.api.world().devices[0];
        device["sshEnabled"] = json!(false);
        device["isEphemeral"] = json!(true);
        device["blocksIncomingConnections"] = json!(true);
        device["postureIdentity"] = json!({"serialNumbers": ["CP7X1"]});
        device["clientConnectivity"] = json!({"endpoints": ["198.51.100.24:41641"]});
    }
    let run = scene.run().await;
    let mut poll = run.state();
    poll.turn(now()).await;
    let device = |event: &Event| {
        let new = change(event)?.new.as_ref()?.value();
        (event.target.id.as_deref() == Some("n1CNTRL")).then_some(new)
    };
    let kept = run.events().await.iter().find_map(device).unwrap();
    let found =
        ["ssh_enabled", "ephemeral", "blocks_incoming", "serial_numbers", "others"].map(|name| &kept[name]);
    let others = json!({"somethingNew": {"of": "tomorrow"}});
    assert_eq!(found, [&json!(false), &json!(true), &json!(true), &json!(["CP7X1"]), &others]);
    {
        let device = &mut scene.api.world().devices[0];
        device["sshEnabled"] = json!(true);
        device["blocksIncomingConnections"] = json!(false);
        device["postureIdentity"] = json!({"serialNumbers": ["ZZ9"]});
        device["clientVersion"] = json!("1.98.3");
        device["clientConnectivity"] = json!({"endpoints": []});
        device["somethingNew"] = json!({"of": "today"});
    }
    poll.turn(now()).await;
    let events = run.events().await;
    let mut told: Vec<_> = events
        .iter()
        .filter(|event| event.kind != Kind::ConfigSnapshot)
        .map(|event| {
            let change = change(event).unwrap();
            (change.property.as_deref().unwrap(), crate::weight::severity(event, change).as_str())
        })
        .collect();
    told.sort_unstable();
    let expected = [
        ("blocks_incoming", "low"),
        ("client_version", "info"),
        ("serial_numbers", "medium"),
        ("ssh_enabled", "medium"),
    ];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn a_part_that_cannot_be_had_is_not_taken_for_removed() {
    let scene = scene().await;
    let run = scene.run().await;
    let mut poll = run.state();
    poll.turn(now()).await;
    for (path, misdeed) in [
        ("devices", Misdeed::Status(500, None)),
        ("devices", Misdeed::NoList),
        ("devices", Misdeed::HalfJson),
        ("devices", Misdeed::Without("nodeId".to_owned())),
        ("users", Misdeed::Status(403, None)),
        ("acl", Misdeed::WebPage),
        ("keys", Misdeed::Status(404, None)),
    ] {
        scene.api.world().misbehave(path, misdeed);
        poll.turn(now().after(std::time::Duration::from_secs(3_600))).await;
    }
    assert!(
        !kinds(&run).await.iter().any(|kind| kind.as_str().ends_with("removed")),
        "{:?}",
        kinds(&run).await
    );
    poll.turn(now()).await;
    assert_eq!(run.report("tailscale.state").state, SourceState::Connected);
}

#[tokio::test]
async fn secrets_of_log_streams_are_not_kept() {
    let scene = scene().await;
    scene.api.world().stream =
        Some(json!({"destinationType": "gcs", "gcsCredentials": "very secret", "url": "https://x"}));
    let run = scene.run().await;
    run.state().turn(now()).await;
    for event in run.events().await {
        assert!(!String::from_utf8(event.to_leaf()).unwrap().contains("very secret"));
    }
}
