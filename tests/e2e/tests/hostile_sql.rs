//! Two hundred hostile statements, sent in sequence by two readers, while five sessions are
//! recorded: each statement ends alone and in time, and the recordings are not affected.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use meshtrail_e2e::{Connection, Server, Setup, Upload, p99, until};
use serde_json::{Value, json};

/// The same list as in the tests of the worker.
const STATEMENTS: &str = include_str!("../../../crates/meshtrail-sql/tests/hostile.sql");
/// Values of `{n}`: five of each make more than two hundred.
const SCALES: [&str; 5] = ["1", "3", "5", "7", "9"];

const TIME: Duration = Duration::from_secs(1);
/// The server kills a worker that is a second late; the rest is for a busy machine and for freeing gigabytes of memory.
const WAIT_LIMIT: Duration = Duration::from_secs(30);

const RECORDINGS: usize = 5;
/// More than the recorder's pause between two acknowledgements, which would be measured otherwise.
const GAP: Duration = Duration::from_millis(120);

/// The largest memory of the server, without its workers.
const SERVER_MEMORY: u64 = 256 << 20;

fn statements() -> impl Iterator<Item = String> {
    let lines = STATEMENTS.lines().filter(|line| !line.starts_with("--"));
    lines.flat_map(|line| SCALES.map(|scale| line.replace("{n}", scale)))
}

/// Sends every second statement, and after each one a normal query.
async fn ask(server: Arc<Server>, token: String, half: usize) -> Result<usize> {
    let asked = statements().skip(half).step_by(2).collect::<Vec<_>>();
    for sql in &asked {
        let begun = Instant::now();
        let question = json!({ "sql": sql, "format": "jsonl" });
        match server.post("/api/v1/query", &token, &question).await {
            Ok(answer) => bail!("{sql} was answered: {answer}"),
            Err(error) => {
                let (text, took) = (format!("{error:#}"), begun.elapsed());
                ensure!(took < TIME + WAIT_LIMIT, "{sql} took {took:?}: {text}");
                // A limit that held, never a process that died by itself, and never the beginning of an answer.
                ensure!(text.contains(": 400 Bad Request: "), "{sql}: {text}");
            }
        }
        let harmless = json!({ "sql": "select 1 as n", "format": "jsonl" });
        let answer = server.post("/api/v1/query", &token, &harmless).await;
        ensure!(answer.with_context(|| format!("after {sql}"))? == json!({ "n": 1 }));
    }
    Ok(asked.len())
}

/// Records until `stop` is set; returns the time of each acknowledgement.
async fn record(recorder: std::net::SocketAddr, stop: Arc<AtomicBool>) -> Result<(Upload, Vec<Duration>)> {
    let mut upload = Upload::begin(&mut Connection::open(2, recorder).await?).await?;
    upload.send_durably("[0.1,\"o\",\"$ \"]\n").await?;
    let mut times = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        tokio::time::sleep(GAP).await;
        let line = format!("[{}.5,\"o\",\"user@host:~$ make test\\r\\n\"]\n", times.len());
        times.push(upload.send_durably(line).await?);
    }
    Ok((upload, times))
}

fn memory(id: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? << 10)
}

async fn record_while(
    recorder: std::net::SocketAddr,
    meanwhile: impl Future<Output = Result<()>>,
) -> Result<(Vec<Upload>, Duration)> {
    let stop = Arc::new(AtomicBool::new(false));
    let recording: Vec<_> = (0..RECORDINGS).map(|_| tokio::spawn(record(recorder, stop.clone()))).collect();
    let outcome = meanwhile.await;
    stop.store(true, Ordering::Relaxed);
    let (mut uploads, mut times) = (Vec::new(), Vec::new());
    for recording in recording {
        let (upload, took) = recording.await??;
        uploads.push(upload);
        times.extend(took);
    }
    outcome?;
    Ok((uploads, p99(&mut times)))
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_hostile_statements_leave_recordings_as_they_are() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let config = format!("[query]\ntimeout = \"{}s\"\nmemory_mb = 256\n", TIME.as_secs());
    let setup = Setup { config: Some(config), ..Setup::default() };
    let server = Arc::new(Server::start(folder.path(), &setup).await?);
    let recorder = server.recorder.parse()?;
    let mut tokens = Vec::new();
    for name in ["alice", "bob"] {
        let body = json!({ "name": name, "role": "viewer" });
        let made = server.post("/api/v1/tokens", &server.token, &body).await?;
        tokens.push(made["secret"].as_str().context("a secret")?.to_owned());
    }

    let pause = async || {
        tokio::time::sleep(Duration::from_secs(5)).await;
        Ok(())
    };
    let (alone_uploads, alone) = record_while(recorder, pause()).await?;
    let (mut most, mut asked) = (0, 0);
    let asking = async {
        let halves = tokens.into_iter().enumerate();
        let mut halves: tokio::task::JoinSet<_> =
            halves.map(|(half, token)| ask(server.clone(), token, half)).collect();
        loop {
            tokio::select! {
                half = halves.join_next() => match half {
                    Some(half) => asked += half??,
                    None => return Ok(()),
                },
                () = tokio::time::sleep(Duration::from_millis(50)) => most = memory(server.process.id())?.max(most),
            }
        }
    };
    let (uploads, beside) = record_while(recorder, asking).await?;
    println!(
        "{asked} statements; acks p99 alone {alone:?}, beside {beside:?}; server's memory {} MiB",
        most >> 20
    );
    assert!(asked >= 200, "{asked}");
    assert!(most < SERVER_MEMORY, "the server held {most} bytes");
    // On a busy machine both are slower.
    let bound = (alone * 2).max(Duration::from_millis(50));
    assert!(beside <= bound, "acks took {alone:?} alone and {beside:?} beside hostile statements");

    let mut sent = Vec::new();
    for upload in alone_uploads.into_iter().chain(uploads) {
        sent.push(upload.end().await?);
    }
    let sealed = until("every recording is sealed whole", WAIT_LIMIT, async || {
        let sessions = server.sessions().await.ok()?;
        let whole = |session: &&Value| session["state"] == "ended";
        (sessions.iter().filter(whole).count() == sent.len()).then_some(sessions)
    });
    let sessions = sealed.await?;
    for hash in sent {
        let is_there = sessions.iter().any(|session| session["sha256"] == hash.as_str());
        ensure!(is_there, "a recording of {hash} is not there byte for byte: {sessions:#?}");
    }
    let verdict = server.verify().await?;
    assert!(verdict.holds, "{}", verdict.text);
    Ok(())
}
