//! HTTP/1.1 and HTTP/2 on a port, in the clear or over TLS.
//!
//! - From the accept to the end of the first request's head there is one deadline, [`HEADER_TIME`], whatever is said
//!   until then: nothing, half a handshake, half a preface, half a head. Later heads have as long each.
//! - A connection over which nothing is asked for [`IDLE_TIME`] ends, and so does a peer that answers no ping of HTTP/2.
//! - Connections and requests have places ([`Places`]), of which a peer has a share; one more is answered with 503.
//! - On stop, answers that have begun get [`DRAIN_TIME`] to finish; what is left then is cut.

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
use crate::activity::{Activity, InUse, Patience, Unused};
use crate::fold::Fold;
use crate::places::{Full, Limits, Place, Places, Sort};
use crate::refusal::{RETRY_AFTER, Refusal};
use crate::shares::Peer;

/// How long a peer may take from the accept to the end of its first request's head, and for each later head.
pub const HEADER_TIME: Duration = Duration::from_secs(15);

/// How long a connection may be without a request.
pub const IDLE_TIME: Duration = Duration::from_secs(60);

/// How long answers that have begun may take after a stop.
pub const DRAIN_TIME: Duration = Duration::from_secs(3);

/// How often a peer on HTTP/2 is asked whether it is still there.
const PING_EVERY: Duration = Duration::from_secs(30);

/// Our end of the connection that a request came by: among its extensions, as its peer's ([`ConnectInfo`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalAddress(pub SocketAddr);

/// A port on which HTTP is spoken, and how much of it at a time.
pub struct HttpPort {
    /// The port.
    pub listener: TcpListener,
    /// What answers TLS; without it, HTTP is spoken in the clear.
    pub tls: Option<TlsAcceptor>,
    /// What is served on it at a time.
    pub places: PortPlaces,
    /// How long its peers are waited for.
    pub times: PortTimes,
}

/// What is served on a port at a time; cheap to clone, for ports that share their places.
#[derive(Debug, Clone)]
pub struct PortPlaces {
    /// Connections.
    pub connections: Places,
    /// Requests, of all connections together.
    pub requests: Places,
    /// Requests of one connection.
    pub streams: u32,
}

impl PortPlaces {
    /// So many connections and requests of a port that is called `port` at `/metrics`.
    pub fn new(port: &str, connections: usize, requests: usize, streams: u32, limits: &Limits) -> Self {
        Self {
            connections: Places::new(port, Sort::CONNECTIONS, connections, limits),
            requests: Places::new(port, Sort::REQUESTS, requests, limits),
            streams,
        }
    }
}

/// How long the peers of a port are waited for.
#[derive(Debug, Clone, Copy)]
pub struct PortTimes {
    /// See [`HEADER_TIME`].
    pub header: Duration,
    /// See [`IDLE_TIME`].
    pub idle: Duration,
}

impl Default for PortTimes {
    fn default() -> Self {
        Self { header: HEADER_TIME, idle: IDLE_TIME }
    }
}

/// The place of a request, which every request brings along: whoever finds out who asks can count it for them.
#[derive(Debug, Clone)]
pub struct RequestPlace(Arc<Place>);

impl RequestPlace {
    /// Counts the request for somebody who is known, instead of for its address.
    pub fn count_for(&self, peer: &Peer) -> Result<(), Full> {
        self.0.count_for(peer)
    }
}

impl HttpPort {
    /// Serves `router`, whose requests know both ends of their connection ([`ConnectInfo`], [`LocalAddress`]) and their
    /// place ([`RequestPlace`]), until `stop`.
    pub async fn serve(self, router: Router, stop: CancellationToken) {
        let Self { listener, tls, places, times } = self;
        let (open, failed) = (TaskTracker::new(), Arc::new(Fold::default()));
        let refusal = if tls.is_some() { Refusal::Close } else { Refusal::Http };
        let connection = |stream: TcpStream, peer, place| {
            let talk = Talk {
                peer,
                local: stream.local_addr().ok(),
                router: router.clone(),
                requests: places.requests.clone(),
                streams: places.streams,
                first: Instant::now() + times.header,
                times,
                failed: failed.clone(),
                stop: stop.clone(),
            };
            let tls = tls.clone();
            async move {
                talk.begin(stream, tls).await;
                drop(place);
            }
        };
        let accepting = accept(listener, &places.connections, refusal, &open, connection);
        stop.run_until_cancelled(accepting).await;
        open.close();
        open.wait().await;
    }
}

/// One connection.
struct Talk {
    peer: SocketAddr,
    local: Option<SocketAddr>,
    router: Router,
    requests: Places,
    streams: u32,
    /// By when its first request's head has to be there.
    first: Instant,
    times: PortTimes,
    failed: Arc<Fold>,
    stop: CancellationToken,
}

impl Talk {
    async fn begin(self, stream: TcpStream, tls: Option<TlsAcceptor>) {
        let Some(tls) = tls else { return self.go_on(stream).await };
        let peer = self.peer;
        let handshake = tokio::time::timeout_at(self.first, tls.accept(stream));
        match self.stop.run_until_cancelled(handshake).await {
            Some(Ok(Ok(stream))) => self.go_on(stream).await,
            Some(Ok(Err(error))) => {
                if let Some(left_out) = self.failed.line(&Peer::at(peer), std::time::Instant::now()) {
                    tracing::info!(%peer, %error, left_out, "a TLS handshake failed");
                }
            }
            Some(Err(_)) => tracing::debug!(%peer, "a TLS handshake took too long"),
            None => {}
        }
    }

    async fn go_on<S>(self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { peer, local, router, requests, streams, first, times, stop, .. } = self;
        let activity = Activity::default();
        let used = activity.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            if let Some(local) = local {
                request.extensions_mut().insert(LocalAddress(local));
            }
            let (place, in_use) = (requests.take(&Peer::at(peer)), used.begin());
            let router = router.clone();
            async move { Ok::<_, Infallible>(answer(router, request, peer, place, in_use).await) }
        });
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(times.header);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(streams)
            .keep_alive_interval(PING_EVERY);
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let patience = Patience { first, idle: times.idle };
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            unused = activity.unused(patience) => {
                if unused == Unused::NeverAsked {
                    return tracing::debug!(%peer, "a connection was closed: no request came in time");
                }
                connection.as_mut().graceful_shutdown();
                let patience = Patience { first, idle: DRAIN_TIME };
                tokio::select! {
                    ended = connection.as_mut() => ended,
                    _ = activity.unused(patience) => return,
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

async fn answer(
    router: Router,
    request: Request<Incoming>,
    peer: SocketAddr,
    place: Result<Place, Full>,
    in_use: InUse,
) -> Response<Held> {
    let (response, place) = match place {
        Ok(place) => {
            let place = RequestPlace(Arc::new(place));
            let mut request = request.map(axum::body::Body::new);
            request.extensions_mut().insert(ConnectInfo(peer));
            request.extensions_mut().insert(place.clone());
            (router.oneshot(request).await.unwrap_or_else(|never: Infallible| match never {}), Some(place))
        }
        Err(full) => (refused(&full), None),
    };
    response.map(|body| Held { body, _place: place, _in_use: in_use })
}

/// What a request is answered for which there is no place.
fn refused(full: &Full) -> axum::response::Response {
    let headers = [(header::RETRY_AFTER, RETRY_AFTER)];
    (StatusCode::SERVICE_UNAVAILABLE, headers, format!("{full}\n")).into_response()
}

/// An answer that has its request's place until it is sent or given up.
struct Held {
    body: axum::body::Body,
    _place: Option<RequestPlace>,
    _in_use: InUse,
}

impl Body for Held {
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
        places: PortPlaces,
    }

    async fn serving(router: Router, requests: usize, times: PortTimes) -> Serving {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let places = PortPlaces::new("test", 64, requests, 8, &Limits::default());
        let port = HttpPort { listener, tls: None, places: places.clone(), times };
        let task = tokio::spawn(port.serve(router, stop.clone()));
        Serving { address, stop, task, places }
    }

    async fn asked(address: SocketAddr) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n").await.unwrap();
        stream
    }

    async fn to_the_end(mut stream: TcpStream) -> Vec<u8> {
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
            serving(Router::new().route("/", get(answer)), 64, PortTimes::default()).await;

        let mut idle = TcpStream::connect(address).await.unwrap();
        let mut one = asked(address).await;
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
        let times = PortTimes { header: Duration::from_millis(80), ..PortTimes::default() };
        let port = serving(Router::new(), 64, times).await;
        let mut streams = Vec::new();
        for begun in
            [&b""[..], b"G", b"GET / HTTP/1.1\r\nHost: he", b"PRI * HTTP/2.0", &PREFACE[..24], PREFACE]
        {
            let mut stream = TcpStream::connect(port.address).await.unwrap();
            stream.write_all(begun).await.unwrap();
            streams.push(stream);
        }
        for stream in streams {
            to_the_end(stream).await;
        }
        port.stop.cancel();
        port.task.await.unwrap();
        assert_eq!(port.places.connections.taken(), 0);
    }

    #[tokio::test]
    async fn a_head_that_drips_is_closed_at_the_same_deadline() {
        let times = PortTimes { header: Duration::from_millis(200), ..PortTimes::default() };
        let port = serving(Router::new(), 64, times).await;
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
        assert!(began.elapsed() >= times.header);
    }

    #[tokio::test]
    async fn an_http_2_connection_that_is_idle_ends() {
        let times = PortTimes { idle: Duration::from_millis(50), ..PortTimes::default() };
        let port = serving(Router::new().route("/", get(async || "hello")), 64, times).await;
        let mut stream = TcpStream::connect(port.address).await.unwrap();
        stream.write_all(PREFACE).await.unwrap();
        // GET / with Host x, the whole request in one frame.
        let headers = b"\x82\x86\x84\x01\x01x";
        stream.write_all(&[&[0, 0, 6, 1, 5, 0, 0, 0, 1][..], headers].concat()).await.unwrap();
        let heard = to_the_end(stream).await;
        assert!(heard.windows(5).any(|part| part == b"hello"), "it was answered before");
    }

    #[tokio::test]
    async fn requests_beyond_a_peers_share_are_refused_and_a_known_peer_has_its_own() {
        let (begun, go_on) = (Arc::new(tokio::sync::Semaphore::new(0)), CancellationToken::new());
        let (begins, until) = (begun.clone(), go_on.clone());
        let wait = async move |axum::Extension(place): axum::Extension<RequestPlace>| {
            let known = place.count_for(&Peer::known(Identity::new("one", [])));
            begins.add_permits(1);
            until.cancelled().await;
            known.map_or_else(|full| full.to_string(), |()| "counted".to_owned())
        };
        let port = serving(
            Router::new().route("/", get(wait)).route("/free", get(async || "")),
            16,
            PortTimes::default(),
        )
        .await;
        // Two are the share of a sixteenth: known ones make room for two more of the same address.
        let mut streams = Vec::new();
        for _ in 0..4 {
            streams.push(asked(port.address).await);
            begun.acquire().await.unwrap().forget();
        }
        let mut one_more = asked(port.address).await;
        let mut told = vec![0; 12];
        one_more.read_exact(&mut told).await.unwrap();
        assert_eq!(told, b"HTTP/1.1 503");
        go_on.cancel();
        port.stop.cancel();
        let mut counted = Vec::new();
        for stream in streams {
            let told = String::from_utf8(to_the_end(stream).await).unwrap();
            counted.push(told.ends_with("counted"));
        }
        assert_eq!(counted, [true, true, false, false]);
        port.task.await.unwrap();
        assert_eq!(port.places.requests.taken(), 0);
    }
}
