//! Generated recordings: terminal sessions as asciicast v2, typed at a human's pace.
//!
//! A recording has exactly the bytes that a node would send: a header that names the actor, then the terminal's output.
//! Input is visible only as far as the terminal echoes it.

pub(crate) mod header;
mod script;
mod scripts;
mod terminal;

use meshtrail_event::{Actor, Identity, Target, Timestamp};

pub(crate) use script::{Script, ScriptContext};
pub(crate) use terminal::Terminal;

/// A generated session recording.
#[derive(Debug, Clone)]
pub struct DemoRecording {
    /// Start.
    pub started: Timestamp,
    /// End.
    pub ended: Timestamp,
    /// The bytes, as a node sends them.
    pub cast: Vec<u8>,
    /// The session's actor.
    pub actor: Actor,
    /// The actor's identity.
    pub identity: Identity,
    /// The session's target.
    pub target: Target,
    /// `address:port` of the node that recorded.
    pub peer: String,
    /// The node that recorded, by its full name.
    pub recorded_by: Option<String>,
    /// Why the recording is incomplete, if it is.
    pub cut_off: Option<String>,
}
