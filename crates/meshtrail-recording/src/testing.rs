//! Test fixtures: a ledger in memory, a recorder on a real socket, and a client like the real one.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::{FutureExt, StreamExt, future::BoxFuture, stream, stream::BoxStream};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use meshtrail_event::{Detail, Draft, Event, EventId, Family, Kind, SessionId, Timestamp};
use meshtrail_identity::Resolver;
use meshtrail_redact::{FingerprintKey, Redactor};
use meshtrail_trail::store::{Store, StoreLocation, WritePolicy};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
};
use tokio_util::sync::CancellationToken;

use crate::{
    IndexedEvent, Ledger, LedgerError, RecordingConfig, Recordings, Session, SessionScan,
    journal::JournalLimits,
};

/// The time limit of a wait that would never end. No test depends on how long a step takes.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(120);

/// A trail in memory that can be made to fail.
pub(crate) struct MemoryLedger {
    events: watch::Sender<Vec<Event>>,
    epoch: AtomicU64,
    pub(crate) refusal: Mutex<Option<String>>,
    pub(crate) failing: AtomicBool,
    /// Runs at the next read of sessions, before its first event.
    pub(crate) before_read: Mutex<Option<BoxFuture<'static, ()>>>,
    /// While true, appending a terminal event does not return, although the event is in the trail.
    pub(crate) block_terminal: watch::Sender<bool>,
}

impl MemoryLedger {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            events: watch::Sender::new(Vec::new()),
            epoch: AtomicU64::new(1),
            refusal: Mutex::new(None),
            failing: AtomicBool::new(false),
            before_read: Mutex::default(),
            block_terminal: watch::Sender::new(false),
        })
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.events.borrow().clone()
    }

    pub(crate) fn of_kind(&self, kind: &Kind) -> Vec<Event> {
        self.events().into_iter().filter(|event| event.kind == *kind).collect()
    }

    /// Waits for an event of this kind.
    pub(crate) async fn wait_for(&self, kind: Kind) -> Event {
        let mut events = self.events.subscribe();
        let found = |events: &Vec<Event>| events.iter().any(|event| event.kind == kind);
        let waiting = async { events.wait_for(found).await.unwrap().clone() };
        let events = tokio::time::timeout(TIMEOUT, waiting).await;
        let events = events.unwrap_or_else(|_| panic!("no {kind} came; there are {:?}", self.kinds()));
        events.into_iter().find(|event| event.kind == kind).unwrap()
    }

    /// Waits until one session has ended, and returns it.
    pub(crate) async fn wait_for_end(&self) -> Session {
        let mut events = self.events.subscribe();
        let ended =
            |events: &Vec<Event>| events.iter().any(|event| Session::from_terminal_event(event).is_some());
        let waiting = async { events.wait_for(ended).await.unwrap().clone() };
        let events = tokio::time::timeout(TIMEOUT, waiting).await;
        let events = events.unwrap_or_else(|_| panic!("no session ended; there are {:?}", self.kinds()));
        events.iter().find_map(Session::from_terminal_event).unwrap()
    }

    pub(crate) fn kinds(&self) -> Vec<String> {
        self.events().iter().map(|event| event.kind.to_string()).collect()
    }

    /// Changes every event to that of an older version, without the index's hash.
    pub(crate) fn unbind_indexes(&self) {
        self.events.send_modify(|events| {
            for event in events {
                if let Some(Detail::Session(facts)) = &mut event.detail {
                    facts.index_sha256 = None;
                }
            }
        });
    }

    /// Begins a new epoch, as a restart does, and stops failing.
    pub(crate) fn restart(&self) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
        self.failing.store(false, Ordering::SeqCst);
    }
}

impl Ledger for MemoryLedger {
    fn trail(&self) -> &str {
        "main"
    }

    fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    fn size(&self) -> u64 {
        self.events.borrow().len() as u64
    }

    fn refusal(&self) -> Option<String> {
        self.refusal.lock().unwrap().clone()
    }

    fn emit(&self, draft: Draft) -> BoxFuture<'_, Result<EventId, LedgerError>> {
        async move {
            if self.failing.load(Ordering::SeqCst) {
                let source = std::io::Error::other("the trail is gone");
                return Err(LedgerError { failure: "could not take an event", source: source.into() });
            }
            let ends = draft.kind == Kind::SshSessionEnded;
            let mut id = None;
            self.events.send_modify(|events| {
                let sequence = events.len() as u64;
                let source = "main.recorder".parse().unwrap();
                let event_id = EventId { source, epoch: self.epoch(), sequence };
                let event = draft.into_event(event_id.clone(), Timestamp::now());
                event.check().unwrap();
                events.push(event);
                id = Some(event_id);
            });
            if ends {
                self.block_terminal.subscribe().wait_for(|block| !block).await.unwrap();
            }
            Ok(id.unwrap())
        }
        .boxed()
    }

    fn sessions(&self, scan: SessionScan) -> BoxStream<'_, Result<IndexedEvent, LedgerError>> {
        let before_read = self.before_read.lock().unwrap().take();
        let read = async move {
            if let Some(before_read) = before_read {
                before_read.await;
            }
            let wanted = scan.from..scan.before.unwrap_or(u64::MAX);
            let found: Vec<_> = (0..)
                .zip(self.events())
                .filter(|(index, event)| wanted.contains(index) && event.kind.family() == Family::Session)
                .filter(|(_, event)| scan.since.is_none_or(|since| event.time >= since))
                .filter(|(_, event)| scan.session.is_none() || scan.session == event.session)
                .map(Ok)
                .collect();
            stream::iter(found.into_iter().rev())
        };
        stream::once(read).flatten().boxed()
    }

    fn marks(&self, session: SessionId, _: Timestamp) -> BoxFuture<'_, Result<Vec<Event>, LedgerError>> {
        let marks = self.of_kind(&Kind::RecordingMark).into_iter();
        let marks = marks.filter(|event| event.session.as_ref() == Some(&session)).collect();
        async move { Ok(marks) }.boxed()
    }
}

/// A configuration without delays.
pub(crate) fn quick() -> RecordingConfig {
    RecordingConfig {
        journal: JournalLimits { gather_time: Duration::ZERO, ..JournalLimits::default() },
        ack_every: Duration::ZERO,
        min_free: 0,
        opening_timeout: TIMEOUT,
        ..RecordingConfig::default()
    }
}

pub(crate) async fn store_at(folder: &Path) -> Store {
    let location = StoreLocation::Folder(folder.to_owned());
    Store::open(&location, &WritePolicy::default()).await.unwrap()
}

/// A redactor with a new key.
pub(crate) fn redactor() -> Redactor {
    Redactor::new(FingerprintKey::generate().unwrap())
}

/// A listening recorder.
pub(crate) struct Recorder {
    pub(crate) recordings: Recordings,
    pub(crate) address: SocketAddr,
    pub(crate) ledger: Arc<MemoryLedger>,
    pub(crate) folder: Arc<tempfile::TempDir>,
    pub(crate) stop: CancellationToken,
    pub(crate) serving: tokio::task::JoinHandle<()>,
}

impl Recorder {
    pub(crate) async fn start(config: RecordingConfig) -> Recorder {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        Self::start_on(folder, MemoryLedger::new(), config).await
    }

    pub(crate) async fn start_on(
        folder: Arc<tempfile::TempDir>,
        ledger: Arc<MemoryLedger>,
        config: RecordingConfig,
    ) -> Recorder {
        Self::start_with_resolver(folder, ledger, config, Resolver::without_providers()).await
    }

    pub(crate) async fn start_with_resolver(
        folder: Arc<tempfile::TempDir>,
        ledger: Arc<MemoryLedger>,
        config: RecordingConfig,
        resolver: Resolver,
    ) -> Recorder {
        let store = store_at(folder.path()).await;
        let local = folder.path().join("local");
        let recordings = Recordings::open_on(store, &local, ledger.clone(), resolver, config).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let (serve, until) = (recordings.clone(), stop.clone());
        let serving = tokio::spawn(async move { serve.serve(listener, redactor(), until).await });
        Recorder { recordings, address, ledger, folder, stop, serving }
    }

    /// Stops, and starts again with the same folder and ledger.
    pub(crate) async fn restart(self, config: RecordingConfig) -> Recorder {
        let Recorder { recordings, ledger, folder, stop, serving, .. } = self;
        stop.cancel();
        recordings.close().await;
        serving.await.unwrap();
        ledger.restart();
        Self::start_on(folder, ledger, config).await
    }
}

/// The header that the tests send.
pub(crate) const SSH: &str = concat!(
    r#"{"version":2,"width":80,"height":24,"timestamp":1767225600,"srcNode":"laptop.tail.example","#,
    r#""srcNodeID":"7","srcNodeUserID":3,"srcNodeUser":"alice@example.com","env":{"TERM":"xterm"},"#,
    r#""sshUser":"root","localUser":"root","connectionID":"ssh-conn-1"}"#,
    "\n"
);

type Sending = mpsc::Sender<Result<Frame<Bytes>, std::io::Error>>;
type SendBody = StreamBody<tokio_stream::wrappers::ReceiverStream<Result<Frame<Bytes>, std::io::Error>>>;

/// A connection with HTTP/2 prior knowledge, like that of the real client.
#[derive(Clone)]
pub(crate) struct Client {
    sender: hyper::client::conn::http2::SendRequest<SendBody>,
    address: SocketAddr,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Client {
        Self::connect_from(1, address).await
    }

    /// A connection from 127.0.0.`last`.
    pub(crate) async fn connect_from(last: u8, address: SocketAddr) -> Client {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, last], 0))).unwrap();
        let stream: TcpStream = socket.connect(address).await.unwrap();
        let (sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Client { sender, address }
    }

    pub(crate) async fn send(&mut self, method: &str, path: &str) -> (Response<Incoming>, Sending) {
        let (sending, body) = mpsc::channel(16);
        let body = StreamBody::new(tokio_stream::wrappers::ReceiverStream::new(body));
        let uri = format!("http://{}{path}", self.address);
        let request = Request::builder().method(method).uri(uri).body(body).unwrap();
        (self.sender.send_request(request).await.unwrap(), sending)
    }

    /// Sends a whole body, and returns the answer's status.
    pub(crate) async fn post(&mut self, path: &str, body: impl Into<Bytes>) -> StatusCode {
        let (sending, body_end) = mpsc::channel(16);
        sending.send(Ok(Frame::data(body.into()))).await.unwrap();
        drop(sending);
        self.request(path, body_end).await.status()
    }

    /// Sends a byte every ten milliseconds until the answer.
    pub(crate) async fn send_dripping(&mut self, path: &str) -> Response<Incoming> {
        let (sending, body) = mpsc::channel(1);
        let dripping = async {
            while sending.send(Ok(Frame::data(Bytes::from_static(b" ")))).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            std::future::pending().await
        };
        tokio::select! {
            answer = self.request(path, body) => answer,
            () = dripping => unreachable!("it never ends"),
        }
    }

    async fn request(
        &mut self,
        path: &str,
        body: mpsc::Receiver<Result<Frame<Bytes>, std::io::Error>>,
    ) -> Response<Incoming> {
        let body = StreamBody::new(tokio_stream::wrappers::ReceiverStream::new(body));
        let uri = format!("http://{}{path}", self.address);
        let request = Request::builder().method("POST").uri(uri).body(body).unwrap();
        self.sender.send_request(request).await.unwrap()
    }

    /// Starts an upload that is accepted.
    pub(crate) async fn record(&mut self) -> UploadClient {
        let (response, sending) = self.send("POST", "/v2/record").await;
        assert_eq!(response.status(), StatusCode::OK);
        UploadClient { sending: Some(sending), acks: response.into_body(), rest: Vec::new() }
    }
}

/// The sender's side of an upload.
pub(crate) struct UploadClient {
    sending: Option<Sending>,
    acks: Incoming,
    rest: Vec<u8>,
}

impl UploadClient {
    pub(crate) async fn send(&mut self, bytes: impl Into<Bytes>) {
        let sending = self.sending.as_ref().unwrap();
        sending.send(Ok(Frame::data(bytes.into()))).await.unwrap();
    }

    /// Ends the upload regularly.
    pub(crate) fn end(&mut self) {
        self.sending = None;
    }

    /// Resets the upload's stream.
    pub(crate) async fn reset(&mut self) {
        let sending = self.sending.take().unwrap();
        drop(sending.send(Err(std::io::Error::other("gave up"))).await);
    }

    /// The next frame; `None` at the end of the stream.
    pub(crate) async fn frame(&mut self) -> Option<serde_json::Value> {
        loop {
            if let Some(end) = self.rest.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let next = tokio::time::timeout(TIMEOUT, self.acks.frame()).await;
            let data = next.expect("a frame comes in time")?.ok()?.into_data().unwrap();
            self.rest.extend_from_slice(&data);
        }
    }

    /// Reads frames until this many bytes are acked.
    pub(crate) async fn wait_for_ack(&mut self, bytes: u64) {
        while let Some(frame) = self.frame().await {
            assert!(frame["error"].is_null(), "{frame}");
            if frame["ack"].as_u64().unwrap_or(0) >= bytes {
                return;
            }
        }
        panic!("the stream ended before {bytes} bytes were acknowledged");
    }

    /// Ends the upload and reads to the end of the stream.
    pub(crate) async fn end_and_read_frames(mut self) {
        self.end();
        self.frames().await;
    }

    /// All frames until the end of the stream.
    pub(crate) async fn frames(&mut self) -> Vec<serde_json::Value> {
        let mut frames = Vec::new();
        while let Some(frame) = self.frame().await {
            frames.push(frame);
        }
        frames
    }
}
