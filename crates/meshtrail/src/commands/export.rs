//! `sessions export`: the received bytes, or an evidence pack.
//!
//! The response is written to a temporary file beside the target and renamed when it is complete: a broken connection
//! leaves no file that looks like an export.

use std::io::{IsTerminal, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use meshtrail_api::client::{Answer, encode};
use meshtrail_api::sessions::{Session, SessionState};
use sha2::{Digest, Sha256};

use crate::api::Api;
use crate::args::SessionExport;
use crate::output::print_note;
use crate::units::format_size;

/// Exports a recording or a pack.
pub(crate) async fn run(export: SessionExport) -> Result<()> {
    let to_stdout = export.output.as_deref().is_none_or(|path| path == Path::new("-"));
    if to_stdout && std::io::stdout().is_terminal() {
        bail!("a recording is not printed to a terminal; name a file with --output, or pipe it somewhere");
    }
    let api = Api::open(&export.source).await?;
    let id = encode(&export.id);
    let what = if export.pack { "pack" } else { "recording" };
    let answer = api.get(&format!("/api/v1/sessions/{id}/{what}")).await?;
    match export.output.as_deref().filter(|_| !to_stdout) {
        None => {
            copy(answer, &mut std::io::stdout().lock()).await?;
        }
        Some(path) => {
            let (bytes, sha256) = to_file(answer, path).await?;
            print_note(&format!("{} written to {}, SHA-256 {sha256}", format_size(bytes), path.display()));
            if !export.pack {
                compare(&api, &id, bytes, &sha256).await?;
            }
        }
    }
    Ok(())
}

async fn to_file(answer: Answer, path: &Path) -> Result<(u64, String)> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(".meshtrail-export-")
        .tempfile_in(folder)
        .with_context(|| format!("no file can be made in {}", folder.display()))?;
    let result = copy(answer, file.as_file_mut()).await?;
    file.as_file().sync_all()?;
    file.persist(path).with_context(|| format!("failed to write {}", path.display()))?;
    Ok(result)
}

async fn copy(mut answer: Answer, out: &mut impl Write) -> Result<(u64, String)> {
    let (mut hash, mut bytes) = (Sha256::new(), 0);
    while let Some(part) = answer.next().await {
        let part = part?;
        hash.update(&part);
        bytes += part.len() as u64;
        out.write_all(&part)?;
    }
    out.flush()?;
    Ok((bytes, hex::encode(hash.finalize())))
}

/// Compares the written bytes with the session's event; a live session has no such event yet.
async fn compare(api: &Api, id: &str, bytes: u64, sha256: &str) -> Result<()> {
    let session: Session = api.get_json(&format!("/api/v1/sessions/{id}")).await?;
    match session.sha256 {
        _ if session.state == SessionState::Live => {
            print_note("The session is live: this is what has been recorded until now.");
            Ok(())
        }
        Some(recorded) if recorded != sha256 => bail!(
            "the exported bytes are not those that the session's event tells of (SHA-256 {recorded}, {} bytes; got {bytes} bytes); run `meshtrail verify {id}`",
            session.bytes
        ),
        _ => Ok(()),
    }
}
