//! `tests` and `sshTests` of a policy, run for the mesh that it was compiled for.
//!
//! A control plane refuses a policy whose tests fail when it is saved. People and devices change afterwards, so that the
//! tests of a policy in force may fail: that is worth knowing, and no error.

mod access;
mod ssh;

use std::fmt;

use crate::compile::Policy;
use crate::file::{Scope, Selector, Spelled};

/// Where a test stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TestSection {
    /// `tests`.
    Access,
    /// `sshTests`.
    Ssh,
}

/// A test, and how it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestOutcome {
    /// The list it is in.
    pub section: TestSection,
    /// Its number in the list, from 1.
    pub number: usize,
    /// Its line in the policy, from 1.
    pub line: usize,
    /// What does not hold, in words; empty if the test passes.
    pub failures: Vec<String>,
}

impl fmt::Display for TestOutcome {
    /// `sshTests entry 1 (line 30): passes`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let section = match self.section {
            TestSection::Access => "tests",
            TestSection::Ssh => "sshTests",
        };
        write!(f, "{section} entry {} (line {}): ", self.number, self.line)?;
        if self.failures.is_empty() { f.write_str("passes") } else { f.write_str(&self.failures.join("; ")) }
    }
}

/// The most failures that a test names.
const MAX_FAILURES: usize = 20;

impl Policy {
    /// Runs the policy's own tests.
    pub fn run_tests(&self) -> Vec<TestOutcome> {
        let access = (1..).zip(&self.file.tests).map(|(number, test)| TestOutcome {
            section: TestSection::Access,
            number,
            line: test.line,
            failures: bounded(self.run_access_test(test)),
        });
        let ssh = (1..).zip(&self.file.ssh_tests).map(|(number, test)| TestOutcome {
            section: TestSection::Ssh,
            number,
            line: test.line,
            failures: bounded(self.run_ssh_test(test)),
        });
        access.chain(ssh).collect()
    }

    /// A selector that a test names; the reason, if it names nothing.
    fn test_selector(&self, text: &str) -> Result<Selector, String> {
        if text.is_empty() {
            return Err("a test names its source and its destinations".to_owned());
        }
        let mut scope = Scope::new(self.plane, &self.mesh.index().domains);
        let spelled = Spelled { value: (), text: text.to_owned(), at: (0, 0) };
        let selector = scope.selector(spelled, "", &self.file);
        selector.map(|selector| selector.value).ok_or_else(|| format!("{text:?} is not defined"))
    }
}

fn bounded(mut failures: Vec<String>) -> Vec<String> {
    let more = failures.len().saturating_sub(MAX_FAILURES);
    failures.truncate(MAX_FAILURES);
    if more > 0 {
        failures.push(format!("and {more} more"));
    }
    failures
}
