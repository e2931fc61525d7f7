//! Pollers against the stand-in for Tailscale's API.

mod audit;
mod credentials;
mod flows;
mod state;
mod tls;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt as _;
use meshtrail_event::{Change, Detail, Event, Timestamp};
use meshtrail_identity::History;
use meshtrail_trail::store::{Store, StoreLocation, WritePolicy};
use meshtrail_trail::{Scan, Trail, TrailConfig};
use tailscale_api_stand_in::{API_KEY, StandIn};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::audit::AuditLog;
use super::client::Client;
use super::flows::FlowLog;
use super::log::LogPoller;
use super::state::StatePoller;
use crate::config::{SourcesConfig, SourcesFile, TailscaleConfig};
use crate::sources::{SourceReport, Sources};
use crate::start::Wiring;
use crate::web::Timeouts;

const SECOND: i64 = 1_000_000_000;

/// Longer than any test takes.
const PATIENT: Duration = Duration::from_secs(600);

/// A stand-in, and a trail to collect into.
struct Scene {
    api: StandIn,
    folder: tempfile::TempDir,
    /// The client's read timeout. The stand-in shares a thread with the client: a test that is not about timeouts must not
    /// depend on how busy the machine is.
    read_timeout: Duration,
    /// The URL of the API, if it is not the stand-in's own.
    url: Option<String>,
}

/// One start of a server over a scene's trail.
struct Run {
    config: TailscaleConfig,
    client: Arc<Client>,
    wiring: Wiring,
}

impl Scene {
    async fn new() -> Scene {
        // Several tests share a process: the first one installs it.
        let _already_there = rustls::crypto::ring::default_provider().install_default();
        let scene = Scene {
            api: StandIn::start().await.unwrap(),
            folder: tempfile::tempdir().unwrap(),
            read_timeout: PATIENT,
            url: None,
        };
        std::fs::write(scene.key_file(), API_KEY).unwrap();
        scene
    }

    fn key_file(&self) -> PathBuf {
        self.folder.path().join("api.key")
    }

    fn config(&self, more: &str) -> TailscaleConfig {
        let url = self.url.as_deref().unwrap_or(self.api.url());
        let text = format!(r#"{{"tailscale":{{"tailnet":"example.com","api_url":"{url}"{more}}}}}"#);
        let file: SourcesFile = serde_json::from_str(&text).unwrap();
        SourcesConfig::try_from(file).unwrap().tailscale.unwrap()
    }

    async fn run(&self) -> Run {
        let key = self.key_file();
        self.run_with(&format!(r#","audit_since":"1d","api_key_file":"{}""#, key.display())).await
    }

    async fn run_with(&self, more: &str) -> Run {
        let location = StoreLocation::Folder(self.folder.path().to_owned());
        let store = Store::open(&location, &WritePolicy::default()).await.unwrap();
        let trail =
            Trail::open(store, &self.folder.path().join("local"), TrailConfig::new("main")).await.unwrap();
        let sources = Sources::new(trail.emitter("sources"));
        let wiring =
            Wiring::new(trail, History::new(), sources, TaskTracker::new(), CancellationToken::new());
        let config = self.config(more);
        let timeouts = Timeouts { connect: PATIENT, read: self.read_timeout, total: PATIENT };
        let client = Arc::new(Client::new(&config, timeouts).unwrap());
        Run { config, client, wiring }
    }
}

impl Run {
    fn audit(&self) -> LogPoller<AuditLog> {
        super::audit::poller(&self.config, self.client.clone(), &self.wiring)
    }

    fn flows(&self) -> LogPoller<FlowLog> {
        super::flows::poller(&self.config, Duration::from_secs(60), self.client.clone(), &self.wiring)
    }

    fn state(&self) -> StatePoller {
        StatePoller::new(&self.config, self.client.clone(), &self.wiring)
    }

    async fn events(&self) -> Vec<Event> {
        let trail = &self.wiring.trail;
        let leaves: Vec<_> = trail.scan(Scan::oldest(0..trail.size())).try_collect().await.unwrap();
        leaves.into_iter().map(|(_, leaf)| Event::from_json(&leaf).unwrap()).collect()
    }

    /// The operations of the audit records that the trail holds, sorted.
    async fn operations(&self) -> Vec<String> {
        let events = self.events().await;
        let mut operations: Vec<String> =
            events.iter().filter_map(|event| change(event)?.operation.clone()).collect();
        operations.sort();
        operations
    }

    fn report(&self, name: &str) -> SourceReport {
        self.wiring.sources.report().into_iter().find(|report| report.name == name).unwrap()
    }

    /// Stops as after a crash: no event is written, only what is durable stays.
    async fn stop(self) {
        self.wiring.trail.clone().close().await;
    }
}

fn change(event: &Event) -> Option<&Change> {
    match &event.detail {
        Some(Detail::Change(change)) => Some(change),
        _ => None,
    }
}

fn now() -> Timestamp {
    Timestamp::now()
}

/// This many seconds before now, in nanoseconds.
fn ago(seconds: i64) -> i64 {
    now().as_nanos() - seconds * SECOND
}
