//! Poller of Headscale's API v1.
//!
//! - Headscale keeps no history and sends no notifications: changes are the differences between two snapshots, and their
//!   time is known as exactly as the interval between these. Who made a change is not known.
//! - Each part is requested separately; one that can't be read is left out of the snapshot, which then says nothing of it.
//! - Keys are stored by their ids, never by their text, which old versions return in full.
//!
//! Sources: `hscontrol/api/v1` and the Swagger description of Headscale 0.27 to 0.30.

mod client;
mod shapes;
#[cfg(test)]
mod tests;

use std::time::Duration;

use meshtrail_change::snapshot::{Origin, Snapshot};
use meshtrail_event::Timestamp;

use crate::config::HeadscaleConfig;
use crate::observations::Observations;
use crate::poll::{Poller, causes, spawn};
use crate::sources::{Cadence, Source};
use crate::start::Wiring;
use crate::web::{ApiClient, Backoff, Timeouts, WebError};

use client::HeadscaleClient;
pub(crate) use client::HeadscaleError;

/// A poller of one Headscale, not started yet.
pub(crate) struct Headscale {
    config: HeadscaleConfig,
    client: HeadscaleClient,
}

impl Headscale {
    /// Builds the HTTP client; nothing is requested yet.
    pub(crate) fn open(config: HeadscaleConfig) -> Result<Self, WebError> {
        let timeouts =
            Timeouts { total: Duration::from_secs(60), read: Duration::from_secs(20), ..Timeouts::default() };
        let api = ApiClient::new(&config.url, timeouts, config.ca_file.as_deref())?;
        let client = HeadscaleClient::new(api, config.api_key.clone());
        Ok(Self { config, client })
    }

    /// Spawns the poller.
    pub(crate) fn start(self, wiring: &Wiring) {
        spawn(wiring, HeadscalePoller::new(self, wiring));
    }
}

/// Records a snapshot of the mesh's state at each poll.
struct HeadscalePoller {
    client: HeadscaleClient,
    observations: Observations,
    source: Source,
    backoff: Backoff,
}

impl HeadscalePoller {
    fn new(headscale: Headscale, wiring: &Wiring) -> Self {
        let Headscale { config, client } = headscale;
        Self {
            client,
            observations: Observations::new(wiring, "headscale", Origin::Headscale),
            source: wiring.sources.register("headscale", Cadence::Every(config.every)),
            backoff: Backoff::new(config.every),
        }
    }

    /// Requests all parts; returns a snapshot of those that could be read, and the first error.
    async fn read_state(&self, now: Timestamp) -> (Snapshot, Option<HeadscaleError>) {
        let mut snapshot = Snapshot::new(Origin::Headscale, self.client.their_time(now));
        let mut trouble = None;
        let users = ok_or_record(self.client.users(now).await, &mut trouble);
        if trouble.as_ref().is_some_and(HeadscaleError::affects_all_requests) {
            return (snapshot, trouble);
        }
        snapshot.devices = ok_or_record(self.client.devices(now).await, &mut trouble);
        snapshot.policy = ok_or_record(self.client.policy(now).await, &mut trouble).flatten();
        let ids: Vec<String> = users.iter().flatten().map(|user| user.id.clone()).collect();
        snapshot.keys = ok_or_record(self.client.keys(&ids, now).await, &mut trouble);
        snapshot.users = users;
        (snapshot, trouble)
    }
}

fn ok_or_record<T>(part: Result<T, HeadscaleError>, trouble: &mut Option<HeadscaleError>) -> Option<T> {
    part.map_err(|error| trouble.get_or_insert(error)).ok()
}

impl Poller for HeadscalePoller {
    async fn poll(&mut self, now: Timestamp) -> Duration {
        let (snapshot, trouble) = self.read_state(now).await;
        self.source.record_clock(self.client.skew());
        let (taken, has_devices) = (snapshot.taken, snapshot.devices.is_some());
        if has_devices {
            match self.observations.record(snapshot).await {
                Ok(count) => self.source.record_contact(count as u64, (count > 0).then_some(taken)),
                Err(error) => {
                    self.source.record_trouble(&causes(&error));
                    return self.backoff.failure(None);
                }
            }
        }
        match trouble {
            None => self.backoff.success(),
            Some(error) => {
                self.source.record_trouble(&error.to_string());
                self.backoff.failure(error.retry_after())
            }
        }
    }
}
