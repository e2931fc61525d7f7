//! What of the mesh's changes is worth a finding.
//!
//! - One finding per cause, whichever origin told of it first; the finding names that event.
//! - Nothing is kept outside the trail: the newest finding says how far it was read, and what lies a while before it is
//!   read again to know the causes.
//!
//! The rules and severities are in [`RULES`].

use std::collections::{BTreeMap, HashMap, HashSet};
use std::pin::pin;

use futures::TryStreamExt;
use meshtrail_event::{Detail, Draft, Event, Family, Finding, Identity, Kind, Outcome};
use meshtrail_trail::{AppendError, Emitter, ReadError, Scan, Trail};
use tokio_util::sync::CancellationToken;

use crate::weight::Severity;
use crate::witness::{LATEST, Topic, latest};

/// How many events of the trail are read again at a start, to know causes that others may still tell of.
const LOOK_BACK: u64 = 200_000;

/// How many events are read at a time.
const STEP: u64 = 20_000;

/// Causes that are remembered; the oldest go first.
const CAUSES: usize = 50_000;

/// One rule: what raises a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its name, in `detail.rule`.
    pub name: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// The finding's short name.
    pub title: &'static str,
}

/// Every rule.
pub const RULES: &[Rule] = &[
    Rule { name: "mesh.device_added", severity: Severity::Medium, title: "New device" },
    Rule { name: "mesh.device_removed", severity: Severity::Low, title: "Device removed" },
    Rule { name: "mesh.policy_changed", severity: Severity::High, title: "Policy changed" },
    Rule { name: "mesh.policy_unreadable", severity: Severity::High, title: "Policy can't be read" },
    Rule { name: "mesh.device_unauthorized", severity: Severity::High, title: "Unauthorised device" },
    Rule { name: "mesh.device_unseen", severity: Severity::Low, title: "Device not seen for 90 days" },
    Rule {
        name: "mesh.device_unseen_key_never_expires",
        severity: Severity::Low,
        title: "Device not seen for 90 days, and its key never expires",
    },
];

/// The rule that an event meets.
fn rule(event: &Event) -> Option<&'static Rule> {
    let Some(Detail::Change(change)) = &event.detail else { return None };
    if event.outcome != Outcome::Success {
        return None;
    }
    let named = |name: &str| RULES.iter().find(|rule| rule.name == name);
    let of_type = event.target.of_type.as_deref();
    match &event.kind {
        Kind::ConfigSnapshot | Kind::PolicyChanged if of_type == Some("policy") && change.error.is_some() => {
            named("mesh.policy_unreadable")
        }
        Kind::DeviceAdded => named("mesh.device_added"),
        Kind::DeviceRemoved => named("mesh.device_removed"),
        // Where both texts are known and only comments differ, `lines` is empty but the diff is not.
        Kind::PolicyChanged if change.lines.is_empty() && change.diff.is_some() => None,
        Kind::PolicyChanged => named("mesh.policy_changed"),
        Kind::DeviceUnauthorized => named("mesh.device_unauthorized"),
        Kind::DeviceUnseen if change.property.as_deref() == Some("unseen_90_days") => {
            let never = change.new.as_ref().map(meshtrail_event::Json::value);
            let never = never.and_then(|new| new.get("key_expiry_disabled")?.as_bool()) == Some(true);
            named(if never { "mesh.device_unseen_key_never_expires" } else { "mesh.device_unseen" })
        }
        _ => None,
    }
}

/// The causes that findings were raised for, or would have been.
#[derive(Debug, Default)]
pub struct Causes {
    causes: BTreeMap<u64, Cause>,
    by_topic: HashMap<(String, String), Vec<u64>>,
    next: u64,
}

#[derive(Debug)]
struct Cause {
    topics: Vec<Topic>,
    origins: HashSet<String>,
}

impl Causes {
    /// The finding of an event; none where it meets no rule, or is one more witness of a cause that is known.
    pub fn judge(&mut self, event: &Event) -> Option<Draft> {
        let rule = rule(event)?;
        if let Some(topic) = Topic::of(event)
            && !self.is_new(topic)
        {
            return None;
        }
        Some(finding(rule, event))
    }

    /// Remembers the topic; whether no other origin told of its cause before.
    fn is_new(&mut self, topic: Topic) -> bool {
        let known = topic.keys().filter_map(|key| self.by_topic.get(&key));
        let places: Vec<u64> = known.flat_map(|places| latest(places)).copied().collect();
        for place in places {
            let Some(cause) = self.causes.get_mut(&place) else { continue };
            let told = cause.origins.contains(&topic.origin);
            if !told && cause.topics.iter().any(|known| known.same(&topic)) {
                cause.origins.insert(topic.origin.clone());
                cause.topics.push(topic);
                return false;
            }
        }
        for key in topic.keys() {
            let places = self.by_topic.entry(key).or_default();
            places.push(self.next);
            if places.len() > 2 * LATEST {
                places.drain(..LATEST);
            }
        }
        let origins = HashSet::from([topic.origin.clone()]);
        self.causes.insert(self.next, Cause { topics: vec![topic], origins });
        self.next += 1;
        self.forget();
        true
    }

    fn forget(&mut self) {
        while self.causes.len() > CAUSES {
            let Some((place, cause)) = self.causes.pop_first() else { return };
            for key in cause.topics.iter().flat_map(Topic::keys) {
                if let Some(places) = self.by_topic.get_mut(&key) {
                    places.retain(|known| *known != place);
                    if places.is_empty() {
                        self.by_topic.remove(&key);
                    }
                }
            }
        }
    }
}

fn finding(rule: &Rule, event: &Event) -> Draft {
    let change = match &event.detail {
        Some(Detail::Change(change)) => Some(change),
        _ => None,
    };
    let summary = change.and_then(|change| match rule.name {
        "mesh.policy_unreadable" => {
            change.error.as_ref().map(|error| format!("The policy can't be read: {error}"))
        }
        _ => change.summary.clone(),
    });
    let finding = Finding {
        events: vec![event.id.clone()],
        rule: Some(rule.name.to_owned()),
        severity: Some(rule.severity.as_str().to_owned()),
        status: Some("open".to_owned()),
        summary,
        title: Some(rule.title.to_owned()),
        ..Finding::default()
    };
    let mut draft = Draft::new(Kind::FindingRaised, event.time);
    (draft.actor, draft.identity, draft.target) =
        (event.actor.clone(), event.identity.clone(), event.target.clone());
    if draft.actor.is_empty() {
        draft.identity = Identity { reason: draft.identity.reason, ..Identity::default() };
    }
    draft.detail = Some(Detail::Finding(Box::new(finding)));
    draft
}

/// Why findings can't be raised any more.
#[derive(Debug, thiserror::Error)]
pub enum AnomalyError {
    /// The trail can't be read.
    #[error("the trail can't be read")]
    Read(#[source] ReadError),
    /// The trail takes nothing.
    #[error("the trail takes no findings")]
    Append(#[source] AppendError),
}

/// Raises findings over what the trail holds, and over what comes, until `stop`.
pub async fn follow(trail: &Trail, emitter: &Emitter, stop: CancellationToken) -> Result<(), AnomalyError> {
    let read = AnomalyError::Read;
    let mut causes = Causes::default();
    let mut at = resume(trail, &mut causes).await.map_err(read)?;
    let mut size = trail.subscribe();
    loop {
        let end = *size.borrow_and_update();
        while at < end {
            let step = (at + STEP).min(end);
            let drafts = judge(trail, at..step, &mut causes).await.map_err(read)?;
            for batch in batches(drafts) {
                emitter.emit_all(batch).await.map_err(AnomalyError::Append)?;
            }
            at = step;
        }
        tokio::select! {
            changed = size.changed() => if changed.is_err() { return Ok(()) },
            () = stop.cancelled() => return Ok(()),
        }
    }
}

fn batches(mut drafts: Vec<Draft>) -> Vec<Vec<Draft>> {
    let mut batches = Vec::new();
    while drafts.len() > 500 {
        let rest = drafts.split_off(500);
        batches.push(std::mem::replace(&mut drafts, rest));
    }
    batches.push(drafts);
    batches
}

/// The findings of a stretch of the trail.
async fn judge(
    trail: &Trail,
    range: std::ops::Range<u64>,
    causes: &mut Causes,
) -> Result<Vec<Draft>, ReadError> {
    let scan = Scan { families: vec![Family::Config], ..Scan::oldest(range) };
    let mut rows = pin!(trail.scan(scan));
    let mut drafts = Vec::new();
    while let Some((_, leaf)) = rows.try_next().await? {
        let Ok(event) = Event::from_json(&leaf) else { continue };
        drafts.extend(causes.judge(&event));
    }
    Ok(drafts)
}

/// Where reading goes on: behind the event that the newest finding of ours rests on. The causes before it are known
/// again then.
async fn resume(trail: &Trail, causes: &mut Causes) -> Result<u64, ReadError> {
    let scan = Scan { families: vec![Family::Finding], ..Scan::newest(0..trail.size()) };
    let mut newest = None;
    {
        let mut rows = pin!(trail.scan(scan));
        while let Some((_, leaf)) = rows.try_next().await? {
            let Ok(event) = Event::from_json(&leaf) else { continue };
            let Some(Detail::Finding(finding)) = &event.detail else { continue };
            let ours = finding.rule.as_deref().is_some_and(|rule| rule.starts_with("mesh."));
            if let (true, Some(id)) = (ours, finding.events.first()) {
                newest = trail.find(id).await?;
                break;
            }
        }
    }
    let Some(newest) = newest else { return Ok(0) };
    let at = newest + 1;
    judge(trail, at.saturating_sub(LOOK_BACK)..at, causes).await?;
    Ok(at)
}
