//! Complete recordings in files: read, packed and put into the store without the journal.
//!
//! The bytes are put into the store first, then the events are appended. A crash in between leaves an object without an
//! event; importing the same recording again puts it under another name.

use std::{
    fs,
    io::{self, Read as _, Seek as _},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use meshtrail_event::{SessionId, Timestamp};
use meshtrail_trail::store::{Key, PutError};
use sha2::{Digest, Sha256};

use super::{Recordings, sealing};
use crate::{
    cast::{Anomalies, Header, HeaderError, LineSplitter, MAX_HEADER, Piece, Repair, Split},
    seal::recording_key,
};

/// Bytes read at a time.
const PIECE: usize = 256 << 10;

/// The properties of a recording's bytes.
pub(super) struct CastSummary {
    pub(super) header: Header,
    pub(super) bytes: u64,
    pub(super) sha256: String,
    /// The time of its last event.
    pub(super) length: std::time::Duration,
    pub(super) anomalies: Anomalies,
    /// Whether it ends within a line.
    pub(super) is_cut_off: bool,
}

/// Why a file is no recording.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum CastFileError {
    #[error("it is empty")]
    Empty,
    #[error(transparent)]
    Header(#[from] HeaderError),
    #[error("it ends within its first line")]
    NoLine,
    #[error("none of its lines below the header can be read")]
    NoEvents,
    #[error("header.timestamp: missing, and the file's name does not tell when it began either")]
    NoStart,
}

/// Why a file could not be put into the store as a recording.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum StoreFileError {
    /// The packed bytes are written to the spool's folder.
    #[error("its bytes can't be read or packed")]
    Read(#[source] io::Error),
    #[error("the store did not take {key}")]
    Put { key: Key, source: PutError },
    #[error("its bytes changed while they were read")]
    Changed,
}

/// Reads a whole file, with bounded memory.
pub(super) fn read(path: &Path) -> io::Result<Result<CastSummary, CastFileError>> {
    let mut file = fs::File::open(path)?;
    let header = match first_line(&mut file)? {
        Ok(header) => header,
        Err(error) => return Ok(Err(error)),
    };
    file.rewind()?;
    let (mut hasher, mut repair, mut bytes) = (Sha256::new(), Repair::default(), 0);
    let (mut events, mut last) = (0u64, b'\n');
    let mut piece = vec![0; PIECE];
    loop {
        let length = file.read(&mut piece)?;
        let Some(read) = piece.get(..length).filter(|read| !read.is_empty()) else { break };
        hasher.update(read);
        repair.push(read, |piece| events += u64::from(matches!(piece, Piece::Event { .. })));
        bytes += length as u64;
        last = read[length - 1];
    }
    repair.finish();
    // A header alone is a session without output. A header followed by lines that can't be read is no recording.
    if events == 0 && repair.lines() > 1 {
        return Ok(Err(CastFileError::NoEvents));
    }
    Ok(Ok(CastSummary {
        header,
        bytes,
        sha256: hex::encode(hasher.finalize()),
        length: std::time::Duration::try_from_secs_f64(repair.time()).unwrap_or_default(),
        anomalies: repair.anomalies().clone(),
        is_cut_off: last != b'\n',
    }))
}

fn first_line(file: &mut fs::File) -> io::Result<Result<Header, CastFileError>> {
    let mut start = Vec::new();
    file.take(MAX_HEADER as u64 + 2).read_to_end(&mut start)?;
    if start.is_empty() {
        return Ok(Err(CastFileError::Empty));
    }
    let mut splitter = LineSplitter::new(MAX_HEADER);
    let mut found = None;
    splitter.push(&start, |_, split| {
        found.get_or_insert_with(|| match split {
            Split::Line(line) => {
                Header::parse(line, &mut Anomalies::default()).map_err(CastFileError::Header)
            }
            _ => Err(CastFileError::Header(HeaderError::TooLong { length: start.len() as u64 })),
        });
    });
    let long = start.len() > MAX_HEADER;
    let none = || {
        if long { HeaderError::TooLong { length: start.len() as u64 }.into() } else { CastFileError::NoLine }
    };
    Ok(found.unwrap_or_else(|| Err(none())))
}

impl Recordings {
    /// A new id for a session that began at `started`.
    pub(super) fn new_session_id(&self, started: Timestamp) -> SessionId {
        let number = self.inner.next_number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        SessionId::new(started, self.ledger().trail(), self.ledger().epoch(), number)
            .expect("a trail's name can stand in a session's id")
    }

    /// Packs a file's bytes, and puts them and their index into the store. Returns the index's SHA-256, if the store
    /// has it.
    pub(super) async fn store_file(
        &self,
        session: &SessionId,
        file: PathBuf,
        (bytes, sha256): (u64, &str),
    ) -> Result<Option<String>, StoreFileError> {
        let scratch = self.inner.local.join(format!("spool/{session}.sealing"));
        let permit = self.inner.sealing_permits.acquire().await.expect("the semaphore is never closed");
        let pack = move || {
            let mut file = fs::File::open(file)?;
            sealing::pack_to(&scratch, bytes, Vec::new(), |_, length| {
                let mut piece = vec![0; length];
                let read = file.read(&mut piece)?;
                piece.truncate(read);
                Ok(Bytes::from(piece))
            })
        };
        let packed = sealing::run_blocking(pack).await.map_err(StoreFileError::Read)?;
        drop(permit);
        if packed.sha256 != sha256 {
            return Err(StoreFileError::Changed);
        }
        let key = recording_key(session);
        let put = self.store().put_new(&key, packed.object).await;
        put.map_err(|source| StoreFileError::Put { key, source })?;
        Ok(sealing::put_index(self, session, &packed.index).await)
    }
}
