//! Why a policy can't be evaluated.

use std::fmt;

use crate::hujson::{HujsonError, Node};

/// The most faults that an error names; the others are counted.
pub const MAX_FAULTS: usize = 20;

/// One thing that is wrong with a policy, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The line, from 1.
    pub line: usize,
    /// The character in it, from 1.
    pub column: usize,
    /// The part of the policy: `acl rule 1, src`; empty for an error of the syntax.
    pub place: String,
    /// What is wrong there.
    pub reason: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let colon = if self.place.is_empty() { "" } else { ": " };
        write!(f, "line {}, column {}: {}{colon}{}", self.line, self.column, self.place, self.reason)
    }
}

/// A policy that the control plane would refuse, so that nothing can be said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyError {
    /// What is wrong, in the order in which it was found; never empty, at most [`MAX_FAULTS`].
    pub faults: Vec<Fault>,
    /// How many more faults there are.
    pub left_off: usize,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults: Vec<_> = self.faults.iter().map(Fault::to_string).collect();
        f.write_str(&faults.join("; "))?;
        if self.left_off > 0 { write!(f, "; and {} more", self.left_off) } else { Ok(()) }
    }
}

impl std::error::Error for PolicyError {}

impl From<HujsonError> for PolicyError {
    fn from(error: HujsonError) -> Self {
        let HujsonError { line, column, reason } = error;
        Self {
            faults: vec![Fault { line, column, place: String::new(), reason: reason.to_owned() }],
            left_off: 0,
        }
    }
}

/// The faults found so far.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    faults: Vec<Fault>,
    left_off: usize,
}

impl Faults {
    /// Adds a fault at a node of the policy.
    pub(crate) fn add(&mut self, at: &Node, place: &str, reason: impl Into<String>) {
        self.add_at((at.line, at.column), place, reason);
    }

    /// Adds a fault at a line and column.
    pub(crate) fn add_at(&mut self, (line, column): (usize, usize), place: &str, reason: impl Into<String>) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(Fault { line, column, place: place.to_owned(), reason: reason.into() });
        } else {
            self.left_off += 1;
        }
    }

    /// An error, if there was a fault.
    pub(crate) fn into_result(self) -> Result<(), PolicyError> {
        let Self { faults, left_off } = self;
        if faults.is_empty() { Ok(()) } else { Err(PolicyError { faults, left_off }) }
    }
}
