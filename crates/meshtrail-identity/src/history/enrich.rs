//! Telling events who it was.

use std::hint::black_box;
use std::net::IpAddr;
use std::sync::Arc;

use meshtrail_event::{Actor, Draft, Identity, IdentityStatus, Timestamp};

use super::{History, Known};

/// The addresses of an event whose owners are to be told.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ends {
    /// Where the actor was.
    pub near: Option<IpAddr>,
    /// Where what was acted on was.
    pub far: Option<IpAddr>,
}

impl History {
    /// Fills in who acted and whose device was acted on, as of the event's own time. What the draft already says
    /// stays; what is not known stays out, with the reason.
    pub fn enrich(&self, draft: &mut Draft, ends: Ends) {
        let near = ends.near.filter(|_| draft.actor.is_empty());
        let far = ends.far.filter(|_| draft.target.device.is_none());
        let inner = self.read();
        // Both ends are looked up before either is used, and what is shared is read before any count of it is changed:
        // the processor then waits for memory once, not for each end in turn.
        let near_address = near.and_then(|near| inner.address(near));
        let far_address = far.and_then(|far| inner.address(far));
        let near_holder = near_address.map(|address| inner.holder(address, draft.time));
        let far_holder = far_address.map(|address| inner.holder(address, draft.time));
        let near_held = near_holder.as_ref().and_then(|holder| holder.held());
        let far_held = far_holder.as_ref().and_then(|holder| holder.held());
        black_box([near_held, far_held].map(|held| held.map(|held| shares(&held.actor))));
        if let Some(held) = near_held {
            draft.actor.clone_from(&held.actor);
            draft.identity = held.known.identity_of(&held.actor);
        }
        if let Some(held) = far_held {
            be_target(draft, &held.actor);
        }
        let is_unknown = near_held.is_none();
        drop(near_holder);
        drop(far_holder);
        drop(inner);
        if let Some(near) = near.filter(|_| is_unknown) {
            draft.identity = self.unknown(near, draft.time);
        }
    }

    /// Why nobody is known behind an address, as it stands in an event.
    pub fn unknown(&self, address: IpAddr, time: Timestamp) -> Identity {
        let reason = match self.route_to(address, time) {
            Some(routed) => {
                let router = routed.routers[0].device().label().unwrap_or_default().to_owned();
                format!("a host behind {router}, which routes {}", routed.prefix)
            }
            None => "no device was known to have this address then".to_owned(),
        };
        Identity { reason: Some(reason), status: IdentityStatus::Unresolved, ..Identity::default() }
    }
}

impl Known {
    /// Makes this the draft's actor.
    pub fn act_in(&self, draft: &mut Draft) {
        draft.actor.clone_from(self.actor());
        draft.identity = self.identity();
    }

    /// Makes this what the draft's event acts on.
    pub fn be_target_of(&self, draft: &mut Draft) {
        be_target(draft, self.actor());
    }
}

fn be_target(draft: &mut Draft, actor: &Actor) {
    draft.target.device.clone_from(&actor.device);
    draft.target.person.clone_from(&actor.person);
}

/// How many hold what the actor shares: asked only so that it is at hand.
fn shares(actor: &Actor) -> usize {
    let device = actor.device.as_ref().map_or(0, Arc::strong_count);
    device + actor.person.as_ref().map_or(0, Arc::strong_count)
}
