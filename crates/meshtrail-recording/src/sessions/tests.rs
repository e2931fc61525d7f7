use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use meshtrail_event::Kind;
use sha2::{Digest, Sha256};

use super::*;
use crate::{
    SessionState::{self, Ended, Interrupted, Live as Running},
    check::{Checker, Statement},
    faults::{Faults, LogStep, Moment, Step},
    seal::recording_key,
    testing::{Client, MemoryLedger, Recorder, SSH, UploadClient, quick, store_at},
};

async fn bytes_of(recordings: &Recordings, id: &SessionId) -> Vec<u8> {
    let stream = recordings.stream_bytes(id).await.unwrap();
    stream.try_collect::<Vec<Bytes>>().await.unwrap().concat()
}

fn dying(step: Step, moment: Moment) -> Faults {
    let dead = AtomicBool::new(false);
    Faults::new(move |now, at| {
        if (now, at) == (step, moment) {
            dead.store(true, Ordering::SeqCst);
        }
        if dead.load(Ordering::SeqCst) { Err(std::io::Error::other("crashed here")) } else { Ok(()) }
    })
}

fn refusing(step: Step, moment: Moment) -> Faults {
    Faults::new(
        move |now, at| {
            if (now, at) == (step, moment) { Err(std::io::Error::other("refused")) } else { Ok(()) }
        },
    )
}

#[tokio::test]
async fn a_session_ends_with_one_event_whichever_step_of_sealing_a_crash_hits() {
    for step in [Step::PutRecording, Step::PutIndex, Step::EndEvent, Step::RemoveSpool] {
        for moment in [Moment::Before, Moment::After] {
            let recorder = Recorder::start(RecordingConfig { faults: dying(step, moment), ..quick() }).await;
            let mut upload = Client::connect(recorder.address).await.record().await;
            upload.send(SSH).await;
            upload.wait_for_ack(SSH.len() as u64).await;
            upload.end();
            upload.frames().await;
            let recorder = recorder.restart(quick()).await;
            let session = recorder.ledger.wait_for_end().await;
            wait_until_sealed(&recorder.recordings).await;
            let ended = recorder.ledger.of_kind(&Kind::SshSessionEnded);
            assert_eq!(ended.len(), 1, "{step:?} {moment:?}: {:?}", recorder.ledger.kinds());
            assert_eq!(session.sha256, Some(hex::encode(Sha256::digest(SSH))), "{step:?} {moment:?}");
            assert_eq!(bytes_of(&recorder.recordings, &session.id).await, SSH.as_bytes());
            let spool = recorder.folder.path().join("local/spool");
            assert_eq!(std::fs::read_dir(spool).unwrap().count(), 0, "{step:?} {moment:?}");
        }
    }
}

/// Waits until nothing is left to seal.
async fn wait_until_sealed(recordings: &Recordings) {
    while recordings.unsealed_count() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_was_open_at_a_stop_is_interrupted_and_keeps_every_durable_byte() {
    let recorder = Recorder::start(quick()).await;
    let mut upload = Client::connect(recorder.address).await.record().await;
    upload.send(SSH).await;
    upload.wait_for_ack(SSH.len() as u64).await;
    recorder.ledger.wait_for(Kind::SshSessionStarted).await;
    // The trail fails from here: nothing can be sealed before the stop.
    recorder.ledger.failing.store(true, Ordering::SeqCst);
    let recorder = recorder.restart(quick()).await;
    let session = recorder.ledger.wait_for_end().await;
    assert_eq!(session.state, SessionState::Interrupted);
    assert_eq!(session.reason.as_deref(), Some("the recorder stopped"));
    assert_eq!(session.actor.label().as_deref(), Some("alice@example.com"));
    assert_eq!(bytes_of(&recorder.recordings, &session.id).await, SSH.as_bytes());
}

#[tokio::test]
async fn a_crash_without_any_closing_still_ends_as_interrupted() {
    // Closings are never durable here, as when the power fails.
    let appended = Arc::new(AtomicUsize::new(0));
    let count = appended.clone();
    let faults = Faults::new(move |step, moment| {
        let writes = (step, moment) == (Step::Journal(LogStep::Write), Moment::Before);
        let late = writes && count.fetch_add(1, Ordering::SeqCst) >= 2;
        if late { Err(std::io::Error::other("no power")) } else { Ok(()) }
    });
    let recorder = Recorder::start(RecordingConfig { faults, ..quick() }).await;
    let mut upload = Client::connect(recorder.address).await.record().await;
    upload.send(SSH).await;
    upload.wait_for_ack(SSH.len() as u64).await;
    recorder.ledger.failing.store(true, Ordering::SeqCst);
    let recorder = recorder.restart(quick()).await;
    let session = recorder.ledger.wait_for_end().await;
    assert_eq!(session.state, SessionState::Interrupted);
    assert_eq!(session.bytes, SSH.len() as u64);
}

/// Records with marks until a fault, changes one byte in the spool, and restarts.
async fn after_a_changed_spool(faults: Faults) -> (Recorder, Session) {
    let config = RecordingConfig { mark_bytes: 1, faults, ..quick() };
    let recorder = Recorder::start(config).await;
    let mut upload = Client::connect(recorder.address).await.record().await;
    upload.send(SSH).await;
    upload.wait_for_ack(SSH.len() as u64).await;
    recorder.ledger.wait_for(Kind::RecordingMark).await;
    let Recorder { recordings, ledger, folder, stop, serving, .. } = recorder;
    stop.cancel();
    recordings.close().await;
    serving.await.unwrap();

    let spool = folder.path().join("local/spool");
    let mut paths = std::fs::read_dir(&spool).unwrap().map(|entry| entry.unwrap().path());
    let path = paths.find(|path| path.extension().unwrap() == "cast").unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    ledger.restart();
    let recorder = Recorder::start_on(folder, ledger, quick()).await;
    let session = recorder.ledger.wait_for_end().await;
    (recorder, session)
}

#[tokio::test]
async fn a_changed_spool_is_found_when_its_session_is_taken_up() {
    let (recorder, session) = after_a_changed_spool(refusing(Step::PutRecording, Moment::Before)).await;
    assert_eq!(session.state, SessionState::Failed);
    let mark = recorder.ledger.of_kind(&Kind::RecordingMark)[0].id.clone();
    let expected = format!("the bytes from 0 to {} are not those that event {mark} was made of", SSH.len());
    assert!(session.reason.as_ref().unwrap().contains(&expected), "{:?}", session.reason);
    let received = Some(hex::encode(Sha256::digest(SSH)));
    assert_eq!(session.sha256, received, "what was received stands, and what is stored does not agree");
}

#[tokio::test]
async fn a_spool_that_was_changed_after_the_store_had_the_recording_changes_nothing() {
    let (recorder, session) = after_a_changed_spool(refusing(Step::PutRecording, Moment::After)).await;
    assert_eq!(session.state, SessionState::Interrupted);
    wait_until_sealed(&recorder.recordings).await;
    assert_eq!(bytes_of(&recorder.recordings, &session.id).await, SSH.as_bytes());
}

#[tokio::test]
async fn a_sealed_recording_that_was_changed_disagrees_with_its_events() {
    let mut config = quick();
    config.mark_bytes = 1;
    let recorder = Recorder::start(config).await;
    let mut upload = Client::connect(recorder.address).await.record().await;
    upload.send(SSH).await;
    upload.wait_for_ack(SSH.len() as u64).await;
    recorder.ledger.wait_for(Kind::RecordingMark).await;
    upload.send("[1,\"o\",\"rm -rf /\"]\n").await;
    upload.end();
    upload.frames().await;
    let session = recorder.ledger.wait_for_end().await;
    wait_until_sealed(&recorder.recordings).await;

    let marks = recorder.recordings.marks(&session.id).await.unwrap();
    let marks: Vec<Statement> = marks.iter().filter_map(sealing::mark_statement).collect();
    assert!(!marks.is_empty());
    let end = Statement {
        event: session.event.clone().unwrap(),
        bytes: session.bytes,
        sha256: session.sha256.clone().unwrap(),
    };
    let bytes = bytes_of(&recorder.recordings, &session.id).await;
    let check = |bytes: &[u8]| {
        let mut checker = Checker::new(marks.clone(), Some(end.clone()));
        checker.push(bytes);
        checker.finish()
    };
    assert_eq!(check(&bytes), []);
    let changed = String::from_utf8(bytes).unwrap().replace("rm -rf", "ls -la");
    let found = check(changed.as_bytes());
    assert!(found[0].to_string().starts_with(&format!("the bytes from {} to ", SSH.len())), "{found:?}");
}

#[tokio::test]
async fn an_object_that_was_there_before_is_never_taken_for_the_recording() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let store = store_at(folder.path()).await;
    let today = SessionId::new(Timestamp::now(), "main", 1, 1).unwrap();
    let planted = zstd::encode_all(&b"planted"[..], 1).unwrap();
    store.put_new(&recording_key(&today), planted.into()).await.unwrap();
    let recorder = Recorder::start_on(folder, MemoryLedger::new(), quick()).await;
    let mut upload = Client::connect(recorder.address).await.record().await;
    upload.send(SSH).await;
    upload.end();
    upload.frames().await;
    let page = recorder.recordings.sessions(None, 10, |_| true).await.unwrap();
    let session = &page.sessions[0];
    assert_eq!((session.state, session.event.clone()), (SessionState::Ended, None));
    let bytes = bytes_of(&recorder.recordings, &session.id).await;
    assert_eq!(bytes, SSH.as_bytes(), "it is read from the spool");
}

#[tokio::test]
async fn a_late_follower_sees_the_screen_then_what_comes_then_the_end() {
    let recorder = Recorder::start(quick()).await;
    let mut upload = Client::connect(recorder.address).await.record().await;
    let before = "[1,\"o\",\"first\\r\\nsecond\"]\n[2,\"o\",\" li";
    upload.send(format!("{SSH}{before}")).await;
    upload.wait_for_ack((SSH.len() + before.len()) as u64).await;
    let id = recorder.recordings.live()[0].id.clone();
    let mut followed = std::pin::pin!(recorder.recordings.follow(&id).await.unwrap());
    let Some(FollowEvent::Line(header)) = followed.next().await else { panic!("no header") };
    assert!(header.contains("\"width\":80"), "{header}");
    let Some(FollowEvent::Line(screen)) = followed.next().await else { panic!("no screen") };
    assert!(screen.contains("first") && screen.contains("second"), "{screen}");
    upload.send("ve\"]\n[3,\"o\",\"more\"]\n").await;
    assert_eq!(followed.next().await.unwrap(), FollowEvent::Line("[2, \"o\", \" live\"]".into()));
    assert_eq!(followed.next().await.unwrap(), FollowEvent::Line("[3, \"o\", \"more\"]".into()));
    upload.end();
    assert_eq!(followed.next().await.unwrap(), FollowEvent::Ended);
    assert_eq!(followed.next().await, None);
    upload.frames().await;
    recorder.ledger.wait_for_end().await;
    wait_until_sealed(&recorder.recordings).await;
    let again = recorder.recordings.follow(&id).await.err().unwrap();
    assert_eq!(again.to_string(), format!("session {id} is not live"));
}

#[tokio::test]
async fn a_follower_that_does_not_read_is_dropped_with_a_word_and_holds_up_nobody() {
    let recorder = Recorder::start(quick()).await;
    let mut upload = Client::connect(recorder.address).await.record().await;
    upload.send(SSH).await;
    upload.wait_for_ack(SSH.len() as u64).await;
    let id = recorder.recordings.live()[0].id.clone();
    let mut followed = std::pin::pin!(recorder.recordings.follow(&id).await.unwrap());
    let line = "[1,\"o\",\"x\"]\n";
    let mut sent = SSH.len();
    for _ in 0..4000 {
        upload.send(line).await;
        sent += line.len();
        if sent % 100 < line.len() {
            upload.wait_for_ack(sent as u64).await;
        }
    }
    upload.wait_for_ack(sent as u64).await;
    let mut last = None;
    while let Some(next) = followed.next().await {
        last = Some(next);
    }
    assert_eq!(last, Some(FollowEvent::TooSlow));
}

/// A recording of some megabytes: line N comes at N and a half seconds.
async fn long_recording(recorder: &Recorder) -> Session {
    let mut upload = Client::connect(recorder.address).await.record().await;
    upload.send(SSH).await;
    for block in 0..40 {
        let lines: String = (0..1000)
            .map(|line| {
                format!(
                    "[{}.5,\"o\",\"\\r\\nline {} of many, long enough to fill a few frames\"]\n",
                    block * 1000 + line,
                    block * 1000 + line
                )
            })
            .collect();
        upload.send(lines).await;
    }
    upload.end();
    upload.frames().await;
    let session = recorder.ledger.wait_for_end().await;
    wait_until_sealed(&recorder.recordings).await;
    session
}

async fn play_from(recorder: &Recorder, session: &Session, from: u64) -> Vec<String> {
    let played = recorder.recordings.playback(&session.id, Duration::from_secs(from)).await.unwrap();
    let played = played.try_collect::<Vec<Bytes>>().await.unwrap().concat();
    String::from_utf8(played).unwrap().lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn playback_starts_anywhere_with_the_screen_of_that_moment() {
    let recorder = Recorder::start(quick()).await;
    let session = long_recording(&recorder).await;
    let play = async |from: u64| play_from(&recorder, &session, from).await;
    let whole = play(0).await;
    assert_eq!(whole.len(), 40_001);
    assert!(whole[1].starts_with("[0.5, \"o\""), "{}", whole[1]);
    let late = play(30_000).await;
    assert_eq!(late.len(), 10_002);
    assert!(late[1].starts_with("[30000, \"o\"") && late[1].contains("line 29999 of many"), "{}", late[1]);
    assert!(late[2].starts_with("[30000.5, \"o\""), "{}", late[2]);
    assert_eq!(play(1_000_000).await.len(), 2, "past the end is the last screen");
}

/// Adds a fabricated screen to the first entry without one in a stored index.
fn fabricate_screen(path: &std::path::Path) {
    let text = String::from_utf8(zstd::decode_all(std::fs::read(path).unwrap().as_slice()).unwrap()).unwrap();
    let at = text.lines().skip(1).find(|line| !line.contains("\"screen\"")).unwrap();
    let changed = format!("{},\"screen\":\"FABRICATED\"}}", at.strip_suffix('}').unwrap());
    std::fs::write(path, zstd::encode_all(text.replace(at, &changed).as_bytes(), 3).unwrap()).unwrap();
}

#[tokio::test]
async fn a_screen_that_nobody_can_vouch_for_is_never_shown() {
    for bound in [true, false] {
        let recorder = Recorder::start(quick()).await;
        let session = long_recording(&recorder).await;
        if !bound {
            recorder.ledger.unbind_indexes();
        }
        let before = play_from(&recorder, &session, 30_000).await;
        // A restart empties the cache of rebuilt indexes.
        let recorder = recorder.restart(quick()).await;
        let path = recorder.folder.path().join(crate::seal::index_key(&session.id).as_str());
        fabricate_screen(&path);
        let index = crate::seal::Index::read(&std::fs::read(&path).unwrap()).unwrap();
        let places: Vec<f64> = index
            .entries()
            .iter()
            .filter(|entry| entry.screen.as_deref() == Some("FABRICATED"))
            .map(|entry| entry.time)
            .collect();
        assert_eq!(places.len(), 1);
        // One second after the entry: a jump would start at the entry.
        let shown = play_from(&recorder, &session, places[0] as u64 + 1).await;
        assert!(!shown.concat().contains("FABRICATED"), "bound: {bound}");
        let expected = format!("line {} of many", places[0] as u64);
        assert!(shown[1].contains(&expected), "bound: {bound}: {}", shown[1]);
        assert_eq!(play_from(&recorder, &session, 30_000).await, before, "bound: {bound}");
    }
}

#[tokio::test]
async fn the_event_that_ends_a_session_names_its_index_whichever_step_a_crash_hits() {
    for step in [Step::PutRecording, Step::PutIndex, Step::EndEvent, Step::RemoveSpool] {
        for moment in [Moment::Before, Moment::After] {
            let recorder = Recorder::start(RecordingConfig { faults: dying(step, moment), ..quick() }).await;
            let mut upload = Client::connect(recorder.address).await.record().await;
            upload.send(SSH).await;
            upload.wait_for_ack(SSH.len() as u64).await;
            upload.end();
            upload.frames().await;
            let recorder = recorder.restart(quick()).await;
            let session = recorder.ledger.wait_for_end().await;
            wait_until_sealed(&recorder.recordings).await;
            let index =
                std::fs::read(recorder.folder.path().join(crate::seal::index_key(&session.id).as_str()));
            let expected = hex::encode(Sha256::digest(index.unwrap()));
            assert_eq!(session.index_sha256, Some(expected), "{step:?} {moment:?}");
        }
    }
}

#[tokio::test]
async fn an_index_that_was_there_before_is_not_bound_and_not_used() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let store = store_at(folder.path()).await;
    let today = SessionId::new(Timestamp::now(), "main", 1, 1).unwrap();
    let planted = crate::seal::IndexBuilder::default().finish().packed().unwrap();
    store.put_new(&crate::seal::index_key(&today), planted.into()).await.unwrap();
    let recorder = Recorder::start_on(folder, MemoryLedger::new(), quick()).await;
    let session = long_recording(&recorder).await;
    assert_eq!(session.index_sha256, None);
    let late = play_from(&recorder, &session, 30_000).await;
    assert!(late[1].contains("line 29999 of many"), "{}", late[1]);
    assert!(crate::seal::inspect(recorder.recordings.store(), &session.id, None).await.is_err());
}

#[tokio::test]
async fn sessions_are_listed_live_first_then_newest_first_in_pages() {
    let recorder = Recorder::start(quick()).await;
    let mut client = Client::connect(recorder.address).await;
    for _ in 0..5 {
        let mut upload = client.record().await;
        upload.send(SSH).await;
        upload.end();
        upload.frames().await;
        wait_until_sealed(&recorder.recordings).await;
    }
    let mut open = client.record().await;
    open.send(SSH).await;
    open.wait_for_ack(SSH.len() as u64).await;

    let (mut cursor, mut listed_sessions) = (None, Vec::new());
    loop {
        let page = recorder.recordings.sessions(cursor, 2, |_| true).await.unwrap();
        listed_sessions.extend(page.sessions);
        let Some(next) = page.next else { break };
        cursor = Some(through_text(next));
    }
    let states: Vec<SessionState> = listed_sessions.iter().map(|session| session.state).collect();
    assert_eq!(states[0], SessionState::Live);
    assert_eq!(states[1..], [SessionState::Ended; 5]);
    assert!(listed_sessions.windows(2).all(|pair| pair[0].started >= pair[1].started));
    let found = recorder.recordings.session(&listed_sessions[3].id).await.unwrap().unwrap();
    assert_eq!(found, listed_sessions[3]);
    let nobody: SessionId = "20200101-main-1-1".parse().unwrap();
    assert_eq!(recorder.recordings.session(&nobody).await.unwrap(), None);
    assert!(matches!(recorder.recordings.stream_bytes(&nobody).await.err(), Some(ReadError::Unknown { .. })));
}

/// Begins this many uploads, one after the other.
async fn uploads(recorder: &Recorder, count: usize) -> Vec<UploadClient> {
    let mut client = Client::connect(recorder.address).await;
    let mut uploads = Vec::new();
    for _ in 0..count {
        let mut upload = client.record().await;
        upload.send(SSH).await;
        upload.wait_for_ack(SSH.len() as u64).await;
        uploads.push(upload);
    }
    uploads
}

/// Ends an upload, and waits until its session is sealed.
async fn seal(recordings: &Recordings, mut upload: UploadClient) {
    let unsealed = recordings.unsealed_count();
    upload.end();
    upload.frames().await;
    while recordings.unsealed_count() >= unsealed {
        tokio::task::yield_now().await;
    }
}

/// The numbers and states of listed sessions.
fn listed(page: &SessionsPage) -> Vec<(u64, SessionState)> {
    let number = |session: &Session| number_of(&session.id, "main").unwrap() & 0xffff_ffff;
    page.sessions.iter().map(|session| (number(session), session.state)).collect()
}

/// The page after `page`, by a cursor that went through its text.
async fn page_after(recordings: &Recordings, page: &SessionsPage) -> SessionsPage {
    let cursor = through_text(page.next.expect("there is a next page"));
    recordings.sessions(Some(cursor), 1, |_| true).await.unwrap()
}

/// The cursor that is read from the text of `cursor`.
fn through_text(cursor: Cursor) -> Cursor {
    let trail = "main".parse().unwrap();
    Cursor::read(&cursor.write(&trail), &trail).unwrap()
}

#[tokio::test]
async fn a_session_sealed_between_the_halves_of_a_list_stands_in_it_once_as_it_was() {
    let recorder = Recorder::start(quick()).await;
    let mut uploads = uploads(&recorder, 3).await;
    seal(&recorder.recordings, uploads.remove(0)).await;
    let (recordings, newest) = (recorder.recordings.clone(), uploads.pop().unwrap());
    let sealing = Box::pin(async move { seal(&recordings, newest).await });
    *recorder.ledger.before_read.lock().unwrap() = Some(sealing);
    let page = recorder.recordings.sessions(None, 10, |_| true).await.unwrap();
    assert_eq!(listed(&page), [(3, Running), (2, Running), (1, Ended)]);
    assert_eq!((&page.sessions[0].event, page.sessions[0].ended), (&None, None));
    let page = recorder.recordings.sessions(None, 10, |_| true).await.unwrap();
    assert_eq!(listed(&page), [(2, Running), (3, Ended), (1, Ended)]);
}

#[tokio::test]
async fn a_session_sealed_between_two_pages_stands_on_one_of_them_as_it_was() {
    let recorder = Recorder::start(quick()).await;
    let recordings = &recorder.recordings;
    let mut open = uploads(&recorder, 5).await;
    seal(recordings, open.remove(0)).await;
    let live = |session: &Session| session.state == Running;
    let first_live = recordings.sessions(None, 1, live).await.unwrap();
    let first = recordings.sessions(None, 1, |_| true).await.unwrap();
    assert_eq!(listed(&first), [(5, Running)]);
    // One that was shown, and one that comes next.
    seal(recordings, open.remove(3)).await;
    seal(recordings, open.remove(2)).await;
    let second = page_after(recordings, &first).await;
    assert_eq!(listed(&second), [(4, Running)]);
    // One that began after the list.
    seal(recordings, uploads(&recorder, 1).await.remove(0)).await;
    let (sealing, last) = (recordings.clone(), open.remove(0));
    let sealing = Box::pin(async move { seal(&sealing, last).await });
    *recorder.ledger.before_read.lock().unwrap() = Some(sealing);
    let third = page_after(recordings, &second).await;
    assert_eq!(listed(&third), [(3, Running)]);
    let fourth = page_after(recordings, &third).await;
    assert_eq!(listed(&fourth), [(2, Running)]);
    let fifth = page_after(recordings, &fourth).await;
    assert_eq!((listed(&fifth), fifth.next), (vec![(1, Ended)], None));
    // A filtered list is of that moment too.
    let rest = recordings.sessions(first_live.next, 10, live).await.unwrap();
    assert_eq!(listed(&rest), [(4, Running), (3, Running), (2, Running)]);
}

#[tokio::test]
async fn a_session_whose_event_is_in_the_trail_before_its_recorder_knows_is_listed_as_ended_once() {
    let recorder = Recorder::start(quick()).await;
    let recordings = &recorder.recordings;
    let mut open = uploads(&recorder, 3).await;
    seal(recordings, open.remove(0)).await;
    recorder.ledger.block_terminal.send_replace(true);
    let (sealing, newest) = (recordings.clone(), open.remove(1));
    let sealing = tokio::spawn(async move { seal(&sealing, newest).await });
    while recorder.ledger.of_kind(&Kind::SshSessionEnded).len() < 2 {
        tokio::task::yield_now().await;
    }
    let all = recordings.sessions(None, 10, |_| true).await.unwrap();
    assert_eq!(listed(&all), [(2, Running), (3, Ended), (1, Ended)]);
    assert!(all.sessions[1].event.is_some());
    let first = recordings.sessions(None, 1, |_| true).await.unwrap();
    assert_eq!(listed(&first), [(2, Running)]);
    recorder.ledger.block_terminal.send_replace(false);
    sealing.await.unwrap();
    let second = page_after(recordings, &first).await;
    assert_eq!(listed(&second), [(3, Ended)]);
    assert_eq!(listed(&page_after(recordings, &second).await), [(1, Ended)]);
}

#[tokio::test]
async fn a_list_goes_on_after_a_restart_that_sealed_what_was_live() {
    let recorder = Recorder::start(quick()).await;
    let mut open = uploads(&recorder, 3).await;
    seal(&recorder.recordings, open.remove(0)).await;
    let first = recorder.recordings.sessions(None, 1, |_| true).await.unwrap();
    assert_eq!(listed(&first), [(3, Running)]);
    let recorder = recorder.restart(quick()).await;
    wait_until_sealed(&recorder.recordings).await;
    seal(&recorder.recordings, uploads(&recorder, 1).await.remove(0)).await;
    let second = page_after(&recorder.recordings, &first).await;
    assert_eq!(listed(&second), [(2, Running)]);
    let third = page_after(&recorder.recordings, &second).await;
    assert_eq!((listed(&third), third.next), (vec![(1, Ended)], None));
    let again = recorder.recordings.sessions(None, 10, |_| true).await.unwrap();
    assert_eq!(again.sessions.iter().filter(|session| session.state == Interrupted).count(), 2);
}

#[test]
fn a_cursor_that_no_list_gave_is_refused() {
    for text in ["", "live-", "live-1", "live-1-2", "live-1-2-x", "live--1-2-3", "1-2", "-1"] {
        assert_eq!(Cursor::read(text, &"main".parse().unwrap()), Err(CursorError::Text), "{text}");
    }
}

#[test]
fn a_cursor_names_its_trail_and_one_without_is_of_the_own() {
    let moment = ListMoment { size: 17, time: Timestamp::from_nanos(123) };
    for trail in ["edge-fra", "live-5", "live-5-6-7"] {
        let name = trail.parse().unwrap();
        for (cursor, text, before) in [
            (Cursor::Below(17), format!("{trail}:17"), "17"),
            (Cursor::Unsealed { below: 5, moment }, format!("live-5-{trail}:17-123"), "live-5-17-123"),
        ] {
            assert_eq!(cursor.write(&name), text);
            assert_eq!(Cursor::read(&text, &name), Ok(cursor), "{text}");
            assert_eq!(Cursor::read(before, &name), Ok(cursor), "as it was written before: {before}");
            let error = Cursor::read(&text, &"main".parse().unwrap()).unwrap_err();
            assert!(error.to_string().contains(&format!("no trail {trail} here")), "{error}");
        }
    }
}

#[tokio::test]
async fn a_bucket_gets_back_the_sessions_of_a_machine_that_is_lost() {
    let mut config = quick();
    config.journal.ship = true;
    config.journal.rotate_every = Duration::from_millis(50);
    let recorder = Recorder::start(config.clone()).await;
    let mut upload = Client::connect(recorder.address).await.record().await;
    upload.send(SSH).await;
    upload.wait_for_ack(SSH.len() as u64).await;
    let chunks = recorder.folder.path().join("recordings/journal/main");
    let shipped = async || std::fs::read_dir(&chunks).map_or(0, Iterator::count);
    while shipped().await == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // The machine is gone with its local folder; only the store is left.
    let Recorder { ledger, folder, serving, .. } = recorder;
    serving.abort();
    let store = store_at(folder.path()).await;
    let elsewhere = tempfile::tempdir().unwrap();
    ledger.restart();
    let nobody = meshtrail_identity::Resolver::without_providers();
    let recordings =
        Recordings::open_on(store, elsewhere.path(), ledger.clone(), nobody, config).await.unwrap();
    let session = ledger.wait_for(Kind::SshSessionInterrupted).await;
    let id = session.session.unwrap();
    assert_eq!(bytes_of(&recordings, &id).await, SSH.as_bytes());
    while shipped().await > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_real_trail_holds_what_a_session_was_and_a_restart_finds_it() {
    use meshtrail_trail::{Trail, TrailConfig};

    let folder = tempfile::tempdir().unwrap();
    let local = folder.path().join("local");
    let nobody = meshtrail_identity::Resolver::without_providers();
    let mut config = quick();
    config.mark_bytes = 1;
    let mut ids = Vec::new();
    for _ in 0..2 {
        let store = store_at(folder.path()).await;
        let trail = Trail::open(store.clone(), &local, TrailConfig::new("main")).await.unwrap();
        let recordings =
            Recordings::open(store, &local, trail.clone(), nobody.clone(), config.clone()).await.unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let (serve, until) = (recordings.clone(), stop.clone());
        let serving =
            tokio::spawn(async move { serve.serve(listener, crate::testing::redactor(), until).await });
        let mut upload = Client::connect(address).await.record().await;
        upload.send(SSH).await;
        upload.wait_for_ack(SSH.len() as u64).await;
        upload.send("[1,\"o\",\"more\"]\n").await;
        upload.end();
        upload.frames().await;
        wait_until_sealed(&recordings).await;
        let page = recordings.sessions(None, 1, |_| true).await.unwrap();
        ids.push(page.sessions[0].id.clone());
        for id in &ids {
            let session = recordings.session(id).await.unwrap().unwrap();
            let bytes = bytes_of(&recordings, id).await;
            assert_eq!((session.state, session.bytes), (SessionState::Ended, bytes.len() as u64));
            let marks = recordings.marks(id).await.unwrap();
            assert_eq!(marks.len() as u64, session.marks);
            let mut checker = Checker::new(marks.iter().filter_map(sealing::mark_statement).collect(), None);
            checker.push(&bytes);
            assert_eq!(checker.finish(), []);
        }
        stop.cancel();
        serving.await.unwrap();
        recordings.close().await;
        trail.close().await;
    }
    assert_ne!(ids[0], ids[1]);
    let store = store_at(folder.path()).await;
    let trail = Trail::open_read_only(store.clone(), Some(&local), TrailConfig::new("main")).await.unwrap();
    let recordings = Recordings::open_read_only(store, trail);
    let page = recordings.sessions(None, 10, |_| true).await.unwrap();
    assert_eq!(page.sessions.iter().map(|session| &session.id).collect::<Vec<_>>(), [&ids[1], &ids[0]]);
}
