//! Which policy was in force at a moment: its text, and where the trail has it.

use std::collections::BTreeMap;
use std::pin::pin;

use futures::TryStreamExt;
use meshtrail_api::policy::PolicyInForce;
use meshtrail_event::{Change, Detail, Event, EventId, Family, Json, Kind, Outcome, Timestamp};
use meshtrail_policy::ControlPlane;
use meshtrail_trail::segment::{ColumnTest, Predicate};
use meshtrail_trail::{ReadError, Scan, Trail};
use serde_json::Value;

/// A policy that was in force at some moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyText {
    /// Its text.
    pub text: String,
    /// The event that holds it, or the first part of it; none of a text beside the trail.
    pub event: Option<EventId>,
    /// Since when it is known to be in force.
    pub since: Option<Timestamp>,
    /// Whose rules it is read by.
    pub control_plane: ControlPlane,
}

/// The newest policy at `at`; none if nothing in the trail holds one by then.
pub async fn policy_at(trail: &Trail, at: Timestamp) -> Result<Option<PolicyText>, ReadError> {
    let mut texts = Texts::default();
    // Texts of later events are read as well: a change can be older than the snapshot that has its text.
    newest(trail, |event, change| texts.policy_in_force(event, change).filter(|_| event.time <= at)).await
}

/// The policy with this SHA-256, in lower-case hex; none if the trail does not hold it.
async fn policy_by_digest(trail: &Trail, sha256: &str) -> Result<Option<PolicyText>, ReadError> {
    let mut texts = Texts::default();
    newest(trail, |event, change| {
        texts.add(event, change).filter(|_| change.digest.as_deref() == Some(sha256))
    })
    .await
}

/// What `choose` returns first, given the events about policies from the newest to the oldest.
async fn newest(
    trail: &Trail,
    mut choose: impl FnMut(&Event, &Change) -> Option<PolicyText>,
) -> Result<Option<PolicyText>, ReadError> {
    let about_policies = ColumnTest::new("target_type", |found| found == "policy");
    let scan = Scan {
        families: vec![Family::Config],
        predicates: vec![Predicate { any_of: vec![about_policies] }],
        ..Scan::newest(0..trail.size())
    };
    let mut rows = pin!(trail.scan(scan));
    while let Some((_, leaf)) = rows.try_next().await? {
        let Ok(event) = Event::from_json(&leaf) else { continue };
        let Some(Detail::Change(change)) = &event.detail else { continue };
        if event.target.of_type.as_deref() == Some("policy")
            && let Some(found) = choose(&event, change)
        {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// The texts that were read so far, in parts, by their SHA-256. A text of more than one event comes behind the change that
/// made it, so that its parts are read before.
#[derive(Debug, Default)]
struct Texts(BTreeMap<String, Parts>);

#[derive(Debug, Default)]
struct Parts {
    /// How many there are.
    count: u64,
    /// Those that were read, by their number.
    read: BTreeMap<u64, (String, EventId)>,
}

impl Texts {
    /// The policy that was in force from this event on, if it says so.
    fn policy_in_force(&mut self, event: &Event, change: &Change) -> Option<PolicyText> {
        match &event.kind {
            // An audit record has the text before as well: which of them is in force, its change says.
            Kind::ConfigSnapshot if is_of_snapshot(change) => self.add(event, change),
            Kind::ConfigSnapshot => {
                self.add(event, change);
                None
            }
            Kind::PolicyChanged if event.outcome == Outcome::Success => match change.new.as_ref()?.value() {
                Value::String(text) => Some(policy_text(text, event.id.clone(), event, change)),
                version => self.whole(version.get("sha256")?.as_str()?, event, change),
            },
            _ => None,
        }
    }

    /// Adds a text, or a part of one; returns it once it is whole.
    fn add(&mut self, event: &Event, change: &Change) -> Option<PolicyText> {
        let new = change.new.as_ref()?.value();
        if let Value::String(text) = new {
            return Some(policy_text(text, event.id.clone(), event, change));
        }
        let (digest, part, count) = (change.digest.as_ref()?, change.part?, change.parts?);
        let text = new.get("text")?.as_str()?.to_owned();
        let parts = self.0.entry(digest.clone()).or_default();
        parts.count = count;
        parts.read.insert(part, (text, event.id.clone()));
        self.whole(digest, event, change)
    }

    /// The text with this SHA-256, once all its parts were read.
    fn whole(&self, digest: &str, event: &Event, change: &Change) -> Option<PolicyText> {
        let Parts { count, read } = self.0.get(digest)?;
        let (_, (_, first)) = read.first_key_value().filter(|_| read.len() as u64 == *count)?;
        let text: String = read.values().map(|(text, _)| text.as_str()).collect();
        Some(policy_text(text, first.clone(), event, change))
    }
}

fn policy_text(text: String, first: EventId, event: &Event, change: &Change) -> PolicyText {
    let control_plane = control_plane(change.origin.as_deref());
    PolicyText { text, event: Some(first), since: Some(event.time), control_plane }
}

/// Whether a text is of a snapshot, and so the one in force then.
fn is_of_snapshot(change: &Change) -> bool {
    !matches!(change.origin.as_deref(), Some("audit-log" | "hec" | "webhook"))
}

/// The policies before and after a change; none where the trail does not hold both texts.
pub async fn both_policies(
    trail: &Trail,
    change: &Change,
) -> Result<Option<(PolicyText, PolicyText)>, ReadError> {
    let one = async |version: &Option<Json>| -> Result<Option<PolicyText>, ReadError> {
        Ok(match version.as_ref().map(Json::value) {
            Some(Value::String(text)) => Some(PolicyText {
                text,
                event: None,
                since: None,
                control_plane: control_plane(change.origin.as_deref()),
            }),
            Some(version) => match version.get("sha256").and_then(Value::as_str) {
                Some(digest) => policy_by_digest(trail, digest).await?,
                None => None,
            },
            None => None,
        })
    };
    Ok(one(&change.old).await?.zip(one(&change.new).await?))
}

fn control_plane(origin: Option<&str>) -> ControlPlane {
    match origin {
        Some("headscale") => ControlPlane::Headscale,
        Some("policy-file") => ControlPlane::PlainWireGuard,
        _ => ControlPlane::Tailscale,
    }
}

impl PolicyText {
    /// Where it is from, for an answer.
    pub fn in_force(&self) -> PolicyInForce {
        PolicyInForce {
            control_plane: self.control_plane.to_string(),
            event: self.event.clone(),
            since: self.since,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(sequence: u64, kind: &str, detail: &str) -> Event {
        let json = format!(
            r#"{{"id":"a.1.{sequence}","kind":"{kind}","outcome":"success","time":"2026-11-20T14:02:11Z",
                "received":"2026-11-20T14:02:11Z","target":{{"type":"policy"}},"detail":{{{detail}}}}}"#
        );
        Event::from_json(json.as_bytes()).unwrap()
    }

    fn part(origin: &str, number: u64, text: &str) -> Event {
        let detail = format!(
            r#""origin":"{origin}","digest":"{}","part":{number},"parts":2,"new":{{"text":"{text}"}}"#,
            "a".repeat(64)
        );
        event(number, "config.snapshot", &detail)
    }

    fn read(texts: &mut Texts, event: &Event) -> Option<String> {
        let Some(Detail::Change(change)) = &event.detail else { panic!("no change") };
        texts.policy_in_force(event, change).map(|found| found.text)
    }

    #[test]
    fn a_text_in_parts_counts_once_all_of_them_were_read() {
        let mut texts = Texts::default();
        assert_eq!(read(&mut texts, &part("snapshot", 2, "}")), None);
        let version = format!(r#""origin":"audit-log","new":{{"sha256":"{}"}}"#, "a".repeat(64));
        assert_eq!(read(&mut texts, &event(3, "policy.changed", &version)), None, "half of it is no policy");
        assert_eq!(read(&mut texts, &part("snapshot", 1, "{")).as_deref(), Some("{}"));
    }

    #[test]
    fn of_the_texts_in_an_audit_record_its_change_says_which_is_in_force() {
        let mut texts = Texts::default();
        assert_eq!(read(&mut texts, &part("audit-log", 2, "}")), None);
        assert_eq!(read(&mut texts, &part("audit-log", 1, "{")), None, "it may be the one before");
        let version = format!(r#""origin":"audit-log","new":{{"sha256":"{}"}}"#, "a".repeat(64));
        assert_eq!(read(&mut texts, &event(3, "policy.changed", &version)).as_deref(), Some("{}"));
        assert_eq!(read(&mut texts, &event(4, "policy.changed", r#""new":"{ }""#)).as_deref(), Some("{ }"));
    }
}
