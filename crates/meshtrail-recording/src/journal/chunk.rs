//! Chunks: a journal file's content as it is shipped to a bucket, so that a machine lost for good takes
//! little with it.
//!
//! zstd over one JSON line `{"format":1,"generation":…,"sessions":[openings]}` and the frames of these
//! sessions. Each chunk can be read by itself; together they give each session's bytes.

use std::{
    fs::File,
    io::{self, BufWriter, Read, Write},
    os::unix::fs::FileExt,
    path::PathBuf,
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{
    Folders, Opening, Scan, Shared, file,
    frame::{Frame, FrameKind, scan},
    layout::of_generation,
    locked,
    tape::TapeState,
};

const FORMAT: u64 = 1;

/// The most a chunk may hold: a journal file and the sessions' openings.
const MAX_UNPACKED: u64 = 128 << 20;

#[derive(Serialize, Deserialize)]
struct Head {
    format: u64,
    generation: u64,
    sessions: Vec<Opening>,
}

/// Why a chunk can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ChunkError {
    /// It can't be unpacked.
    #[error("the chunk can't be unpacked")]
    Packed(#[source] io::Error),
    /// It unpacks to more than any chunk holds.
    #[error("the chunk holds more than {MAX_UNPACKED} bytes")]
    TooLong,
    /// Its first line is not what it should be.
    #[error("the chunk's first line is wrong")]
    Head(#[source] serde_json::Error),
    /// A newer version made it.
    #[error("the chunk has format {found}, this program knows up to {FORMAT}: a newer version wrote it")]
    Newer {
        /// Its format.
        found: u64,
    },
}

/// A chunk that was unpacked.
pub struct Chunk {
    head: Head,
    frames: Vec<u8>,
}

impl Chunk {
    /// Unpacks one, within bounds.
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

    /// Its generation.
    pub fn generation(&self) -> u64 {
        self.head.generation
    }

    /// The sessions in it.
    pub fn sessions(&self) -> &[Opening] {
        &self.head.sessions
    }

    pub(super) fn scan(&self) -> Scan<'_> {
        scan(&self.frames, self.head.generation)
    }
}

impl Folders {
    /// Where a generation's chunk waits to be shipped.
    pub fn chunk(&self, generation: u64) -> PathBuf {
        self.ship.join(format!("{generation:020}.zst"))
    }
}

/// Writes the chunk of one generation; nothing if all its sessions are sealed already.
pub(super) fn write(
    shared: &Shared,
    tapes: &[Arc<TapeState>],
    generation: u64,
    journal: &File,
) -> io::Result<()> {
    let open: Vec<&Arc<TapeState>> = tapes
        .iter()
        .filter(|tape| !locked(&tape.spool).done)
        .filter(|tape| of_generation(&locked(&tape.placed).extents, generation).next().is_some())
        .collect();
    if open.is_empty() {
        return Ok(());
    }
    let path = shared.folders.chunk(generation);
    let beside = path.with_extension("new");
    let mut packed = zstd::Encoder::new(BufWriter::new(File::create(&beside)?), 3)?;
    let sessions = open.iter().map(|tape| tape.opening.clone()).collect();
    serde_json::to_writer(&mut packed, &Head { format: FORMAT, generation, sessions })?;
    packed.write_all(b"\n")?;
    for tape in open {
        write_frames(tape, generation, journal, &mut packed)?;
    }
    packed.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
    // A crash before the sync that follows leaves none of it or half of it under its other name: the journal
    // file is still there, and recovery lays it out without a chunk.
    std::fs::rename(beside, path)?;
    file::sync_folder(&shared.folders.ship)
}

fn write_frames(tape: &TapeState, generation: u64, journal: &File, out: &mut impl Write) -> io::Result<()> {
    let extents: Vec<_> = of_generation(&locked(&tape.placed).extents, generation).copied().collect();
    let (mut payload, mut frame) = (Vec::new(), Vec::new());
    let number = tape.number();
    for extent in extents {
        payload.resize(extent.length as usize, 0);
        journal.read_exact_at(&mut payload, extent.at)?;
        frame.clear();
        Frame { kind: FrameKind::Bytes, batch: 0, number, offset: extent.offset, payload: &payload }
            .write(generation, &mut frame);
        out.write_all(&frame)?;
    }
    let closing = locked(&tape.closing).clone();
    if let Some(closing) = closing.filter(|_| tape.durable.borrow().closed) {
        frame.clear();
        let payload = serde_json::to_vec(&closing)?;
        Frame { kind: FrameKind::Close, batch: 0, number, offset: closing.bytes, payload: &payload }
            .write(generation, &mut frame);
        out.write_all(&frame)?;
    }
    Ok(())
}
