//! Reads and decodes request bodies, with limits on received bytes, decoded bytes and time.
//!
//! - Decoding stops at the limit, whatever a header claims: a decompression bomb costs at most the limit.
//! - Bodies of a receiver share the memory of a [`Room`], which is reserved as bytes arrive; a sender has a part of it. A
//!   body waits a short time for room. Decoded bodies have room of their own, so that slow senders don't block decoding.
//! - A body that can't be read is refused, or, if its sender would send it for ever, returned as [`UnreadableBody`].

use std::io::Read as _;
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt as _;
use meshtrail_listen::{Limits, Peer, PeerRoom, RoomPermit, SharedRoom};
use sha2::{Digest as _, Sha256};

/// Limits on one body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// The most bytes before decoding.
    pub(crate) received: usize,
    /// The most bytes after decoding.
    pub(crate) decoded: usize,
    /// The most time that reading may take.
    pub(crate) time: Duration,
}

/// Memory for the bodies of one receiver before decoding, in bytes.
const RECEIVED_ROOM: usize = 64 << 20;

/// Bodies of the largest size that may be decoded at a time.
const DECODED_AT_ONCE: usize = 2;

/// The longest wait for room; then the sender is told to send again.
const ROOM_TIMEOUT: Duration = Duration::from_secs(10);

/// The largest window of a zstd frame, as a power of two: larger than what clients' encoders use.
const ZSTD_WINDOW_LOG: u32 = 23;

/// A body that is too long is read up to this many bytes, for its digest and so that its sender gets the response.
const DRAIN_LIMIT: u64 = 64 << 20;

/// Number of first bytes that are kept of an unreadable body.
const UNREADABLE_PREFIX: usize = 4 << 10;

/// Memory that the bodies of one receiver share.
#[derive(Clone)]
pub(crate) struct Room {
    received: SharedRoom,
    decoded: SharedRoom,
}

/// One sender's part of the room.
struct PeerRooms {
    received: PeerRoom,
    decoded: PeerRoom,
}

/// A body in memory, with its reserved room.
pub(crate) struct BufferedBody {
    pub(crate) bytes: Bytes,
    _room: RoomPermit,
}

/// A body that was received but can't be read; sending it again would not help.
#[derive(Debug)]
pub(crate) struct UnreadableBody {
    /// Why it can't be read.
    pub(crate) reason: String,
    /// Its first bytes.
    pub(crate) start: Bytes,
    /// Number of bytes received.
    pub(crate) bytes: u64,
    /// SHA-256 of the bytes received.
    pub(crate) digest: [u8; 32],
}

/// Why a body is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("the body is longer than {most} bytes")]
    TooLong { most: usize },
    #[error("the body decodes to more than {most} bytes")]
    DecodesTooLong { most: usize },
    #[error("the body did not come within {seconds} s")]
    Slow { seconds: u64 },
    #[error("no room in memory for the body within {} s; send it again", ROOM_TIMEOUT.as_secs())]
    NoRoom,
    #[error("the body broke off: {reason}")]
    BrokeOff { reason: String },
    #[error("Content-Encoding: {encoding:?} is none of gzip, zstd and identity")]
    Encoding { encoding: String },
    #[error("the body is not whole {encoding}: {reason}")]
    Corrupt { encoding: &'static str, reason: String },
}

impl BodyError {
    /// The status of the response.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::TooLong { .. } | Self::DecodesTooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow { .. } | Self::BrokeOff { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::NoRoom => StatusCode::SERVICE_UNAVAILABLE,
            Self::Encoding { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Corrupt { .. } => StatusCode::BAD_REQUEST,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Plain,
    Gzip,
    Zstd,
}

impl Room {
    /// Room for the bodies of one receiver, none of which is larger than `bounds`.
    pub(crate) fn new(port: &str, bounds: Bounds, limits: &Limits) -> Self {
        let decoded = (DECODED_AT_ONCE * bounds.decoded).max(RECEIVED_ROOM);
        Self {
            received: SharedRoom::new(&format!("{port}-coming"), RECEIVED_ROOM, bounds.received, limits),
            decoded: SharedRoom::new(&format!("{port}-decoded"), decoded, bounds.decoded, limits),
        }
    }

    /// Reads and decodes a body.
    pub(crate) async fn read(
        &self,
        peer: &Peer,
        headers: &HeaderMap,
        body: Body,
        bounds: Bounds,
    ) -> Result<BufferedBody, BodyError> {
        let encoding = encoding(headers)?;
        let length = header_number(headers, header::CONTENT_LENGTH.as_str());
        if length.is_some_and(|length| length > bounds.received) {
            return Err(BodyError::TooLong { most: bounds.received });
        }
        let rooms = self.rooms(peer);
        let (came, room) =
            with_timeout(bounds.time, read_all(body, bounds.received, &rooms.received, 0)).await?;
        let bytes = came.map_err(|_| BodyError::TooLong { most: bounds.received })?;
        rooms.decode(headers, encoding, bytes, room, bounds).await
    }

    /// Reads and decodes a body whose sender repeats it until it succeeds: an error that a retry would not fix makes the body
    /// unreadable.
    pub(crate) async fn read_or_unreadable(
        &self,
        peer: &Peer,
        headers: &HeaderMap,
        body: Body,
        bounds: Bounds,
    ) -> Result<Result<BufferedBody, UnreadableBody>, BodyError> {
        let rooms = self.rooms(peer);
        let reading = read_all(body, bounds.received, &rooms.received, DRAIN_LIMIT);
        let (came, room) = with_timeout(bounds.time, reading).await?;
        let bytes = match came {
            Ok(bytes) => bytes,
            Err(unreadable) => return Ok(Err(unreadable)),
        };
        let encoding = match encoding(headers) {
            Ok(encoding) => encoding,
            Err(error) => return Ok(Err(UnreadableBody::of(&bytes, &error.to_string()))),
        };
        match rooms.decode(headers, encoding, bytes.clone(), room, bounds).await {
            Ok(read) => Ok(Ok(read)),
            Err(BodyError::NoRoom) => Err(BodyError::NoRoom),
            Err(error) => Ok(Err(UnreadableBody::of(&bytes, &error.to_string()))),
        }
    }

    fn rooms(&self, peer: &Peer) -> PeerRooms {
        PeerRooms { received: self.received.of(peer), decoded: self.decoded.of(peer) }
    }
}

impl PeerRooms {
    async fn decode(
        &self,
        headers: &HeaderMap,
        encoding: Encoding,
        bytes: Bytes,
        received: RoomPermit,
        bounds: Bounds,
    ) -> Result<BufferedBody, BodyError> {
        let decode = match encoding {
            Encoding::Plain => return Ok(BufferedBody { bytes, _room: received }),
            Encoding::Gzip => gunzip,
            Encoding::Zstd => unzstd,
        };
        // Clients of the log protocol send the decoded length. If it is too small, the body is decoded a second time.
        let claimed =
            header_number(headers, "orig-content-length").filter(|claimed| *claimed < bounds.decoded);
        for most in claimed.into_iter().chain([bounds.decoded]) {
            let mut room = acquire_room(&self.decoded, most).await?;
            let packed = bytes.clone();
            // Decoding is slow enough to block other tasks of the thread.
            let unpacking = tokio::task::spawn_blocking(move || decode(&packed, most));
            match unpacking.await.expect("unpacking does not panic") {
                Ok(bytes) => {
                    room.shrink_to(bytes.len());
                    return Ok(BufferedBody { bytes, _room: room });
                }
                Err(BodyError::DecodesTooLong { .. }) if most < bounds.decoded => {}
                Err(error) => return Err(error),
            }
        }
        Err(BodyError::DecodesTooLong { most: bounds.decoded })
    }
}

async fn with_timeout<T>(
    time: Duration,
    reading: impl Future<Output = Result<T, BodyError>>,
) -> Result<T, BodyError> {
    let slow = |_| BodyError::Slow { seconds: time.as_secs() };
    tokio::time::timeout(time, reading).await.map_err(slow)?
}

async fn acquire_room(room: &PeerRoom, bytes: usize) -> Result<RoomPermit, BodyError> {
    tokio::time::timeout(ROOM_TIMEOUT, room.acquire(bytes)).await.map_err(|_| BodyError::NoRoom)
}

impl UnreadableBody {
    /// An unreadable body that was received completely.
    pub(crate) fn of(body: &[u8], reason: &str) -> Self {
        Self {
            reason: reason.to_owned(),
            start: Bytes::copy_from_slice(&body[..body.len().min(UNREADABLE_PREFIX)]),
            bytes: body.len() as u64,
            digest: Sha256::digest(body).into(),
        }
    }
}

/// Reads a whole body of at most `most` bytes, and reserves room as they arrive. A longer one is read up to `drain` bytes
/// without being stored.
async fn read_all(
    mut body: Body,
    most: usize,
    room: &PeerRoom,
    drain: u64,
) -> Result<(Result<Bytes, UnreadableBody>, RoomPermit), BodyError> {
    let mut came = BytesMut::new();
    let mut taken = acquire_room(room, 0).await?;
    let mut longer: Option<(Sha256, u64)> = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| BodyError::BrokeOff { reason: error.to_string() })?;
        let Ok(data) = frame.into_data() else { continue };
        if longer.is_none() && came.len() + data.len() > most {
            longer = Some((Sha256::new_with_prefix(&came), came.len() as u64));
        }
        let Some((digest, bytes)) = &mut longer else {
            taken.merge(acquire_room(room, data.len()).await?);
            came.extend_from_slice(&data);
            continue;
        };
        let missing = UNREADABLE_PREFIX.saturating_sub(came.len()).min(data.len());
        came.extend_from_slice(&data[..missing]);
        came.truncate(UNREADABLE_PREFIX);
        digest.update(&data);
        *bytes += data.len() as u64;
        if *bytes > drain {
            break;
        }
    }
    let Some((digest, bytes)) = longer else { return Ok((Ok(came.freeze()), taken)) };
    let reason = BodyError::TooLong { most }.to_string();
    let start = Bytes::copy_from_slice(&came);
    Ok((Err(UnreadableBody { reason, start, bytes, digest: digest.finalize().into() }), taken))
}

fn header_number(headers: &HeaderMap, name: &str) -> Option<usize> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

fn encoding(headers: &HeaderMap) -> Result<Encoding, BodyError> {
    let mut values = headers.get_all(header::CONTENT_ENCODING).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return match headers.get(header::CONTENT_ENCODING) {
            None => Ok(Encoding::Plain),
            Some(_) => Err(BodyError::Encoding { encoding: "several".into() }),
        };
    };
    match value.to_str().unwrap_or("?").trim().to_ascii_lowercase().as_str() {
        "" | "identity" => Ok(Encoding::Plain),
        "gzip" | "x-gzip" => Ok(Encoding::Gzip),
        "zstd" => Ok(Encoding::Zstd),
        other => Err(BodyError::Encoding { encoding: other.chars().take(40).collect() }),
    }
}

/// Decodes gzip to at most `most` bytes.
pub(crate) fn gunzip(bytes: &[u8], most: usize) -> Result<Bytes, BodyError> {
    decode_bounded(flate2::read::MultiGzDecoder::new(bytes), "gzip", bytes.len() * 4, most)
}

/// Decodes zstd to at most `most` bytes.
pub(crate) fn unzstd(bytes: &[u8], most: usize) -> Result<Bytes, BodyError> {
    let corrupt = |error: std::io::Error| BodyError::Corrupt { encoding: "zstd", reason: error.to_string() };
    let mut decoder = zstd::stream::read::Decoder::with_buffer(bytes).map_err(corrupt)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(corrupt)?;
    decode_bounded(decoder, "zstd", bytes.len() * 8, most)
}

fn decode_bounded(
    decoder: impl std::io::Read,
    encoding: &'static str,
    guess: usize,
    most: usize,
) -> Result<Bytes, BodyError> {
    let mut decoded = Vec::with_capacity(guess.min(most));
    let limit = most as u64 + 1;
    match decoder.take(limit).read_to_end(&mut decoded) {
        Ok(_) if decoded.len() > most => Err(BodyError::DecodesTooLong { most }),
        Ok(_) => Ok(decoded.into()),
        Err(error) => Err(BodyError::Corrupt { encoding, reason: error.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { received: 1 << 20, decoded: 1 << 20, time: Duration::from_millis(200) };

    fn peer(last: u8) -> Peer {
        Peer::from_ip([127, 0, 0, last].into())
    }

    /// A body of these bytes, after which nothing more comes.
    fn without_end(bytes: &'static [u8]) -> Body {
        let first = futures::stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(bytes))]);
        Body::from_stream(futures::StreamExt::chain(first, futures::stream::pending()))
    }

    #[tokio::test]
    async fn a_body_without_end_costs_what_came_of_it_and_ends_in_time() {
        let room = Room::new("test", BOUNDS, &Limits::default());
        let headers = HeaderMap::from_iter([(header::CONTENT_LENGTH, (1 << 20).into())]);
        let sender = peer(1);
        let mut slow = Box::pin(room.read(&sender, &headers, without_end(b"x"), BOUNDS));
        assert!(futures::poll!(&mut slow).is_pending());
        // All but the one byte is free for others, and for the same sender.
        let rest = room.received.of(&peer(1)).try_acquire((RECEIVED_ROOM / 8) - 1);
        assert!(rest.is_some());
        drop(rest);
        assert!(matches!(slow.await, Err(BodyError::Slow { .. })));
        assert!(room.received.of(&peer(1)).try_acquire(RECEIVED_ROOM / 8).is_some());
    }

    #[tokio::test]
    async fn a_sender_whose_room_is_full_waits_and_the_others_do_not() {
        let room = Room::new("test", BOUNDS, &Limits::default());
        let headers = HeaderMap::new();
        let _held = room.received.of(&peer(1)).try_acquire(RECEIVED_ROOM / 8).unwrap();
        let sender = peer(1);
        let mut waits = Box::pin(room.read(&sender, &headers, Body::from("mine"), BOUNDS));
        assert!(futures::poll!(&mut waits).is_pending());
        let read = room.read(&peer(2), &headers, Body::from("other"), BOUNDS).await.ok().unwrap();
        assert_eq!(&read.bytes[..], b"other");
        assert!(matches!(waits.await, Err(BodyError::Slow { .. })), "waiting is timed too");
    }

    #[tokio::test]
    async fn what_was_decoded_keeps_no_more_room_than_it_needs() {
        let room = Room::new("test", BOUNDS, &Limits::default());
        let headers = HeaderMap::from_iter([(header::CONTENT_ENCODING, "zstd".parse().unwrap())]);
        let packed = || Body::from(zstd::encode_all(&b"unpacked"[..], 3).unwrap());
        let read = room.read(&peer(1), &headers, packed(), BOUNDS).await.ok().unwrap();
        assert_eq!(&read.bytes[..], b"unpacked");
        let whole = room.decoded.of(&peer(1)).try_acquire((RECEIVED_ROOM / 8) - 8);
        assert!(whole.is_some());
    }

    #[test]
    fn a_bomb_costs_the_bound_and_half_a_body_is_named() {
        let zeros = vec![0; 32 << 20];
        let bomb = zstd::encode_all(&zeros[..], 3).unwrap();
        assert!(matches!(unzstd(&bomb, 1 << 20), Err(BodyError::DecodesTooLong { .. })));
        assert!(matches!(unzstd(&bomb[..bomb.len() / 2], 64 << 20), Err(BodyError::Corrupt { .. })));
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        std::io::Write::write_all(&mut gzip, b"half of this").unwrap();
        let gzip = gzip.finish().unwrap();
        assert_eq!(&gunzip(&gzip, 100).unwrap()[..], b"half of this");
        assert!(matches!(
            gunzip(&gzip[..gzip.len() / 2], 100),
            Err(BodyError::Corrupt { encoding: "gzip", .. })
        ));
        assert!(matches!(gunzip(&gzip, 5), Err(BodyError::DecodesTooLong { most: 5 })));
    }
}
