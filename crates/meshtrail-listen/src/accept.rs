//! Accepting connections, within a total limit and a share of it for each peer.
//!
//! A connection beyond the limits is not left in the listener's backlog, where it would delay others: it gets an error and
//! is closed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::log_throttle::LogThrottle;
use crate::refusal::{self, Refusal};
use crate::shares::Peer;
use crate::slots::{Slot, Slots};

/// The pause after a failed `accept`, such as for lack of file descriptors: other connections have to end first.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Connections that get an error at the same time; further ones are closed without one.
const MAX_REFUSALS: usize = 64;

/// Accepts connections and serves each that gets a slot in a task of `open`; never returns. Dropping the future closes the
/// port; open connections continue.
pub async fn accept<S, F>(
    listener: TcpListener,
    slots: &Slots,
    refusal: Refusal,
    open: &TaskTracker,
    serve: S,
) where
    S: Fn(TcpStream, SocketAddr, Slot) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let (refusals, refusal_log) = (Arc::new(Semaphore::new(MAX_REFUSALS)), LogThrottle::default());
    loop {
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                let peer = Peer::from_ip(std::net::Ipv4Addr::UNSPECIFIED.into());
                if let Some(left_out) = refusal_log.allow(&peer, Instant::now()) {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, left_out, "a connection could not be accepted");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let peer = Peer::from_socket(address);
        let slot = match slots.acquire(&peer) {
            Ok(slot) => slot,
            Err(full) => {
                if let Some(left_out) = refusal_log.allow(&peer, Instant::now()) {
                    tracing::warn!(peer = %address, reason = %full, left_out, "a connection was turned away");
                }
                if refusal == Refusal::Http
                    && let Ok(permit) = refusals.clone().try_acquire_owned()
                {
                    open.spawn(async move {
                        refusal::refuse_over_http(stream, &full.to_string()).await;
                        drop(permit);
                    });
                }
                continue;
            }
        };
        // Small answers must not wait in the socket; if it can't be set they are only slower.
        let _slower = stream.set_nodelay(true);
        open.spawn(serve(stream, address, slot));
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpSocket;
    use tokio::task::JoinHandle;

    use super::*;
    use crate::shares::{Share, Shares};
    use crate::slots::{Limits, SlotKind};

    /// Sends `hello`, and `bye` once the other side has shut down its direction.
    async fn greet(mut stream: TcpStream, _peer: SocketAddr, _slot: Slot) {
        stream.write_all(b"hello").await.unwrap();
        stream.read_to_end(&mut Vec::new()).await.unwrap();
        stream.write_all(b"bye").await.unwrap();
    }

    async fn start_server(
        total: usize,
        share: Share,
        refusal: Refusal,
    ) -> (SocketAddr, TaskTracker, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, open) = (listener.local_addr().unwrap(), TaskTracker::new());
        let limits = Limits { shares: Shares::uniform(share), ..Limits::default() };
        let slots = Slots::new("test", SlotKind::CONNECTIONS, total, &limits);
        let tasks = open.clone();
        let accepting = async move { accept(listener, &slots, refusal, &tasks, greet).await };
        (address, open, tokio::spawn(accepting))
    }

    /// A connection from 127.0.0.`last`.
    async fn connect_from(address: SocketAddr, last: u8) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, last], 0))).unwrap();
        socket.connect(address).await.unwrap()
    }

    async fn connect_and_greet(address: SocketAddr, last: u8) -> TcpStream {
        let mut stream = connect_from(address, last).await;
        let mut heard = [0; 5];
        stream.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"hello");
        stream
    }

    /// Shuts down this direction and reads the rest.
    async fn read_to_end(mut stream: TcpStream) -> String {
        stream.shutdown().await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn one_more_is_turned_away_and_a_later_one_is_not() {
        let (address, open, _accepting) = start_server(1, Share::ALL, Refusal::Close).await;
        let first = connect_and_greet(address, 1).await;
        let mut second = connect_from(address, 2).await;
        assert_eq!(second.read(&mut [0; 5]).await.unwrap(), 0);
        assert_eq!(read_to_end(first).await, "bye");
        open.close();
        open.wait().await;
        connect_and_greet(address, 2).await;
    }

    #[tokio::test]
    async fn one_address_can_not_take_the_places_of_another() {
        let half = Share::thousandths(500).unwrap();
        let (address, _open, _accepting) = start_server(8, half, Refusal::Http).await;
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(connect_and_greet(address, 1).await);
        }
        let mut refused = connect_from(address, 1).await;
        refused.write_all(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n").await.unwrap();
        let text = read_to_end(refused).await;
        assert!(text.starts_with("HTTP/1.1 503 "), "{text}");
        assert!(text.contains("\r\nRetry-After: 10\r\n"), "{text}");
        assert!(text.contains("127.0.0.1 holds 4 connections, which is one peer's share of 8"), "{text}");
        assert_eq!(read_to_end(connect_and_greet(address, 2).await).await, "bye");
    }

    #[tokio::test]
    async fn who_speaks_http_2_is_told_so_in_its_own_frames() {
        let (address, _open, _accepting) = start_server(1, Share::ALL, Refusal::Http).await;
        let _first = connect_and_greet(address, 1).await;
        let mut refused = connect_from(address, 2).await;
        refused.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
        let mut heard = Vec::new();
        refused.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard[..9], [0, 0, 0, 4, 0, 0, 0, 0, 0], "settings come first");
        let goaway = &heard[9..];
        assert_eq!((goaway[3], &goaway[9..17]), (7, &[0, 0, 0, 0, 0, 0, 0, 11][..]), "ENHANCE_YOUR_CALM");
        assert_eq!(&goaway[17..], b"all 1 connections are taken; try again later");
        assert_eq!(usize::from(goaway[2]), goaway.len() - 9);
    }

    #[tokio::test]
    async fn what_is_open_goes_on_when_nothing_is_accepted_any_more() {
        let (address, open, accepting) = start_server(8, Share::ALL, Refusal::Close).await;
        let first = connect_and_greet(address, 1).await;
        accepting.abort();
        accepting.await.unwrap_err();
        TcpStream::connect(address).await.unwrap_err();
        assert_eq!(read_to_end(first).await, "bye");
        open.close();
        open.wait().await;
    }
}
