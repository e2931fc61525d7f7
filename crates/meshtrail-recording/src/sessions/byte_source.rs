//! [`ByteSource`]: reads a recording's bytes, from the local disk until it is sealed, from the store after that.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use futures::{Stream, stream};
use meshtrail_event::SessionId;

use super::{LiveSession, ReadError, Recordings};
use crate::seal::StoredRecording;

/// Bytes read at a time.
pub(super) const PIECE: u64 = 256 << 10;

/// A recording that can be read in parts.
#[derive(Clone)]
pub(super) enum ByteSource {
    /// Not sealed: the bytes that were durable when the source was opened.
    Local { recordings: Recordings, live: Arc<LiveSession>, bytes: u64 },
    /// Sealed.
    Stored(StoredRecording),
}

impl ByteSource {
    pub(super) async fn open(recordings: &Recordings, id: &SessionId) -> Result<ByteSource, ReadError> {
        if let Some(live) = recordings.find_unsealed(id) {
            let bytes = live.closing().map_or(live.stream.durable_bytes(), |closing| closing.bytes);
            return Ok(ByteSource::Local { recordings: recordings.clone(), live, bytes });
        }
        match StoredRecording::open(recordings.store(), id).await {
            Ok(stored) => Ok(ByteSource::Stored(stored)),
            Err(error) if error.is_missing() && recordings.session(id).await?.is_none() => {
                Err(ReadError::Unknown { session: id.clone() })
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Local { bytes, .. } => *bytes,
            Self::Stored(stored) => stored.bytes(),
        }
    }

    /// Reads a range, which is shorter only at the end of the recording.
    pub(super) async fn read(&self, range: Range<u64>) -> Result<Bytes, ReadError> {
        match self {
            Self::Stored(stored) => Ok(stored.read(range).await?),
            Self::Local { recordings, live, bytes } => {
                let (reading, range) = (live.clone(), range.start..range.end.min(*bytes));
                let local = range.clone();
                let read = tokio::task::spawn_blocking(move || read_local(&reading, local)).await;
                match read.unwrap_or_else(|panic| Err(std::io::Error::other(panic))) {
                    // It was sealed meanwhile, and its spool files are gone.
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                        Ok(StoredRecording::open(recordings.store(), live.id()).await?.read(range).await?)
                    }
                    read => read.map_err(ReadError::Local),
                }
            }
        }
    }

    /// All bytes from `from` on.
    pub(super) fn stream(self, from: u64) -> impl Stream<Item = Result<Bytes, ReadError>> + Send + 'static {
        stream::try_unfold((self, from), |(source, at)| async move {
            if at >= source.bytes() {
                return Ok(None);
            }
            let bytes = source.read(at..at + PIECE).await?;
            let next = at + bytes.len() as u64;
            Ok((!bytes.is_empty()).then_some((bytes, (source, next))))
        })
    }
}

fn read_local(live: &LiveSession, range: Range<u64>) -> std::io::Result<Bytes> {
    let mut out = Vec::new();
    let mut at = range.start;
    while at < range.end {
        let length = usize::try_from(range.end - at).unwrap_or(usize::MAX);
        let piece = live.stream.read(at, length)?;
        if piece.is_empty() {
            break;
        }
        at += piece.len() as u64;
        out.extend_from_slice(&piece);
    }
    Ok(out.into())
}
