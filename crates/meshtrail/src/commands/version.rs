//! `version`

use anyhow::Result;

use crate::args::Version;
use crate::output::line;

/// Shows which Meshtrail this is.
pub(crate) fn run(version: &Version) -> Result<()> {
    let number = env!("CARGO_PKG_VERSION");
    if version.json {
        line(&serde_json::json!({ "name": "meshtrail", "version": number }).to_string())?;
    } else {
        line(&format!("meshtrail {number}"))?;
    }
    Ok(())
}
