//! A server over a temporary store, on a real listener, and a client for it.

use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use meshtrail_server::config::{Config, Overrides};
use meshtrail_server::serve::{Server, StopError};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The limit of every wait; no test depends on how long a step takes.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(120);

/// A server that runs until it is stopped or dropped.
pub(crate) struct TestServer {
    pub(crate) url: String,
    pub(crate) admin: String,
    pub(crate) link: String,
    pub(crate) recorder: String,
    client: Client,
    stop: CancellationToken,
    task: JoinHandle<Result<(), StopError>>,
}

impl TestServer {
    /// Starts a server over `store` with additional lines of configuration.
    pub(crate) async fn start(store: &Path, config: &str) -> TestServer {
        // Several tests run in one process: the first one installs the provider.
        let _already_there = rustls::crypto::ring::default_provider().install_default();
        std::fs::create_dir_all(store).unwrap();
        let file = store.join("meshtrail.toml");
        std::fs::write(&file, config).unwrap();
        let overrides = Overrides {
            listen: Some("127.0.0.1:0".to_owned()),
            store: Some(store.to_str().unwrap().to_owned()),
            tailscale_socket: Some(store.join("tailscaled.sock")),
            recorder_listen: vec!["127.0.0.1:0".to_owned()],
            ..Overrides::default()
        };
        let server = Server::open(Config::load(Some(&file), overrides).unwrap()).await.unwrap();
        let url = server.url().to_owned();
        let admin = std::fs::read_to_string(server.admin_token_file()).unwrap().trim().to_owned();
        let link = server.sign_in_link().unwrap();
        let stop = CancellationToken::new();
        let (sender, ready) = tokio::sync::oneshot::channel();
        let task = tokio::spawn(server.run(stop.clone(), |facts| sender.send(facts).unwrap()));
        let recorder = ready.await.unwrap().recorder_listen.remove(0);
        let client =
            Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
        TestServer { url, admin, link, recorder, client, stop, task }
    }

    /// Stops it in order.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }

    /// A request without any credentials.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    /// A request with a token.
    pub(crate) fn by(&self, token: &str, method: Method, path: &str) -> RequestBuilder {
        self.request(method, path).bearer_auth(token)
    }

    /// The response to a GET as admin, as JSON.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let response = self.by(&self.admin, Method::GET, path).send().await.unwrap();
        assert!(response.status().is_success(), "{path}: {}", response.text().await.unwrap());
        response.json().await.unwrap()
    }

    /// Polls `path` until `done` holds: the directory and the sealing of recordings follow the trail with a delay.
    pub(crate) async fn poll_until(&self, path: &str, done: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        while began.elapsed() < TIMEOUT {
            let answer = self.get(path).await;
            if done(&answer) {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{path} never told of it");
    }

    /// Makes a token and returns its secret and id.
    pub(crate) async fn token(&self, name: &str, role: &str) -> (String, String) {
        let request = serde_json::json!({ "name": name, "role": role });
        let response =
            self.by(&self.admin, Method::POST, "/api/v1/tokens").json(&request).send().await.unwrap();
        let created: Value = response.json().await.unwrap();
        (created["secret"].as_str().unwrap().to_owned(), created["id"].as_str().unwrap().to_owned())
    }

    /// Sends `count` logins as the source `name`.
    pub(crate) async fn send_logins(&self, name: &str, count: usize) {
        let (sender, _) = self.token(name, "sender").await;
        let lines: Vec<String> = (1..=count).map(|n| login(name, n, "alice@example.com")).collect();
        let request = self.by(&sender, Method::POST, "/api/v1/events");
        let response = request
            .header("content-type", "application/x-ndjson")
            .body(lines.join("\n"))
            .send()
            .await
            .unwrap();
        assert_eq!(json(response).await["accepted"], count);
    }
}

/// One login event as its source sends it.
pub(crate) fn login(source: &str, sequence: usize, person: &str) -> String {
    serde_json::json!({
        "id": format!("{source}.1.{sequence}"), "kind": "ssh.login", "outcome": "success",
        "time": "2026-11-20T14:02:11Z", "actor": { "person": { "login": person } },
    })
    .to_string()
}

/// The response body as JSON.
pub(crate) async fn json(response: Response) -> Value {
    response.json().await.unwrap()
}

/// A cursor with another position, `was` replaced by `is`.
pub(crate) fn with_position(cursor: &str, was: &str, is: &str) -> String {
    let mut bytes = BASE64_URL_SAFE_NO_PAD.decode(cursor).unwrap();
    let position = String::from_utf8(bytes.split_off(6)).unwrap();
    assert!(position.contains(was), "{position}");
    bytes.extend_from_slice(position.replace(was, is).as_bytes());
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}
