//! Devices, users, policy and settings as snapshots.

use meshtrail_event::{Event, Kind, Severity};
use serde_json::{Value, json};
use tailscale_api_stand_in::{CLIENT_ID, CLIENT_SECRET, InjectedFault};

use super::{Run, Scene, change, now};
use crate::poll::Poller as _;
use crate::sources::SourceState;

fn device(id: &str, name: &str) -> Value {
    json!({
        "addresses": ["100.64.12.7", "fd7a:115c:a1e0::c01:7"], "id": "48213377", "nodeId": id,
        "user": "ana@example.com", "name": format!("{name}.tail9c2a.ts.net"), "hostname": name,
        "clientVersion": "1.98.2", "os": "linux", "created": "2026-02-11T09:14:02Z", "connectedToControl": true,
        "keyExpiryDisabled": false, "expires": "2027-02-11T09:14:02Z", "authorized": true, "isExternal": false,
        "machineKey": "mkey:5f0c", "nodeKey": "nodekey:91ab", "enabledRoutes": ["10.40.0.0/16"], "advertisedRoutes": ["10.40.0.0/16"],
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
    let mut poller = run.state();
    poller.poll(now()).await;
    assert!(kinds(&run).await.is_empty(), "nobody joined now: {:?}", kinds(&run).await);
    let baseline = run.wiring.trail.size();
    assert!(baseline >= 5, "{baseline}");
    poller.poll(now()).await;
    assert_eq!(run.wiring.trail.size(), baseline, "nothing changed");
    scene.api.world().devices[0]["name"] = json!("build-4.tail9c2a.ts.net");
    scene.api.world().devices.remove(1);
    poller.poll(now()).await;
    let mut told = kinds(&run).await;
    told.sort();
    assert_eq!(told, [Kind::DeviceRemoved, Kind::DeviceRenamed]);
    run.stop().await;
    let run = scene.run().await;
    run.state().poll(now()).await;
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
    let mut poller = run.state();
    poller.poll(now()).await;
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
    poller.poll(now()).await;
    let events = run.events().await;
    let mut told: Vec<_> = events
        .iter()
        .filter(|event| event.kind != Kind::ConfigSnapshot)
        .map(|event| {
            let change = change(event).unwrap();
            (change.property.as_deref().unwrap(), meshtrail_change::severity::severity(event, change))
        })
        .collect();
    told.sort_unstable();
    let expected = [
        ("blocks_incoming", Severity::Low),
        ("client_version", Severity::Info),
        ("serial_numbers", Severity::Medium),
        ("ssh_enabled", Severity::Medium),
    ];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn a_part_that_cannot_be_had_is_not_taken_for_removed() {
    let scene = scene().await;
    let run = scene.run().await;
    let mut poller = run.state();
    poller.poll(now()).await;
    for (path, fault) in [
        ("devices", InjectedFault::Status(500, None)),
        ("devices", InjectedFault::NoList),
        ("devices", InjectedFault::HalfJson),
        ("devices", InjectedFault::MissingMember("nodeId".to_owned())),
        ("users", InjectedFault::Status(403, None)),
        ("acl", InjectedFault::WebPage),
        ("keys", InjectedFault::Status(404, None)),
    ] {
        scene.api.world().inject(path, fault);
        poller.poll(now().after(std::time::Duration::from_secs(3_600))).await;
    }
    assert!(
        !kinds(&run).await.iter().any(|kind| kind.as_str().ends_with("removed")),
        "{:?}",
        kinds(&run).await
    );
    poller.poll(now()).await;
    assert_eq!(run.report("tailscale.state").state, SourceState::Connected);
}

#[tokio::test]
async fn who_is_there_is_known_at_every_look_and_no_event_is_written_for_it() {
    let scene = scene().await;
    let run = scene.run().await;
    let mut poller = run.state();
    let began = now();
    poller.poll(now()).await;
    let history = &run.wiring.history;
    for event in run.events().await {
        history.learn(&event);
    }
    assert_eq!(history.device_presence("n1CNTRL", now()).unwrap().online, Some(true));
    let size = run.wiring.trail.size();
    {
        let device = &mut scene.api.world().devices[0];
        device["connectedToControl"] = json!(false);
        device["lastSeen"] = json!("2026-11-19T22:41:07Z");
    }
    poller.poll(now()).await;
    assert_eq!(run.wiring.trail.size(), size);
    let presence = history.device_presence("n1CNTRL", now()).unwrap();
    assert_eq!((presence.online, presence.last_seen), (Some(false), "2026-11-19T22:41:07Z".parse().ok()));
    assert!(presence.as_of >= began);
    // The other device of theirs is there still.
    let presence = history.person_presence("ana@example.com", now()).unwrap();
    assert_eq!((presence.online, presence.last_seen), (Some(true), Some(presence.as_of)));
}

async fn by_oauth(scene: &Scene) -> Run {
    let secret = scene.folder.path().join("oauth.key");
    std::fs::write(&secret, CLIENT_SECRET).unwrap();
    let secret = secret.display();
    scene.run_with(&format!(r#","oauth_client_id":"{CLIENT_ID}","oauth_secret_file":"{secret}""#)).await
}

#[tokio::test]
async fn what_a_scope_was_taken_away_for_stays_as_it_was_seen_last_and_is_named() {
    let scene = scene().await;
    let key = |id: &str, of_type: &str| json!({"id": id, "keyType": of_type, "userId": "u1CNTRL"});
    {
        let mut world = scene.api.world();
        world.keys = vec![key("k1CNTRL", "auth"), key("k2CNTRL", "client"), key("k3CNTRL", "api")];
        world.settings["httpsEnabled"] = json!(true);
    }
    let run = by_oauth(&scene).await;
    let mut poller = run.state();
    let minutes = |minutes: u64| now().after(std::time::Duration::from_secs(60 * minutes));
    poller.poll(now()).await;
    {
        let mut world = scene.api.world();
        world.scopes = "users:read devices:core:read auth_keys:read api_access_tokens:read".to_owned();
        world.keys.remove(2);
        world.settings["httpsEnabled"] = json!(null);
        for device in &mut world.devices {
            device.as_object_mut().unwrap().retain(|name, _| !name.ends_with("Routes"));
        }
        world.standing_faults.push(("users".to_owned(), InjectedFault::Status(403, None)));
    }
    for turn in 1..4 {
        poller.poll(minutes(16 * turn)).await;
    }
    let events = run.events().await;
    let told: Vec<_> = events.iter().filter(|event| event.kind != Kind::ConfigSnapshot).collect();
    assert_eq!(told.len(), 1, "only what was deleted is gone: {told:?}");
    assert_eq!((told[0].kind.clone(), told[0].target.id.as_deref()), (Kind::KeyRevoked, Some("k3CNTRL")));
    let unavailable = run.report("tailscale.state").unavailable;
    let parts: Vec<_> = unavailable
        .iter()
        .map(|unavailable| (unavailable.part.as_str(), unavailable.since.is_some()))
        .collect();
    assert_eq!(
        parts.into_iter().filter(|(_, known)| *known).collect::<Vec<_>>(),
        [("OAuth clients", true), ("routes", true), ("users", true)]
    );
    assert!(
        unavailable.iter().any(|unavailable| unavailable.reason.contains("oauth_keys:read")),
        "{unavailable:?}"
    );
    let tokens = scene.api.world().tokens;
    assert!(tokens <= 2, "not a token for each look: {tokens}");
    scene.api.world().scopes = "all:read".to_owned();
    scene.api.world().standing_faults.clear();
    poller.poll(minutes(150)).await;
    assert!(!run.report("tailscale.state").unavailable.iter().any(|unavailable| unavailable.since.is_some()));
}

#[tokio::test]
async fn secrets_of_log_streams_are_not_kept() {
    let scene = scene().await;
    scene.api.world().stream =
        Some(json!({"destinationType": "gcs", "gcsCredentials": "very secret", "url": "https://x"}));
    let run = scene.run().await;
    run.state().poll(now()).await;
    for event in run.events().await {
        assert!(!String::from_utf8(event.to_leaf()).unwrap().contains("very secret"));
    }
}
