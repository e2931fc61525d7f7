//! What the tailnet is like now: devices, users, policy, DNS, keys, settings, as snapshots.
//!
//! - Each part is asked for by itself. One that can't be had, for want of a scope or because the API is in trouble, is
//!   left out of the snapshot, which then says nothing of it; the others go on, and the source says which it is and
//!   since when.
//! - What a credential lost the scope for is kept as it was seen last: kinds of keys, routes, who a key's owner is.
//! - Devices, users and policy are looked at often, everything else more rarely.
//! - Links that open something (invitations) and secrets are never kept.

mod ask;
mod told;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use meshtrail_event::Timestamp;
use meshtrail_identity::DeviceState;

use super::client::{Client, Scopes};
use super::error::ApiError;
use super::shapes::ApiDevice;
use crate::config::TailscaleConfig;
use crate::snapshot::{KeyState, Observations, Observer, Origin, Snapshot};
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
        }
    }

    /// Asks for what is due; the snapshot, and the first thing that went wrong with the API itself.
    async fn ask(&mut self, now: Timestamp) -> (Snapshot, Option<ApiError>) {
        let client = self.client.clone();
        let mut snapshot = Snapshot::new(Origin::Tailscale, self.client.their_time(now));
        let (mut trouble, mut fresh) = (None, false);
        let users = self.part("users", ask::users(&client, now).await, &mut trouble);
        let logins = match &users {
            Some(users) => told::logins(users),
            None => self.known_logins(),
        };
        if let Some(devices) = self.part("devices", ask::devices(&client, now).await, &mut trouble) {
            snapshot.others.insert("device_faults".to_owned(), told::faults(&devices));
            match self.with_routes(devices, &mut fresh, now).await {
                Ok(devices) => snapshot.devices = Some(devices),
                Err(error) => {
                    trouble.get_or_insert(error);
                }
            }
        }
        snapshot.users = users.map(|users| users.into_iter().filter_map(told::user).collect());
        snapshot.policy = self.part("policy", ask::policy(&client, now).await, &mut trouble);
        if self.settings_at.is_some_and(|at| now.since(at) < self.settings_every) {
            return (snapshot, trouble);
        }
        snapshot.dns = self.part("dns", ask::dns(&client, now).await, &mut trouble);
        if let Some(keys) = self.part("keys", ask::keys(&client, now).await, &mut trouble) {
            let keys = keys.into_iter().map(|key| told::key(key, &logins)).collect();
            match self.with_unseen_kinds(keys, &mut fresh, now).await {
                Ok(keys) => snapshot.keys = Some(keys),
                Err(error) => {
                    trouble.get_or_insert(error);
                }
            }
        }
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
    fn part<T>(&self, name: &'static str, part: Part<T>, trouble: &mut Option<ApiError>) -> Option<T> {
        match part {
            Ok(part) => {
                self.source.seen(name);
                return Some(part);
            }
            Err(error @ (ApiError::Forbidden { .. } | ApiError::NotFound { .. })) if name != "devices" => {
                self.unseen(name, name, &error.to_string());
            }
            Err(error) => {
                trouble.get_or_insert(error);
            }
        }
        None
    }

    /// Says that a part is not to be seen; it was seen last together with another.
    fn unseen(&self, part: &str, seen_with: &str, reason: &str) {
        let since = self.observations.last().and_then(|last| last.seen_at(seen_with));
        self.source.unseen(part, since, reason);
    }

    /// Logins by the ids of the people that were seen last.
    fn known_logins(&self) -> BTreeMap<String, String> {
        let users = self.observations.last().into_iter().flat_map(Observer::users);
        users.map(|user| (user.id.clone(), user.login.clone())).collect()
    }

    /// What the credential may do, where a part that was seen before is not told any more. A token that was made before
    /// may not say it: a new one is made, once in a look, and not for what is known not to be visible.
    async fn scopes(&self, part: &str, fresh: &mut bool, now: Timestamp) -> Part<Option<Scopes>> {
        if self.source.is_unseen(part) || std::mem::replace(fresh, true) {
            return Ok(self.client.scopes().await);
        }
        self.client.fresh_scopes(now).await
    }

    /// The devices; where no routes are told any more and the credential may not read them, with those that were seen
    /// last.
    async fn with_routes(
        &self,
        devices: Vec<ApiDevice>,
        fresh: &mut bool,
        now: Timestamp,
    ) -> Part<Vec<DeviceState>> {
        let told = devices
            .iter()
            .any(|device| device.enabled_routes.is_some() || device.advertised_routes.is_some());
        let mut states: Vec<DeviceState> = devices.into_iter().filter_map(told::device).collect();
        let Some(last) = self.observations.last().filter(|_| !told) else {
            self.source.seen("routes");
            return Ok(states);
        };
        let routes = |state: &DeviceState| {
            let known = last.device(&state.id)?;
            let any = !known.advertised_routes.is_empty() || !known.enabled_routes.is_empty();
            any.then(|| (known.advertised_routes.clone(), known.enabled_routes.clone()))
        };
        let visible = !states.iter().any(|state| routes(state).is_some()) || {
            let scopes = self.scopes("routes", fresh, now).await?;
            scopes.is_none_or(|scopes| scopes.cover("devices:routes"))
        };
        if visible {
            self.source.seen("routes");
            return Ok(states);
        }
        let reason = "the credential may not read routes: it needs the scope devices:routes:read";
        self.unseen("routes", "devices", reason);
        for state in &mut states {
            if let Some(known) = routes(state) {
                (state.advertised_routes, state.enabled_routes) = known;
            }
        }
        Ok(states)
    }

    /// The keys of a list, and those of kinds that the credential has lost the scope for, as they were seen last: a list
    /// holds only the kinds that the scopes unlock, and does not say which.
    async fn with_unseen_kinds(
        &self,
        mut keys: Vec<KeyState>,
        fresh: &mut bool,
        now: Timestamp,
    ) -> Part<Vec<KeyState>> {
        for (kind, scope, part) in ask::KINDS {
            let of_kind = |key: &&KeyState| key.of_type.as_deref() == Some(*kind);
            let known: Vec<KeyState> = self
                .observations
                .last()
                .into_iter()
                .flat_map(Observer::keys)
                .filter(of_kind)
                .cloned()
                .collect();
            // The last of them is gone, or the scope is.
            let visible = known.is_empty() || keys.iter().any(|key| of_kind(&key)) || {
                let scopes = self.scopes(part, fresh, now).await?;
                scopes.is_none_or(|scopes| scopes.cover(scope))
            };
            if visible {
                self.source.seen(part);
                continue;
            }
            let reason = format!("the credential may not read {part}: it needs the scope {scope}:read");
            self.unseen(part, "keys", &reason);
            keys.extend(known);
        }
        Ok(keys)
    }
}

impl Turn for StatePoll {
    async fn turn(&mut self, now: Timestamp) -> Duration {
        if let Err(error) = self.observations.look_back().await {
            self.source.trouble(&causes(&error));
            return self.pace.bad(None);
        }
        let (snapshot, trouble) = self.ask(now).await;
        let taken = snapshot.taken;
        self.source.clock(self.client.skew());
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
