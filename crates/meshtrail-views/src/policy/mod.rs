//! What the policy in force at a moment lets through, for the people and devices of that moment.
//!
//! The text of a policy is in the trail: in snapshots, where it is longer than an event in parts, and in records of changes.
//! People and devices are the directory's. What is not known of them stays open, and answers say so.

mod answers;
mod text;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use meshtrail_api::policy::PolicyInForce;
use meshtrail_event::{DeviceState, EventId, Timestamp, UserState};
use meshtrail_identity::History;
use meshtrail_policy::{ControlPlane, Directory, Membership, Mesh, Policy, PolicyError};
use meshtrail_trail::{ReadError, Trail, run_blocking};

pub use answers::{MAX_PAIRS, MAX_ROWS, diff, explain, who_can_reach};
pub use text::{PolicyText, both_policies, policy_at};

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
        let generation = history.generation();
        if let Some(policy) = self.cached(&text.event, generation, at) {
            return Ok((policy, in_force));
        }
        let PolicyText { text, event, control_plane, .. } = text;
        let policy = Arc::new(compile(text, control_plane, history, at).await?);
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
