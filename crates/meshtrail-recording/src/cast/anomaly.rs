//! What a stream got wrong, counted by kind so that a million faults cost as little as one.

use serde::{Deserialize, Serialize};

/// One way in which a stream departs from asciicast v2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnomalyKind {
    /// The first line is not a header.
    NoHeader,
    /// A header member has the wrong type and is read as absent.
    HeaderMember,
    /// A second header line; dropped when played.
    SecondHeader,
    /// Width or height is zero or too large; played with a usable size.
    Size,
    /// A time went back; played at the time before it.
    TimeWentBack,
    /// A time is no finite number; played at the time before it.
    TimeNotANumber,
    /// Bytes that are not UTF-8; shown as U+FFFD.
    NotUtf8,
    /// A line that can't be read as an event; dropped when played.
    BadLine,
    /// A line longer than [`super::MAX_LINE`]; dropped when played.
    LongLine,
    /// The last line has no end; dropped when played.
    Truncated,
    /// Kubernetes resizes come as rows × columns; swapped when played.
    SwappedResize,
    /// An input event; never shown.
    Input,
}

/// One kind of fault, how often it came and where first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anomaly {
    /// What is wrong.
    pub kind: AnomalyKind,
    /// The line, counted from 1, where it was first seen.
    pub line: u64,
    /// How many times it was seen.
    pub count: u64,
    /// The field and the reason, of the first one.
    pub detail: String,
}

/// All kinds of faults found in one stream; at most one entry per kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Anomalies(Vec<Anomaly>);

impl Anomalies {
    /// Notes one fault.
    pub fn note(&mut self, kind: AnomalyKind, line: u64, detail: impl FnOnce() -> String) {
        match self.0.iter_mut().find(|known| known.kind == kind) {
            Some(known) => known.count += 1,
            None => self.0.push(Anomaly { kind, line, count: 1, detail: detail() }),
        }
    }

    /// Whether the stream was as the format says.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The faults, in the order they were first seen.
    pub fn iter(&self) -> impl Iterator<Item = &Anomaly> {
        self.0.iter()
    }

    /// The fault of this kind, if it was seen.
    pub fn get(&self, kind: AnomalyKind) -> Option<&Anomaly> {
        self.0.iter().find(|known| known.kind == kind)
    }
}
