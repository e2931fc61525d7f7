//! Frames on the control socket: the lengths of a JSON header and of a body, each as four bytes in network order, then
//! header and body.
//!
//! Reading allocates at most [`MAX_HEADER`] and [`MAX_BODY`], whatever the lengths say.

use std::io::{self, Read, Write};

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt};

/// The longest header, in bytes: a list of all files of a large trail.
pub const MAX_HEADER: usize = 256 << 20;
/// The longest body, in bytes.
pub const MAX_BODY: usize = 256 << 20;

/// Encodes a header and a body as one frame.
pub fn encode<T: Serialize>(message: &T, body: &[Bytes]) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; 8];
    serde_json::to_writer(&mut frame, message)?;
    let header = length(frame.len() - 8, MAX_HEADER)?;
    let body_length = length(body.iter().map(Bytes::len).sum(), MAX_BODY)?;
    frame[..4].copy_from_slice(&header.to_be_bytes());
    frame[4..8].copy_from_slice(&body_length.to_be_bytes());
    body.iter().for_each(|part| frame.extend_from_slice(part));
    Ok(frame)
}

fn length(bytes: usize, most: usize) -> io::Result<u32> {
    u32::try_from(bytes)
        .ok()
        .filter(|_| bytes <= most)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("a message of {bytes} bytes")))
}

fn lengths(start: [u8; 8]) -> io::Result<(usize, usize)> {
    let number =
        |at: usize| u32::from_be_bytes([start[at], start[at + 1], start[at + 2], start[at + 3]]) as usize;
    let (header, body) = (number(0), number(4));
    if header > MAX_HEADER || body > MAX_BODY {
        let text = format!("a message of {header} and {body} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    Ok((header, body))
}

/// Writes a frame without a body.
pub fn write<T: Serialize>(into: &mut impl Write, message: &T) -> io::Result<()> {
    into.write_all(&encode(message, &[])?)
}

/// Reads the next frame; none at the end.
pub fn read<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<Option<(T, Bytes)>> {
    let mut start = [0; 8];
    match from.read_exact(&mut start) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let (header, body) = lengths(start)?;
    let mut bytes = vec![0; header];
    from.read_exact(&mut bytes)?;
    let message = serde_json::from_slice(&bytes)?;
    let mut bytes = vec![0; body];
    from.read_exact(&mut bytes)?;
    Ok(Some((message, bytes.into())))
}

/// The longest header from a worker, in bytes: a query or an error.
pub const MAX_FROM_WORKER: usize = 4 << 20;

/// Reads a worker's next message, which has no body; none at the end. A worker is not trusted with larger allocations.
pub async fn read_async<T: DeserializeOwned>(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<T>> {
    let mut start = [0; 8];
    match from.read_exact(&mut start).await {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => drop(other?),
    }
    let (header, body) = lengths(start)?;
    if header > MAX_FROM_WORKER || body > 0 {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a worker's message of {header} and {body} bytes"),
        ));
    }
    let mut bytes = vec![0; header];
    from.read_exact(&mut bytes).await?;
    Ok(Some(serde_json::from_slice(&bytes)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::FromWorker;

    #[tokio::test]
    async fn a_frame_comes_out_as_it_went_in_both_ways() {
        let body = [Bytes::from_static(b"one"), Bytes::from_static(b"two")];
        let frame = encode(&FromWorker::Progress { rows: 7 }, &body).unwrap();
        let mut once = frame.as_slice();
        let (message, bytes) = read::<FromWorker>(&mut once).unwrap().unwrap();
        assert!(matches!(message, FromWorker::Progress { rows: 7 }));
        assert_eq!(&bytes[..], b"onetwo");
        assert!(read::<FromWorker>(&mut once).unwrap().is_none());
        let small = encode(&FromWorker::Progress { rows: 7 }, &[]).unwrap();
        let message = read_async::<FromWorker>(&mut small.as_slice()).await.unwrap().unwrap();
        assert!(matches!(message, FromWorker::Progress { rows: 7 }));
        let error = read_async::<FromWorker>(&mut frame.as_slice()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "a worker's message has no body");
    }

    #[tokio::test]
    async fn lengths_that_are_no_frames_allocate_nothing() {
        let frame = [0xff; 16];
        assert_eq!(read::<FromWorker>(&mut &frame[..]).unwrap_err().kind(), io::ErrorKind::InvalidData);
        let error = read_async::<FromWorker>(&mut &frame[..]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let cut = &encode(&FromWorker::Checked, &[]).unwrap()[..12];
        assert!(read::<FromWorker>(&mut &cut[..]).is_err(), "half a frame is no end");
    }
}
