//! Relays bytes between a client and its worker, in both directions, until one of them closes.
//!
//! The worker's messages are tracked, so that the server knows whether it may append an error of its own.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;

/// Bytes that are relayed at a time.
const READ_BYTES: usize = 64 << 10;

/// The side that closed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ClosedBy {
    /// The client.
    Client,
    /// The worker, at the end of a message or within one.
    Worker { at_boundary: bool },
}

/// Relays bytes until one side closes.
pub(super) async fn run(
    client: &mut (impl AsyncRead + AsyncWrite + Unpin),
    worker: &mut UnixStream,
) -> io::Result<ClosedBy> {
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let (mut from_worker, mut to_worker) = worker.split();
    let forwards = async {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let read = from_client.read(&mut buffer).await?;
            // A failed write means that the worker has ended; the other direction returns how.
            if read == 0 || to_worker.write_all(&buffer[..read]).await.is_err() {
                return Ok::<_, io::Error>(read == 0);
            }
        }
    };
    let backwards = async {
        let mut buffer = vec![0; READ_BYTES];
        let mut tracker = MessageTracker::default();
        loop {
            let read = from_worker.read(&mut buffer).await.unwrap_or(0);
            if read == 0 {
                return Ok::<_, io::Error>(ClosedBy::Worker { at_boundary: tracker.at_boundary() });
            }
            tracker.follow(&buffer[..read]);
            to_client.write_all(&buffer[..read]).await?;
            to_client.flush().await?;
        }
    };
    tokio::pin!(forwards, backwards);
    let is_client = tokio::select! {
        is_client = &mut forwards => is_client?,
        end = &mut backwards => return end,
    };
    if is_client { Ok(ClosedBy::Client) } else { backwards.await }
}

/// The position in a stream of messages, each a byte with the type, then a length that includes itself, then the body.
#[derive(Debug, Default)]
struct MessageTracker {
    head: [u8; 5],
    read: usize,
    left: usize,
}

impl MessageTracker {
    fn at_boundary(&self) -> bool {
        self.read == 0 && self.left == 0
    }

    fn follow(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let skipped = self.left.min(bytes.len());
            (self.left, bytes) = (self.left - skipped, &bytes[skipped..]);
            let wanted = if self.left == 0 { (self.head.len() - self.read).min(bytes.len()) } else { 0 };
            self.head[self.read..self.read + wanted].copy_from_slice(&bytes[..wanted]);
            (self.read, bytes) = (self.read + wanted, &bytes[wanted..]);
            if self.read == self.head.len() {
                let [_, length @ ..] = self.head;
                self.left = (u32::from_be_bytes(length) as usize).saturating_sub(4);
                self.read = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_told_apart_however_they_are_cut() {
        let stream = [&b"Z\0\0\0\x05I"[..], b"C\0\0\0\x04", b"D\0\0\0\x06ab"].concat();
        let boundaries: Vec<usize> = vec![6, 11, 18];
        for step in 1..=stream.len() {
            let (mut tracker, mut at) = (MessageTracker::default(), 0);
            for part in stream.chunks(step) {
                tracker.follow(part);
                at += part.len();
                assert_eq!(tracker.at_boundary(), boundaries.contains(&at), "{step} at {at}");
            }
        }
    }
}
