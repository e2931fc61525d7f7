//! Recordings that are whole before they come here: read, packed and put, without a journal.
//!
//! The bytes go to the store first, then the events that tell of them. A crash between leaves an object that nothing
//! refers to: taking the same recording in again puts it under another name.

use std::{
    fs,
    io::{self, Read as _, Seek as _},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use meshtrail_event::{SessionId, Timestamp};
use meshtrail_trail::store::{Key, PutError};
use sha2::{Digest, Sha256};

use super::{Recordings, finish};
use crate::{
    cast::{Anomalies, Header, HeaderError, LineSplitter, MAX_HEADER, Piece, Repair, Split},
    seal::recording_key,
};

/// Bytes read at a time.
const PIECE: usize = 256 << 10;

/// What a recording's bytes say, read once from first to last.
pub(super) struct Read {
    pub(super) header: Header,
    pub(super) bytes: u64,
    pub(super) sha256: String,
    /// The time of its last event.
    pub(super) length: std::time::Duration,
    pub(super) anomalies: Anomalies,
    /// Whether it ends within a line.
    pub(super) cut: bool,
}

/// Why a file is no recording.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// It has no bytes.
    #[error("it is empty")]
    Empty,
    /// Its first line is no header.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// Its first line has no end.
    #[error("it ends within its first line")]
    NoLine,
    /// No line below the header can be read.
    #[error("none of its lines below the header can be read")]
    NoEvents,
    /// Nothing says when it began.
    #[error("header.timestamp: missing, and the file's name does not tell when it began either")]
    NoStart,
}

/// Why a whole recording could not be put into the store.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// The file can't be read, or not be packed beside the spool.
    #[error("its bytes can't be read or packed")]
    Read(#[source] io::Error),
    /// The store did not take it.
    #[error("the store did not take {key}")]
    Put {
        /// Under which name.
        key: Key,
        /// Why.
        source: PutError,
    },
    /// The file is not what it was a moment ago.
    #[error("its bytes changed while they were read")]
    Changed,
}

/// Reads a file from first to last, with bounded memory.
pub(super) fn read(path: &Path) -> io::Result<Result<Read, Damage>> {
    let mut file = fs::File::open(path)?;
    let header = match first_line(&mut file)? {
        Ok(header) => header,
        Err(damage) => return Ok(Err(damage)),
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
    // A file of a header alone is a session in which nothing was shown; one of a header and rubbish is none.
    if events == 0 && repair.lines() > 1 {
        return Ok(Err(Damage::NoEvents));
    }
    Ok(Ok(Read {
        header,
        bytes,
        sha256: hex::encode(hasher.finalize()),
        length: std::time::Duration::try_from_secs_f64(repair.time()).unwrap_or_default(),
        anomalies: repair.anomalies().clone(),
        cut: last != b'\n',
    }))
}

fn first_line(file: &mut fs::File) -> io::Result<Result<Header, Damage>> {
    let mut start = Vec::new();
    file.take(MAX_HEADER as u64 + 2).read_to_end(&mut start)?;
    if start.is_empty() {
        return Ok(Err(Damage::Empty));
    }
    let mut splitter = LineSplitter::new(MAX_HEADER);
    let mut found = None;
    splitter.push(&start, |_, split| {
        found.get_or_insert_with(|| match split {
            Split::Line(line) => Header::parse(line, &mut Anomalies::default()).map_err(Damage::Header),
            _ => Err(Damage::Header(HeaderError::TooLong { length: start.len() as u64 })),
        });
    });
    let long = start.len() > MAX_HEADER;
    let none =
        || if long { HeaderError::TooLong { length: start.len() as u64 }.into() } else { Damage::NoLine };
    Ok(found.unwrap_or_else(|| Err(none())))
}

impl Recordings {
    /// A name for a session that began at `started`.
    pub(super) fn name_session(&self, started: Timestamp) -> SessionId {
        let number = self.inner.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        SessionId::new(started, self.ledger().trail(), self.ledger().epoch(), number)
            .expect("a trail's name can stand in a session's id")
    }

    /// Packs a file's bytes and puts them and their index into the store; gives the index's SHA-256, if it is there.
    pub(super) async fn place(
        &self,
        session: &SessionId,
        file: PathBuf,
        (bytes, sha256): (u64, &str),
    ) -> Result<Option<String>, PlaceError> {
        let scratch = self.inner.local.join(format!("spool/{session}.sealing"));
        let turn = self.inner.sealing.acquire().await.expect("the turns are never closed");
        let pack = move || {
            let mut file = fs::File::open(file)?;
            finish::pack_to(&scratch, bytes, Vec::new(), |_, length| {
                let mut piece = vec![0; length];
                let read = file.read(&mut piece)?;
                piece.truncate(read);
                Ok(Bytes::from(piece))
            })
        };
        let packed = finish::blocking(pack).await.map_err(PlaceError::Read)?;
        drop(turn);
        if packed.sha256 != sha256 {
            return Err(PlaceError::Changed);
        }
        let key = recording_key(session);
        let put = self.store().put_new(&key, packed.object).await;
        put.map_err(|source| PlaceError::Put { key, source })?;
        Ok(finish::put_index(self, session, &packed.index).await)
    }
}
