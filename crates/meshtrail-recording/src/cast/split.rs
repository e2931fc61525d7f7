//! Splits a stream into lines, with a limit on the memory for one line.

/// The bytes between two line feeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split<'a> {
    /// A line without its line feed.
    Line(&'a [u8]),
    /// A line that is longer than the limit: its bytes were dropped.
    TooLong {
        /// The length without the line feed.
        length: u64,
    },
}

/// Splits a stream into lines. Buffers at most the longest line's length.
#[derive(Debug)]
pub struct LineSplitter {
    buffer: Vec<u8>,
    /// The length so far of a line that is too long.
    long_line: Option<u64>,
    max: usize,
    /// The offset after the last line feed.
    line_start: u64,
}

impl LineSplitter {
    /// A splitter whose lines are at most `max` bytes.
    pub fn new(max: usize) -> Self {
        Self { buffer: Vec::new(), long_line: None, max, line_start: 0 }
    }

    /// A splitter that starts in the middle of a stream, at the start of a line.
    pub fn starting_at(offset: u64, max: usize) -> Self {
        Self { line_start: offset, ..Self::new(max) }
    }

    /// Adds bytes, and passes each completed line with its offset to `on_line`.
    pub fn push(&mut self, mut bytes: &[u8], mut on_line: impl FnMut(u64, Split<'_>)) {
        while let Some(end) = bytes.iter().position(|&byte| byte == b'\n') {
            self.complete(&bytes[..end], &mut on_line);
            bytes = &bytes[end + 1..];
        }
        self.buffer_rest(bytes);
    }

    /// The offset of the start of the unfinished line.
    pub fn line_start(&self) -> u64 {
        self.line_start
    }

    /// The number of bytes of the unfinished line.
    pub fn unfinished(&self) -> u64 {
        self.long_line.unwrap_or(self.buffer.len() as u64)
    }

    fn complete(&mut self, end: &[u8], on_line: &mut impl FnMut(u64, Split<'_>)) {
        let length = self.unfinished() + end.len() as u64;
        if length > self.max as u64 {
            on_line(self.line_start, Split::TooLong { length });
        } else if self.buffer.is_empty() {
            on_line(self.line_start, Split::Line(end));
        } else {
            self.buffer.extend_from_slice(end);
            on_line(self.line_start, Split::Line(&self.buffer));
        }
        self.line_start += length + 1;
        self.long_line = None;
        // A long line's memory is not kept for the rest of the session.
        if self.buffer.capacity() > 64 << 10 {
            self.buffer = Vec::new();
        } else {
            self.buffer.clear();
        }
    }

    fn buffer_rest(&mut self, rest: &[u8]) {
        if let Some(length) = &mut self.long_line {
            *length += rest.len() as u64;
        } else if self.buffer.len() + rest.len() > self.max {
            self.long_line = Some((self.buffer.len() + rest.len()) as u64);
            self.buffer = Vec::new();
        } else {
            self.buffer.extend_from_slice(rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(max: usize, pieces: &[&[u8]]) -> (Vec<(u64, String)>, u64) {
        let mut splitter = LineSplitter::new(max);
        let mut out = Vec::new();
        for piece in pieces {
            splitter.push(piece, |at, split| match split {
                Split::Line(line) => out.push((at, String::from_utf8_lossy(line).into_owned())),
                Split::TooLong { length } => out.push((at, format!("<{length}>"))),
            });
        }
        (out, splitter.unfinished())
    }

    #[test]
    fn lines_come_out_the_same_however_the_bytes_were_cut() {
        let whole = b"one\ntwo\n\nthree";
        let expected = (vec![(0, "one".into()), (4, "two".into()), (8, String::new())], 5);
        for cut in 0..whole.len() {
            assert_eq!(lines(64, &[&whole[..cut], &whole[cut..]]), expected, "cut at {cut}");
        }
    }

    #[test]
    fn a_line_past_the_bound_costs_no_memory_and_the_next_line_is_read() {
        let mut splitter = LineSplitter::new(1024);
        let chunk = vec![b'x'; 64 << 10];
        for _ in 0..1600 {
            splitter.push(&chunk, |_, _| panic!("no line ended"));
            assert!(splitter.buffer.capacity() <= 1024);
        }
        let mut seen = Vec::new();
        splitter.push(b"\nnext\n", |at, split| match split {
            Split::Line(line) => seen.push((at, line.to_vec())),
            Split::TooLong { length } => assert_eq!(length, 1600 * (64 << 10)),
        });
        assert_eq!(seen, vec![(1600 * (64 << 10) + 1, b"next".to_vec())]);
    }
}
