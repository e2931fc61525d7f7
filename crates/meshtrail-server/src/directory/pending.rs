//! Events whose people were unknown when they were written, held until the directory knows them.
//!
//! - Sessions, logins and Kubernetes requests are held. Flows are not: there are too many, and whatever shows them
//!   queries the directory anyway.
//! - At most [`MAX_EVENTS`] are held; the oldest is dropped for a new one, and stays unresolved.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use meshtrail_event::{
    Change, Claim, Detail, Draft, Event, EventId, Identity, IdentityStatus, Kind, SessionId, Target,
    Timestamp,
};
use meshtrail_identity::{DeviceAsOf, History};

/// Most pending events, a few hundred bytes each.
const MAX_EVENTS: usize = 50_000;

/// An event with an unknown actor or target.
#[derive(Clone, Debug)]
pub(super) struct PendingEvent {
    id: EventId,
    kind: Kind,
    time: Timestamp,
    session: Option<SessionId>,
    /// Set where the actor is unknown.
    actor: Option<ActorHints>,
    /// Set where the target is known by its address alone.
    target: Option<IpAddr>,
}

/// What identifies the actor: the address it came from, and the device it claims to be.
#[derive(Clone, Debug)]
struct ActorHints {
    address: Option<IpAddr>,
    claim: Claim,
}

impl PendingEvent {
    /// The pending event for `event`; `None` where actor and target are known, or nothing identifies them.
    pub(super) fn of(event: &Event) -> Option<PendingEvent> {
        let unknown =
            matches!(event.identity.status, IdentityStatus::Unresolved | IdentityStatus::SelfReported);
        let actor = (unknown && event.actor.service.is_none()).then(|| actor_hints(event)).flatten();
        let target = match &event.target {
            Target { device: None, address: Some(address), .. } => parse_ip(address),
            _ => None,
        };
        (actor.is_some() || target.is_some()).then(|| PendingEvent {
            id: event.id.clone(),
            kind: event.kind.clone(),
            time: event.time,
            session: event.session.clone(),
            actor,
            target,
        })
    }

    /// The `identity.learned` event; `None` while the actor, or else the target, is unknown.
    fn resolve(&self, history: &History) -> Option<Draft> {
        let actor = match &self.actor {
            Some(hints) => Some(hints.lookup(history, self.time)?),
            None => None,
        };
        let target = self.target.and_then(|address| history.at(address, self.time));
        let provider = actor.as_ref().or(target.as_ref())?.provider.to_string();
        let mut draft = Draft::new(Kind::IdentityLearned, self.time);
        draft.session.clone_from(&self.session);
        if let Some(known) = &actor {
            known.set_as_actor(&mut draft);
            let claim = self.actor.as_ref().map(|hints| &hints.claim);
            if let Some(conflict) = claim.and_then(|claim| describe_conflict(claim, known)) {
                draft.identity = Identity {
                    claimed: claim.cloned(),
                    reason: Some(conflict),
                    status: IdentityStatus::Conflicting,
                    ..draft.identity
                };
            }
        } else if let Some(known) = &target {
            draft.identity = known.identity();
        }
        if let Some(known) = &target {
            known.set_as_target(&mut draft);
        }
        draft.target.of_type = Some("event".to_owned());
        draft.target.id = Some(self.id.to_string());
        let label = actor.as_ref().and_then(|known| known.actor().label());
        let label =
            label.or_else(|| target.as_ref().and_then(|known| known.device().label().map(str::to_owned)));
        draft.detail = Some(Detail::Change(Box::new(Change {
            origin: Some(provider),
            refers_to: Some(self.id.clone()),
            summary: Some(format!("{} was {}", self.kind, label.unwrap_or_default())),
            ..Change::default()
        })));
        Some(draft)
    }
}

impl ActorHints {
    /// Looks up the actor by address, else by node id, else by a name that only one device had.
    fn lookup(&self, history: &History, time: Timestamp) -> Option<DeviceAsOf> {
        let by_address = self.address.and_then(|address| history.at(address, time));
        let by_id = || history.device(self.claim.node_id.as_deref()?, time);
        let by_name = || match &history.devices_by_name(self.claim.node.as_deref()?, time)[..] {
            [one] => Some(one.clone()),
            _ => None,
        };
        by_address.or_else(by_id).or_else(by_name).filter(|known| known.facts().names_owner())
    }
}

/// The hints in `event`; `None` where nothing identifies the actor.
fn actor_hints(event: &Event) -> Option<ActorHints> {
    let device = event.actor.device.clone().unwrap_or_default();
    let peer = match &event.detail {
        Some(Detail::Login(login)) => login.peer.as_deref(),
        _ => None,
    };
    let address =
        peer.and_then(parse_ip).or_else(|| device.addresses.iter().find_map(|address| parse_ip(address)));
    let mut claim = event.identity.claimed.clone().unwrap_or_default();
    claim.node_id = claim.node_id.or_else(|| device.id.clone());
    claim.node = claim.node.or_else(|| device.name.clone());
    let any = address.is_some() || claim.node_id.is_some() || claim.node.is_some();
    any.then_some(ActorHints { address, claim })
}

/// How a claim differs from what is known: another person, or tags that the device does not have.
fn describe_conflict(claim: &Claim, known: &DeviceAsOf) -> Option<String> {
    let login = known.person().map(|person| person.login.as_str());
    if let Some(claimed) = &claim.login
        && login.is_none_or(|login| login.to_lowercase() != claimed.to_lowercase())
    {
        return Some(format!("login: {claimed} was claimed against {}", known.facts().owner_label()));
    }
    let tags = &known.actor().tags;
    let other = !claim.tags.is_empty() && !claim.tags.iter().all(|tag| tags.contains(tag));
    other.then(|| {
        format!("tags: {} were claimed against {}", claim.tags.join(", "), known.facts().owner_label())
    })
}

/// Parses an address, with or without a port.
fn parse_ip(text: &str) -> Option<IpAddr> {
    text.parse::<SocketAddr>().map(|address| address.ip()).or_else(|_| text.parse()).ok()
}

/// The pending events, oldest first.
#[derive(Debug, Default)]
pub(super) struct PendingQueue {
    events: VecDeque<PendingEvent>,
}

impl PendingQueue {
    pub(super) fn push(&mut self, event: PendingEvent) {
        if self.events.len() >= MAX_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    /// The `identity.learned` events of those that are resolved now, at most `most`. Each event is pending until it is
    /// [removed](Self::remove), because its `identity.learned` event may fail to be written.
    pub(super) fn resolved(&self, history: &History, most: usize) -> Vec<(EventId, Draft)> {
        let resolved =
            self.events.iter().filter_map(|event| Some((event.id.clone(), event.resolve(history)?)));
        resolved.take(most).collect()
    }

    /// Removes the events for which `is_done` holds.
    pub(super) fn remove(&mut self, is_done: impl Fn(&EventId) -> bool) {
        self.events.retain(|event| !is_done(&event.id));
    }
}
