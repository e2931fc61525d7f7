//! `verify`: exits 0 only if everything requested was read and holds, and 3 if a pack holds but no key was given to
//! compare its signer with.
//!
//! - A pack is checked with nothing but its file.
//! - Events and sessions are fetched through the API and checked here: hashes, inclusion proofs and signatures are
//!   computed in this process, so that a server can't fake them.
//! - `--all` reads the store itself, without any server.

mod findings;
mod local_store;
mod unreferenced;
mod via_api;

use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::api::Api;
use crate::args::Verify;
use crate::output::print_note;
use findings::Findings;

/// The page size of requests.
const PAGE: usize = 500;

/// The exit status for a pack that holds in itself, if no key was given to compare its signer with.
const SIGNER_NOT_CHECKED: u8 = 3;

/// Runs the requested checks.
pub(crate) async fn run(verify: Verify) -> Result<ExitCode> {
    let mut findings = Findings::new(verify.api.json);
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
        signer = check_pack(path, verify.vkey.as_deref(), &mut findings)?;
    } else if verify.all {
        local_store::check(&verify.api.source, verify.vkey.as_deref(), older, &mut findings).await?;
    } else {
        match Api::open(&verify.api.source).await? {
            api @ Api::Remote(_) => {
                via_api::check(&api, &verify.ids, verify.vkey.as_deref(), older, &mut findings).await?;
            }
            // A store may hold events that no stored checkpoint covers yet: the log proves them.
            api @ Api::Direct(_) => {
                local_store::check_ids(&api, &verify, older, &mut findings).await?;
            }
        }
    }
    Ok(match (findings.conclude()?, signer) {
        (false, _) => ExitCode::FAILURE,
        (true, Signer::Checked) => ExitCode::SUCCESS,
        (true, Signer::Unknown(vkey)) => {
            print_note(&format!(
                "It is signed by {vkey}, which anybody could have made: compare it with the key you know of the \
                 trail, or give that one with --vkey."
            ));
            SIGNER_NOT_CHECKED.into()
        }
    })
}

/// Whether the signer was compared with a known key.
enum Signer {
    Checked,
    /// The signature holds under this key, which came with the pack itself.
    Unknown(String),
}

fn check_pack(path: &std::path::Path, vkey: Option<&str>, findings: &mut Findings) -> Result<Signer> {
    let html = std::fs::read(path).with_context(|| format!("failed to read {}", path.display()))?;
    let report = meshtrail_server::pack::check(&html);
    for check in &report.checks {
        findings.add(check.what, check.holds, &check.finding)?;
    }
    match (vkey, &report.vkey) {
        (Some(expected), Some(found)) => {
            let finding = if expected == found {
                "it is the one that was given"
            } else {
                "it is not the one that was given"
            };
            findings.add("key", expected == found, finding)?;
        }
        (None, Some(found)) => return Ok(Signer::Unknown(found.clone())),
        (_, None) => {}
    }
    Ok(Signer::Checked)
}
