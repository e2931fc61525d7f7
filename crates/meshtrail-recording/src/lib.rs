//! Session recordings: taken in from mesh nodes, kept exactly, bound into a trail, played back repaired.
//!
//! - [`Recordings`]: open, serve, list, follow, play, export, end.
//! - [`Session`]: one recorded session as the outside sees it.
//! - [`protocol`]: what nodes speak to a recorder.
//! - [`journal`]: how the bytes of ten thousand sessions become durable at once.
//! - [`seal`]: how an ended recording lies in the store.
//! - [`cast`]: asciicast v2, parsed tolerantly and repaired only when read.
//! - [`check`]: whether a recording is what the trail says it is.
//! - [`unsealed_sessions`]: which sessions' events are still to come.
//!
//! Who may look at a recording is not known here.

pub mod cast;
pub mod check;
mod faults;
pub mod journal;
mod ledger;
mod portrait;
pub mod protocol;
pub mod seal;
mod session;
mod sessions;
mod ship;
#[cfg(test)]
mod testing;
mod unsealed;

pub use ledger::{Indexed, Ledger, LedgerError, SessionScan};
pub use portrait::SessionKind;
pub use session::{Session, SessionState};
pub use sessions::{
    Bound, Cursor, CursorError, Damage, Followed, Import, ImportError, Imported, KillError, MAX_IMPORT,
    OpenError, PlaceError, ReadError, RecordingConfig, Recordings, Refusal, STAGE, SessionsPage, StageError,
    Staged, Staging,
};
pub use unsealed::unsealed_sessions;
