use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use meshtrail_event::{SessionId, Timestamp};

use super::*;
use crate::faults::{LogStep, Moment, Step};

fn limits() -> JournalLimits {
    JournalLimits { file_size: 32 << 10, gather_time: Duration::ZERO, ..JournalLimits::default() }
}

fn opening(number: u64) -> Opening {
    let started = Timestamp::from_seconds(1_790_000_000).unwrap();
    let session = SessionId::new(started, "main", 1, number).unwrap();
    Opening { session, number, started, peer: "127.0.0.1:9".into(), protocol: "v2".into() }
}

/// The byte at `offset` of session `number`: any hole, swap or repetition shows.
fn byte(number: u64, offset: u64) -> u8 {
    u8::try_from((number * 31 + offset * 7 + offset / 251) % 251).unwrap()
}

fn bytes(number: u64, from: u64, length: u64) -> Bytes {
    (from..from + length).map(|offset| byte(number, offset)).collect()
}

async fn append(stream: &SessionStream, from: u64, length: u64) -> Result<(), Arc<str>> {
    let permit = stream.acquire_room(usize::try_from(length).unwrap()).await?;
    stream.append(bytes(stream.opening().number, from, length), permit);
    Ok(())
}

fn read_all(stream: &SessionStream) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let piece = stream.read(all.len() as u64, 1000).unwrap();
        if piece.is_empty() {
            return all;
        }
        all.extend(piece);
    }
}

fn open(
    local: &Path,
    generation: u64,
    faults: Faults,
) -> Result<(Journal, Vec<RecoveredSession>), JournalError> {
    Journal::open(local, generation, limits(), faults)
}

/// Fails at the `nth` time of one step, and at every step after it, as in a crash.
fn dying(step: Step, moment: Moment, nth: usize) -> Faults {
    let (dead, count) = (AtomicBool::new(false), AtomicUsize::new(0));
    Faults::new(move |now, at| {
        if (now, at) == (step, moment) && count.fetch_add(1, Ordering::SeqCst) == nth {
            dead.store(true, Ordering::SeqCst);
        }
        if dead.load(Ordering::SeqCst) { Err(io::Error::other("the disk is gone")) } else { Ok(()) }
    })
}

/// Three sessions write until something fails; returns the number of durable bytes of each, as it was reported.
async fn write_until_it_fails(journal: &Journal) -> Vec<(u64, u64)> {
    let streams: Vec<SessionStream> = (1..=3).map(|number| journal.begin(opening(number), number)).collect();
    for round in 0..60 {
        for stream in &streams {
            if append(stream, round * 1000, 1000).await.is_err() {
                continue;
            }
            drop(stream.wait_flushed().await);
        }
    }
    streams.iter().map(|stream| (stream.opening().number, stream.durable_now().bytes)).collect()
}

#[tokio::test]
async fn bytes_are_read_back_from_journal_and_spool_alike() {
    let local = tempfile::tempdir().unwrap();
    let (journal, recovered) = open(local.path(), 1, Faults::none()).unwrap();
    assert!(recovered.is_empty());
    let durable_bytes = write_until_it_fails(&journal).await;
    assert_eq!(durable_bytes, [(1, 60_000), (2, 60_000), (3, 60_000)]);
    let stream = journal.begin(opening(4), 4);
    append(&stream, 0, 5000).await.unwrap();
    stream.wait_flushed().await.unwrap();
    assert_eq!(read_all(&stream), bytes(4, 0, 5000));
    assert_eq!(stream.read(4990, 100).unwrap(), bytes(4, 4990, 10));
}

#[tokio::test]
async fn a_journal_file_has_the_bytes_of_format_1() {
    let local = tempfile::tempdir().unwrap();
    let (journal, _) = open(local.path(), 1, Faults::none()).unwrap();
    let stream = journal.begin(opening(1), 1);
    stream.wait_opened().await.unwrap();
    let permit = stream.acquire_room(5).await.unwrap();
    stream.append(Bytes::from_static(b"hello"), permit);
    stream.wait_flushed().await.unwrap();
    let ended = Timestamp::from_seconds(1).unwrap();
    stream.close(&Closing { end: End::Ended, reason: None, ended, bytes: 5, sha256: None }).await.unwrap();

    let mut expected = b"meshtrail journal 1 1\n".to_vec();
    expected.resize(4096, 0);
    for (head, payload) in [
        (
            "4d544a31f9a7895d7a000000010000000100000000000000010000000000000001000000000000000000000000000000",
            r#"{"session":"20260921-main-1-1","number":1,"started":"2026-09-21T14:13:20.000000000Z","peer":"127.0.0.1:9","protocol":"v2"}"#,
        ),
        (
            "4d544a317731472e05000000020000000100000000000000020000000000000001000000000000000000000000000000",
            "hello",
        ),
        (
            "4d544a31107dce755e000000030000000100000000000000030000000000000001000000000000000500000000000000",
            r#"{"end":"ended","reason":null,"ended":"1970-01-01T00:00:01.000000000Z","bytes":5,"sha256":null}"#,
        ),
    ] {
        expected.extend(hex::decode(head).unwrap());
        expected.extend(payload.as_bytes());
        expected.resize(expected.len().next_multiple_of(8), 0);
    }
    expected.resize(32 << 10, 0);
    let path = local.path().join("journal/00000000000000000001.journal");
    assert!(std::fs::read(path).unwrap() == expected);
}

#[tokio::test]
async fn what_was_durable_survives_a_crash_at_every_step_whether_the_step_was_taken_or_not() {
    let steps = [
        Step::Journal(LogStep::Create),
        Step::Journal(LogStep::Write),
        Step::Journal(LogStep::Sync),
        Step::AppendSpool,
        Step::SyncSpool,
        Step::DeleteJournal,
    ];
    for step in steps {
        for moment in [Moment::Before, Moment::After] {
            for nth in [0, 2, 5] {
                let local = tempfile::tempdir().unwrap();
                let (journal, _) = open(local.path(), 1, dying(step, moment, nth)).unwrap();
                let durable_bytes = write_until_it_fails(&journal).await;
                drop(journal);

                // The next start may die in its recovery as well; the one after that may not.
                drop(open(local.path(), 100, dying(Step::AppendSpool, Moment::After, 3)));
                drop(open(local.path(), 200, dying(step, moment, 0)));
                let (journal, recovered) = open(local.path(), 300, Faults::none()).unwrap();
                for (number, durable) in durable_bytes {
                    let found = recovered.iter().find(|found| found.opening.number == number);
                    let kept = found.map_or(0, |found| found.bytes);
                    assert!(kept >= durable, "{step:?} {moment:?} {nth}: {number} lost {}", durable - kept);
                    if let Some(found) = found {
                        assert_eq!(found.damage, None, "{step:?} {moment:?} {nth}");
                        assert_eq!(read_all(&journal.resume(found)), bytes(number, 0, kept));
                    }
                }
                let left = meshtrail_log::files_in(&journal.folders().journal, "journal").unwrap();
                assert!(left.is_empty(), "{step:?} {moment:?} {nth}: {left:?} are left");
            }
        }
    }
}

#[tokio::test]
async fn a_failed_write_ends_the_sessions_in_it_and_no_others() {
    let local = tempfile::tempdir().unwrap();
    let failing = Arc::new(AtomicBool::new(false));
    let fails = failing.clone();
    let faults = Faults::new(move |step, _| {
        let hit = step == Step::Journal(LogStep::Sync) && fails.load(Ordering::SeqCst);
        if hit { Err(io::Error::other("no space left")) } else { Ok(()) }
    });
    let (journal, _) = open(local.path(), 1, faults).unwrap();
    let (hit, spared) = (journal.begin(opening(1), 1), journal.begin(opening(2), 2));
    append(&hit, 0, 100).await.unwrap();
    append(&spared, 0, 100).await.unwrap();
    spared.wait_flushed().await.unwrap();
    hit.wait_flushed().await.unwrap();

    failing.store(true, Ordering::SeqCst);
    append(&hit, 100, 100).await.unwrap();
    assert_eq!(hit.wait_flushed().await.unwrap_err().as_ref(), "no space left");
    failing.store(false, Ordering::SeqCst);

    append(&spared, 100, 100).await.unwrap();
    spared.wait_flushed().await.unwrap();
    assert!(append(&hit, 200, 100).await.is_err(), "nothing is written behind a hole");
    let closing = Closing {
        end: End::Interrupted,
        reason: Some("no space left".into()),
        ended: Timestamp::from_seconds(1).unwrap(),
        bytes: 100,
        sha256: None,
    };
    hit.close(&closing).await.unwrap();
    assert_eq!(read_all(&hit), bytes(1, 0, 100));
    drop((journal, hit, spared));

    let (_, recovered) = open(local.path(), 50, Faults::none()).unwrap();
    let kept: Vec<_> = recovered.iter().map(|found| (found.opening.number, found.bytes)).collect();
    assert_eq!(kept, [(1, 100), (2, 200)]);
    assert_eq!(recovered[0].closing, Some(closing));
}

#[tokio::test]
async fn a_sealed_session_leaves_nothing_and_a_start_finds_nothing_of_it() {
    let local = tempfile::tempdir().unwrap();
    let (journal, _) = open(local.path(), 1, Faults::none()).unwrap();
    let (short, long) = (journal.begin(opening(1), 1), journal.begin(opening(2), 2));
    append(&short, 0, 10).await.unwrap();
    append(&long, 0, 100_000).await.unwrap();
    short.wait_flushed().await.unwrap();
    long.wait_flushed().await.unwrap();
    short.discard().unwrap();
    long.discard().unwrap();
    drop((short, long));
    journal.close();
    assert_eq!(std::fs::read_dir(local.path().join("spool")).unwrap().count(), 0);
    let (_, recovered) = open(local.path(), 50, Faults::none()).unwrap();
    assert_eq!(recovered, []);
}

#[tokio::test]
async fn a_flipped_byte_in_the_journal_keeps_what_stands_before_it_and_is_named() {
    let local = tempfile::tempdir().unwrap();
    let (journal, _) = open(local.path(), 1, dying(Step::AppendSpool, Moment::Before, 0)).unwrap();
    let (hit, spared) = (journal.begin(opening(1), 1), journal.begin(opening(2), 2));
    for round in 0..5 {
        for stream in [&hit, &spared] {
            append(stream, round * 100, 100).await.unwrap();
            stream.wait_flushed().await.unwrap();
        }
    }
    drop((journal, hit, spared));

    let path = std::fs::read_dir(local.path().join("journal")).unwrap().next().unwrap().unwrap().path();
    let mut file = std::fs::read(&path).unwrap();
    let wanted = bytes(1, 200, 100);
    let at = file.windows(100).position(|window| window == wanted.as_ref()).unwrap();
    file[at + 50] ^= 1;
    std::fs::write(&path, file).unwrap();

    let (journal, recovered) = open(local.path(), 50, Faults::none()).unwrap();
    assert_eq!(read_all(&journal.resume(&recovered[0])), bytes(1, 0, 200));
    assert_eq!(read_all(&journal.resume(&recovered[1])), bytes(2, 0, 500));
    let damage = recovered[0].damage.as_deref().unwrap();
    assert!(damage.starts_with("bytes from 200 to 300 are missing in "), "{damage}");
    assert_eq!(recovered[1].damage, None);
    assert!(path.with_extension("damaged").exists(), "what is damaged is kept");
}

#[tokio::test]
async fn a_newer_journal_is_refused_and_not_touched() {
    let local = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(local.path().join("journal")).unwrap();
    let path = local.path().join("journal/00000000000000000001.journal");
    std::fs::write(&path, b"meshtrail journal 2 1\n").unwrap();
    let error = open(local.path(), 1, Faults::none()).err().unwrap();
    assert!(
        error.to_string().ends_with("has format 2, this program knows up to 1: a newer version wrote it")
    );
    assert_eq!(std::fs::read(&path).unwrap(), b"meshtrail journal 2 1\n");
}

#[tokio::test]
async fn a_sender_past_its_bound_waits_and_the_others_do_not() {
    let local = tempfile::tempdir().unwrap();
    let blocked = Arc::new(AtomicBool::new(true));
    let blocks = blocked.clone();
    let faults = Faults::new(move |step, moment| {
        while (step, moment) == (Step::Journal(LogStep::Sync), Moment::Before)
            && blocks.load(Ordering::SeqCst)
        {
            std::thread::yield_now();
        }
        Ok(())
    });
    let small = JournalLimits { per_session: 1000, in_total: 4000, ..limits() };
    let (journal, _) = Journal::open(local.path(), 1, small, faults).unwrap();
    let (flood, other) = (journal.begin(opening(1), 1), journal.begin(opening(2), 2));
    append(&flood, 0, 1500).await.unwrap();
    let waiting = tokio::time::timeout(Duration::from_millis(20), flood.acquire_room(1)).await;
    assert!(waiting.is_err(), "the session is past its bound");
    append(&other, 0, 1000).await.unwrap();
    blocked.store(false, Ordering::SeqCst);
    append(&flood, 1500, 100).await.unwrap();
    flood.wait_flushed().await.unwrap();
    assert_eq!(read_all(&flood).len(), 1600);
}

#[tokio::test]
async fn chunks_restore_every_session_on_another_machine() {
    let local = tempfile::tempdir().unwrap();
    let shipping = JournalLimits { ship: true, ..limits() };
    let (journal, _) = Journal::open(local.path(), 1, shipping, Faults::none()).unwrap();
    let durable_bytes = write_until_it_fails(&journal).await;
    let folders = journal.folders().clone();
    journal.close();

    let elsewhere = tempfile::tempdir().unwrap();
    let (journal, _) = open(elsewhere.path(), 1, Faults::none()).unwrap();
    let mut paths: Vec<_> =
        std::fs::read_dir(folders.ship).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() > 3);
    let mut recovery = recover::Recovery::new(journal.folders(), &Faults::none());
    for path in paths {
        let chunk = Chunk::read(&std::fs::read(&path).unwrap()).unwrap();
        chunk.sessions().iter().for_each(|opening| recovery.add_session(opening));
        recovery.apply_chunk(&chunk, &path).unwrap();
    }
    let restored = recovery.finish().unwrap();
    for ((number, durable), found) in durable_bytes.into_iter().zip(&restored) {
        assert_eq!((found.opening.number, found.bytes), (number, durable));
        assert_eq!(read_all(&journal.resume(found)), bytes(number, 0, durable));
    }
}
