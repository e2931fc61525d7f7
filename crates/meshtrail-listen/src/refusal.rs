//! Refusing a connection with an error in its protocol, before anything is served.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How a connection beyond the limits is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Closed without an error.
    Close,
    /// With an error in HTTP/1.1 or HTTP/2, whichever the client begins with.
    Http,
}

/// The time limit of sending the error.
const SEND_TIME: Duration = Duration::from_secs(2);

/// Bytes that are read before closing: closing with unread bytes resets the connection, which loses the error.
const MAX_UNREAD: u64 = 64 << 10;

/// The value of `Retry-After`, in seconds.
pub(crate) const RETRY_AFTER: &str = "10";

/// Sends an error to a peer, and closes the connection.
pub(crate) async fn refuse_over_http(stream: TcpStream, words: &str) {
    // A peer that does not read in time gets no error.
    drop(tokio::time::timeout(SEND_TIME, send_refusal(stream, words)).await);
}

async fn send_refusal(mut stream: TcpStream, words: &str) -> io::Result<()> {
    let mut first = [0; 24];
    let heard = stream.read(&mut first).await?;
    let answer = if first[..heard].starts_with(b"PRI ") { http_2(words) } else { http_1(words) };
    stream.write_all(&answer).await?;
    stream.shutdown().await?;
    tokio::io::copy(&mut stream.take(MAX_UNREAD), &mut tokio::io::sink()).await?;
    Ok(())
}

fn http_1(words: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: {RETRY_AFTER}\r\nConnection: close\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\r\n{words}\n",
        words.len() + 1
    )
    .into_bytes()
}

/// SETTINGS, then GOAWAY (RFC 9113, section 6.8) with last stream 0: the client may safely retry all requests.
fn http_2(words: &str) -> Vec<u8> {
    const ENHANCE_YOUR_CALM: u8 = 11;
    let words = &words.as_bytes()[..words.len().min(1024)];
    let length = u16::try_from(8 + words.len()).expect("the words were cut").to_be_bytes();
    let mut frames = vec![0, 0, 0, 4, 0, 0, 0, 0, 0];
    frames.extend([0, length[0], length[1], 7, 0, 0, 0, 0, 0]);
    frames.extend([0, 0, 0, 0, 0, 0, 0, ENHANCE_YOUR_CALM]);
    frames.extend(words);
    frames
}
