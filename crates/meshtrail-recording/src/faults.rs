//! Fault injection: tests can make each durable step fail.

use std::{fmt, io, sync::Arc};

/// A step that changes the disk, the store or the trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// A journal file is created and its name is made durable.
    CreateJournal,
    /// Frames are written to the journal.
    WriteFrames,
    /// Frames in the journal are made durable; then they are acknowledged.
    SyncFrames,
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

impl Step {
    /// All steps, in the order of a session's life.
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

/// A moment before or after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Moment {
    /// A failure here means that the step had no effect.
    Before,
    /// A failure here means that the step took effect, but its caller gets an error.
    After,
}

type Check = dyn Fn(Step, Moment) -> io::Result<()> + Send + Sync;

/// The faults to inject: none outside of tests.
#[derive(Clone, Default)]
pub struct Faults(Option<Arc<Check>>);

impl Faults {
    /// No faults.
    pub const fn none() -> Self {
        Self(None)
    }

    /// Faults decided by `check`, which is called before and after each step.
    pub fn new(check: impl Fn(Step, Moment) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(check)))
    }

    /// Fails if a fault is injected here.
    pub fn check(&self, step: Step, moment: Moment) -> io::Result<()> {
        self.0.as_ref().map_or(Ok(()), |check| check(step, moment))
    }

    /// Runs a step, with the checks before and after it.
    pub fn around<T>(&self, step: Step, run: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.check(step, Moment::Before)?;
        let result = run()?;
        self.check(step, Moment::After)?;
        Ok(result)
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Faults(injected)" } else { "Faults(none)" })
    }
}
