//! Bodies of requests, read to a bound in bytes, decoded to another, within a time.
//!
//! - Nothing is decoded beyond the bound, whatever a header claims: a bomb costs what the bound allows, once.
//! - Bodies share [`Room`], half of it while they come and half once they are decoded: one more waits until there is
//!   some, and who sends slowly holds up no decoding.
//! - What can't be taken is refused, or, where its sender would send it for ever, handed on as [`Spoiled`].

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

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

/// KiB that bodies may take together while they come, and again once they are decoded.
const ROOM: usize = 128 << 10;

/// The largest window that a zstd frame may ask for, as a power of two: what clients' encoders use, and more.
const ZSTD_WINDOW_LOG: u32 = 23;

/// How much of a body that is too long is read on, to know its digest and to be heard by its sender.
const READ_ON: u64 = 64 << 20;

/// Bytes of a spoiled body that are kept, from its start.
const KEPT: usize = 4 << 10;

/// Memory that bodies under way share.
#[derive(Clone)]
pub(crate) struct Room {
    coming: Arc<Semaphore>,
    decoded: Arc<Semaphore>,
}

/// A body that was read, and its share of the room.
pub(crate) struct Read {
    pub(crate) bytes: Bytes,
    _shares: [Option<OwnedSemaphorePermit>; 2],
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
    pub(crate) fn new() -> Self {
        Self { coming: Arc::new(Semaphore::new(ROOM)), decoded: Arc::new(Semaphore::new(ROOM)) }
    }

    /// Reads and decodes a body.
    pub(crate) async fn read(
        &self,
        headers: &HeaderMap,
        body: Body,
        bounds: Bounds,
    ) -> Result<Read, BodyError> {
        let encoding = encoding(headers)?;
        let length = number(headers, header::CONTENT_LENGTH.as_str());
        if length.is_some_and(|length| length > bounds.received) {
            return Err(BodyError::TooLong { most: bounds.received });
        }
        let coming = share(&self.coming, length.unwrap_or(bounds.received)).await;
        let whole = Limited::new(body, bounds.received).collect();
        let slow = |_| BodyError::Slow { seconds: bounds.time.as_secs() };
        let whole = tokio::time::timeout(bounds.time, whole).await.map_err(slow)?;
        let bytes = whole.map_err(|error| broken(&*error, bounds.received))?.to_bytes();
        self.decoded(headers, encoding, bytes, coming, bounds).await
    }

    /// Reads and decodes a body whose sender knows no refusal: what no other try would mend is spoiled, not an error.
    pub(crate) async fn read_or_spoiled(
        &self,
        headers: &HeaderMap,
        body: Body,
        bounds: Bounds,
    ) -> Result<Result<Read, Spoiled>, BodyError> {
        let length = number(headers, header::CONTENT_LENGTH.as_str());
        let coming = share(&self.coming, length.unwrap_or(bounds.received).min(bounds.received)).await;
        let slow = |_| BodyError::Slow { seconds: bounds.time.as_secs() };
        let came = tokio::time::timeout(bounds.time, all_of(body, bounds.received)).await.map_err(slow)??;
        let bytes = match came {
            Ok(bytes) => bytes,
            Err(spoiled) => return Ok(Err(spoiled)),
        };
        let encoding = match encoding(headers) {
            Ok(encoding) => encoding,
            Err(error) => return Ok(Err(Spoiled::of(&bytes, &error.to_string()))),
        };
        match self.decoded(headers, encoding, bytes.clone(), coming, bounds).await {
            Ok(read) => Ok(Ok(read)),
            Err(error) => Ok(Err(Spoiled::of(&bytes, &error.to_string()))),
        }
    }

    async fn decoded(
        &self,
        headers: &HeaderMap,
        encoding: Encoding,
        bytes: Bytes,
        coming: OwnedSemaphorePermit,
        bounds: Bounds,
    ) -> Result<Read, BodyError> {
        let decode = match encoding {
            Encoding::Plain => return Ok(Read { bytes, _shares: [Some(coming), None] }),
            Encoding::Gzip => gunzip,
            Encoding::Zstd => unzstd,
        };
        // Clients of the log protocol say how long it will be; who says too little costs a second try.
        let said = number(headers, "orig-content-length").filter(|said| *said < bounds.decoded);
        if let Some(said) = said {
            let decoded = share(&self.decoded, said).await;
            match decode(&bytes, said) {
                Ok(bytes) => return Ok(Read { bytes, _shares: [None, Some(decoded)] }),
                Err(BodyError::DecodesTooLong { .. }) => drop(decoded),
                Err(error) => return Err(error),
            }
        }
        let decoded = share(&self.decoded, bounds.decoded).await;
        let bytes = decode(&bytes, bounds.decoded)?;
        drop(coming);
        Ok(Read { bytes, _shares: [None, Some(decoded)] })
    }
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

/// A whole body of at most `most` bytes; one that is longer is read on without being kept.
async fn all_of(mut body: Body, most: usize) -> Result<Result<Bytes, Spoiled>, BodyError> {
    let mut came = BytesMut::new();
    let mut longer: Option<(Sha256, u64)> = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| BodyError::BrokeOff { reason: error.to_string() })?;
        let Ok(data) = frame.into_data() else { continue };
        if longer.is_none() && came.len() + data.len() > most {
            longer = Some((Sha256::new_with_prefix(&came), came.len() as u64));
        }
        let Some((digest, bytes)) = &mut longer else {
            came.extend_from_slice(&data);
            continue;
        };
        let missing = KEPT.saturating_sub(came.len()).min(data.len());
        came.extend_from_slice(&data[..missing]);
        came.truncate(KEPT);
        digest.update(&data);
        *bytes += data.len() as u64;
        if *bytes > READ_ON {
            break;
        }
    }
    let Some((digest, bytes)) = longer else { return Ok(Ok(came.freeze())) };
    let reason = BodyError::TooLong { most }.to_string();
    let start = Bytes::copy_from_slice(&came);
    Ok(Err(Spoiled { reason, start, bytes, digest: digest.finalize().into() }))
}

async fn share(of: &Arc<Semaphore>, bytes: usize) -> OwnedSemaphorePermit {
    let wanted = u32::try_from((bytes >> 10).clamp(1, ROOM)).expect("the room is smaller");
    of.clone().acquire_many_owned(wanted).await.expect("the room is never closed")
}

fn number(headers: &HeaderMap, name: &str) -> Option<usize> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

fn broken(error: &(dyn std::error::Error + 'static), most: usize) -> BodyError {
    let mut cause = Some(error);
    while let Some(one) = cause {
        if one.is::<LengthLimitError>() {
            return BodyError::TooLong { most };
        }
        cause = one.source();
    }
    BodyError::BrokeOff { reason: error.to_string() }
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
