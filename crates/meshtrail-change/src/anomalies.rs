//! Raises findings for changes in the mesh.
//!
//! - One finding per cause, by the first event that reports it, whichever its origin; the finding names that event.
//! - No state is kept outside the trail: the newest finding tells how far the trail was read, and at a start some events
//!   before that are read again to restore the causes.
//!
//! The rules are those of [`meshtrail_event::rule`]; which event matches which is in `matching_rule`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::pin::pin;

use futures::TryStreamExt;
use meshtrail_event::rule::{self, Rule};
use meshtrail_event::{Change, Detail, Draft, Event, Family, Finding, Identity, Kind, Outcome, Subject};
use meshtrail_trail::{AppendError, Emitter, Follower, ReadError, Scan, Trail};
use tokio_util::sync::CancellationToken;

use crate::corroborate::{MAX_CANDIDATES, Topic, latest};
use crate::snapshot::{UNSEEN_FINDING_DAYS, unseen_property};

/// How many events are read again at a start, to restore causes that later events of other origins may corroborate.
const LOOK_BACK: u64 = 200_000;

/// The number of events read between two appends.
const STEP: u64 = 20_000;

/// The most causes in memory; the oldest are dropped first.
const MAX_CAUSES: usize = 50_000;

/// The rule that an event matches.
fn matching_rule(event: &Event) -> Option<&'static Rule> {
    let Some(Detail::Change(change)) = &event.detail else { return None };
    if event.outcome != Outcome::Success {
        return None;
    }
    let of_type = event.target.of_type.as_deref();
    Some(match &event.kind {
        Kind::ConfigSnapshot | Kind::PolicyChanged if of_type == Some("policy") && change.error.is_some() => {
            &rule::MESH_POLICY_UNREADABLE
        }
        Kind::DeviceAdded => &rule::MESH_DEVICE_ADDED,
        Kind::DeviceRemoved => &rule::MESH_DEVICE_REMOVED,
        // If both texts are known and only comments differ, `lines` is empty but the diff is not.
        Kind::PolicyChanged if change.lines.is_empty() && change.diff.is_some() => return None,
        Kind::PolicyChanged => &rule::MESH_POLICY_CHANGED,
        Kind::DeviceUnauthorized => &rule::MESH_DEVICE_UNAUTHORIZED,
        Kind::DeviceUnseen
            if change.property.as_deref() == Some(unseen_property(UNSEEN_FINDING_DAYS).as_str()) =>
        {
            let never = change.new.as_ref().map(meshtrail_event::Json::value);
            let never = never.and_then(|new| new.get("key_expiry_disabled")?.as_bool()) == Some(true);
            if never { &rule::MESH_DEVICE_UNSEEN_KEY_NEVER_EXPIRES } else { &rule::MESH_DEVICE_UNSEEN }
        }
        _ => return None,
    })
}

/// The causes of findings, so that each raises one finding only.
///
/// Not a [`meshtrail_trail::Recent`]: a repeat is not an equal key, but an event of another origin whose topic matches.
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
    /// The finding for an event; none where it matches no rule, or corroborates an earlier cause.
    pub fn judge(&mut self, event: &Event) -> Option<Draft> {
        let rule = matching_rule(event)?;
        if let Some(topic) = Topic::of(event)
            && !self.insert(topic)
        {
            return None;
        }
        Some(finding(rule, event))
    }

    /// Adds the topic to the cause that it corroborates, or as a new cause; returns whether it is a new one.
    fn insert(&mut self, topic: Topic) -> bool {
        let candidates = topic.keys().filter_map(|key| self.by_topic.get(&key));
        let places: Vec<u64> = candidates.flat_map(|places| latest(places)).copied().collect();
        for place in places {
            let Some(cause) = self.causes.get_mut(&place) else { continue };
            let same_origin = cause.origins.contains(&topic.origin);
            if !same_origin && cause.topics.iter().any(|other| other.matches(&topic)) {
                cause.origins.insert(topic.origin.clone());
                cause.topics.push(topic);
                return false;
            }
        }
        for key in topic.keys() {
            let places = self.by_topic.entry(key).or_default();
            places.push(self.next);
            if places.len() > 2 * MAX_CANDIDATES {
                places.drain(..MAX_CANDIDATES);
            }
        }
        let origins = HashSet::from([topic.origin.clone()]);
        self.causes.insert(self.next, Cause { topics: vec![topic], origins });
        self.next += 1;
        self.drop_oldest();
        true
    }

    fn drop_oldest(&mut self) {
        while self.causes.len() > MAX_CAUSES {
            let Some((place, cause)) = self.causes.pop_first() else { return };
            for key in cause.topics.iter().flat_map(Topic::keys) {
                if let Some(places) = self.by_topic.get_mut(&key) {
                    places.retain(|other| *other != place);
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
    let finding = Finding {
        subject: subject(event),
        summary: change.and_then(|change| summary(rule, change)),
        // Each of these findings is about one change.
        ..rule.finding(event.id.to_string(), vec![event.id.clone()], event.time)
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

/// The sentence of a finding about a change.
fn summary(rule: &Rule, change: &Change) -> Option<String> {
    if *rule == rule::MESH_POLICY_UNREADABLE {
        return change.error.as_ref().map(|error| format!("The policy can't be read: {error}"));
    }
    change.summary.clone()
}

/// What a change is about: its device, or the policy.
fn subject(event: &Event) -> Option<Subject> {
    if event.target.of_type.as_deref() == Some("policy") || event.kind == Kind::PolicyChanged {
        return Some(Subject::new("policy", event.target.name.as_deref().unwrap_or("policy")));
    }
    let device = event.target.device.as_ref();
    let id = event.target.id.clone().or_else(|| device?.id.clone()).or_else(|| device?.name.clone())?;
    Some(Subject::new("device", id))
}

/// Why raising findings ended.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum AnomalyError {
    #[error("the trail can't be read")]
    Read(#[source] ReadError),
    #[error("the trail takes no findings")]
    Append(#[source] AppendError),
}

/// Raises findings for the events in the trail, then for new ones, until `stop`. What can't be read is tried again, and
/// findings for later events wait for it.
pub async fn follow(trail: &Trail, emitter: &Emitter, stop: CancellationToken) -> Result<(), AnomalyError> {
    let mut causes = Causes::default();
    let at = resume(trail, &mut causes).await.map_err(AnomalyError::Read)?;
    let mut follower =
        Follower::new(trail.clone(), at, stop).with_families(&[Family::Config]).with_max_indexes(STEP);
    loop {
        let batch = match follower.read().await {
            Ok(Some(batch)) => batch,
            Ok(None) => return Ok(()),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "no findings are raised over what changes until the trail can be read");
                continue;
            }
        };
        let events = batch.leaves.iter().filter_map(|(_, leaf)| Event::from_json(leaf).ok());
        let drafts = events.filter_map(|event| causes.judge(&event)).collect();
        for some in batches(drafts) {
            emitter.emit_all(some).await.map_err(AnomalyError::Append)?;
        }
        // A crash before this: the next start goes on behind the newest of these findings.
        follower.advance(batch.range.end);
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

/// Where reading continues: after the event of the newest `mesh.*` finding. Restores the causes before it.
async fn resume(trail: &Trail, causes: &mut Causes) -> Result<u64, ReadError> {
    let scan = Scan { families: vec![Family::Finding], ..Scan::newest(0..trail.size()) };
    let mut newest = None;
    {
        let mut rows = pin!(trail.scan(scan));
        while let Some((_, leaf)) = rows.try_next().await? {
            let Ok(event) = Event::from_json(&leaf) else { continue };
            // What becomes of a finding later names events that lie further back.
            let Some(Detail::Finding(finding)) = &event.detail else { continue };
            if event.kind != Kind::FindingRaised {
                continue;
            }
            let ours = finding.rule.as_deref().is_some_and(|rule| rule.starts_with("mesh."));
            if let (true, Some(id)) = (ours, finding.events.first()) {
                newest = trail.find(id).await?;
                break;
            }
        }
    }
    let Some(newest) = newest else { return Ok(0) };
    let at = newest + 1;
    let before = at.saturating_sub(LOOK_BACK)..at;
    let scan = Scan { families: vec![Family::Config], ..Scan::oldest(before) };
    let mut rows = pin!(trail.scan(scan));
    while let Some((_, leaf)) = rows.try_next().await? {
        if let Ok(event) = Event::from_json(&leaf) {
            // Its finding, if it has one, is in the trail.
            drop(causes.judge(&event));
        }
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use meshtrail_event::{Change, Timestamp};
    use meshtrail_trail::TrailConfig;
    use meshtrail_trail::store::{Store, StoreLocation, WritePolicy};

    use super::*;

    /// The events that findings name, in the trail's order.
    async fn causes_of_findings(trail: &Trail) -> Vec<String> {
        let scan = Scan { families: vec![Family::Finding], ..Scan::oldest(0..trail.size()) };
        let rows: Vec<_> = trail.scan(scan).try_collect().await.unwrap();
        let cause = |leaf: &[u8]| match Event::from_json(leaf).unwrap().detail {
            Some(Detail::Finding(finding)) => finding.events[0].to_string(),
            other => panic!("{other:?}"),
        };
        rows.iter().map(|(_, leaf)| cause(leaf)).collect()
    }

    async fn run_until_findings(trail: &Trail, count: usize) {
        let (emitter, stop) = (trail.emitter("anomalies"), CancellationToken::new());
        let follow = tokio::spawn({
            let (trail, stop) = (trail.clone(), stop.clone());
            async move { follow(&trail, &emitter, stop).await }
        });
        let mut size = trail.subscribe();
        let written = async {
            while causes_of_findings(trail).await.len() < count {
                size.changed().await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(120), written).await.unwrap();
        stop.cancel();
        follow.await.unwrap().unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn each_change_raises_one_finding_in_order_across_restarts() {
        let folder = tempfile::tempdir().unwrap();
        let location = StoreLocation::Folder(folder.path().to_owned());
        let store = Store::open(&location, &WritePolicy::default()).await.unwrap();
        let trail = Trail::open(store, &folder.path().join("local"), TrailConfig::new("main")).await.unwrap();
        let devices = trail.emitter("headscale");
        let add = async |name: &str| {
            let mut draft = Draft::new(Kind::DeviceAdded, Timestamp::now());
            draft.target.name = Some(name.to_owned());
            draft.detail = Some(Detail::Change(Box::new(Change {
                origin: Some("headscale".to_owned()),
                ..Change::default()
            })));
            devices.emit(draft).await.unwrap();
        };
        for name in ["web-1", "web-2", "web-3"] {
            add(name).await;
        }
        run_until_findings(&trail, 3).await;
        add("web-4").await;
        run_until_findings(&trail, 4).await;
        run_until_findings(&trail, 4).await;
        let expected = [1, 2, 3, 4].map(|sequence| format!("main.headscale.1.{sequence}"));
        assert_eq!(causes_of_findings(&trail).await, expected);
    }
}
