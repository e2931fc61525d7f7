//! The engine on a real trail: sealed files, the log, and rows that move from the log to files.
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Int64Type};
use futures::TryStreamExt;
use meshtrail_event::{
    Actor, Detail, Device, Draft, Event, EventId, Flow, Kind, Outcome, Person, SessionFacts, SessionId,
    Target, Timestamp,
};
use meshtrail_sql::{Engine, Limits};
use meshtrail_trail::store::{Store, StoreLocation, WritePolicy};
use meshtrail_trail::{Trail, TrailConfig};
use meshtrail_worker::{Budget, Fault, QueryError};

const START: i64 = 1_780_000_000_000_000_000;
const MINUTE: i64 = 60_000_000_000;
/// A segment age after which events are sealed at once.
const SEAL_AT_ONCE: Duration = Duration::from_millis(1);
/// A segment age with which no event is sealed during a test.
const SEAL_NEVER: Duration = Duration::from_secs(3600);

struct Fixture {
    #[expect(dead_code, reason = "removed when it is dropped")]
    folder: Arc<tempfile::TempDir>,
    trail: Trail,
    engine: Engine,
    sequence: u64,
}

impl Fixture {
    /// A trail that seals events at the age `segment_age`.
    async fn new(segment_age: Duration, limits: Limits) -> Self {
        Self::in_folder(&Arc::new(tempfile::tempdir().unwrap()), "main", segment_age, limits).await
    }

    /// A trail of this name; trails in one folder share a store.
    async fn in_folder(
        folder: &Arc<tempfile::TempDir>,
        name: &str,
        segment_age: Duration,
        limits: Limits,
    ) -> Self {
        let location = StoreLocation::Folder(folder.path().join("store"));
        let store = Store::open(&location, &WritePolicy::default()).await.unwrap();
        let mut config = TrailConfig::new(name);
        config.segment_age = segment_age;
        let trail = Trail::open(store, &folder.path().join(name), config).await.unwrap();
        let engine = Engine::new(trail.clone(), limits).unwrap();
        Self { folder: folder.clone(), trail, engine, sequence: 0 }
    }

    fn event(&mut self, draft: Draft) -> Event {
        self.sequence += 1;
        let id = EventId { source: "test".parse().unwrap(), epoch: 1, sequence: self.sequence };
        draft.into_event(id, Timestamp::from_nanos(START))
    }

    /// Appends `count` sessions, one a minute, of three people in turn, each with a flow.
    async fn add_sessions(&mut self, count: usize) {
        self.add_sessions_from(0, count).await;
    }

    /// Appends `count` sessions like [`Self::add_sessions`], from minute `first` on.
    async fn add_sessions_from(&mut self, first: usize, count: usize) {
        let mut events = Vec::new();
        for number in first..first + count {
            events.push(self.session(number));
            events.push(self.flow(number));
            if events.len() >= 1000 {
                self.trail.append(std::mem::take(&mut events)).await.unwrap();
            }
        }
        self.trail.append(events).await.unwrap();
    }

    fn session(&mut self, number: usize) -> Event {
        let mut draft = Draft::new(Kind::SshSessionEnded, at(number));
        draft.actor = person(number);
        draft.session = Some(session_id(number));
        draft.target = Target { account: Some("root".to_owned()), ..Target::default() };
        draft.detail = Some(Detail::Session(Box::new(SessionFacts {
            command: Some(format!("echo {number}")),
            bytes: Some(number as u64),
            ..SessionFacts::default()
        })));
        self.event(draft)
    }

    fn flow(&mut self, number: usize) -> Event {
        let mut draft = Draft::new(Kind::FlowCounted, at(number));
        draft.actor = person(number);
        draft.outcome = if number.is_multiple_of(10) { Outcome::Denied } else { Outcome::Success };
        draft.detail = Some(Detail::Flow(Box::new(Flow {
            src: Some("100.64.0.1:40000".to_owned()),
            dst: Some("[fd7a::1]:443".to_owned()),
            tx_bytes: Some(number as u64),
            ..Flow::default()
        })));
        self.event(draft)
    }

    async fn ask(&self, sql: &str) -> Result<RecordBatch, QueryError> {
        ask(&self.engine, sql, self.engine.budget()).await
    }

    async fn rows(&self, sql: &str) -> Vec<Vec<String>> {
        texts(&self.ask(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}")))
    }

    async fn number(&self, sql: &str) -> i64 {
        let batch = self.ask(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        batch.column(0).as_primitive::<Int64Type>().value(0)
    }

    /// Waits until at least `size` events are in files.
    async fn wait_until_sealed(&self, size: u64) {
        for _ in 0..2000 {
            if self.trail.snapshot().sealed() >= size {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("nothing was sealed");
    }
}

async fn ask(engine: &Engine, sql: &str, budget: &Budget) -> Result<RecordBatch, QueryError> {
    let answer = engine.query(sql, budget).await?;
    let schema = answer.schema;
    let batches: Vec<RecordBatch> = answer
        .stream
        .try_collect()
        .await
        .map_err(|error| meshtrail_sql::error::to_query_error(&error, None))?;
    Ok(concat_batches(&schema, &batches).unwrap())
}

fn texts(batch: &RecordBatch) -> Vec<Vec<String>> {
    let columns: Vec<_> =
        batch.columns().iter().map(|column| cast(column, &DataType::Utf8).unwrap()).collect();
    let cell = |row: usize, column: &Arc<dyn Array>| {
        let texts = column.as_string::<i32>();
        if texts.is_null(row) { "-".to_owned() } else { texts.value(row).to_owned() }
    };
    (0..batch.num_rows()).map(|row| columns.iter().map(|column| cell(row, column)).collect()).collect()
}

fn at(number: usize) -> Timestamp {
    Timestamp::from_nanos(START + number as i64 * MINUTE)
}

fn session_id(number: usize) -> SessionId {
    SessionId::new(at(number), "main", 1, number as u64).unwrap()
}

fn person(number: usize) -> Actor {
    let login = ["alice@example.com", "bob@example.com", "carol@example.com"][number % 3];
    Actor {
        person: Some(Person { login: login.to_owned(), ..Person::default() }.into()),
        device: Some(Device { id: Some(format!("n{}", number % 3)), ..Device::default() }.into()),
        ..Actor::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_event_is_counted_once_while_segments_are_sealed() {
    let mut fixture = Fixture::new(SEAL_AT_ONCE, Limits::default()).await;
    for round in 1..=20 {
        fixture.add_sessions(100).await;
        assert_eq!(fixture.number("select count(*) from event").await, round * 200);
        assert_eq!(fixture.number("select count(distinct index) from event").await, round * 200);
        assert_eq!(fixture.number("select sum(bytes) from session").await, round * (99 * 100 / 2));
    }
    fixture.wait_until_sealed(4000).await;
    assert_eq!(fixture.number("select count(*) from flow where outcome = 'denied'").await, 200);
    assert_eq!(fixture.number("select max(index) from event").await, 3999);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_issues_own_example_runs_as_written() {
    let mut fixture = Fixture::new(SEAL_AT_ONCE, Limits::default()).await;
    fixture.add_sessions(90).await;
    let now = Timestamp::now();
    let mut draft = Draft::new(Kind::SshSessionEnded, now);
    draft.actor = person(1);
    let event = fixture.event(draft);
    fixture.trail.append(vec![event]).await.unwrap();
    let sql = "select actor, count(*) from ssh_session where time > now() - interval '7 days' group by 1";
    let rows = fixture.rows(sql).await;
    let bob = rows.iter().find(|row| row[0] == "bob@example.com").unwrap();
    assert!(bob[1] == "1" || rows.len() == 3, "{rows:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sealed_rows_and_rows_of_the_log_look_alike() {
    let sql = "select index, kind, actor, device, id, command, target_account, rest, id_sequence from session \
               where index < 6 order by index";
    let sql_event =
        "select index, family, kind, actor, detail, leaf from event where index < 6 order by index";
    let sql_flow =
        "select src, src_port, dst, dst_port, tx_bytes, time from flow where index < 6 order by index";
    let (mut fixture, mut other) = (
        Fixture::new(SEAL_NEVER, Limits::default()).await,
        Fixture::new(SEAL_AT_ONCE, Limits::default()).await,
    );
    fixture.add_sessions(3).await;
    other.add_sessions(3).await;
    other.wait_until_sealed(6).await;
    assert_eq!((fixture.trail.snapshot().sealed(), other.trail.snapshot().sealed()), (0, 6));
    let hot = (fixture.rows(sql).await, fixture.rows(sql_event).await, fixture.rows(sql_flow).await);
    let sealed = (other.rows(sql).await, other.rows(sql_event).await, other.rows(sql_flow).await);
    assert_eq!(hot, sealed);
    assert_eq!(hot.0[1][2..5], ["bob@example.com", "n1", "test.1.3"]);
    assert_eq!(hot.2[0][..4], ["100.64.0.1", "40000", "fd7a::1", "443"]);
    for row in &hot.1 {
        let index: u64 = row[0].parse().unwrap();
        assert_eq!(row[5].as_bytes(), &fixture.trail.leaf(index).await.unwrap()[..]);
        assert!(row[4].starts_with('{') && row[5].contains(&row[4]), "{row:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_outside_the_asked_time_index_or_kind_are_not_opened() {
    let mut fixture = Fixture::new(SEAL_AT_ONCE, Limits::default()).await;
    for round in 1..=5 {
        fixture.add_sessions_from((round - 1) * 100, 100).await;
        fixture.wait_until_sealed(round as u64 * 200).await;
    }
    let from = at(100);
    for sql in [
        format!("select * from session where time >= '{from}' and time < '{}'", at(140)),
        "select * from session where index between 210 and 280".to_owned(),
    ] {
        let plan = fixture.rows(&format!("explain analyze {sql}")).await;
        let text = &plan.iter().find(|row| row[1].contains("DataSourceExec")).unwrap()[1];
        let files = text.matches(".parquet").count();
        assert!((1..=3).contains(&files), "{sql}: {files} files\n{text}");
    }
    let rows = fixture.number("select count(*) from event where kind = 'kube.request.done'").await;
    assert_eq!(rows, 0);
    let newest = fixture.rows("select index from event order by index desc limit 2").await;
    assert_eq!(newest, [["999"], ["998"]]);
    let newest = fixture.rows("select id from session order by time desc limit 1").await;
    assert_eq!(newest, [["test.1.999"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_finds_the_same_rows_however_it_is_narrowed() {
    let mut fixture = Fixture::new(SEAL_AT_ONCE, Limits::default()).await;
    fixture.add_sessions(900).await;
    let one = format!("session = '{}'", session_id(17).as_str());
    for (filter, expected) in [
        (one.as_str(), 1),
        ("actor_login = 'alice@example.com'", 300),
        ("actor = 'alice@example.com'", 300),
        ("actor = 'nobody@example.com'", 0),
        ("actor_login = 'nobody@example.com'", 0),
        ("actor_device_id in ('n0', 'n1')", 600),
        ("command = 'echo 17' and kind = 'ssh.session.ended'", 1),
        ("command like 'echo 1_' or bytes = 899", 11),
        ("actor_login is null", 0),
        ("not actor_login = 'bob@example.com'", 600),
    ] {
        let sql = format!("select count(*) from session where {filter}");
        assert_eq!(fixture.number(&sql).await, expected, "{filter}");
    }
}

impl Fixture {
    /// Files whose bounds of logins, devices, sessions and addresses are equal: only Bloom filters can exclude one.
    async fn with_equal_bounds(files: usize) -> Self {
        let mut fixture = Fixture::new(SEAL_AT_ONCE, Limits::default()).await;
        for file in 0..files {
            let names = [("a0".to_owned(), 1), (format!("m{file}"), 100 + file), ("z0".to_owned(), 200)];
            let mut events: Vec<Event> =
                names.iter().flat_map(|(name, number)| fixture.flows_of_every_label(name, *number)).collect();
            events.push(fixture.session(if file % 2 == 0 { 0 } else { 999 }));
            events.push(fixture.session(if file % 2 == 0 { 999 } else { 0 }));
            events.push(fixture.session(100 + file));
            fixture.trail.append(events).await.unwrap();
            fixture.wait_until_sealed(fixture.sequence).await;
        }
        fixture
    }

    /// One flow for every form of an actor's and a target's label, all with `name` in it.
    fn flows_of_every_label(&mut self, name: &str, number: usize) -> Vec<Event> {
        let login = Arc::new(Person { login: format!("{name}@example.com"), ..Person::default() });
        let device = |device_name: Option<String>, addresses: &[String], id: Option<String>| {
            Arc::new(Device { name: device_name, addresses: addresses.to_vec(), id, ..Device::default() })
        };
        let long = device(Some(format!("{name}.tail.example")), &[], Some(format!("id-{name}")));
        let short = device(Some(name.to_owned()), &[], None);
        let addressed = device(None, &[format!("fd7a::{name}"), "100.64.0.1".to_owned()], None);
        let bare = device(None, &[], Some(format!("id-{name}")));
        let tags = |tags: &[&str]| tags.iter().map(|tag| format!("tag:{tag}-{name}")).collect::<Vec<_>>();
        let actors = vec![
            Actor { person: Some(login), device: Some(long.clone()), ..Actor::default() },
            Actor { tags: tags(&["one"]), device: Some(long.clone()), ..Actor::default() },
            Actor { tags: tags(&["one", "two, three"]), ..Actor::default() },
            Actor { service: Some(format!("service-{name}")), ..Actor::default() },
            Actor { device: Some(short.clone()), ..Actor::default() },
            Actor { device: Some(addressed.clone()), ..Actor::default() },
            Actor { device: Some(bare.clone()), ..Actor::default() },
            Actor::default(),
        ];
        let targets = vec![
            Target { name: Some(name.to_owned()), namespace: Some("a/b".to_owned()), ..Target::default() },
            Target { name: Some(format!("x/{name}")), ..Target::default() },
            Target { device: Some(long), ..Target::default() },
            Target { device: Some(addressed), ..Target::default() },
            Target { address: Some(format!("100.64.0.9:{number}")), ..Target::default() },
            Target { address: Some(format!("[fd7a::{number}]:443")), ..Target::default() },
            Target { id: Some(name.to_owned()), ..Target::default() },
            Target::default(),
        ];
        let flows = actors.into_iter().zip(targets).map(|(actor, target)| {
            let mut draft = Draft::new(Kind::FlowCounted, at(1));
            (draft.actor, draft.target) = (actor, target);
            draft.detail = Some(Detail::Flow(Box::new(Flow {
                src: Some(format!("10.{number}.0.1:99")),
                dst: Some(format!("[fd7a::{number}]:443")),
                ..Flow::default()
            })));
            self.event(draft)
        });
        flows.collect()
    }

    /// The line of the executed plan that names the files.
    async fn scan_line(&self, sql: &str) -> String {
        let plan = self.rows(&format!("explain analyze {sql}")).await;
        let lines = plan.iter().flat_map(|row| row[1].lines());
        lines.filter(|line| line.contains("DataSourceExec")).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bloom_filters_skip_what_bounds_cannot_by_every_column_that_has_one() {
    let fixture = Fixture::with_equal_bounds(6).await;
    let session = format!("session = '{}'", session_id(103).as_str());
    for (table, filter) in [
        ("flow", "actor_login = 'm3@example.com'"),
        ("flow", "actor_device_id = 'id-m3'"),
        ("flow", "actor_device_name = 'm3.tail.example'"),
        ("flow", "target_device_name in ('m3.tail.example', 'm9.tail.example')"),
        ("flow", "src = '10.103.0.1'"),
        ("flow", "dst = 'fd7a::103'"),
        ("event", "actor_login = 'm3@example.com' and family = 'flow'"),
        ("session", session.as_str()),
    ] {
        let line = fixture.scan_line(&format!("select index from {table} where {filter}")).await;
        let pruned = line.split("row_groups_pruned_bloom_filter=").nth(1).unwrap_or_default();
        let by_bounds = line.split("row_groups_pruned_statistics=").nth(1).unwrap_or_default();
        assert!(pruned.starts_with("6 total → 1 matched"), "{filter}: {line}");
        assert!(by_bounds.starts_with("6 total → 6 matched"), "{filter}: {line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_put_together_and_either_or_skip_files_too() {
    let fixture = Fixture::with_equal_bounds(6).await;
    for filter in [
        "actor = 'm3@example.com'",
        "actor in ('m3@example.com', 'nobody@example.com')",
        "actor = 'm3@example.com' and tx_bytes is null",
        "src = '10.103.0.1' or dst = 'fd7a::103'",
        "actor_login = 'm3@example.com' or target_device_id = 'id-m3'",
    ] {
        let line = fixture.scan_line(&format!("select index from flow where {filter}")).await;
        assert_eq!(line.matches(".parquet").count(), 1, "{filter}: {line}");
    }
    for filter in ["actor = 'm3@example.com' or tx_bytes is null", "not actor = 'm3@example.com'"] {
        let line = fixture.scan_line(&format!("select index from flow where {filter}")).await;
        assert_eq!(line.matches(".parquet").count(), 6, "{filter}: {line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_table_names_the_trail_in_files_and_in_the_log() {
    for segment_age in [SEAL_AT_ONCE, SEAL_NEVER] {
        let mut fixture = Fixture::new(segment_age, Limits::default()).await;
        fixture.add_sessions(10).await;
        if segment_age == SEAL_AT_ONCE {
            fixture.wait_until_sealed(fixture.sequence).await;
        }
        for table in ["event", "flow", "session", "ssh_session"] {
            let trails = fixture.rows(&format!("select trail, count(*) from {table} group by 1")).await;
            let expected = if table == "event" { "20" } else { "10" };
            assert_eq!(trails, [["main", expected]], "{table}");
            let elsewhere = format!("select count(*) from {table} where trail = 'edge'");
            assert_eq!(fixture.number(&elsewhere).await, 0, "{table}");
            let anyhow =
                format!("select count(*) from {table} where trail = 'main' or actor_login = 'nobody'");
            assert_eq!(fixture.number(&anyhow).await.to_string(), expected, "{table}");
        }
        assert_eq!(fixture.number("select count(*) from other where trail is null").await, 0);
        let leaf = fixture.rows("select leaf from event where trail = 'main' and index = 7").await;
        assert_eq!(leaf[0][0].as_bytes(), &fixture.trail.leaf(7).await.unwrap()[..]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_trail_of_a_store_has_its_own_name_in_its_rows() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let mut trails = Vec::new();
    for (name, count) in [("main", 3), ("edge-fra", 5)] {
        let mut fixture = Fixture::in_folder(&folder, name, SEAL_AT_ONCE, Limits::default()).await;
        fixture.add_sessions(count).await;
        fixture.wait_until_sealed(fixture.sequence).await;
        trails.push((name, count, fixture));
    }
    for (name, count, fixture) in trails {
        let rows = fixture.rows("select trail, count(*), max(index) from event group by 1").await;
        assert_eq!(rows, [[name.to_owned(), (2 * count).to_string(), (2 * count - 1).to_string()]]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_on_another_trail_reads_no_file() {
    let fixture = Fixture::with_equal_bounds(4).await;
    let files = async |filter: &str| {
        let line = fixture.scan_line(&format!("select index from event where {filter}")).await;
        line.matches(".parquet").count()
    };
    assert_eq!(files("trail = 'edge'").await, 0);
    assert_eq!(files("trail in ('edge', 'fra')").await, 0);
    assert_eq!(files("trail = 'main' and family = 'flow'").await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_family_or_a_value_skips_no_file_of_the_family() {
    let fixture = Fixture::with_equal_bounds(4).await;
    let flows = fixture.number("select count(*) from flow").await;
    let either = "select count(*) from event where family = 'flow' or actor_login = 'nobody@example.com'";
    assert_eq!(fixture.number(either).await, flows);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_file_is_skipped_that_holds_what_is_asked_for() {
    let fixture = Fixture::with_equal_bounds(4).await;
    for table in ["flow", "event"] {
        for column in ["actor", "device", "target", "actor_login", "actor_device_name", "target_device_id"] {
            let all = fixture.rows(&format!("select {column}, count(*) from {table} group by 1")).await;
            assert!(all.len() > 5, "{column}: {all:?}");
            for row in all.iter().filter(|row| row[0] != "-") {
                let value = row[0].replace('\'', "''");
                let sql = format!(
                    "select count(*) filter (where {column} = '{value}') from {table} \
                     where {column} = '{value}' or session = 'none' and {column} = 'none'"
                );
                assert_eq!(fixture.rows(&sql).await, [[row[1].as_str()]], "{sql}");
                let sql = format!("select count(*) from {table} where {column} in ('{value}', 'none')");
                assert_eq!(fixture.rows(&sql).await, [[row[1].as_str()]], "{sql}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_tables_of_one_query_see_one_moment_while_events_come_in() {
    let mut fixture = Fixture::new(SEAL_AT_ONCE, Limits::default()).await;
    fixture.add_sessions(10).await;
    let engine = fixture.engine.clone();
    let is_running = Arc::new(AtomicBool::new(true));
    let keep_appending = is_running.clone();
    let appends = tokio::spawn(async move {
        while keep_appending.load(Ordering::Relaxed) {
            fixture.add_sessions(1).await;
        }
        fixture
    });
    let alone = "select count(*) from flow a full join event b on a.index = b.index \
                 where b.index is null or a.index is null and b.family = 'flow'";
    let counts =
        "select (select count(*) from flow) as one, count(*) as other from event where family = 'flow'";
    let mut seen = HashSet::new();
    while seen.len() < 5 {
        assert!(!appends.is_finished(), "events stopped coming in");
        let found = texts(&ask(&engine, alone, engine.budget()).await.unwrap());
        assert_eq!(found, [["0"]], "an event in one table and not yet in the other");
        let counted = texts(&ask(&engine, counts, engine.budget()).await.unwrap());
        assert_eq!(counted[0][0], counted[0][1]);
        seen.insert(counted[0][0].clone());
    }
    is_running.store(false, Ordering::Relaxed);
    // The folder is removed with the fixture, which has to live until the last query is answered.
    let fixture = appends.await.unwrap();
    let all = texts(&ask(&engine, "select count(*) from event", engine.budget()).await.unwrap());
    assert_eq!(all, [[fixture.sequence.to_string()]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn json_is_taken_apart_as_postgres_does_in_files_and_in_the_log() {
    for age in [SEAL_AT_ONCE, SEAL_NEVER] {
        let mut fixture = Fixture::new(age, Limits::default()).await;
        fixture.add_sessions(40).await;
        let mut draft = Draft::new(Kind::SshLogin, at(50));
        let tags = vec!["tag:prod".to_owned(), "tag:ci, \"x\"".to_owned()];
        draft.actor.device = Some(Device { tags, ..Device::default() }.into());
        let event = fixture.event(draft);
        fixture.trail.append(vec![event]).await.unwrap();
        if age == SEAL_AT_ONCE {
            fixture.wait_until_sealed(81).await;
        }
        let sql = "select detail->>'tx_bytes', detail->'dst', detail->>'dst', detail->'nothing'->>'there' \
                   from event where family = 'flow' and (detail->>'tx_bytes')::bigint = 7";
        assert_eq!(fixture.rows(sql).await, [["7", "\"[fd7a::1]:443\"", "[fd7a::1]:443", "-"]]);
        let counts = [
            ("event where detail ? 'command'", 40),
            ("event where not detail ? 'command'", 40),
            ("event where leaf->'actor'->'person'->>'login' = 'bob@example.com'", 26),
            ("event where leaf #>> '{actor,person,login}' = 'bob@example.com'", 26),
            ("event where leaf #>> array['actor', 'person', 'login'] = 'bob@example.com'", 26),
            ("login where actor_device_tags ? 'tag:prod'", 1),
            ("login where actor_device_tags ? 'tag:pro'", 0),
            ("login where actor_device_tags ->> -1 = 'tag:ci, \"x\"'", 1),
            ("login where json_array_length(actor_device_tags) = 2", 1),
            ("login where json_typeof(actor_device_tags) = 'array'", 1),
            ("login where json_typeof(actor_device_tags->'x') is null", 1),
        ];
        for (from, expected) in counts {
            assert_eq!(fixture.number(&format!("select count(*) from {from}")).await, expected, "{from}");
        }
        let tags = fixture.rows("select unnest(json_elements(actor_device_tags)) from login").await;
        assert_eq!(tags, [["tag:prod"], ["tag:ci, \"x\""]]);
        let grouped = "select detail->>'command' as what, count(*) from event where index < 4 group by 1 \
                       order by detail->>'command' nulls first";
        assert_eq!(fixture.rows(grouped).await, [["-", "2"], ["echo 0", "1"], ["echo 1", "1"]]);
        let joined = "select e.detail->>e.kind, e.leaf->>k.column1 from event e cross join (values ('kind')) k \
                      where e.index = 0";
        assert_eq!(fixture.rows(joined).await, [["-", "ssh.session.ended"]]);
        for wrong in ["select index->'a' from event", "select detail #> 'a' from event"] {
            assert_eq!(fixture.ask(wrong).await.expect_err(wrong).fault, Fault::Query, "{wrong}");
        }
    }
}

/// The queries of docs/sql.md: lines indented by four spaces that begin with `select`.
fn manual_queries() -> Vec<&'static str> {
    let page = include_str!("../../../docs/sql.md");
    let lines = page.lines().filter_map(|line| line.strip_prefix("    "));
    lines.filter(|line| line.starts_with("select ") && !line.contains("read_parquet")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_query_of_the_manual_runs_as_it_is_written() {
    let mut fixture = Fixture::new(SEAL_AT_ONCE, Limits::default()).await;
    fixture.add_sessions(20).await;
    let queries = manual_queries();
    assert!(queries.len() >= 10, "{queries:?}");
    for sql in queries {
        // A column of the files, for other engines; in this engine `time` has the nanoseconds.
        let sql = sql.replace(", time_ns desc", "").replace(", time_ns", "");
        fixture.ask(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_bounded_and_what_does_not_fit_spills() {
    let folder = tempfile::tempdir().unwrap();
    let limits =
        Limits { memory: 32 << 20, spill: Some(folder.path().to_owned()), threads: 2, ..Limits::default() };
    let mut fixture = Fixture::new(SEAL_AT_ONCE, limits).await;
    fixture.add_sessions(1000).await;
    let sort = "explain analyze select e.index, repeat('x', 50) || a.x as long from event e, \
                generate_series(1, 300) a(x) order by long desc, index";
    let plan = fixture.rows(sort).await;
    let spills = plan.iter().flat_map(|row| row[1].split("spill_count=").skip(1));
    assert!(spills.clone().any(|count| !count.starts_with('0')), "{plan:?}");
    let sql = "select string_agg(repeat('x', 1000), '') from generate_series(1, 100000)";
    let error = fixture.ask(sql).await.unwrap_err();
    assert_eq!(error.fault, Fault::Budget, "{error}");
    assert_eq!(fixture.number("select count(*) from event").await, 2000);
}

#[tokio::test(flavor = "multi_thread")]
async fn time_and_rows_are_bounded() {
    let mut fixture = Fixture::new(SEAL_NEVER, Limits::default()).await;
    fixture.add_sessions(100).await;
    let short = Budget { time: Duration::from_millis(300), rows: 10 };
    let endless = "select count(*) from generate_series(1, 9000000000000) a(x) where x % 7 = 9";
    let error = ask(&fixture.engine, endless, &short).await.unwrap_err();
    assert_eq!(error.fault, Fault::Budget, "{error}");
    let error = ask(&fixture.engine, "select * from session", &short).await.unwrap_err();
    assert_eq!(error.fault, Fault::Budget, "{error}");
    assert!(ask(&fixture.engine, "select * from session limit 10", &short).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_query_writes_reads_files_or_reaches_the_network() {
    let fixture = Fixture::new(SEAL_NEVER, Limits::default()).await;
    for sql in [
        "select * from '/etc/passwd'",
        "select * from \"/etc/passwd.csv\"",
        "select * from read_parquet('/etc/passwd')",
        "select * from read_csv('http://127.0.0.1/x')",
        "select * from parquet_metadata('/etc/passwd')",
        "select pg_read_file('/etc/passwd')",
        "select lo_import('/etc/passwd')",
        "select * from dblink('host=127.0.0.1', 'select 1')",
        "copy (select 1) to '/tmp/meshtrail-was-here.csv'",
        "create external table t stored as csv location '/etc/passwd'",
        "set datafusion.execution.target_partitions = 900",
        "drop table event",
        "insert into event select * from event",
    ] {
        let error = fixture.ask(sql).await.expect_err(sql);
        assert!(matches!(error.fault, Fault::Refused | Fault::Query), "{sql}: {error:?}");
    }
    let session = fixture.engine.session(fixture.engine.budget()).unwrap();
    for sql in ["create table event as select 1", "create view x as select 1", "drop table event"] {
        let outcome = match session.sql(sql).await {
            Ok(frame) => frame.collect().await.map(drop),
            Err(error) => Err(error),
        };
        assert!(outcome.is_err(), "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_name_is_told_where_with_the_right_one() {
    let fixture = Fixture::new(SEAL_NEVER, Limits::default()).await;
    for (sql, place, told) in [
        ("select acotr from session", (1, 8), "did you mean actor?"),
        ("select *\nfrom sesion", (2, 6), "did you mean session?"),
        ("select actor from session\nwhere tme > now()", (2, 7), "did you mean time?"),
        ("selec 1", (1, 1), "can't be read"),
    ] {
        let error = fixture.ask(sql).await.expect_err(sql);
        assert!(error.message.contains(told), "{sql}: {error}");
        assert_eq!((error.line, error.column), (Some(place.0), Some(place.1)), "{sql}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_table_answers_with_all_its_columns() {
    let mut fixture = Fixture::new(SEAL_AT_ONCE, Limits::default()).await;
    fixture.add_sessions(50).await;
    let tables: Vec<String> = fixture.engine.tables().map(str::to_owned).collect();
    for table in &tables {
        fixture
            .ask(&format!("select * from {table}"))
            .await
            .unwrap_or_else(|error| panic!("{table}: {error}"));
        let shown = fixture.rows(&format!("show columns from {table}")).await;
        assert_eq!(shown.len(), fixture.engine.schema(table).unwrap().fields().len(), "{table}");
    }
    let listed =
        fixture.rows("select table_name from information_schema.tables where table_schema = 'public'").await;
    assert_eq!(listed.len(), tables.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_as_large_as_they_may_be_are_answered() {
    let mut fixture = Fixture::new(SEAL_AT_ONCE, Limits::default()).await;
    fixture.add_sessions(20).await;
    let chained = format!("select count(*) from session where index = 0{}", " or bytes = 7".repeat(298));
    assert_eq!(fixture.number(&chained).await, 2);
    let deep = format!("select count(*) from session where {}index = 0{}", "(".repeat(35), ")".repeat(35));
    assert_eq!(fixture.number(&deep).await, 1);
    let sums = format!("select 1{}", " + 1".repeat(590));
    assert_eq!(fixture.number(&sums).await, 591);
    let unions = format!("select count(*) from (select 1{})", " union all select 1".repeat(90));
    assert_eq!(fixture.number(&unions).await, 91);
    let list = vec!["'nobody'"; 10_000].join(",");
    let listed = format!("select count(*) from session where actor_login not in ({list})");
    assert_eq!(fixture.number(&listed).await, 20);
}
