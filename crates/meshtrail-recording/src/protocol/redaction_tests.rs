//! Request events as upstream's proxy sends them, through the port, and no form of their secrets in the store.

use std::path::Path;

use http::StatusCode;
use meshtrail_identity::Resolver;
use meshtrail_trail::{Trail, TrailConfig};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

#[path = "../../../meshtrail-redact/tests/it/needles.rs"]
mod needles;

use crate::{
    Recordings,
    testing::{Client, quick, redactor, store_at},
};

/// Every file below a folder, one after the other.
fn contents(folder: &Path) -> Vec<u8> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { contents(&path) } else { std::fs::read(&path).unwrap() })
        .collect()
}

fn words(case: &Value, name: &str) -> Vec<String> {
    case[name].as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn no_secret_of_a_request_event_is_in_the_store_in_any_form() {
    let folder = tempfile::tempdir().unwrap();
    let local = folder.path().join("local");
    let store = store_at(folder.path()).await;
    let trail = Trail::open(store.clone(), &local, TrailConfig::new("main")).await.unwrap();
    let nobody = Resolver::without_providers();
    let recordings = Recordings::open(store, &local, trail.clone(), nobody, quick()).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
    let (serve, until) = (recordings.clone(), stop.clone());
    let serving = tokio::spawn(async move { serve.serve(listener, redactor(), until).await });

    let cases: Vec<Value> = include_str!("testdata/request_events.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let mut client = Client::connect(address).await;
    for case in &cases {
        assert_eq!(client.post("/v2/event", case["event"].to_string()).await, StatusCode::OK, "{case}");
    }
    stop.cancel();
    recordings.close().await;
    serving.await.unwrap();
    trail.close().await;

    let stored = contents(folder.path());
    let stored = String::from_utf8_lossy(&stored);
    assert!(
        stored.matches("kube.request.intended").count() >= cases.len(),
        "the log holds the leaves as text"
    );
    for case in &cases {
        needles::assert_none(&words(case, "cut"), &stored);
        for keep in words(case, "keep") {
            assert!(stored.contains(&keep), "{keep} is gone");
        }
    }
}
