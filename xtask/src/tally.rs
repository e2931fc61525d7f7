//! Counting what passed, failed and was skipped, from what test runners print at their end.

use crate::run::say;

/// Tests and checks by how they went.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
    notes: Vec<String>,
}

impl Tally {
    /// One check that either holds or not.
    pub(crate) fn check(&mut self, what: &str, holds: bool) {
        if holds {
            self.passed += 1;
        } else {
            self.failed += 1;
            self.notes.push(format!("failed: {what}"));
        }
    }

    /// Tests that can't run here, and why.
    pub(crate) fn skip(&mut self, what: &str, count: u64, why: &str) {
        self.skipped += count;
        self.notes.push(format!("skipped: {what} ({count}): {why}"));
    }

    /// Something to say at the end that counts neither way.
    pub(crate) fn note(&mut self, text: &str) {
        self.notes.push(text.to_owned());
    }

    /// Adds what a test run counted; one that failed without a failing test (did not compile) counts as one.
    pub(crate) fn add(&mut self, what: &str, counted: Counted, succeeded: bool) {
        self.passed += counted.passed;
        self.failed += counted.failed;
        self.skipped += counted.skipped;
        if counted.failed > 0 {
            self.notes.push(format!("failed: {what} ({})", counted.failed));
        } else if !succeeded {
            self.failed += 1;
            self.notes.push(format!("failed: {what} (did not run to its end)"));
        }
        if counted.skipped > 0 {
            self.notes.push(format!("skipped: {what} ({}): marked as ignored", counted.skipped));
        }
    }

    /// Says how it went, the last line in the form that other tools read; tells whether that is success.
    pub(crate) fn conclude(&self, a_skip_fails: bool) -> bool {
        say("");
        for note in &self.notes {
            say(note);
        }
        if a_skip_fails && self.skipped > 0 {
            say("CI is set: what is skipped counts as failed");
        }
        let failed = if a_skip_fails { self.failed + self.skipped } else { self.failed };
        let skipped = if a_skip_fails { 0 } else { self.skipped };
        say(&format!("{} passed, {failed} failed, {skipped} skipped", self.passed));
        failed == 0
    }
}

/// What one run of a test runner counted.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Counted {
    /// Takes one line of a test runner's output into account.
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

/// `# pass 12` or `ℹ pass 12`, as node's test runner ends.
fn node_count(line: &str) -> Option<(&str, u64)> {
    let rest = line.strip_prefix("# ").or_else(|| line.strip_prefix("ℹ "))?;
    let (name, number) = rest.split_once(' ')?;
    Some((name, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::Counted;

    #[test]
    fn the_closing_lines_of_cargo_and_node_are_counted() {
        let mut counted = Counted::default();
        for line in [
            "running 12 tests",
            "test result: ok. 10 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            "test result: FAILED. 1 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1s",
            "ℹ tests 5",
            "ℹ pass 4",
            "# fail 1",
        ] {
            counted.read(line);
        }
        assert_eq!(counted, Counted { passed: 15, failed: 4, skipped: 2 });
    }
}
