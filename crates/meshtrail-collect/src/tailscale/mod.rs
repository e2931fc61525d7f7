//! Pollers of Tailscale's API v2.
//!
//! - `client`: one request: token, bounds, the meaning of an error.
//! - `log`: reads a log by overlapping windows of time; `audit`: the configuration audit log; `flows`: network flow logs.
//! - `state`: devices, users, policy, DNS, keys and settings as snapshots.
//! - `window`: the window to read next.
//!
//! Sources: Tailscale's OpenAPI description and documentation. Where those disagree with observed responses, both forms are
//! accepted.

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
use crate::poll::spawn;
use crate::start::Wiring;
use crate::web::{Timeouts, WebError};

pub use client::Client;
pub use error::ApiError;

/// The pollers of one tailnet, not started yet.
pub(crate) struct Tailscale {
    config: TailscaleConfig,
    client: Arc<Client>,
}

impl Tailscale {
    /// Builds the HTTP client; nothing is requested yet.
    pub(crate) fn open(config: TailscaleConfig) -> Result<Self, WebError> {
        let client = Arc::new(Client::new(&config, Timeouts::default())?);
        Ok(Self { config, client })
    }

    /// Spawns the pollers.
    pub(crate) fn start(self, wiring: &Wiring) {
        let Self { config, client } = self;
        spawn(wiring, audit::poller(&config, client.clone(), wiring));
        if let Some(every) = config.flows_every {
            spawn(wiring, flows::poller(&config, every, client.clone(), wiring));
        }
        spawn(wiring, state::StatePoller::new(&config, client, wiring));
    }
}
