//! Records of Tailscale's configuration audit log.
//!
//! The log is described in Tailscale's OpenAPI document (`ConfigurationAuditLog`); every enumeration in it is open.
//! Records have no id of their own; [`digest`] stands in for one.

use std::collections::BTreeMap;

use meshtrail_event::text::shortened;
use meshtrail_event::{Change, Detail, Draft, Event, Json, Kind, Outcome, Timestamp};
use serde_json::{Map, Value, json};

use super::exact::{clip, exact, object, text};
use super::group::Groups;
use super::{RecordError, party, table};
use crate::snapshot::Origin;
use crate::snapshot::tell;

/// The most bytes, as JSON text, of `old` or `new` in the event itself.
const MAX_VALUE: usize = 8_000;

/// The most bytes, as JSON text, of what has no member of its own.
pub(super) const MAX_RECORD: usize = 8_000;

/// The events of one record, to be appended together: the change, what follows from it, and texts in parts.
///
/// `time` is taken where the record itself has none, as over log streaming. `groups` tells of the other records of the
/// same operation.
pub fn audit(
    record: &[u8],
    origin: Origin,
    time: Option<Timestamp>,
    groups: &Groups,
) -> Result<Vec<Draft>, RecordError> {
    let is_long = record.len() > MAX_RECORD;
    let mut record = object(record)?;
    let told = text(&record, "eventTime").and_then(|text| text.parse::<Timestamp>().ok());
    let time = told.or(time).ok_or(RecordError::Missing { member: "eventTime" })?;
    let digest = digest_of(&record);
    let whole = if is_long { clip(&mut record, &["old", "new"], MAX_RECORD) } else { None };
    let name = name_of(&record);
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
        Kind::PolicyChanged => super::policy::told(&mut change, &draft, old.as_ref(), new.as_ref()),
        _ => Vec::new(),
    };
    let mut texts = values(&mut change, old, new);
    texts.extend(whole.map(|whole| ("record", whole)));
    change.digest = Some(digest);
    change.record = rest(record, told.is_some());
    draft.detail = Some(Detail::Change(Box::new(change)));
    let mut drafts = with_texts(draft, texts);
    drafts.splice(1..1, follows);
    Ok(drafts)
}

/// The kind of a record, by its name, its values and its operation.
fn kind(name: &str, record: &Map<String, Value>, groups: &Groups) -> Kind {
    match table::row(name).map_or(Kind::ConfigChanged, |row| row.kind.clone()) {
        Kind::DeviceSignedIn => text(record, "eventGroupID")
            .map_or(Kind::DeviceSignedIn, |operation| signed_in(operation, groups)),
        Kind::RouteEnabled if is_less(record.get("old"), record.get("new")) => Kind::RouteDisabled,
        kind => kind,
    }
}

/// What a record says, but for its values and what has no place of its own.
fn change(name: &str, draft: &Draft, record: &Map<String, Value>, origin: Origin) -> Change {
    let summary = match table::row(name) {
        Some(row) => super::text::said(row.said, &draft.actor, &draft.target, record),
        None => super::text::unnamed(name, &draft.actor, &draft.target, record),
    };
    let owned = |member: &str| text(record, member).map(str::to_owned);
    let property = record.get("target").and_then(|target| target.get("property")?.as_str());
    Change {
        action: owned("action"),
        error: owned("error"),
        lines: missing(record),
        operation: owned("eventGroupID"),
        origin: Some(origin.as_str().to_owned()),
        property: property.map(str::to_owned),
        summary: Some(match text(record, "error") {
            Some(error) => format!("{summary}, which failed: {}", shortened(error, 300)),
            None => summary,
        }),
        via: owned("origin"),
        ..Change::default()
    }
}

/// Whether a list only lost members.
fn is_less(old: Option<&Value>, new: Option<&Value>) -> bool {
    let items = |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
    let (old, new) = (items(old), items(new));
    new.len() < old.len() && new.iter().all(|item| old.contains(item))
}

/// What one act wrote into a record with these members; the same for the same record, whichever way it came.
///
/// Over log streaming the time is rounded, so it is not part of it.
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
    tell::digest(&meshtrail_event::canonical_json(&json!(members)))
}

/// `NODE.UPDATE.ACL_TAGS`.
fn name_of(record: &Map<String, Value>) -> String {
    let target = record.get("target");
    let word = |member: &str| target.and_then(|target| target.get(member)?.as_str());
    let of_type = word("type").unwrap_or("UNKNOWN");
    let action = text(record, "action").unwrap_or("UNKNOWN");
    match word("property").filter(|property| !property.is_empty()) {
        Some(property) => format!("{of_type}.{action}.{property}"),
        None => format!("{of_type}.{action}"),
    }
}

/// The name in the audit log of an event that was made of a record of it.
pub(crate) fn name(event: &Event, change: &Change) -> Option<String> {
    let action = change.action.as_deref()?;
    let of_type = party::word(event.target.of_type.as_deref()?);
    Some(match change.property.as_deref() {
        Some(property) => format!("{of_type}.{action}.{property}"),
        None => format!("{of_type}.{action}"),
    })
}

fn signed_in(operation: &str, groups: &Groups) -> Kind {
    if groups.creates(operation) {
        Kind::KeyRegistered
    } else if groups.moves_expiry(operation) {
        Kind::KeyRenewed
    } else {
        Kind::DeviceSignedIn
    }
}

/// A sentence for each member that every record has and this one has not.
fn missing(record: &Map<String, Value>) -> Vec<String> {
    let members = ["eventTime", "eventGroupID", "origin", "actor", "target", "action"];
    let absent = members.into_iter().filter(|member| !record.contains_key(*member));
    absent.map(|member| format!("The record has no {member}")).collect()
}

/// Puts `old` and `new` into the change; texts that are too long for it are returned, and stand there by their digest.
pub(super) fn values(
    change: &mut Change,
    old: Option<Value>,
    new: Option<Value>,
) -> Vec<(&'static str, String)> {
    let mut texts = Vec::new();
    let mut place = |name: &'static str, value: Option<Value>| {
        let value = value.filter(|value| !value.is_null())?;
        let json = exact(&value);
        if json.text().len() <= MAX_VALUE {
            return Some(json);
        }
        let text = match value {
            Value::String(text) => text,
            _ => json.text().to_owned(),
        };
        let stands = json!({ "bytes": text.len(), "sha256": tell::digest(&text) });
        texts.push((name, text));
        Some((&stands).into())
    };
    change.old = place("old", old);
    change.new = place("new", new);
    texts
}

/// What has no member of its own in an event; none where nothing is left.
fn rest(mut record: Map<String, Value>, has_time: bool) -> Option<Json> {
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
    Some(fitted(exact(&Value::Object(record))))
}

/// The value where it fits into an event; else its beginning as text, its length and its SHA-256.
pub(super) fn fitted(json: Json) -> Json {
    if json.text().len() <= MAX_RECORD {
        return json;
    }
    let cut: String = json.text().chars().take(MAX_RECORD / 8).collect();
    (&json!({ "bytes": json.text().len(), "cut": cut, "sha256": tell::digest(json.text()) })).into()
}

/// The change, and after it the parts of the texts that it names by their digests.
pub(super) fn with_texts(draft: Draft, texts: Vec<(&'static str, String)>) -> Vec<Draft> {
    let (target, time, identity) = (draft.target.clone(), draft.time, draft.identity.clone());
    let origin = match &draft.detail {
        Some(Detail::Change(change)) => change.origin.clone(),
        _ => None,
    };
    let mut drafts = vec![draft];
    for (name, text) in texts {
        let parts = tell::parts(&text);
        let count = parts.len() as u64;
        for (number, part) in (1..).zip(parts) {
            let change = Change {
                digest: Some(tell::digest(&text)),
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
