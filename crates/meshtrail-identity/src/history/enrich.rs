//! Telling events who it was.

use std::net::IpAddr;

use meshtrail_event::{Draft, Identity, IdentityStatus, Timestamp};

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
        if let Some(near) = ends.near
            && draft.actor.is_empty()
        {
            match self.at(near, draft.time) {
                Some(known) => known.act_in(draft),
                None => draft.identity = self.unknown(near, draft.time),
            }
        }
        if let Some(far) = ends.far
            && draft.target.device.is_none()
            && let Some(known) = self.at(far, draft.time)
        {
            known.be_target_of(draft);
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
        draft.target.device = Some(self.device().clone());
        draft.target.person = self.person().cloned();
    }
}
