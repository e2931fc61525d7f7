//! The results of checks, printed one line each.

use anyhow::Result;
use meshtrail_event::text::visible;

use crate::output::{print_line, print_note};

/// Prints and counts the results of checks.
pub(crate) struct Findings {
    json: bool,
    passed: u64,
    failed: u64,
}

impl Findings {
    pub(crate) fn new(json: bool) -> Findings {
        Findings { json, passed: 0, failed: 0 }
    }

    /// Prints and counts one result.
    pub(crate) fn add(&mut self, subject: &str, holds: bool, finding: &str) -> Result<()> {
        if holds {
            self.passed += 1;
        } else {
            self.failed += 1;
        }
        if self.json {
            print_line(
                &serde_json::json!({ "subject": subject, "holds": holds, "said": finding }).to_string(),
            )?;
        } else {
            let verdict = if holds { "holds" } else { "FAILS" };
            print_line(&format!("{verdict}  {}: {}", visible(subject), visible(finding)))?;
        }
        Ok(())
    }

    /// Prints a summary; true if at least one check was made and all hold.
    pub(crate) fn conclude(&self) -> Result<bool> {
        let holds = self.failed == 0 && self.passed > 0;
        if !self.json {
            match (self.passed, self.failed) {
                (0, 0) => print_note("Nothing was checked."),
                (passed, 0) => print_note(&format!("All of it holds ({passed} checks).")),
                (passed, failed) => {
                    print_note(&format!("{failed} of {} checks do not hold.", passed + failed))
                }
            }
        }
        Ok(holds)
    }
}
