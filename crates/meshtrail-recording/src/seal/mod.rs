//! Sealed recordings: the received bytes of an ended session, compressed in the store and never changed.
//!
//! - `recordings/YYYY/MM/DD/<session>.cast.zst` contains exactly the received bytes. Every zstd unpacks it. A seek
//!   table at its end (zstd's seekable format) allows readers to unpack a part of it.
//! - `<session>.index.zst` is derived from it and may be lost: times, offsets and screens, so that a jump into a long
//!   recording reads few bytes. The terminal event names its SHA-256.
//! - A sealed object is put once, if absent. An existing one is compared, never replaced.

mod index;
mod inspect;
mod seekable;
mod stored;

pub(crate) use index::sha256_of;
pub use index::{Entry, Index, IndexBuilder, IndexError};
pub use inspect::{InspectError, inspect};
pub use seekable::{FRAME, SeekTable, SeekableWriter, TableError};
pub use stored::{RecordingObject, StoredError, StoredRecording, index_key, recording_key};
