//! Which events report one change, and which changes raise a finding.

use meshtrail_event::{Detail, Draft, Event};
use serde_json::{Value, json};

use super::{CorroboratedChange, fold};
use crate::anomalies::Causes;
use crate::catalogue::{Groups, audit, webhook};
use crate::snapshot::Origin;

fn events(drafts: impl IntoIterator<Item = Draft>) -> Vec<Event> {
    let id = |number| format!("main.test.1.{number}").parse().unwrap();
    (1..)
        .zip(drafts)
        .map(|(number, draft): (u64, Draft)| draft.clone().into_event(id(number), draft.time))
        .collect()
}

fn audit_record(time: &str, group: &str, event: &str) -> Draft {
    let mut words = event.split('.');
    let mut target = json!({"id": "n1", "name": "fra-1.example.ts.net", "type": words.next()});
    let action = words.next();
    if let Some(property) = words.next() {
        target["property"] = property.into();
    }
    let record = json!({"eventTime": format!("2026-11-20T{time}Z"), "eventGroupID": group, "origin": "ADMIN_CONSOLE",
        "actor": {"id": "u1", "type": "USER", "loginName": "ana@example.com"}, "target": target, "action": action});
    audit(record.to_string().as_bytes(), Origin::AuditLog, None, &Groups::default()).unwrap().remove(0)
}

fn webhook_event(time: &str, of_type: &str) -> Draft {
    let data = json!({"nodeID": "n1", "deviceName": "fra-1.example.ts.net", "actor": "ana@example.com"});
    let body =
        json!({"timestamp": format!("2026-11-20T{time}Z"), "type": of_type, "version": 1, "data": data});
    webhook(body.to_string().as_bytes()).unwrap().remove(0)
}

fn snapshot_change(before: &str, time: &str, kind: &str, property: &str) -> Draft {
    let text = json!({"id": "m.s.1.1", "kind": kind, "outcome": "success", "received": format!("2026-11-20T{time}Z"),
        "time": format!("2026-11-20T{time}Z"), "target": {"type": "device", "id": "n1", "name": "fra-1"},
        "detail": {"origin": "snapshot", "property": property, "summary": "s",
            "not_before": format!("2026-11-20T{before}Z")}});
    let event = Event::from_json(text.to_string().as_bytes()).unwrap();
    let mut draft = Draft::new(event.kind, event.time);
    (draft.target, draft.detail) = (event.target, event.detail);
    draft
}

fn group(main: usize, corroborations: &[usize], parts: &[usize]) -> CorroboratedChange {
    CorroboratedChange { main, corroborations: corroborations.to_vec(), parts: parts.to_vec() }
}

#[test]
fn a_change_seen_by_three_is_one_change_told_by_who_knows_who_did_it() {
    let events = events([
        webhook_event("09:31:46", "nodeCreated"),
        snapshot_change("09:00:00", "10:00:00", "device.added", "device"),
        audit_record("09:31:44", "g1", "NODE.CREATE"),
    ]);
    assert_eq!(fold(&events), [group(2, &[0, 1], &[])]);
}

#[test]
fn the_same_origin_telling_it_again_is_another_change() {
    let events = events([
        audit_record("09:31:44", "g1", "NODE.UPDATE.MACHINE_NAME"),
        audit_record("09:33:44", "g2", "NODE.UPDATE.MACHINE_NAME"),
        snapshot_change("09:33:00", "09:34:00", "device.renamed", "name"),
    ]);
    assert_eq!(fold(&events), [group(0, &[], &[]), group(1, &[2], &[])], "the nearest is the one it saw");
}

#[test]
fn records_of_one_operation_are_one_change_and_snapshots_join_it() {
    let events = events([
        audit_record("09:31:44", "g1", "NODE.UPDATE.MACHINE_NAME"),
        audit_record("09:31:44", "g1", "NODE.CREATE"),
        audit_record("09:31:44", "g1", "NODE.LOGIN"),
        snapshot_change("09:00:00", "09:40:00", "device.added", "device"),
        audit_record("09:50:00", "g2", "NODE.APPROVE"),
        snapshot_change("09:40:00", "09:52:00", "device.approved", "authorized"),
    ]);
    assert_eq!(fold(&events), [group(1, &[3], &[0, 2]), group(4, &[5], &[])]);
}

#[test]
fn what_is_apart_in_time_or_of_another_thing_stays_apart() {
    let mut other = snapshot_change("09:00:00", "09:40:00", "device.added", "device");
    other.target.id = Some("n2".to_owned());
    let events = events([
        audit_record("09:31:44", "g1", "NODE.CREATE"),
        other,
        webhook_event("11:00:00", "nodeCreated"),
        snapshot_change("09:00:00", "09:40:00", "device.removed", "device"),
    ]);
    assert_eq!(fold(&events).len(), 4);
}

fn findings(drafts: Vec<Draft>) -> Vec<(String, String, usize)> {
    let mut causes = Causes::default();
    let found = |event: &Event| {
        let draft = causes.judge(event)?;
        let Some(Detail::Finding(finding)) = draft.detail else { panic!("no finding") };
        assert_eq!(finding.events, std::slice::from_ref(&event.id));
        Some((
            finding.rule.unwrap(),
            finding.severity.unwrap().to_string(),
            usize::try_from(event.id.sequence).unwrap(),
        ))
    };
    events(drafts).iter().filter_map(found).collect()
}

fn row(rule: &str, severity: &str, event: usize) -> (String, String, usize) {
    (format!("mesh.{rule}"), severity.to_owned(), event)
}

fn unseen(days: u64, never: bool) -> Draft {
    let mut draft = snapshot_change("09:00:00", "10:00:00", "device.unseen", &format!("unseen_{days}_days"));
    if let Some(Detail::Change(change)) = &mut draft.detail {
        let new: Value = json!({"id": "n1", "key_expiry_disabled": never});
        change.new = Some((&new).into());
    }
    draft
}

#[test]
fn findings_have_their_severities_and_come_once_per_cause_whoever_saw_it_first() {
    let mut policy = snapshot_change("09:00:00", "10:00:00", "policy.changed", "policy");
    policy.target.of_type = Some("policy".to_owned());
    let found = findings(vec![
        snapshot_change("09:00:00", "10:00:00", "device.added", "device"),
        audit_record("09:31:44", "g1", "NODE.CREATE"),
        webhook_event("09:31:46", "nodeCreated"),
        audit_record("10:31:44", "g2", "NODE.DELETE"),
        policy,
        audit_record("09:45:00", "g3", "TAILNET.UPDATE.ACL"),
        webhook_event("10:40:00", "nodeNeedsApproval"),
        unseen(30, false),
        unseen(90, false),
        unseen(90, true),
        audit_record("11:00:00", "g4", "NODE.CREATE"),
    ]);
    assert_eq!(
        found,
        [
            row("device_added", "medium", 1),
            row("device_removed", "low", 4),
            row("policy_changed", "high", 5),
            row("device_unauthorized", "high", 7),
            row("device_unseen", "low", 9),
            row("device_unseen_key_never_expires", "low", 10),
            row("device_added", "medium", 11),
        ]
    );
}

#[test]
fn a_policy_that_cannot_be_read_is_a_finding_of_its_own() {
    let mut policy = snapshot_change("09:00:00", "10:00:00", "config.snapshot", "policy");
    policy.target.of_type = Some("policy".to_owned());
    if let Some(Detail::Change(change)) = &mut policy.detail {
        change.error = Some("line 3, column 1: this is no value".to_owned());
    }
    assert_eq!(findings(vec![policy]), [row("policy_unreadable", "high", 1)]);
}
