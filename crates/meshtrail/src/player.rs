//! Draws a recording in this terminal.
//!
//! Recorded output is fed to an emulated terminal in memory; changed lines of its screen are drawn here with escape
//! sequences of our own. So no recorded control sequence (terminal queries, clipboard writes, titles) reaches the
//! operator's terminal.

use std::io::{self, Write};

use avt::observer::DirtyRows;
use avt::{Color, Line, Pen, Terminal};

/// The largest emulated screen.
const MAX_COLUMNS: usize = 500;
const MAX_ROWS: usize = 300;

/// One line of a recording.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum CastLine {
    /// The first line: columns and rows.
    Header { width: usize, height: usize },
    /// Output, at seconds from the start.
    Output(f64, String),
    /// A new size, at seconds from the start.
    Resize(f64, usize, usize),
    /// Anything else.
    Other(f64),
}

/// Parses one line of a repaired recording.
pub(crate) fn parse(line: &str) -> Option<CastLine> {
    if line.starts_with('{') {
        #[derive(serde::Deserialize)]
        struct Header {
            width: usize,
            height: usize,
        }
        let Header { width, height } = serde_json::from_str(line).ok()?;
        return Some(CastLine::Header { width, height });
    }
    let (at, code, data): (f64, String, String) = serde_json::from_str(line).ok()?;
    Some(match code.as_str() {
        "o" => CastLine::Output(at, data),
        "r" => match data.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?))) {
            Some((width, height)) => CastLine::Resize(at, width, height),
            None => CastLine::Other(at),
        },
        _ => CastLine::Other(at),
    })
}

impl CastLine {
    /// Seconds from the start.
    pub(crate) fn at(&self) -> f64 {
        match self {
            CastLine::Header { .. } => 0.0,
            CastLine::Output(at, _) | CastLine::Resize(at, _, _) | CastLine::Other(at) => *at,
        }
    }
}

/// The emulated screen, and which of its rows are to be drawn.
pub(crate) struct Screen {
    terminal: Terminal,
    watch: DirtyRows,
    changed: Vec<bool>,
}

impl Screen {
    pub(crate) fn new() -> Screen {
        let terminal = Terminal::new(80, 24).expect("both sizes are above zero");
        Screen { terminal, watch: DirtyRows::new(), changed: vec![true; 24] }
    }

    /// Applies one line of the recording.
    pub(crate) fn feed(&mut self, line: &CastLine) {
        match line {
            CastLine::Header { width, height } | CastLine::Resize(_, width, height) => {
                let (columns, rows) = ((*width).clamp(1, MAX_COLUMNS), (*height).clamp(1, MAX_ROWS));
                let _all_rows_change = self.terminal.resize_with(columns, rows, &mut self.watch);
                self.changed = vec![true; rows];
            }
            CastLine::Output(_, text) => {
                for row in self.terminal.feed_with(text.as_str(), &mut self.watch) {
                    if let Some(changed) = self.changed.get_mut(row) {
                        *changed = true;
                    }
                }
            }
            CastLine::Other(_) => {}
        }
    }

    /// Draws the changed rows, within `columns` × `rows` of this terminal, and a status line below.
    pub(crate) fn draw(
        &mut self,
        out: &mut impl Write,
        (columns, rows): (usize, usize),
        status: &str,
    ) -> io::Result<()> {
        let visible_rows = rows.saturating_sub(1);
        let mut text = String::from("\x1b[?25l");
        for (row, line) in self.terminal.screen().visible_lines().enumerate().take(visible_rows) {
            if self.changed.get(row).copied().unwrap_or(true) {
                text.push_str(&format!("\x1b[{};1H", row + 1));
                let used = draw_line(&mut text, line, columns);
                // In the last column the cursor stays on the character just drawn, which erasing would remove.
                text.push_str(if used < columns { "\x1b[0m\x1b[K" } else { "\x1b[0m" });
            }
        }
        self.changed.iter_mut().for_each(|changed| *changed = false);
        text.push_str(&format!(
            "\x1b[{rows};1H\x1b[7m{}\x1b[0m\x1b[K",
            crate::output::truncate(status, columns)
        ));
        if let Some((column, row)) = self.terminal.cursor().position()
            && row < visible_rows
            && column < columns
        {
            text.push_str(&format!("\x1b[{};{}H\x1b[?25h", row + 1, column + 1));
        }
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    /// Marks every row as changed, after this terminal was resized.
    pub(crate) fn redraw(&mut self) {
        self.changed.iter_mut().for_each(|changed| *changed = true);
    }
}

/// Draws a line and returns the columns used.
fn draw_line(text: &mut String, line: &Line, columns: usize) -> usize {
    let mut used = 0;
    let mut pen: Option<Pen> = None;
    for cell in line.cells() {
        let width = usize::from(cell.width());
        if used + width > columns {
            break;
        }
        if width == 0 {
            continue;
        }
        if pen.as_ref() != Some(cell.pen()) {
            text.push_str(&sgr(cell.pen()));
            pen = Some(*cell.pen());
        }
        let character = cell.char();
        // The emulator keeps control characters out of its cells; any that is left is replaced.
        text.push(if character.is_control() { '\u{fffd}' } else { character });
        used += width;
    }
    used
}

fn sgr(pen: &Pen) -> String {
    let mut text = String::from("\x1b[0");
    let attributes = [
        (pen.is_bold(), ";1"),
        (pen.is_faint(), ";2"),
        (pen.is_italic(), ";3"),
        (pen.is_underline(), ";4"),
        (pen.is_blink(), ";5"),
        (pen.is_inverse(), ";7"),
        (pen.is_strikethrough(), ";9"),
    ];
    for (_, code) in attributes.into_iter().filter(|(on, _)| *on) {
        text.push_str(code);
    }
    for (color, layer) in [(pen.foreground(), 38), (pen.background(), 48)] {
        match color {
            None => {}
            Some(Color::Indexed(index)) => text.push_str(&format!(";{layer};5;{index}")),
            Some(Color::RGB(rgb)) => text.push_str(&format!(";{layer};2;{};{};{}", rgb.r, rgb.g, rgb.b)),
        }
    }
    text.push('m');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(lines: &[&str], size: (usize, usize)) -> String {
        let mut screen = Screen::new();
        for line in lines {
            screen.feed(&parse(line).unwrap());
        }
        let mut out = Vec::new();
        screen.draw(&mut out, size, "status").unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_was_recorded_is_shown_but_never_obeyed() {
        let hostile =
            r#"[0.1,"o","hi \u001b]52;c;aGFja2Vk\u0007\u001b[6n\u001b]0;owned\u0007\u001bP$q\u001b\\there"]"#;
        let text = draw(&[r#"{"version":2,"width":40,"height":5}"#, hostile], (80, 24));
        assert!(text.contains("hi there"), "{text:?}");
        for bad in ["]52", "]0;", "[6n", "\x1bP", "\u{7}"] {
            assert!(!text.contains(bad), "{bad:?} in {text:?}");
        }
    }

    #[test]
    fn a_larger_recording_is_clipped_to_this_terminal() {
        let wide = format!(r#"[0.1,"o","{}"]"#, "x".repeat(200));
        let text = draw(&[r#"{"version":2,"width":200,"height":100}"#, &wide], (20, 4));
        assert!(text.contains(&"x".repeat(20)) && !text.contains(&"x".repeat(21)));
        assert!(!text.contains("\x1b[5;1H"), "no row below the status line");
    }

    #[test]
    fn sizes_beyond_reason_are_bounded_and_nonsense_is_no_line() {
        let mut screen = Screen::new();
        screen.feed(&CastLine::Resize(0.0, usize::MAX, 0));
        assert_eq!(screen.terminal.size(), (MAX_COLUMNS, 1));
        assert_eq!(parse("not json"), None);
        assert_eq!(parse(r#"[1.5,"r","100x40"]"#), Some(CastLine::Resize(1.5, 100, 40)));
        assert_eq!(parse(r#"[1.5,"m","mark"]"#), Some(CastLine::Other(1.5)));
    }
}
