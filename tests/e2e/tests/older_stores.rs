//! Stores that older versions wrote, under the current server: verified, queried, proven and continued.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use meshtrail_e2e::{Sender, Server, Setup, child_command, files_below, run, until};
use serde_json::Value;
use tempfile::TempDir;

/// The archives of tests/fixtures.
const STORES: [&str; 2] = ["store-1", "store-2"];

/// A copy of a store, under a server.
struct Older {
    folder: TempDir,
    server: Server,
    /// The answers of the version that wrote it.
    facts: Value,
}

fn setup() -> Setup {
    let config = "[trail]\nsegment_events = 200\nsegment_age = \"1s\"\n";
    Setup { config: Some(config.to_owned()), ..Setup::default() }
}

impl Older {
    async fn unpack(name: &str) -> Result<(TempDir, PathBuf, Value)> {
        let folder = tempfile::tempdir()?;
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures");
        let mut tar = child_command("tar");
        tar.arg("xzf").arg(fixtures.join(format!("{name}.tar.gz"))).arg("-C").arg(folder.path());
        let unpacked = run("tar", tar, Duration::from_secs(60)).await?;
        ensure!(unpacked.status.success(), "{}", String::from_utf8_lossy(&unpacked.stderr));
        let data = folder.path().join("server-data");
        std::fs::rename(folder.path().join("store"), &data)?;
        let facts = serde_json::from_slice(&std::fs::read(folder.path().join("facts.json"))?)?;
        Ok((folder, data, facts))
    }

    async fn start(name: &str) -> Result<Self> {
        let (folder, _, facts) = Self::unpack(name).await?;
        let server = Server::start(folder.path(), &setup()).await?;
        Ok(Self { folder, server, facts })
    }

    fn checkpoint(&self) -> String {
        self.folder.path().join("checkpoint").display().to_string()
    }

    fn size(&self) -> Result<u64> {
        self.facts["size"].as_u64().context("`size` is a number")
    }

    async fn query(&self, sql: &str) -> Result<Vec<Value>> {
        let text = self.server.ok(&["query", "--json", sql]).await?;
        Ok(text
            .split('\n')
            .filter(|line| !line.is_empty())
            .map(serde_json::from_str)
            .collect::<Result<_, _>>()?)
    }

    async fn kinds(&self) -> Result<Value> {
        let sql = format!("select kind, count(*) as n from event where index < {} group by 1", self.size()?);
        let rows = self.query(&sql).await?;
        Ok(rows.iter().map(|row| (row["kind"].as_str().unwrap_or_default(), row["n"].clone())).collect())
    }

    async fn check_answers(&self) -> Result<()> {
        assert_eq!(self.kinds().await?, self.facts["kinds"]);
        for (sql, expected) in self.facts["sql"].as_object().context("`sql` is an object")? {
            assert_eq!(&Value::from(self.query(sql).await?), expected, "{sql}");
        }
        Ok(())
    }

    /// For a store without additions: the filter language has no upper index here.
    async fn filters(&self) -> Result<()> {
        for (filter, expected) in self.facts["filters"].as_object().context("`filters` is an object")? {
            let found = self.server.ok(&["events", "query", "--json", "--limit", "1000", filter]).await?;
            let found = found.split('\n').filter(|line| !line.is_empty()).count() as u64;
            assert_eq!(Some(found), expected.as_u64(), "{filter}");
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_store_verifies_before_anything_touches_it() -> Result<()> {
    for name in STORES {
        let (folder, data, _) = Older::unpack(name).await?;
        let mut command = child_command(meshtrail_e2e::meshtrail()?);
        command.args(["verify", "--all", "--store"]).arg(&data);
        command.arg("--checkpoint").arg(folder.path().join("checkpoint"));
        let told = run("meshtrail verify", command, Duration::from_secs(120)).await?;
        let complaint = String::from_utf8_lossy(&told.stderr);
        ensure!(told.status.success(), "{name}: {}{complaint}", String::from_utf8_lossy(&told.stdout));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_store_is_asked_and_proven_and_keeps_its_sessions() -> Result<()> {
    for name in STORES {
        let older = Older::start(name).await?;
        older.check_answers().await?;
        older.filters().await?;
        let sessions = older.server.sessions().await?;
        for expected in older.facts["sessions"].as_array().context("`sessions` is a list")? {
            let id = expected["id"].as_str().context("`id` is text")?;
            let found = sessions.iter().find(|session| session["id"] == *id).context("a session is there")?;
            // A session that ran when the server was killed ends with every received byte.
            let state = if expected["state"] == "live" {
                "interrupted"
            } else {
                expected["state"].as_str().unwrap_or_default()
            };
            assert_eq!(found["state"], state, "{name}: {id}");
            let file = older.folder.path().join(format!("{id}.cast")).display().to_string();
            older.server.ok(&["sessions", "export", id, "--output", &file]).await?;
            assert_eq!(meshtrail_e2e::sha256(&std::fs::read(&file)?), expected["sha256"], "{name}: {id}");
            older.server.ok(&["verify", id]).await?;
        }
        for event in ["agent.1.1", "agent.1.17", "main.recorder.1.1"] {
            older.server.ok(&["proof", event]).await?;
            older.server.ok(&["verify", event]).await?;
        }
        older.server.ok(&["proof", "--from", &older.size()?.to_string()]).await?;
        let verdict = older.server.verify_store(&["--checkpoint", &older.checkpoint()]).await?;
        assert!(verdict.holds, "{name}: {}", verdict.text);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_store_is_gone_on_with_and_both_forms_answer_together() -> Result<()> {
    for name in STORES {
        let mut older = Older::start(name).await?;
        let mut sender = Sender::new(&older.server, "newcomer").await?;
        sender.send(&older.server, 700).await?;
        let sealed = until("what is new to be sealed", Duration::from_secs(60), async || {
            let files = files_below(Path::new(older.server.store())).ok()?;
            let is_new = |file: &PathBuf| file.display().to_string().contains("segments/family=flow/");
            files.iter().any(is_new).then_some(())
        });
        sealed.await?;
        older.check_answers().await?;
        let mine =
            "select count(*) as n, count(distinct id_sequence) as d from flow where id_source = 'newcomer'";
        assert_eq!(older.query(mine).await?, [serde_json::json!({ "n": 700, "d": 700 })]);
        // The same time in both forms, to the nanosecond: one event of each, and none a nanosecond off.
        let times = "select time from flow where id in ('newcomer.1.77', 'agent.1.81') order by time";
        for row in older.query(times).await? {
            let time = row["time"].as_str().context("`time` is text")?;
            let (seconds, fraction) = time.trim_end_matches('Z').split_once('.').context("a fraction")?;
            let off = format!("{seconds}.{:09}Z", fraction.parse::<u64>()? + 1);
            let at = |time: &str| format!("select count(*) as n from flow where time = '{time}'");
            assert_ne!(older.query(&at(time)).await?[0]["n"], 0, "{time}");
            assert_eq!(older.query(&at(&off)).await?[0]["n"], 0, "{off}");
        }
        let server = older.server.restart().await?;
        let note = older.folder.path().join("checkpoint").display().to_string();
        let verdict = server.verify_store(&["--checkpoint", &note]).await?;
        assert!(verdict.holds, "{name}: {}", verdict.text);
        older.server = server;
    }
    Ok(())
}
