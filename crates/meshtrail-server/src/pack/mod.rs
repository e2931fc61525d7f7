//! Evidence packs: one HTML file that replays a session and verifies itself offline.
//!
//! - A pack holds the received bytes of a recording, every event that binds them, the inclusion proof of each event
//!   under one checkpoint, that checkpoint, and the key it is signed by; and nothing that is not checked.
//! - The file loads nothing: its scripts, styles and fonts are embedded, and allowed by their hashes only.
//! - No byte of the recording or of an event can end the block that contains it, or be parsed as markup.
//! - [`check`] makes the page's checks in Rust, and also compares the file's frame with this version's frame.
//!
//! A pack can't prove that its key is the right one: the key must be known from elsewhere.

mod check;

use std::io::{Read, Write};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use meshtrail_console::pack_frame;
use meshtrail_event::SessionId;
use meshtrail_trail::tree::Hash;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use check::{Check, Report, check};

/// The format's name, with its version.
pub const FORMAT: &str = "meshtrail-pack-1";

/// The most received bytes in a pack: a browser holds all of them in memory.
pub const MAX_RECORDING: u64 = 256 * 1024 * 1024;

/// The data of a pack, as it is embedded in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pack {
    /// The newest checkpoint when the pack was made: a signed note.
    pub checkpoint: String,
    /// Every event of the session that binds the recording: its start, its marks, its end.
    pub events: Vec<PackEvent>,
    /// [`FORMAT`].
    pub format: String,
    pub recording: PackRecording,
    pub session: SessionId,
    /// How many events the checkpoint covers.
    pub size: u64,
    /// The key that signs the checkpoint, as a C2SP verifier key.
    pub vkey: String,
}

/// One event and its inclusion proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackEvent {
    /// The siblings from the leaf to the root.
    pub hashes: Vec<Hash>,
    /// Its index in the trail.
    pub index: u64,
    /// The leaf's bytes, in base64.
    pub leaf: String,
}

/// The received bytes, compressed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackRecording {
    /// The compressed bytes in base64.
    pub data: String,
    /// The compression: `gzip`, which every browser supports.
    pub encoding: String,
    /// SHA-256 of the compressed bytes, so that a change shows even if the decompressed bytes are the same.
    pub sha256: String,
}

/// The parts of a pack.
pub struct PackParts {
    pub session: SessionId,
    /// The received bytes.
    pub recording: Vec<u8>,
    /// The session's events: index, leaf, inclusion proof.
    pub events: Vec<(u64, Vec<u8>, Vec<Hash>)>,
    /// The checkpoint's signed note.
    pub checkpoint: String,
    pub vkey: String,
    /// How many events the checkpoint covers.
    pub size: u64,
}

/// Why a pack could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("the recording is {bytes} bytes long; a pack is made of at most {MAX_RECORDING}")]
    TooLarge { bytes: u64 },
    #[error("the recording could not be packed")]
    Packing(#[source] std::io::Error),
}

impl Pack {
    pub fn build(parts: PackParts) -> Result<Pack, BuildError> {
        let bytes = parts.recording.len() as u64;
        if bytes > MAX_RECORDING {
            return Err(BuildError::TooLarge { bytes });
        }
        let packed = gzip(&parts.recording).map_err(BuildError::Packing)?;
        let recording = PackRecording {
            sha256: hex::encode(Sha256::digest(&packed)),
            data: BASE64_STANDARD.encode(&packed),
            encoding: "gzip".to_owned(),
        };
        let event = |(index, leaf, hashes): (u64, Vec<u8>, Vec<Hash>)| PackEvent {
            hashes,
            index,
            leaf: BASE64_STANDARD.encode(leaf),
        };
        Ok(Pack {
            checkpoint: parts.checkpoint,
            events: parts.events.into_iter().map(event).collect(),
            format: FORMAT.to_owned(),
            recording,
            session: parts.session,
            size: parts.size,
            vkey: parts.vkey,
        })
    }

    pub fn to_html(&self) -> Vec<u8> {
        let data = serde_json::to_string(self).expect("a pack is text and numbers");
        pack_frame::embed(&data)
    }
}

fn gzip(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// Decompresses at most one byte more than a pack may hold, so that no file decompresses without end.
fn gunzip(packed: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut decoder = flate2::bufread::GzDecoder::new(packed).take(MAX_RECORDING + 1);
    decoder.read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_RECORDING || !decoder.into_inner().into_inner().is_empty() {
        return Err(std::io::ErrorKind::InvalidData.into());
    }
    Ok(bytes)
}
