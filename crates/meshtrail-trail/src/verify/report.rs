//! What a verification found, in words that name the file and say what follows from it.

use std::fmt;
use std::ops::Range;

use meshtrail_event::text::visible;

use crate::manifest::TreeHead;
use crate::store::TamperingKind;
use crate::tree::Hash;

/// The outcome of a verification.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// What was looked at.
    pub checked: Checked,
    /// What does not hold, or could not be read. Empty when all of it holds.
    pub problems: Vec<Problem>,
    /// What is worth knowing and no problem.
    pub notes: Vec<Note>,
    /// Size and root that were recomputed from what is there, log included.
    pub head: Option<TreeHead>,
    /// The index of the event that was asked for.
    pub found: Option<u64>,
}

/// How much was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Checked {
    /// Manifests whose place in the chain was checked.
    pub manifests: u64,
    /// Segments whose files were read whole.
    pub segments: u64,
    /// Events whose leaf was hashed, those of the log among them.
    pub events: u64,
    /// Of these, events that are only in the log.
    pub logged: u64,
    /// Events that retention dropped, of which hashes are kept.
    pub retired: u64,
    /// Tiles compared.
    pub tiles: u64,
    /// Signed checkpoints checked.
    pub checkpoints: u64,
    /// Bytes read from the store.
    pub bytes: u64,
}

/// Something that does not hold, or could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The object in the store, or the file on this machine.
    pub object: String,
    /// What is wrong.
    pub what: Wrong,
}

/// Whether something was seen to be wrong, or was not seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It contradicts what was signed or written once.
    DoesNotHold,
    /// It could not be read, so nothing can be said about it.
    CannotRead,
}

/// What is wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// It could not be read.
    #[error("{reason}")]
    Unreadable {
        /// What the store or the system said.
        reason: String,
    },
    /// A manifest is not there, though later ones are.
    #[error(
        "missing, though later manifests are there: it was removed, and with it the list of what it sealed"
    )]
    ManifestMissing,
    /// A manifest is not well-formed, or contradicts those before it.
    #[error("{reason}")]
    Manifest {
        /// What is wrong, with the field.
        reason: String,
    },
    /// A manifest is not the one that its successor names.
    #[error(
        "has SHA-256 {found}, but the next manifest names {named}: it was replaced by another signed one"
    )]
    ManifestChanged {
        /// What the successor says.
        named: Hash,
        /// What the file has.
        found: Hash,
    },
    /// A segment file is gone.
    #[error("missing, and with it {rows} events among {}", Events(events))]
    SegmentMissing {
        /// The events that were in it lie here.
        events: Range<u64>,
        /// How many they were.
        rows: u64,
    },
    /// A segment file has other bytes than its manifest says.
    #[error(
        "was changed: its SHA-256 is {found}, the manifest names {expected}; its events lie among {}",
        Events(events)
    )]
    SegmentChanged {
        /// The events that are in it lie here.
        events: Range<u64>,
        /// SHA-256 by the manifest.
        expected: Hash,
        /// SHA-256 of the file.
        found: Hash,
    },
    /// A segment file can't be decoded.
    #[error("can't be decoded, which concerns {}: {reason}", Ranges(events))]
    SegmentUndecodable {
        /// The events that could not be read lie here.
        events: Vec<Range<u64>>,
        /// What the decoder said.
        reason: String,
    },
    /// A segment file has other rows than its manifest says.
    #[error("has {found} rows in the range its manifest gives, not {expected}, or some of them twice")]
    SegmentRows {
        /// Rows by the manifest.
        expected: u64,
        /// Rows found.
        found: u64,
    },
    /// Events have other hashes than were signed for.
    #[error("these are not the events that were signed: look at {}", Ranges(events))]
    EventsChanged {
        /// Those differ, or some among them.
        events: Vec<Range<u64>>,
    },
    /// A tile is gone.
    #[error("missing; it can be made again from the segments")]
    TileMissing,
    /// A tile has not the length it must have.
    #[error("is {found} bytes long, a tile of this name has {expected}")]
    TileLength {
        /// Bytes it must have.
        expected: u64,
        /// Bytes it has.
        found: u64,
    },
    /// A tile has a hash that its events don't have.
    #[error("was changed: its hash number {at}, which stands for {}, is not theirs", Events(events))]
    TileChanged {
        /// Which of its hashes, from 0.
        at: usize,
        /// The events under that hash.
        events: Range<u64>,
    },
    /// No key is stored and none was given.
    #[error("no usable key, so that no signature could be checked: give the trail's verifier key")]
    KeyMissing,
    /// Not a key, or another than the one given.
    #[error("{reason}")]
    Key {
        /// Why not.
        reason: String,
    },
    /// No checkpoint, though there are events.
    #[error("missing: without a signed checkpoint nothing binds the trail to its key")]
    CheckpointMissing,
    /// The store lacks the newest head, though this machine has one.
    #[error("missing, though {} says that heads were given out: it was removed", visible(file))]
    HeadMissing {
        /// The copy on this machine.
        file: String,
    },
    /// Not a checkpoint, or not signed by the trail's key.
    #[error("{reason}")]
    Checkpoint {
        /// What is wrong.
        reason: String,
    },
    /// The checkpoint is of another trail.
    #[error("is of {found:?}, but this trail's origin is {expected:?}")]
    CheckpointOrigin {
        /// What the manifests say.
        expected: String,
        /// What it says.
        found: String,
    },
    /// The checkpoint's root is not that of the events.
    #[error(
        "signs root {signed} over {size} events, but the events that are here have root {found}: \
         this is not the history that was signed"
    )]
    CheckpointRoot {
        /// Events under it.
        size: u64,
        /// The root it signs.
        signed: Hash,
        /// The root of what is there.
        found: Hash,
    },
    /// The checkpoint signs more events than there are.
    #[error(
        "signs {size} events, but only {there} are here{}: {} are missing, as after a roll-back to an older copy, or \
         the removal of the newest segments or of the log",
        log.words(), Events(&(*there..*size))
    )]
    CheckpointAhead {
        /// Events it signs.
        size: u64,
        /// Events there are.
        there: u64,
        /// Whether this machine's log was looked at.
        log: LogSeen,
    },
    /// The log on this machine is damaged.
    #[error("damaged at byte {offset}: {reason}")]
    Log {
        /// Where in the file.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// Events between the sealed ones and those in the log are nowhere.
    #[error("{} are neither sealed nor in the log", Events(events))]
    LogGap {
        /// The missing ones.
        events: Range<u64>,
    },
    /// Something was put in front of an object that is written once.
    #[error(
        "{} was put in front of it at {} (version {}); its first version was read instead",
        shadow(*kind), at, version
    )]
    Shadowed {
        /// What was put there.
        kind: TamperingKind,
        /// The version that was put there.
        version: String,
        /// When, as the bucket says.
        at: String,
    },
    /// An object that no manifest speaks of.
    #[error("no manifest speaks of it: it was not written by this trail's server")]
    Extra,
    /// The event asked for is not in the trail.
    #[error("no such event in this trail")]
    NoSuchEvent,
    /// Events asked for are beyond the trail's end.
    #[error("the trail has {there} events, and indices begin with 0")]
    Beyond {
        /// Events there are.
        there: u64,
    },
    /// Events asked for were dropped by retention.
    #[error("retention has dropped the first {size} events; only their hashes are kept")]
    Retired {
        /// How many were dropped, counted from the first.
        size: u64,
    },
}

/// Whether this machine's log was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogSeen {
    /// It was.
    Yes,
    /// It was looked for, and there is none.
    Missing,
    /// Only the store was.
    #[default]
    No,
}

impl LogSeen {
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

/// Something worth knowing that is no problem.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Note {
    /// Events that the store does not have yet; only the server's log does.
    #[error("{} are not in the store yet: so far only the server's log has them", Events(events))]
    NotInStoreYet {
        /// Which.
        events: Range<u64>,
    },
    /// A head was given out over events that only the server's log has, which was not looked at.
    #[error(
        "a head over {size} events was given out, {there} are in the store: the rest is in the server's log, which was \
         not looked at; only on that machine can it be told whether it is whole"
    )]
    GivenOut {
        /// Events under the head.
        size: u64,
        /// Events in the store.
        there: u64,
    },
    /// The local folder's head is of another trail.
    #[error("{file} is the newest head of another trail: this folder is not the one of this trail's server")]
    OtherTrailsHead {
        /// The file.
        file: String,
    },
    /// A checkpoint is older than the manifests.
    #[error(
        "the stored checkpoint signs {size} events, {sealed} are sealed: the server is sealing just now, or stopped \
         right after; it signs the rest when it goes on"
    )]
    CheckpointBehind {
        /// Events it signs.
        size: u64,
        /// Events that are sealed.
        sealed: u64,
    },
    /// The root at a checkpoint's size can't be computed, so that the checkpoint says nothing.
    #[error("{checkpoint} over {size} events could not be compared: {reason}")]
    NotComparable {
        /// Which.
        checkpoint: String,
        /// Events it signs.
        size: u64,
        /// Why.
        reason: &'static str,
    },
    /// An object of a seal that is not in a manifest yet, or of a crash in one.
    #[error("{object} is in no manifest yet: the server is sealing it, or stopped while it did")]
    Unlisted {
        /// Which.
        object: String,
    },
    /// A file that retention dropped from the trail and has not deleted yet.
    #[error("{object} was dropped by retention and is still to be deleted")]
    Leftover {
        /// Which.
        object: String,
    },
    /// The trail holds nothing.
    #[error("the trail holds no events")]
    Empty,
}

impl Report {
    /// Whether all that was asked for was read and holds.
    pub fn holds(&self) -> bool {
        self.problems.is_empty()
    }

    pub(super) fn wrong(&mut self, object: impl Into<String>, what: Wrong) {
        self.problems.push(Problem { object: object.into(), what });
    }
}

impl Problem {
    /// Whether it was seen to be wrong or not seen.
    pub fn verdict(&self) -> Verdict {
        match self.what {
            Wrong::Unreadable { .. } => Verdict::CannotRead,
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

/// Events by their indices, in words.
struct Events<'a>(&'a Range<u64>);

/// Some such ranges; many are counted instead of listed.
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
