//! A refusal in the words of the protocol that is spoken, before anything of it is served.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// In which words one more connection is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// In none: it is closed.
    Close,
    /// By HTTP/1.1 or HTTP/2, whichever it begins with.
    Http,
}

/// How long telling it may take.
const TIME: Duration = Duration::from_secs(2);

/// How much is read of what the other side sends: a connection that is closed over unread bytes loses the answer.
const READ_ON: u64 = 64 << 10;

/// Seconds after which to come again.
pub(crate) const RETRY_AFTER: &str = "10";

/// Tells a peer that it is refused, and closes.
pub(crate) async fn by_http(stream: TcpStream, words: &str) {
    // Who does not listen has heard enough.
    drop(tokio::time::timeout(TIME, tell(stream, words)).await);
}

async fn tell(mut stream: TcpStream, words: &str) -> io::Result<()> {
    let mut first = [0; 24];
    let heard = stream.read(&mut first).await?;
    let answer = if first[..heard].starts_with(b"PRI ") { http_2(words) } else { http_1(words) };
    stream.write_all(&answer).await?;
    stream.shutdown().await?;
    tokio::io::copy(&mut stream.take(READ_ON), &mut tokio::io::sink()).await?;
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

/// Settings, then GOAWAY (RFC 9113, section 6.8): no stream was looked at, so all of it can be tried elsewhere.
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
