//! The report of a verification: problems and notes, with the file and the consequences.

use std::fmt;
use std::ops::Range;

use meshtrail_event::text::visible;

use crate::manifest::TreeHead;
use crate::store::TamperingKind;
use crate::tree::Hash;

/// The outcome of a verification.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// What was verified.
    pub checked: VerifyCounts,
    /// What is wrong, or could not be read; empty if everything is valid.
    pub problems: Vec<Problem>,
    /// Notes that are no problems.
    pub notes: Vec<Note>,
    /// The recomputed size and root, log included.
    pub head: Option<TreeHead>,
    /// The index of the requested event.
    pub found: Option<u64>,
}

/// Counts of what was verified.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VerifyCounts {
    /// Manifests whose place in the chain was checked.
    pub manifests: u64,
    /// Segments that were read.
    pub segments: u64,
    /// Events whose leaf was hashed, including those of the log.
    pub events: u64,
    /// Those of them that are only in the log.
    pub logged: u64,
    /// Events that retention dropped, whose hashes are kept.
    pub retired: u64,
    /// Tiles compared.
    pub tiles: u64,
    /// Signed checkpoints checked.
    pub checkpoints: u64,
    /// Bytes read from the store.
    pub bytes: u64,
}

/// Something that is wrong, or could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The object in the store, or the file on this machine.
    pub object: String,
    /// What is wrong.
    pub what: ProblemKind,
}

/// Whether something is wrong, or could not be checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It contradicts something signed or written once.
    DoesNotHold,
    /// It could not be read.
    CannotRead,
}

/// What is wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ProblemKind {
    #[error("{reason}")]
    Unreadable { reason: String },
    #[error(
        "missing, though later manifests are there: it was removed, and with it the list of what it sealed"
    )]
    ManifestMissing,
    /// A manifest is not well-formed, or contradicts those before it.
    #[error("{reason}")]
    Manifest { reason: String },
    #[error(
        "has SHA-256 {found}, but the next manifest names {named}: it was replaced by another signed one"
    )]
    ManifestChanged { named: Hash, found: Hash },
    #[error("missing, and with it {rows} events among {}", Events(events))]
    SegmentMissing { events: Range<u64>, rows: u64 },
    #[error(
        "was changed: its SHA-256 is {found}, the manifest names {expected}; its events lie among {}",
        Events(events)
    )]
    SegmentChanged { events: Range<u64>, expected: Hash, found: Hash },
    #[error("can't be decoded, which concerns {}: {reason}", Ranges(events))]
    SegmentUndecodable { events: Vec<Range<u64>>, reason: String },
    #[error("has {found} rows in the range its manifest gives, not {expected}, or some of them twice")]
    SegmentRows { expected: u64, found: u64 },
    #[error("these are not the events that were signed: look at {}", Ranges(events))]
    EventsChanged { events: Vec<Range<u64>> },
    #[error("missing; it can be made again from the segments")]
    TileMissing,
    #[error("is {found} bytes long, a tile of this name has {expected}")]
    TileLength { expected: u64, found: u64 },
    #[error("was changed: its hash number {at}, which stands for {}, is not theirs", Events(events))]
    TileChanged {
        /// Which of its hashes, from 0.
        at: usize,
        events: Range<u64>,
    },
    #[error("no usable key, so that no signature could be checked: give the trail's verifier key")]
    KeyMissing,
    #[error("{reason}")]
    Key { reason: String },
    #[error("missing: without a signed checkpoint nothing binds the trail to its key")]
    CheckpointMissing,
    /// The store lacks the newest head, though this machine has one.
    #[error("missing, though {} says that heads were given out: it was removed", visible(file))]
    HeadMissing { file: String },
    #[error("{reason}")]
    Checkpoint { reason: String },
    #[error("is of {found:?}, but this trail's origin is {expected:?}")]
    CheckpointOrigin { expected: String, found: String },
    #[error(
        "signs root {signed} over {size} events, but the events that are here have root {found}: \
         this is not the history that was signed"
    )]
    CheckpointRoot { size: u64, signed: Hash, found: Hash },
    #[error(
        "signs {size} events, but only {there} are here{}: {} are missing, as after a roll-back to an older copy, or \
         the removal of the newest segments or of the log",
        log.words(), Events(&(*there..*size))
    )]
    CheckpointAhead { size: u64, there: u64, log: LogCheck },
    #[error("damaged at byte {offset}: {reason}")]
    Log { offset: u64, reason: String },
    #[error("{} are neither sealed nor in the log", Events(events))]
    LogGap { events: Range<u64> },
    /// Something was put in front of an object that is written once.
    #[error(
        "{} was put in front of it at {} (version {}); its first version was read instead",
        shadow(*kind), at, version
    )]
    Shadowed { kind: TamperingKind, version: String, at: String },
    #[error("no manifest speaks of it: it was not written by this trail's server")]
    Extra,
    #[error("no such event in this trail")]
    NoSuchEvent,
    #[error("the trail has {there} events, and indices begin with 0")]
    Beyond { there: u64 },
    #[error("retention has dropped the first {size} events; only their hashes are kept")]
    Retired { size: u64 },
}

/// Whether this machine's log was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogCheck {
    /// It was read.
    Yes,
    /// There is none.
    Missing,
    /// It was not read, only the store.
    #[default]
    No,
}

impl LogCheck {
    const fn words(self) -> &'static str {
        match self {
            Self::Yes => ", this machine's log included",
            Self::Missing => ", and there is no log in this machine's local folder",
            Self::No => " (the server's log was not looked at)",
        }
    }
}

const fn shadow(kind: TamperingKind) -> &'static str {
    match kind {
        TamperingKind::DeleteMarker => "a delete marker",
        TamperingKind::LaterVersion => "another version",
    }
}

/// A note that is no problem.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum Note {
    #[error("{} are not in the store yet: so far only the server's log has them", Events(events))]
    NotInStoreYet { events: Range<u64> },
    #[error(
        "a head over {size} events was given out, {there} are in the store: the rest is in the server's log, which was \
         not looked at; only on that machine can it be told whether it is whole"
    )]
    GivenOut { size: u64, there: u64 },
    #[error("{file} is the newest head of another trail: this folder is not the one of this trail's server")]
    OtherTrailsHead { file: String },
    #[error(
        "the stored checkpoint signs {size} events, {sealed} are sealed: the server is sealing just now, or stopped \
         right after; it signs the rest when it goes on"
    )]
    CheckpointBehind { size: u64, sealed: u64 },
    /// The root at a checkpoint's size can't be computed, so that the checkpoint says nothing.
    #[error("{checkpoint} over {size} events could not be compared: {reason}")]
    NotComparable { checkpoint: String, size: u64, reason: &'static str },
    #[error("{object} is in no manifest yet: the server is sealing it, or stopped while it did")]
    Unlisted { object: String },
    #[error("{object} was dropped by retention and is still to be deleted")]
    Leftover { object: String },
    #[error("the trail holds no events")]
    Empty,
}

impl Report {
    /// Whether everything requested was read and is valid.
    pub fn holds(&self) -> bool {
        self.problems.is_empty()
    }

    pub(super) fn add_problem(&mut self, object: impl Into<String>, what: ProblemKind) {
        self.problems.push(Problem { object: object.into(), what });
    }
}

impl Problem {
    /// Whether it is wrong, or could not be checked.
    pub fn verdict(&self) -> Verdict {
        match self.what {
            ProblemKind::Unreadable { .. } => Verdict::CannotRead,
            _ => Verdict::DoesNotHold,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict() {
            Verdict::DoesNotHold => "does not hold",
            Verdict::CannotRead => "cannot be read",
        };
        write!(f, "{} {verdict}: {}", visible(&self.object), self.what)
    }
}

/// Formats events by their indices.
struct Events<'a>(&'a Range<u64>);

/// Formats ranges of events; many ranges are counted instead of listed.
struct Ranges<'a>(&'a [Range<u64>]);

impl fmt::Display for Events<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.end.saturating_sub(self.0.start) {
            1 => write!(f, "event {}", self.0.start),
            _ => write!(f, "events {} to {}", self.0.start, self.0.end.saturating_sub(1)),
        }
    }
}

impl fmt::Display for Ranges<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 8;
        for (at, range) in self.0.iter().take(SHOWN).enumerate() {
            write!(f, "{}{}", if at > 0 { ", " } else { "" }, Events(range))?;
        }
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} further ranges"),
        }
    }
}
