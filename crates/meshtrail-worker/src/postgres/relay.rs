//! Bytes between a client and its worker, in both directions, until one of them ends.
//!
//! What the worker says is followed message by message, so that the server knows whether it may add one of its own.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;

/// Bytes that are passed on at a time.
const READ: usize = 64 << 10;

/// Who ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The client.
    Client,
    /// The worker, having said whole messages or not.
    Worker { at_boundary: bool },
}

/// Passes bytes on until one side ends.
pub(super) async fn run(
    client: &mut (impl AsyncRead + AsyncWrite + Unpin),
    worker: &mut UnixStream,
) -> io::Result<End> {
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let (mut from_worker, mut to_worker) = worker.split();
    let forwards = async {
        let mut buffer = vec![0; READ];
        loop {
            let read = from_client.read(&mut buffer).await?;
            // A worker that takes nothing any more has ended: the other direction tells.
            if read == 0 || to_worker.write_all(&buffer[..read]).await.is_err() {
                return Ok::<_, io::Error>(read == 0);
            }
        }
    };
    let backwards = async {
        let mut buffer = vec![0; READ];
        let mut messages = Messages::default();
        loop {
            let read = from_worker.read(&mut buffer).await.unwrap_or(0);
            if read == 0 {
                return Ok::<_, io::Error>(End::Worker { at_boundary: messages.at_boundary() });
            }
            messages.follow(&buffer[..read]);
            to_client.write_all(&buffer[..read]).await?;
            to_client.flush().await?;
        }
    };
    tokio::pin!(forwards, backwards);
    let ended = tokio::select! {
        ended = &mut forwards => ended?,
        end = &mut backwards => return end,
    };
    if ended { Ok(End::Client) } else { backwards.await }
}

/// Where in a stream of messages one stands: a byte that tells the kind, then a length that includes itself.
#[derive(Debug, Default)]
struct Messages {
    head: [u8; 5],
    read: usize,
    left: usize,
}

impl Messages {
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
            let (mut messages, mut at) = (Messages::default(), 0);
            for part in stream.chunks(step) {
                messages.follow(part);
                at += part.len();
                assert_eq!(messages.at_boundary(), boundaries.contains(&at), "{step} at {at}");
            }
        }
    }
}
