//! Warnings in the server's log at a start with a changed store; in a process of its own, because a process has one logger.
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use meshtrail_event::{Draft, EventId, Kind, Timestamp};
use meshtrail_trail::store::{Store, StoreLocation, WritePolicy};
use meshtrail_trail::{Trail, TrailConfig};
use tracing::field::{Field, Visit};
use tracing::span;

/// The fields of every warning.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        write!(self.0, "{field}={value:?} ").unwrap();
    }
}

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::WARN
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut fields = Fields(String::new());
        event.record(&mut fields);
        self.0.lock().unwrap().push(fields.0);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destroyed_or_removed_checkpoint_is_said_at_the_start_and_a_whole_one_is_not() {
    let warnings = Warnings::default();
    tracing::subscriber::set_global_default(warnings.clone()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let location = StoreLocation::Folder(folder.path().to_owned());
    let open = async || {
        let store = Store::open(&location, &WritePolicy::default()).await.unwrap();
        let config = TrailConfig { segment_events: 10, ..TrailConfig::new("main") };
        Trail::open(store, &folder.path().join("local"), config).await.unwrap()
    };
    let path = folder.path().join("trails/main/checkpoint");
    let trail = open().await;
    for sequence in 1..41 {
        let id = EventId { source: "agent.a".parse().unwrap(), epoch: 1, sequence };
        let event = Draft::new(Kind::FlowOpened, Timestamp::now()).into_event(id, Timestamp::now());
        trail.append(vec![event]).await.unwrap();
    }
    while !std::fs::read_to_string(&path).is_ok_and(|note| note.contains("\n30\n")) {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    trail.close().await;
    let whole = std::fs::read(&path).unwrap();
    let said = async || {
        open().await.close().await;
        std::mem::take(&mut *warnings.0.lock().unwrap())
    };
    assert_eq!(said().await, Vec::<String>::new());
    let mut changed = whole.clone();
    changed[3] ^= 1;
    for (note, why) in [
        (Some(changed), "the signature by"),
        (Some(b"nothing".to_vec()), "not a signed note"),
        (None, "it is missing"),
    ] {
        match note {
            Some(note) => std::fs::write(&path, note).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        let said = said().await;
        let told = said.iter().any(|line| line.contains("trails/main/checkpoint") && line.contains(why));
        assert!(told, "{why}: {said:?}");
        std::fs::write(&path, &whole).unwrap();
    }
}
