//! A framed log on local disk, whose bytes survive a crash once they are synced.
//!
//! - [`LogWriter`]: appends to a file whose room is on disk before it is used, with one sync for each append.
//! - [`Format`]: frames with checksums. [`Format::scan`] tells a write that a crash interrupted from damage to synced bytes.
//! - [`Header`]: the first page of a file, for a log without one of its own.
//! - [`files_in`]: the files of a log, oldest first. The front of a log is dropped by removing its first file.
//! - [`Faults`]: fault injection into durable steps, for tests.
//!
//! What payloads mean, when a file is full, and what is done about damage is left to the callers.

mod fault;
mod file;
mod frame;
mod header;
mod scan;
#[cfg(test)]
mod tests;

pub use fault::{Faults, LogStep, Moment};
pub use file::{LogFile, LogWriter, NewFile, clear_tail, files_in, sync_folder};
pub use frame::{Broken, Format, Frame, Order};
pub use header::{HEADER_SIZE, Header, HeaderError};
pub use scan::{Rest, Scan};
