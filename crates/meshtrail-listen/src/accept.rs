//! Connections, as they come: how many at a time, and what becomes of one more.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

/// How long nothing is accepted after the system had no socket left: others have to end first.
const REST: Duration = Duration::from_millis(100);

/// How many connections are open at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// One more waits in the listener's queue.
    Waits(usize),
    /// One more is closed at once, so that its sender goes elsewhere.
    TurnsAway(usize),
}

/// Accepts connections for as long as it is awaited, and serves each in a task of `open`; it never ends by itself. When
/// it is dropped the port is closed, and what is open goes on.
pub async fn accept<S, F>(listener: TcpListener, bound: Bound, open: &TaskTracker, serve: S)
where
    S: Fn(TcpStream, SocketAddr) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let (Bound::Waits(most) | Bound::TurnsAway(most)) = bound;
    let places = Arc::new(Semaphore::new(most));
    loop {
        let waited_for = match bound {
            Bound::Waits(_) => {
                Some(places.clone().acquire_owned().await.expect("the places are never closed"))
            }
            Bound::TurnsAway(_) => None,
        };
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "a connection could not be accepted"
                );
                tokio::time::sleep(REST).await;
                continue;
            }
        };
        let Some(place) = waited_for.or_else(|| places.clone().try_acquire_owned().ok()) else {
            tracing::warn!(%peer, "a connection was turned away: too many are open");
            continue;
        };
        // Small answers should not wait for more; where it can't be set it only costs time.
        let _slower = stream.set_nodelay(true);
        let served = serve(stream, peer);
        open.spawn(async move {
            served.await;
            drop(place);
        });
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::task::JoinHandle;

    use super::*;

    /// Says hello, and goodbye once the other side has nothing more to say.
    async fn hello(mut stream: TcpStream, _peer: SocketAddr) {
        stream.write_all(b"hello").await.unwrap();
        stream.read_to_end(&mut Vec::new()).await.unwrap();
        stream.write_all(b"bye").await.unwrap();
    }

    async fn listening(bound: Bound) -> (SocketAddr, TaskTracker, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, open) = (listener.local_addr().unwrap(), TaskTracker::new());
        let tasks = open.clone();
        (address, open, tokio::spawn(async move { accept(listener, bound, &tasks, hello).await }))
    }

    async fn greeted(address: SocketAddr) -> TcpStream {
        hears_hello(TcpStream::connect(address).await.unwrap()).await
    }

    async fn hears_hello(mut stream: TcpStream) -> TcpStream {
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
    async fn one_more_waits_until_another_ends() {
        let (address, open, _accepting) = listening(Bound::Waits(2)).await;
        let mut streams = Vec::new();
        for _ in 0..4 {
            streams.push(TcpStream::connect(address).await.unwrap());
        }
        for stream in streams {
            let stream = hears_hello(stream).await;
            assert!(open.len() <= 2, "{} are served", open.len());
            assert_eq!(rest(stream).await, "bye");
        }
    }

    #[tokio::test]
    async fn one_more_is_turned_away_and_a_later_one_is_not() {
        let (address, open, _accepting) = listening(Bound::TurnsAway(1)).await;
        let first = greeted(address).await;
        let mut second = TcpStream::connect(address).await.unwrap();
        assert_eq!(second.read(&mut [0; 5]).await.unwrap(), 0);
        assert_eq!(rest(first).await, "bye");
        open.close();
        open.wait().await;
        greeted(address).await;
    }

    #[tokio::test]
    async fn what_is_open_goes_on_when_nothing_is_accepted_any_more() {
        let (address, open, accepting) = listening(Bound::Waits(8)).await;
        let first = greeted(address).await;
        accepting.abort();
        accepting.await.unwrap_err();
        TcpStream::connect(address).await.unwrap_err();
        assert_eq!(rest(first).await, "bye");
        open.close();
        open.wait().await;
    }
}
