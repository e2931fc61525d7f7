//! What was checked and how it came out, one line each.

use anyhow::Result;
use meshtrail_event::text::visible;

use crate::output::{line, note};

/// The findings so far.
pub(crate) struct Findings {
    json: bool,
    held: u64,
    failed: u64,
}

impl Findings {
    /// None yet.
    pub(crate) fn new(json: bool) -> Findings {
        Findings { json, held: 0, failed: 0 }
    }

    /// Notes and prints one.
    pub(crate) fn add(&mut self, subject: &str, holds: bool, said: &str) -> Result<()> {
        if holds {
            self.held += 1;
        } else {
            self.failed += 1;
        }
        if self.json {
            line(&serde_json::json!({ "subject": subject, "holds": holds, "said": said }).to_string())?;
        } else {
            let verdict = if holds { "holds" } else { "FAILS" };
            line(&format!("{verdict}  {}: {}", visible(subject), visible(said)))?;
        }
        Ok(())
    }

    /// Whether all of it holds, said in one line; nothing checked is not "all".
    pub(crate) fn conclude(&self) -> Result<bool> {
        let holds = self.failed == 0 && self.held > 0;
        if !self.json {
            match (self.held, self.failed) {
                (0, 0) => note("Nothing was checked."),
                (held, 0) => note(&format!("All of it holds ({held} checks).")),
                (held, failed) => note(&format!("{failed} of {} checks do not hold.", held + failed)),
            }
        }
        Ok(holds)
    }
}
