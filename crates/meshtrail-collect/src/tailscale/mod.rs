//! Tailscale's API v2, asked again and again.
//!
//! - `client`: one question: token, bounds, what a refusal means.
//! - `audit`: the configuration audit log; `flows`: network flow logs; both by windows of time that overlap.
//! - `state`: devices, users, policy, DNS, keys and settings as snapshots.
//! - `window`: which stretch of time is asked next.
//!
//! Facts of the API are Tailscale's own OpenAPI description and documentation; where those disagree with what is seen
//! on the wire, both are read.

mod audit;
mod client;
mod error;
mod flows;
mod shapes;
mod state;
#[cfg(test)]
mod tests;
mod window;

use std::sync::Arc;

use crate::config::TailscaleConfig;
use crate::sources::Expect;
use crate::start::Wiring;
use crate::turn::spawn;
use crate::web::{Times, WebError};

pub use client::Client;
pub use error::ApiError;

/// Everything that is polled of one tailnet, not started yet.
pub(crate) struct Tailscale {
    config: TailscaleConfig,
    client: Arc<Client>,
}

impl Tailscale {
    /// Prepares to ask; nothing is asked yet.
    pub(crate) fn open(config: TailscaleConfig) -> Result<Self, WebError> {
        let client = Arc::new(Client::new(&config, Times::default())?);
        Ok(Self { config, client })
    }

    /// Begins to poll.
    pub(crate) fn start(self, wiring: &Wiring) {
        let Self { config, client } = self;
        let register = |name: &str, every| wiring.sources.register(name, Expect::Every(every));
        let emitter = wiring.trail.emitter("tailscale.audit");
        let source = register("tailscale.audit", config.audit_every);
        let audit = audit::AuditPoll::new(&config, client.clone(), wiring, emitter, source);
        spawn(wiring, audit);
        if let Some(every) = config.flows_every {
            let emitter = wiring.trail.emitter("tailscale.flow");
            let source = register("tailscale.flow", every);
            spawn(wiring, flows::FlowPoll::new(&config, every, client.clone(), wiring, emitter, source));
        }
        let emitter = wiring.trail.emitter("tailscale.state");
        let source = register("tailscale.state", config.devices_every);
        spawn(wiring, state::StatePoll::new(&config, client, wiring, emitter, source));
    }
}
