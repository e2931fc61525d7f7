//! Events of Tailscale's webhooks.
//!
//! They have no id, and none in common with the audit log: a webhook event corroborates the audit log's record of the
//! same change.

use meshtrail_event::{Actor, Change, Detail, Device, Draft, Json, Kind, Person, Target, Timestamp};
use serde_json::{Map, Value};

use super::audit::{MAX_RECORD, fit, set_values, with_texts};
use super::members::{clip, object, text};
use super::{RecordError, party};
use crate::snapshot::Origin;
use crate::snapshot::change_writer::sha256_hex;

/// The types of webhook events and their kinds; any other type becomes `config.changed`.
pub const WEBHOOKS: &[(&str, Kind)] = &[
    ("nodeCreated", Kind::DeviceAdded),
    ("nodeDeleted", Kind::DeviceRemoved),
    ("nodeNeedsApproval", Kind::DeviceUnauthorized),
    ("nodeNeedsAuthorization", Kind::DeviceUnauthorized),
    ("nodeApproved", Kind::DeviceApproved),
    ("nodeAuthorized", Kind::DeviceApproved),
    ("nodeNeedsSignature", Kind::DeviceChanged),
    ("nodeSigned", Kind::DeviceChanged),
    ("nodeKeyExpiringInOneDay", Kind::KeyChanged),
    ("nodeKeyExpired", Kind::KeyExpired),
    ("policyUpdate", Kind::PolicyChanged),
    ("userCreated", Kind::UserAdded),
    ("userNeedsApproval", Kind::UserChanged),
    ("userApproved", Kind::UserChanged),
    ("userRoleUpdated", Kind::UserRoleChanged),
    ("userSuspended", Kind::UserSuspended),
    ("userRestored", Kind::UserRestored),
    ("userDeleted", Kind::UserRemoved),
    ("subnetIPForwardingNotEnabled", Kind::DeviceChanged),
    ("exitNodeIPForwardingNotEnabled", Kind::DeviceChanged),
    ("test", Kind::ConfigChanged),
    ("webhookUpdated", Kind::ConfigChanged),
    ("webhookDeleted", Kind::ConfigChanged),
];

/// The events of one member of a webhook's body, to be appended together.
pub fn webhook(event: &[u8]) -> Result<Vec<Draft>, RecordError> {
    let mut record = object(event)?;
    let time = text(&record, "timestamp").and_then(|text| text.parse::<Timestamp>().ok());
    let time = time.ok_or(RecordError::Missing { member: "timestamp" })?;
    let digest = sha256_hex(&meshtrail_event::canonical_json(&Value::Object(record.clone())));
    let whole = clip(&mut record, &["oldPolicy", "newPolicy"], MAX_RECORD);
    let of_type = text(&record, "type").unwrap_or("unknown").to_owned();
    let row = WEBHOOKS.iter().find(|(word, _)| *word == of_type);
    let kind = row.map_or(Kind::ConfigChanged, |(_, kind)| kind.clone());
    let mut data = match record.remove("data") {
        Some(Value::Object(data)) => data,
        other => Map::from_iter(other.filter(|data| !data.is_null()).map(|data| ("data".to_owned(), data))),
    };
    let mut draft = Draft::new(kind, time);
    draft.actor = actor(text(&data, "actor"));
    draft.identity = party::identity(&draft.actor, Origin::Webhook.as_str(), time);
    draft.target = target(&of_type, &data);
    let mut change = Change {
        action: Some(of_type.clone()),
        digest: Some(digest),
        lines: describe_missing(&record),
        origin: Some(Origin::Webhook.as_str().to_owned()),
        summary: Some(summarise(&of_type, &draft, &record)),
        ..Change::default()
    };
    let (old, new) = match of_type.as_str() {
        "policyUpdate" => (data.remove("oldPolicy"), data.remove("newPolicy")),
        "userRoleUpdated" => (data.remove("oldRoles"), data.remove("newRoles")),
        _ => (None, None),
    };
    let follows = match draft.kind {
        Kind::PolicyChanged => {
            super::policy::describe_changes(&mut change, &draft, old.as_ref(), new.as_ref())
        }
        _ => Vec::new(),
    };
    let mut texts = set_values(&mut change, old, new);
    // The policies follow in parts anyway: a record that is long only because of them is not written whole beside them.
    texts.extend(whole.filter(|_| change.old.is_none()).map(|whole| ("record", whole)));
    if !data.is_empty() {
        record.insert("data".to_owned(), Value::Object(data));
    }
    record.retain(|name, _| !["timestamp", "type"].contains(&name.as_str()));
    change.record = Some(fit(Json::exact(&Value::Object(record)))).filter(|json| json.text() != "{}");
    draft.detail = Some(Detail::Change(Box::new(change)));
    let mut drafts = with_texts(draft, texts);
    drafts.splice(1..1, follows);
    Ok(drafts)
}

/// The person, if the name is a login; else the program that reported it.
fn actor(name: Option<&str>) -> Actor {
    match name {
        Some(login) if login.contains('@') => Actor {
            person: Some(Person { login: login.to_owned(), ..Person::default() }.into()),
            ..Actor::default()
        },
        name => Actor { service: name.map(str::to_owned), ..Actor::default() },
    }
}

fn target(of_type: &str, data: &Map<String, Value>) -> Target {
    let owned = |name: &str| text(data, name).map(str::to_owned);
    let mut target = Target::default();
    if of_type == "policyUpdate" {
        target.of_type = Some("policy".to_owned());
    } else if let Some(login) = owned("user") {
        target.of_type = Some("user".to_owned());
        target.name = Some(login.clone());
        target.person = Some(Person { login, ..Person::default() }.into());
    } else if data.contains_key("nodeID") || data.contains_key("deviceName") {
        let name = owned("deviceName").map(|name| name.trim_end_matches('.').to_owned());
        let managed = owned("managedBy");
        target.of_type = Some("device".to_owned());
        (target.id, target.name) = (owned("nodeID"), name.clone());
        let tags: Vec<_> = managed.clone().filter(|by| by.starts_with("tag:")).into_iter().collect();
        target.person =
            managed.filter(|by| by.contains('@')).map(|login| Person { login, ..Person::default() }.into());
        target.device = Some(Device { id: owned("nodeID"), name, tags, ..Device::default() }.into());
    } else {
        target.of_type = Some("webhook".to_owned());
    }
    target
}

fn describe_missing(record: &Map<String, Value>) -> Vec<String> {
    let members = ["type", "version", "tailnet", "message"];
    let absent = members.into_iter().filter(|member| !record.contains_key(*member));
    absent.map(|member| format!("The webhook has no {member}")).collect()
}

fn summarise(of_type: &str, draft: &Draft, record: &Map<String, Value>) -> String {
    let name = draft.target.device.as_ref().and_then(|device| device.label()).map(str::to_owned);
    let name = name.or_else(|| draft.target.label()).unwrap_or_else(|| "something unnamed".to_owned());
    let by = draft.actor.label().map(|who| format!(" by {who}")).unwrap_or_default();
    match of_type {
        "nodeCreated" => format!("Device {name} joined"),
        "nodeDeleted" => format!("Device {name} was removed{by}"),
        "nodeNeedsApproval" | "nodeNeedsAuthorization" => format!("Device {name} waits for approval"),
        "nodeApproved" | "nodeAuthorized" => format!("Device {name} was approved{by}"),
        "nodeNeedsSignature" => format!("Device {name} waits for a signature under Tailnet Lock"),
        "nodeSigned" => format!("Device {name} was signed under Tailnet Lock{by}"),
        "nodeKeyExpiringInOneDay" => format!("The key of device {name} expires within a day"),
        "nodeKeyExpired" => format!("The key of device {name} expired"),
        "policyUpdate" => format!("The policy file was changed{by}"),
        "userCreated" => format!("{name} was added{by}"),
        "userNeedsApproval" => format!("{name} waits for approval"),
        "userApproved" => format!("{name} was approved{by}"),
        "userRoleUpdated" => format!("The role of {name} was changed{by}"),
        "userSuspended" => format!("{name} was suspended{by}"),
        "userRestored" => format!("{name} was restored{by}"),
        "userDeleted" => format!("{name} was removed{by}"),
        "subnetIPForwardingNotEnabled" => format!("Device {name} offers routes but does not forward packets"),
        "exitNodeIPForwardingNotEnabled" => {
            format!("Device {name} offers to be an exit node but does not forward packets")
        }
        "test" => "Somebody tested the webhook".to_owned(),
        "webhookUpdated" => format!("The webhook was changed{by}"),
        "webhookDeleted" => format!("The webhook was removed{by}"),
        other => text(record, "message").map_or_else(|| format!("Webhook {other}"), str::to_owned),
    }
}
