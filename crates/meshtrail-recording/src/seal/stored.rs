//! [`StoredRecording`]: reads a recording in the store, completely or in parts.

use std::{io, ops::Range};

use bytes::{Bytes, BytesMut};
use futures::{Stream, stream};
use meshtrail_event::SessionId;
use meshtrail_trail::store::{GetError, Key, Store};

use super::{Index, IndexError, SeekTable, TableError, index::sha256_of};

/// Bytes of an object's end that are read first: the table of a 2 GiB recording fits.
const TAIL: u64 = 64 << 10;

/// Frames fetched with one request.
const FRAMES_AT_ONCE: usize = 8;

/// Why a recording can't be read from the store.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum StoredError {
    #[error("failed to read {key}")]
    Get { key: Key, source: GetError },
    #[error("{key} can't be read")]
    Table { key: Key, source: TableError },
    /// `offset` is that of the frame's received bytes.
    #[error("{key} is damaged: bytes from {offset} can't be unpacked")]
    Frame { key: Key, offset: u64, source: io::Error },
    #[error("{key} can't be read")]
    Index { key: Key, source: IndexError },
    #[error(
        "{key} was changed: its SHA-256 is {found}, but the event that ended the session names {expected}; \
         what it says is not shown"
    )]
    IndexChanged { key: Key, expected: String, found: String },
}

impl StoredError {
    /// Whether the store does not have the object.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Get { source: GetError::Missing { .. }, .. })
    }
}

/// The key of a session's recording.
pub fn recording_key(session: &SessionId) -> Key {
    key(session, "cast.zst")
}

/// The key of a session's index.
pub fn index_key(session: &SessionId) -> Key {
    key(session, "index.zst")
}

fn key(session: &SessionId, ending: &str) -> Key {
    let (year, month, day) = session.day();
    let text = format!("recordings/{year}/{month}/{day}/{session}.{ending}");
    Key::new(text).expect("a session's id has only characters that a key may have")
}

/// An open sealed recording, with its seek table.
#[derive(Debug, Clone)]
pub struct StoredRecording {
    store: Store,
    key: Key,
    table: SeekTable,
}

impl StoredRecording {
    /// Opens a session's recording. Reads only its end.
    pub async fn open(store: &Store, session: &SessionId) -> Result<StoredRecording, StoredError> {
        let key = recording_key(session);
        let get = |source| StoredError::Get { key: key.clone(), source };
        let wrong = |source| StoredError::Table { key: key.clone(), source };
        let size = store.size(&key).await.map_err(get)?;
        let mut tail = store.get_range(&key, size - size.min(TAIL)..size).await.map_err(get)?;
        let length = SeekTable::length(&tail).map_err(wrong)?;
        if length > tail.len() as u64 && length <= size {
            tail = store.get_range(&key, size - length..size).await.map_err(get)?;
        }
        let table = SeekTable::parse(&tail, size).map_err(wrong)?;
        Ok(StoredRecording { store: store.clone(), key, table })
    }

    /// The number of received bytes.
    pub fn bytes(&self) -> u64 {
        self.table.bytes()
    }

    /// Reads a range of received bytes. Unpacks only the frames of that range.
    pub async fn read(&self, range: Range<u64>) -> Result<Bytes, StoredError> {
        let range = range.start.min(self.bytes())..range.end.min(self.bytes());
        let mut out = BytesMut::new();
        let mut at = range.start;
        while at < range.end {
            let first = self.table.frame_at(at);
            let last = self.table.frame_at(range.end - 1).min(first + FRAMES_AT_ONCE - 1);
            let unpacked = self.unpack(first, last).await?;
            let start = self.table.unpacked(first).start;
            let end = self.table.unpacked(last).end.min(range.end);
            out.extend_from_slice(&unpacked[to_usize(at - start)..to_usize(end - start)]);
            at = end;
        }
        Ok(out.freeze())
    }

    /// All received bytes from `from` on, in pieces.
    pub fn stream(self, from: u64) -> impl Stream<Item = Result<Bytes, StoredError>> + Send + 'static {
        stream::try_unfold((self, from), |(recording, at)| async move {
            if at >= recording.bytes() {
                return Ok(None);
            }
            let frame = recording.table.frame_at(at);
            let last = (frame + FRAMES_AT_ONCE - 1).min(recording.table.frames() - 1);
            let end = recording.table.unpacked(last).end;
            let bytes = recording.read(at..end).await?;
            Ok(Some((bytes, (recording, end))))
        })
    }

    async fn unpack(&self, first: usize, last: usize) -> Result<BytesMut, StoredError> {
        let start = self.table.packed(first).start;
        let range = start..self.table.packed(last).end;
        let packed = self.store.get_range(&self.key, range).await;
        let packed = packed.map_err(|source| StoredError::Get { key: self.key.clone(), source })?;
        let mut out = BytesMut::new();
        for frame in first..=last {
            let packed_range = self.table.packed(frame);
            let range = self.table.unpacked(frame);
            let part = &packed[to_usize(packed_range.start - start)..to_usize(packed_range.end - start)];
            let damaged = |source| StoredError::Frame { key: self.key.clone(), offset: range.start, source };
            let length = to_usize(range.end - range.start);
            let unpacked = zstd::bulk::decompress(part, length).map_err(damaged)?;
            if unpacked.len() != length {
                return Err(damaged(io::Error::other("it is shorter than the table says")));
            }
            out.extend_from_slice(&unpacked);
        }
        Ok(out)
    }

    /// Reads the index of a session whose terminal event names `sha256`; `None` if the store has no index.
    pub async fn index(
        store: &Store,
        session: &SessionId,
        sha256: &str,
    ) -> Result<Option<Index>, StoredError> {
        let Some(packed) = Self::packed_index(store, session).await? else { return Ok(None) };
        let found = sha256_of(&packed);
        if found != sha256 {
            let (key, expected) = (index_key(session), sha256.to_owned());
            return Err(StoredError::IndexChanged { key, expected, found });
        }
        unpacked(session, &packed).map(Some)
    }

    /// Reads a session's index without verifying that sealing made it, so its screens must not be shown. `None` if the
    /// store has no index.
    pub async fn unverified_index(store: &Store, session: &SessionId) -> Result<Option<Index>, StoredError> {
        let packed = Self::packed_index(store, session).await?;
        packed.map(|packed| unpacked(session, &packed)).transpose()
    }

    async fn packed_index(store: &Store, session: &SessionId) -> Result<Option<Bytes>, StoredError> {
        let key = index_key(session);
        match store.get(&key).await {
            Ok(packed) => Ok(Some(packed)),
            Err(GetError::Missing { .. }) => Ok(None),
            Err(source) => Err(StoredError::Get { key, source }),
        }
    }
}

fn unpacked(session: &SessionId, packed: &[u8]) -> Result<Index, StoredError> {
    Index::read(packed).map_err(|source| StoredError::Index { key: index_key(session), source })
}

/// The kind of an object below `recordings/`, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordingObject {
    /// A session's recording or index.
    OfSession(SessionId),
    /// A chunk of this trail's journal.
    Journal {
        /// The trail.
        trail: String,
    },
    /// No recorder puts such an object there.
    Foreign,
}

impl RecordingObject {
    /// Classifies the object with this name.
    pub fn classify(key: &Key) -> Self {
        let name = key.name();
        let session = name.strip_suffix(".cast.zst").or_else(|| name.strip_suffix(".index.zst"));
        if let Some(session) = session.and_then(|session| session.parse::<SessionId>().ok())
            && [recording_key(&session), index_key(&session)].contains(key)
        {
            return Self::OfSession(session);
        }
        let parts: Vec<&str> = key.as_str().split('/').collect();
        match parts[..] {
            ["recordings", "journal", trail, chunk] if chunk.ends_with(".zst") => {
                Self::Journal { trail: trail.to_owned() }
            }
            _ => Self::Foreign,
        }
    }
}

fn to_usize(value: u64) -> usize {
    usize::try_from(value).expect("a part of an object fits in memory")
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;
    use meshtrail_trail::store::{StoreLocation, WritePolicy};

    use super::*;
    use crate::seal::{FRAME, SeekableWriter};

    #[tokio::test]
    async fn parts_and_the_whole_come_back_as_received_and_damage_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let location = StoreLocation::Folder(folder.path().to_owned());
        let store = Store::open(&location, &WritePolicy::default()).await.unwrap();
        let session: SessionId = "20261120-main-3-17".parse().unwrap();
        assert!(StoredRecording::open(&store, &session).await.unwrap_err().is_missing());

        let received: Vec<u8> = (0..20 * FRAME + 99).map(|at| u8::try_from(at % 249).unwrap()).collect();
        let mut writer = SeekableWriter::new(Vec::new()).unwrap();
        writer.push(&received).unwrap();
        let object = writer.finish().unwrap();
        store.put_new(&recording_key(&session), object.into()).await.unwrap();

        let recording = StoredRecording::open(&store, &session).await.unwrap();
        assert_eq!(recording.bytes(), received.len() as u64);
        for range in [0..10, 0..0, 300_000..300_001, 5_000_000..9_999_999, FRAME..2 * FRAME] {
            let (start, end) = (range.start as u64, range.end as u64);
            let expected = &received[range.start..range.end.min(received.len())];
            assert_eq!(recording.read(start..end).await.unwrap(), expected, "{start}..{end}");
        }
        let whole: Vec<Bytes> = recording.clone().stream(7).try_collect().await.unwrap();
        assert_eq!(whole.concat(), &received[7..]);

        let path = folder.path().join("recordings/2026/11/20/20261120-main-3-17.cast.zst");
        let mut object = std::fs::read(&path).unwrap();
        object[100] ^= 1;
        std::fs::write(&path, object).unwrap();
        let error = recording.read(0..10).await.unwrap_err().to_string();
        assert_eq!(
            error,
            "recordings/2026/11/20/20261120-main-3-17.cast.zst is damaged: bytes from 0 can't be unpacked"
        );
    }

    #[test]
    fn what_lies_below_recordings_is_told_by_its_whole_name() {
        let classify = |key: &str| RecordingObject::classify(&Key::new(key).unwrap());
        let session: SessionId = "20261120-main-3-17".parse().unwrap();
        for ending in ["cast", "index"] {
            let key = format!("recordings/2026/11/20/{session}.{ending}.zst");
            assert_eq!(classify(&key), RecordingObject::OfSession(session.clone()));
        }
        let journal = RecordingObject::Journal { trail: "main".to_owned() };
        assert_eq!(classify("recordings/journal/main/00000000004294967296.zst"), journal);
        for foreign in [
            "recordings/2026/11/21/20261120-main-3-17.cast.zst",
            "recordings/2026/11/20/20261120-main-3-17.cast",
            "recordings/2026/11/20/readme.txt",
            "recordings/journal/main/readme.txt",
        ] {
            assert_eq!(classify(foreign), RecordingObject::Foreign, "{foreign}");
        }
    }
}
