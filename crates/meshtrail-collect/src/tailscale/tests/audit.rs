//! The configuration audit log: no record is lost, and none is written twice.

use std::time::Duration;

use bytes::Bytes;
use meshtrail_change::catalogue::{self, Groups};
use meshtrail_change::snapshot::Origin;
use meshtrail_event::Timestamp;
use meshtrail_trail::ReadError;
use serde_json::value::RawValue;
use tailscale_api_stand_in::{InjectedFault, Log, generate_record};

use super::{PATIENT, Scene, ago, change, now};
use crate::poll::Poller as _;
use crate::sources::SourceState;
use crate::tailscale::log::{LogPoller, LogSink};
use crate::tailscale::window::WindowPlan;

const PATH: &str = "logging/configuration";

fn names(count: u64) -> Vec<String> {
    (0..count).map(|n| format!("{n:032x}")).collect()
}

/// A scene whose log holds `count` records of the last hours, one each ten seconds.
async fn scene(count: u64) -> Scene {
    let scene = Scene::new().await;
    for n in 0..count {
        let time = ago(20_000 - 10 * i64::try_from(n).unwrap());
        scene.api.world().audit.add(time, generate_record(n, time));
    }
    scene
}

#[tokio::test]
async fn whatever_the_api_does_each_record_is_in_the_trail_once() {
    let faults = [
        InjectedFault::CutBody,
        InjectedFault::HalfJson,
        InjectedFault::Shuffled,
        InjectedFault::Duplicated,
        InjectedFault::Status(429, Some(3_600)),
        InjectedFault::Status(500, None),
        InjectedFault::Status(503, Some(1)),
        InjectedFault::Status(504, None),
        InjectedFault::WebPage,
        InjectedFault::Stall,
        InjectedFault::ExtraMember("quantumState".to_owned()),
        InjectedFault::NoList,
        InjectedFault::Oversized(33 << 20),
    ];
    for fault in faults {
        let mut scene = scene(30).await;
        if fault == InjectedFault::Stall {
            scene.read_timeout = Duration::from_millis(50);
        }
        let mut run = scene.run().await;
        let mut poller = run.audit();
        scene.api.world().inject(PATH, fault.clone());
        poller.poll(now()).await;
        if fault == InjectedFault::Stall {
            assert_eq!(run.report("tailscale.audit").state, SourceState::Trouble);
            scene.read_timeout = PATIENT;
            run.stop().await;
            run = scene.run().await;
            poller = run.audit();
        }
        poller.poll(now()).await;
        poller.poll(now()).await;
        assert_eq!(run.operations().await, names(30), "{fault:?}");
        let report = run.report("tailscale.audit");
        assert_eq!((report.state, report.events), (SourceState::Connected, 30), "{fault:?}");
    }
}

#[tokio::test]
async fn an_hour_of_429_is_waited_for_and_costs_nothing() {
    let scene = scene(5).await;
    let run = scene.run().await;
    let mut poller = run.audit();
    for asked in 1..=3 {
        scene.api.world().inject(PATH, InjectedFault::Status(429, Some(3_600)));
        let wait = poller.poll(now()).await;
        assert!(wait >= Duration::from_secs(3_600), "{wait:?}");
        assert_eq!(scene.api.world().request_count(PATH), asked, "one request an hour");
    }
    let report = run.report("tailscale.audit");
    assert_eq!(report.state, SourceState::Trouble);
    assert!(report.trouble.unwrap().contains("429"));
    assert_eq!(poller.poll(now()).await, Duration::from_secs(60));
    assert_eq!(run.operations().await, names(5));
}

#[tokio::test]
async fn a_start_goes_on_where_a_crash_in_the_middle_of_a_window_left_off() {
    let scene = Scene::new().await;
    let count = 20_000;
    scene.api.world().audit = Log::Generated { count, from: ago(80_100), step: 4_000_000_000 };
    let mut starts = 0;
    loop {
        let run = scene.run().await;
        let mut poller = run.audit();
        let mut size = run.wiring.trail.subscribe();
        let before = run.wiring.trail.size();
        let cut_off = starts < 3;
        starts += 1;
        tokio::select! {
            _ = poller.poll(now()) => {}
            _ = size.wait_for(|size| *size > before), if cut_off => {}
        }
        if !cut_off {
            assert_eq!(run.operations().await, names(count));
            return;
        }
        run.stop().await;
    }
}

/// A log that records the thread on which its windows are sorted.
struct Watched;

impl crate::tailscale::log::Log for Watched {
    const SOURCE: &'static str = "tailscale.audit";
    const NAME: &'static str = "the configuration audit log";
    const SCOPE: &'static str = "logs:configuration:read";
    const PATH: &'static str = "configuration";
    const EXPIRED_REASON: &'static str = "";
    const OPERATOR_WAIT: Duration = Duration::ZERO;

    type Batch = (usize, std::thread::ThreadId);
    type WriteError = std::convert::Infallible;

    fn order(records: Vec<&RawValue>, _end: Timestamp, _answer: &Bytes) -> Self::Batch {
        (records.len(), std::thread::current().id())
    }

    async fn write(
        &self,
        sink: &LogSink,
        _window: (Timestamp, Timestamp),
        (records, thread): Self::Batch,
    ) -> Result<(), Self::WriteError> {
        assert_ne!(thread, std::thread::current().id(), "others would wait for it");
        sink.source.record_contact(records as u64, None);
        Ok(())
    }

    async fn newest_stored(&self, _sink: &LogSink, _now: Timestamp) -> Result<Option<Timestamp>, ReadError> {
        Ok(None)
    }
}

#[tokio::test]
async fn a_window_is_put_in_order_beside_the_threads_that_others_run_on() {
    let scene = scene(30).await;
    let run = scene.run().await;
    let hour = Duration::from_secs(3_600);
    let plan =
        WindowPlan { since: 24 * hour, retention: 48 * hour, overlap: hour, sweep: None, longest: 24 * hour };
    let mut poller = LogPoller::new(Watched, run.client.clone(), &run.wiring, hour, plan);
    poller.poll(now()).await;
    assert_eq!(run.report("tailscale.audit").events, 30);
}

#[tokio::test]
async fn records_that_the_log_takes_in_late_are_found() {
    let scene = scene(3).await;
    let run = scene.run().await;
    let mut poller = run.audit();
    poller.poll(now()).await;
    let minutes = ago(5 * 60);
    scene.api.world().audit.add(minutes, generate_record(3, minutes));
    poller.poll(now()).await;
    assert_eq!(run.operations().await, names(4), "each round overlaps the last one");
    let hours = ago(20 * 3_600);
    scene.api.world().audit.add(hours, generate_record(4, hours));
    poller.poll(now()).await;
    assert_eq!(run.operations().await, names(4), "not every round looks back a day");
    poller.poll(now().after(Duration::from_secs(3_700))).await;
    assert_eq!(run.operations().await, names(5), "but one an hour does");
}

#[tokio::test]
async fn an_api_that_says_there_was_nothing_is_believed_for_an_hour() {
    let scene = scene(5).await;
    let run = scene.run().await;
    let mut poller = run.audit();
    // Go writes an empty list as null.
    scene.api.world().inject(PATH, InjectedFault::NullList);
    poller.poll(now()).await;
    assert_eq!(run.report("tailscale.audit").state, SourceState::Connected);
    poller.poll(now().after(Duration::from_secs(3_700))).await;
    assert_eq!(run.operations().await, names(5));
}

#[tokio::test]
async fn a_record_from_the_future_is_kept_and_hides_nothing() {
    let scene = scene(3).await;
    let tomorrow = ago(-86_400);
    let from_the_future = generate_record(9, tomorrow);
    let run = scene.run().await;
    // It is found in the present, and says that it is of tomorrow.
    scene.api.world().audit.add(ago(5), from_the_future);
    run.audit().poll(now()).await;
    run.stop().await;
    let soon = ago(1);
    scene.api.world().audit.add(soon, generate_record(3, soon));
    let run = scene.run().await;
    run.audit().poll(now()).await;
    let mut all = names(4);
    all.push(format!("{:032x}", 9));
    assert_eq!(run.operations().await, all);
}

#[tokio::test]
async fn a_clock_that_is_off_by_an_hour_loses_nothing() {
    for hours in [-1, 1] {
        let scene = Scene::new().await;
        let theirs = ago(-3_600 * hours);
        scene.api.world().clock = Some(theirs);
        let run = scene.run().await;
        let mut poller = run.audit();
        poller.poll(now()).await;
        let time = theirs - 2_000_000_000;
        scene.api.world().audit.add(time, generate_record(0, time));
        poller.poll(now()).await;
        assert_eq!(run.operations().await, names(1), "{hours}");
    }
}

#[tokio::test]
async fn a_record_without_its_time_is_kept_once_and_said() {
    let scene = scene(2).await;
    scene
        .api
        .world()
        .standing_faults
        .push((PATH.to_owned(), InjectedFault::MissingMember("eventTime".to_owned())));
    let run = scene.run().await;
    let mut poller = run.audit();
    poller.poll(now()).await;
    poller.poll(now()).await;
    run.stop().await;
    let run = scene.run().await;
    run.audit().poll(now()).await;
    let events = run.events().await;
    let kept: Vec<_> = events.iter().filter_map(change).collect();
    assert_eq!(kept.len(), 2, "{kept:?}");
    assert!(kept.iter().all(|change| change.lines.iter().any(|line| line.contains("eventTime"))), "{kept:?}");
}

#[tokio::test]
async fn members_that_nobody_knows_are_kept_and_missing_ones_are_said() {
    for (fault, told) in [
        (InjectedFault::ExtraMember("quantumState".to_owned()), "quantumState"),
        (InjectedFault::MissingMember("actor".to_owned()), "The record has no actor"),
    ] {
        let scene = scene(2).await;
        scene.api.world().standing_faults.push((PATH.to_owned(), fault));
        let run = scene.run().await;
        run.audit().poll(now()).await;
        let leaves: Vec<String> =
            run.events().await.iter().map(|event| String::from_utf8(event.to_leaf()).unwrap()).collect();
        assert_eq!(leaves.iter().filter(|leaf| leaf.contains(told)).count(), 2, "{leaves:?}");
    }
}

#[tokio::test]
async fn a_policy_longer_than_an_event_is_kept_whole_and_once() {
    let scene = Scene::new().await;
    let time = ago(60);
    let old = "// a comment\n".repeat(9_000);
    let record = serde_json::json!({
        "eventTime": "2026-01-01T00:00:00Z", "type": "CONFIG", "eventGroupID": "long", "origin": "ADMIN_CONSOLE",
        "actor": {"id": "u1", "type": "USER", "loginName": "ana@example.com"}, "action": "UPDATE",
        "target": {"id": "t1", "name": "example.com", "type": "TAILNET", "property": "ACL"},
        "old": old, "new": format!("{old}// more\n"),
    });
    scene.api.world().audit.add(time, record.to_string());
    let run = scene.run().await;
    let mut poller = run.audit();
    poller.poll(now()).await;
    let size = run.wiring.trail.size();
    assert!(size > 3, "the texts come in parts: {size}");
    poller.poll(now()).await;
    run.stop().await;
    let run = scene.run().await;
    run.audit().poll(now()).await;
    assert_eq!(run.wiring.trail.size(), size);
}

#[tokio::test]
async fn a_record_that_came_by_log_streaming_is_not_written_again() {
    let scene = scene(2).await;
    let run = scene.run().await;
    // Log streaming rounds the time and has no `eventTime`.
    let mut record: serde_json::Value = serde_json::from_str(&generate_record(1, 0)).unwrap();
    record.as_object_mut().unwrap().remove("eventTime");
    let time = meshtrail_event::Timestamp::from_nanos(ago(19_990) / 1_000_000 * 1_000_000);
    let text = record.to_string();
    let groups = Groups::of([text.as_bytes()]);
    let drafts = catalogue::audit(text.as_bytes(), Origin::Hec, Some(time), &groups).unwrap();
    let hec = run.wiring.trail.emitter("hec");
    let emitted = run.wiring.dedupe.emit_new(&hec, vec![drafts.clone()], None).await.unwrap();
    assert_eq!((emitted.new, emitted.duplicates), (1, 0));
    run.audit().poll(now()).await;
    let again = run.wiring.dedupe.emit_new(&hec, vec![drafts], None).await.unwrap();
    assert_eq!((again.new, again.duplicates), (0, 1));
    assert_eq!(run.operations().await, names(2));
}

#[tokio::test]
async fn what_the_log_keeps_no_more_is_said() {
    let scene = scene(1).await;
    let run = scene.run().await;
    let mut poller = run.audit();
    poller.poll(now()).await;
    poller.poll(now().after(Duration::from_secs(100 * 86_400))).await;
    let report = run.report("tailscale.audit");
    assert_eq!(report.gaps, 1, "{report:?}");
    assert!(report.recent_gaps[0].reason.contains("90 days"));
}
