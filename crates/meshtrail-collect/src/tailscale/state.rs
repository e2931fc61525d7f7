//! Poller of the tailnet's state: snapshots of devices, users, policy, DNS, keys and settings.
//!
//! - Each part is requested separately. One that can't be read, for want of a scope or because of an error of the API, is
//!   left out of the snapshot, which then says nothing of it; the others are recorded, and the source reports which part it
//!   is and since when.
//! - What a credential lost the scope for stays as it was read last: kinds of keys, routes, a key's owner.
//! - Devices, users and policy are read often, everything else less often.
//! - Secrets, and links that grant access (invitations), are never stored.

mod convert;
mod requests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use meshtrail_change::snapshot::{KeyState, Observer, Origin, Snapshot};
use meshtrail_event::{DeviceState, Timestamp};

use super::client::{Client, Scopes};
use super::error::ApiError;
use super::shapes::ApiDevice;
use crate::config::TailscaleConfig;
use crate::observations::Observations;
use crate::poll::{Poller, causes};
use crate::sources::{Cadence, Source};
use crate::start::Wiring;
use crate::web::Backoff;

/// Records a snapshot of the tailnet's state at each poll.
pub(super) struct StatePoller {
    client: Arc<Client>,
    observations: Observations,
    source: Source,
    backoff: Backoff,
    settings_every: Duration,
    /// When the less frequent parts were last read.
    settings_at: Option<Timestamp>,
}

/// One part of the state, or why it can't be read.
type Part<T> = Result<T, ApiError>;

impl StatePoller {
    pub(super) fn new(config: &TailscaleConfig, client: Arc<Client>, wiring: &Wiring) -> Self {
        Self {
            client,
            observations: Observations::new(wiring, "tailscale.state", Origin::Tailscale),
            source: wiring.sources.register("tailscale.state", Cadence::Every(config.devices_every)),
            backoff: Backoff::new(config.devices_every),
            settings_every: config.settings_every,
            settings_at: None,
        }
    }

    /// Reads the parts that are due; returns the snapshot, and the first error that only a retry can fix.
    async fn read_state(&mut self, now: Timestamp) -> (Snapshot, Option<ApiError>) {
        let client = self.client.clone();
        let mut snapshot = Snapshot::new(Origin::Tailscale, self.client.their_time(now));
        let (mut trouble, mut refreshed) = (None, false);
        let users = self.available("users", requests::users(&client, now).await, &mut trouble);
        let logins = match &users {
            Some(users) => convert::logins(users),
            None => self.known_logins(),
        };
        if let Some(devices) = self.available("devices", requests::devices(&client, now).await, &mut trouble)
        {
            snapshot.others.insert("device_faults".to_owned(), convert::faults(&devices));
            match self.with_routes(devices, &mut refreshed, now).await {
                Ok(devices) => snapshot.devices = Some(devices),
                Err(error) => {
                    trouble.get_or_insert(error);
                }
            }
        }
        snapshot.users = users.map(|users| users.into_iter().filter_map(convert::user).collect());
        snapshot.policy = self.available("policy", requests::policy(&client, now).await, &mut trouble);
        if self.settings_at.is_some_and(|at| now.since(at) < self.settings_every) {
            return (snapshot, trouble);
        }
        snapshot.dns = self.available("dns", requests::dns(&client, now).await, &mut trouble);
        if let Some(keys) = self.available("keys", requests::keys(&client, now).await, &mut trouble) {
            let keys = keys.into_iter().map(|key| convert::key(key, &logins)).collect();
            match self.with_unavailable_kinds(keys, &mut refreshed, now).await {
                Ok(keys) => snapshot.keys = Some(keys),
                Err(error) => {
                    trouble.get_or_insert(error);
                }
            }
        }
        snapshot.settings = self.available("settings", requests::settings(&client, now).await, &mut trouble);
        for (name, scope, path) in requests::OTHERS {
            if let Some(value) =
                self.available(name, requests::other(&client, name, scope, path, now).await, &mut trouble)
            {
                snapshot.others.insert((*name).to_owned(), value);
            }
        }
        if trouble.is_none() {
            self.settings_at = Some(now);
        }
        (snapshot, trouble)
    }

    /// The part, if it could be read. A missing scope or plan is recorded with the source; another error goes to `trouble`.
    fn available<T>(&self, name: &'static str, part: Part<T>, trouble: &mut Option<ApiError>) -> Option<T> {
        match part {
            Ok(part) => {
                self.source.record_available(name);
                return Some(part);
            }
            Err(error @ (ApiError::Forbidden { .. } | ApiError::NotFound { .. })) if name != "devices" => {
                self.record_unavailable(name, name, &error.to_string());
            }
            Err(error) => {
                trouble.get_or_insert(error);
            }
        }
        None
    }

    /// Records that `part` can't be read; it was read last together with the part `read_with`.
    fn record_unavailable(&self, part: &str, read_with: &str, reason: &str) {
        let since = self.observations.last().and_then(|last| last.last_taken(read_with));
        self.source.record_unavailable(part, since, reason);
    }

    /// Logins by user id, from the last list of users that could be read.
    fn known_logins(&self) -> BTreeMap<String, String> {
        let users = self.observations.last().into_iter().flat_map(Observer::users);
        users.map(|user| (user.id.clone(), user.login.clone())).collect()
    }

    /// The credential's scopes, when a part that could be read before is missing. The current token may be older than the
    /// change of scopes: a new one is requested, at most once in a poll, and not for a part that is already unavailable.
    async fn scopes(&self, part: &str, refreshed: &mut bool, now: Timestamp) -> Part<Option<Scopes>> {
        if self.source.is_unavailable(part) || std::mem::replace(refreshed, true) {
            return Ok(self.client.scopes().await);
        }
        self.client.refresh_scopes(now).await
    }

    /// The devices. If the response has no routes any more and the credential may not read them, the last known routes are
    /// filled in.
    async fn with_routes(
        &self,
        devices: Vec<ApiDevice>,
        refreshed: &mut bool,
        now: Timestamp,
    ) -> Part<Vec<DeviceState>> {
        let has_routes = devices
            .iter()
            .any(|device| device.enabled_routes.is_some() || device.advertised_routes.is_some());
        let mut states: Vec<DeviceState> = devices.into_iter().filter_map(convert::device).collect();
        let Some(last) = self.observations.last().filter(|_| !has_routes) else {
            self.source.record_available("routes");
            return Ok(states);
        };
        let routes = |state: &DeviceState| {
            let known = last.device(&state.id)?;
            let any = !known.advertised_routes.is_empty() || !known.enabled_routes.is_empty();
            any.then(|| (known.advertised_routes.clone(), known.enabled_routes.clone()))
        };
        let visible = !states.iter().any(|state| routes(state).is_some()) || {
            let scopes = self.scopes("routes", refreshed, now).await?;
            scopes.is_none_or(|scopes| scopes.cover("devices:routes"))
        };
        if visible {
            self.source.record_available("routes");
            return Ok(states);
        }
        let reason = "the credential may not read routes: it needs the scope devices:routes:read";
        self.record_unavailable("routes", "devices", reason);
        for state in &mut states {
            if let Some(known) = routes(state) {
                (state.advertised_routes, state.enabled_routes) = known;
            }
        }
        Ok(states)
    }

    /// The keys of a list, and the last known ones of kinds that the credential has lost the scope for: a list holds only
    /// the kinds that the scopes allow, and does not say which.
    async fn with_unavailable_kinds(
        &self,
        mut keys: Vec<KeyState>,
        refreshed: &mut bool,
        now: Timestamp,
    ) -> Part<Vec<KeyState>> {
        for (kind, scope, part) in requests::KEY_KINDS {
            let of_kind = |key: &&KeyState| key.of_type.as_deref() == Some(*kind);
            let known: Vec<KeyState> = self
                .observations
                .last()
                .into_iter()
                .flat_map(Observer::keys)
                .filter(of_kind)
                .cloned()
                .collect();
            // Either the last key of this kind was deleted, or the scope was removed.
            let visible = known.is_empty() || keys.iter().any(|key| of_kind(&key)) || {
                let scopes = self.scopes(part, refreshed, now).await?;
                scopes.is_none_or(|scopes| scopes.cover(scope))
            };
            if visible {
                self.source.record_available(part);
                continue;
            }
            let reason = format!("the credential may not read {part}: it needs the scope {scope}:read");
            self.record_unavailable(part, "keys", &reason);
            keys.extend(known);
        }
        Ok(keys)
    }
}

impl Poller for StatePoller {
    async fn poll(&mut self, now: Timestamp) -> Duration {
        if let Err(error) = self.observations.rebuild().await {
            self.source.record_trouble(&causes(&error));
            return self.backoff.failure(None);
        }
        let (snapshot, trouble) = self.read_state(now).await;
        let taken = snapshot.taken;
        self.source.record_clock(self.client.skew());
        let read_any = snapshot.devices.is_some() || snapshot.users.is_some() || snapshot.policy.is_some();
        match self.observations.record(snapshot).await {
            Ok(count) if read_any || trouble.is_none() => {
                self.source.record_contact(count as u64, (count > 0).then_some(taken));
            }
            Ok(_) => {}
            Err(error) => {
                self.source.record_trouble(&causes(&error));
                return self.backoff.failure(None);
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
