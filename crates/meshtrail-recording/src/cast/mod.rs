//! asciicast v2 as it really arrives: parsed tolerantly, in bounded memory, repaired only when it is read.
//!
//! - Bytes are never changed here: what a stream gets wrong is mended in what [`Repair`] hands out, and
//!   named in [`Anomalies`].
//! - A line costs at most [`MAX_LINE`] bytes of memory, however long the peer made it; a header at most
//!   [`MAX_HEADER`].
//! - No input panics, and every error names the field and what was found in it.
//!
//! What the header's claims are worth, and where recordings are kept, is not known here.

mod anomaly;
mod header;
mod line;
mod repair;
mod screen;
mod split;

pub use anomaly::{Anomalies, Anomaly, AnomalyKind};
pub(crate) use header::type_of;
pub use header::{Header, HeaderError, Kubernetes};
pub use line::{CastLine, Code, LineError, parse_line};
pub use repair::{Piece, Repair};
pub use screen::Screen;
pub use split::{LineSplitter, Split};

/// The longest line that is parsed; a longer one is kept in the recording and skipped when played.
pub const MAX_LINE: usize = 8 << 20;

/// The longest header line that is parsed.
pub const MAX_HEADER: usize = 64 << 10;

/// Columns and rows of a terminal; never zero, never large enough to hurt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Columns.
    pub cols: u16,
    /// Rows.
    pub rows: u16,
}

impl Size {
    /// What is shown when the stream says nothing or zero.
    pub const DEFAULT: Size = Size { cols: 80, rows: 24 };
    /// The largest size that is played back; larger ones are cut down to it.
    pub const MAX: Size = Size { cols: 1000, rows: 500 };

    /// The given size made playable: a zero becomes the default, too much becomes the maximum.
    pub fn playable(cols: u64, rows: u64) -> Size {
        let fit = |value: u64, default: u16, max: u16| match value {
            0 => default,
            n => u16::try_from(n).unwrap_or(max).min(max),
        };
        Size {
            cols: fit(cols, Size::DEFAULT.cols, Size::MAX.cols),
            rows: fit(rows, Size::DEFAULT.rows, Size::MAX.rows),
        }
    }
}
