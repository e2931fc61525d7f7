//! Bodies of requests, read to a bound in bytes, decoded to another, within a time.
//!
//! - Nothing is decoded beyond the bound, whatever a header claims: a bomb costs what the bound allows, once.
//! - Bodies of a receiver share [`Room`], taken as their bytes come; a sender has a part of it. One more waits for room,
//!   but not for long. Once they are decoded they have room of their own, so that who sends slowly holds up no decoding.
//! - What can't be taken is refused, or, where its sender would send it for ever, handed on as [`Spoiled`].

use std::io::Read as _;
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt as _;
use meshtrail_listen::{Limits, Peer, PeerRoom, SharedRoom, Taken};
use sha2::{Digest as _, Sha256};

/// What is read of one body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Bytes as they come.
    pub(crate) received: usize,
    /// Bytes after decoding.
    pub(crate) decoded: usize,
    /// How long reading may take.
    pub(crate) time: Duration,
}

/// Bytes that the bodies of one receiver may take together while they come.
const COMING: usize = 64 << 20;

/// Bodies that may be decoded at a time, of the largest kind.
const DECODED: usize = 2;

/// How long room is waited for; who waits longer is told to come again.
const PATIENCE: Duration = Duration::from_secs(10);

/// The largest window that a zstd frame may ask for, as a power of two: what clients' encoders use, and more.
const ZSTD_WINDOW_LOG: u32 = 23;

/// How much of a body that is too long is read on, to know its digest and to be heard by its sender.
const READ_ON: u64 = 64 << 20;

/// Bytes of a spoiled body that are kept, from its start.
const KEPT: usize = 4 << 10;

/// Memory that the bodies of one receiver share.
#[derive(Clone)]
pub(crate) struct Room {
    coming: SharedRoom,
    decoded: SharedRoom,
}

/// Where a sender's bodies find room.
struct Places {
    coming: PeerRoom,
    decoded: PeerRoom,
}

/// A body that was read, and its share of the room.
pub(crate) struct Read {
    pub(crate) bytes: Bytes,
    _room: Taken,
}

/// A body that came, but can't be taken: it would be no better if it came again.
#[derive(Debug)]
pub(crate) struct Spoiled {
    /// Why not.
    pub(crate) reason: String,
    /// The first of it, as it came.
    pub(crate) start: Bytes,
    /// How many bytes came.
    pub(crate) bytes: u64,
    /// SHA-256 of what came.
    pub(crate) digest: [u8; 32],
}

/// Why a body can't be taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("the body is longer than {most} bytes")]
    TooLong { most: usize },
    #[error("the body decodes to more than {most} bytes")]
    DecodesTooLong { most: usize },
    #[error("the body did not come within {seconds} s")]
    Slow { seconds: u64 },
    #[error("no room in memory for the body within {} s; send it again", PATIENCE.as_secs())]
    NoRoom,
    #[error("the body broke off: {reason}")]
    BrokeOff { reason: String },
    #[error("Content-Encoding: {encoding:?} is none of gzip, zstd and identity")]
    Encoding { encoding: String },
    #[error("the body is not whole {encoding}: {reason}")]
    Corrupt { encoding: &'static str, reason: String },
}

impl BodyError {
    /// The answer's status.
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
        let decoded = (DECODED * bounds.decoded).max(COMING);
        Self {
            coming: SharedRoom::new(&format!("{port}-coming"), COMING, bounds.received, limits),
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
    ) -> Result<Read, BodyError> {
        let encoding = encoding(headers)?;
        let length = number(headers, header::CONTENT_LENGTH.as_str());
        if length.is_some_and(|length| length > bounds.received) {
            return Err(BodyError::TooLong { most: bounds.received });
        }
        let places = self.places(peer);
        let (came, room) = within(bounds.time, all_of(body, bounds.received, &places.coming, 0)).await?;
        let bytes = came.map_err(|_| BodyError::TooLong { most: bounds.received })?;
        places.decoded(headers, encoding, bytes, room, bounds).await
    }

    /// Reads and decodes a body whose sender knows no refusal: what no other try would mend is spoiled, not an error.
    pub(crate) async fn read_or_spoiled(
        &self,
        peer: &Peer,
        headers: &HeaderMap,
        body: Body,
        bounds: Bounds,
    ) -> Result<Result<Read, Spoiled>, BodyError> {
        let places = self.places(peer);
        let reading = all_of(body, bounds.received, &places.coming, READ_ON);
        let (came, room) = within(bounds.time, reading).await?;
        let bytes = match came {
            Ok(bytes) => bytes,
            Err(spoiled) => return Ok(Err(spoiled)),
        };
        let encoding = match encoding(headers) {
            Ok(encoding) => encoding,
            Err(error) => return Ok(Err(Spoiled::of(&bytes, &error.to_string()))),
        };
        match places.decoded(headers, encoding, bytes.clone(), room, bounds).await {
            Ok(read) => Ok(Ok(read)),
            Err(BodyError::NoRoom) => Err(BodyError::NoRoom),
            Err(error) => Ok(Err(Spoiled::of(&bytes, &error.to_string()))),
        }
    }

    fn places(&self, peer: &Peer) -> Places {
        Places { coming: self.coming.of(peer), decoded: self.decoded.of(peer) }
    }
}

impl Places {
    async fn decoded(
        &self,
        headers: &HeaderMap,
        encoding: Encoding,
        bytes: Bytes,
        coming: Taken,
        bounds: Bounds,
    ) -> Result<Read, BodyError> {
        let decode = match encoding {
            Encoding::Plain => return Ok(Read { bytes, _room: coming }),
            Encoding::Gzip => gunzip,
            Encoding::Zstd => unzstd,
        };
        // Clients of the log protocol say how long it will be; who says too little costs a second try.
        let said = number(headers, "orig-content-length").filter(|said| *said < bounds.decoded);
        for most in said.into_iter().chain([bounds.decoded]) {
            let mut room = take(&self.decoded, most).await?;
            let packed = bytes.clone();
            // Unpacking takes long enough to hold up whoever shares the thread.
            let unpacking = tokio::task::spawn_blocking(move || decode(&packed, most));
            match unpacking.await.expect("unpacking does not panic") {
                Ok(bytes) => {
                    room.keep(bytes.len());
                    return Ok(Read { bytes, _room: room });
                }
                Err(BodyError::DecodesTooLong { .. }) if most < bounds.decoded => {}
                Err(error) => return Err(error),
            }
        }
        Err(BodyError::DecodesTooLong { most: bounds.decoded })
    }
}

async fn within<T>(
    time: Duration,
    reading: impl Future<Output = Result<T, BodyError>>,
) -> Result<T, BodyError> {
    let slow = |_| BodyError::Slow { seconds: time.as_secs() };
    tokio::time::timeout(time, reading).await.map_err(slow)?
}

async fn take(room: &PeerRoom, bytes: usize) -> Result<Taken, BodyError> {
    tokio::time::timeout(PATIENCE, room.take(bytes)).await.map_err(|_| BodyError::NoRoom)
}

impl Spoiled {
    /// What is left of a body that came whole.
    pub(crate) fn of(body: &[u8], reason: &str) -> Self {
        Self {
            reason: reason.to_owned(),
            start: Bytes::copy_from_slice(&body[..body.len().min(KEPT)]),
            bytes: body.len() as u64,
            digest: Sha256::digest(body).into(),
        }
    }
}

/// A whole body of at most `most` bytes, in room that is taken as they come. One that is longer is read on for
/// `read_on` bytes without being kept.
async fn all_of(
    mut body: Body,
    most: usize,
    room: &PeerRoom,
    read_on: u64,
) -> Result<(Result<Bytes, Spoiled>, Taken), BodyError> {
    let mut came = BytesMut::new();
    let mut taken = take(room, 0).await?;
    let mut longer: Option<(Sha256, u64)> = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| BodyError::BrokeOff { reason: error.to_string() })?;
        let Ok(data) = frame.into_data() else { continue };
        if longer.is_none() && came.len() + data.len() > most {
            longer = Some((Sha256::new_with_prefix(&came), came.len() as u64));
        }
        let Some((digest, bytes)) = &mut longer else {
            taken.add(take(room, data.len()).await?);
            came.extend_from_slice(&data);
            continue;
        };
        let missing = KEPT.saturating_sub(came.len()).min(data.len());
        came.extend_from_slice(&data[..missing]);
        came.truncate(KEPT);
        digest.update(&data);
        *bytes += data.len() as u64;
        if *bytes > read_on {
            break;
        }
    }
    let Some((digest, bytes)) = longer else { return Ok((Ok(came.freeze()), taken)) };
    let reason = BodyError::TooLong { most }.to_string();
    let start = Bytes::copy_from_slice(&came);
    Ok((Err(Spoiled { reason, start, bytes, digest: digest.finalize().into() }), taken))
}

fn number(headers: &HeaderMap, name: &str) -> Option<usize> {
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
    bounded(flate2::read::MultiGzDecoder::new(bytes), "gzip", bytes.len() * 4, most)
}

/// Decodes zstd to at most `most` bytes.
pub(crate) fn unzstd(bytes: &[u8], most: usize) -> Result<Bytes, BodyError> {
    let corrupt = |error: std::io::Error| BodyError::Corrupt { encoding: "zstd", reason: error.to_string() };
    let mut decoder = zstd::stream::read::Decoder::with_buffer(bytes).map_err(corrupt)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(corrupt)?;
    bounded(decoder, "zstd", bytes.len() * 8, most)
}

fn bounded(
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
        Peer::of([127, 0, 0, last].into())
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
        let rest = room.coming.of(&peer(1)).take_now((COMING / 8) - 1);
        assert!(rest.is_some());
        drop(rest);
        assert!(matches!(slow.await, Err(BodyError::Slow { .. })));
        assert!(room.coming.of(&peer(1)).take_now(COMING / 8).is_some());
    }

    #[tokio::test]
    async fn a_sender_whose_room_is_full_waits_and_the_others_do_not() {
        let room = Room::new("test", BOUNDS, &Limits::default());
        let headers = HeaderMap::new();
        let _held = room.coming.of(&peer(1)).take_now(COMING / 8).unwrap();
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
        let whole = room.decoded.of(&peer(1)).take_now((COMING / 8) - 8);
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
