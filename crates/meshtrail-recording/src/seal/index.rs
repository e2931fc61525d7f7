//! The index of a recording: where its times are, and what the screen showed there.
//!
//! Packed JSON lines: one that tells the whole, then one for each place to jump to. It is derived from the
//! recording alone and can be made again from it at any time.
//!
//! People look at what it says, so nothing in a stored one is believed before it is vouched for: by the event that
//! ended the session, which names its SHA-256, or by the recording that it is made from once more.

use std::{
    io::{self, Read},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::FRAME;
use crate::cast::{Anomalies, Piece, Repair, Screen, Size};

const FORMAT: u64 = 1;

/// The most an index may unpack to.
const MAX_UNPACKED: u64 = 128 << 20;

/// How much screen text one index may hold; past it, every second screen is dropped.
const MAX_SCREENS: usize = 32 << 20;

/// How long drawing the screens of one recording may take.
const BUDGET: Duration = Duration::from_secs(30);

/// Places are only looked for where so many received bytes came, or twice as many, and so on.
const STEP: usize = 64 << 10;

/// Received bytes between two screens.
const SCREEN_EACH: u64 = 4 * FRAME as u64;

/// What an index says of the whole recording.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Whole {
    format: u64,
    bytes: u64,
    lines: u64,
    seconds: f64,
    anomalies: Anomalies,
}

/// A place to jump to: the start of a line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Offset of the line in the received bytes.
    pub offset: u64,
    /// Time reached before it, in seconds.
    pub time: f64,
    /// Columns there.
    pub cols: u16,
    /// Rows there.
    pub rows: u16,
    /// What to write to a fresh terminal to see what was seen there; absent where it was not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub screen: Option<String>,
}

/// An index that was read or made.
#[derive(Debug, Clone, PartialEq)]
pub struct Index {
    whole: Whole,
    entries: Vec<Entry>,
}

/// Why an index can't be read; the recording is there without it.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// It can't be unpacked.
    #[error("the index can't be unpacked")]
    Packed(#[source] io::Error),
    /// It unpacks to more than any index holds.
    #[error("the index holds more than {MAX_UNPACKED} bytes")]
    TooLong,
    /// A line is wrong.
    #[error("line {line} of the index is wrong")]
    Line {
        /// Which, counted from 1.
        line: usize,
        /// Why.
        source: serde_json::Error,
    },
    /// A newer version made it.
    #[error("the index has format {found}, this program knows up to {FORMAT}: a newer version wrote it")]
    Newer {
        /// Its format.
        found: u64,
    },
}

impl Index {
    /// Unpacks an index, within bounds.
    pub fn read(packed: &[u8]) -> Result<Index, IndexError> {
        let mut text = Vec::new();
        let unpacking = zstd::Decoder::new(packed).map_err(IndexError::Packed)?;
        unpacking.take(MAX_UNPACKED + 1).read_to_end(&mut text).map_err(IndexError::Packed)?;
        if text.len() as u64 > MAX_UNPACKED {
            return Err(IndexError::TooLong);
        }
        let mut lines = text.split(|&byte| byte == b'\n');
        let first = lines.next().unwrap_or_default();
        let whole: Whole =
            serde_json::from_slice(first).map_err(|source| IndexError::Line { line: 1, source })?;
        if whole.format > FORMAT {
            return Err(IndexError::Newer { found: whole.format });
        }
        let entries = lines
            .enumerate()
            .filter(|(_, line)| !line.is_empty())
            .map(|(at, line)| {
                serde_json::from_slice(line).map_err(|source| IndexError::Line { line: at + 2, source })
            })
            .collect::<Result<_, _>>()?;
        Ok(Index { whole, entries })
    }

    /// Packs it.
    pub fn packed(&self) -> io::Result<Vec<u8>> {
        let mut text = serde_json::to_vec(&self.whole)?;
        for entry in &self.entries {
            text.push(b'\n');
            serde_json::to_writer(&mut text, entry)?;
        }
        zstd::encode_all(text.as_slice(), 3)
    }

    /// The last place at or before `time` from which the screen is known; none stands for the start.
    pub fn before(&self, time: f64) -> Option<&Entry> {
        self.entries.iter().rev().find(|entry| entry.time <= time && entry.screen.is_some())
    }

    /// What the recording got wrong.
    pub fn anomalies(&self) -> &Anomalies {
        &self.whole.anomalies
    }

    /// Length of the recording in seconds.
    pub fn seconds(&self) -> f64 {
        self.whole.seconds
    }

    /// Received bytes it was made from.
    pub fn bytes(&self) -> u64 {
        self.whole.bytes
    }

    /// Whether this index, as it was stored, is what the recording makes. `made` is made from the recording by
    /// [`IndexBuilder::drawing_where`] or [`IndexBuilder::default`].
    ///
    /// A screen that only this index has agrees with nothing. One that only `made` has is no difference: drawing may
    /// have run out of time when this index was made.
    pub(crate) fn agrees_with(&self, made: &Index) -> bool {
        let same = |(stored, made): (&Entry, &Entry)| {
            let shown = |entry: &Entry| (entry.cols, entry.rows, entry.screen.clone());
            (stored.offset, stored.time.to_bits()) == (made.offset, made.time.to_bits())
                && (stored.screen.is_none() || shown(stored) == shown(made))
        };
        self.whole == made.whole
            && self.entries.len() == made.entries.len()
            && self.entries.iter().zip(&made.entries).all(same)
    }

    /// The same index without its screens.
    pub(crate) fn without_screens(mut self) -> Index {
        self.entries.iter_mut().for_each(|entry| entry.screen = None);
        self
    }

    /// The places, in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

/// The SHA-256 by which an event names a packed index, in lower-case hex.
pub(crate) fn sha256_of(packed: &[u8]) -> String {
    hex::encode(Sha256::digest(packed))
}

/// Makes an index from the received bytes as they are read.
pub struct IndexBuilder {
    repair: Repair,
    screen: Screen,
    entries: Vec<Entry>,
    bytes: u64,
    screens: usize,
    screen_each: u64,
    next_entry: u64,
    next_screen: u64,
    /// For each entry whether it gets a screen, where that is not for this builder to decide.
    wanted: Option<Vec<bool>>,
    drawn: bool,
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
            wanted: None,
            drawn: true,
        }
    }
}

impl IndexBuilder {
    /// Draws a screen exactly where `stored` has one, so that each of its screens can be compared.
    pub(super) fn drawing_where(stored: &Index) -> Self {
        let wanted = stored.entries.iter().map(|entry| entry.screen.is_some()).collect();
        Self { wanted: Some(wanted), ..Self::default() }
    }

    /// Whether every screen that was due could be drawn: a few bytes can ask for endless work.
    pub(super) fn has_drawn_all(&self) -> bool {
        self.drawn
    }

    /// Takes received bytes. However they are cut, the index comes out the same.
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
                self.entry();
            }
        }
    }

    /// The index of what was pushed.
    pub fn finish(mut self) -> Index {
        self.repair.finish();
        let whole = Whole {
            format: FORMAT,
            bytes: self.bytes,
            lines: self.repair.lines(),
            seconds: self.repair.time(),
            anomalies: self.repair.anomalies().clone(),
        };
        Index { whole, entries: self.entries }
    }

    fn entry(&mut self) {
        self.next_entry = self.bytes + FRAME as u64;
        let Size { cols, rows } = self.screen.size();
        let due = match &self.wanted {
            Some(wanted) => wanted.get(self.entries.len()).copied().unwrap_or(false),
            None => self.bytes >= self.next_screen,
        };
        let screen = if due { self.screen.dump() } else { None };
        self.drawn &= screen.is_some() || !due;
        if let Some(screen) = &screen {
            self.next_screen = self.bytes + self.screen_each;
            self.screens += screen.len();
        }
        let (offset, time) = (self.repair.line_start(), self.repair.time());
        self.entries.push(Entry { offset, time, cols, rows, screen });
        if self.screens > MAX_SCREENS && self.wanted.is_none() {
            self.thin_out();
        }
    }

    /// Halves the screens of a very long recording, and keeps half as many from here on.
    fn thin_out(&mut self) {
        let kept = self.entries.iter_mut().filter(|entry| entry.screen.is_some());
        for (at, entry) in kept.enumerate() {
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
        let made = builder.finish();
        let index = Index::read(&made.packed().unwrap()).unwrap();
        assert_eq!(index, made);
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
        let made = |piece: usize| {
            let mut builder = IndexBuilder::default();
            text.as_bytes().chunks(piece).for_each(|piece| builder.push(piece));
            builder.finish()
        };
        let whole = made(text.len());
        assert!(whole.entries().len() > 3);
        assert!([997, 65_536, 100_000].into_iter().all(|piece| made(piece) == whole));
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
