//! `version`

use anyhow::Result;

use crate::args::Version;
use crate::output::print_line;

pub(crate) fn run(version: &Version) -> Result<()> {
    let number = env!("CARGO_PKG_VERSION");
    if version.json {
        print_line(&serde_json::json!({ "name": "meshtrail", "version": number }).to_string())?;
    } else {
        print_line(&format!("meshtrail {number}"))?;
    }
    Ok(())
}
