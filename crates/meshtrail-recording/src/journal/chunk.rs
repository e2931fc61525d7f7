//! Chunks: the content of a journal file in the form that is shipped to a bucket, against the loss of the machine.
//!
//! zstd over one JSON line `{"format":1,"generation":…,"sessions":[openings]}` and the frames of these sessions. Each
//! chunk can be read alone; all chunks together contain each session's bytes.

use std::{
    fs::File,
    io::{self, BufWriter, Read, Write},
    os::unix::fs::FileExt,
    path::PathBuf,
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{
    Folders, Opening, Scan, Shared,
    frame::{Frame, FrameKind, scan},
    layout::extents_of,
    lock,
    session_stream::StreamState,
};

const FORMAT: u64 = 1;

/// The unpacked size that a chunk may have: a journal file and the sessions' openings fit.
const MAX_UNPACKED: u64 = 128 << 20;

#[derive(Serialize, Deserialize)]
struct Head {
    format: u64,
    generation: u64,
    sessions: Vec<Opening>,
}

/// Why a chunk can't be read.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ChunkError {
    #[error("the chunk can't be unpacked")]
    Packed(#[source] io::Error),
    #[error("the chunk holds more than {MAX_UNPACKED} bytes")]
    TooLong,
    #[error("the chunk's first line is wrong")]
    Head(#[source] serde_json::Error),
    #[error("the chunk has format {found}, this program knows up to {FORMAT}: a newer version wrote it")]
    Newer { found: u64 },
}

/// An unpacked chunk.
pub struct Chunk {
    head: Head,
    frames: Vec<u8>,
}

impl Chunk {
    /// Unpacks a chunk of at most `MAX_UNPACKED` bytes.
    pub fn read(packed: &[u8]) -> Result<Chunk, ChunkError> {
        let mut bytes = Vec::new();
        let unpacking = zstd::Decoder::new(packed).map_err(ChunkError::Packed)?;
        unpacking.take(MAX_UNPACKED + 1).read_to_end(&mut bytes).map_err(ChunkError::Packed)?;
        if bytes.len() as u64 > MAX_UNPACKED {
            return Err(ChunkError::TooLong);
        }
        let end = bytes.iter().position(|&byte| byte == b'\n').unwrap_or(bytes.len());
        let head: Head = serde_json::from_slice(&bytes[..end]).map_err(ChunkError::Head)?;
        if head.format > FORMAT {
            return Err(ChunkError::Newer { found: head.format });
        }
        let frames = bytes.split_off((end + 1).min(bytes.len()));
        Ok(Chunk { head, frames })
    }

    /// The generation of its journal file.
    pub fn generation(&self) -> u64 {
        self.head.generation
    }

    /// The openings of its sessions.
    pub fn sessions(&self) -> &[Opening] {
        &self.head.sessions
    }

    pub(super) fn scan(&self) -> Scan<'_> {
        scan(&self.frames, self.head.generation)
    }
}

impl Folders {
    /// The path of a generation's chunk until it is shipped.
    pub fn chunk(&self, generation: u64) -> PathBuf {
        self.ship.join(format!("{generation:020}.zst"))
    }
}

/// Writes the chunk of one generation; none if all its sessions are discarded.
pub(super) fn write(
    shared: &Shared,
    streams: &[Arc<StreamState>],
    generation: u64,
    journal: &File,
) -> io::Result<()> {
    let open: Vec<&Arc<StreamState>> = streams
        .iter()
        .filter(|stream| !lock(&stream.spool).discarded)
        .filter(|stream| extents_of(&lock(&stream.locations).extents, generation).next().is_some())
        .collect();
    if open.is_empty() {
        return Ok(());
    }
    let path = shared.folders.chunk(generation);
    let beside = path.with_extension("new");
    let mut packed = zstd::Encoder::new(BufWriter::new(File::create(&beside)?), 3)?;
    let sessions = open.iter().map(|stream| stream.opening.clone()).collect();
    serde_json::to_writer(&mut packed, &Head { format: FORMAT, generation, sessions })?;
    packed.write_all(b"\n")?;
    for stream in open {
        write_frames(stream, generation, journal, &mut packed)?;
    }
    packed.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
    // A crash before the following sync leaves no chunk, or a part of it under the temporary name. The journal file
    // still exists, and recovery lays it out without a chunk.
    std::fs::rename(beside, path)?;
    meshtrail_log::sync_folder(&shared.folders.ship)
}

fn write_frames(
    stream: &StreamState,
    generation: u64,
    journal: &File,
    out: &mut impl Write,
) -> io::Result<()> {
    let extents: Vec<_> = extents_of(&lock(&stream.locations).extents, generation).copied().collect();
    let (mut payload, mut frame) = (Vec::new(), Vec::new());
    let number = stream.number();
    for extent in extents {
        payload.resize(extent.length as usize, 0);
        journal.read_exact_at(&mut payload, extent.at)?;
        frame.clear();
        Frame { kind: FrameKind::Bytes, batch: 0, number, offset: extent.offset, payload: &payload }
            .write(generation, &mut frame);
        out.write_all(&frame)?;
    }
    let closing = lock(&stream.closing).clone();
    if let Some(closing) = closing.filter(|_| stream.durable.borrow().closed) {
        frame.clear();
        let payload = serde_json::to_vec(&closing)?;
        Frame { kind: FrameKind::Close, batch: 0, number, offset: closing.bytes, payload: &payload }
            .write(generation, &mut frame);
        out.write_all(&frame)?;
    }
    Ok(())
}
