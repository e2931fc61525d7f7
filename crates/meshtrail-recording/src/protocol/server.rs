//! Connections and routes.

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
    HEADER_TIME, IdleLimits, IdleReason, Peer, PeerRoom, Refusal as TurnAway, RequestActivity, Slot, accept,
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::debug;

use super::{
    ack::{AckSlot, Answer, Held},
    answer::{Answered, empty, problem, wrong_method},
    request::{MAX_EVENT, parse_request_event, read_body},
};
use crate::sessions::{Cut, Pump, RecorderPlaces, Recordings, Refusal, Sender};

/// Time between the last ack and the end of the stream. A client that sees the end before it has noted that
/// its own session is over takes it for a failure.
const LAST_GAP: Duration = Duration::from_millis(50);

impl Recordings {
    /// Serves the recorder protocol until `stop`; then sessions that came in here end as interrupted, and this
    /// returns when every connection is done.
    pub fn serve(&self, listener: TcpListener, stop: CancellationToken) -> BoxFuture<'_, ()> {
        // Boxed here: a bare future would be compiled again by every crate that awaits it.
        self.serve_on(listener, stop).boxed()
    }

    async fn serve_on(&self, listener: TcpListener, stop: CancellationToken) {
        let server = Server { recordings: self.clone(), halt: self.stopping().child_token() };
        let open = TaskTracker::new();
        let serve = |stream, peer, place| server.clone().connection(stream, peer, place);
        // Nothing of one more was accepted, so its sender goes on to the next recorder.
        tokio::select! {
            () = accept(listener, &self.places().connections, TurnAway::Http, &open, serve) => {}
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
    /// Ends every session and connection of this listener.
    halt: CancellationToken,
}

/// Who asks: from where, and whom it counts for.
#[derive(Clone)]
struct Asker {
    connection: Connection,
    sender: Arc<Sender>,
}

impl Server {
    async fn connection(self, stream: TcpStream, address: SocketAddr, place: Slot) {
        keep_alive(&stream);
        let idle = self.recordings.config().request_patience;
        let patience = IdleLimits { first: Instant::now() + HEADER_TIME.min(idle), idle };
        // A peer that connects and says nothing is let go before it costs buffers.
        let first = tokio::time::timeout_at(patience.first, stream.readable()).await;
        if !matches!(first, Ok(Ok(()))) {
            return;
        }
        let builder = builder(&self.recordings, Window::of(self.recordings.places(), &place.peer()));
        let (serving, activity) = (self.clone(), RequestActivity::default());
        // A listener on all addresses is reached by several ways; which one it was says whom to believe.
        let connection = Connection { peer: address, local: stream.local_addr().ok() };
        let from = Asker { connection, sender: Arc::new(Sender::new(connection, place)) };
        let used = activity.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let (server, in_use, from) = (serving.clone(), used.begin(), from.clone());
            // Boxed, so that what answering took is given back while the answer goes on for hours.
            let answering = Box::pin(server.answer(request, from));
            async move {
                let answer = answering.await;
                Ok::<_, Infallible>(answer.map(|body| Held { body, _in_use: in_use }))
            }
        });
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            unused = self.no_longer_needed(&activity, patience) => {
                if unused == Some(IdleReason::NoRequest) {
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

    /// Waits until the listener stops, or nobody has used the connection for a while.
    async fn no_longer_needed(&self, activity: &RequestActivity, patience: IdleLimits) -> Option<IdleReason> {
        self.halt.run_until_cancelled(activity.wait_until_idle(patience)).await
    }

    async fn answer(self, request: Request<Incoming>, from: Asker) -> Answered {
        let http2 = request.version() == Version::HTTP_2;
        match (request.uri().path(), request.method()) {
            // Another version here would make the client believe that it has acks.
            ("/v2/record", _) if !http2 => {
                problem(StatusCode::HTTP_VERSION_NOT_SUPPORTED, "use HTTP/2, or /record", None)
            }
            ("/v2/record", &Method::HEAD) => empty(StatusCode::OK),
            ("/v2/record", &Method::POST) => self.record_v2(request, &from).await,
            ("/v2/record", _) => wrong_method("HEAD, POST"),
            ("/record", &Method::POST) => self.record_v1(request, &from).await,
            ("/record", _) => wrong_method("POST"),
            ("/v2/event", &Method::HEAD) => empty(StatusCode::OK),
            ("/v2/event", &Method::POST) => self.event(request, &from).await,
            ("/v2/event", _) => wrong_method("HEAD, POST"),
            _ => problem(StatusCode::NOT_FOUND, "this is a session recorder", None),
        }
    }

    /// Answers at once and acks from a task of its own; what can't be kept is refused before that.
    async fn record_v2(self, request: Request<Incoming>, from: &Asker) -> Answered {
        let acks = Arc::new(AckSlot::default());
        let body = (request.into_body(), Version::HTTP_2);
        let pump = match self.pump(body, Some(acks.clone()), from, "v2").await {
            Ok(pump) => pump,
            Err(refusal) => return self.refused(from, "recording", &refusal),
        };
        let slot = acks.clone();
        self.recordings.tasks().spawn(async move {
            let cut = pump.run().await;
            match cut.message() {
                Some(message) => slot.fail(message),
                None => {
                    tokio::time::sleep(LAST_GAP).await;
                    slot.end();
                }
            }
        });
        Answered::new(Answer::Acks(acks))
    }

    /// Reading the body sends the 100 that the client waits for; the answer comes when all is durable.
    async fn record_v1(self, request: Request<Incoming>, from: &Asker) -> Answered {
        let version = request.version();
        let pump = match self.pump((request.into_body(), version), None, from, "v1").await {
            Ok(pump) => pump,
            Err(refusal) => return self.refused(from, "recording", &refusal),
        };
        // A task of its own: a connection that breaks takes this handler with it, but not the recording.
        match self.recordings.tasks().spawn(pump.run()).await {
            Ok(Cut::Ended | Cut::Lost { .. }) => empty(StatusCode::OK),
            Ok(cut) => {
                let message = cut.message().unwrap_or_default();
                problem(StatusCode::INTERNAL_SERVER_ERROR, &message, None)
            }
            Err(_) => problem(StatusCode::INTERNAL_SERVER_ERROR, "the recorder failed", None),
        }
    }

    /// Accepts a session, for whoever the connection counts for.
    async fn pump(
        &self,
        body: (Incoming, Version),
        acks: Option<Arc<AckSlot>>,
        from: &Asker,
        protocol: &str,
    ) -> Result<Pump<Incoming>, Refusal> {
        let sender = self.sender(from).await?;
        let live = self.recordings.accept(from.connection.peer, sender, protocol).await?;
        let share = self.recordings.places().journal.of(sender);
        let origin = (from.connection, share, self.halt.clone());
        Ok(Pump::new(self.recordings.clone(), live, body, acks, origin))
    }

    async fn sender<'a>(&self, from: &'a Asker) -> Result<&'a Peer, Refusal> {
        Ok(from.sender.peer(self.recordings.resolver()).await?)
    }

    fn refused(&self, from: &Asker, what: &'static str, refusal: &Refusal) -> Answered {
        self.recordings.count_refusal(from.connection.peer, what, refusal);
        refusal.into()
    }

    async fn event(self, request: Request<Incoming>, from: &Asker) -> Answered {
        let length = request.headers().get(http::header::CONTENT_LENGTH);
        let length = length.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if length.is_some_and(|length| length > MAX_EVENT as u64) {
            let detail = format!("body: more than {MAX_EVENT} bytes");
            return problem(StatusCode::PAYLOAD_TOO_LARGE, &detail, None);
        }
        let (place, room) = match self.event_place(from).await {
            Ok(place) => place,
            Err(refusal) => return self.refused(from, "event", &refusal),
        };
        let patience = self.recordings.config().event_patience;
        let (body, taken) = match read_body(request.into_body(), &room, patience).await {
            Ok(read) => read,
            Err(error) => return (&error).into(),
        };
        let event = match parse_request_event(&body) {
            Ok(event) => event,
            Err(error) => return (&error).into(),
        };
        drop(body);
        let draft = event.into_draft(&self.recordings, from.connection).await;
        drop(taken);
        let emitted = self.recordings.ledger().emit(draft).await;
        drop(place);
        match emitted {
            Ok(_) => empty(StatusCode::OK),
            Err(error) => (&error).into(),
        }
    }

    /// A place for an event, and its sender's part of the memory for them.
    async fn event_place(&self, from: &Asker) -> Result<(Slot, PeerRoom), Refusal> {
        self.recordings.refusal()?;
        let sender = self.sender(from).await?;
        let places = self.recordings.places();
        Ok((places.events.acquire(sender)?, places.event_bytes.of(sender)))
    }
}

/// How many bytes a peer may send on one connection, and on one stream of it, before they are read.
struct Window {
    stream: u32,
    connection: u32,
}

impl Window {
    /// What one of few connections needs to be fast is too much memory for each of thousands.
    fn of(places: &RecorderPlaces, peer: &Peer) -> Window {
        const FEW: usize = 64;
        if places.connections.in_use_by(peer) <= FEW {
            Window { stream: 1 << 20, connection: 2 << 20 }
        } else {
            Window { stream: 64 << 10, connection: 128 << 10 }
        }
    }
}

/// Small buffers: most connections are idle most of the time.
fn builder(recordings: &Recordings, window: Window) -> auto::Builder<TokioExecutor> {
    let config = recordings.config();
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(config.request_patience)
        .max_buf_size(64 << 10);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(config.ping_every)
        .keep_alive_timeout(config.ping_patience)
        .initial_stream_window_size(window.stream)
        .initial_connection_window_size(window.connection)
        .max_frame_size(64 << 10)
        .max_concurrent_streams(64)
        .max_send_buf_size(16 << 10);
    builder
}

/// HTTP/1.1 has no ping: the system asks whether a silent peer is still there.
fn keep_alive(stream: &TcpStream) {
    let settings = socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(15))
        .with_retries(4);
    if let Err(error) = socket2::SockRef::from(stream).set_tcp_keepalive(&settings) {
        debug!(%error, "a connection has no keep-alive");
    }
}
