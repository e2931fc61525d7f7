//! Fault injection: tests make each durable step fail, before or after it is done.

use std::fmt;
use std::io;
use std::sync::Arc;

/// A step of a log after which something is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogStep {
    /// A file gets its name.
    Create,
    /// A file gets more room.
    Extend,
    /// Frames are written.
    Write,
    /// Frames are synced; then they are acknowledged.
    Sync,
}

/// A moment before or after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Moment {
    /// A failure here means that the step had no effect.
    Before,
    /// A failure here means that the step took effect, but its caller gets an error.
    After,
}

type Check<S> = dyn Fn(S, Moment) -> io::Result<()> + Send + Sync;

/// The faults to inject into steps `S`; none outside tests.
#[derive(Clone)]
pub struct Faults<S>(Option<Arc<Check<S>>>);

impl<S: Copy + 'static> Faults<S> {
    /// No step fails.
    pub const fn none() -> Self {
        Self(None)
    }

    /// Calls `check` before and after each step, which fails with its error.
    pub fn new(check: impl Fn(S, Moment) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(check)))
    }

    /// Injects a fault at each step for which `plan` returns true.
    pub fn with_plan(plan: impl Fn(S, Moment) -> bool + Send + Sync + 'static) -> Self {
        Self::new(move |step, moment| match plan(step, moment) {
            true => Err(io::Error::other("a fault on purpose")),
            false => Ok(()),
        })
    }

    /// The faults of a log whose steps are `step` among these.
    pub fn of_log(&self, step: fn(LogStep) -> S) -> Faults<LogStep> {
        match self.0.clone() {
            Some(check) => Faults::new(move |at, moment| check(step(at), moment)),
            None => Faults::none(),
        }
    }

    /// Fails if a fault is injected here.
    pub fn check(&self, step: S, moment: Moment) -> io::Result<()> {
        self.0.as_ref().map_or(Ok(()), |check| check(step, moment))
    }

    /// Runs a step, with the checks before and after it.
    pub fn around<T>(&self, step: S, run: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.check(step, Moment::Before)?;
        let done = run()?;
        self.check(step, Moment::After)?;
        Ok(done)
    }
}

impl<S> fmt::Debug for Faults<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Faults").field(&self.0.is_some()).finish()
    }
}
