//! The last state of one origin, and what a new snapshot says beyond it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use meshtrail_event::{Draft, Timestamp};
use meshtrail_identity::{DeviceState, UserState};
use meshtrail_trail::{AppendError, Emitter, ReadError, Trail};
use serde_json::Value;

use super::levels::Told;
use super::{DnsState, KeyState, Origin, PolicyText, Snapshot, parts, rebuild};
use crate::diff;

/// How long after a whole snapshot the next one is written.
const WHOLE_EVERY: Duration = Duration::from_secs(86_400);

/// The most drafts of one append, unless what belongs together is more: drafts of the largest size fit.
const BATCH: usize = 48;

/// What was last seen through one origin.
#[derive(Debug, Clone)]
pub struct Observer {
    pub(super) origin: Origin,
    pub(super) state: State,
}

/// A device with what was told of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct SeenDevice {
    pub(super) state: DeviceState,
    pub(super) told: Told,
}

/// A key, and whether it was told that it expired.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct SeenKey {
    pub(super) state: KeyState,
    pub(super) expired: bool,
}

/// Every part that was ever seen.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct State {
    pub(super) devices: Option<BTreeMap<String, SeenDevice>>,
    pub(super) users: Option<BTreeMap<String, UserState>>,
    pub(super) keys: Option<BTreeMap<String, SeenKey>>,
    pub(super) policy: Option<PolicyText>,
    pub(super) dns: Option<DnsState>,
    /// Settings and all others.
    pub(super) others: BTreeMap<String, Value>,
    /// When each part was last seen.
    pub(super) taken: BTreeMap<String, Timestamp>,
    /// When the last whole snapshot was written.
    pub(super) whole: Option<Timestamp>,
}

/// What a snapshot says beyond what was known, not accepted yet.
#[derive(Debug)]
#[must_use = "what was seen is to be emitted, then accepted"]
pub struct Seen {
    /// Drafts that belong together, in order.
    groups: Vec<Vec<Draft>>,
    state: State,
}

impl Seen {
    /// How many drafts there are.
    pub fn len(&self) -> usize {
        self.groups.iter().map(Vec::len).sum()
    }

    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// The drafts, in their order.
    pub fn drafts(&self) -> impl Iterator<Item = &Draft> {
        self.groups.iter().flatten()
    }

    /// The drafts in batches that a trail takes at once. What tells of one object stays in one batch: a crash between
    /// two batches leaves each object told of whole or not at all, and [`Observer::rebuild`] goes on from there.
    pub fn batches(&mut self) -> Vec<Vec<Draft>> {
        let mut batches: Vec<Vec<Draft>> = Vec::new();
        for group in std::mem::take(&mut self.groups) {
            match batches.last_mut() {
                Some(batch) if batch.len() + group.len() <= BATCH => batch.extend(group),
                _ => batches.push(group),
            }
        }
        batches
    }
}

/// Puts a person into the groups that a policy has them in, where the control plane told of none. Headscale writes
/// a login without a domain with an `@` behind it.
fn join(user: &mut UserState, groups: &BTreeMap<String, BTreeSet<String>>) {
    if !user.groups.is_empty() {
        return;
    }
    let is_them = |member: &String| {
        let plain = member.strip_suffix('@').unwrap_or(member);
        !plain.is_empty() && (plain == user.login || user.name.as_deref() == Some(plain))
    };
    let theirs = groups.iter().filter(|(_, members)| members.iter().any(is_them));
    user.groups = theirs.map(|(name, _)| name.clone()).collect();
}

impl Observer {
    /// One that has seen nothing: its first snapshot is a baseline.
    pub fn fresh(origin: Origin) -> Self {
        Self { origin, state: State::default() }
    }

    /// What was last seen through `origin`, from the trail alone.
    pub async fn rebuild(trail: &Trail, origin: Origin) -> Result<Self, ReadError> {
        Ok(Self { origin, state: rebuild::state(trail, origin).await? })
    }

    /// When a part was seen last.
    pub(crate) fn seen_at(&self, part: &str) -> Option<Timestamp> {
        self.state.taken.get(part).copied()
    }

    /// The keys that were seen last.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &KeyState> {
        self.state.keys.iter().flatten().map(|(_, key)| &key.state)
    }

    /// The people that were seen last.
    pub(crate) fn users(&self) -> impl Iterator<Item = &UserState> {
        self.state.users.iter().flatten().map(|(_, user)| user)
    }

    /// A device as it was seen last.
    pub(crate) fn device(&self, id: &str) -> Option<&DeviceState> {
        Some(&self.state.devices.as_ref()?.get(id)?.state)
    }

    /// Through whom it sees.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// What the snapshot says beyond what was seen before. Nothing changes here until it is accepted.
    pub fn see(&self, snapshot: Snapshot) -> Seen {
        let Snapshot { taken, devices, users, policy, dns, keys, settings, mut others, .. } = snapshot;
        let due = self.state.whole.is_none_or(|whole| taken.since(whole) >= WHOLE_EVERY);
        let mut seeing = parts::Seeing::new(self.origin, taken, self.state.clone(), due);
        if let Some(mut users) = users {
            let known = self.state.policy.as_ref();
            let groups = policy.as_ref().and_then(|new| diff::groups(&new.text));
            if let Some(groups) = groups.or_else(|| diff::groups(&known?.text)) {
                users.iter_mut().for_each(|user| join(user, &groups));
            }
            seeing.users(users);
        }
        if let Some(devices) = devices {
            seeing.devices(devices);
        }
        if let Some(keys) = keys {
            seeing.keys(keys);
        }
        if let Some(policy) = policy {
            seeing.policy(policy);
        }
        if let Some(dns) = dns {
            seeing.dns(dns);
        }
        others.extend(settings.map(|settings| ("settings".to_owned(), settings)));
        for (name, value) in others {
            seeing.other(&name, value);
        }
        let (groups, state) = seeing.finish();
        Seen { groups, state }
    }

    /// Takes what was seen as known, once its drafts are durable.
    pub fn accept(&mut self, seen: Seen) {
        self.state = seen.state;
    }

    /// Sees a snapshot, makes what it says durable, and takes it as known; how many events that made.
    ///
    /// After an error nothing is taken as known: rebuild before going on.
    pub async fn record(&mut self, snapshot: Snapshot, emitter: &Emitter) -> Result<usize, AppendError> {
        let mut seen = self.see(snapshot);
        let count = seen.len();
        for batch in seen.batches() {
            emitter.emit_all(batch).await?;
        }
        self.accept(seen);
        Ok(count)
    }
}
