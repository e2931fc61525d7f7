//! The index of a recording: offsets and screens by time.
//!
//! Packed JSON lines: a summary of the recording, then one line for each entry. It is derived from the recording alone,
//! and can be rebuilt from it at any time.
//!
//! Its screens are shown to people, so a stored index is used only if it is verified: by the terminal event, which
//! names its SHA-256, or by a comparison with an index that is rebuilt from the recording.

use std::{
    io::{self, Read},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::FRAME;
use crate::cast::{Anomalies, Piece, Repair, Screen, Size};

const FORMAT: u64 = 1;

/// The unpacked size that an index may have.
const MAX_UNPACKED: u64 = 128 << 20;

/// The size of all screens of an index. Beyond it, every second screen is dropped.
const MAX_SCREENS: usize = 32 << 20;

/// The time limit of drawing the screens of one recording.
const BUDGET: Duration = Duration::from_secs(30);

/// Entries are made only at multiples of this many received bytes.
const STEP: usize = 64 << 10;

/// Received bytes between two screens, until screens are dropped.
const SCREEN_EACH: u64 = 4 * FRAME as u64;

/// The first line: the summary of the recording.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Summary {
    format: u64,
    bytes: u64,
    lines: u64,
    seconds: f64,
    anomalies: Anomalies,
}

/// A position that playback can start at: the start of a line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The line's offset in the received bytes.
    pub offset: u64,
    /// The time of the event before it, in seconds.
    pub time: f64,
    /// The terminal's columns.
    pub cols: u16,
    /// The terminal's rows.
    pub rows: u16,
    /// The output that draws the screen on a new terminal; absent for most entries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub screen: Option<String>,
}

/// An index, read or built.
#[derive(Debug, Clone, PartialEq)]
pub struct Index {
    summary: Summary,
    entries: Vec<Entry>,
}

/// Why an index can't be read. The recording can be played without it.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum IndexError {
    #[error("the index can't be unpacked")]
    Packed(#[source] io::Error),
    #[error("the index holds more than {MAX_UNPACKED} bytes")]
    TooLong,
    /// Lines are counted from 1.
    #[error("line {line} of the index is wrong")]
    Line { line: usize, source: serde_json::Error },
    #[error("the index has format {found}, this program knows up to {FORMAT}: a newer version wrote it")]
    Newer { found: u64 },
}

impl Index {
    /// Unpacks an index of at most `MAX_UNPACKED` bytes.
    pub fn read(packed: &[u8]) -> Result<Index, IndexError> {
        let mut text = Vec::new();
        let unpacking = zstd::Decoder::new(packed).map_err(IndexError::Packed)?;
        unpacking.take(MAX_UNPACKED + 1).read_to_end(&mut text).map_err(IndexError::Packed)?;
        if text.len() as u64 > MAX_UNPACKED {
            return Err(IndexError::TooLong);
        }
        let mut lines = text.split(|&byte| byte == b'\n');
        let first = lines.next().unwrap_or_default();
        let summary: Summary =
            serde_json::from_slice(first).map_err(|source| IndexError::Line { line: 1, source })?;
        if summary.format > FORMAT {
            return Err(IndexError::Newer { found: summary.format });
        }
        let entries = lines
            .enumerate()
            .filter(|(_, line)| !line.is_empty())
            .map(|(at, line)| {
                serde_json::from_slice(line).map_err(|source| IndexError::Line { line: at + 2, source })
            })
            .collect::<Result<_, _>>()?;
        Ok(Index { summary, entries })
    }

    /// Packs the index.
    pub fn packed(&self) -> io::Result<Vec<u8>> {
        let mut text = serde_json::to_vec(&self.summary)?;
        for entry in &self.entries {
            text.push(b'\n');
            serde_json::to_writer(&mut text, entry)?;
        }
        zstd::encode_all(text.as_slice(), 3)
    }

    /// The last entry with a screen at or before `time`; `None` stands for the start of the recording.
    pub fn before(&self, time: f64) -> Option<&Entry> {
        self.entries.iter().rev().find(|entry| entry.time <= time && entry.screen.is_some())
    }

    /// The errors in the recording.
    pub fn anomalies(&self) -> &Anomalies {
        &self.summary.anomalies
    }

    /// The length of the recording, in seconds.
    pub fn seconds(&self) -> f64 {
        self.summary.seconds
    }

    /// The number of received bytes in the recording.
    pub fn bytes(&self) -> u64 {
        self.summary.bytes
    }

    /// Whether this stored index agrees with the recording. `rebuilt` is built from the recording by
    /// [`IndexBuilder::with_screens_of`] or [`IndexBuilder::default`].
    ///
    /// A screen that only this index has is a difference. A screen that only `rebuilt` has is none: drawing may have
    /// exceeded its time limit when this index was built.
    pub(crate) fn agrees_with(&self, rebuilt: &Index) -> bool {
        let same = |(stored, rebuilt): (&Entry, &Entry)| {
            let shown = |entry: &Entry| (entry.cols, entry.rows, entry.screen.clone());
            (stored.offset, stored.time.to_bits()) == (rebuilt.offset, rebuilt.time.to_bits())
                && (stored.screen.is_none() || shown(stored) == shown(rebuilt))
        };
        self.summary == rebuilt.summary
            && self.entries.len() == rebuilt.entries.len()
            && self.entries.iter().zip(&rebuilt.entries).all(same)
    }

    /// The same index without its screens.
    pub(crate) fn without_screens(mut self) -> Index {
        self.entries.iter_mut().for_each(|entry| entry.screen = None);
        self
    }

    /// The entries, by offset.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

/// The SHA-256 of a packed index in lower-case hex, as terminal events name it.
pub(crate) fn sha256_of(packed: &[u8]) -> String {
    hex::encode(Sha256::digest(packed))
}

/// Builds an index from received bytes, piece by piece.
pub struct IndexBuilder {
    repair: Repair,
    screen: Screen,
    entries: Vec<Entry>,
    bytes: u64,
    screens: usize,
    screen_each: u64,
    next_entry: u64,
    next_screen: u64,
    /// Whether each entry gets a screen; `None` if the builder decides.
    has_screen: Option<Vec<bool>>,
    drawn_all: bool,
}

impl Default for IndexBuilder {
    fn default() -> Self {
        Self {
            repair: Repair::default(),
            screen: Screen::new(Size::DEFAULT, BUDGET),
            entries: Vec::new(),
            bytes: 0,
            screens: 0,
            screen_each: SCREEN_EACH,
            next_entry: FRAME as u64,
            next_screen: SCREEN_EACH,
            has_screen: None,
            drawn_all: true,
        }
    }
}

impl IndexBuilder {
    /// A builder that draws a screen for exactly those entries for which `stored` has one, so that they can be
    /// compared.
    pub(super) fn with_screens_of(stored: &Index) -> Self {
        let has_screen = stored.entries.iter().map(|entry| entry.screen.is_some()).collect();
        Self { has_screen: Some(has_screen), ..Self::default() }
    }

    /// Whether every due screen was drawn within the time limit.
    pub(super) fn has_drawn_all(&self) -> bool {
        self.drawn_all
    }

    /// Adds received bytes. The index does not depend on how they are split into pieces.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = STEP - usize::try_from(self.bytes % STEP as u64).expect("less than a step");
            let piece;
            (piece, bytes) = bytes.split_at(bytes.len().min(room));
            let screen = &mut self.screen;
            self.repair.push(piece, |piece| match piece {
                Piece::Header(header) => *screen = Screen::new(header.size(), BUDGET),
                Piece::Event { line, .. } => screen.feed(&line),
            });
            self.bytes += piece.len() as u64;
            if self.bytes.is_multiple_of(STEP as u64) && self.bytes >= self.next_entry {
                self.add_entry();
            }
        }
    }

    /// The index of the added bytes.
    pub fn finish(mut self) -> Index {
        self.repair.finish();
        let summary = Summary {
            format: FORMAT,
            bytes: self.bytes,
            lines: self.repair.lines(),
            seconds: self.repair.time(),
            anomalies: self.repair.anomalies().clone(),
        };
        Index { summary, entries: self.entries }
    }

    fn add_entry(&mut self) {
        self.next_entry = self.bytes + FRAME as u64;
        let Size { cols, rows } = self.screen.size();
        let due = match &self.has_screen {
            Some(has_screen) => has_screen.get(self.entries.len()).copied().unwrap_or(false),
            None => self.bytes >= self.next_screen,
        };
        let screen = if due { self.screen.dump() } else { None };
        self.drawn_all &= screen.is_some() || !due;
        if let Some(screen) = &screen {
            self.next_screen = self.bytes + self.screen_each;
            self.screens += screen.len();
        }
        let (offset, time) = (self.repair.line_start(), self.repair.time());
        self.entries.push(Entry { offset, time, cols, rows, screen });
        if self.screens > MAX_SCREENS && self.has_screen.is_none() {
            self.thin_out();
        }
    }

    /// Drops every second screen of a very long recording, and doubles the distance between the next ones.
    fn thin_out(&mut self) {
        let with_screen = self.entries.iter_mut().filter(|entry| entry.screen.is_some());
        for (at, entry) in with_screen.enumerate() {
            if at % 2 == 1 {
                entry.screen = None;
            }
        }
        let length = |entry: &Entry| entry.screen.as_ref().map_or(0, String::len);
        self.screens = self.entries.iter().map(length).sum();
        self.screen_each *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_tells_the_place_and_the_screen_before_a_time() {
        let mut builder = IndexBuilder::default();
        builder.push(b"{\"version\":2,\"width\":80,\"height\":24}\n");
        for second in 0..40_000 {
            builder.push(format!("[{second},\"o\",\"\\r\\nline {second} of a long recording, with some text to fill it up\"]\n").as_bytes());
        }
        let built = builder.finish();
        let index = Index::read(&built.packed().unwrap()).unwrap();
        assert_eq!(index, built);
        assert_eq!((index.seconds(), index.before(0.0)), (39_999.0, None));
        let place = index.before(30_000.0).unwrap();
        assert!(place.time > 15_000.0 && place.time <= 30_000.0, "{}", place.time);
        let last_line = format!("line {} of", place.time);
        assert!(place.screen.as_ref().unwrap().contains(&last_line));
        assert!(index.anomalies().is_empty());
    }

    #[test]
    fn an_index_is_the_same_however_the_bytes_were_cut() {
        let text: String = std::iter::once("{\"version\":2,\"width\":80,\"height\":24}\n".to_owned())
            .chain(
                (0..30_000)
                    .map(|second| format!("[{second},\"o\",\"\\r\\nline {second}, and a few words\"]\n")),
            )
            .collect();
        let build = |piece: usize| {
            let mut builder = IndexBuilder::default();
            text.as_bytes().chunks(piece).for_each(|piece| builder.push(piece));
            builder.finish()
        };
        let whole = build(text.len());
        assert!(whole.entries().len() > 3);
        assert!([997, 65_536, 100_000].into_iter().all(|piece| build(piece) == whole));
    }

    #[test]
    fn an_index_that_is_none_is_an_error() {
        let packed = |text: &str| zstd::encode_all(text.as_bytes(), 1).unwrap();
        assert!(Index::read(b"nonsense").is_err());
        assert_eq!(Index::read(&packed("{}")).unwrap_err().to_string(), "line 1 of the index is wrong");
        let newer = r#"{"format":2,"bytes":0,"lines":0,"seconds":0.0,"anomalies":[]}"#;
        assert!(Index::read(&packed(newer)).unwrap_err().to_string().contains("a newer version wrote it"));
    }
}
