//! Connections and routes of the recorder port.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use futures::{FutureExt, future::BoxFuture};
use http::{Method, Request, StatusCode, Version};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use meshtrail_identity::Connection;
use meshtrail_listen::{
    HEADER_TIME, IdleLimits, IdleReason, Peer, PeerRoom, Refusal as ConnectionRefusal, RequestActivity, Slot,
    accept,
};
use meshtrail_redact::Redactor;
use tokio::{
    net::{TcpListener, TcpStream},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::debug;

use super::{
    ack::{AckSlot, AnswerBody, GuardedBody},
    answer::{HttpAnswer, empty, problem, wrong_method},
    request::{MAX_EVENT, RequestError, parse_request_event, read_body},
};
use crate::{
    refusal::{Refusal, event_not_stored, v1_answer},
    sessions::{RecorderSlots, Recordings, Sender, Upload},
};

/// The pause between the last ack and the end of the stream. A client that sees the end of the stream before it has
/// ended its own session takes it for a failure.
const LAST_GAP: Duration = Duration::from_millis(50);

impl Recordings {
    /// Serves the recorder protocol until `stop`. Then sessions that came in by this listener end as interrupted, and
    /// this returns when every connection is closed. `redactor` cuts secrets from request events.
    pub fn serve(
        &self,
        listener: TcpListener,
        redactor: Redactor,
        stop: CancellationToken,
    ) -> BoxFuture<'_, ()> {
        // Boxed here: a bare future would be compiled again by every crate that awaits it.
        self.serve_on(listener, redactor, stop).boxed()
    }

    async fn serve_on(&self, listener: TcpListener, redactor: Redactor, stop: CancellationToken) {
        let server = Server { recordings: self.clone(), redactor, halt: self.stopping().child_token() };
        let open = TaskTracker::new();
        let serve = |stream, peer, slot| server.clone().serve_connection(stream, peer, slot);
        // A connection beyond the limits is refused before its recording is accepted: the sender tries the next
        // recorder.
        tokio::select! {
            () = accept(listener, &self.slots().connections, ConnectionRefusal::Http, &open, serve) => {}
            () = stop.cancelled() => {}
            () = server.halt.cancelled() => {}
        }
        server.halt.cancel();
        open.close();
        open.wait().await;
    }
}

#[derive(Clone)]
struct Server {
    recordings: Recordings,
    redactor: Redactor,
    /// Ends every session and connection of this listener.
    halt: CancellationToken,
}

/// The connection of a request, and the sender that it is counted for.
#[derive(Clone)]
struct Requester {
    connection: Connection,
    sender: Arc<Sender>,
}

impl Server {
    async fn serve_connection(self, stream: TcpStream, address: SocketAddr, slot: Slot) {
        set_keep_alive(&stream);
        let idle = self.recordings.config().request_timeout;
        let limits = IdleLimits { first: Instant::now() + HEADER_TIME.min(idle), idle };
        // A peer that connects and sends nothing is disconnected before buffers are allocated for it.
        let first = tokio::time::timeout_at(limits.first, stream.readable()).await;
        if !matches!(first, Ok(Ok(()))) {
            return;
        }
        let builder = builder(&self.recordings, Window::for_peer(self.recordings.slots(), &slot.peer()));
        let (serving, activity) = (self.clone(), RequestActivity::default());
        // A listener on all addresses is reached over several networks; the local address tells which one it was.
        let connection = Connection { peer: address, local: stream.local_addr().ok() };
        let from = Requester { connection, sender: Arc::new(Sender::new(connection, slot)) };
        let used = activity.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let (server, guard, from) = (serving.clone(), used.begin(), from.clone());
            // Boxed, so that the memory of the handler is freed while the answer's body goes on for hours.
            let answering = Box::pin(server.answer(request, from));
            async move {
                let answer = answering.await;
                Ok::<_, Infallible>(answer.map(|body| GuardedBody { body, _guard: guard }))
            }
        });
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            reason = self.wait_until_unneeded(&activity, limits) => {
                if reason == Some(IdleReason::NoRequest) {
                    return;
                }
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            debug!(peer = %address, %error, "a connection ended early");
        }
    }

    /// Waits until the listener stops (`None`), or the connection is idle for too long.
    async fn wait_until_unneeded(
        &self,
        activity: &RequestActivity,
        limits: IdleLimits,
    ) -> Option<IdleReason> {
        self.halt.run_until_cancelled(activity.wait_until_idle(limits)).await
    }

    async fn answer(self, request: Request<Incoming>, from: Requester) -> HttpAnswer {
        let http2 = request.version() == Version::HTTP_2;
        match (request.uri().path(), request.method()) {
            // A success over HTTP/1.1 would make the client wait for acks.
            ("/v2/record", _) if !http2 => {
                problem(StatusCode::HTTP_VERSION_NOT_SUPPORTED, "use HTTP/2, or /record", None)
            }
            ("/v2/record", &Method::HEAD) => empty(StatusCode::OK),
            ("/v2/record", &Method::POST) => self.record_v2(request, &from).await,
            ("/v2/record", _) => wrong_method("HEAD, POST"),
            ("/record", &Method::POST) => self.record_v1(request, &from).await,
            ("/record", _) => wrong_method("POST"),
            ("/v2/event", &Method::HEAD) => empty(StatusCode::OK),
            ("/v2/event", &Method::POST) => self.record_event(request, &from).await,
            ("/v2/event", _) => wrong_method("HEAD, POST"),
            _ => problem(StatusCode::NOT_FOUND, "this is a session recorder", None),
        }
    }

    /// Answers at once; a task of its own receives the recording and sends acks.
    async fn record_v2(self, request: Request<Incoming>, from: &Requester) -> HttpAnswer {
        let acks = Arc::new(AckSlot::default());
        let body = (request.into_body(), Version::HTTP_2);
        let upload = match self.accept_upload(body, Some(acks.clone()), from, "v2").await {
            Ok(upload) => upload,
            Err(refusal) => return self.refuse(from, "recording", &refusal),
        };
        let stream_acks = acks.clone();
        self.recordings.tasks().spawn(async move {
            let stop = upload.run().await;
            match stop.error_frame() {
                Some(frame) => stream_acks.fail(frame),
                None => {
                    tokio::time::sleep(LAST_GAP).await;
                    stream_acks.end();
                }
            }
        });
        HttpAnswer::new(AnswerBody::Acks(acks))
    }

    /// Reading the body sends the 100 that the client waits for. The answer comes when all bytes are durable.
    async fn record_v1(self, request: Request<Incoming>, from: &Requester) -> HttpAnswer {
        let version = request.version();
        let upload = match self.accept_upload((request.into_body(), version), None, from, "v1").await {
            Ok(upload) => upload,
            Err(refusal) => return self.refuse(from, "recording", &refusal),
        };
        // A task of its own: a broken connection drops this handler, but must not drop the recording.
        let stop = self.recordings.tasks().spawn(upload.run()).await;
        v1_answer(stop.as_ref().ok())
    }

    /// Accepts a session, counted for the connection's sender.
    async fn accept_upload(
        &self,
        body: (Incoming, Version),
        acks: Option<Arc<AckSlot>>,
        from: &Requester,
        protocol: &str,
    ) -> Result<Upload<Incoming>, Refusal> {
        let peer = self.resolve_peer(from).await?;
        let live = self.recordings.accept(from.connection.peer, peer, protocol).await?;
        let share = self.recordings.slots().journal.of(peer);
        let origin = (from.connection, share, self.halt.clone());
        Ok(Upload::new(self.recordings.clone(), live, body, acks, origin))
    }

    async fn resolve_peer<'a>(&self, from: &'a Requester) -> Result<&'a Peer, Refusal> {
        Ok(from.sender.resolve_peer(self.recordings.resolver()).await?)
    }

    fn refuse(&self, from: &Requester, what: &'static str, refusal: &Refusal) -> HttpAnswer {
        self.recordings.count_refusal(from.connection.peer, what, refusal);
        refusal.to_answer()
    }

    /// Appends a request event; the answer comes when it is durable.
    async fn record_event(self, request: Request<Incoming>, from: &Requester) -> HttpAnswer {
        let length = request.headers().get(http::header::CONTENT_LENGTH);
        let length = length.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if length.is_some_and(|length| length > MAX_EVENT as u64) {
            return RequestError::TooLong {}.to_answer();
        }
        let (slot, room) = match self.acquire_event_slot(from).await {
            Ok(acquired) => acquired,
            Err(refusal) => return self.refuse(from, "event", &refusal),
        };
        let timeout = self.recordings.config().event_timeout;
        let (body, memory) = match read_body(request.into_body(), &room, timeout).await {
            Ok(read) => read,
            Err(error) => return error.to_answer(),
        };
        let event = match parse_request_event(&body, &self.redactor) {
            Ok(event) => event,
            Err(error) => return error.to_answer(),
        };
        drop(body);
        let draft = event.into_draft(&self.recordings, from.connection).await;
        drop(memory);
        let emitted = self.recordings.ledger().emit(draft).await;
        drop(slot);
        match emitted {
            Ok(_) => empty(StatusCode::OK),
            Err(error) => event_not_stored(&error),
        }
    }

    /// A slot for an event, and the sender's share of the memory for events.
    async fn acquire_event_slot(&self, from: &Requester) -> Result<(Slot, PeerRoom), Refusal> {
        self.recordings.check_accepting()?;
        let peer = self.resolve_peer(from).await?;
        let slots = self.recordings.slots();
        Ok((slots.events.acquire(peer)?, slots.event_bytes.of(peer)))
    }
}

/// HTTP/2 flow-control windows: bytes that a peer may send on one stream and on one connection before they are read.
struct Window {
    stream: u32,
    connection: u32,
}

impl Window {
    /// Large windows for a peer with few connections; with thousands they would take too much memory.
    fn for_peer(slots: &RecorderSlots, peer: &Peer) -> Window {
        const FEW: usize = 64;
        if slots.connections.in_use_by(peer) <= FEW {
            Window { stream: 1 << 20, connection: 2 << 20 }
        } else {
            Window { stream: 64 << 10, connection: 128 << 10 }
        }
    }
}

/// HTTP with small buffers: most connections are idle most of the time.
fn builder(recordings: &Recordings, window: Window) -> auto::Builder<TokioExecutor> {
    let config = recordings.config();
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(config.request_timeout)
        .max_buf_size(64 << 10);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(config.ping_every)
        .keep_alive_timeout(config.ping_timeout)
        .initial_stream_window_size(window.stream)
        .initial_connection_window_size(window.connection)
        .max_frame_size(64 << 10)
        .max_concurrent_streams(64)
        .max_send_buf_size(16 << 10);
    builder
}

/// Enables TCP keep-alive, which detects dead peers: HTTP/1.1 has no ping.
fn set_keep_alive(stream: &TcpStream) {
    let settings = socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(15))
        .with_retries(4);
    if let Err(error) = socket2::SockRef::from(stream).set_tcp_keepalive(&settings) {
        debug!(%error, "a connection has no keep-alive");
    }
}
