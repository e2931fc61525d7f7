//! Taking connections for receivers, in the clear or over TLS.
//!
//! - At most [`MAX_CONNECTIONS`] for each receiver; one more waits in the listener's queue.
//! - A handshake or a request's headers that do not come within [`HEADER_TIME`] end the connection.
//! - On stop, answers that have begun get [`DRAIN_TIME`] to finish.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

/// How many connections one receiver serves at a time.
const MAX_CONNECTIONS: usize = 1024;
/// How long a handshake, and a request's headers, may take.
const HEADER_TIME: Duration = Duration::from_secs(15);
/// How long answers that have begun may take after a stop.
const DRAIN_TIME: Duration = Duration::from_secs(3);

/// A place where a receiver listens.
pub(crate) struct Door {
    pub(crate) listener: TcpListener,
    pub(crate) tls: Option<TlsAcceptor>,
}

/// Serves `router` at the door until `stop`.
pub(crate) async fn serve(door: Door, router: Router, stop: CancellationToken) {
    let listener = match tokio::net::TcpListener::from_std(door.listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "a receiver can't listen");
            return;
        }
    };
    let (places, tasks) = (Arc::new(Semaphore::new(MAX_CONNECTIONS)), TaskTracker::new());
    loop {
        let place = tokio::select! {
            () = stop.cancelled() => break,
            place = places.clone().acquire_owned() => place.expect("the semaphore is never closed"),
        };
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                // Small answers should not wait for more; where it can't be set it only costs time.
                let _slower = stream.set_nodelay(true);
                let (router, tls, stop) = (router.clone(), door.tls.clone(), stop.clone());
                tasks.spawn(async move {
                    match tls {
                        None => connection(stream, peer, router, stop).await,
                        Some(tls) => match tokio::time::timeout(HEADER_TIME, tls.accept(stream)).await {
                            Ok(Ok(stream)) => connection(stream, peer, router, stop).await,
                            Ok(Err(error)) => tracing::info!(%peer, %error, "a TLS handshake failed"),
                            Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
                        },
                    }
                    drop(place);
                });
            }
            Err(error) => {
                // Out of file descriptors, mostly: others have to end first.
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "a connection could not be accepted"
                );
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    tasks.close();
    if tokio::time::timeout(DRAIN_TIME, tasks.wait()).await.is_err() {
        tracing::info!(connections = tasks.len(), "connections were cut that had not finished");
    }
}

async fn connection<S>(stream: S, peer: SocketAddr, router: Router, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = router.map_request(move |mut request: http::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        request.map(axum::body::Body::new)
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIME);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(16);
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            match tokio::time::timeout(DRAIN_TIME, connection.as_mut()).await {
                Ok(ended) => ended,
                Err(_) => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, error, "connection ended early");
    }
}
