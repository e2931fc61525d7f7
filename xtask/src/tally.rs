//! Counts of passed, failed and skipped tests, from the summaries of test runners.

use crate::run::print_line;

/// Tests and checks by result.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
    notes: Vec<String>,
}

impl Tally {
    /// Adds one check.
    pub(crate) fn check(&mut self, what: &str, holds: bool) {
        if holds {
            self.passed += 1;
        } else {
            self.failed += 1;
            self.notes.push(format!("failed: {what}"));
        }
    }

    /// Adds tests that can't run here, with the reason.
    pub(crate) fn skip(&mut self, what: &str, count: u64, why: &str) {
        self.skipped += count;
        self.notes.push(format!("skipped: {what} ({count}): {why}"));
    }

    /// Adds a note for the end that is not counted.
    pub(crate) fn note(&mut self, text: &str) {
        self.notes.push(text.to_owned());
    }

    /// Adds the counts of a test run; one that failed without a failing test (did not compile) counts as one failure.
    pub(crate) fn add(&mut self, what: &str, counts: TestCounts, succeeded: bool) {
        self.passed += counts.passed;
        self.failed += counts.failed;
        self.skipped += counts.skipped;
        if counts.failed > 0 {
            self.notes.push(format!("failed: {what} ({})", counts.failed));
        } else if !succeeded {
            self.failed += 1;
            self.notes.push(format!("failed: {what} (did not run to its end)"));
        }
        if counts.skipped > 0 {
            self.notes.push(format!("skipped: {what} ({}): marked as ignored", counts.skipped));
        }
    }

    /// Prints the results, the last line in the form that other tools read; returns whether all passed.
    pub(crate) fn conclude(&self, a_skip_fails: bool) -> bool {
        print_line("");
        for note in &self.notes {
            print_line(note);
        }
        if a_skip_fails && self.skipped > 0 {
            print_line("CI is set: what is skipped counts as failed");
        }
        let failed = if a_skip_fails { self.failed + self.skipped } else { self.failed };
        let skipped = if a_skip_fails { 0 } else { self.skipped };
        print_line(&format!("{} passed, {failed} failed, {skipped} skipped", self.passed));
        failed == 0
    }
}

/// The counts of one run of a test runner.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TestCounts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl TestCounts {
    /// Reads one line of a test runner's output.
    pub(crate) fn read(&mut self, line: &str) {
        if let Some(result) = line.trim().strip_prefix("test result: ") {
            self.passed += number_before(result, " passed");
            self.failed += number_before(result, " failed");
            self.skipped += number_before(result, " ignored");
        } else if let Some((name, number)) = node_count(line) {
            match name {
                "pass" => self.passed += number,
                "fail" | "cancelled" => self.failed += number,
                "skipped" | "todo" => self.skipped += number,
                _ => {}
            }
        }
    }
}

fn number_before(text: &str, word: &str) -> u64 {
    let Some(end) = text.find(word) else { return 0 };
    let digits = text[..end].rsplit(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    digits.parse().unwrap_or(0)
}

/// `# pass 12` or `ℹ pass 12`, the summary lines of node's test runner.
fn node_count(line: &str) -> Option<(&str, u64)> {
    let rest = line.strip_prefix("# ").or_else(|| line.strip_prefix("ℹ "))?;
    let (name, number) = rest.split_once(' ')?;
    Some((name, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::TestCounts;

    #[test]
    fn the_closing_lines_of_cargo_and_node_are_counted() {
        let mut counts = TestCounts::default();
        for line in [
            "running 12 tests",
            "test result: ok. 10 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            "test result: FAILED. 1 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1s",
            "ℹ tests 5",
            "ℹ pass 4",
            "# fail 1",
        ] {
            counts.read(line);
        }
        assert_eq!(counts, TestCounts { passed: 15, failed: 4, skipped: 2 });
    }
}
