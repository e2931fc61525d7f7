//! What the tailnet is like now: devices, users, policy, DNS, keys, settings, as snapshots.
//!
//! - Each part is asked for by itself. One that can't be had, for want of a scope or because the API is in trouble, is
//!   left out of the snapshot, which then says nothing of it; the others go on.
//! - Devices, users and policy are looked at often, everything else more rarely.
//! - Links that open something (invitations) and secrets are never kept.

mod ask;
mod told;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use meshtrail_event::Timestamp;

use super::client::Client;
use super::error::ApiError;
use crate::config::TailscaleConfig;
use crate::snapshot::{Observations, Origin, Snapshot};
use crate::sources::{Expect, Source};
use crate::start::Wiring;
use crate::turn::{Turn, causes};
use crate::web::Pace;

/// Asks for the tailnet's state again and again.
pub(super) struct StatePoll {
    client: Arc<Client>,
    observations: Observations,
    source: Source,
    pace: Pace,
    settings_every: Duration,
    /// When the rarer parts were last asked for.
    settings_at: Option<Timestamp>,
    /// Parts that are not there for this credential or plan, with the reason, so that each is said once.
    missing: BTreeMap<&'static str, String>,
}

/// A part's answer, or why it is left out.
type Part<T> = Result<T, ApiError>;

impl StatePoll {
    pub(super) fn new(config: &TailscaleConfig, client: Arc<Client>, wiring: &Wiring) -> Self {
        Self {
            client,
            observations: Observations::new(wiring, "tailscale.state", Origin::Tailscale),
            source: wiring.sources.register("tailscale.state", Expect::Every(config.devices_every)),
            pace: Pace::new(config.devices_every),
            settings_every: config.settings_every,
            settings_at: None,
            missing: BTreeMap::new(),
        }
    }

    /// Asks for what is due; the snapshot, and the first thing that went wrong with the API itself.
    async fn ask(&mut self, now: Timestamp) -> (Snapshot, Option<ApiError>) {
        let client = self.client.clone();
        let mut snapshot = Snapshot::new(Origin::Tailscale, self.client.their_time(now));
        let mut trouble = None;
        let users = self.part("users", ask::users(&client, now).await, &mut trouble);
        let logins = users.as_deref().map(told::logins).unwrap_or_default();
        if let Some(devices) = self.part("devices", ask::devices(&client, now).await, &mut trouble) {
            snapshot.others.insert("device_faults".to_owned(), told::faults(&devices));
            snapshot.devices = Some(devices.into_iter().filter_map(told::device).collect());
        }
        snapshot.users = users.map(|users| users.into_iter().filter_map(told::user).collect());
        snapshot.policy = self.part("policy", ask::policy(&client, now).await, &mut trouble);
        if self.settings_at.is_some_and(|at| now.since(at) < self.settings_every) {
            return (snapshot, trouble);
        }
        snapshot.dns = self.part("dns", ask::dns(&client, now).await, &mut trouble);
        let keys = self.part("keys", ask::keys(&client, now).await, &mut trouble);
        snapshot.keys = keys.map(|keys| keys.into_iter().map(|key| told::key(key, &logins)).collect());
        snapshot.settings = self.part("settings", ask::settings(&client, now).await, &mut trouble);
        for (name, scope, path) in ask::OTHERS {
            if let Some(value) =
                self.part(name, ask::other(&client, name, scope, path, now).await, &mut trouble)
            {
                snapshot.others.insert((*name).to_owned(), value);
            }
        }
        if trouble.is_none() {
            self.settings_at = Some(now);
        }
        (snapshot, trouble)
    }

    /// What a part is, or none; what only somebody can mend is said once, other trouble is left to the caller.
    fn part<T>(&mut self, name: &'static str, part: Part<T>, trouble: &mut Option<ApiError>) -> Option<T> {
        let error = match part {
            Ok(part) => {
                if self.missing.remove(name).is_some() {
                    tracing::info!(source = self.source.name(), part = name, "can be read now");
                }
                return Some(part);
            }
            Err(error) => error,
        };
        if matches!(error, ApiError::Forbidden { .. } | ApiError::NotFound { .. }) && name != "devices" {
            let text = error.to_string();
            if self.missing.get(name) != Some(&text) {
                tracing::warn!(source = self.source.name(), part = name, "not read: {text}");
                self.missing.insert(name, text);
            }
        } else {
            trouble.get_or_insert(error);
        }
        None
    }
}

impl Turn for StatePoll {
    async fn turn(&mut self, now: Timestamp) -> Duration {
        let (snapshot, trouble) = self.ask(now).await;
        let taken = snapshot.taken;
        let got_any = snapshot.devices.is_some() || snapshot.users.is_some() || snapshot.policy.is_some();
        match self.observations.record(snapshot).await {
            Ok(count) if got_any || trouble.is_none() => {
                self.source.heard(count as u64, (count > 0).then_some(taken));
            }
            Ok(_) => {}
            Err(error) => {
                self.source.trouble(&causes(&error));
                return self.pace.bad(None);
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
