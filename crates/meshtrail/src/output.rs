//! Terminal output: lines and tables, without control sequences from foreign text.
//!
//! - Every foreign text passes through [`visible`] before it is printed; JSON escapes control characters by itself.
//! - A closed pipe (`| head`) ends the program without an error: see [`is_closed_pipe`].
//! - On a terminal a table is truncated to its width; to a pipe it is written in full.

use std::io::{self, IsTerminal, Write};

use meshtrail_event::text::visible;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Writes one line to standard output.
pub(crate) fn print_line(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.write_all(b"\n")
}

/// Writes one line to standard error, and ignores errors.
pub(crate) fn print_note(text: &str) {
    let _ignored = writeln!(io::stderr().lock(), "{text}");
}

/// Whether an error only means that the reader of the output has closed the pipe.
pub(crate) fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

/// The columns of the terminal on standard output; none for a file or a pipe.
pub(crate) fn terminal_width() -> Option<usize> {
    if !io::stdout().is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|&columns| columns > 0)
}

/// How a column is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    /// As wide as its widest cell.
    Whole,
    /// As wide as its widest cell, right-aligned.
    Right,
    /// Truncated when the terminal is narrow, down to this many columns.
    Cut(usize),
}

/// A table with aligned columns.
pub(crate) struct Table {
    headings: Vec<(String, Fit)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new<H: AsRef<str>>(headings: impl IntoIterator<Item = (H, Fit)>) -> Table {
        let shown = |heading: H| visible(heading.as_ref()).into_owned();
        let headings = headings.into_iter().map(|(heading, fit)| (shown(heading), fit)).collect();
        Table { headings, rows: Vec::new() }
    }

    /// Adds a row; control characters in its cells are escaped.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| visible(&cell).into_owned()).collect());
    }

    pub(crate) fn print(&self) -> io::Result<()> {
        for text in self.lines(terminal_width()) {
            print_line(&text)?;
        }
        Ok(())
    }

    /// The lines, laid out for `width` columns.
    pub(crate) fn lines(&self, width: Option<usize>) -> Vec<String> {
        let widths = self.widths(width);
        let headings: Vec<String> = self.headings.iter().map(|(text, _)| text.clone()).collect();
        std::iter::once(&headings).chain(&self.rows).map(|row| self.format_row(row, &widths)).collect()
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
        let mut excess = (widths.iter().sum::<usize>() + gaps).saturating_sub(limit);
        // The last columns are truncated first: those that identify a row come first.
        for (width, (_, fit)) in widths.iter_mut().zip(&self.headings).rev() {
            if let Fit::Cut(min) = fit {
                let cut = excess.min(width.saturating_sub(*min));
                *width -= cut;
                excess -= cut;
            }
        }
        widths
    }

    fn format_row(&self, row: &[String], widths: &[usize]) -> String {
        let mut text = String::new();
        for (at, (cell, width)) in row.iter().zip(widths).enumerate() {
            if at > 0 {
                text.push_str("  ");
            }
            let cell = truncate(cell, *width);
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

/// Truncates a text to `columns` terminal columns, and marks it with an ellipsis.
pub(crate) fn truncate(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut truncated = String::new();
    let mut used = 0;
    for character in text.chars() {
        let width = character.width().unwrap_or(0);
        if used + width + 1 > columns {
            break;
        }
        used += width;
        truncated.push(character);
    }
    if columns > 0 {
        truncated.push('…');
    }
    truncated
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
        assert_eq!(truncate("东京東京", 5), "东京…");
        assert_eq!(truncate("abc", 0), "");
    }
}
