//! The catalogue, row by row, with records as Tailscale's API and webhooks write them.

use meshtrail_event::{Change, Detail, Draft, Kind, Outcome};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Groups, ROWS, RecordError, WEBHOOKS, audit, digest, webhook};
use crate::severity::severity;
use crate::snapshot::Origin;

fn record(event: &str) -> Value {
    let mut words = event.split('.');
    let (of_type, action) = (words.next().unwrap(), words.next().unwrap());
    let (id, name) = match of_type {
        "NODE" => ("nQx7Lm2CNTRL", "build-3.tail9c2a.ts.net"),
        "USER" => ("uB2c3CNTRL", "bo@example.com"),
        _ => ("T7k2CNTRL", "example.com"),
    };
    let mut target = json!({"id": id, "name": name, "type": of_type});
    if let Some(property) = words.next() {
        target["property"] = property.into();
    }
    json!({
        "eventTime": "2026-11-20T09:31:44.120387511Z", "type": "CONFIG", "deferredAt": "0001-01-01T00:00:00Z",
        "eventGroupID": "5c1f0d9a77e24b0e9a1d3f2b6c8e4d10", "origin": "ADMIN_CONSOLE",
        "actor": {"id": "uA1b2CNTRL", "type": "USER", "loginName": "ana@example.com", "displayName": "Ana Ruiz"},
        "target": target, "action": action,
    })
}

fn drafts_of(record: &Value) -> Vec<Draft> {
    audit(record.to_string().as_bytes(), Origin::AuditLog, None, &Groups::default()).unwrap()
}

fn change(draft: &Draft) -> &Change {
    match &draft.detail {
        Some(Detail::Change(change)) => change,
        other => panic!("no change: {other:?}"),
    }
}

fn summary(draft: &Draft) -> &str {
    change(draft).summary.as_deref().unwrap()
}

/// The event of a draft, checked as a trail does.
fn event(draft: &Draft) -> meshtrail_event::Event {
    let event = draft.clone().into_event("main.tailscale.1.1".parse().unwrap(), draft.time);
    event.check().unwrap();
    event
}

#[test]
fn each_of_the_named_events_becomes_its_kind_with_a_sentence_and_its_weight() {
    assert_eq!(ROWS.len(), 143, "140 of the API's list, one seen, two of the enumerations");
    for row in ROWS {
        let drafts = drafts_of(&record(row.event));
        assert_eq!(drafts.len(), 1, "{}", row.event);
        let draft = &drafts[0];
        assert_eq!(draft.kind, row.kind, "{}", row.event);
        assert!(!summary(draft).contains('{') && summary(draft).len() > 12, "{}", summary(draft));
        assert_eq!(severity(&event(draft), change(draft)), row.severity, "{}", row.event);
        let person = draft.actor.person.as_ref().unwrap();
        assert_eq!((person.login.as_str(), person.id.as_deref()), ("ana@example.com", Some("uA1b2CNTRL")));
        assert_eq!(change(draft).via.as_deref(), Some("ADMIN_CONSOLE"));
    }
}

/// The events that an auditor requires, and the records that they come from.
#[test]
fn the_whole_catalogue_of_an_auditor_is_there() {
    for (wanted, event, kind) in [
        ("NodeKeyExpired", "NODE.EXPIRED.KEY_EXPIRY_TIME", Kind::KeyExpired),
        ("UserLogin", "ADMIN_CONSOLE.LOGIN", Kind::UserLogin),
        ("UserLogout", "ADMIN_CONSOLE.LOGOUT", Kind::UserLogout),
        ("ACLUpdated", "TAILNET.UPDATE.ACL", Kind::PolicyChanged),
        ("SubnetRouteEnabled", "NODE.UPDATE.ALLOWED_IPS", Kind::RouteEnabled),
        ("SubnetRouteEnabled", "NODE.UPDATE.AUTO_APPROVED_ROUTES", Kind::RouteEnabled),
        ("ExitNodeEnabled", "NODE.UPDATE.EXIT_NODE", Kind::RouteExitNodeChanged),
        ("DNSConfigUpdated", "TAILNET.UPDATE.DNS_CONFIG", Kind::DnsChanged),
        ("MagicDNSEnabled", "TAILNET.ENABLE.MAGIC_DNS", Kind::DnsChanged),
        ("DeviceApproved", "NODE.APPROVE", Kind::DeviceApproved),
        ("DeviceRemoved", "NODE.DELETE", Kind::DeviceRemoved),
        ("DeviceRenamed", "NODE.UPDATE.MACHINE_NAME", Kind::DeviceRenamed),
        ("DeviceTagged", "NODE.UPDATE.ACL_TAGS", Kind::DeviceTagged),
        ("AdminRoleChanged", "USER.UPDATE.USER_ROLE", Kind::UserRoleChanged),
        ("InviteSent", "INVITE.CREATE.TAILNET_INVITE", Kind::UserInvited),
        ("InviteSent", "USER.INVITE", Kind::UserInvited),
        ("InviteAccepted", "INVITE.ACCEPT.TAILNET_INVITE", Kind::UserInviteAccepted),
        ("BillingUpdated", "BILLING.UPDATE.SUBSCRIPTION", Kind::BillingChanged),
    ] {
        assert_eq!(drafts_of(&record(event))[0].kind, kind, "{wanted}");
    }
}

fn in_group(records: &[Value]) -> Vec<Kind> {
    let texts: Vec<String> = records.iter().map(Value::to_string).collect();
    let groups = Groups::of(texts.iter().map(String::as_bytes));
    texts
        .iter()
        .map(|text| audit(text.as_bytes(), Origin::AuditLog, None, &groups).unwrap()[0].kind.clone())
        .collect()
}

#[test]
fn node_key_registered_and_node_key_reauth_are_told_apart_by_their_operation() {
    let joins = ["NODE.UPDATE.MACHINE_NAME", "NODE.CREATE", "NODE.UPDATE.KEY_EXPIRY_TIME", "NODE.LOGIN"];
    assert_eq!(
        in_group(&joins.map(record)),
        [Kind::DeviceRenamed, Kind::DeviceAdded, Kind::KeyExpiryChanged, Kind::KeyRegistered]
    );
    let again = ["NODE.UPDATE.KEY_EXPIRY_TIME", "NODE.LOGIN"];
    assert_eq!(in_group(&again.map(record)), [Kind::KeyExpiryChanged, Kind::KeyRenewed]);
    assert_eq!(
        in_group(&["NODE.LOGIN"].map(record)),
        [Kind::DeviceSignedIn],
        "SSH check mode, or half a group"
    );
}

const OLD: &str = "{\"tagOwners\": {\"tag:old\": []}, \"groups\": {\"group:dev\": [\"ana@example.com\"]}}";
const NEW: &str = "{\"tagOwners\": {\"tag:db\": [\"group:dev\"]}, \"groups\": {\"group:dev\": []}, \"tests\": [{\"src\": \"a\"}]}";

#[test]
fn a_changed_policy_names_what_changed_its_tags_and_that_its_tests_passed() {
    let mut acl = record("TAILNET.UPDATE.ACL");
    (acl["old"], acl["new"]) = (OLD.into(), NEW.into());
    let drafts = drafts_of(&acl);
    let kinds: Vec<_> = drafts.iter().map(|draft| draft.kind.clone()).collect();
    assert_eq!(
        kinds,
        [Kind::PolicyChanged, Kind::PolicyTagCreated, Kind::PolicyTagDeleted, Kind::PolicyTested]
    );
    assert!(change(&drafts[0]).lines.contains(&"group:dev: ana@example.com removed".to_owned()));
    assert!(change(&drafts[0]).diff.as_deref().unwrap().contains("-{\"tagOwners\""));
    assert_eq!(change(&drafts[0]).new.as_ref().unwrap().value(), NEW);
    assert!(drafts.iter().all(|draft| draft.actor.person.is_some()));
}

#[test]
fn texts_beyond_a_leaf_follow_in_parts_that_make_them_whole_again() {
    let old = format!("// {}\n{OLD}", "because \"quoted\"\t".repeat(9_000));
    let mut acl = record("TAILNET.UPDATE.ACL");
    (acl["old"], acl["new"]) = (old.clone().into(), NEW.into());
    let drafts = drafts_of(&acl);
    drafts.iter().for_each(|draft| drop(event(draft)));
    let sha256 = change(&drafts[0]).old.as_ref().unwrap().value()["sha256"].as_str().unwrap().to_owned();
    let parts = drafts.iter().map(change).filter(|change| change.digest.as_deref() == Some(sha256.as_str()));
    let text: String =
        parts.map(|part| part.new.as_ref().unwrap().value()["text"].as_str().unwrap().to_owned()).collect();
    assert!(text == old);
}

#[test]
fn a_record_with_endless_words_is_an_event_all_the_same_and_is_kept_whole() {
    let long = "so \"long\" ".repeat(20_000);
    let mut endless = record("NODE.UPDATE.ACL_TAGS");
    (endless["error"], endless["target"]["name"], endless["later"]) =
        (long.clone().into(), long.clone().into(), long.clone().into());
    (endless["actor"]["displayName"], endless["new"]) = (long.clone().into(), long.clone().into());
    let drafts = drafts_of(&endless);
    drafts.iter().for_each(|draft| drop(event(draft)));
    let parts = drafts.iter().map(change).filter(|change| change.property.as_deref() == Some("record"));
    let whole: String =
        parts.map(|part| part.new.as_ref().unwrap().value()["text"].as_str().unwrap().to_owned()).collect();
    let whole: Value = serde_json::from_str(&whole).unwrap();
    assert!(whole["later"] == long.as_str() && whole["target"]["name"] == long.as_str());
}

#[test]
fn real_shapes_of_old_and_new_are_kept_whatever_they_are() {
    let mut node = record("NODE.UPDATE.ALLOWED_IPS");
    node["actor"] = json!({"id": "nQx7Lm2CNTRL", "type": "NODE", "loginName": "", "displayName": "build-3", "tags": ["tag:ci"]});
    (node["old"], node["new"]) = (json!(["100.64.12.7/32"]), json!(["100.64.12.7/32", "10.40.0.0/16"]));
    let draft = &drafts_of(&node)[0];
    assert_eq!(draft.kind, Kind::RouteEnabled);
    assert_eq!(draft.actor.device.as_ref().unwrap().name.as_deref(), Some("build-3"));
    assert_eq!(draft.actor.tags, ["tag:ci"]);
    assert_eq!(draft.target.device.as_ref().unwrap().id.as_deref(), Some("nQx7Lm2CNTRL"));
    let (old, new) = (node["new"].take(), node["old"].take());
    (node["old"], node["new"]) = (old, new);
    assert_eq!(drafts_of(&node)[0].kind, Kind::RouteDisabled, "SubnetRouteDisabled");

    let mut key = record("API_KEY.CREATE");
    key["new"] = json!({"expires": "2026-07-27 12:15:48.68 +0000 UTC", "capabilities": ["ONE_OFF_NODE_AUTH"], "n": 9_007_199_254_740_993_i64});
    let draft = &drafts_of(&key)[0];
    let new = change(draft).new.as_ref().unwrap().value();
    assert_eq!(
        (new["expires"].as_str(), new["n"].as_str()),
        (Some("2026-07-27 12:15:48.68 +0000 UTC"), Some("9007199254740993"))
    );
    event(draft);

    let mut named = record("NODE.UPDATE.MACHINE_NAME");
    (named["old"], named["new"]) = ("build-2".into(), "build-3".into());
    assert_eq!(summary(&drafts_of(&named)[0]), "ana@example.com renamed build-3 from build-2 to build-3");
}

#[test]
fn what_is_unknown_is_kept_and_what_is_missing_is_said() {
    let mut drifted = record("NODE.UPDATE.QUANTUM");
    drifted["actor"]["mfa"] = true.into();
    drifted["target"]["zone"] = "eu".into();
    drifted["newest"] = json!({"a": [1]});
    drifted["actionDetails"] = "scopes - all:read".into();
    let draft = &drafts_of(&drifted)[0];
    assert_eq!(draft.kind, Kind::ConfigChanged);
    let kept = change(draft).record.as_ref().unwrap().value();
    assert_eq!(
        (&kept["actor"]["mfa"], &kept["target"]["zone"], &kept["newest"], &kept["actionDetails"]),
        (&json!(true), &json!("eu"), &json!({"a": [1]}), &json!("scopes - all:read"))
    );
    assert_eq!(summary(draft), "ana@example.com: NODE.UPDATE.QUANTUM of build-3");
    let bare = br#"{"eventTime":"2026-11-20T09:31:44Z","target":7}"#;
    let draft = &audit(bare, Origin::AuditLog, None, &Groups::default()).unwrap()[0];
    assert_eq!(draft.kind, Kind::ConfigChanged);
    assert!(
        change(draft).lines.contains(&"The record has no action".to_owned()),
        "{:?}",
        change(draft).lines
    );
    assert_eq!(change(draft).record.as_ref().unwrap().value()["target"], 7);
}

#[test]
fn a_refused_change_is_a_failure_and_says_why() {
    let mut refused = record("TAILNET.UPDATE.ACL");
    refused["error"] = "test failed: ana@example.com".into();
    let draft = &drafts_of(&refused)[0];
    assert_eq!(draft.outcome, Outcome::Failure);
    assert!(summary(draft).ends_with(", which failed: test failed: ana@example.com"), "{}", summary(draft));
}

#[test]
fn the_same_record_is_known_whichever_way_it_came() {
    let polled = record("NODE.UPDATE.ACL_TAGS");
    let mut streamed = polled.clone();
    streamed.as_object_mut().unwrap().remove("eventTime");
    streamed.as_object_mut().unwrap().remove("deferredAt");
    let time = "2026-11-20T09:31:44.120Z".parse().unwrap();
    let drafts = audit(streamed.to_string().as_bytes(), Origin::Hec, Some(time), &Groups::default()).unwrap();
    assert_eq!(change(&drafts[0]).digest, change(&drafts_of(&polled)[0]).digest);
    assert_eq!(digest(polled.to_string().as_bytes()).ok(), change(&drafts[0]).digest);
    let mut other = polled;
    other["new"] = json!(["tag:prod"]);
    assert_ne!(digest(other.to_string().as_bytes()).ok(), change(&drafts[0]).digest);
}

#[test]
fn what_is_no_record_says_why() {
    let error_of = |json: &[u8]| audit(json, Origin::AuditLog, None, &Groups::default()).unwrap_err();
    assert!(matches!(error_of(b"{\"eventTime\":"), RecordError::Syntax { .. }));
    assert_eq!(error_of(b"[]"), RecordError::NotAnObject { found: "a list" });
    assert_eq!(error_of(b"{\"eventTime\":\"yesterday\"}"), RecordError::Missing { member: "eventTime" });
}

#[test]
fn every_webhook_becomes_its_kind() {
    for (of_type, kind) in WEBHOOKS {
        let data = match *of_type {
            "policyUpdate" => {
                json!({"newPolicy": NEW, "oldPolicy": OLD, "url": "https://x", "actor": "ana@example.com"})
            }
            "test" => Value::Null,
            word if word.starts_with("user") => {
                json!({"user": "bo@example.com", "url": "https://x", "actor": "ana@example.com",
                "oldRoles": ["Member"], "newRoles": ["Member", "IT admin"]})
            }
            _ => {
                json!({"nodeID": "nQx7Lm2CNTRL", "deviceName": "build-3.tail9c2a.ts.net", "managedBy": "tag:ci",
                "actor": "expiring-node-key-marker", "url": "https://x", "expiration": "2026-11-21T09:40:00Z"})
            }
        };
        let body = json!({"timestamp": "2026-11-20T09:31:46.201Z", "version": 1, "type": of_type,
            "tailnet": "example.com", "message": "m", "data": data});
        let drafts = webhook(body.to_string().as_bytes()).unwrap();
        assert_eq!(&drafts[0].kind, kind, "{of_type}");
        drafts.iter().for_each(|draft| drop(event(draft)));
        assert!(
            change(&drafts[0]).lines.iter().all(|line| !line.starts_with("The webhook has no")),
            "{of_type}"
        );
        assert!(summary(&drafts[0]).len() > 10, "{}", summary(&drafts[0]));
    }
}

#[test]
fn a_webhook_tells_of_whom_and_keeps_what_it_has_no_place_for() {
    let body =
        br#"{"timestamp":"2026-11-20T09:41:00Z","version":1,"type":"userRoleUpdated","tailnet":"example.com",
        "message":"Role changed","data":{"user":"bo@example.com","url":"https://x","actor":"ana@example.com",
        "oldRoles":["Member"],"newRoles":["Member","IT admin"],"later":[1]}}"#;
    let draft = &webhook(body).unwrap()[0];
    assert_eq!(summary(draft), "The role of bo@example.com was changed by ana@example.com");
    assert_eq!(draft.target.person.as_ref().unwrap().login, "bo@example.com");
    assert_eq!(change(draft).new.as_ref().unwrap().value(), json!(["Member", "IT admin"]));
    let kept = change(draft).record.as_ref().unwrap().value();
    assert_eq!((&kept["data"]["later"], &kept["tailnet"]), (&json!([1]), &json!("example.com")));
    let unknown = br#"{"timestamp":"2026-11-20T09:41:00Z","type":"nodeTeleported","message":"It moved"}"#;
    let draft = &webhook(unknown).unwrap()[0];
    assert_eq!((&draft.kind, summary(draft)), (&Kind::ConfigChanged, "It moved"));
}

proptest! {
    #[test]
    fn no_record_makes_it_panic_and_each_is_an_event_or_an_error(
        text in "[a-z]{0,4}", number in any::<u64>(), odd in prop::sample::select(vec!["eventTime", "actor", "target", "action", "old", "error", "eventGroupID"]),
    ) {
        for value in [json!(number), json!(null), json!([text]), json!({ "id": number, "type": text })] {
            let mut odd_one = record("NODE.UPDATE.ACL_TAGS");
            odd_one[odd] = value;
            if let Ok(drafts) = audit(odd_one.to_string().as_bytes(), Origin::AuditLog, None, &Groups::default()) {
                drafts.iter().for_each(|draft| drop(event(draft)));
            }
        }
    }
}
