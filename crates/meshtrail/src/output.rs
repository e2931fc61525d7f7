//! What goes to the terminal: lines, tables, and nothing a terminal would obey.
//!
//! - Every foreign text passes [`visible`] before it is shown; JSON escapes control characters by itself.
//! - A reader that goes away (`| head`) ends the program quietly: see [`is_closed_pipe`].
//! - On a terminal a table is cut to its width; into a pipe it is written whole.

use std::io::{self, IsTerminal, Write};

use meshtrail_event::text::visible;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Writes one line to standard output.
pub(crate) fn line(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.write_all(b"\n")
}

/// Writes one line to standard error; if that is closed there is nobody left to tell.
pub(crate) fn note(text: &str) {
    let _nobody_left = writeln!(io::stderr().lock(), "{text}");
}

/// Whether an error only says that nobody reads the output any more.
pub(crate) fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

/// Columns of the terminal on standard output; none when it is a file or a pipe.
pub(crate) fn terminal_width() -> Option<usize> {
    if !io::stdout().is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|&columns| columns > 0)
}

/// How a column takes its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    /// As wide as its widest cell.
    Whole,
    /// As wide as its widest cell, to the right.
    Right,
    /// Cut when the terminal is narrow, down to this many columns.
    Cut(usize),
}

/// Rows under headings, aligned.
pub(crate) struct Table {
    headings: Vec<(String, Fit)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table.
    pub(crate) fn new<H: AsRef<str>>(headings: impl IntoIterator<Item = (H, Fit)>) -> Table {
        let shown = |heading: H| visible(heading.as_ref()).into_owned();
        let headings = headings.into_iter().map(|(heading, fit)| (shown(heading), fit)).collect();
        Table { headings, rows: Vec::new() }
    }

    /// Adds a row; its cells may hold anything.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| visible(&cell).into_owned()).collect());
    }

    /// Writes it to standard output.
    pub(crate) fn print(&self) -> io::Result<()> {
        for text in self.lines(terminal_width()) {
            line(&text)?;
        }
        Ok(())
    }

    /// The lines as they fit into `width` columns.
    pub(crate) fn lines(&self, width: Option<usize>) -> Vec<String> {
        let widths = self.widths(width);
        let headings: Vec<String> = self.headings.iter().map(|(text, _)| text.clone()).collect();
        std::iter::once(&headings).chain(&self.rows).map(|row| self.written(row, &widths)).collect()
    }

    fn widths(&self, limit: Option<usize>) -> Vec<usize> {
        let mut widths: Vec<usize> = self.headings.iter().map(|(heading, _)| heading.width()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.width());
            }
        }
        let Some(limit) = limit else { return widths };
        let gaps = 2 * widths.len().saturating_sub(1);
        let mut over = (widths.iter().sum::<usize>() + gaps).saturating_sub(limit);
        // The last columns give way first: what identifies a row stands in front.
        for (width, (_, fit)) in widths.iter_mut().zip(&self.headings).rev() {
            if let Fit::Cut(least) = fit {
                let gives = over.min(width.saturating_sub(*least));
                *width -= gives;
                over -= gives;
            }
        }
        widths
    }

    fn written(&self, row: &[String], widths: &[usize]) -> String {
        let mut text = String::new();
        for (at, (cell, width)) in row.iter().zip(widths).enumerate() {
            if at > 0 {
                text.push_str("  ");
            }
            let cell = cut(cell, *width);
            let space = " ".repeat(width - cell.width().min(*width));
            if self.headings[at].1 == Fit::Right {
                text.push_str(&space);
                text.push_str(&cell);
            } else {
                text.push_str(&cell);
                text.push_str(&space);
            }
        }
        text.truncate(text.trim_end().len());
        text
    }
}

/// The text cut to `columns` columns of a terminal, with a sign that it was.
pub(crate) fn cut(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut used = 0;
    for character in text.chars() {
        let width = character.width().unwrap_or(0);
        if used + width + 1 > columns {
            break;
        }
        used += width;
        kept.push(character);
    }
    if columns > 0 {
        kept.push('…');
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new([("ID", Fit::Whole), ("BYTES", Fit::Right), ("COMMAND", Fit::Cut(7))]);
        table.row(["a-1".to_owned(), "12".to_owned(), "echo \u{1b}]0;owned\u{7} \u{202e}txt".to_owned()]);
        table.row(["a-22".to_owned(), "1234567".to_owned(), "东京 ls".to_owned()]);
        table
    }

    #[test]
    fn columns_align_and_nothing_in_them_is_obeyed() {
        let lines = table().lines(None);
        assert_eq!(lines[0], "ID      BYTES  COMMAND");
        assert_eq!(lines[1], "a-1        12  echo ␛]0;owned␇ \\u{202e}txt");
        assert_eq!(lines[2], "a-22  1234567  东京 ls");
    }

    #[test]
    fn a_table_is_cut_to_the_terminal() {
        let lines = table().lines(Some(24));
        assert!(lines.iter().all(|line| line.width() <= 24), "{lines:?}");
        assert_eq!(lines[1], "a-1        12  echo ␛]0…");
        let narrow = table().lines(Some(3));
        assert_eq!(narrow[2], "a-22  1234567  东京 ls", "what may not be cut stays whole");
    }

    #[test]
    fn wide_characters_are_cut_by_columns() {
        assert_eq!(cut("东京東京", 5), "东京…");
        assert_eq!(cut("abc", 0), "");
    }
}
