//! Faults on purpose: tests break each durable step, before it is done or after.

use std::fmt;
use std::io;
use std::sync::Arc;

/// Every step after which something is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Step {
    WalCreate,
    WalExtend,
    WalWrite,
    WalSync,
    PutSegment,
    PutTile,
    PutManifest,
    ReplaceCheckpoint,
    WalDelete,
    PutHead,
    SyncHead,
}

impl Step {
    /// Every step: those that an event passes, in that order, then those of a head.
    pub const ALL: [Self; 11] = [
        Self::WalCreate,
        Self::WalExtend,
        Self::WalWrite,
        Self::WalSync,
        Self::PutSegment,
        Self::PutTile,
        Self::PutManifest,
        Self::ReplaceCheckpoint,
        Self::WalDelete,
        Self::PutHead,
        Self::SyncHead,
    ];
}

/// When a step is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// A fault here: the step failed and did nothing.
    Before,
    /// A fault here: the step failed, but what it did persisted.
    After,
}

type Plan = Arc<dyn Fn(Step, When) -> bool + Send + Sync>;

/// Which steps fail. None outside tests.
#[derive(Clone, Default)]
pub struct Faults(Option<Plan>);

impl Faults {
    /// No step fails.
    pub const fn none() -> Self {
        Self(None)
    }

    /// The steps fail for which `plan` says so.
    pub fn planned(plan: impl Fn(Step, When) -> bool + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(plan)))
    }

    /// Does a step, unless it is to fail.
    pub(crate) fn around<T>(&self, step: Step, body: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.check(step, When::Before)?;
        let done = body()?;
        self.check(step, When::After)?;
        Ok(done)
    }

    pub(crate) fn check(&self, step: Step, when: When) -> io::Result<()> {
        match &self.0 {
            Some(plan) if plan(step, when) => Err(io::Error::other("a fault on purpose")),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Faults").field(&self.0.is_some()).finish()
    }
}
