//! Every durable step by name, so that tests can break each of them.

use std::{fmt, io, sync::Arc};

/// A step after which something is on disk, in the store or in the trail that was not before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// A journal file is made and its name is durable.
    CreateJournal,
    /// Frames are written to the journal.
    WriteFrames,
    /// Frames in the journal are made durable; after it they are acknowledged.
    SyncFrames,
    /// A session's bytes are copied to its spool file.
    AppendSpool,
    /// All spool files are made durable.
    SyncSpool,
    /// A journal file that was laid out is deleted.
    DeleteJournal,
    /// The recording is put into the store.
    PutRecording,
    /// The recording's index is put into the store.
    PutIndex,
    /// The event that ends the session is appended to the trail.
    EndEvent,
    /// The spool files of a sealed session are deleted.
    RemoveSpool,
}

impl Step {
    /// Every step, in the order a session meets them.
    pub const ALL: [Self; 10] = [
        Self::CreateJournal,
        Self::WriteFrames,
        Self::SyncFrames,
        Self::AppendSpool,
        Self::SyncSpool,
        Self::DeleteJournal,
        Self::PutRecording,
        Self::PutIndex,
        Self::EndEvent,
        Self::RemoveSpool,
    ];
}

/// Whether a step is about to be taken or was just taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Moment {
    /// Failing here means that nothing was done.
    Before,
    /// Failing here means that it was done, but nobody heard so.
    After,
}

type Check = dyn Fn(Step, Moment) -> io::Result<()> + Send + Sync;

/// What goes wrong, and when: nothing, unless a test says so.
#[derive(Clone, Default)]
pub struct Faults(Option<Arc<Check>>);

impl Faults {
    /// Nothing goes wrong by itself.
    pub const fn none() -> Self {
        Self(None)
    }

    /// Asks `check` before and after each step.
    pub fn new(check: impl Fn(Step, Moment) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(check)))
    }

    /// Fails if this is where it fails.
    pub fn check(&self, step: Step, moment: Moment) -> io::Result<()> {
        self.0.as_ref().map_or(Ok(()), |check| check(step, moment))
    }

    /// Takes a step.
    pub fn around<T>(&self, step: Step, take: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.check(step, Moment::Before)?;
        let taken = take()?;
        self.check(step, Moment::After)?;
        Ok(taken)
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Faults(injected)" } else { "Faults(none)" })
    }
}
