//! Headscale's API v1, asked again and again.
//!
//! - Headscale keeps no history and tells nothing by itself: what happened is what differs between two looks, and its
//!   time is known as exactly as the span between them. Who did it is not told.
//! - Each part is asked for by itself; one that can't be had is left out of the snapshot, which then says nothing of it.
//! - Keys are kept by their ids, never by their text, which old versions give in full.
//!
//! Facts: `hscontrol/api/v1` and the Swagger description of Headscale 0.27 to 0.30.

mod ask;
mod shapes;
#[cfg(test)]
mod tests;

use std::time::Duration;

use meshtrail_event::Timestamp;

use crate::config::HeadscaleConfig;
use crate::snapshot::{Observations, Origin, Snapshot};
use crate::sources::{Expect, Source};
use crate::start::Wiring;
use crate::turn::{Turn, causes, spawn};
use crate::web::{Pace, Times, Web, WebError};

pub(crate) use ask::AskError;
use ask::Asker;

/// One Headscale, not asked yet.
pub(crate) struct Headscale {
    config: HeadscaleConfig,
    asker: Asker,
}

impl Headscale {
    /// Prepares to ask.
    pub(crate) fn open(config: HeadscaleConfig) -> Result<Self, WebError> {
        let times =
            Times { whole: Duration::from_secs(60), silence: Duration::from_secs(20), ..Times::default() };
        let web = Web::new(&config.url, times, config.ca_file.as_deref())?;
        let asker = Asker::new(web, config.api_key.clone());
        Ok(Self { config, asker })
    }

    /// Begins to poll.
    pub(crate) fn start(self, wiring: &Wiring) {
        spawn(wiring, Poll::new(self, wiring));
    }
}

/// Asks for the mesh's state again and again.
struct Poll {
    asker: Asker,
    observations: Observations,
    source: Source,
    pace: Pace,
}

impl Poll {
    fn new(headscale: Headscale, wiring: &Wiring) -> Self {
        let Headscale { config, asker } = headscale;
        Self {
            asker,
            observations: Observations::new(wiring, "headscale", Origin::Headscale),
            source: wiring.sources.register("headscale", Expect::Every(config.every)),
            pace: Pace::new(config.every),
        }
    }

    /// Asks for everything; the snapshot of what came, and the first thing that did not.
    async fn ask(&self, now: Timestamp) -> (Snapshot, Option<AskError>) {
        let mut snapshot = Snapshot::new(Origin::Headscale, self.asker.their_time(now));
        let mut trouble = None;
        let users = kept(self.asker.users(now).await, &mut trouble);
        if trouble.as_ref().is_some_and(AskError::is_for_all) {
            return (snapshot, trouble);
        }
        snapshot.devices = kept(self.asker.devices(now).await, &mut trouble);
        snapshot.policy = kept(self.asker.policy(now).await, &mut trouble).flatten();
        let ids: Vec<String> = users.iter().flatten().map(|user| user.id.clone()).collect();
        snapshot.keys = kept(self.asker.keys(&ids, now).await, &mut trouble);
        snapshot.users = users;
        (snapshot, trouble)
    }
}

fn kept<T>(part: Result<T, AskError>, trouble: &mut Option<AskError>) -> Option<T> {
    part.map_err(|error| trouble.get_or_insert(error)).ok()
}

impl Turn for Poll {
    async fn turn(&mut self, now: Timestamp) -> Duration {
        let (snapshot, trouble) = self.ask(now).await;
        self.source.clock(self.asker.skew());
        let (taken, got_any) = (snapshot.taken, snapshot.devices.is_some());
        if got_any {
            match self.observations.record(snapshot).await {
                Ok(count) => self.source.heard(count as u64, (count > 0).then_some(taken)),
                Err(error) => {
                    self.source.trouble(&causes(&error));
                    return self.pace.bad(None);
                }
            }
        }
        match trouble {
            None => self.pace.good(),
            Some(error) => {
                self.source.trouble(&error.to_string());
                self.pace.bad(error.retry_after())
            }
        }
    }
}
