use std::{
    sync::Arc,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use bytes::Bytes;
use futures::TryStreamExt;
use http::StatusCode;
use http_body_util::BodyExt;
use meshtrail_event::{Actor, Identity, IdentityStatus, Kind};
use meshtrail_listen::{Limits, Share, Shares};
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    RecordingConfig, Session, SessionState,
    faults::{Faults, LogStep, Step},
    testing::{Client, Recorder, SSH, quick, redactor},
};

async fn received_bytes(recorder: &Recorder, session: &Session) -> Vec<u8> {
    let stream = recorder.recordings.stream_bytes(&session.id).await.unwrap();
    stream.try_collect::<Vec<Bytes>>().await.unwrap().concat()
}

/// Records these pieces to a clean end and returns the session and its bytes.
async fn record(recorder: &Recorder, pieces: &[&[u8]]) -> (Session, Vec<u8>) {
    let mut upload = Client::connect(recorder.address).await.record().await;
    for piece in pieces {
        upload.send(piece.to_vec()).await;
    }
    upload.end();
    upload.frames().await;
    let session = recorder.ledger.wait_for_end().await;
    let bytes = received_bytes(recorder, &session).await;
    (session, bytes)
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

#[tokio::test]
async fn a_recording_is_acked_ended_and_given_back_exactly() {
    let recorder = Recorder::start(quick()).await;
    let mut client = Client::connect(recorder.address).await;
    let (probe, _) = client.send("HEAD", "/v2/record").await;
    assert_eq!((probe.status(), probe.version()), (StatusCode::OK, http::Version::HTTP_2));
    assert!(probe.into_body().collect().await.unwrap().to_bytes().is_empty());

    let mut upload = client.record().await;
    upload.send(SSH).await;
    upload.wait_for_ack(SSH.len() as u64).await;
    let live = recorder.recordings.live();
    assert_eq!((live.len(), live[0].state, live[0].bytes), (1, SessionState::Live, SSH.len() as u64));
    let line = "[0.5,\"o\",\"hello\"]\n";
    upload.send(line).await;
    upload.end();
    let whole = format!("{SSH}{line}");
    let last = upload.frames().await.pop().unwrap();
    assert_eq!(last["ack"], whole.len());

    let session = recorder.ledger.wait_for_end().await;
    assert_eq!((session.state, session.bytes), (SessionState::Ended, whole.len() as u64));
    assert_eq!(session.sha256, Some(sha256(whole.as_bytes())));
    assert_eq!(session.actor.label().as_deref(), Some("alice@example.com"));
    assert_eq!(session.identity.status, IdentityStatus::SelfReported);
    assert_eq!((session.local_user.as_deref(), session.protocol.as_deref()), (Some("root"), Some("v2")));
    assert!(session.not_seen.contains(&"exit status".to_owned()));
    assert_eq!(received_bytes(&recorder, &session).await, whole.as_bytes());
    assert_eq!(recorder.ledger.kinds(), ["ssh.session.started", "ssh.session.ended"]);
    assert_eq!(session.started_event, Some(recorder.ledger.events()[0].id.clone()));
}

#[tokio::test]
async fn the_answer_and_keep_alives_come_before_any_byte() {
    let config = RecordingConfig { keep_alive: Duration::from_millis(20), ..quick() };
    let recorder = Recorder::start(config).await;
    let mut upload = Client::connect(recorder.address).await.record().await;
    for _ in 0..3 {
        assert_eq!(upload.frame().await.unwrap(), serde_json::json!({}));
    }
    upload.send(SSH).await;
    upload.wait_for_ack(SSH.len() as u64).await;
    assert_eq!(upload.frame().await.unwrap()["ack"], SSH.len(), "an idle session is kept alive");
}

#[tokio::test]
async fn a_legacy_upload_gets_its_100_and_its_200_when_it_is_durable() {
    let recorder = Recorder::start(quick()).await;
    let mut stream = TcpStream::connect(recorder.address).await.unwrap();
    let head = "POST /record HTTP/1.1\r\nHost: recorder:80\r\nUser-Agent: Go-http-client/1.1\r\n\
                Transfer-Encoding: chunked\r\nExpect: 100-continue\r\nAccept-Encoding: gzip\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 25];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 100 Continue\r\n\r\n");
    let body = format!("{:x}\r\n{SSH}\r\n0\r\n\r\n", SSH.len());
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 200");
    let session = recorder.ledger.wait_for_end().await;
    assert_eq!((session.state, session.protocol.as_deref()), (SessionState::Ended, Some("v1")));
    assert_eq!(received_bytes(&recorder, &session).await, SSH.as_bytes());
}

#[tokio::test]
async fn paths_and_methods_that_are_not_spoken_are_told_so() {
    let recorder = Recorder::start(quick()).await;
    let mut client = Client::connect(recorder.address).await;
    for (method, path, status, allow) in [
        ("GET", "/", StatusCode::NOT_FOUND, None),
        ("POST", "/v3/record", StatusCode::NOT_FOUND, None),
        ("GET", "/v2/record", StatusCode::METHOD_NOT_ALLOWED, Some("HEAD, POST")),
        ("PUT", "/record", StatusCode::METHOD_NOT_ALLOWED, Some("POST")),
        ("DELETE", "/v2/event", StatusCode::METHOD_NOT_ALLOWED, Some("HEAD, POST")),
        ("HEAD", "/v2/event", StatusCode::OK, None),
    ] {
        let (answer, _) = client.send(method, path).await;
        let allowed = answer.headers().get("allow").map(|value| value.to_str().unwrap());
        assert_eq!((answer.status(), allowed), (status, allow), "{method} {path}");
    }
    let mut stream = TcpStream::connect(recorder.address).await.unwrap();
    stream.write_all(b"HEAD /v2/record HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 505", "acks need HTTP/2");
    assert!(recorder.ledger.events().is_empty());
}

#[tokio::test]
async fn what_cannot_be_kept_is_refused_before_it_is_accepted() {
    let recorder = Recorder::start(RecordingConfig { min_free: u64::MAX, ..quick() }).await;
    let mut client = Client::connect(recorder.address).await;
    let (answer, _) = client.send("POST", "/v2/record").await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&body).contains("bytes left"), "{body:?}");

    let mut stream = TcpStream::connect(recorder.address).await.unwrap();
    let head =
        "POST /record HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 503", "and no 100 before it");

    let recorder = Recorder::start(RecordingConfig { max_sessions: 1, ..quick() }).await;
    let mut client = Client::connect(recorder.address).await;
    let mut first = client.record().await;
    let (answer, _) = client.send("POST", "/v2/record").await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    first.end();
    first.frames().await;

    let recorder = Recorder::start(quick()).await;
    *recorder.ledger.refusal.lock().unwrap() = Some("its disk is full".into());
    let (answer, _) = Client::connect(recorder.address).await.send("POST", "/v2/record").await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_journal_that_cannot_be_written_refuses_and_an_open_session_is_told() {
    let failing = Arc::new(AtomicBool::new(true));
    let fails = failing.clone();
    let faults = Faults::new(move |step, _| {
        let hit = step == Step::Journal(LogStep::Write) && fails.load(Ordering::SeqCst);
        if hit { Err(std::io::Error::other("no space left on device")) } else { Ok(()) }
    });
    let recorder = Recorder::start(RecordingConfig { faults, ..quick() }).await;
    let mut client = Client::connect(recorder.address).await;
    let (answer, _) = client.send("POST", "/v2/record").await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(recorder.recordings.live().is_empty());

    failing.store(false, Ordering::SeqCst);
    let mut upload = client.record().await;
    upload.send(SSH).await;
    upload.wait_for_ack(SSH.len() as u64).await;
    failing.store(true, Ordering::SeqCst);
    upload.send("[1,\"o\",\"lost\"]\n").await;
    let error = loop {
        let frame = upload.frame().await.unwrap();
        if let Some(error) = frame["error"].as_str() {
            break error.to_owned();
        }
        failing.store(false, Ordering::SeqCst);
    };
    assert_eq!(error, "the recorder can't write: no space left on device");
    let session = recorder.ledger.wait_for_end().await;
    assert_eq!(session.state, SessionState::Interrupted);
    assert_eq!(received_bytes(&recorder, &session).await, SSH.as_bytes(), "every durable byte is kept");
}

#[tokio::test]
async fn streams_that_are_no_recording_are_kept_and_say_why() {
    let cases: [(&[&[u8]], &str); 5] = [
        (&[], "it ended before its first byte"),
        (&[b"[0,\"o\",\"x\"]\n"], "header: expected an object, found a list"),
        (&[b"{\"version\":3}\n", b"[0,\"o\",\"x\"]\n"], "header.version: expected 2, found 3"),
        (&[b"{\"version\":2,\"wid"], "header: not JSON: EOF while parsing a string at line 1 column 17"),
        (&[&[b'x'; 100_000]], "header: 65537 bytes, at most 65536 are read"),
    ];
    for (pieces, reason) in cases {
        let recorder = Recorder::start(quick()).await;
        let (session, bytes) = record(&recorder, pieces).await;
        assert_eq!((session.state, session.reason.as_deref()), (SessionState::Failed, Some(reason)));
        assert_eq!(bytes, pieces.concat(), "{reason}");
    }
}

#[tokio::test]
async fn what_a_stream_gets_wrong_is_stored_as_received_and_named() {
    let recorder = Recorder::start(quick()).await;
    let huge = format!("[3,\"o\",\"{}\"]\n", "x".repeat(9 << 20));
    let pieces: [&[u8]; 7] = [
        b"{\"version\":2,\"width\":0,\"height\":0,\"env\":null,\"novel\":{},\"kubernetes\":{\"PodName\":\"web-0\",\
          \"Namespace\":\"prod\",\"Container\":\"\",\"SessionType\":\"exec\"}}\n",
        b"[1,\"r\",\"50x132\"]\n",
        b"{\"version\":2}\n",
        b"[0.5,\"o\",\"\xff\"]\n",
        huge.as_bytes(),
        b"[NaN,\"o\",\"y\"]\n",
        b"[4,\"o\",\"trunc",
    ];
    let (session, bytes) = record(&recorder, &pieces).await;
    assert_eq!(bytes, pieces.concat());
    assert_eq!((session.state, session.kind), (SessionState::Ended, crate::SessionKind::Kube));
    assert_eq!(session.target.label().as_deref(), Some("prod/web-0"));
    assert_eq!(
        session.anomalies,
        [
            "line 1: header: 0x0 played as 80x24",
            "line 2: line.data: 50x132 is rows x columns",
            "line 3: line: a second header",
            "line 4: line.data: bytes that are not UTF-8",
            "line 4: line.time: 0.5 after 1",
            "line 5: line: 9437194 bytes, at most 8388608 are played",
            "line 6: line.time: not a finite number",
            "line 7: line: 13 bytes without an end",
        ]
    );
}

#[tokio::test]
async fn a_reset_and_a_lost_connection_are_interruptions_that_keep_every_byte() {
    let recorder = Recorder::start(quick()).await;
    let mut upload = Client::connect(recorder.address).await.record().await;
    upload.send(SSH).await;
    upload.wait_for_ack(SSH.len() as u64).await;
    upload.reset().await;
    let session = recorder.ledger.wait_for_end().await;
    assert_eq!(session.state, SessionState::Interrupted);
    assert!(session.reason.as_ref().unwrap().starts_with("the upload was cut off: "), "{:?}", session.reason);
    assert_eq!(received_bytes(&recorder, &session).await, SSH.as_bytes());

    let recorder = Recorder::start(quick()).await;
    let mut stream = TcpStream::connect(recorder.address).await.unwrap();
    let head = "POST /record HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    let body = format!("{head}{:x}\r\n{SSH}\r\n", SSH.len());
    stream.write_all(body.as_bytes()).await.unwrap();
    recorder.ledger.wait_for(Kind::SshSessionStarted).await;
    drop(stream);
    let session = recorder.ledger.wait_for_end().await;
    assert_eq!(session.state, SessionState::Interrupted);
    assert_eq!(received_bytes(&recorder, &session).await, SSH.as_bytes());
}

#[tokio::test]
async fn a_kill_tells_the_sender_and_the_trail() {
    let recorder = Recorder::start(quick()).await;
    let mut upload = Client::connect(recorder.address).await.record().await;
    upload.send(SSH).await;
    upload.wait_for_ack(SSH.len() as u64).await;
    let id = recorder.recordings.live()[0].id.clone();
    let by = Actor { service: Some("admin".into()), ..Actor::default() };
    let words = ("stop \u{1b}[2Jthat", "incident 7");
    recorder.recordings.kill(&id, words, (by.clone(), Identity::default())).await.unwrap();
    let frames = upload.frames().await;
    assert_eq!(frames.last().unwrap()["error"], "stop [2Jthat");
    let session = recorder.ledger.wait_for_end().await;
    assert_eq!(session.reason.as_deref(), Some("ended by admin: incident 7"));
    assert_eq!(recorder.ledger.of_kind(&Kind::MeshtrailKilled)[0].session, Some(id.clone()));
    let again = recorder.recordings.kill(&id, words, (by, Identity::default())).await;
    assert_eq!(again.unwrap_err().to_string(), format!("session {id} is not live"));
}

#[tokio::test]
async fn a_session_goes_on_when_its_kill_cannot_be_written_down() {
    let recorder = Recorder::start(quick()).await;
    let mut upload = Client::connect(recorder.address).await.record().await;
    upload.send(SSH).await;
    upload.wait_for_ack(SSH.len() as u64).await;
    let id = recorder.recordings.live()[0].id.clone();
    recorder.ledger.failing.store(true, Ordering::SeqCst);
    let by = (Actor::default(), Identity::default());
    assert!(recorder.recordings.kill(&id, ("stop", "why"), by).await.is_err());
    recorder.ledger.failing.store(false, Ordering::SeqCst);
    upload.send("[1,\"o\",\"on\"]\n").await;
    upload.wait_for_ack(SSH.len() as u64 + 13).await;
}

#[tokio::test]
async fn sessions_on_one_connection_are_recorded_apart() {
    let recorder = Recorder::start(quick()).await;
    let mut client = Client::connect(recorder.address).await;
    let (mut one, mut two) = (client.record().await, client.record().await);
    for upload in [&mut one, &mut two] {
        upload.send(SSH).await;
    }
    one.send("[1,\"o\",\"one\"]\n").await;
    two.send("[1,\"o\",\"two\"]\n").await;
    one.wait_for_ack(SSH.len() as u64 + 14).await;
    two.wait_for_ack(SSH.len() as u64 + 14).await;
    let live = recorder.recordings.live();
    assert_eq!(live.len(), 2);
    assert_eq!(live[0].connection, live[1].connection);
    assert_ne!(live[0].id, live[1].id);
    one.reset().await;
    two.end();
    assert!(two.frames().await.iter().all(|frame| frame["error"].is_null()), "the neighbour is unharmed");
}

#[tokio::test]
async fn request_events_are_durable_when_they_are_answered() {
    let recorder = Recorder::start(quick()).await;
    let post = async |body: &str| {
        let mut stream = TcpStream::connect(recorder.address).await.unwrap();
        let head = format!(
            "POST /v2/event HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let event = r#"{"type":"kubernetes-api-request","request":{"method":"GET","path":"/api"},"kubernetes":null,
                    "source":{"node":"laptop","nodeUser":"alice@example.com"}}"#;
    assert!(post(event).await.starts_with("HTTP/1.1 200"));
    let recorded = &recorder.ledger.of_kind(&Kind::KubeRequestIntended)[0];
    assert_eq!(recorded.actor.label().as_deref(), Some("alice@example.com"));

    let answer = post(r#"{"type":"kubernetes-api-request","request":7}"#).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(answer.contains(r#""field":"request""#), "{answer}");
    recorder.ledger.failing.store(true, Ordering::SeqCst);
    assert!(post(event).await.starts_with("HTTP/1.1 503"));
}

#[tokio::test]
async fn a_sender_that_floods_is_slowed_and_loses_nothing() {
    let mut config = quick();
    config.journal.per_session = 64 << 10;
    config.journal.in_total = 128 << 10;
    config.journal.file_size = 1 << 20;
    let recorder = Recorder::start(config).await;
    let mut upload = Client::connect(recorder.address).await.record().await;
    let line = format!("[1,\"o\",\"{}\"]\n", "x".repeat(50_000));
    upload.send(SSH).await;
    for _ in 0..100 {
        upload.send(line.clone()).await;
    }
    upload.end();
    upload.frames().await;
    let session = recorder.ledger.wait_for_end().await;
    let expected = format!("{SSH}{}", line.repeat(100));
    assert_eq!(session.sha256, Some(sha256(expected.as_bytes())));
    assert!(session.marks > 0, "a long session is marked while it runs");
    assert_eq!(received_bytes(&recorder, &session).await, expected.as_bytes());
}

#[tokio::test]
async fn a_host_that_is_dead_is_noticed_by_pings_and_an_idle_connection_is_let_go() {
    // Long enough for the request to be read first, however busy the machine is.
    let (ping_every, ping_timeout) = (Duration::from_secs(1), Duration::from_secs(1));
    let recorder = Recorder::start(RecordingConfig { ping_every, ping_timeout, ..quick() }).await;
    // A preface, settings, and a POST whose stream stays open; then this peer is silent.
    let mut stream = TcpStream::connect(recorder.address).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let headers = b"\x83\x86\x04\x0a/v2/record\x01\x01x";
    let frame = [&[0, 0, u8::try_from(headers.len()).unwrap(), 1, 4, 0, 0, 0, 1][..], headers].concat();
    stream.write_all(&frame).await.unwrap();
    let session = recorder.ledger.wait_for_end().await;
    assert_eq!(session.state, SessionState::Failed);
    assert!(session.reason.as_ref().unwrap().contains("the upload was cut off"), "{:?}", session.reason);

    let request_timeout = Duration::from_millis(60);
    let recorder = Recorder::start(RecordingConfig { request_timeout, ..quick() }).await;
    let mut idle = TcpStream::connect(recorder.address).await.unwrap();
    assert_eq!(idle.read(&mut [0; 8]).await.unwrap(), 0, "a peer that says nothing is let go");
}

#[tokio::test]
async fn a_listener_that_stops_ends_its_own_sessions_only() {
    let recorder = Recorder::start(quick()).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (other, halt) = (listener.local_addr().unwrap(), tokio_util::sync::CancellationToken::new());
    let (recordings, until) = (recorder.recordings.clone(), halt.clone());
    let serving = tokio::spawn(async move { recordings.serve(listener, redactor(), until).await });
    let mut here = Client::connect(recorder.address).await.record().await;
    let mut there = Client::connect(other).await.record().await;
    for upload in [&mut here, &mut there] {
        upload.send(SSH).await;
        upload.wait_for_ack(SSH.len() as u64).await;
    }
    halt.cancel();
    assert_eq!(there.frames().await.last().unwrap()["error"], "the recorder is stopping");
    serving.await.unwrap();
    here.send("[1,\"o\",\"on\"]\n").await;
    here.wait_for_ack(SSH.len() as u64 + 13).await;
    assert_eq!(recorder.recordings.live().len(), 1);
}

#[tokio::test]
async fn a_store_that_is_away_delays_sealing_and_loses_nothing() {
    let attempts = std::sync::atomic::AtomicUsize::new(0);
    let faults = Faults::new(move |step, moment| {
        let put = (step, moment) == (Step::PutRecording, crate::faults::Moment::Before);
        let away = put && attempts.fetch_add(1, Ordering::SeqCst) < 1;
        if away { Err(std::io::Error::other("the bucket is away")) } else { Ok(()) }
    });
    let recorder = Recorder::start(RecordingConfig { faults, ..quick() }).await;
    let (session, bytes) = record(&recorder, &[SSH.as_bytes()]).await;
    assert_eq!((session.state, bytes.as_slice()), (SessionState::Ended, SSH.as_bytes()));
    assert_eq!(recorder.ledger.of_kind(&Kind::SshSessionEnded).len(), 1);
}

#[tokio::test]
async fn a_hundred_megabytes_in_one_line_are_kept_and_cost_no_neighbour() {
    let recorder = Recorder::start(quick()).await;
    let mut client = Client::connect(recorder.address).await;
    let (mut large, mut small) = (client.record().await, client.record().await);
    large.send(SSH).await;
    large.send("[1,\"o\",\"").await;
    let piece = Bytes::from(vec![b'x'; 1 << 20]);
    let mut hash = Sha256::new_with_prefix(format!("{SSH}[1,\"o\",\""));
    for _ in 0..100 {
        large.send(piece.clone()).await;
        hash.update(&piece);
    }
    small.send(SSH).await;
    small.wait_for_ack(SSH.len() as u64).await;
    large.end();
    large.frames().await;
    let session = recorder.ledger.wait_for_end().await;
    assert_eq!(session.sha256, Some(hex::encode(hash.finalize())));
    assert!(session.anomalies[1].contains("bytes without an end"), "{:?}", session.anomalies);
}

/// A body that never sends a frame.
struct Silence;

impl hyper::body::Body for Silence {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, std::io::Error>>> {
        std::task::Poll::Pending
    }
}

#[tokio::test]
async fn silence_ends_nothing_and_every_turn_has_its_frame() {
    let keep_alive = Duration::from_millis(5);
    let recorder = Recorder::start(RecordingConfig { keep_alive, ..quick() }).await;
    let here = meshtrail_listen::Peer::from_socket(recorder.address);
    let share = recorder.recordings.slots().journal.of(&here);
    let live = recorder.recordings.accept(recorder.address, &here, "v2").await.unwrap();
    let (acks, halt) = (Arc::new(super::AckSlot::default()), tokio_util::sync::CancellationToken::new());
    let (recordings, slot) = (recorder.recordings.clone(), Some(acks.clone()));
    let body = (Silence, http::Version::HTTP_2);
    let origin = (meshtrail_identity::Connection::from_peer(recorder.address), share, halt.clone());
    let running = tokio::spawn(crate::sessions::Upload::new(recordings, live, body, slot, origin).run());
    let mut answer = super::ack::AnswerBody::Acks(acks);
    for _ in 0..200 {
        let frame = answer.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(frame, "{}\n");
    }
    assert_eq!(recorder.recordings.live().len(), 1);
    halt.cancel();
    assert_eq!(running.await.unwrap(), crate::refusal::StopReason::RecorderStopped);
}

/// Starts a recording that is refused, and returns the answer's body.
async fn record_refused(client: &mut Client) -> String {
    let (answer, _) = client.send("POST", "/v2/record").await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers().contains_key("retry-after"));
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

/// A configuration in which each peer has a quarter of eight sessions.
fn quarters() -> RecordingConfig {
    let shares = Shares::uniform(Share::thousandths(250).unwrap());
    let limits = Limits { shares, ..Limits::default() };
    RecordingConfig { max_sessions: 8, limits, ..quick() }
}

#[tokio::test]
async fn one_sender_can_not_take_the_sessions_of_another() {
    let config = quarters();
    let metrics = config.limits.metrics.clone();
    let recorder = Recorder::start(config).await;
    let mut flooding = Client::connect_from(1, recorder.address).await;
    let mut open = vec![flooding.record().await, flooding.record().await];
    let words = record_refused(&mut flooding).await;
    assert!(words.contains("127.0.0.1 holds 2 sessions, which is one peer's share of 8"), "{words}");
    record_refused(&mut Client::connect_from(1, recorder.address).await).await;
    let mut other = Client::connect_from(2, recorder.address).await.record().await;
    other.send(SSH).await;
    other.wait_for_ack(SSH.len() as u64).await;
    let text = metrics.text();
    assert!(text.contains("meshtrail_sessions_open{port=\"recorder\"} 3\n"), "{text}");
    assert!(
        text.contains("meshtrail_recorder_refused_total{what=\"recording\",reason=\"share\"} 2\n"),
        "{text}"
    );

    open.pop().unwrap().end_and_read_frames().await;
    flooding.record().await;
}

#[tokio::test]
async fn a_device_is_one_sender_whichever_of_its_addresses_it_uses() {
    let file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
    let device = "[[devices]]\nname = \"web-1.example\"\naddresses = [\"127.0.0.2\", \"127.0.0.3\"]\n";
    std::fs::write(file.path(), device).unwrap();
    let directory = meshtrail_identity::DirectoryFile::open(file.path()).unwrap();
    let config = meshtrail_identity::ResolverConfig { directory: Some(directory), ..Default::default() };
    let resolver = meshtrail_identity::Resolver::start(config);
    let (folder, ledger) = (Arc::new(tempfile::tempdir().unwrap()), crate::testing::MemoryLedger::new());
    let recorder = Recorder::start_with_resolver(folder, ledger, quarters(), resolver).await;
    let mut second = Client::connect_from(3, recorder.address).await;
    let _open = (Client::connect_from(2, recorder.address).await.record().await, second.record().await);
    let words = record_refused(&mut second).await;
    assert!(words.contains("web-1.example holds 2 sessions"), "{words}");
    Client::connect_from(4, recorder.address).await.record().await;
}

#[tokio::test]
async fn events_that_drip_hold_up_nobody_and_end_in_time() {
    let config = RecordingConfig { event_timeout: Duration::from_secs(2), ..quick() };
    let recorder = Recorder::start(config).await;
    let mut dripping = Client::connect(recorder.address).await;
    let mut waiting = Vec::new();
    for _ in 0..48 {
        let mut client = dripping.clone();
        waiting.push(tokio::spawn(async move {
            let sending = client.send_dripping("/v2/event").await;
            sending.status()
        }));
    }
    let event = r#"{"type":"kubernetes-api-request","request":{"method":"GET","path":"/api"},"kubernetes":null,
                    "source":{"node":"laptop","nodeUser":"alice@example.com"}}"#;
    for last in [1, 2] {
        let mut client = Client::connect_from(last, recorder.address).await;
        assert_eq!(client.post("/v2/event", event).await, StatusCode::OK, "from 127.0.0.{last}");
    }
    for one in waiting {
        assert_eq!(one.await.unwrap(), StatusCode::REQUEST_TIMEOUT, "however steadily it drips");
    }
    assert_eq!(dripping.post("/v2/event", event).await, StatusCode::OK);
}

#[tokio::test]
async fn a_header_line_has_to_come_in_time_and_nothing_after_it() {
    let config = RecordingConfig { header_timeout: Duration::from_secs(2), ..quick() };
    let recorder = Recorder::start(config).await;
    let mut client = Client::connect(recorder.address).await;
    let mut whole = client.record().await;
    whole.send(SSH).await;
    let mut half = client.record().await;
    half.send(&SSH.as_bytes()[..40]).await;
    let last = half.frames().await.pop().unwrap();
    assert_eq!(last["error"], "no header line came within 2s");
    let session = recorder.ledger.wait_for_end().await;
    assert_eq!(session.state, SessionState::Failed);
    assert!(session.reason.as_ref().unwrap().ends_with("no header line came within 2s"), "{session:?}");
    // It was accepted before the one that timed out.
    whole.send("[1,\"o\",\"on\"]\n").await;
    whole.wait_for_ack(SSH.len() as u64 + 13).await;
}

#[tokio::test]
async fn half_a_preface_is_let_go_as_silence_is() {
    let config = RecordingConfig { request_timeout: Duration::from_millis(60), ..quick() };
    let recorder = Recorder::start(config).await;
    for begun in [&b"PRI * HTTP/2.0"[..], b"POST /record HTTP/1.1\r\nHost:"] {
        let mut stream = TcpStream::connect(recorder.address).await.unwrap();
        stream.write_all(begun).await.unwrap();
        drop(stream.read_to_end(&mut Vec::new()).await);
    }
    assert_eq!(recorder.recordings.slots().connections.in_use(), 0);
}
