//! Devices and people of the mesh as this machine's own tailscaled sees them, for a mesh whose control plane is not polled.
//!
//! - A snapshot is made of tailscaled's status whenever its IPN bus reports a change, and at least every five minutes.
//! - The node sees only its netmap: devices that the policy lets it talk to, or be talked to by. A device that leaves the
//!   netmap counts as removed; one that was never in it is not known. Policy, DNS, keys and roles are not in it at all.
//!   Configuring the control plane is better where that is possible.
//! - While tailscaled can't be reached no snapshot is made; pauses between tries grow to a minute.

use std::path::PathBuf;
use std::time::Duration;

use meshtrail_change::snapshot::{Origin, Snapshot};
use meshtrail_event::Timestamp;
use meshtrail_identity::{BackendState, Bus, LocalApi, LocalApiError, Peers, Status};

use crate::observations::Observations;
use crate::poll::{Poller, causes, spawn};
use crate::sources::{Cadence, Source, Sources};
use crate::start::Wiring;

/// The status is read at least this often, also if the bus reports no change.
const MAX_INTERVAL: Duration = Duration::from_secs(300);

/// How often the status is read where there is no bus.
const INTERVAL_WITHOUT_BUS: Duration = Duration::from_secs(30);

/// The wait after a change, so that several in a row cause one request: a status is long in a large mesh.
const SETTLE: Duration = Duration::from_secs(1);

/// The first pause after a failure; doubled up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// See [`FIRST_PAUSE`].
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Spawns the poller of the tailscaled at `socket`.
pub(crate) fn start(socket: PathBuf, wiring: &Wiring) {
    spawn(
        wiring,
        StatusPoller {
            local_api: LocalApi::new(socket).with_timeout(Duration::from_secs(10)),
            observations: Observations::new(wiring, "localapi", Origin::LocalApi),
            sources: wiring.sources.clone(),
            source: None,
            bus: None,
            pause: FIRST_PAUSE,
        },
    );
}

struct StatusPoller {
    local_api: LocalApi,
    observations: Observations,
    sources: Sources,
    /// None until the node was up once: a machine without a tailnet has no such source.
    source: Option<Source>,
    bus: Option<Bus>,
    pause: Duration,
}

impl Poller for StatusPoller {
    async fn poll(&mut self, _now: Timestamp) -> Duration {
        if let Some(bus) = &mut self.bus {
            match tokio::time::timeout(MAX_INTERVAL, bus.changed()).await {
                Ok(Ok(())) => tokio::time::sleep(SETTLE).await,
                Ok(Err(_broken)) => self.bus = None,
                Err(_silent) => {}
            }
        }
        if self.bus.is_none() {
            // Opened before the status is read, so that no change between the two is missed.
            self.bus = self.local_api.bus().await.ok();
        }
        match self.record_status().await {
            Ok(()) => {
                self.pause = FIRST_PAUSE;
                if self.bus.is_some() { Duration::ZERO } else { INTERVAL_WITHOUT_BUS }
            }
            Err(trouble) => {
                if let Some(source) = &self.source {
                    source.record_trouble(&trouble);
                }
                self.bus = None;
                let pause = self.pause;
                self.pause = (pause * 2).min(LONGEST_PAUSE);
                pause
            }
        }
    }
}

impl StatusPoller {
    /// Reads the status and records it as a snapshot.
    async fn record_status(&mut self) -> Result<(), String> {
        let status = self.local_api.status(Peers::Listed).await;
        let status = status.map_err(|error: LocalApiError| causes(&error))?;
        let taken = Timestamp::now();
        let Some(snapshot) = snapshot(&status, taken) else {
            return Err(format!("the node is not up: {:?}", status.backend_state));
        };
        let count = self.observations.record(snapshot).await.map_err(|error| causes(&error))?;
        let register = || self.sources.register("localapi", Cadence::Every(MAX_INTERVAL));
        self.source.get_or_insert_with(register).record_contact(count as u64, (count > 0).then_some(taken));
        Ok(())
    }
}

/// The snapshot of a status; none while the node is not up, because its list of peers is empty then.
fn snapshot(status: &Status, taken: Timestamp) -> Option<Snapshot> {
    (status.backend_state == BackendState::Running).then(|| Snapshot {
        devices: Some(status.devices()),
        users: Some(status.users()),
        ..Snapshot::new(Origin::LocalApi, taken)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = r#"{"BackendState":"Running","TUN":true,"TailscaleIPs":["100.64.0.9"],
        "Self":{"ID":"9","HostName":"rec","DNSName":"rec.tail.example.","OS":"linux","UserID":3,
          "TailscaleIPs":["100.64.0.9"],"Tags":["tag:recorder"],"Online":true},
        "CurrentTailnet":{"Name":"example","MagicDNSSuffix":"tail.example","MagicDNSEnabled":true},
        "Peer":{"nodekey:aa":{"ID":"7","HostName":"laptop","DNSName":"laptop.tail.example.","OS":"macOS","UserID":3,
          "TailscaleIPs":["100.64.0.7"],"AllowedIPs":["100.64.0.7/32","10.40.0.0/16"],"Online":true,
          "LastSeen":"0001-01-01T00:00:00Z"},
          "nodekey:bb":{"ID":"8","DNSName":"build.other.example.","UserID":4,"TailscaleIPs":["100.64.0.8"]}},
        "User":{"3":{"ID":3,"LoginName":"alice@example.com","DisplayName":"Alice"},
          "4":{"ID":4,"LoginName":"eve@other.example"},
          "5":{"ID":5,"LoginName":"tagged-devices","DisplayName":"Tagged Devices"}}}"#;

    #[test]
    fn a_status_becomes_a_snapshot_with_owners_tags_routes_and_what_is_shared_in() {
        let status: Status = serde_json::from_str(STATUS).unwrap();
        let snapshot = snapshot(&status, Timestamp::default()).unwrap();
        let mut devices = snapshot.devices.unwrap();
        devices.sort_by(|one, two| one.id.cmp(&two.id));
        let [laptop, build, rec] = &devices[..] else { panic!("{devices:?}") };
        assert_eq!((laptop.owner.as_deref(), laptop.external), (Some("alice@example.com"), None));
        assert_eq!(laptop.enabled_routes.iter().collect::<Vec<_>>(), ["10.40.0.0/16"]);
        assert_eq!((build.owner.as_deref(), build.external), (Some("eve@other.example"), Some(true)));
        assert_eq!((rec.owner.as_deref(), rec.tags.len()), (None, 1));
        assert_eq!(snapshot.users.unwrap().len(), 2, "the owner of tagged devices is nobody");
    }

    #[test]
    fn a_node_that_is_not_up_says_nothing_of_anybody() {
        let text = STATUS.replace("Running", "Starting");
        let status: Status = serde_json::from_str(&text).unwrap();
        assert_eq!(snapshot(&status, Timestamp::default()), None);
    }
}
