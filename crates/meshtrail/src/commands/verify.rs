//! `verify`: exits 0 only when all that was asked for was read and holds.
//!
//! - A pack is checked with nothing but its file.
//! - Events and sessions are asked for by the API and checked here: hashes, paths and signatures are computed in
//!   this process, so that a server that lies is found out.
//! - `--all` reads the store itself, without any server.

mod asked;
mod findings;
mod whole;

use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::api::Api;
use crate::args::Verify;
use crate::output::note;
use findings::Findings;

/// Checks what is asked for.
pub(crate) async fn run(verify: Verify) -> Result<ExitCode> {
    let mut findings = Findings::new(verify.asking.json);
    let older = match &verify.checkpoint {
        None => None,
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("failed to read {}", path.display()))?;
            Some(text)
        }
    };
    if let Some(path) = &verify.offline {
        pack(path, verify.vkey.as_deref(), &mut findings)?;
    } else if verify.all {
        whole::check(&verify.asking.source, verify.vkey.as_deref(), older, &mut findings).await?;
    } else {
        match Api::open(&verify.asking.source).await? {
            api @ Api::Remote(_) => {
                asked::check(&api, &verify.ids, verify.vkey.as_deref(), older, &mut findings).await?;
            }
            // A store alone may hold events that no stored checkpoint signs yet: the log proves them.
            api @ Api::Direct(_) => {
                whole::check_ids(&api, &verify, older, &mut findings).await?;
            }
        }
    }
    Ok(if findings.conclude()? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn pack(path: &std::path::Path, vkey: Option<&str>, findings: &mut Findings) -> Result<()> {
    let html = std::fs::read(path).with_context(|| format!("failed to read {}", path.display()))?;
    let report = meshtrail_server::pack::check(&html);
    for check in &report.checks {
        findings.add(check.what, check.holds, &check.said)?;
    }
    match (vkey, &report.vkey) {
        (Some(expected), Some(found)) => {
            let said = if expected == found {
                "it is the one that was given"
            } else {
                "it is not the one that was given"
            };
            findings.add("key", expected == found, said)?;
        }
        (None, Some(found)) => {
            note(&format!("Signed by {found}: compare this with the key you know of the trail."))
        }
        (_, None) => {}
    }
    Ok(())
}
