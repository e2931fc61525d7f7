//! HTTP/1.1 and HTTP/2 on a port, with TLS or without.
//!
//! - From the accept to the end of the first request's head there is one deadline, [`HEADER_TIME`], whatever is sent until
//!   then: nothing, half a handshake, half a preface, half a head. Each later head has as long.
//! - A connection is closed after [`IDLE_TIME`] without a request, or if an HTTP/2 ping is not answered.
//! - Connections and requests take slots ([`Slots`]), of which a peer has a share; beyond them the answer is 503.
//! - On stop, answers that have begun get [`DRAIN_TIME`] to finish, then their connections are cut.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::response::IntoResponse as _;
use http::{Request, Response, StatusCode, header};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use crate::accept::accept;
use crate::idle::{IdleLimits, IdleReason, RequestActivity, RequestGuard};
use crate::log_throttle::LogThrottle;
use crate::refusal::{RETRY_AFTER, Refusal};
use crate::shares::Peer;
use crate::slots::{Limits, Slot, SlotKind, Slots, SlotsFull};

/// The time from the accept to the end of the first request's head, and for each later head.
pub const HEADER_TIME: Duration = Duration::from_secs(15);

/// The longest time without a request.
pub const IDLE_TIME: Duration = Duration::from_secs(60);

/// The time for answers that have begun after a stop.
pub const DRAIN_TIME: Duration = Duration::from_secs(3);

/// The interval of HTTP/2 pings.
const PING_EVERY: Duration = Duration::from_secs(30);

/// The local address of a request's connection: a request extension, like the peer's address ([`ConnectInfo`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalAddress(pub SocketAddr);

/// An HTTP port and its limits.
pub struct HttpPort {
    /// The bound port.
    pub listener: TcpListener,
    /// The TLS acceptor; if none, the port speaks plain HTTP.
    pub tls: Option<TlsAcceptor>,
    /// The limits on connections and requests.
    pub slots: PortSlots,
    /// The timeouts.
    pub timeouts: PortTimeouts,
}

/// The slots of a port; cheap to clone, for ports that share them.
#[derive(Debug, Clone)]
pub struct PortSlots {
    /// Slots of connections.
    pub connections: Slots,
    /// Slots of requests, over all connections.
    pub requests: Slots,
    /// Concurrent requests of one connection.
    pub streams: u32,
}

impl PortSlots {
    /// Slots for so many connections and requests; `port` is the label in metrics.
    pub fn new(port: &str, connections: usize, requests: usize, streams: u32, limits: &Limits) -> Self {
        Self {
            connections: Slots::new(port, SlotKind::CONNECTIONS, connections, limits),
            requests: Slots::new(port, SlotKind::REQUESTS, requests, limits),
            streams,
        }
    }
}

/// The timeouts of a port.
#[derive(Debug, Clone, Copy)]
pub struct PortTimeouts {
    /// See [`HEADER_TIME`].
    pub header: Duration,
    /// See [`IDLE_TIME`].
    pub idle: Duration,
}

impl Default for PortTimeouts {
    fn default() -> Self {
        Self { header: HEADER_TIME, idle: IDLE_TIME }
    }
}

/// The slot of a request, a request extension: authentication moves it from the address to the identity.
#[derive(Debug, Clone)]
pub struct RequestSlot(Arc<Slot>);

impl RequestSlot {
    /// Counts the request for an identity instead of its address.
    pub fn assign_to(&self, peer: &Peer) -> Result<(), SlotsFull> {
        self.0.assign_to(peer)
    }
}

impl HttpPort {
    /// Serves `router` until `stop`. Requests have both addresses of their connection ([`ConnectInfo`], [`LocalAddress`])
    /// and their slot ([`RequestSlot`]) as extensions.
    pub async fn serve(self, router: Router, stop: CancellationToken) {
        let Self { listener, tls, slots, timeouts } = self;
        let (open, failed_handshakes) = (TaskTracker::new(), Arc::new(LogThrottle::default()));
        let refusal = if tls.is_some() { Refusal::Close } else { Refusal::Http };
        let connection = |stream: TcpStream, peer, slot| {
            let connection = Connection {
                peer,
                local: stream.local_addr().ok(),
                router: router.clone(),
                requests: slots.requests.clone(),
                streams: slots.streams,
                first: Instant::now() + timeouts.header,
                timeouts,
                failed_handshakes: failed_handshakes.clone(),
                stop: stop.clone(),
            };
            let tls = tls.clone();
            async move {
                connection.begin(stream, tls).await;
                drop(slot);
            }
        };
        let accepting = accept(listener, &slots.connections, refusal, &open, connection);
        stop.run_until_cancelled(accepting).await;
        open.close();
        open.wait().await;
    }
}

/// One connection.
struct Connection {
    peer: SocketAddr,
    local: Option<SocketAddr>,
    router: Router,
    requests: Slots,
    streams: u32,
    /// The deadline of its first request's head.
    first: Instant,
    timeouts: PortTimeouts,
    failed_handshakes: Arc<LogThrottle>,
    stop: CancellationToken,
}

impl Connection {
    async fn begin(self, stream: TcpStream, tls: Option<TlsAcceptor>) {
        let Some(tls) = tls else { return self.serve(stream).await };
        let peer = self.peer;
        let handshake = tokio::time::timeout_at(self.first, tls.accept(stream));
        match self.stop.run_until_cancelled(handshake).await {
            Some(Ok(Ok(stream))) => self.serve(stream).await,
            Some(Ok(Err(error))) => {
                if let Some(left_out) =
                    self.failed_handshakes.allow(&Peer::from_socket(peer), std::time::Instant::now())
                {
                    tracing::info!(%peer, %error, left_out, "a TLS handshake failed");
                }
            }
            Some(Err(_)) => tracing::debug!(%peer, "a TLS handshake took too long"),
            None => {}
        }
    }

    async fn serve<S>(self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { peer, local, router, requests, streams, first, timeouts, stop, .. } = self;
        let activity = RequestActivity::default();
        let used = activity.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            if let Some(local) = local {
                request.extensions_mut().insert(LocalAddress(local));
            }
            let (slot, in_use) = (requests.acquire(&Peer::from_socket(peer)), used.begin());
            let router = router.clone();
            async move { Ok::<_, Infallible>(respond(router, request, peer, slot, in_use).await) }
        });
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(timeouts.header);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(streams)
            .keep_alive_interval(PING_EVERY);
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let limits = IdleLimits { first, idle: timeouts.idle };
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            reason = activity.wait_until_idle(limits) => {
                if reason == IdleReason::NoRequest {
                    return tracing::debug!(%peer, "a connection was closed: no request came in time");
                }
                connection.as_mut().graceful_shutdown();
                let limits = IdleLimits { first, idle: DRAIN_TIME };
                tokio::select! {
                    ended = connection.as_mut() => ended,
                    _ = activity.wait_until_idle(limits) => return,
                    () = stop.cancelled() => return,
                }
            }
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                match tokio::time::timeout(DRAIN_TIME, connection.as_mut()).await {
                    Ok(ended) => ended,
                    Err(_) => return tracing::info!(%peer, "a connection was cut that had not finished"),
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, error, "a connection ended early");
        }
    }
}

async fn respond(
    router: Router,
    request: Request<Incoming>,
    peer: SocketAddr,
    slot: Result<Slot, SlotsFull>,
    in_use: RequestGuard,
) -> Response<GuardedBody> {
    let (response, slot) = match slot {
        Ok(slot) => {
            let slot = RequestSlot(Arc::new(slot));
            let mut request = request.map(axum::body::Body::new);
            request.extensions_mut().insert(ConnectInfo(peer));
            request.extensions_mut().insert(slot.clone());
            (router.oneshot(request).await.unwrap_or_else(|never: Infallible| match never {}), Some(slot))
        }
        Err(full) => (unavailable(&full), None),
    };
    response.map(|body| GuardedBody { body, _slot: slot, _in_use: in_use })
}

/// The answer to a request without a slot.
fn unavailable(full: &SlotsFull) -> axum::response::Response {
    let headers = [(header::RETRY_AFTER, RETRY_AFTER)];
    (StatusCode::SERVICE_UNAVAILABLE, headers, format!("{full}\n")).into_response()
}

/// The body of an answer, which holds its request's slot until it is sent or dropped.
struct GuardedBody {
    body: axum::body::Body,
    _slot: Option<RequestSlot>,
    _in_use: RequestGuard,
}

impl Body for GuardedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::shares::Identity;

    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

    struct Serving {
        address: SocketAddr,
        stop: CancellationToken,
        task: tokio::task::JoinHandle<()>,
        slots: PortSlots,
    }

    async fn start_server(router: Router, requests: usize, timeouts: PortTimeouts) -> Serving {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let slots = PortSlots::new("test", 64, requests, 8, &Limits::default());
        let port = HttpPort { listener, tls: None, slots: slots.clone(), timeouts };
        let task = tokio::spawn(port.serve(router, stop.clone()));
        Serving { address, stop, task, slots }
    }

    async fn send_request(address: SocketAddr) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n").await.unwrap();
        stream
    }

    async fn read_to_end(mut stream: TcpStream) -> Vec<u8> {
        let mut heard = Vec::new();
        // A connection that is cut over unread bytes ends with an error, which is an end.
        drop(stream.read_to_end(&mut heard).await);
        heard
    }

    #[tokio::test]
    async fn a_stop_lets_an_answer_finish_and_takes_nobody_else() {
        let (begun, go_on) = (CancellationToken::new(), CancellationToken::new());
        let (begins, until) = (begun.clone(), go_on.clone());
        let answer = async move |ConnectInfo(peer): ConnectInfo<SocketAddr>| {
            begins.cancel();
            until.cancelled().await;
            peer.to_string()
        };
        let Serving { address, stop, task, .. } =
            start_server(Router::new().route("/", get(answer)), 64, PortTimeouts::default()).await;

        let mut idle = TcpStream::connect(address).await.unwrap();
        let mut one = send_request(address).await;
        begun.cancelled().await;
        stop.cancel();
        assert_eq!(idle.read(&mut [0; 8]).await.unwrap(), 0, "who asks nothing is not waited for");
        go_on.cancel();
        let mut told = String::new();
        one.read_to_string(&mut told).await.unwrap();
        assert!(told.starts_with("HTTP/1.1 200"), "{told}");
        assert!(told.ends_with(&one.local_addr().unwrap().to_string()), "{told}");
        task.await.unwrap();
        TcpStream::connect(address).await.unwrap_err();
    }

    #[tokio::test]
    async fn whatever_is_no_whole_head_by_the_deadline_is_closed() {
        let timeouts = PortTimeouts { header: Duration::from_millis(80), ..PortTimeouts::default() };
        let port = start_server(Router::new(), 64, timeouts).await;
        let mut streams = Vec::new();
        for begun in
            [&b""[..], b"G", b"GET / HTTP/1.1\r\nHost: he", b"PRI * HTTP/2.0", &PREFACE[..24], PREFACE]
        {
            let mut stream = TcpStream::connect(port.address).await.unwrap();
            stream.write_all(begun).await.unwrap();
            streams.push(stream);
        }
        for stream in streams {
            read_to_end(stream).await;
        }
        port.stop.cancel();
        port.task.await.unwrap();
        assert_eq!(port.slots.connections.in_use(), 0);
    }

    #[tokio::test]
    async fn a_head_that_drips_is_closed_at_the_same_deadline() {
        let timeouts = PortTimeouts { header: Duration::from_millis(200), ..PortTimeouts::default() };
        let port = start_server(Router::new(), 64, timeouts).await;
        let mut stream = TcpStream::connect(port.address).await.unwrap();
        let began = Instant::now();
        let dripping = async {
            for byte in PREFACE.iter().cycle() {
                if stream.write_all(&[*byte]).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(15)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), dripping).await.expect("it is closed");
        assert!(began.elapsed() >= timeouts.header);
    }

    #[tokio::test]
    async fn an_http_2_connection_that_is_idle_ends() {
        let timeouts = PortTimeouts { idle: Duration::from_millis(50), ..PortTimeouts::default() };
        let port = start_server(Router::new().route("/", get(async || "hello")), 64, timeouts).await;
        let mut stream = TcpStream::connect(port.address).await.unwrap();
        stream.write_all(PREFACE).await.unwrap();
        // GET / with Host x, the whole request in one frame.
        let headers = b"\x82\x86\x84\x01\x01x";
        stream.write_all(&[&[0, 0, 6, 1, 5, 0, 0, 0, 1][..], headers].concat()).await.unwrap();
        let heard = read_to_end(stream).await;
        assert!(heard.windows(5).any(|part| part == b"hello"), "it was answered before");
    }

    #[tokio::test]
    async fn requests_beyond_a_peers_share_are_refused_and_a_known_peer_has_its_own() {
        let (begun, go_on) = (Arc::new(tokio::sync::Semaphore::new(0)), CancellationToken::new());
        let (begins, until) = (begun.clone(), go_on.clone());
        let wait = async move |axum::Extension(slot): axum::Extension<RequestSlot>| {
            let known = slot.assign_to(&Peer::from_identity(Identity::new("one", [])));
            begins.add_permits(1);
            until.cancelled().await;
            known.map_or_else(|full| full.to_string(), |()| "counted".to_owned())
        };
        let port = start_server(
            Router::new().route("/", get(wait)).route("/free", get(async || "")),
            16,
            PortTimeouts::default(),
        )
        .await;
        // Two are the share of a sixteenth: known ones make room for two more of the same address.
        let mut streams = Vec::new();
        for _ in 0..4 {
            streams.push(send_request(port.address).await);
            begun.acquire().await.unwrap().forget();
        }
        let mut one_more = send_request(port.address).await;
        let mut told = vec![0; 12];
        one_more.read_exact(&mut told).await.unwrap();
        assert_eq!(told, b"HTTP/1.1 503");
        go_on.cancel();
        port.stop.cancel();
        let mut counted = Vec::new();
        for stream in streams {
            let told = String::from_utf8(read_to_end(stream).await).unwrap();
            counted.push(told.ends_with("counted"));
        }
        assert_eq!(counted, [true, true, false, false]);
        port.task.await.unwrap();
        assert_eq!(port.slots.requests.in_use(), 0);
    }
}
