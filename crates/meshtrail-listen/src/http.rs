//! HTTP/1.1 and HTTP/2 on a port, in the clear or over TLS.
//!
//! - A handshake, or a request's headers, that take longer than [`HEADER_TIME`] end the connection; so does a peer that
//!   answers no ping of HTTP/2.
//! - On stop, answers that have begun get [`DRAIN_TIME`] to finish; what is left then is cut.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use crate::accept::{Bound, accept};

/// How long a handshake, and a request's headers, may take.
pub const HEADER_TIME: Duration = Duration::from_secs(15);

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
    /// Connections at a time; one more waits in the listener's queue.
    pub connections: usize,
    /// Requests at a time on one connection.
    pub streams: u32,
}

impl HttpPort {
    /// Serves `router`, whose requests know both ends of their connection ([`ConnectInfo`], [`LocalAddress`]), until
    /// `stop`.
    pub async fn serve(self, router: Router, stop: CancellationToken) {
        let open = TaskTracker::new();
        let connection = |stream: TcpStream, peer| {
            let local = stream.local_addr().ok();
            let talk =
                Talk { peer, local, router: router.clone(), streams: self.streams, stop: stop.clone() };
            talk.begin(stream, self.tls.clone())
        };
        stop.run_until_cancelled(accept(self.listener, Bound::Waits(self.connections), &open, connection))
            .await;
        open.close();
        open.wait().await;
    }
}

/// One connection.
struct Talk {
    peer: SocketAddr,
    local: Option<SocketAddr>,
    router: Router,
    streams: u32,
    stop: CancellationToken,
}

impl Talk {
    async fn begin(self, stream: TcpStream, tls: Option<TlsAcceptor>) {
        let Some(tls) = tls else { return self.go_on(stream).await };
        let peer = self.peer;
        let handshake = tokio::time::timeout(HEADER_TIME, tls.accept(stream));
        match self.stop.run_until_cancelled(handshake).await {
            Some(Ok(Ok(stream))) => self.go_on(stream).await,
            Some(Ok(Err(error))) => tracing::info!(%peer, %error, "a TLS handshake failed"),
            Some(Err(_)) => tracing::debug!(%peer, "a TLS handshake took too long"),
            None => {}
        }
    }

    async fn go_on<S>(self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { peer, local, router, streams, stop } = self;
        let service = router.map_request(move |mut request: http::Request<hyper::body::Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            if let Some(local) = local {
                request.extensions_mut().insert(LocalAddress(local));
            }
            request.map(axum::body::Body::new)
        });
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIME);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(streams)
            .keep_alive_interval(PING_EVERY);
        let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
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

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    async fn asked(address: SocketAddr) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n").await.unwrap();
        stream
    }

    #[tokio::test]
    async fn a_stop_lets_an_answer_finish_and_takes_nobody_else() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let (begun, go_on) = (CancellationToken::new(), CancellationToken::new());
        let (begins, until) = (begun.clone(), go_on.clone());
        let answer = async move |ConnectInfo(peer): ConnectInfo<SocketAddr>| {
            begins.cancel();
            until.cancelled().await;
            peer.to_string()
        };
        let port = HttpPort { listener, tls: None, connections: 8, streams: 8 };
        let serving = tokio::spawn(port.serve(Router::new().route("/", get(answer)), stop.clone()));

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
        serving.await.unwrap();
        TcpStream::connect(address).await.unwrap_err();
    }
}
