//! The server is killed at random times under load: no acked event is missing, and everything verifies.
//!
//! `MESHTRAIL_KILLS=1000 cargo xtask e2e kills` for a long run; 20 kills without it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use meshtrail_e2e::{Recording, Sender, Server, Setup};
use serde_json::Value;

const SENDERS: usize = 4;

/// A source and its last acked sequence; a batch that was not acked is sent again, as by an agent.
struct Load {
    sender: Sender,
    acked: u64,
    pending: Option<Vec<Value>>,
}

impl Load {
    async fn run(mut self, server: Arc<Server>, stop: Arc<AtomicBool>) -> Self {
        while !stop.load(Ordering::Relaxed) {
            let batch = match self.pending.take() {
                Some(batch) => batch,
                None => self.sender.next(25),
            };
            match self.sender.submit(&server, &batch).await {
                Ok(_) => self.acked = self.sender.sequence,
                Err(_) => {
                    self.pending = Some(batch);
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        }
        self
    }
}

/// A simple random number, to choose the times of kills.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

async fn check_acked(server: &Server, loads: &[Load]) -> Result<()> {
    for load in loads {
        for sequence in [load.acked, load.acked / 2].into_iter().filter(|sequence| *sequence > 0) {
            let path = format!("/api/v1/events/{}.1.{sequence}", load.sender.source);
            server.get(&path).await.context("an acked event is missing")?;
        }
    }
    Ok(())
}

/// Counts the events of a source by reading the whole list.
async fn count(server: &Server, source: &str) -> Result<u64> {
    let (mut found, mut cursor) = (std::collections::BTreeSet::new(), String::new());
    loop {
        let page = server
            .json(&format!("/api/v1/events?limit=1000&order=oldest&q=kind:flow.closed{cursor}"))
            .await?;
        for event in page["events"].as_array().context("events")? {
            let id = event["id"].as_str().context("an id")?;
            let (of, sequence) = id.rsplit_once('.').context("a sequence")?;
            if of.strip_suffix(".1") == Some(source) {
                ensure!(found.insert(sequence.parse::<u64>()?), "{id} is there twice");
            }
        }
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let highest = found.last().copied().unwrap_or(0);
    ensure!(found.len() as u64 == highest, "{source} has gaps: {} of {highest}", found.len());
    Ok(highest)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acked_is_lost_and_nothing_is_unverifiable_over_many_kills() -> Result<()> {
    let kills: u32 = std::env::var("MESHTRAIL_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(20);
    let mut seed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    println!("seed {seed}");
    let folder = tempfile::tempdir()?;
    // Frequent seals, so that kills hit every step of sealing.
    let config = Some("[trail]\nsegment_events = 400\nsegment_age = \"1s\"\n".to_owned());
    let setup = Setup { config, ..Setup::default() };
    let mut server = Server::start(folder.path(), &setup).await?;
    let mut loads = Vec::new();
    for number in 0..SENDERS {
        let sender = Sender::new(&server, &format!("agent-{number}")).await?;
        loads.push(Load { sender, acked: 0, pending: None });
    }
    for round in 1..=kills {
        let _recording = Recording::open(&server.recorder, &format!("round {round}")).await?;
        let (shared, stop) = (Arc::new(server), Arc::new(AtomicBool::new(false)));
        let running: Vec<_> = loads
            .drain(..)
            .map(|load| tokio::spawn(load.run(Arc::clone(&shared), Arc::clone(&stop))))
            .collect();
        tokio::time::sleep(Duration::from_millis(random(&mut seed) % 700)).await;
        let pid = i32::try_from(shared.process.id())?;
        let pid = rustix::process::Pid::from_raw(pid).context("a process has an id")?;
        rustix::process::kill_process(pid, rustix::process::Signal::KILL)?;
        stop.store(true, Ordering::Relaxed);
        for task in running {
            loads.push(task.await?);
        }
        let killed = Arc::into_inner(shared).context("the load has ended")?;
        server = killed.kill_and_restart().await.with_context(|| format!("after kill {round}"))?;
        check_acked(&server, &loads).await.with_context(|| format!("after kill {round}"))?;
        if round % 5 == 0 {
            let verdict = server.verify().await?;
            ensure!(verdict.holds, "after kill {round}: {}", verdict.text);
        }
    }
    for load in &loads {
        let found = count(&server, &load.sender.source).await?;
        ensure!(found >= load.acked, "{}: {found} of {} acked", load.sender.source, load.acked);
    }
    let interrupted = server.sessions().await?.iter().filter(|one| one["state"] == "interrupted").count();
    println!(
        "{kills} kills; {} events acked; {interrupted} sessions interrupted",
        loads.iter().map(|load| load.acked).sum::<u64>()
    );
    server.stop().await?;
    let verdict = server.verify_store(&[]).await?;
    ensure!(verdict.holds, "{}", verdict.text);
    Ok(())
}
