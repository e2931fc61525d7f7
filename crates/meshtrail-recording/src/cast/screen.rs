//! [`Screen`]: the terminal's screen at some time of a recording.

use std::time::{Duration, Instant};

use super::{CastLine, Code, Size};

/// Bytes of output that the terminal processes between two checks of the time.
const SLICE: usize = 4 << 10;

/// A virtual terminal that processes a recording's events.
///
/// A few bytes of output can cause much work (repeat a character 65,535 times), so the terminal has a time budget. Once
/// that is used up, output is ignored, and there is no screen.
pub struct Screen {
    terminal: avt::Terminal,
    /// A resize takes effect at the next output, so that a million successive resizes take the time of one.
    pending: Option<Size>,
    left: Duration,
}

impl Screen {
    /// An empty screen with a total processing time of `budget`.
    pub fn new(size: Size, budget: Duration) -> Self {
        let terminal =
            avt::Terminal::new(size.cols.into(), size.rows.into()).expect("a playable size has no zero");
        Self { terminal, pending: None, left: budget }
    }

    /// Processes a repaired event.
    pub fn feed(&mut self, line: &CastLine<'_>) {
        match line.code {
            Code::Output => self.output(&line.data),
            Code::Resize => self.pending = parse_size(&line.data).or(self.pending),
            Code::Input | Code::Marker | Code::Other(_) => {}
        }
    }

    /// The output that makes a new terminal of [`Screen::size`] look like this one; `None` if the budget is used up.
    pub fn dump(&mut self) -> Option<String> {
        self.apply_resize();
        (!self.left.is_zero()).then(|| self.terminal.dump())
    }

    /// The current size.
    pub fn size(&self) -> Size {
        self.pending.unwrap_or_else(|| {
            let (cols, rows) = self.terminal.size();
            Size::playable(cols as u64, rows as u64)
        })
    }

    fn output(&mut self, data: &str) {
        if self.left.is_zero() {
            return;
        }
        let started = Instant::now();
        self.apply_resize();
        let mut rest = data;
        while !rest.is_empty() {
            let (slice, after) = rest.split_at(rest.floor_char_boundary(SLICE.min(rest.len())));
            self.terminal.feed(slice);
            rest = after;
            if started.elapsed() > self.left {
                break;
            }
        }
        self.left = self.left.saturating_sub(started.elapsed());
    }

    fn apply_resize(&mut self) {
        if let Some(size) = self.pending.take() {
            self.terminal.resize(size.cols.into(), size.rows.into());
        }
    }
}

fn parse_size(data: &str) -> Option<Size> {
    let (cols, rows) = data.split_once('x')?;
    Some(Size::playable(cols.parse().ok()?, rows.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cast::{Piece, Repair};

    #[test]
    fn a_dump_makes_a_fresh_terminal_look_the_same() {
        let mut repair = Repair::default();
        let mut screen = Screen::new(Size::DEFAULT, Duration::from_secs(10));
        let stream = b"{\"version\":2,\"width\":80,\"height\":24}\n[1,\"o\",\"one\\r\\n\\u001b[31mred\"]\n[2,\"r\",\"100x30\"]\n[3,\"o\",\" more\"]\n";
        repair.push(stream, |piece| {
            if let Piece::Event { line, .. } = piece {
                screen.feed(&line);
            }
        });
        assert_eq!(screen.size(), Size { cols: 100, rows: 30 });
        let mut fresh = avt::Terminal::new(100, 30).unwrap();
        fresh.feed(screen.dump().unwrap());
        let text: Vec<_> =
            fresh.screen().visible_lines().map(|line| line.text().trim_end().to_owned()).collect();
        assert_eq!(text[..2], ["one", "red more"]);
    }

    #[test]
    fn output_that_asks_for_endless_work_runs_out_of_budget() {
        let mut screen = Screen::new(Size::DEFAULT, Duration::from_millis(1));
        let data = "x\u{1b}[65535b".repeat(100_000);
        screen.feed(&CastLine { time: 0.0, code: Code::Output, data: data.into(), replaced: false });
        assert_eq!(screen.dump(), None);
    }
}
