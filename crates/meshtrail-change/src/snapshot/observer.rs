//! The last state of one origin, and the changes of a new snapshot against it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use meshtrail_event::{DeviceState, Draft, Timestamp, UserState};
use meshtrail_trail::{AppendError, Emitter, ReadError, Trail};
use serde_json::Value;

use super::snapshot_diff::SnapshotDiff;
use super::time_levels::RaisedLevels;
use super::{DnsState, KeyState, Origin, PolicyText, Snapshot, rebuild};

/// The interval between two full snapshots.
const FULL_SNAPSHOT_EVERY: Duration = Duration::from_secs(86_400);

/// The most drafts of one append, unless the drafts of one object are more: drafts of the largest size fit.
const BATCH: usize = 48;

/// The last state seen through one origin.
#[derive(Debug, Clone)]
pub struct Observer {
    pub(super) origin: Origin,
    pub(super) state: State,
}

/// A device in the last state.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct KnownDevice {
    pub(super) state: DeviceState,
    pub(super) levels: RaisedLevels,
}

/// A key in the last state.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct KnownKey {
    pub(super) state: KeyState,
    /// Whether it had expired by this state already: its expiry is not reported again.
    pub(super) expired: bool,
}

/// The last state, part by part; a part that was never in a snapshot is `None`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct State {
    pub(super) devices: Option<BTreeMap<String, KnownDevice>>,
    pub(super) users: Option<BTreeMap<String, UserState>>,
    pub(super) keys: Option<BTreeMap<String, KnownKey>>,
    pub(super) policy: Option<PolicyText>,
    pub(super) dns: Option<DnsState>,
    /// Settings and all other parts, by name.
    pub(super) others: BTreeMap<String, Value>,
    /// When each part was last in a snapshot.
    pub(super) taken: BTreeMap<String, Timestamp>,
    /// When the last full snapshot was written.
    pub(super) last_full: Option<Timestamp>,
}

/// The changes of a snapshot, and the state after them, until [`Observer::accept`] takes it over.
#[derive(Debug)]
#[must_use = "the drafts are to be emitted, then accepted"]
pub struct PendingChanges {
    /// Drafts in order, grouped by object.
    groups: Vec<Vec<Draft>>,
    state: State,
}

impl PendingChanges {
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

    /// Takes the drafts in batches, one for each append. Drafts of one object stay in one batch: a crash between two
    /// batches leaves each object written completely or not at all, and [`Observer::rebuild`] goes on from there.
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

/// Sets the groups that a policy has a person in, where the control plane gave none. Headscale writes a login without a
/// domain with a trailing `@`.
fn set_groups(user: &mut UserState, groups: &BTreeMap<String, BTreeSet<String>>) {
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
    /// An observer without a last state: its first snapshot is a baseline.
    pub fn fresh(origin: Origin) -> Self {
        Self { origin, state: State::default() }
    }

    /// Rebuilds the last state of `origin` from the trail alone.
    pub async fn rebuild(trail: &Trail, origin: Origin) -> Result<Self, ReadError> {
        Ok(Self { origin, state: rebuild::read_state(trail, origin).await? })
    }

    /// When a part was last in a snapshot.
    pub fn last_taken(&self, part: &str) -> Option<Timestamp> {
        self.state.taken.get(part).copied()
    }

    /// The keys in the last state.
    pub fn keys(&self) -> impl Iterator<Item = &KeyState> {
        self.state.keys.iter().flatten().map(|(_, key)| &key.state)
    }

    /// The people in the last state.
    pub fn users(&self) -> impl Iterator<Item = &UserState> {
        self.state.users.iter().flatten().map(|(_, user)| user)
    }

    /// A device in the last state.
    pub fn device(&self, id: &str) -> Option<&DeviceState> {
        Some(&self.state.devices.as_ref()?.get(id)?.state)
    }

    /// The origin of its snapshots.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// Compares a snapshot with the last state, which does not change until the result is accepted.
    pub fn compare(&self, snapshot: Snapshot) -> PendingChanges {
        let Snapshot { taken, devices, users, policy, dns, keys, settings, mut others, .. } = snapshot;
        let full = self.state.last_full.is_none_or(|last| taken.since(last) >= FULL_SNAPSHOT_EVERY);
        let mut diff = SnapshotDiff::new(self.origin, taken, self.state.clone(), full);
        if let Some(mut users) = users {
            let last = self.state.policy.as_ref();
            let groups = policy.as_ref().and_then(|new| meshtrail_policy::groups(&new.text));
            if let Some(groups) = groups.or_else(|| meshtrail_policy::groups(&last?.text)) {
                users.iter_mut().for_each(|user| set_groups(user, &groups));
            }
            diff.users(users);
        }
        if let Some(devices) = devices {
            diff.devices(devices);
        }
        if let Some(keys) = keys {
            diff.keys(keys);
        }
        if let Some(policy) = policy {
            diff.policy(policy);
        }
        if let Some(dns) = dns {
            diff.dns(dns);
        }
        others.extend(settings.map(|settings| ("settings".to_owned(), settings)));
        for (name, value) in others {
            diff.other(&name, value);
        }
        let (groups, state) = diff.finish();
        PendingChanges { groups, state }
    }

    /// Takes over the state after the changes, once their drafts are durable.
    pub fn accept(&mut self, changes: PendingChanges) {
        self.state = changes.state;
    }

    /// Compares a snapshot, makes its changes durable, and accepts them; returns how many events were written.
    ///
    /// After an error nothing is accepted though some events may be written: rebuild before going on.
    pub async fn record(&mut self, snapshot: Snapshot, emitter: &Emitter) -> Result<usize, AppendError> {
        let mut changes = self.compare(snapshot);
        let count = changes.len();
        for batch in changes.batches() {
            emitter.emit_all(batch).await?;
        }
        self.accept(changes);
        Ok(count)
    }
}
