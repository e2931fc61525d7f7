//! The same tables in psql, psycopg, DuckDB, the command line and HTTP.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use meshtrail_e2e::{Bucket, Sender, Server, Setup, WAIT_LIMIT, child_command, python, run, sha256, until};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn setup(port: u16) -> Setup {
    let config = format!(
        "[trail]\nsegment_events = 1000\nsegment_age = \"1s\"\n[postgres]\nlisten = \"127.0.0.1:{port}\"\n"
    );
    Setup { config: Some(config), ..Setup::default() }
}

fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

async fn token(server: &Server, name: &str, role: &str) -> Result<String> {
    let made = server.post("/api/v1/tokens", &server.token, &json!({ "name": name, "role": role })).await?;
    Ok(made["secret"].as_str().context("a new token has a secret")?.to_owned())
}

async fn psql(port: u16, user: &str, password: &str, sql: &str) -> Result<(bool, String)> {
    let mut command = child_command("psql");
    let address = format!("host=127.0.0.1 port={port} user={user} dbname=meshtrail");
    command
        .args(["-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=verbose", "-c", sql, &address])
        .env("PGPASSWORD", password);
    let output = run("psql", command, WAIT_LIMIT).await?;
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Ok((output.status.success(), text.trim().to_owned()))
}

async fn run_python(script: &str, arguments: &[&str]) -> Result<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(script);
    let mut command = child_command(python()?);
    command.arg(path).args(arguments);
    let output = run(script, command, WAIT_LIMIT).await?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{script} ended with {}: {complaint}", output.status);
    Ok(serde_json::from_slice(&output.stdout)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn psql_asks_what_is_sealed_and_what_is_not_up_to_the_last_ack() -> Result<()> {
    let (folder, port) = (tempfile::tempdir()?, free_port()?);
    let server = Server::start(folder.path(), &setup(port)).await?;
    let password = token(&server, "auditor", "auditor").await?;
    let mut sender = Sender::new(&server, "agent").await?;
    sender.send(&server, 2500).await?;
    for more in 0..5_u64 {
        sender.send(&server, 1).await?;
        let (holds, text) = psql(port, "auditor", &password, "select count(*) from flow").await?;
        ensure!(holds, "{text}");
        assert_eq!(text, (2501 + more).to_string(), "an event is there as soon as it is acknowledged");
    }
    let grouped = "select actor_login, count(*) from flow group by 1 order by 1 limit 1";
    assert_eq!(psql(port, "auditor", &password, grouped).await?, (true, "user-0@example.com|501".to_owned()));
    let (holds, tables) = psql(port, "auditor", &password, "\\d").await?;
    assert!(holds && tables.contains("flow") && tables.contains("event"), "{tables}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_asks_without_a_token_and_whoever_asks_is_in_the_trail() -> Result<()> {
    let (folder, port) = (tempfile::tempdir()?, free_port()?);
    let server = Server::start(folder.path(), &setup(port)).await?;
    let reader = token(&server, "auditor", "viewer").await?;
    let sender = token(&server, "agent", "sender").await?;
    for (user, password, says) in [
        ("auditor", "mt_nothing", "none in force"),
        ("agent", sender.as_str(), "may not ask"),
        ("somebody", reader.as_str(), "connect with user=auditor"),
    ] {
        let (holds, text) = psql(port, user, password, "select 1").await?;
        assert!(!holds && text.contains(says), "{user}: {text}");
    }
    let (holds, text) = psql(port, "auditor", &reader, "select count(*) from meshtrail").await?;
    ensure!(holds, "{text}");
    let events = server.json("/api/v1/events?q=kind:meshtrail.viewed").await?;
    let viewed = events["events"].as_array().context("events")?;
    let message = viewed.first().and_then(|event| event["detail"]["message"].as_str());
    assert_eq!(message.map(str::to_lowercase).as_deref(), Some("select count(*) from meshtrail"));
    let (holds, text) = psql(port, "auditor", &reader, "drop table flow").await?;
    assert!(!holds && text.contains("append-only"), "{text}");
    let (holds, text) = psql(port, "auditor", &reader, "select actr_login from flow").await?;
    assert!(!holds && text.contains("actr_login"), "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn psycopg_uses_parameters_cursors_and_json_and_is_told_what_is_wrong() -> Result<()> {
    let (folder, port) = (tempfile::tempdir()?, free_port()?);
    let server = Server::start(folder.path(), &setup(port)).await?;
    let password = token(&server, "auditor", "auditor").await?;
    Sender::new(&server, "agent").await?.send(&server, 2500).await?;
    let told = run_python("wire.py", &[&port.to_string(), "auditor", &password]).await?;
    assert_eq!(told["flows"], 2500);
    assert_eq!(told["of_one"], 500);
    assert_eq!(told["streamed"], 2500);
    assert_eq!(told["types"], json!(["datetime", "int", "str"]));
    let row = json!(["6", "\"100.64.0.9:1\""]);
    assert_eq!(told["json"], json!([row, row, ["user-1@example.com"]]));
    // `create external table` is not Postgres syntax: the parser refuses it. A cursor needs a transaction.
    assert_eq!(told["refused"], json!(["25006", "25006", ["42601", 35], "25006", "25P01", "25006"]));
    let both = |state: Value| json!([state, state]);
    assert_eq!(
        told["wrong"],
        json!([
            both(json!(["42601", 1])),
            both(json!(["42601", 26])),
            both(json!(["42601", 8])),
            both(json!(["42P01", 15])),
            both(json!(["42703", 16])),
            both(json!(["42883", 8])),
            both(json!("22012")),
            both(json!("22P02")),
            both(json!(["42803", 8])),
        ])
    );
    assert_eq!(told["cancelled"], json!(["57014", "57014", "57014", "57014", 1]));
    let cursor = json!({
        "text": [2500, 2500, "user-1@example.com"], "binary": [2500, 2500, "user-1@example.com"],
        "portions": [1, 999, 1500, 0], "scroll": "25006", "first": 3, "again": "42P03", "failed": "25P02",
        "ended": "34000",
    });
    assert_eq!(told["cursor"], cursor);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn portals_give_rows_in_portions_and_who_is_not_let_in_is_told_why() -> Result<()> {
    let (folder, port) = (tempfile::tempdir()?, free_port()?);
    let mut setup = setup(port);
    setup.config = setup.config.map(|config| config + "connections = 4\n[query]\nmemory_mb = 64\n");
    let server = Server::start(folder.path(), &setup).await?;
    let password = token(&server, "auditor", "auditor").await?;
    Sender::new(&server, "agent").await?.send(&server, 2500).await?;
    let told = run_python("portals.py", &[&port.to_string(), "auditor", &password, "4"]).await?;
    let first = json!(["1", "2", 1000, "s", "T"]);
    assert_eq!(
        told["portions"],
        json!([first, [1000, "s", "T"], [500, "SELECT 500", "T"], ["SELECT 0", "T"]])
    );
    assert_eq!(
        told["between"],
        json!([["1", "2", 10, "s", "T"], ["T", 1, "SELECT 1", "T"], [2490, "SELECT 2490", "T"]])
    );
    assert_eq!(told["ends"], json!([["COMMIT", "I"], ["34000", "I"]]));
    assert_eq!(told["outside"], json!([["1", "2", 10, "s", "I"], ["34000", "I"]]));
    assert_eq!(told["let_in"], json!(["28P01", null, "53300"]));
    // A slot is free again when the program above has ended.
    let memory = "select string_agg(repeat('x', 1000), '') from generate_series(1, 200000)";
    let told = until("a free connection", WAIT_LIMIT, async || {
        let (holds, text) = psql(port, "auditor", &password, memory).await.ok()?;
        (!holds && !text.contains("53300")).then_some(text)
    });
    let told = told.await?;
    assert!(told.contains("53200"), "{told}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_and_every_statement_see_one_moment_while_events_come_in() -> Result<()> {
    let (folder, port) = (tempfile::tempdir()?, free_port()?);
    let server = Server::start(folder.path(), &setup(port)).await?;
    let password = token(&server, "auditor", "auditor").await?;
    let mut sender = Sender::new(&server, "agent").await?;
    sender.send(&server, 100).await?;
    let port = port.to_string();
    let arguments = [port.as_str(), "auditor", password.as_str(), "25"];
    let asked = run_python("moments.py", &arguments);
    tokio::pin!(asked);
    // A few hundred events a second: the trail must not grow faster than a busy machine can count.
    let told = loop {
        let sent = async {
            sender.send(&server, 20).await?;
            tokio::time::sleep(Duration::from_millis(50)).await;
            anyhow::Ok(())
        };
        tokio::select! {
            told = &mut asked => break told?,
            sent = sent => sent?,
        }
    };
    assert_eq!((&told["torn"], &told["moved"]), (&json!([]), &json!([])));
    let alone: Vec<u64> = serde_json::from_value(told["alone"].clone())?;
    assert!(alone.is_sorted() && alone.first() < alone.last(), "nothing came in meanwhile: {alone:?}");
    Ok(())
}

/// A proxy of a bucket that counts the sent bytes.
struct Meter {
    address: String,
    sent: Arc<AtomicU64>,
}

impl Meter {
    async fn start(endpoint: &str) -> Result<Meter> {
        let endpoint = endpoint.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, sent) = (listener.local_addr()?.to_string(), Arc::new(AtomicU64::new(0)));
        let counted = sent.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(bucket) = TcpStream::connect(&endpoint).await else { continue };
                let (mut asks, mut takes) = client.into_split();
                let (mut gives, mut hears) = bucket.into_split();
                tokio::spawn(async move { tokio::io::copy(&mut asks, &mut hears).await });
                let counted = counted.clone();
                tokio::spawn(async move {
                    let mut part = vec![0; 64 << 10];
                    while let Ok(size @ 1..) = gives.read(&mut part).await {
                        counted.fetch_add(size as u64, Ordering::Relaxed);
                        if takes.write_all(&part[..size]).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Ok(Meter { address, sent })
    }

    /// The number of sent bytes, when nothing more is sent.
    async fn settled_bytes(&self) -> u64 {
        loop {
            let before = self.sent.load(Ordering::Relaxed);
            tokio::time::sleep(Duration::from_secs(2)).await;
            if self.sent.load(Ordering::Relaxed) == before {
                return before;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trail_in_a_bucket_is_asked_and_only_what_a_question_needs_is_read() -> Result<()> {
    const EVENTS: u64 = 40_000;
    let (folder, port) = (tempfile::tempdir()?, free_port()?);
    let bucket = Bucket::start(folder.path()).await?;
    let mut environment = bucket.environment();
    let endpoint = environment.iter_mut().find(|(name, _)| name == "AWS_ENDPOINT_URL").context("endpoint")?;
    let meter = Meter::start(&endpoint.1).await?;
    endpoint.1 = format!("http://{}", meter.address);
    let config = format!(
        "[trail]\nsegment_events = {EVENTS}\nsegment_age = \"1h\"\nship_every = \"1m\"\n\
         [postgres]\nlisten = \"127.0.0.1:{port}\"\n"
    );
    let setup =
        Setup { store: Some(bucket.store("acme")), environment, config: Some(config), ..Setup::default() };
    let server = Server::start(folder.path(), &setup).await?;
    let password = token(&server, "auditor", "auditor").await?;
    let mut sender = Sender::new(&server, "agent").await?;
    for _ in 0..EVENTS / 2000 {
        let mut batch = sender.next(2000);
        for event in &mut batch {
            // Incompressible text in a column that no query reads.
            event["target"]["name"] = Value::from(sha256(event["id"].to_string().as_bytes()));
        }
        sender.submit(&server, &batch).await?;
    }

    // A server that has read nothing yet, with some events that are not in files.
    let server = server.restart().await?;
    sender.send(&server, 5).await?;
    let versions = bucket.versions().await?;
    let is_flows = |key: &str| key.contains("family=flow") && key.ends_with(".parquet");
    let size: u64 = versions.iter().filter(|one| is_flows(&one.key)).map(|one| one.size).sum();
    ensure!(size > 1 << 20, "{size} bytes are sealed: too few to tell what is read of them");
    let before = meter.settled_bytes().await;
    let all = json!({ "sql": "select count(*) as n, count(distinct id_sequence) as d from flow", "format": "jsonl" });
    let counted = server.post("/api/v1/query", &password, &all).await?;
    assert_eq!(counted, json!({ "n": EVENTS + 5, "d": EVENTS + 5 }));
    let one_column = meter.settled_bytes().await - before;
    assert!((1..size / 4).contains(&one_column), "{one_column} bytes read of files of {size}");

    let (before, nobody) =
        (meter.settled_bytes().await, "select count(*) from flow where actor = 'user-30@example.com'");
    assert_eq!(psql(port, "auditor", &password, nobody).await?, (true, "0".to_owned()));
    let skipped = meter.settled_bytes().await - before;
    assert!(skipped < size / 20, "{skipped} bytes read of files that have nobody of this name");

    let expected: u64 = (100..=200_u64).map(|sequence| sequence * 17 % 100_000).sum();
    let sum = "select sum(tx_bytes) from flow where id_source = 'agent' and id_sequence between 100 and 200";
    assert_eq!(psql(port, "auditor", &password, sum).await?, (true, expected.to_string()));
    let joined = "select count(*) from flow a join event b on a.index = b.index and a.actor = b.actor";
    assert_eq!(psql(port, "auditor", &password, joined).await?, (true, (EVENTS + 5).to_string()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn duckdb_reads_the_segments_of_a_running_server() -> Result<()> {
    let (folder, port) = (tempfile::tempdir()?, free_port()?);
    let server = Server::start(folder.path(), &setup(port)).await?;
    Sender::new(&server, "agent").await?.send(&server, 3000).await?;
    let read = until("DuckDB to see every event", WAIT_LIMIT, async || {
        let told = run_python("files.py", &[server.store()]).await.ok()?;
        (told["events"] == 3000).then_some(told)
    });
    let told = read.await?;
    let asked = server
        .ok(&[
            "query",
            "--json",
            "select count(distinct actor_login) as people, sum(tx_bytes) as sent from flow",
        ])
        .await?;
    let ours: Value = serde_json::from_str(asked.trim())?;
    assert_eq!((&told["people"], &told["sent"]), (&ours["people"], &ours["sent"]));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_writes_every_format_and_exports_are_whole() -> Result<()> {
    let (folder, port) = (tempfile::tempdir()?, free_port()?);
    let server = Server::start(folder.path(), &setup(port)).await?;
    Sender::new(&server, "agent").await?.send(&server, 1200).await?;
    let table = server.ok(&["query", "select kind, count(*) as n from flow group by 1"]).await?;
    assert_eq!(table.lines().nth(1), Some("flow.closed  1200"), "{table}");
    let csv =
        server.ok(&["query", "--format", "csv", "select kind, count(*) as n from flow group by 1"]).await?;
    assert_eq!(csv, "kind,n\nflow.closed,1200\n");
    let file = folder.path().join("flows.parquet").display().to_string();
    server.ok(&["query", "--format", "parquet", "--output", &file, "select * from flow"]).await?;
    ensure!(std::fs::read(&file)?.ends_with(b"PAR1"), "a Parquet file ends so");

    let wrong = server.cli(&["query", "select knd from flow"]).await?;
    let complaint = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(
        !wrong.status.success() && complaint.contains("knd") && complaint.contains("kind"),
        "{complaint}"
    );

    let leaves = folder.path().join("leaves.jsonl").display().to_string();
    server.ok(&["exports", "create", "--filter", "kind:flow.*", "--output", &leaves]).await?;
    let text = std::fs::read_to_string(&leaves)?;
    assert_eq!(text.lines().count(), 1200);
    let first = server.get("/api/v1/events/agent.1.1").await?;
    assert_eq!(text.lines().next().map(str::as_bytes), Some(&first[..]), "leaves go out byte for byte");
    let list = server.ok(&["exports", "list"]).await?;
    assert!(list.contains("done") && list.contains("1200"), "{list}");
    Ok(())
}
