//! Compares a recording with the trail.
//!
//! The trail has marks, made while the session ran, and the terminal event. Each of them names the SHA-256 of the first
//! N received bytes. [`Checker`] reads the bytes once and reports the events that do not agree with them.

use std::fmt;

use meshtrail_event::EventId;
use sha2::{Digest, Sha256};

/// One event's statement about a recording: the SHA-256 of its first `bytes` bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The event.
    pub event: EventId,
    /// The number of bytes that it covers.
    pub bytes: u64,
    /// Their SHA-256 in lower-case hex.
    pub sha256: String,
}

/// One difference between a recording and the trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disagreement {
    /// The bytes are not those that the event was made of.
    Changed {
        /// The event.
        event: EventId,
        /// The number of bytes that the event covers.
        bytes: u64,
        /// The bytes up to here agree with an earlier statement.
        intact_until: u64,
    },
    /// The recording is shorter than the event says.
    Short {
        /// The event.
        event: EventId,
        /// The number of bytes that the event covers.
        bytes: u64,
        /// The number of bytes of the recording.
        found: u64,
    },
    /// The recording is longer than its terminal event says.
    Long {
        /// The event.
        event: EventId,
        /// The number of bytes that the event covers.
        bytes: u64,
        /// The number of bytes of the recording.
        found: u64,
    },
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed { event, bytes, intact_until } => write!(
                f,
                "the bytes from {intact_until} to {bytes} are not those that event {event} was made of"
            ),
            Self::Short { event, bytes, found } => {
                write!(f, "the recording has {found} bytes, event {event} was made of {bytes}")
            }
            Self::Long { event, bytes, found } => {
                write!(f, "the recording has {found} bytes, event {event} ended it at {bytes}")
            }
        }
    }
}

/// Reads a recording's bytes and compares them with the trail's statements.
pub struct Checker {
    /// Statements that are not checked yet, by the bytes they cover; the next one is last.
    open: Vec<Statement>,
    end: Option<Statement>,
    hasher: Sha256,
    read: u64,
    intact_until: u64,
    found: Vec<Disagreement>,
}

impl Checker {
    /// Checks against marks and, if the session has ended, against its terminal event.
    pub fn new(marks: Vec<Statement>, end: Option<Statement>) -> Self {
        let mut open: Vec<Statement> = marks.into_iter().chain(end.clone()).collect();
        open.sort_by_key(|statement| std::cmp::Reverse(statement.bytes));
        Self { open, end, hasher: Sha256::new(), read: 0, intact_until: 0, found: Vec::new() }
    }

    /// Takes received bytes.
    pub fn push(&mut self, mut bytes: &[u8]) {
        loop {
            self.compare();
            let until = self.open.last().map_or(u64::MAX, |next| next.bytes - self.read);
            let (now, later) = bytes.split_at(bytes.len().min(usize::try_from(until).unwrap_or(usize::MAX)));
            self.hasher.update(now);
            self.read += now.len() as u64;
            bytes = later;
            if bytes.is_empty() {
                return self.compare();
            }
        }
    }

    /// The differences; empty if the recording agrees with the trail.
    pub fn finish(mut self) -> Vec<Disagreement> {
        self.compare();
        let found = self.read;
        let short = self.open.iter().rev().map(|statement| Disagreement::Short {
            event: statement.event.clone(),
            bytes: statement.bytes,
            found,
        });
        self.found.extend(short);
        if let Some(end) = self.end.filter(|end| end.bytes < found) {
            self.found.push(Disagreement::Long { event: end.event, bytes: end.bytes, found });
        }
        self.found
    }

    /// The SHA-256 of all that was pushed, in lower-case hex.
    pub fn sha256(&self) -> String {
        hex::encode(self.hasher.clone().finalize())
    }

    fn compare(&mut self) {
        while let Some(statement) = self.open.pop_if(|next| next.bytes == self.read) {
            if statement.sha256 == self.sha256() {
                self.intact_until = self.read;
            } else {
                self.found.push(Disagreement::Changed {
                    event: statement.event,
                    bytes: statement.bytes,
                    intact_until: self.intact_until,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(sequence: u64, bytes: &[u8]) -> Statement {
        let event = format!("main.recorder.1.{sequence}").parse().unwrap();
        Statement { event, bytes: bytes.len() as u64, sha256: hex::encode(Sha256::digest(bytes)) }
    }

    fn check(original: &[u8], found: &[u8]) -> Vec<Disagreement> {
        let marks = vec![statement(2, &original[..40]), statement(1, &original[..20])];
        let mut checker = Checker::new(marks, Some(statement(3, original)));
        found.chunks(7).for_each(|piece| checker.push(piece));
        checker.finish()
    }

    #[test]
    fn an_untouched_recording_agrees_and_any_flipped_byte_is_found() {
        let original: Vec<u8> = (0..60).collect();
        assert_eq!(check(&original, &original), []);
        for at in 0..60 {
            let mut changed = original.clone();
            changed[at] ^= 1;
            let found = check(&original, &changed);
            let intact_until = (at as u64) / 20 * 20;
            assert!(
                matches!(&found[0], Disagreement::Changed { intact_until: until, .. } if *until == intact_until)
            );
        }
    }

    #[test]
    fn a_cut_or_lengthened_recording_is_found() {
        let original: Vec<u8> = (0..60).collect();
        let differences =
            |found: &[u8]| check(&original, found).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            differences(&original[..30]),
            [
                "the recording has 30 bytes, event main.recorder.1.2 was made of 40",
                "the recording has 30 bytes, event main.recorder.1.3 was made of 60",
            ]
        );
        let longer: Vec<u8> = (0..61).collect();
        assert_eq!(
            differences(&longer),
            ["the recording has 61 bytes, event main.recorder.1.3 ended it at 60"]
        );
    }
}
