use std::path::PathBuf;

use meshtrail_event::{Change, Detail, DeviceState, Draft, EventId, Json, Kind, Target};
use meshtrail_identity::Resolver;

use super::*;
use crate::{
    Recordings, SessionState,
    testing::{MemoryLedger, SSH, quick, store_at},
};

struct Fixture {
    folder: tempfile::TempDir,
    ledger: Arc<MemoryLedger>,
    recordings: Recordings,
    history: History,
}

impl Fixture {
    async fn open() -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let (store, ledger) = (store_at(folder.path()).await, MemoryLedger::new());
        let local = folder.path().join("local");
        let nobody = Resolver::without_providers();
        let recordings = Recordings::open_on(store, &local, ledger.clone(), nobody, quick()).await.unwrap();
        Fixture { folder, ledger, recordings, history: History::new() }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    async fn import(&self, file: &Path) -> Result<ImportOutcome, ImportError> {
        let import =
            Import { file, from: "old/a.cast", named_start: None, node: None, history: &self.history };
        self.recordings.import(import).await
    }

    /// The directory learns whose device 7 is since the beginning of 2026.
    fn set_owner(&self, login: &str) {
        let state = DeviceState {
            id: "7".to_owned(),
            name: Some("laptop.tail.example".to_owned()),
            owner: Some(login.to_owned()),
            ..DeviceState::default()
        };
        let time = Timestamp::from_seconds(1_767_000_000).unwrap();
        let change = Change {
            new: Some(Json::from(&serde_json::to_value(state).unwrap())),
            origin: Some("snapshot".to_owned()),
            property: Some("device".to_owned()),
            ..Change::default()
        };
        let draft = Draft {
            detail: Some(Detail::Change(Box::new(change))),
            target: Target {
                id: Some("7".to_owned()),
                of_type: Some("device".to_owned()),
                ..Target::default()
            },
            ..Draft::new(Kind::ConfigSnapshot, time)
        };
        let id = EventId { source: "main.x".parse().unwrap(), epoch: 1, sequence: 1 };
        self.history.learn(&draft.into_event(id, time));
    }
}

fn expect_new(imported: Result<ImportOutcome, ImportError>) -> Session {
    match imported.unwrap() {
        ImportOutcome::New(session) => *session,
        ImportOutcome::Existing(session) => panic!("{session} was known"),
    }
}

#[tokio::test]
async fn the_bytes_are_kept_and_the_one_event_says_for_good_where_they_came_from() {
    let fixture = Fixture::open().await;
    let text = format!("{SSH}[0.5,\"o\",\"hi\"]\n[62.25,\"o\",\"bye\"]\n");
    let session = expect_new(fixture.import(&fixture.file("a.cast", &text)).await);
    assert_eq!(session.imported_from.as_deref(), Some("old/a.cast"));
    assert_eq!(session.started.as_seconds(), 1_767_225_600);
    assert_eq!(session.ended.unwrap().since(session.started).as_millis(), 62_250);
    assert_eq!((session.state, session.marks), (SessionState::Ended, 0));
    assert_eq!(session.actor.label().as_deref(), Some("alice@example.com"));
    assert_eq!(session.identity.status, IdentityStatus::SelfReported);
    assert_eq!(fixture.ledger.kinds(), ["ssh.session.ended"]);
    let stored = crate::seal::StoredRecording::open(fixture.recordings.store(), &session.id).await.unwrap();
    assert_eq!(stored.read(0..u64::MAX).await.unwrap(), text.as_bytes());
    let listed = fixture.recordings.session(&session.id).await.unwrap().unwrap();
    assert_eq!(listed.imported_from, session.imported_from);
}

#[tokio::test]
async fn the_same_bytes_come_in_once_whatever_they_are_called_and_after_a_restart() {
    let fixture = Fixture::open().await;
    let text = format!("{SSH}[0.5,\"o\",\"hi\"]\n");
    let session = expect_new(fixture.import(&fixture.file("a.cast", &text)).await);
    let again = fixture.import(&fixture.file("b.cast", &text)).await.unwrap();
    assert_eq!(again, ImportOutcome::Existing(session.id.clone()));
    fixture.recordings.clone().close().await;
    fixture.ledger.restart();
    let store = store_at(fixture.folder.path()).await;
    let local = fixture.folder.path().join("local");
    let nobody = Resolver::without_providers();
    let recordings =
        Recordings::open_on(store, &local, fixture.ledger.clone(), nobody, quick()).await.unwrap();
    let sha256 = session.sha256.unwrap();
    assert_eq!(recordings.find_by_sha256(&sha256).await.unwrap(), Some(session.id));
    assert_eq!(fixture.ledger.kinds(), ["ssh.session.ended"]);
}

#[tokio::test]
async fn damaged_files_are_refused_with_the_reason_and_leave_nothing() {
    let fixture = Fixture::open().await;
    let no_start = SSH.replace("\"timestamp\":1767225600,", "");
    for (text, reason) in [
        ("", "it is empty"),
        ("{\"version\":2", "it ends within its first line"),
        ("{\"version\":1}\n", "header.version: expected 2, found 1"),
        ("not a cast\n", "header: not JSON: expected ident at line 1 column 2"),
        (&format!("{SSH}\u{0}\u{0}\u{0}\n"), "none of its lines below the header can be read"),
        (
            &format!("{no_start}[1,\"o\",\"x\"]\n"),
            "header.timestamp: missing, and the file's name does not tell when it began either",
        ),
    ] {
        let error = fixture.import(&fixture.file("bad.cast", text)).await.unwrap_err();
        assert_eq!(error.to_string(), reason);
    }
    let long = format!("{{\"version\":2,\"x\":\"{}\"}}\n", "x".repeat(70_000));
    let error = fixture.import(&fixture.file("bad.cast", &long)).await.unwrap_err().to_string();
    assert!(error.starts_with("header: "), "{error}");
    assert!(fixture.ledger.kinds().is_empty());
    assert!(!fixture.folder.path().join("recordings").exists());
}

#[tokio::test]
async fn a_file_that_was_cut_off_is_kept_as_interrupted() {
    let fixture = Fixture::open().await;
    let text = format!("{SSH}[0.5,\"o\",\"hi\"]\n[1.5,\"o\",\"b");
    let session = expect_new(fixture.import(&fixture.file("a.cast", &text)).await);
    assert_eq!(session.state, SessionState::Interrupted);
    assert_eq!(session.reason.as_deref(), Some("the file ends within a line"));
    assert_eq!(session.bytes, text.len() as u64);
}

#[tokio::test]
async fn who_it_was_is_held_against_the_directory_of_that_time() {
    let text = format!("{SSH}[0.5,\"o\",\"hi\"]\n");
    for (owner, status) in [
        ("alice@example.com", IdentityStatus::Resolved),
        ("mallory@example.com", IdentityStatus::Conflicting),
    ] {
        let fixture = Fixture::open().await;
        fixture.set_owner(owner);
        let session = expect_new(fixture.import(&fixture.file("a.cast", &text)).await);
        assert_eq!(session.identity.status, status, "{:?}", session.identity);
        assert_eq!(session.identity.provider.as_deref(), Some("snapshot"));
        assert_eq!(session.actor.label().as_deref(), Some(owner));
    }
}
