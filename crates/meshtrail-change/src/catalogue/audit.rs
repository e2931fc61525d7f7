//! Records of Tailscale's configuration audit log.
//!
//! The log is described in Tailscale's OpenAPI document (`ConfigurationAuditLog`); every enumeration in it is open.
//! Records have no id; [`digest`] takes its place.

use std::collections::BTreeMap;

use meshtrail_event::text::shorten;
use meshtrail_event::{Change, Detail, Draft, Event, Json, Kind, Outcome, Timestamp};
use serde_json::{Map, Value, json};

use super::group::Groups;
use super::members::{clip, object, text};
use super::{RecordError, party, table};
use crate::snapshot::Origin;
use crate::snapshot::change_writer::{sha256_hex, split_text};

/// The most bytes, as JSON text, of `old` or `new` in the event itself.
const MAX_VALUE: usize = 8_000;

/// The most bytes, as JSON text, of `record`: the members without a place in the event.
pub(super) const MAX_RECORD: usize = 8_000;

/// The events of one record, to be appended together: the change, what follows from it, and texts in parts.
///
/// `time` is used where the record itself has none, as in log streaming. `groups` has the other records of the same
/// operation.
pub fn audit(
    record: &[u8],
    origin: Origin,
    time: Option<Timestamp>,
    groups: &Groups,
) -> Result<Vec<Draft>, RecordError> {
    let is_long = record.len() > MAX_RECORD;
    let mut record = object(record)?;
    let own_time = text(&record, "eventTime").and_then(|text| text.parse::<Timestamp>().ok());
    let time = own_time.or(time).ok_or(RecordError::Missing { member: "eventTime" })?;
    let digest = digest_of(&record);
    let whole = if is_long { clip(&mut record, &["old", "new"], MAX_RECORD) } else { None };
    let name = record_name(&record);
    let mut draft = Draft::new(kind(&name, &record, groups), time);
    draft.actor = party::actor(record.get("actor").and_then(Value::as_object));
    draft.identity = party::identity(&draft.actor, origin.as_str(), time);
    draft.target = party::target(record.get("target").and_then(Value::as_object));
    let mut change = change(&name, &draft, &record, origin);
    if change.error.is_some() {
        draft.outcome = Outcome::Failure;
    }
    let (old, new) = (record.remove("old"), record.remove("new"));
    let follows = match draft.kind {
        Kind::PolicyChanged => {
            super::policy::describe_changes(&mut change, &draft, old.as_ref(), new.as_ref())
        }
        _ => Vec::new(),
    };
    let mut texts = set_values(&mut change, old, new);
    texts.extend(whole.map(|whole| ("record", whole)));
    change.digest = Some(digest);
    change.record = remaining_members(record, own_time.is_some());
    draft.detail = Some(Detail::Change(Box::new(change)));
    let mut drafts = with_texts(draft, texts);
    drafts.splice(1..1, follows);
    Ok(drafts)
}

/// The kind of a record, by its name, its values and its operation.
fn kind(name: &str, record: &Map<String, Value>, groups: &Groups) -> Kind {
    match table::row(name).map_or(Kind::ConfigChanged, |row| row.kind.clone()) {
        Kind::DeviceSignedIn => text(record, "eventGroupID")
            .map_or(Kind::DeviceSignedIn, |operation| sign_in_kind(operation, groups)),
        Kind::RouteEnabled if only_lost_items(record.get("old"), record.get("new")) => Kind::RouteDisabled,
        kind => kind,
    }
}

/// The change of a record, without its values and without the members that have no place of their own.
fn change(name: &str, draft: &Draft, record: &Map<String, Value>, origin: Origin) -> Change {
    let summary = match table::row(name) {
        Some(row) => super::text::describe(row.sentence, &draft.actor, &draft.target, record),
        None => super::text::describe_unknown(name, &draft.actor, &draft.target, record),
    };
    let owned = |member: &str| text(record, member).map(str::to_owned);
    let property = record.get("target").and_then(|target| target.get("property")?.as_str());
    Change {
        action: owned("action"),
        error: owned("error"),
        lines: describe_missing(record),
        operation: owned("eventGroupID"),
        origin: Some(origin.as_str().to_owned()),
        property: property.map(str::to_owned),
        summary: Some(match text(record, "error") {
            Some(error) => format!("{summary}, which failed: {}", shorten(error, 300)),
            None => summary,
        }),
        via: owned("origin"),
        ..Change::default()
    }
}

/// Whether a list only lost items.
fn only_lost_items(old: Option<&Value>, new: Option<&Value>) -> bool {
    let items = |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
    let (old, new) = (items(old), items(new));
    new.len() < old.len() && new.iter().all(|item| old.contains(item))
}

/// The SHA-256 of a record's identifying members; the same for the same record, whether polled or streamed.
///
/// The time is not among them: log streaming rounds it.
pub fn digest(record: &[u8]) -> Result<String, RecordError> {
    object(record).map(|record| digest_of(&record))
}

fn digest_of(record: &Map<String, Value>) -> String {
    let inner = |name: &str, member: &str| record.get(name).and_then(|value| value.get(member));
    let members: [(&str, Option<&Value>); 11] = [
        ("action", record.get("action")),
        ("actionDetails", record.get("actionDetails")),
        ("actor", inner("actor", "id")),
        ("error", record.get("error")),
        ("group", record.get("eventGroupID")),
        ("new", record.get("new")),
        ("old", record.get("old")),
        ("origin", record.get("origin")),
        ("property", inner("target", "property")),
        ("target", inner("target", "id")),
        ("type", inner("target", "type")),
    ];
    let present = |value: &&Value| !value.is_null() && **value != Value::String(String::new());
    let members: BTreeMap<_, _> =
        members.into_iter().filter_map(|(name, value)| Some((name, value.filter(present)?))).collect();
    sha256_hex(&meshtrail_event::canonical_json(&json!(members)))
}

/// The name of a record in the audit log: `NODE.UPDATE.ACL_TAGS`.
fn record_name(record: &Map<String, Value>) -> String {
    let target = record.get("target");
    let word = |member: &str| target.and_then(|target| target.get(member)?.as_str());
    let of_type = word("type").unwrap_or("UNKNOWN");
    let action = text(record, "action").unwrap_or("UNKNOWN");
    match word("property").filter(|property| !property.is_empty()) {
        Some(property) => format!("{of_type}.{action}.{property}"),
        None => format!("{of_type}.{action}"),
    }
}

/// The same name, from an event of a record; none for other events.
pub(crate) fn event_name(event: &Event, change: &Change) -> Option<String> {
    let action = change.action.as_deref()?;
    let of_type = party::audit_log_type(event.target.of_type.as_deref()?);
    Some(match change.property.as_deref() {
        Some(property) => format!("{of_type}.{action}.{property}"),
        None => format!("{of_type}.{action}"),
    })
}

/// The kind of a sign-in: `key.registered` if the operation also created the device, `key.renewed` if it also moved the
/// key's expiry.
fn sign_in_kind(operation: &str, groups: &Groups) -> Kind {
    if groups.creates(operation) {
        Kind::KeyRegistered
    } else if groups.moves_expiry(operation) {
        Kind::KeyRenewed
    } else {
        Kind::DeviceSignedIn
    }
}

/// A sentence for each member that every record should have and this one lacks.
fn describe_missing(record: &Map<String, Value>) -> Vec<String> {
    let members = ["eventTime", "eventGroupID", "origin", "actor", "target", "action"];
    let absent = members.into_iter().filter(|member| !record.contains_key(*member));
    absent.map(|member| format!("The record has no {member}")).collect()
}

/// Sets `old` and `new` of the change. Texts that are too long are returned, and the change has their digest instead.
pub(super) fn set_values(
    change: &mut Change,
    old: Option<Value>,
    new: Option<Value>,
) -> Vec<(&'static str, String)> {
    let mut texts = Vec::new();
    let mut place = |name: &'static str, value: Option<Value>| {
        let value = value.filter(|value| !value.is_null())?;
        let json = Json::exact(&value);
        if json.text().len() <= MAX_VALUE {
            return Some(json);
        }
        let text = match value {
            Value::String(text) => text,
            _ => json.text().to_owned(),
        };
        let placeholder = json!({ "bytes": text.len(), "sha256": sha256_hex(&text) });
        texts.push((name, text));
        Some((&placeholder).into())
    };
    change.old = place("old", old);
    change.new = place("new", new);
    texts
}

/// The members without a place of their own in the event; none where nothing is left.
fn remaining_members(mut record: Map<String, Value>, has_time: bool) -> Option<Json> {
    let placed = ["eventGroupID", "action", "origin", "error"];
    record.retain(|name, value| !(placed.contains(&name.as_str()) && value.is_string()));
    if has_time {
        record.remove("eventTime");
    }
    if record.get("type").is_some_and(|of_type| of_type == "CONFIG") {
        record.remove("type");
    }
    if record.get("deferredAt").is_some_and(|at| at == "0001-01-01T00:00:00Z") {
        record.remove("deferredAt");
    }
    if let Some(Value::Object(target)) = record.get_mut("target") {
        target.retain(|name, value| {
            !(["id", "name", "property"].contains(&name.as_str()) && value.is_string())
        });
    }
    if record.is_empty() {
        return None;
    }
    Some(fit(Json::exact(&Value::Object(record))))
}

/// The value if it fits into an event; else its beginning as text, its length and its SHA-256.
pub(super) fn fit(json: Json) -> Json {
    if json.text().len() <= MAX_RECORD {
        return json;
    }
    let cut: String = json.text().chars().take(MAX_RECORD / 8).collect();
    (&json!({ "bytes": json.text().len(), "cut": cut, "sha256": sha256_hex(json.text()) })).into()
}

/// The change, followed by the parts of the texts that it has the digests of.
pub(super) fn with_texts(draft: Draft, texts: Vec<(&'static str, String)>) -> Vec<Draft> {
    let (target, time, identity) = (draft.target.clone(), draft.time, draft.identity.clone());
    let origin = match &draft.detail {
        Some(Detail::Change(change)) => change.origin.clone(),
        _ => None,
    };
    let mut drafts = vec![draft];
    for (name, text) in texts {
        let parts = split_text(&text);
        let count = parts.len() as u64;
        for (number, part) in (1..).zip(parts) {
            let change = Change {
                digest: Some(sha256_hex(&text)),
                new: Some((&json!({ "text": part })).into()),
                origin: origin.clone(),
                part: Some(number),
                parts: Some(count),
                property: Some(name.to_owned()),
                ..Change::default()
            };
            let mut part = Draft::new(Kind::ConfigSnapshot, time);
            (part.target, part.identity) = (target.clone(), identity.clone());
            part.detail = Some(Detail::Change(Box::new(change)));
            drafts.push(part);
        }
    }
    drafts
}
