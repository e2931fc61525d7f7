//! Fault injection: tests make each durable step fail, before or after it is done.

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
    /// All steps: those of an event in their order, then those of a head.
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

/// The point in a step at which a fault is injected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Before the step: it fails and has no effect.
    Before,
    /// After the step: it fails, but its effect persists.
    After,
}

type Plan = Arc<dyn Fn(Step, Moment) -> bool + Send + Sync>;

/// The faults to inject; none outside tests.
#[derive(Clone, Default)]
pub struct Faults(Option<Plan>);

impl Faults {
    /// No step fails.
    pub const fn none() -> Self {
        Self(None)
    }

    /// Injects a fault at each step for which `plan` returns true.
    pub fn with_plan(plan: impl Fn(Step, Moment) -> bool + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(plan)))
    }

    /// Runs a step, with the planned faults.
    pub(crate) fn around<T>(&self, step: Step, body: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.check(step, Moment::Before)?;
        let done = body()?;
        self.check(step, Moment::After)?;
        Ok(done)
    }

    pub(crate) fn check(&self, step: Step, moment: Moment) -> io::Result<()> {
        match &self.0 {
            Some(plan) if plan(step, moment) => Err(io::Error::other("a fault on purpose")),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Faults").field(&self.0.is_some()).finish()
    }
}
