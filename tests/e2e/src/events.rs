//! A sender of events, like an agent.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::Server;

/// One source with its epoch and sequence number.
#[derive(Debug, Clone)]
pub struct Sender {
    /// The source's name; its token must be for it.
    pub source: String,
    token: String,
    /// Its epoch.
    pub epoch: u64,
    /// The last sequence it used.
    pub sequence: u64,
}

impl Sender {
    /// A sender with a token of its own.
    pub async fn new(server: &Server, source: &str) -> Result<Self> {
        Ok(Self {
            source: source.to_owned(),
            token: server.sender_token(source).await?,
            epoch: 1,
            sequence: 0,
        })
    }

    /// Sends the next `count` events and waits until they are durable; returns how many were new.
    pub async fn send(&mut self, server: &Server, count: u64) -> Result<u64> {
        let batch = self.next(count);
        self.submit(server, &batch).await
    }

    /// The next `count` events; advances the sequence number.
    pub fn next(&mut self, count: u64) -> Vec<Value> {
        let first = self.sequence + 1;
        self.sequence += count;
        (first..=self.sequence).map(|sequence| flow(&self.source, self.epoch, sequence)).collect()
    }

    /// Sends these events, which may have been sent before; returns how many were new.
    pub async fn submit(&self, server: &Server, events: &[Value]) -> Result<u64> {
        let answer = server.post("/api/v1/events", &self.token, &Value::from(events)).await?;
        answer["accepted"].as_u64().context("`accepted` is a number")
    }
}

/// A generated flow; each differs from all others.
pub fn flow(source: &str, epoch: u64, sequence: u64) -> Value {
    json!({
        "id": format!("{source}.{epoch}.{sequence}"),
        "kind": "flow.closed",
        "outcome": "success",
        "time": format!("2026-11-20T14:{:02}:{:02}.{:09}Z", sequence / 60 % 60, sequence % 60, sequence % 1_000_000_000),
        "actor": {
            "device": {"name": format!("laptop-{}.tail.example", sequence % 7), "id": format!("n{}", sequence % 7)},
            "person": {"login": format!("user-{}@example.com", sequence % 5)},
        },
        "target": {"address": format!("100.64.0.{}", sequence % 200 + 1)},
        "detail": {
            "src": format!("100.64.0.9:{}", sequence % 60000), "dst": "100.64.0.1:443", "layer": "virtual", "proto": 6,
            "tx_bytes": sequence * 17 % 100_000, "rx_bytes": sequence * 31 % 100_000,
        },
    })
}
