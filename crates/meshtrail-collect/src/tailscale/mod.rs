//! Tailscale's API v2, asked again and again.
//!
//! - `client`: one question: token, bounds, what a refusal means.
//! - `log`: a log, read by windows of time that overlap; `audit`: the configuration audit log; `flows`: network flow
//!   logs.
//! - `state`: devices, users, policy, DNS, keys and settings as snapshots.
//! - `window`: which stretch of time is asked next.
//!
//! Facts of the API are Tailscale's own OpenAPI description and documentation; where those disagree with what is seen
//! on the wire, both are read.

mod audit;
mod client;
mod error;
mod flows;
mod log;
mod shapes;
mod state;
#[cfg(test)]
mod tests;
mod window;

use std::sync::Arc;

use crate::config::TailscaleConfig;
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
        spawn(wiring, audit::poll(&config, client.clone(), wiring));
        if let Some(every) = config.flows_every {
            spawn(wiring, flows::poll(&config, every, client.clone(), wiring));
        }
        spawn(wiring, state::StatePoll::new(&config, client, wiring));
    }
}
