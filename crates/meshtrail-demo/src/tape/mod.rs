//! Recordings worth watching: terminal sessions as asciicast v2, typed at a human's pace.
//!
//! A tape holds exactly the bytes that a node would have sent: a header that names who connected, then what the
//! terminal showed. What was typed shows only as far as the terminal echoed it.

pub(crate) mod film;
mod reel;
mod script;
mod scripts;

use meshtrail_event::{Actor, Identity, Target, Timestamp};

pub(crate) use reel::Reel;
pub(crate) use script::{Place, Script};

/// A recorded session, made up.
#[derive(Debug, Clone)]
pub struct Tape {
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// The bytes, as a node sends them.
    pub cast: Vec<u8>,
    /// Who was in it.
    pub actor: Actor,
    /// How that is known.
    pub identity: Identity,
    /// Where it was.
    pub target: Target,
    /// `address:port` of the node that recorded.
    pub peer: String,
    /// The node that recorded, by its full name.
    pub recorded_by: Option<String>,
    /// Why the recording stopped short, where it did.
    pub cut_off: Option<String>,
}
