//! `verify`: exits 0 only when all that was asked for was read and holds, and 3 when a pack holds but nobody said
//! whose it has to be.
//!
//! - A pack is checked with nothing but its file.
//! - Events and sessions are asked for by the API and checked here: hashes, paths and signatures are computed in
//!   this process, so that a server that lies is found out.
//! - `--all` reads the store itself, without any server.

mod asked;
mod findings;
mod unspoken;
mod whole;

use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::api::Api;
use crate::args::Verify;
use crate::output::note;
use findings::Findings;

/// The exit status for a pack that holds in itself, signed by a key that nobody named.
const WHOSE_IS_NOT_CHECKED: u8 = 3;

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
    let mut signer = Signer::Checked;
    if let Some(path) = &verify.offline {
        signer = pack(path, verify.vkey.as_deref(), &mut findings)?;
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
    Ok(match (findings.conclude()?, signer) {
        (false, _) => ExitCode::FAILURE,
        (true, Signer::Checked) => ExitCode::SUCCESS,
        (true, Signer::Anybody(vkey)) => {
            note(&format!(
                "It is signed by {vkey}, which anybody could have made: compare it with the key you know of the \
                 trail, or give that one with --vkey."
            ));
            WHOSE_IS_NOT_CHECKED.into()
        }
    })
}

/// Whether it was checked who signed.
enum Signer {
    /// It was.
    Checked,
    /// It holds under this key, which came with what was checked.
    Anybody(String),
}

fn pack(path: &std::path::Path, vkey: Option<&str>, findings: &mut Findings) -> Result<Signer> {
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
        (None, Some(found)) => return Ok(Signer::Anybody(found.clone())),
        (_, None) => {}
    }
    Ok(Signer::Checked)
}
