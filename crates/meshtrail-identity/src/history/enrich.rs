//! Fills in the devices and people of events.

use std::hint::black_box;
use std::net::IpAddr;
use std::sync::Arc;

use meshtrail_event::{Actor, Draft, Identity, IdentityStatus, Timestamp};

use super::{DeviceAsOf, History};

/// The addresses of an event whose holders are filled in.
#[derive(Clone, Copy, Debug, Default)]
pub struct EventAddresses {
    /// The actor's address.
    pub near: Option<IpAddr>,
    /// The target's address.
    pub far: Option<IpAddr>,
}

impl History {
    /// Fills in the actor and the target's device and owner, as of the event's time. An actor or device that is already set
    /// stays; an unknown actor is left out, with the reason.
    pub fn enrich(&self, draft: &mut Draft, addresses: EventAddresses) {
        let near = addresses.near.filter(|_| draft.actor.is_empty());
        let far = addresses.far.filter(|_| draft.target.device.is_none());
        let inner = self.read();
        // Both ends are looked up before either is used, and shared values are read before their reference counts change: the
        // processor then waits for memory once, not for each end separately.
        let near_address = near.and_then(|near| inner.address(near));
        let far_address = far.and_then(|far| inner.address(far));
        let near_holder = near_address.map(|address| inner.holder(address, draft.time));
        let far_holder = far_address.map(|address| inner.holder(address, draft.time));
        let near_answer = near_holder.as_ref().and_then(|holder| holder.answer());
        let far_answer = far_holder.as_ref().and_then(|holder| holder.answer());
        black_box([near_answer, far_answer].map(|answer| answer.map(|answer| share_count(&answer.actor))));
        if let Some(answer) = near_answer {
            draft.actor.clone_from(&answer.actor);
            draft.identity = answer.device.identity_of(&answer.actor);
        }
        if let Some(answer) = far_answer {
            set_target(draft, &answer.actor);
        }
        let is_unknown = near_answer.is_none();
        drop(near_holder);
        drop(far_holder);
        drop(inner);
        if let Some(near) = near.filter(|_| is_unknown) {
            draft.identity = self.unresolved_identity(near, draft.time);
        }
    }

    /// The identity for an address without a known device, with the reason.
    pub fn unresolved_identity(&self, address: IpAddr, time: Timestamp) -> Identity {
        let reason = match self.route_to(address, time) {
            Some(route) => {
                let router = route.routers[0].device().label().unwrap_or_default().to_owned();
                format!("a host behind {router}, which routes {}", route.prefix)
            }
            None => "no device was known to have this address then".to_owned(),
        };
        Identity { reason: Some(reason), status: IdentityStatus::Unresolved, ..Identity::default() }
    }
}

impl DeviceAsOf {
    /// Sets this device, with its owner, as the draft's actor.
    pub fn set_as_actor(&self, draft: &mut Draft) {
        draft.actor.clone_from(self.actor());
        draft.identity = self.identity();
    }

    /// Sets this device, with its owner, as the draft's target.
    pub fn set_as_target(&self, draft: &mut Draft) {
        set_target(draft, self.actor());
    }
}

fn set_target(draft: &mut Draft, actor: &Actor) {
    draft.target.device.clone_from(&actor.device);
    draft.target.person.clone_from(&actor.person);
}

/// The reference counts of the actor's shared values; read only to load them into the processor's cache.
fn share_count(actor: &Actor) -> usize {
    let device = actor.device.as_ref().map_or(0, Arc::strong_count);
    device + actor.person.as_ref().map_or(0, Arc::strong_count)
}
