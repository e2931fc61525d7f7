//! A server that collects from a stand-in for Tailscale's API and is killed again and again.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::collections::HashSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tailscale_api_stand_in::{API_KEY, Log, StandIn, World};

/// How many records the audit log holds.
const RECORDS: u64 = 20_000;

/// A server as its own process in `folder`; killed when dropped.
struct Served(Child);

impl Served {
    fn start(folder: &Path) -> Served {
        let ready = folder.join("ready.json");
        let _none_yet = std::fs::remove_file(&ready);
        let process = command(folder)
            .args(["serve", "--config", "meshtrail.toml", "--listen", "127.0.0.1:0", "--ready-file"])
            .arg(&ready)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut served = Served(process);
        wait_for("the server is ready", || {
            assert!(served.0.try_wait().unwrap().is_none(), "the server ended");
            ready.exists()
        });
        served
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // SIGKILL: nothing is closed in order.
        let _ended = self.0.kill();
        let _ended = self.0.wait();
    }
}

fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshtrail"));
    command.current_dir(folder).env_remove("MESHTRAIL_SERVER").env_remove("MESHTRAIL_TOKEN");
    command
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(120), "waited too long until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Standard output of a command, as JSON lines.
fn asked(folder: &Path, arguments: &[&str]) -> Vec<Value> {
    let output = command(folder).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The audit source, as `meshtrail sources --json` tells it; none while the server is too busy to be found in time.
fn audit(folder: &Path) -> Option<Value> {
    let output = command(folder).args(["sources", "--json"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut sources = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
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
    let world = World { audit: Log::Made { count: RECORDS, from, step }, ..World::default() };
    let api = runtime.block_on(StandIn::of(world)).unwrap();
    std::fs::write(folder.join("api.key"), API_KEY).unwrap();
    let config = format!(
        "[sources.tailscale]\napi_url = \"{}\"\napi_key_file = \"api.key\"\nflow_logs = false\n",
        api.url()
    );
    std::fs::write(folder.join("meshtrail.toml"), config).unwrap();

    for _ in 0..3 {
        let _server = Served::start(folder);
        wait_for("something came", || audit(folder).is_some_and(|audit| audit["events"] != 0));
    }
    let _server = Served::start(folder);
    let newest = format!("{:032x}", RECORDS - 1);
    wait_for("the newest record came", || {
        let newest_held = asked(folder, &["events", "query", "kind:device.tagged", "--limit", "1", "--json"]);
        newest_held.first().is_some_and(|event| event["detail"]["operation"] == newest.as_str())
    });
    let events = asked(folder, &["events", "query", "kind:device.tagged", "--limit", "100000", "--json"]);
    let distinct: HashSet<&str> =
        events.iter().map(|event| event["detail"]["operation"].as_str().unwrap()).collect();
    assert_eq!((events.len() as u64, distinct.len() as u64), (RECORDS, RECORDS));
    wait_for("it says that it is heard", || audit(folder).is_some_and(|audit| audit["state"] == "connected"));
}
