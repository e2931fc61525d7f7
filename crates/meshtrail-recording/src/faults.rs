//! Fault injection: tests can make each durable step fail.

pub(crate) use meshtrail_log::{LogStep, Moment};

/// The faults to inject; none outside tests.
pub(crate) type Faults = meshtrail_log::Faults<Step>;

/// A step that changes the disk, the store or the trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// A step of the journal.
    Journal(LogStep),
    /// A session's bytes are copied to its spool file.
    AppendSpool,
    /// All spool files are made durable.
    SyncSpool,
    /// A laid out journal file is deleted.
    DeleteJournal,
    /// The recording is put into the store.
    PutRecording,
    /// The recording's index is put into the store.
    PutIndex,
    /// The terminal event is appended to the trail.
    EndEvent,
    /// The spool files of a sealed session are deleted.
    RemoveSpool,
}
