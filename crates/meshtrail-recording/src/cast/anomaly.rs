//! Errors of a stream, counted by kind, so that a million of them take no more memory than one.

use serde::{Deserialize, Serialize};

/// One way in which a stream departs from asciicast v2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnomalyKind {
    /// The first line is not a header.
    NoHeader,
    /// A header member has the wrong type and is read as absent.
    HeaderMember,
    /// A second header line; left out at playback.
    SecondHeader,
    /// Width or height is zero or too large; replaced at playback.
    Size,
    /// A time is before the previous one; played at the previous time.
    TimeWentBack,
    /// A time is no finite number; played at the previous time.
    TimeNotANumber,
    /// Bytes that are not UTF-8; shown as U+FFFD.
    NotUtf8,
    /// A line that is no event; left out at playback.
    BadLine,
    /// A line longer than [`super::MAX_LINE`]; left out at playback.
    LongLine,
    /// The last line has no line feed; left out at playback.
    Truncated,
    /// A Kubernetes resize, which is sent as rows × columns; swapped at playback.
    SwappedResize,
    /// An input event; left out at playback.
    Input,
}

/// One kind of error, with its count and the first occurrence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anomaly {
    /// The kind.
    pub kind: AnomalyKind,
    /// The line of the first occurrence, counted from 1.
    pub line: u64,
    /// The number of occurrences.
    pub count: u64,
    /// The field and the reason of the first occurrence.
    pub detail: String,
}

/// The errors of one stream, at most one entry per kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Anomalies(Vec<Anomaly>);

impl Anomalies {
    /// Counts one error; `detail` is called for the first of its kind.
    pub fn note(&mut self, kind: AnomalyKind, line: u64, detail: impl FnOnce() -> String) {
        match self.0.iter_mut().find(|known| known.kind == kind) {
            Some(known) => known.count += 1,
            None => self.0.push(Anomaly { kind, line, count: 1, detail: detail() }),
        }
    }

    /// Whether the stream has no errors.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The errors, in the order of their first occurrence.
    pub fn iter(&self) -> impl Iterator<Item = &Anomaly> {
        self.0.iter()
    }

    /// The errors of this kind, if there are any.
    pub fn get(&self, kind: AnomalyKind) -> Option<&Anomaly> {
        self.0.iter().find(|known| known.kind == kind)
    }
}
