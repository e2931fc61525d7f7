//! What the policy in force at a moment lets through, for the people and devices of that moment.
//!
//! The text of a policy is in the trail (`config.snapshot` events, in parts); people and devices are the directory's. What is
//! not known of them stays open, and answers say so.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::TryStreamExt;
use meshtrail_api::policy::{
    LoginAnswers, LoginDecision, LoginView, NearRule, PolicyInForce, ReachAnswer, ReachRows, ReachView,
    RuleView,
};
use meshtrail_event::{Detail, Event, EventId, Family, Kind, Timestamp};
use meshtrail_identity::{DeviceFacts, History, PersonAsOf, PersonFacts};
use meshtrail_policy::{
    AttributeValue, Attributes, CheckPeriod, ControlPlane, Decision, Device, DeviceRef, Directory, Hindrance,
    LocalUser, LoginQuestion, Membership, Mesh, OtherRule, Person, Policy, PolicyError, PortAccess,
    ReachSource, ReachTarget, Rows, RuleSite, Unmet,
};
use meshtrail_trail::segment::{ColumnTest, Predicate};
use meshtrail_trail::{ReadError, Scan, Trail, run_blocking};

/// The most pairs of devices that are answered for.
pub const MAX_PAIRS: usize = 100;

/// The most rows of reach of each kind.
pub const MAX_ROWS: usize = 1_000;

/// A policy that was in force at some moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyText {
    /// Its text.
    pub text: String,
    /// The event that holds the first part of it.
    pub event: EventId,
    /// When it was in a snapshot for the first time.
    pub since: Timestamp,
    /// Whose rules it is read by.
    pub control_plane: ControlPlane,
}

/// The parts of a text that were read so far.
#[derive(Debug, Default)]
struct Parts {
    texts: BTreeMap<u64, (String, EventId)>,
}

/// The newest policy at `at`; none if no snapshot had one by then.
pub async fn policy_at(trail: &Trail, at: Timestamp) -> Result<Option<PolicyText>, ReadError> {
    find(trail, |event, _| event.time <= at).await
}

/// The policy with this SHA-256, in lower-case hex; none if the trail does not hold it.
pub async fn policy_by_digest(trail: &Trail, sha256: &str) -> Result<Option<PolicyText>, ReadError> {
    find(trail, |_, digest| digest == sha256).await
}

/// The newest policy of whose parts all are wanted.
async fn find(trail: &Trail, wanted: impl Fn(&Event, &str) -> bool) -> Result<Option<PolicyText>, ReadError> {
    let only = |column, value: &'static str| Predicate {
        any_of: vec![ColumnTest::new(column, move |found| found == value)],
    };
    let scan = Scan {
        families: vec![Family::Config],
        predicates: vec![only("kind", "config.snapshot"), only("target_type", "policy")],
        ..Scan::newest(0..trail.size())
    };
    let mut rows = pin!(trail.scan(scan));
    let mut texts: BTreeMap<(Timestamp, String), Parts> = BTreeMap::new();
    while let Some((_, leaf)) = rows.try_next().await? {
        let Ok(event) = Event::from_json(&leaf) else { continue };
        let Some(Detail::Change(change)) = &event.detail else { continue };
        let is_policy =
            event.kind == Kind::ConfigSnapshot && event.target.of_type.as_deref() == Some("policy");
        let (Some(digest), Some(part), Some(count)) = (&change.digest, change.part, change.parts) else {
            continue;
        };
        if !is_policy || !wanted(&event, digest) {
            continue;
        }
        let text = change.new.as_ref().and_then(|new| new.value().get("text")?.as_str().map(str::to_owned));
        let Some(text) = text else { continue };
        let parts = texts.entry((event.time, digest.clone())).or_default();
        parts.texts.insert(part, (text, event.id.clone()));
        if parts.texts.len() as u64 == count {
            let texts = &parts.texts;
            return Ok(Some(PolicyText {
                text: texts.values().map(|(text, _)| text.as_str()).collect(),
                event: texts.values().next().map_or(event.id, |(_, id)| id.clone()),
                since: event.time,
                control_plane: control_plane(change.origin.as_deref()),
            }));
        }
    }
    Ok(None)
}

fn control_plane(origin: Option<&str>) -> ControlPlane {
    match origin {
        Some("headscale") => ControlPlane::Headscale,
        Some("file") => ControlPlane::PlainWireGuard,
        _ => ControlPlane::Tailscale,
    }
}

/// The people and devices of a moment, for policies.
pub fn mesh_at(history: &History, at: Timestamp) -> Mesh {
    let known = history.people(at);
    let people: Vec<Person> = known.iter().map(|person| self::person(&person.facts)).collect();
    let is_suspended = |person: &&PersonAsOf| person.facts.status.as_deref() == Some("suspended");
    let suspended = known.iter().filter(is_suspended).map(|person| person.facts.login.to_string()).collect();
    let devices = history.devices(at);
    let devices = devices.iter().map(|device| self::device(device.facts(), &suspended, at)).collect();
    let members = people.iter().filter(|person| person.membership == Membership::Member);
    let domains =
        members.filter_map(|person| person.login.split_once('@')).map(|(_, domain)| domain.to_owned());
    Mesh::new(Directory { domains: domains.collect(), people, devices })
}

fn person(facts: &PersonFacts) -> Person {
    let shared = facts.of_type.as_deref() == Some("shared");
    Person {
        login: facts.login.to_string(),
        other_names: facts.name.iter().map(|name| name.to_string()).collect(),
        membership: if shared { Membership::Shared } else { Membership::Member },
        role: facts.role.as_deref().and_then(|role| role.parse().ok()),
        synced_groups: None,
    }
}

fn device(facts: &DeviceFacts, suspended: &BTreeSet<String>, at: Timestamp) -> Device {
    let owner = facts.owner.as_ref().map(|owner| owner.to_string());
    let has_expired = facts.key_expiry_disabled != Some(true)
        && (facts.expired == Some(true) || facts.expires.is_some_and(|expires| expires <= at));
    let hindrance = if facts.authorized == Some(false) {
        Some(Hindrance::NotAuthorised)
    } else if has_expired {
        Some(Hindrance::Expired)
    } else {
        owner.as_ref().filter(|owner| suspended.contains(*owner)).map(|_| Hindrance::OwnerSuspended)
    };
    let prefixes = |routes: &[Arc<str>]| routes.iter().filter_map(|route| route.parse().ok()).collect();
    let name = facts.name.as_ref().or(facts.hostname.as_ref()).unwrap_or(&facts.id);
    let text = |key: &str, value: &Option<Arc<str>>| {
        value.as_ref().map(|value| (key.to_owned(), AttributeValue::Text(value.to_string())))
    };
    let values = [text("node:os", &facts.os), text("node:tsVersion", &facts.client_version)];
    Device {
        id: facts.id.to_string(),
        name: name.to_string(),
        addresses: facts.addresses.to_vec(),
        owner,
        tags: facts.tags.iter().map(|tag| tag.to_string()).collect(),
        routes: prefixes(&facts.enabled_routes),
        advertised_routes: prefixes(&facts.advertised_routes),
        external: facts.external == Some(true),
        hindrance,
        blocks_incoming: facts.blocks_incoming == Some(true),
        attributes: Attributes { values: values.into_iter().flatten().collect(), complete: false },
    }
}

/// The compiled policy in force now, for callers that ask about it again and again. A clone is the same cache.
#[derive(Clone, Default)]
pub struct PolicyCache(Arc<Mutex<Option<CachedPolicy>>>);

struct CachedPolicy {
    /// The event that holds the policy's text.
    event: EventId,
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

    fn cached(&self, event: &EventId, generation: u64, at: Timestamp) -> Option<Arc<Policy>> {
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
            event: Some(self.event.clone()),
            since: Some(self.since),
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
    let mesh = policy.mesh();
    into.rows.extend(from.rows.iter().take(room).map(|row| ReachView {
        source: row.source.describe(mesh),
        person: row.source.person(mesh).map(|person| mesh.person(person).login.clone()),
        device: match &row.source {
            ReachSource::Device(device) => Some(mesh.device(*device).id.clone()),
            _ => None,
        },
        target: row.target.describe(mesh),
        ports: row.ports.to_string(),
        rules: row.rules.iter().map(ToString::to_string).collect(),
        conditions: row.conditions.iter().map(ToString::to_string).collect(),
    }));
    into.left_off += from.left_off + from.rows.len().saturating_sub(room);
}
