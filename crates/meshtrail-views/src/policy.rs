//! What the policy in force at a moment lets through, for the people and devices of that moment.
//!
//! The text of a policy is in the trail: in snapshots, where it is longer than an event in parts, and in records of changes.
//! People and devices are the directory's. What is not known of them stays open, and answers say so.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::TryStreamExt;
use meshtrail_api::policy::{
    AccessChange, DiffAnswer, KindChanges, LoginAnswers, LoginDecision, LoginView, NearRule, PolicyInForce,
    ReachAnswer, ReachRows, ReachView, RuleView,
};
use meshtrail_event::{
    Change, Detail, DeviceState, Event, EventId, Family, Json, Kind, Outcome, Timestamp, UserState,
};
use meshtrail_identity::History;
use meshtrail_policy::{
    Access, AccessChanges, Changes, CheckPeriod, ControlPlane, Decision, DeviceRef, DiffLimits,
    DifferentMeshes, Direction, Directory, Fold, LocalUser, LoginQuestion, Membership, Mesh, OtherRule,
    Policy, PolicyError, PortAccess, PossibleChange, ReachRow, ReachSource, ReachTarget, Rows, RuleSite,
    Unmet,
};
use meshtrail_trail::segment::{ColumnTest, Predicate};
use meshtrail_trail::{ReadError, Scan, Trail, run_blocking};
use serde_json::Value;

/// The most pairs of devices that are answered for.
pub const MAX_PAIRS: usize = 100;

/// The most rows of reach of each kind.
pub const MAX_ROWS: usize = 1_000;

/// The most people, devices or networks that a sentence about a change names on each side; the others are counted.
const MAX_NAMES: usize = 10;

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
    newest(trail, |event, change| if event.time <= at { texts.policy_in_force(event, change) } else { None })
        .await
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
struct Texts(BTreeMap<String, BTreeMap<u64, (String, EventId)>>);

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
        parts.insert(part, (text, event.id.clone()));
        if parts.len() as u64 == count { self.whole(digest, event, change) } else { None }
    }

    fn whole(&self, digest: &str, event: &Event, change: &Change) -> Option<PolicyText> {
        let parts = self.0.get(digest)?;
        let (_, (_, first)) = parts.first_key_value()?;
        let text: String = parts.values().map(|(text, _)| text.as_str()).collect();
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

/// The people and devices of a moment, for policies. Domains of the tailnet are those of its members' logins.
pub fn mesh_at(history: &History, at: Timestamp) -> Mesh {
    let users: Vec<UserState> = history.people(at).iter().map(|person| person.facts.state()).collect();
    let devices: Vec<DeviceState> = history.devices(at).iter().map(|device| device.facts().state()).collect();
    let mut directory = Directory::from_states(&users, &devices, at);
    let members = directory.people.iter().filter(|person| person.membership == Membership::Member);
    let domains =
        members.filter_map(|person| person.login.split_once('@')).map(|(_, domain)| domain.to_owned());
    directory.domains = domains.collect();
    Mesh::new(directory)
}

/// The compiled policy in force now, for callers that ask about it again and again. A clone is the same cache.
#[derive(Clone, Default)]
pub struct PolicyCache(Arc<Mutex<Option<CachedPolicy>>>);

struct CachedPolicy {
    /// The event that holds the policy's text.
    event: Option<EventId>,
    /// The state of the directory it was compiled for.
    generation: u64,
    at: Timestamp,
    policy: Arc<Policy>,
}

/// How long a policy is good for the people and devices it was compiled for: keys expire without an event.
const MAX_AGE: Duration = Duration::from_secs(60);

/// Why no policy can be evaluated.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum PolicyUnavailable {
    #[error(
        "no policy is known at that time: none was in a snapshot of a control plane, or in `[policy] file`, by then"
    )]
    Unknown,
    #[error("the policy can't be evaluated: {0}")]
    Unreadable(PolicyError),
    #[error("the trail can't be read")]
    Read(#[from] ReadError),
}

impl PolicyCache {
    /// The policy in force at `at`, compiled for the people and devices of that moment, and where it is from.
    pub async fn at(
        &self,
        trail: &Trail,
        history: &History,
        at: Timestamp,
    ) -> Result<(Arc<Policy>, PolicyInForce), PolicyUnavailable> {
        let text = policy_at(trail, at).await?.ok_or(PolicyUnavailable::Unknown)?;
        let in_force = text.in_force();
        if let Some(policy) = self.cached(&text.event, history.generation(), at) {
            return Ok((policy, in_force));
        }
        let generation = history.generation();
        let event = text.event.clone();
        let policy = compile(text.text, text.control_plane, history, at).await?;
        let policy = Arc::new(policy);
        let mut cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *cached = Some(CachedPolicy { event, generation, at, policy: policy.clone() });
        Ok((policy, in_force))
    }

    fn cached(&self, event: &Option<EventId>, generation: u64, at: Timestamp) -> Option<Arc<Policy>> {
        let cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_fresh = |cached: &&CachedPolicy| {
            cached.event == *event
                && cached.generation == generation
                && at >= cached.at
                && at.since(cached.at) <= MAX_AGE
        };
        cached.as_ref().filter(is_fresh).map(|cached| cached.policy.clone())
    }
}

/// Compiles a policy for the people and devices of a moment, off the threads that serve requests.
pub async fn compile(
    text: String,
    control_plane: ControlPlane,
    history: &History,
    at: Timestamp,
) -> Result<Policy, PolicyUnavailable> {
    let history = history.clone();
    let compiled = run_blocking(move || Policy::compile(&text, control_plane, &mesh_at(&history, at)));
    compiled.await.map_err(PolicyUnavailable::Unreadable)
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

/// Whether logins may be, one for each pair of a device of `from` and one of `to`.
pub fn explain(
    policy: &Policy,
    (from, to): (&[DeviceRef], &[DeviceRef]),
    user: &str,
    at: Timestamp,
    in_force: PolicyInForce,
) -> LoginAnswers {
    let pairs = from.iter().flat_map(|from| to.iter().map(move |to| (*from, *to)));
    let logins = pairs.take(MAX_PAIRS).map(|pair| login(policy, pair, user)).collect();
    let left_off = (from.len() * to.len()).saturating_sub(MAX_PAIRS);
    LoginAnswers { at, policy: in_force, logins, left_off }
}

fn login(policy: &Policy, (from, to): (DeviceRef, DeviceRef), user: &str) -> LoginView {
    let answer = policy.login(&LoginQuestion::new(from, to, LocalUser::unknown(user)));
    let mesh = policy.mesh();
    let recording = answer.recording.as_ref();
    LoginView {
        from: describe(mesh, from),
        to: describe(mesh, to),
        user: user.to_owned(),
        decision: match answer.decision {
            Decision::Accept => LoginDecision::Accept,
            Decision::Check => LoginDecision::Check,
            Decision::Deny => LoginDecision::Deny,
        },
        rule: answer.rule.as_ref().map(|site| rule(policy, site)),
        check_period: answer.period.map(|period| match period {
            CheckPeriod::Always => 0,
            CheckPeriod::For(period) => period.as_secs(),
        }),
        recorders: recording.map(|recording| recording.recorders.clone()).unwrap_or_default(),
        recording_enforced: recording.is_some_and(|recording| recording.enforced),
        port: port(&answer.port),
        near: answer.others.iter().map(|other| near(policy, other)).collect(),
        hindrances: answer.hindrances.iter().map(ToString::to_string).collect(),
    }
}

fn port(access: &PortAccess) -> String {
    match access {
        PortAccess::Open(site) => format!("port 22 is open, by {site}"),
        PortAccess::Could(site, conditions) => {
            format!("port 22 would be open, by {site}, if {}", conditions.join(" and "))
        }
        PortAccess::Closed => "port 22 is closed: no acl or grant lets packets through".to_owned(),
    }
}

fn near(policy: &Policy, other: &OtherRule) -> NearRule {
    NearRule {
        rule: rule(policy, &other.site),
        unmet: other.unmet.iter().map(ToString::to_string).collect(),
        open: other.unmet.iter().all(Unmet::is_open),
    }
}

fn rule(policy: &Policy, site: &RuleSite) -> RuleView {
    RuleView { name: site.to_string(), text: policy.rule_text(site).to_owned() }
}

fn describe(mesh: &Mesh, device: DeviceRef) -> String {
    ReachTarget::Device(device).describe(mesh)
}

/// Who can reach any of the targets.
pub fn who_can_reach(
    policy: &Policy,
    targets: &[DeviceRef],
    at: Timestamp,
    in_force: PolicyInForce,
) -> ReachAnswer {
    let (mut certain, mut possible) = (ReachRows::default(), ReachRows::default());
    for target in targets {
        let reach = policy.who_can_reach(&ReachTarget::Device(*target), MAX_ROWS);
        add_rows(policy, &mut certain, &reach.certain);
        add_rows(policy, &mut possible, &reach.possible);
    }
    ReachAnswer { at, policy: in_force, certain, possible }
}

fn add_rows(policy: &Policy, into: &mut ReachRows, from: &Rows) {
    let room = MAX_ROWS.saturating_sub(into.rows.len());
    into.rows.extend(from.rows.iter().take(room).map(|row| reach_view(policy.mesh(), row)));
    into.left_off += from.left_off + from.rows.len().saturating_sub(room);
}

fn reach_view(mesh: &Mesh, row: &ReachRow) -> ReachView {
    let device = match &row.source {
        ReachSource::Device(device) => Some(mesh.device(*device)),
        _ => None,
    };
    ReachView {
        source: row.source.describe(mesh),
        person: row.source.person(mesh).map(|person| mesh.person(person).login.clone()),
        device: device.map(|device| device.id.clone()),
        device_name: device.map(|device| device.name.clone()),
        tags: device.map(|device| device.tags.iter().cloned().collect()).unwrap_or_default(),
        target: row.target.describe(mesh),
        ports: row.ports.to_string(),
        rules: row.rules.iter().map(ToString::to_string).collect(),
        conditions: row.conditions.iter().map(ToString::to_string).collect(),
    }
}

/// What a policy opens and closes against an older one, for the same people and devices.
pub fn diff(
    new: &Policy,
    old: &Policy,
    at: Timestamp,
    in_force: PolicyInForce,
) -> Result<DiffAnswer, DifferentMeshes> {
    let changes = new.changes_since(old, DiffLimits { names: MAX_NAMES, ..DiffLimits::default() })?;
    let mesh = new.mesh();
    let AccessChanges { connections, logins, capabilities, possible, possible_left_off, authority, .. } =
        &changes;
    let words = |direction| if direction == Direction::Opened { "opens" } else { "no longer opens" };
    Ok(DiffAnswer {
        at,
        policy: in_force,
        summary: changes.summary(),
        connections: kind_changes(connections, mesh),
        logins: kind_changes(logins, mesh),
        capabilities: kind_changes(capabilities, mesh),
        possible: possible
            .iter()
            .map(|change| {
                let PossibleChange { direction, rule, text, condition } = change;
                format!("{rule} {} {text}, if {condition}", words(*direction))
            })
            .collect(),
        possible_left_off: *possible_left_off,
        authority: authority.iter().map(|change| change.describe(mesh)).collect(),
        devices_left_out: changes.devices_left_out,
    })
}

fn kind_changes<T: Access>(changes: &Changes<T>, mesh: &Mesh) -> KindChanges {
    let each = |folds: &[Fold<T>]| {
        let one = |fold: &Fold<T>| AccessChange {
            sentence: fold.describe(mesh),
            pairs: fold.connections,
            rules: fold.rules.iter().map(ToString::to_string).collect(),
        };
        folds.iter().map(one).collect()
    };
    KindChanges {
        opened: each(&changes.opened),
        closed: each(&changes.closed),
        opened_left_off: changes.opened_left_off,
        closed_left_off: changes.closed_left_off,
    }
}
