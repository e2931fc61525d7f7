//! Session recordings: received from mesh nodes, stored byte for byte, bound into a trail, and repaired for playback.
//!
//! - [`Recordings`]: open, serve, list, follow, play, export, end, import.
//! - [`Session`]: the public description of one recorded session.
//! - [`protocol`]: the protocol between nodes and a recorder. [`Refusal`]: why a recording is not accepted.
//! - [`journal`]: durable bytes of all sessions with one group commit.
//! - [`seal`]: an ended recording in the store.
//! - [`cast`]: asciicast v2, parsed tolerantly and repaired only when it is read.
//! - [`check`]: compares a recording with what the trail says of it.
//! - [`unsealed_sessions`]: sessions whose terminal events are still to come.
//!
//! Who may look at a recording is not known here.

pub mod cast;
pub mod check;
mod faults;
pub mod journal;
mod ledger;
pub mod protocol;
mod refusal;
pub mod seal;
mod session_identity;
mod session_view;
mod sessions;
mod ship;
#[cfg(test)]
mod testing;
mod unsealed;

pub use ledger::{IndexedEvent, Ledger, LedgerError, SessionScan};
pub use refusal::Refusal;
pub use session_identity::SessionKind;
pub use session_view::{Session, SessionState};
pub use sessions::{
    CastFileError, Cursor, CursorError, DEMO_TRAIL, DemoSession, DemoSessionError, FollowEvent, Import,
    ImportError, ImportOutcome, KillError, ListMoment, MAX_IMPORT, OpenError, ReadError, RecordingConfig,
    Recordings, SessionsPage, StoreFileError, StoredDemoSession,
};
pub use unsealed::unsealed_sessions;
