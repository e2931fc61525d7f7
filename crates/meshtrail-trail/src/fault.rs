//! Fault injection: tests make each durable step fail, before or after it is done.

pub use meshtrail_log::{LogStep, Moment};

/// The faults to inject into a trail; none outside tests.
pub type Faults = meshtrail_log::Faults<Step>;

/// Every step after which something is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Step {
    Log(LogStep),
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
        Self::Log(LogStep::Create),
        Self::Log(LogStep::Extend),
        Self::Log(LogStep::Write),
        Self::Log(LogStep::Sync),
        Self::PutSegment,
        Self::PutTile,
        Self::PutManifest,
        Self::ReplaceCheckpoint,
        Self::WalDelete,
        Self::PutHead,
        Self::SyncHead,
    ];
}
