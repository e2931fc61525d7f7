//! Connections, as they come: how many at a time, of these how many of one peer, and what becomes of one more.
//!
//! One more is never left in the listener's queue, where it would be in everybody's way: it is told that there is no
//! place, and closed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::fold::Fold;
use crate::places::{Place, Places};
use crate::refusal::{self, Refusal};
use crate::shares::Peer;

/// How long nothing is accepted after the system had no socket left: others have to end first.
const REST: Duration = Duration::from_millis(100);

/// Connections that are told why they are refused at a time; more are closed without a word.
const TOLD_AT_ONCE: usize = 64;

/// Accepts connections for as long as it is awaited, and serves each that finds a place in a task of `open`; it never
/// ends by itself. When it is dropped the port is closed, and what is open goes on.
pub async fn accept<S, F>(
    listener: TcpListener,
    places: &Places,
    refusal: Refusal,
    open: &TaskTracker,
    serve: S,
) where
    S: Fn(TcpStream, SocketAddr, Place) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let (told, refused) = (Arc::new(Semaphore::new(TOLD_AT_ONCE)), Fold::default());
    loop {
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                let peer = Peer::of(std::net::Ipv4Addr::UNSPECIFIED.into());
                if let Some(left_out) = refused.line(&peer, Instant::now()) {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, left_out, "a connection could not be accepted");
                }
                tokio::time::sleep(REST).await;
                continue;
            }
        };
        let peer = Peer::at(address);
        let place = match places.take(&peer) {
            Ok(place) => place,
            Err(full) => {
                if let Some(left_out) = refused.line(&peer, Instant::now()) {
                    tracing::warn!(peer = %address, reason = %full, left_out, "a connection was turned away");
                }
                if refusal == Refusal::Http
                    && let Ok(turn) = told.clone().try_acquire_owned()
                {
                    open.spawn(async move {
                        refusal::by_http(stream, &full.to_string()).await;
                        drop(turn);
                    });
                }
                continue;
            }
        };
        // Small answers should not wait for more; where it can't be set it only costs time.
        let _slower = stream.set_nodelay(true);
        open.spawn(serve(stream, address, place));
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpSocket;
    use tokio::task::JoinHandle;

    use super::*;
    use crate::places::{Limits, Sort};
    use crate::shares::{Share, Shares};

    /// Says hello, and goodbye once the other side has nothing more to say.
    async fn hello(mut stream: TcpStream, _peer: SocketAddr, _place: Place) {
        stream.write_all(b"hello").await.unwrap();
        stream.read_to_end(&mut Vec::new()).await.unwrap();
        stream.write_all(b"bye").await.unwrap();
    }

    async fn listening(
        total: usize,
        share: Share,
        refusal: Refusal,
    ) -> (SocketAddr, TaskTracker, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, open) = (listener.local_addr().unwrap(), TaskTracker::new());
        let limits = Limits { shares: Shares::each(share), ..Limits::default() };
        let places = Places::new("test", Sort::CONNECTIONS, total, &limits);
        let tasks = open.clone();
        let accepting = async move { accept(listener, &places, refusal, &tasks, hello).await };
        (address, open, tokio::spawn(accepting))
    }

    /// A connection from 127.0.0.`last`.
    async fn connected(address: SocketAddr, last: u8) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, last], 0))).unwrap();
        socket.connect(address).await.unwrap()
    }

    async fn greeted(address: SocketAddr, last: u8) -> TcpStream {
        let mut stream = connected(address, last).await;
        let mut heard = [0; 5];
        stream.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"hello");
        stream
    }

    /// What comes before the end of a connection whose side of it is done.
    async fn rest(mut stream: TcpStream) -> String {
        stream.shutdown().await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn one_more_is_turned_away_and_a_later_one_is_not() {
        let (address, open, _accepting) = listening(1, Share::ALL, Refusal::Close).await;
        let first = greeted(address, 1).await;
        let mut second = connected(address, 2).await;
        assert_eq!(second.read(&mut [0; 5]).await.unwrap(), 0);
        assert_eq!(rest(first).await, "bye");
        open.close();
        open.wait().await;
        greeted(address, 2).await;
    }

    #[tokio::test]
    async fn one_address_can_not_take_the_places_of_another() {
        let half = Share::thousandths(500).unwrap();
        let (address, _open, _accepting) = listening(8, half, Refusal::Http).await;
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(greeted(address, 1).await);
        }
        let mut refused = connected(address, 1).await;
        refused.write_all(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n").await.unwrap();
        let text = rest(refused).await;
        assert!(text.starts_with("HTTP/1.1 503 "), "{text}");
        assert!(text.contains("\r\nRetry-After: 10\r\n"), "{text}");
        assert!(text.contains("127.0.0.1 holds 4 connections, which is one peer's share of 8"), "{text}");
        assert_eq!(rest(greeted(address, 2).await).await, "bye");
    }

    #[tokio::test]
    async fn who_speaks_http_2_is_told_so_in_its_own_frames() {
        let (address, _open, _accepting) = listening(1, Share::ALL, Refusal::Http).await;
        let _first = greeted(address, 1).await;
        let mut refused = connected(address, 2).await;
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
        let (address, open, accepting) = listening(8, Share::ALL, Refusal::Close).await;
        let first = greeted(address, 1).await;
        accepting.abort();
        accepting.await.unwrap_err();
        TcpStream::connect(address).await.unwrap_err();
        assert_eq!(rest(first).await, "bye");
        open.close();
        open.wait().await;
    }
}
