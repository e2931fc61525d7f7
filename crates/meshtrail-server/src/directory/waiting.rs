//! Events whose people were not known when they were written, and wait for somebody to tell.
//!
//! - Sessions, logins and Kubernetes requests wait. Flows don't: there are too many, and whoever shows them asks the
//!   directory anyway.
//! - At most [`MOST`] wait; the oldest give way. What gave way stays as it was written.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use meshtrail_event::{
    Change, Claim, Detail, Draft, Event, EventId, Identity, IdentityStatus, Kind, SessionId, Target,
    Timestamp,
};
use meshtrail_identity::{History, Known};

/// How many events wait at most: a few hundred bytes each.
const MOST: usize = 50_000;

/// An event that waits.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    id: EventId,
    kind: Kind,
    time: Timestamp,
    session: Option<SessionId>,
    near: Option<Near>,
    far: Option<IpAddr>,
}

/// By what the actor may be found.
#[derive(Clone, Debug)]
struct Near {
    address: Option<IpAddr>,
    claim: Claim,
}

impl Waiting {
    /// What is not known of an event and might be told later; none where all is known, or nothing to ask by.
    pub(super) fn of(event: &Event) -> Option<Waiting> {
        let unknown =
            matches!(event.identity.status, IdentityStatus::Unresolved | IdentityStatus::SelfReported);
        let near = (unknown && event.actor.service.is_none()).then(|| near(event)).flatten();
        let far = match &event.target {
            Target { device: None, address: Some(address), .. } => ip(address),
            _ => None,
        };
        (near.is_some() || far.is_some()).then(|| Waiting {
            id: event.id.clone(),
            kind: event.kind.clone(),
            time: event.time,
            session: event.session.clone(),
            near,
            far,
        })
    }

    /// The event that tells what is known now; none while the actor, or else the target, is not.
    fn told(&self, history: &History) -> Option<Draft> {
        let near = match &self.near {
            Some(near) => Some(near.known(history, self.time)?),
            None => None,
        };
        let far = self.far.and_then(|far| history.at(far, self.time));
        let provider = near.as_ref().or(far.as_ref())?.provider.to_string();
        let mut draft = Draft::new(Kind::IdentityLearned, self.time);
        draft.session.clone_from(&self.session);
        if let Some(known) = &near {
            known.act_in(&mut draft);
            let claim = self.near.as_ref().map(|near| &near.claim);
            if let Some(differs) = claim.and_then(|claim| difference(claim, known)) {
                draft.identity = Identity {
                    claimed: claim.cloned(),
                    reason: Some(differs),
                    status: IdentityStatus::Conflicting,
                    ..draft.identity
                };
            }
        } else if let Some(known) = &far {
            draft.identity = known.identity();
        }
        if let Some(known) = &far {
            known.be_target_of(&mut draft);
        }
        draft.target.of_type = Some("event".to_owned());
        draft.target.id = Some(self.id.to_string());
        let who = near.as_ref().and_then(|known| known.actor().label());
        let what = who.or_else(|| far.as_ref().and_then(|known| known.device().label().map(str::to_owned)));
        draft.detail = Some(Detail::Change(Box::new(Change {
            origin: Some(provider),
            refers_to: Some(self.id.clone()),
            summary: Some(format!("{} was {}", self.kind, what.unwrap_or_default())),
            ..Change::default()
        })));
        Some(draft)
    }
}

impl Near {
    fn known(&self, history: &History, time: Timestamp) -> Option<Known> {
        let by_address = self.address.and_then(|address| history.at(address, time));
        let by_id = || history.device(self.claim.node_id.as_deref()?, time);
        let by_name = || match &history.named(self.claim.node.as_deref()?, time)[..] {
            [one] => Some(one.clone()),
            _ => None,
        };
        by_address.or_else(by_id).or_else(by_name).filter(|known| known.facts().says_whose())
    }
}

/// By what an event's actor may be found: where it came from, or which device it claims to be.
fn near(event: &Event) -> Option<Near> {
    let device = event.actor.device.clone().unwrap_or_default();
    let peer = match &event.detail {
        Some(Detail::Login(login)) => login.peer.as_deref(),
        _ => None,
    };
    let address = peer.and_then(ip).or_else(|| device.addresses.iter().find_map(|address| ip(address)));
    let mut claim = event.identity.claimed.clone().unwrap_or_default();
    claim.node_id = claim.node_id.or_else(|| device.id.clone());
    claim.node = claim.node.or_else(|| device.name.clone());
    let askable = address.is_some() || claim.node_id.is_some() || claim.node.is_some();
    askable.then_some(Near { address, claim })
}

/// Where a claim is not what is known: the person, or the tags in a person's place.
fn difference(claim: &Claim, known: &Known) -> Option<String> {
    let login = known.person().map(|person| person.login.as_str());
    if let Some(claimed) = &claim.login
        && login.is_none_or(|login| login.to_lowercase() != claimed.to_lowercase())
    {
        return Some(format!("login: {claimed} was claimed against {}", known.facts().whose()));
    }
    let tags = &known.actor().tags;
    let other = !claim.tags.is_empty() && !claim.tags.iter().all(|tag| tags.contains(tag));
    other.then(|| format!("tags: {} were claimed against {}", claim.tags.join(", "), known.facts().whose()))
}

/// An address, with or without a port.
fn ip(text: &str) -> Option<IpAddr> {
    text.parse::<SocketAddr>().map(|address| address.ip()).or_else(|_| text.parse()).ok()
}

/// All events that wait, oldest first.
#[derive(Debug, Default)]
pub(super) struct Queue {
    events: VecDeque<Waiting>,
}

impl Queue {
    pub(super) fn push(&mut self, waiting: Waiting) {
        if self.events.len() >= MOST {
            self.events.pop_front();
        }
        self.events.push_back(waiting);
    }

    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    /// Takes out those of whom something is known now, at most `most` of them.
    pub(super) fn take_told(&mut self, history: &History, most: usize) -> Vec<Draft> {
        let mut told = Vec::new();
        self.events.retain(|waiting| {
            if told.len() >= most {
                return true;
            }
            match waiting.told(history) {
                Some(draft) => {
                    told.push(draft);
                    false
                }
                None => true,
            }
        });
        told
    }
}
