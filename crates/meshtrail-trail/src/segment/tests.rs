//! Tests: leaves of every shape are restored, completely and in part, and damage is detected.

use std::collections::BTreeMap;

use bytes::Bytes;
use meshtrail_event::{ColumnType, EventId, Family, Layout, Member, Timestamp, canonical_json};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::encode::encode_as;
use super::plan::{Format, Plan};
use super::*;
use crate::store::{Key, Store, StoreLocation, WritePolicy};

/// A canonical leaf of a flow, the `number`th of its source.
fn flow(number: u64) -> Vec<u8> {
    let time = Timestamp::from_nanos(1_763_647_331_000_000_000 + number as i64 * 1_234_567);
    let mut leaf = json!({
        "actor": {"person": {"login": format!("p{}@example.com", number % 7)}},
        "detail": {
            "dst": format!("100.64.0.{}:443", number % 250), "src": format!("[fd7a::{:x}]:{}", number % 99, number % 60_000),
            "rx_bytes": number * number % 100_003, "proto": if number.is_multiple_of(5) { 17 } else { 6 }, "start": time,
        },
        "id": format!("node-{}.agent.2.{number}", number % 3), "kind": "flow.counted", "outcome": "success",
        "received": time.after(std::time::Duration::from_millis(number % 900)), "time": time,
    });
    if number.is_multiple_of(11) {
        leaf["detail"]["of_the_future"] = json!({"z": 1.5e-7, "é\u{1f600}": [null, true, "\u{0}\u{7f}\"\\"]});
    }
    canonical_json(&leaf).into_bytes()
}

pub(super) fn flows(rows: u64) -> Vec<(u64, Vec<u8>)> {
    // Events of other families lie between.
    (0..rows).map(|number| (1000 + number + number / 7, flow(number))).collect()
}

pub(super) fn borrow(rows: &[(u64, Vec<u8>)]) -> Vec<(u64, &[u8])> {
    rows.iter().map(|(index, leaf)| (*index, leaf.as_slice())).collect()
}

fn encoded(family: Family, rows: &[(u64, Vec<u8>)]) -> EncodedSegment {
    encode(family, "main", &borrow(rows)).unwrap()
}

fn open(segment: &EncodedSegment) -> SegmentReader {
    SegmentReader::from_bytes("test.parquet", Bytes::from(segment.bytes.clone())).unwrap()
}

fn owned(rows: Vec<(u64, Bytes)>) -> Vec<(u64, Vec<u8>)> {
    rows.into_iter().map(|(index, leaf)| (index, leaf.to_vec())).collect()
}

#[tokio::test]
async fn rows_come_back_by_index_from_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let location = StoreLocation::Folder(folder.path().to_owned());
    let store = Store::open(&location, &WritePolicy::default()).await.unwrap();
    let rows = flows(3 * MAX_PAGE_ROWS as u64 + 17);
    let segment = encoded(Family::Flow, &rows);
    assert_eq!(segment.stored_whole, 0);
    let key = Key::new("segments/family=flow/1.parquet").unwrap();
    store.put_new(&key, Bytes::from(segment.bytes.clone())).await.unwrap();

    let reader = SegmentReader::open(&store, &key, segment.bytes.len() as u64).await.unwrap();
    assert_eq!((reader.family(), reader.trail(), reader.rows()), (Family::Flow, "main", rows.len()));
    assert_eq!(reader.indexes(), (1000, rows.last().unwrap().0));
    assert_eq!(owned(reader.read(0..u64::MAX).await.unwrap()), rows);
    for range in [1000..1001, 3300..3556, 0..1000, 8000..9000] {
        let expected: Vec<_> = rows.iter().filter(|row| range.contains(&row.0)).cloned().collect();
        assert_eq!(owned(reader.read(range.clone()).await.unwrap()), expected, "{range:?}");
    }
}

fn any_of(tests: impl IntoIterator<Item = ColumnTest>) -> Predicate {
    Predicate { any_of: tests.into_iter().collect() }
}

#[tokio::test]
async fn a_row_is_selected_if_one_column_fits_or_the_event_is_exempt() {
    let rows = flows(100);
    let reader = open(&encoded(Family::Flow, &rows));
    let is_person = |row: usize, person: &str| {
        let leaf: Value = serde_json::from_slice(&rows[row].1).unwrap();
        leaf["actor"]["person"]["login"] == person
    };
    let tests = [
        ColumnTest::new("kind", |kind| kind == "ssh.login"),
        ColumnTest::new("actor_login", |login| login == "p3@example.com"),
    ];
    let mut selection = Selection { predicates: vec![any_of(tests)], ..Selection::of(0..u64::MAX) };
    let wanted: Vec<_> =
        (0..100).filter(|&row| is_person(row, "p3@example.com")).map(|row| rows[row].0).collect();
    let found: Vec<_> = reader.read_page(0, &selection).await.unwrap().iter().map(|row| row.0).collect();
    assert!(!wanted.is_empty() && wanted.len() < 100);
    assert_eq!(found, wanted);

    let leaf: Value = serde_json::from_slice(&rows[40].1).unwrap();
    let id: EventId = leaf["id"].as_str().unwrap().parse().unwrap();
    assert!(!wanted.contains(&rows[40].0));
    selection.exempt = Some(Arc::new(move |source: &str, epoch, sequence| {
        (source, epoch, sequence) == (id.source.as_str(), id.epoch, id.sequence)
    }));
    let found: Vec<_> = reader.read_page(0, &selection).await.unwrap().iter().map(|row| row.0).collect();
    assert_eq!(found.len(), wanted.len() + 1);
    assert!(found.contains(&rows[40].0));
}

#[tokio::test]
async fn the_values_of_a_column_are_known_from_its_dictionary_or_its_bounds_or_not_at_all() {
    let session = |number: u64| {
        let leaf = json!({
            "id": format!("main.recorder.2.{number}"), "kind": "ssh.session.started", "outcome": "success",
            "actor": {"person": {"login": format!("p{}@example.com", number % 3)}},
            "session": format!("202611{:02}-main-1-{number}", 10 + number / 100),
        });
        canonical_json(&leaf).into_bytes()
    };
    let mut rows: Vec<_> = (0..1000).map(|number| (number, session(number))).collect();
    let columns = ["session", "actor_login", "src"];
    let known = open(&encoded(Family::Session, &rows)).text_values(&columns, 100).await.unwrap();
    let values: Vec<_> = known.iter().map(|(_, values)| values).collect();
    let bounds = TextValues::Between("20261110-main-1-0".into(), "20261119-main-1-999".into());
    assert_eq!(*values[0], bounds);
    assert!(matches!(values[1], TextValues::Distinct(logins) if logins.len() == 3), "{known:?}");
    assert_eq!(*values[2], TextValues::Distinct(Vec::new()), "sessions have no such column");

    let few = open(&encoded(Family::Session, &rows)).text_values(&["actor_login"], 2).await.unwrap();
    assert_eq!(few[0].1, TextValues::Unknown, "more than are listed");
    rows.push((1000, br#"{"session":"20270101-main-1-1" }"#.to_vec()));
    let known = open(&encoded(Family::Session, &rows)).text_values(&columns, 100).await.unwrap();
    let is_unknown = |(_, values): &(String, TextValues)| *values == TextValues::Unknown;
    assert!(known.iter().all(is_unknown), "a leaf that is stored whole may say anything: {known:?}");
}

#[tokio::test]
async fn selections_skip_pages_and_never_miss_a_row() {
    let rows = flows(4 * MAX_PAGE_ROWS as u64);
    let reader = open(&encoded(Family::Flow, &rows));
    let time = |row: usize| {
        let leaf: Value = serde_json::from_slice(&rows[row].1).unwrap();
        leaf["time"].as_str().unwrap().parse::<Timestamp>().unwrap()
    };
    let (from, to) = (time(MAX_PAGE_ROWS + 100), time(MAX_PAGE_ROWS + 300));
    let login = any_of([ColumnTest::new("actor_login", |login| login == "p3@example.com")]);
    let selection =
        Selection { times: Some((from, to)), predicates: vec![login], ..Selection::of(0..u64::MAX) };
    assert_eq!(reader.pages(&selection), [1]);
    let found = owned(reader.read_page(1, &selection).await.unwrap());
    let expected: Vec<_> = (MAX_PAGE_ROWS + 100..=MAX_PAGE_ROWS + 300)
        .filter(|row| row % 7 == 3)
        .map(|row| rows[row].clone())
        .collect();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn times_are_selected_to_the_nanosecond_in_files_of_every_format() {
    let leaf = |nanos: i64| {
        let leaf = json!({"kind": "flow.counted", "time": Timestamp::from_nanos(nanos)});
        canonical_json(&leaf).into_bytes()
    };
    let rows: Vec<(u64, Vec<u8>)> = (0..2000).map(|row| (row, leaf(5_000_000 + row as i64))).collect();
    for format in [Format::One, Format::Two] {
        let plan = Plan::of(format, Family::Flow);
        let segment = encode_as(plan, "main", &borrow(&rows)).unwrap();
        let whole = (Timestamp::from_nanos(5_000_000), Timestamp::from_nanos(5_001_999));
        assert_eq!((segment.stored_whole, segment.times), (0, Some(whole)), "{format:?}");
        let reader = open(&segment);
        assert_eq!(owned(reader.read(0..u64::MAX).await.unwrap()), rows, "{format:?}");
        for (from, to) in [(5_000_001, 5_000_998), (5_000_999, 5_001_000), (5_001_500, 9_000_000)] {
            let times = Some((Timestamp::from_nanos(from), Timestamp::from_nanos(to)));
            let selection = Selection { times, ..Selection::of(0..u64::MAX) };
            let found = owned(reader.read_page(0, &selection).await.unwrap());
            let is_wanted = |row: &u64| (from..=to).contains(&(5_000_000 + *row as i64));
            assert!(found.iter().map(|row| row.0).eq((0..2000).filter(is_wanted)), "{format:?} {from}");
        }
        let later = Some((Timestamp::from_nanos(5_002_000), Timestamp::from_nanos(i64::MAX)));
        let selection = Selection { times: later, ..Selection::of(0..u64::MAX) };
        assert_eq!(reader.pages(&selection), [] as [usize; 0], "{format:?}");
    }
}

/// A family's layout as it was before it had a column.
fn without(layout: &Layout, name: &str) -> &'static Layout {
    fn take_out(members: &mut Vec<(&'static str, Member)>, gone: usize) {
        members.retain_mut(|(_, member)| match member {
            Member::Column(number) if *number == gone => false,
            Member::Column(number) => {
                *number -= usize::from(*number > gone);
                true
            }
            Member::Object(members) => {
                take_out(members, gone);
                !members.is_empty()
            }
        });
    }
    let mut layout = layout.clone();
    let gone = layout.columns.iter().position(|column| column.name == name).unwrap();
    layout.columns.remove(gone);
    take_out(&mut layout.members, gone);
    Box::leak(Box::new(layout))
}

#[tokio::test]
async fn a_file_from_before_a_column_came_in_between_gives_back_the_same_leaves() {
    let rows = flows(MAX_PAGE_ROWS as u64 + 7);
    let before = without(Family::Flow.layout(), "rx_bytes");
    let plan = Box::leak(Box::new(Plan::build(Format::NEWEST, before)));
    let segment = encode_as(plan, "main", &borrow(&rows)).unwrap();
    assert_eq!(segment.stored_whole, 0);
    assert_eq!(owned(open(&segment).read(0..u64::MAX).await.unwrap()), rows);
    // The same id means the same column.
    let fields = |bytes: &Vec<u8>| {
        let reader = SerializedFileReader::new(Bytes::from(bytes.clone())).unwrap();
        let schema = reader.metadata().file_metadata().schema().clone();
        let field = |field: &std::sync::Arc<parquet::schema::types::Type>| {
            (field.get_basic_info().id(), field.name().to_owned())
        };
        schema.get_fields().iter().map(field).collect::<BTreeMap<_, _>>()
    };
    let (older, newer) = (fields(&segment.bytes), fields(&encoded(Family::Flow, &rows).bytes));
    assert_eq!(newer.len(), older.len() + 1);
    assert!(older.iter().all(|(id, name)| newer.get(id) == Some(name)));
}

#[tokio::test]
async fn what_fitted_no_column_is_left_to_the_caller_to_judge() {
    let mut rows = flows(MAX_PAGE_ROWS as u64);
    let odd = [r#"{"detail":{"dst":"a\\b"},"kind":"flow.opened","time":"soon"}"#, "not an object"];
    rows.extend((90_000u64..).zip(odd.map(|leaf| leaf.as_bytes().to_vec())));
    let reader = open(&encoded(Family::Flow, &rows));
    let dst = any_of([ColumnTest::new("dst", |_| false)]);
    let now = Timestamp::from_nanos(1);
    let selection =
        Selection { times: Some((now, now)), predicates: vec![dst], ..Selection::of(0..u64::MAX) };
    assert_eq!(reader.pages(&selection), [0, 1]);
    assert_eq!(owned(reader.read_page(1, &selection).await.unwrap()), rows[MAX_PAGE_ROWS..]);
}

#[tokio::test]
async fn an_event_is_found_by_its_id_even_when_it_was_kept_whole() {
    let mut rows = flows(MAX_PAGE_ROWS as u64 + 50);
    let odd = br#"{"time":1, "id":"odd.one.1.7"}"#.to_vec();
    rows.push((90_000, odd.clone()));
    let segment = encoded(Family::Flow, &rows);
    assert_eq!(segment.stored_whole, 1);
    let reader = open(&segment);
    for (id, index) in [
        (format!("node-{}.agent.2.2051", 2051 % 3), Some(rows[2051].0)),
        ("odd.one.1.7".to_owned(), Some(90_000)),
        ("node-1.agent.3.1".to_owned(), None),
        ("nobody.2.1".to_owned(), None),
    ] {
        assert_eq!(reader.find(&id.parse::<EventId>().unwrap()).await.unwrap(), index, "{id}");
    }
    assert_eq!(reader.read(90_000..90_001).await.unwrap()[0].1, odd);
}

#[test]
fn another_parquet_reader_sees_the_same_columns() {
    let rows = flows(MAX_PAGE_ROWS as u64 + 100);
    let file = Bytes::from(encoded(Family::Flow, &rows).bytes);
    let reader = SerializedFileReader::new(file).unwrap();
    let mut read = 0;
    for (row, (index, leaf)) in reader.get_row_iter(None).unwrap().zip(&rows) {
        let row: BTreeMap<String, Field> = row.unwrap().into_columns().into_iter().collect();
        let leaf: Value = serde_json::from_slice(leaf).unwrap();
        assert_eq!(row["index"], Field::Long(*index as i64));
        assert_eq!(
            row["actor_login"],
            Field::Str(leaf["actor"]["person"]["login"].as_str().unwrap().to_owned())
        );
        assert_eq!(row["rx_bytes"], Field::Long(leaf["detail"]["rx_bytes"].as_i64().unwrap()));
        assert_eq!(row["dst_port"], Field::Int(443));
        let time: Timestamp = leaf["time"].as_str().unwrap().parse().unwrap();
        let nanos = time.as_nanos();
        assert_eq!(row["time"], Field::TimestampMicros(nanos / 1000));
        assert_eq!(row["time_ns"], Field::Int((nanos % 1000) as i32));
        assert_eq!(row["logged_ns"], Field::Null);
        assert_eq!(row["rest"] != Field::Null, leaf["detail"]["of_the_future"].is_object());
        read += 1;
    }
    assert_eq!(read, rows.len());
}

#[tokio::test]
async fn a_flipped_byte_anywhere_is_an_error_or_changes_nothing() {
    let rows = flows(40);
    let segment = encoded(Family::Flow, &rows);
    let mut unnoticed = 0;
    for place in 0..segment.bytes.len() * 4 {
        let (place, change) = (place / 4, [1, 0x0e, 0x5a, 0xff][place % 4]);
        let mut bytes = segment.bytes.clone();
        bytes[place] ^= change;
        let read = match SegmentReader::from_bytes("flipped.parquet", bytes.into()) {
            Ok(reader) => reader.read(0..u64::MAX).await,
            Err(error) => Err(error),
        };
        match read {
            Ok(read) => {
                assert_eq!(owned(read), rows, "byte {place}");
                unnoticed += 1;
            }
            Err(error) => assert!(error.to_string().contains("flipped.parquet"), "{error}"),
        }
    }
    // Bytes that only other programs read: the first magic, Bloom filters, pages without a value.
    let unnoticed = unnoticed / 4;
    assert!(unnoticed < segment.bytes.len() / 3, "{unnoticed} of {}", segment.bytes.len());
}

#[tokio::test]
async fn cut_and_foreign_files_are_errors() {
    let segment = encoded(Family::Flow, &flows(300));
    for length in (0..segment.bytes.len()).step_by(7) {
        let cut = Bytes::from(segment.bytes[..length].to_vec());
        assert!(SegmentReader::from_bytes("cut.parquet", cut).is_err(), "{length}");
    }
}

#[test]
fn rows_out_of_order_and_empty_segments_are_refused() {
    assert!(matches!(encode(Family::Flow, "main", &[]), Err(EncodeError::Empty)));
    let (one, two) = (flow(1), flow(2));
    let misplaced = encode(Family::Flow, "main", &[(5, &one), (5, &two)]);
    assert!(matches!(misplaced, Err(EncodeError::Order { index: 5 })));
}

/// Any JSON text in canonical form.
fn any_json() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0u64..1 << 53).prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<f64>().prop_filter("finite", |n| n.is_finite()).prop_map(Value::from),
        any_text().prop_map(Value::from),
    ];
    scalar.prop_recursive(6, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(any_text(), inner, 0..5)
                .prop_map(|members| members.into_iter().collect()),
        ]
    })
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]{0,12}", "\\PC{0,8}", any::<String>(), Just("\"\\\u{0}\u{1f}\n\u{2028}".to_owned())]
}

/// A value that fits a column of this type, nearly fits, or is anything.
fn any_value(of: ColumnType) -> BoxedStrategy<Value> {
    let fitting = match of {
        ColumnType::Text | ColumnType::Symbol => any_text().prop_map(Value::from).boxed(),
        ColumnType::Int => prop_oneof![0u64..1 << 53, 0u64..100].prop_map(Value::from).boxed(),
        ColumnType::Time => (0i64..i64::MAX).prop_map(|nanos| json!(Timestamp::from_nanos(nanos))).boxed(),
        ColumnType::Sha256 => any::<[u8; 32]>().prop_map(|hash| hex::encode(hash).into()).boxed(),
        ColumnType::EventId => {
            "[a-z]{1,5}(\\.[a-z]{1,3})?\\.0?[0-9]{1,3}\\.[0-9]{1,17}".prop_map(Value::from).boxed()
        }
        ColumnType::Address => {
            "(100\\.64\\.0\\.[0-9]|fd7a::[0-9]|\\[fd7a::1\\]|h)(:[0-9]{0,6})?".prop_map(Value::from).boxed()
        }
        ColumnType::Json => any_json().boxed(),
    };
    prop_oneof![8 => fitting, 1 => any_json()].boxed()
}

/// A leaf with some of the family's members, some in odd forms, and some of the future.
fn any_leaf(family: Family) -> impl Strategy<Value = Value> {
    let columns = &family.layout().columns;
    let members: Vec<_> =
        columns.iter().map(|column| prop::option::weighted(0.4, any_value(column.column_type))).collect();
    let future = prop::collection::vec((any::<prop::sample::Index>(), any_text(), any_json()), 0..4);
    (members, future).prop_map(move |(members, future)| {
        let mut leaf = Map::new();
        for (column, value) in columns.iter().zip(members) {
            if let Some(value) = value {
                put(&mut leaf, column.path, value);
            }
        }
        for (place, name, value) in future {
            let column = place.get(columns);
            let mut path: Vec<&str> = column.path[..column.path.len() - 1].to_vec();
            path.push(&name);
            put(&mut leaf, &path, value);
        }
        Value::Object(leaf)
    })
}

fn put(object: &mut Map<String, Value>, path: &[&str], value: Value) {
    match path {
        [last] => drop(object.insert((*last).to_owned(), value)),
        [first, rest @ ..] => {
            let inner = object.entry(*first).or_insert_with(|| json!({}));
            if let Value::Object(inner) = inner {
                put(inner, rest, value);
            }
        }
        [] => {}
    }
}

fn comes_back(family: Family, leaves: Vec<Vec<u8>>) -> EncodedSegment {
    let rows: Vec<(u64, Vec<u8>)> = (0u64..).zip(leaves).collect();
    let segment = encoded(family, &rows);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(owned(runtime.block_on(open(&segment).read(0..u64::MAX)).unwrap()), rows);
    segment
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn leaves_of_every_family_come_back_without_being_kept_whole(
        (family, leaves) in prop::sample::select(&Family::ALL[..])
            .prop_flat_map(|family| (Just(family), prop::collection::vec(any_leaf(family), 1..12)))
    ) {
        let leaves: Vec<_> = leaves.iter().map(|leaf| canonical_json(leaf).into_bytes()).collect();
        prop_assert_eq!(comes_back(family, leaves).stored_whole, 0);
    }

    #[test]
    fn any_bytes_come_back(leaves in prop::collection::vec(prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        any_json().prop_map(|value| value.to_string().into_bytes()),
        "\\{\"(id|kind|actor|detail)\":[{\\[\"a-z0-9:,}]{0,30}".prop_map(String::into_bytes),
    ], 1..8)) {
        comes_back(Family::Session, leaves);
    }
}
