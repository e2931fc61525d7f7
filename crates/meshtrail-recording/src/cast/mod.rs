//! asciicast v2 as clients send it: parsed tolerantly in bounded memory, repaired only when it is read.
//!
//! - Stored bytes are never changed. Errors of a stream are repaired in the output of [`Repair`], and listed in
//!   [`Anomalies`].
//! - A line takes at most [`MAX_LINE`] bytes of memory, however long it is; a header at most [`MAX_HEADER`].
//! - No input panics, and every error names the field and what was found in it.
//!
//! Whether the header's claims are true, and where recordings are stored, is not known here.

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

/// The longest line that is parsed, in bytes. A longer one stays in the recording, and is skipped at playback.
pub const MAX_LINE: usize = 8 << 20;

/// The longest header line that is parsed, in bytes.
pub const MAX_HEADER: usize = 64 << 10;

/// Columns and rows of a terminal: at least 1 and at most [`Size::MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Columns.
    pub cols: u16,
    /// Rows.
    pub rows: u16,
}

impl Size {
    /// The size if the stream gives none, or zero.
    pub const DEFAULT: Size = Size { cols: 80, rows: 24 };
    /// The largest size at playback; larger ones are reduced to it.
    pub const MAX: Size = Size { cols: 1000, rows: 500 };

    /// A size for playback: zero becomes the default, and what exceeds the maximum becomes the maximum.
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
