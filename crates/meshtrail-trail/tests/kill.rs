//! SIGKILL at random moments under load: no acknowledged event is missing or duplicated, everything verifies, and the
//! trail extends every issued head.
//!
//! 20 kills in `cargo test`; by hand `MESHTRAIL_KILLS=1000 cargo test -p meshtrail-trail --release --test kill`.
//! The process that is killed is this test binary, started to run only [`load`].
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use meshtrail_event::{Actor, Draft, Event, EventId, Kind, Person, Timestamp};
use meshtrail_trail::store::{Store, StoreLocation, WritePolicy};
use meshtrail_trail::verify::{Scope, VerifyRequest, verify};
use meshtrail_trail::{Trail, TrailConfig};

const FOLDER: &str = "MESHTRAIL_LOAD_FOLDER";
const FROM: &str = "MESHTRAIL_LOAD_FROM";
const SOURCES: u64 = 8;
/// The number of kills after which a fresh trail is used, so that verification stays quick.
const KILLS_PER_TRAIL: usize = 50;

/// What the killed processes had reported.
#[derive(Debug, Clone, Default)]
struct Acked {
    /// For each source, the highest acknowledged sequence.
    sources: BTreeMap<u64, u64>,
    /// The newest issued head.
    head: Option<String>,
}

fn config() -> TrailConfig {
    let mut config = TrailConfig::new("main");
    config.origin = "example.com/main".into();
    // Small, so that many kills occur during sealing and during the change of log files.
    config.segment_events = 300;
    config
}

async fn store(folder: &Path) -> Store {
    Store::open(&StoreLocation::Folder(folder.to_owned()), &WritePolicy::default()).await.unwrap()
}

/// Returns the same event for the same number, like a source that sends again.
fn event(source: u64, sequence: u64) -> Event {
    let kind = [Kind::FlowOpened, Kind::SshLogin, Kind::LogLine][(sequence % 3) as usize].clone();
    let mut draft = Draft::new(kind, Timestamp::from_seconds(1_790_000_000 + sequence as i64).unwrap());
    draft.actor = Actor {
        person: Some(
            Person { login: format!("user{}@example.com", sequence % 17), ..Person::default() }.into(),
        ),
        ..Actor::default()
    };
    let id = EventId { source: format!("agent.{source}").parse().unwrap(), epoch: 1, sequence };
    draft.into_event(id, Timestamp::from_nanos(0))
}

/// The process under load; does nothing unless it was started for that. It begins shortly before the last acknowledged event, like a source that lost answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn load() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let from = std::env::var(FROM).unwrap();
    let folder = Path::new(&folder);
    let trail = Trail::open(store(folder).await, &folder.join("local"), config()).await.unwrap();
    say("open");
    let asking = tokio::spawn({
        let trail = trail.clone();
        async move {
            loop {
                let head = trail.checkpoint().await.unwrap();
                say(&format!("head {}", hex::encode(head.note)));
            }
        }
    });
    let senders = from.split(',').zip(0..SOURCES).map(|(next, source)| {
        let (trail, mut next) = (trail.clone(), next.parse::<u64>().unwrap());
        tokio::spawn(async move {
            loop {
                let count = 1 + (next * 7 + source * 5) % 20;
                let batch = (next..next + count).map(|sequence| event(source, sequence)).collect();
                trail.append(batch).await.unwrap();
                next += count;
                say(&format!("{source} {}", next - 1));
            }
        })
    });
    futures::future::join_all(senders).await;
    asking.await.unwrap();
}

/// Writes a line with a single write, so that a killed process leaves whole lines.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("acked {line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

fn start(folder: &Path, acked: &Acked) -> Child {
    let from: Vec<String> = (0..SOURCES)
        .map(|source| {
            acked.sources.get(&source).map_or(1, |&acked| acked.saturating_sub(5).max(1)).to_string()
        })
        .collect();
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "load", "--nocapture"])
        .env(FOLDER, folder)
        .env(FROM, from.join(","))
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

/// Kills the process after `acks` answers or `time`, whichever comes first, and records its reports.
fn kill(mut child: Child, acks: u64, time: Duration, acked: &mut Acked) {
    let out = BufReader::new(child.stdout.take().unwrap());
    let deadline = Instant::now() + time;
    let killer = std::thread::spawn({
        let id = rustix::process::Pid::from_child(&child);
        move || {
            std::thread::park_timeout(deadline.saturating_duration_since(Instant::now()));
            rustix::process::kill_process(id, rustix::process::Signal::KILL)
        }
    });
    let mut lines = 0;
    for line in out.lines() {
        // libtest's own output shares the first line.
        let line = line.unwrap();
        let Some((_, said)) = line.split_once("acked ") else { continue };
        lines += 1;
        if let Some(note) = said.strip_prefix("head ") {
            acked.head = Some(String::from_utf8(hex::decode(note).unwrap()).unwrap());
        } else if let Some((source, sequence)) = said.split_once(' ') {
            let sequence: u64 = sequence.parse().unwrap();
            let known = acked.sources.entry(source.parse().unwrap()).or_default();
            *known = sequence.max(*known);
        }
        if lines == acks {
            killer.thread().unpark();
        }
    }
    killer.join().unwrap().unwrap();
    let status = child.wait().unwrap();
    assert!(!status.success() && status.code().is_none(), "killed, not ended: {status}");
}

/// The state of a trail, as read so far.
#[derive(Default)]
struct Known {
    size: u64,
    seen: BTreeMap<u64, u64>,
    checkpoint: Option<String>,
}

impl Known {
    /// Reads the new events, and verifies everything against earlier heads.
    async fn check(&mut self, folder: &Path, acked: &Acked) {
        let store = store(folder).await;
        let trail = Trail::open(store.clone(), &folder.join("local"), config()).await.unwrap();
        while self.size < trail.size() {
            let rows = trail.read(self.size..trail.size(), 1 << 20).await.unwrap();
            assert!(!rows.is_empty(), "event {} can't be read", self.size);
            for (index, leaf) in rows {
                assert_eq!(index, self.size, "indices have no hole");
                self.count(&Event::from_json(&leaf).unwrap());
                self.size += 1;
            }
        }
        for (source, acked) in &acked.sources {
            let seen = self.seen.get(source).copied().unwrap_or(0);
            assert!(
                seen >= *acked,
                "source {source} was told that {acked} is durable, but only {seen} are there"
            );
        }
        let signed = trail.checkpoint().await.unwrap();
        trail.close().await;
        let request = VerifyRequest {
            trail: "main".into(),
            scope: Scope::All,
            vkey: Some(signed.vkey),
            against: self
                .checkpoint
                .replace(signed.note)
                .into_iter()
                .chain(self.checkpoint.clone())
                .chain(acked.head.clone())
                .collect(),
        };
        let report = verify(&store, Some(&folder.join("local")), &request, &|_| {}).await;
        let problems: Vec<String> = report.problems.iter().map(ToString::to_string).collect();
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!(report.head.map(|head| head.size), Some(self.size));
    }

    fn count(&mut self, event: &Event) {
        let source = event.id.source.as_str().strip_prefix("agent.").unwrap().parse().unwrap();
        let seen = self.seen.entry(source).or_default();
        assert_eq!(
            event.id.sequence,
            *seen + 1,
            "of source {source} none is missing and none is there twice"
        );
        *seen += 1;
    }
}

/// A seeded random generator, so that runs can be repeated.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_kill_loses_what_was_acknowledged() {
    let kills: usize = std::env::var("MESHTRAIL_KILLS").map_or(20, |kills| kills.parse().unwrap());
    let mut dice = Dice(std::process::id().into());
    let (mut done, mut events, mut opening) = (0, 0, 0);
    while done < kills {
        let folder = tempfile::tempdir().unwrap();
        let (mut acked, mut known) = (Acked::default(), Known::default());
        for _ in 0..KILLS_PER_TRAIL.min(kills - done) {
            let child = start(folder.path(), &acked);
            // One in four occurs during opening or just after it.
            let early = dice.below(4) == 0;
            let time = Duration::from_micros(if early { dice.below(60_000) } else { 30_000_000 });
            let acks = dice.below(400) + 1;
            let before = acked.clone();
            let path = folder.path().to_owned();
            acked = tokio::task::spawn_blocking(move || {
                let mut acked = before;
                kill(child, acks, time, &mut acked);
                acked
            })
            .await
            .unwrap();
            opening += u64::from(early);
            done += 1;
            // Sometimes the next process opens what the killed one left, and is killed in turn.
            if dice.below(3) > 0 || done == kills {
                known.check(&path, &acked).await;
            }
        }
        known.check(folder.path(), &acked).await;
        events += known.size;
        if kills > 20 {
            eprintln!("{done} kills, {opening} of them early, {events} events");
        }
    }
}
