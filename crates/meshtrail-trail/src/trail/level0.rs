//! A cache of leaf hashes of sealed events on local disk, so that a proof reads 8 KiB instead of decoding a segment.
//!
//! - Derived: it may be deleted at any time; missing tiles are recomputed from segments.
//! - Bounded: tile `n` is in slot `n mod` [`SLOTS`], so that it takes at most 320 MiB, for the newest ten million events
//!   and older ones that were requested.
//! - Not trusted: the reader compares a tile's root with the level above, which the signed tree covers.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::tree::{Hash, TILE_WIDTH};

/// The number of slots.
const SLOTS: u64 = 40_960;
const TILE_BYTES: usize = TILE_WIDTH * Hash::SIZE;

/// The cached tiles; none without a local folder.
#[derive(Debug, Default)]
pub(super) struct Level0(Option<File>);

impl Level0 {
    /// Opens the file in the machine's folder. Without it proofs only take longer.
    pub(super) fn open(local: &Path, trail: &str) -> Self {
        let folder = local.join("cache");
        let open = || -> io::Result<File> {
            fs::create_dir_all(&folder)?;
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false);
            options.open(folder.join(format!("{trail}.hashes")))
        };
        match open() {
            Ok(file) => Self(Some(file)),
            Err(error) => {
                tracing::warn!(folder = %folder.display(), %error, "no hashes are kept: proofs take longer");
                Self(None)
            }
        }
    }

    /// Stores a full tile.
    pub(super) fn put(&self, index: u64, hashes: &[Hash]) {
        let Some(file) = &self.0 else { return };
        let bytes: Vec<u8> = hashes.iter().flat_map(|hash| *hash.as_bytes()).collect();
        debug_assert_eq!(bytes.len(), TILE_BYTES, "only full tiles are kept");
        if let Err(error) = file.write_all_at(&bytes, place(index)) {
            tracing::debug!(%error, "hashes could not be kept");
        }
    }

    /// Reads the tile's slot, which may hold that tile, another one, or garbage.
    pub(super) fn get(&self, index: u64) -> Option<Vec<Hash>> {
        let mut bytes = vec![0; TILE_BYTES];
        self.0.as_ref()?.read_exact_at(&mut bytes, place(index)).ok()?;
        bytes.chunks_exact(Hash::SIZE).map(Hash::from_slice).collect()
    }
}

const fn place(index: u64) -> u64 {
    (index % SLOTS) * TILE_BYTES as u64
}
