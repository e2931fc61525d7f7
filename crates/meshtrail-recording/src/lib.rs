//! Session recordings: the recorder protocol, durable storage, playback.

pub mod cast;
mod causes;
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

pub use ledger::{Indexed, Ledger, LedgerError, SessionScan};
pub use portrait::SessionKind;
pub use session::{Session, SessionState};
pub use sessions::{
    Cursor, CursorError, Followed, KillError, OpenError, ReadError, RecordingConfig, Recordings, Refusal,
    SessionsPage,
};
