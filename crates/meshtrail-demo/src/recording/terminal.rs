//! A terminal that is being recorded.

use crate::random::Random;

/// The size of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Screen {
    pub(crate) width: u64,
    pub(crate) height: u64,
}

impl Screen {
    /// No terminal: a command without one.
    pub(crate) const NONE: Self = Self { width: 0, height: 0 };
}

/// A terminal's output as asciicast lines, with times in microseconds since the start.
pub(crate) struct Terminal {
    pub(crate) random: Random,
    pub(crate) screen: Screen,
    now: u64,
    lines: String,
}

impl Terminal {
    pub(crate) fn new(random: Random, screen: Screen) -> Self {
        Self { random, screen, now: 40_000, lines: String::new() }
    }

    /// Milliseconds since the start, rounded up.
    pub(crate) fn millis(&self) -> u64 {
        self.now.div_ceil(1000)
    }

    /// Waits for about this many milliseconds.
    pub(crate) fn wait(&mut self, millis: u64) {
        let span = millis * 1000;
        self.now += span / 2 + self.random.below(span.max(1));
    }

    /// Waits until this many milliseconds after the start.
    pub(crate) fn wait_until(&mut self, millis: u64) {
        self.now = self.now.max(millis * 1000);
    }

    /// Outputs a text.
    pub(crate) fn show(&mut self, text: &str) {
        let data = serde_json::Value::from(text).to_string();
        let (seconds, micros) = (self.now / 1_000_000, self.now % 1_000_000);
        self.lines.push_str(&format!("[{seconds}.{micros:06},\"o\",{data}]\n"));
        self.now += 300 + self.random.below(900);
    }

    /// Outputs lines, about `gap` milliseconds apart.
    pub(crate) fn lines(&mut self, gap: u64, lines: &[&str]) {
        for line in lines {
            self.show(&format!("{line}\r\n"));
            if gap > 0 {
                self.wait(gap);
            }
        }
    }

    /// Types a text: the terminal echoes each key.
    pub(crate) fn keys(&mut self, text: &str) {
        for key in text.chars() {
            let hesitates = self.random.once_in(14);
            self.wait(if hesitates { 320 } else { 75 });
            self.show(key.encode_utf8(&mut [0; 4]));
        }
    }

    /// Types a command and the enter key.
    pub(crate) fn enter(&mut self, command: &str) {
        self.wait(700);
        self.keys(command);
        self.wait(260);
        self.show("\r\n");
    }

    /// The recording below its header, and its length in milliseconds.
    pub(crate) fn finish(self, header: &serde_json::Value) -> (Vec<u8>, u64) {
        let millis = self.millis();
        let mut cast = header.to_string().into_bytes();
        cast.push(b'\n');
        cast.extend_from_slice(self.lines.as_bytes());
        (cast, millis)
    }
}
