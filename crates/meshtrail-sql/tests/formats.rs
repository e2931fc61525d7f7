//! Segments of the first and the current format, queried as one table: times to the nanosecond, and files and pages
//! outside the bounds are skipped in both.
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Int64Type};
use futures::TryStreamExt;
use meshtrail_event::{Detail, Draft, Event, EventId, Flow, Kind, Timestamp};
use meshtrail_sql::{Engine, Limits};
use meshtrail_trail::store::{Store, StoreLocation, WritePolicy};
use meshtrail_trail::{Scan, Trail, TrailConfig};
use tempfile::TempDir;

/// New events in one segment: several pages of flows.
const NEW: u64 = 8192;
/// Nanoseconds between the times of two new events.
const STEP: i64 = 1_000_333;

struct MixedTrail {
    #[expect(dead_code, reason = "removed when it is dropped")]
    folder: TempDir,
    trail: Trail,
    engine: Engine,
    /// The time of every flow, sealed by the old version and the current one.
    times: Vec<i64>,
}

fn start() -> i64 {
    "2026-12-01T15:00:00.000000123Z".parse::<Timestamp>().unwrap().as_nanos()
}

fn flow(sequence: u64) -> Event {
    let id = EventId { source: "newcomer".parse().unwrap(), epoch: 1, sequence };
    let time = Timestamp::from_nanos(start() + i64::try_from(sequence).unwrap() * STEP);
    let mut draft = Draft::new(Kind::FlowClosed, time);
    draft.detail = Some(Detail::Flow(Box::new(Flow { start: Some(time), ..Flow::default() })));
    draft.into_event(id, time)
}

impl MixedTrail {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/store-1.tar.gz");
        let mut tar = Command::new("tar");
        assert!(tar.arg("xzf").arg(archive).arg("-C").arg(folder.path()).status().unwrap().success());
        let store = folder.path().join("store");
        let location = StoreLocation::Folder(store.clone());
        let opened = Store::open(&location, &WritePolicy::default()).await.unwrap();
        let config = TrailConfig { segment_events: NEW, ..TrailConfig::new("main") };
        let trail = Trail::open(opened, &store.join("local"), config).await.unwrap();
        for batch in 0..10 {
            trail.append((batch * 1000 + 1..=batch * 1000 + 1000).map(flow).collect()).await.unwrap();
        }
        while trail.snapshot().sealed() < NEW {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let leaves: Vec<_> = trail.scan(Scan::oldest(0..u64::MAX)).try_collect().await.unwrap();
        let events = leaves.iter().map(|(_, leaf)| Event::from_json(leaf).unwrap());
        let flows = events.filter(|event| event.kind.as_str().starts_with("flow."));
        let times = flows.map(|event| event.time.as_nanos()).collect();
        let engine = Engine::new(trail.clone(), Limits::default()).unwrap();
        Self { folder, trail, engine, times }
    }

    async fn ask(&self, sql: &str) -> RecordBatch {
        let answer = self
            .engine
            .query(sql, self.engine.budget())
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
        let schema = answer.schema;
        let batches: Vec<RecordBatch> = answer.stream.try_collect().await.unwrap();
        concat_batches(&schema, &batches).unwrap()
    }

    async fn number(&self, sql: &str) -> usize {
        let answer = self.ask(sql).await;
        usize::try_from(answer.column(0).as_primitive::<Int64Type>().value(0)).unwrap()
    }

    async fn texts(&self, sql: &str) -> Vec<String> {
        let answer = self.ask(sql).await;
        let column = answer.columns().last().unwrap();
        let column = cast(column, &DataType::Utf8).unwrap();
        column.as_string::<i32>().iter().map(|text| text.unwrap_or("-").to_owned()).collect()
    }

    async fn nanos(&self, sql: &str) -> Vec<i64> {
        let answer = self.ask(sql).await;
        let column = cast(answer.column(0), &DataType::Int64).unwrap();
        column.as_primitive::<Int64Type>().values().to_vec()
    }

    async fn plan(&self, sql: &str) -> String {
        self.texts(&format!("explain analyze {sql}")).await.concat()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn times_are_compared_to_the_nanosecond_in_files_of_both_formats() {
    let mixed = MixedTrail::open().await;
    let older = mixed.times.iter().copied().find(|time| time % 1000 != 0).unwrap();
    let newer = flow(4000).time.as_nanos();
    for middle in [older, newer, newer / 1000 * 1000] {
        for shift in [-1, 0, 1] {
            let at = Timestamp::from_nanos(middle + shift);
            for (operator, holds) in [
                ("<", (|a, b| a < b) as fn(i64, i64) -> bool),
                ("<=", |a, b| a <= b),
                (">", |a, b| a > b),
                (">=", |a, b| a >= b),
                ("=", |a, b| a == b),
                ("<>", |a, b| a != b),
            ] {
                let sql = format!("select count(*) from flow where time {operator} '{at}'");
                let expected = mixed.times.iter().filter(|&&time| holds(time, at.as_nanos())).count();
                assert_eq!(mixed.number(&sql).await, expected, "{sql}");
            }
        }
    }
    let count = mixed.number("select count(*) from flow where start is not null and start = time").await;
    assert!(count >= usize::try_from(NEW).unwrap());
    let (first, last) = (mixed.times.iter().min().unwrap(), mixed.times.iter().max().unwrap());
    let asked = mixed.nanos("select min(time) from flow where tx_bytes is null or tx_bytes >= 0").await;
    assert_eq!(asked, [*first]);
    let mut newest = mixed.times.clone();
    newest.sort_unstable_by(|a, b| b.cmp(a));
    let asked = mixed.nanos("select time from flow order by time desc limit 7").await;
    assert_eq!((&asked[..], newest[0]), (&newest[..7], *last));
}

#[tokio::test(flavor = "multi_thread")]
async fn leaves_are_put_together_from_files_of_both_formats() {
    let mixed = MixedTrail::open().await;
    let size = mixed.trail.size();
    for index in [3, 20, 481, 1190, 1300, size - 1] {
        let leaf = mixed.texts(&format!("select leaf from event where index = {index}")).await;
        assert_eq!(leaf[0].as_bytes(), &mixed.trail.leaf(index).await.unwrap()[..], "{index}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_outside_the_asked_times_is_passed_over_in_files_of_both_formats() {
    let mixed = MixedTrail::open().await;
    let at = |sequence: u64| Timestamp::from_nanos(flow(sequence).time.as_nanos() + 1);
    // A few rows in the middle of the new file: the older files are not opened, and one page of this file is read.
    let plan = mixed
        .plan(&format!("select src from flow where time > '{}' and time < '{}'", at(4200), at(4210)))
        .await;
    assert!(plan.contains("family=flow") && !plan.contains("kind=flow"), "{plan}");
    let pruned = plan.split("page_index_rows_pruned=").nth(1).unwrap_or_default();
    let number = |text: &str| text.split_whitespace().next().and_then(|first| first.parse::<f64>().ok());
    let (total, matched) = pruned.split_once(" → ").unwrap_or_default();
    assert!(number(total) > Some(4.0) && matched.starts_with("2.0"), "{plan}");
    // The other way round.
    let plan = mixed
        .plan("select src from flow where time < '2026-11-30T00:00:00.000000001Z' and index < 1100")
        .await;
    assert!(plan.contains("kind=flow") && !plan.contains("family=flow"), "{plan}");
}
