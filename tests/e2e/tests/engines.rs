//! Segments in other engines: the queries of docs/sql.md in DuckDB and Spark with default settings, and in
//! `meshtrail query`, over files from before and after a column was added.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use meshtrail_e2e::{Recording, Sender, Server, Setup, child_command, python, run, until};
use serde_json::{Map, Value, json};

/// A store whose sessions do not have the column `index_sha256` yet.
const BEFORE: &str = "store-2.tar.gz";
const SECTION: &str = "## Other programs on the same files";

/// The queries of the documentation, queries of a column that only newer files have, and every row of every family.
fn queries(families: &[String], size: u64) -> Result<Vec<Value>> {
    let docs = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/sql.md"))?;
    let (_, section) = docs.split_once(SECTION).context("the section is there")?;
    let lines = section.lines().filter_map(|line| line.strip_prefix("    select "));
    let mut questions: Vec<Value> =
        lines.map(|line| json!({ "sql": format!("select {line}"), "merged": false })).collect();
    ensure!(questions.len() >= 6, "{SECTION} has {} questions", questions.len());
    let of_pages = "select time, time_ns, index, summary, action from config \
                    where time >= '2026-11-20T15:08:00.5Z' and time < '2026-11-20T15:09:00.25Z'";
    let neighbours = "select index, kind, session, imported_from, marks, not_seen, peer, width from session";
    let bound = "select kind, count(*) as n, count(index_sha256) as bound from session group by 1";
    for (sql, merged) in [(of_pages, false), (neighbours, false), (neighbours, true), (bound, true)] {
        questions.push(json!({ "sql": sql, "merged": merged }));
    }
    for family in families {
        questions
            .push(json!({ "sql": format!("select * from {family} where index < {size}"), "merged": true }));
    }
    Ok(questions)
}

type Row = Map<String, Value>;

/// A row of an engine in comparable form: times are nanoseconds where the row has them, else microseconds; columns of
/// the file's path and nulls are left out.
fn comparable(row: &Value) -> Result<Row> {
    let mut row = row.as_object().context("a row is an object")?.clone();
    for name in ["date", "family", "raw"] {
        row.remove(name);
    }
    let below: Vec<String> = row.keys().filter(|name| name.ends_with("_ns")).cloned().collect();
    for name in below {
        let nanos = row.remove(&name).unwrap_or_default();
        let time = name.trim_end_matches("_ns");
        let Some(micros) = row.get(time).and_then(Value::as_i64) else {
            ensure!(nanos.is_null(), "{name} without a time: {nanos}");
            continue;
        };
        let nanos = nanos.as_i64().with_context(|| format!("{name} is a number"))?;
        ensure!((0..1000).contains(&nanos), "{name}: {nanos} nanoseconds below a microsecond");
        row.insert(time.to_owned(), json!(micros * 1000 + nanos));
    }
    row.retain(|_, value| !value.is_null());
    Ok(row)
}

/// A row of `meshtrail query` in comparable form: it has one column for a time, in nanoseconds.
async fn query_meshtrail(server: &Server, sql: &str) -> Result<Vec<Row>> {
    let whole = sql.contains("time_ns") || sql.contains("select *");
    let plain = sql.replace(", time_ns desc", "").replace(", time_ns", "");
    let text = server.ok(&["query", "--json", &plain]).await?;
    let mut found = Vec::new();
    for line in text.split('\n').filter(|line| !line.is_empty()) {
        let mut row: Row = serde_json::from_str(line)?;
        row.retain(|_, value| !value.is_null());
        for value in row.values_mut() {
            if let Some(nanos) = value.as_str().and_then(nanos) {
                *value = json!(if whole { nanos } else { nanos.div_euclid(1000) });
            }
        }
        found.push(row);
    }
    Ok(found)
}

/// Compares an engine's rows with ours in any order. Of ours, only the columns of the files are compared.
fn compare(theirs: &Value, ours: &[Row], what: &str) -> Result<()> {
    let theirs = theirs.as_array().context("an answer is a list of rows")?;
    let stored: BTreeSet<&String> =
        theirs.iter().filter_map(Value::as_object).flat_map(|row| row.keys()).collect();
    let theirs: Result<BTreeSet<String>> =
        theirs.iter().map(|row| Ok(Value::Object(comparable(row)?).to_string())).collect();
    let ours: BTreeSet<String> = ours
        .iter()
        .map(|row| {
            let kept = row.iter().filter(|(name, _)| stored.contains(name));
            Value::Object(kept.map(|(name, value)| (name.clone(), value.clone())).collect()).to_string()
        })
        .collect();
    let theirs = theirs?;
    let (missing, odd) = (ours.difference(&theirs).next(), theirs.difference(&ours).next());
    ensure!(missing.is_none() && odd.is_none(), "{what}: ours {missing:?}, theirs {odd:?}");
    Ok(())
}

/// `2026-11-20T14:02:11.123456789Z` as nanoseconds since 1970.
fn nanos(text: &str) -> Option<i64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let numbers =
        |text: &str, by: char| text.split(by).map(|part| part.parse().ok()).collect::<Option<Vec<i64>>>();
    let [year, month, day] = numbers(date, '-')?[..] else { return None };
    let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let [hour, minute, second] = numbers(clock, ':')?[..] else { return None };
    let (shifted, from_march) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, of_era) = (shifted.div_euclid(400), shifted.rem_euclid(400));
    let days =
        era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + (153 * from_march + 2) / 5 + day - 719_469;
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second;
    Some(seconds * 1_000_000_000 + format!("{fraction:0<9}").parse::<i64>().ok()?)
}

/// Events of the kinds of the queries, each at a different nanosecond.
fn events(source: &str, count: u64) -> Vec<Value> {
    let event = |sequence: u64| {
        let (kind, detail) = match sequence % 3 {
            0 => ("policy.changed", json!({ "summary": format!("change {sequence}"), "action": "UPDATE" })),
            1 => ("device.tagged", json!({ "property": "TAGS", "new": ["tag:prod"] })),
            _ => (
                "kube.request.done",
                json!({ "verb": "get", "resource": "pods", "status": 200 + sequence % 2 * 203 }),
            ),
        };
        json!({
            "id": format!("{source}.1.{sequence}"), "kind": kind, "outcome": "success", "detail": detail,
            "time": format!("2026-11-20T15:{:02}:{:02}.{:09}Z", sequence / 60 % 60, sequence % 60, sequence * 7_000_123 % 1_000_000_000),
            "actor": {"person": {"login": format!("user-{}@example.com", sequence % 5)}},
        })
    };
    (1..=count).map(event).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn duckdb_and_spark_answer_the_documented_questions_as_meshtrail_does() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut tar = child_command("tar");
    tar.arg("xzf").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(BEFORE));
    tar.arg("-C").arg(folder.path());
    ensure!(
        run("tar", tar, Duration::from_secs(60)).await?.status.success(),
        "{BEFORE} could not be unpacked"
    );
    std::fs::rename(folder.path().join("store"), folder.path().join("server-data"))?;
    let config = "[trail]\nsegment_age = \"1s\"\n".to_owned();
    let server = Server::start(folder.path(), &Setup { config: Some(config), ..Setup::default() }).await?;
    Sender::new(&server, "sender").await?.send(&server, 3000).await?;
    let mixed = Sender::new(&server, "mixed").await?;
    mixed.submit(&server, &events(&mixed.source, 3000)).await?;
    for command in ["uptime", "ls /"] {
        let mut recording = Recording::open(&server.recorder, command).await?;
        recording.lines(20).await?;
        recording.end().await?;
    }
    server
        .session("the last recording", |session| session["command"] == "ls /" && session["state"] == "ended")
        .await?;

    // Everything so far has to be in segments. The queries themselves are events of a family that no query reads.
    let size: u64 = server.ok(&["checkpoint"]).await?.lines().nth(1).context("a size")?.parse()?;
    let sealed = until("everything to be sealed", Duration::from_secs(60), async || {
        let note = std::fs::read_to_string(Path::new(server.store()).join("trails/main/checkpoint")).ok()?;
        note.lines().nth(1)?.parse::<u64>().ok().filter(|sealed| *sealed >= size)
    });
    sealed.await?;

    let segments = Path::new(server.store()).join("trails/main/segments");
    let mut families = Vec::new();
    for entry in std::fs::read_dir(&segments)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        families.extend(name.strip_prefix("family=").map(str::to_owned));
    }
    ensure!(families.len() >= 9, "segments are of {families:?} alone");
    let questions = queries(&families, size)?;
    let file = folder.path().join("questions.json");
    std::fs::write(&file, serde_json::to_vec(&questions)?)?;
    let mut command = child_command(python()?);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("python/engines.py")).arg(segments).arg(&file);
    let output = run("engines.py", command, Duration::from_secs(300)).await?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "engines.py ended with {}: {complaint}", output.status);
    let answers: Value = serde_json::from_slice(&output.stdout)?;
    for (at, question) in questions.iter().enumerate() {
        let sql = question["sql"].as_str().context("a question")?;
        let expected = query_meshtrail(&server, sql).await?;
        ensure!(!expected.is_empty(), "{sql}: no rows, so nothing is compared");
        for engine in ["duckdb", "spark"] {
            let rows = answers[engine][at].as_array().map_or(0, Vec::len);
            ensure!(rows == expected.len(), "{engine}: {rows} rows, ours {}: {question}", expected.len());
            compare(&answers[engine][at], &expected, &format!("{engine}: {question}"))?;
        }
    }
    Ok(())
}

#[test]
fn times_are_read_as_they_are_written() {
    assert_eq!(nanos("1970-01-01T00:00:00.000000001Z"), Some(1));
    assert_eq!(nanos("2026-11-20T10:02:11.120387511Z"), Some(1_795_168_931_120_387_511));
    assert_eq!(nanos("2024-02-29T00:00:00Z"), Some(1_709_164_800_000_000_000));
    assert_eq!(nanos("not a time"), None);
}
