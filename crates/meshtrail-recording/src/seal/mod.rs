//! Sealed recordings: the received bytes of an ended session, compressed in the store, never changed again.
//!
//! - `recordings/YYYY/MM/DD/<session>.cast.zst` holds exactly the received bytes. Any zstd unpacks it; a
//!   seek table at its end (zstd's seekable format) lets a reader unpack only the part it wants.
//! - `<session>.index.zst` beside it is derived from it and may be lost: times, offsets and screens, so that a
//!   jump into a long recording reads little. The event that ends the session names its SHA-256.
//! - A sealed object is put once, if absent. One that is there already is compared, never replaced.

mod index;
mod inspect;
mod seekable;
mod stored;

pub(crate) use index::sha256_of;
pub use index::{Entry, Index, IndexBuilder, IndexError};
pub use inspect::{InspectError, inspect};
pub use seekable::{FRAME, SeekTable, SeekableWriter, TableError};
pub use stored::{RecordingObject, StoredError, StoredRecording, index_key, recording_key};
