//! A server that collects from a stand-in for Tailscale's API and is killed several times.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

// A test binary of its own: servers of other tests beside it would become too slow to be found in time.
#[expect(dead_code, reason = "these servers are killed, never stopped")]
#[path = "with_server/server_process.rs"]
mod server_process;

use std::collections::HashSet;
use std::path::Path;

use serde_json::Value;
use server_process::{ServerProcess, json_lines, run, run_ok, wait_for};
use tailscale_api_stand_in::{API_KEY, Log, StandIn, World};

/// How many records the audit log holds.
const RECORDS: u64 = 20_000;

/// The audit source in `meshtrail sources --json`; none while the server is too busy to be found in time.
fn audit(folder: &Path) -> Option<Value> {
    let output = run(folder, &["sources", "--json"]);
    let mut sources = json_lines(&String::from_utf8(output.stdout).unwrap()).into_iter();
    sources.find(|source| source["name"] == "tailscale.audit")
}

#[test]
fn a_server_killed_while_it_collects_loses_nothing_and_writes_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let now = meshtrail_event::Timestamp::now().as_nanos();
    let step = 60_000_000_000;
    let from = now - step * i64::try_from(RECORDS).unwrap();
    let world = World { audit: Log::Generated { count: RECORDS, from, step }, ..World::default() };
    let api = runtime.block_on(StandIn::with_world(world)).unwrap();
    std::fs::write(folder.join("api.key"), API_KEY).unwrap();
    let config = format!(
        "[sources.tailscale]\napi_url = \"{}\"\napi_key_file = \"api.key\"\nflow_logs = false\n",
        api.url()
    );
    std::fs::write(folder.join("meshtrail.toml"), config).unwrap();

    let serve =
        || ServerProcess::start(folder, &["serve", "--config", "meshtrail.toml", "--listen", "127.0.0.1:0"]);
    let tagged = |limit: &str| {
        let asked = ["events", "query", "kind:device.tagged", "--limit", limit, "--json"];
        json_lines(&run_ok(folder, &asked))
    };

    for _ in 0..3 {
        let _killed_when_dropped = serve();
        wait_for("something came", || audit(folder).filter(|audit| audit["events"] != 0));
    }
    let _server = serve();
    let newest = format!("{:032x}", RECORDS - 1);
    wait_for("the newest record came", || {
        tagged("1").into_iter().find(|event| event["detail"]["operation"] == newest.as_str())
    });
    let events = tagged("100000");
    let distinct: HashSet<&str> =
        events.iter().map(|event| event["detail"]["operation"].as_str().unwrap()).collect();
    assert_eq!((events.len() as u64, distinct.len() as u64), (RECORDS, RECORDS));
    wait_for("it says that it is heard", || audit(folder).filter(|audit| audit["state"] == "connected"));
}
