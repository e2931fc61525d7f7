//! Receivers on ports of their own, for tests.
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use futures::TryStreamExt as _;
use meshtrail_collect::config::{SourcesConfig, SourcesFile};
use meshtrail_collect::sources::Sources;
use meshtrail_collect::{Wiring, open};
use meshtrail_event::{Detail, Event, Kind};
use meshtrail_identity::History;
use meshtrail_trail::store::{Store, StoreLocation, WritePolicy};
use meshtrail_trail::{Scan, Trail, TrailConfig};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Running receivers and their trail.
pub(crate) struct Receiving {
    trail: Trail,
    addresses: Vec<(&'static str, SocketAddr)>,
    client: reqwest::Client,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Receiving {
    /// Starts the receivers in `config`, the text of `[sources]`.
    pub(crate) async fn start(folder: &Path, config: &str) -> Self {
        let store =
            Store::open(&StoreLocation::Folder(folder.to_owned()), &WritePolicy::default()).await.unwrap();
        let trail = Trail::open(store, &folder.join("local"), TrailConfig::new("main")).await.unwrap();
        let file: SourcesFile = toml::from_str(config).unwrap();
        let collectors = open(SourcesConfig::try_from(file).unwrap()).unwrap();
        let addresses = collectors.addresses();
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let sources = Sources::new(trail.emitter("sources"));
        let wiring = Wiring::new(trail.clone(), History::new(), sources, tasks.clone(), stop.clone());
        collectors.start(&wiring);
        let _already = rustls::crypto::ring::default_provider().install_default();
        Self { trail, addresses, client: reqwest::Client::new(), stop, tasks }
    }

    /// The address of the receiver with this key in the configuration.
    pub(crate) fn address(&self, key: &str) -> SocketAddr {
        self.addresses.iter().find(|(name, _)| *name == key).unwrap().1
    }

    /// A request to the receiver with this key in the configuration.
    pub(crate) fn post(&self, key: &str, path: &str) -> reqwest::RequestBuilder {
        self.client.post(format!("http://{}{path}", self.address(key)))
    }

    /// All events in the trail.
    pub(crate) async fn events(&self) -> Vec<Event> {
        let leaves: Vec<_> = self.trail.scan(Scan::oldest(0..self.trail.size())).try_collect().await.unwrap();
        leaves.iter().map(|(_, leaf)| Event::from_json(leaf).unwrap()).collect()
    }

    /// The log lines' texts.
    pub(crate) async fn lines(&self) -> Vec<String> {
        let text = |event: Event| match event.detail {
            Some(Detail::Log(line)) => line.text,
            _ => None,
        };
        self.events().await.into_iter().filter_map(text).collect()
    }

    /// Number of events of a kind.
    pub(crate) async fn count(&self, kind: &Kind) -> usize {
        self.events().await.iter().filter(|event| event.kind == *kind).count()
    }

    /// The first event of a kind, once it is there.
    pub(crate) async fn wait_for(&self, kind: Kind) -> Event {
        let mut size = self.trail.subscribe();
        let found = async {
            loop {
                if let Some(event) = self.events().await.into_iter().find(|event| event.kind == kind) {
                    return event;
                }
                size.changed().await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(120), found).await.unwrap()
    }

    /// Shuts down.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.trail.close().await;
    }
}

/// A section of `[sources]` with a secret.
pub(crate) fn guarded(folder: &Path, section: &str, secret: &str) -> String {
    let path = folder.join(format!("{section}.secret"));
    std::fs::write(&path, secret).unwrap();
    format!("[{section}]\nlisten = \"127.0.0.1:0\"\ntoken_file = {path:?}\n")
}

/// A flow report with one connection.
pub(crate) fn report() -> serde_json::Value {
    json!({
        "nodeId": "nQx7Lm2CNTRL", "start": "2026-11-20T09:40:00.000118Z", "end": "2026-11-20T09:40:05Z",
        "srcNode": {"nodeId": "nQx7Lm2CNTRL", "name": "build-3.example", "addresses": ["100.64.12.7"], "tags": ["tag:ci"]},
        "dstNodes": [{"nodeId": "nDb88CNTRL", "name": "db-1.example", "addresses": ["100.64.3.9"], "user": "ana@example.com"}],
        "virtualTraffic": [{"proto": 6, "src": "100.64.12.7:51822", "dst": "100.64.3.9:5432", "txPkts": 14, "txBytes": 2210, "rxPkts": 11, "rxBytes": 9044}],
    })
}

/// The header that signs `body` now.
pub(crate) fn signature(secret: &str, body: &str) -> String {
    let now = meshtrail_event::Timestamp::now().as_seconds();
    let mut block = [0u8; 64];
    block[..secret.len()].copy_from_slice(secret.as_bytes());
    let inner =
        Sha256::digest([&block.map(|byte| byte ^ 0x36)[..], format!("{now}.{body}").as_bytes()].concat());
    let outer = Sha256::digest([&block.map(|byte| byte ^ 0x5c)[..], &inner[..]].concat());
    let hex: String = outer.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={now},v1={hex}")
}
