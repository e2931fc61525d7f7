//! `checkpoint` and `proof`.

use anyhow::Result;
use meshtrail_api::client::path;
use meshtrail_api::proofs::{Head, ProofQuery};
use serde_json::value::RawValue;

use crate::api::Api;
use crate::args::{Checkpoint, Proof};
use crate::output::{print_line, print_note};

/// Prints the newest checkpoint: the signed note itself, or with `--json` its contents.
pub(crate) async fn checkpoint(checkpoint: Checkpoint) -> Result<()> {
    let api = Api::open(&checkpoint.api.source).await?;
    let text: Box<RawValue> = api.get_json("/api/v1/checkpoint").await?;
    if checkpoint.api.json {
        return Ok(print_line(text.get())?);
    }
    let head: Head = serde_json::from_str(text.get())?;
    // The note is signed text, and so it is printed exactly as it is.
    print_line(head.note.strip_suffix('\n').unwrap_or(&head.note))?;
    print_note(&format!("Signed by {}", head.vkey));
    Ok(())
}

/// Prints a proof as JSON.
pub(crate) async fn proof(proof: Proof) -> Result<()> {
    let api = Api::open(&proof.api.source).await?;
    let query = ProofQuery {
        event: proof.event,
        index: proof.index,
        size: proof.size,
        from: proof.from,
        to: proof.to,
    };
    let text: Box<RawValue> = api.get_json(&path("/api/v1/proof", &query)).await?;
    if proof.api.json {
        return Ok(print_line(text.get())?);
    }
    let value: serde_json::Value = serde_json::from_str(text.get())?;
    Ok(print_line(&serde_json::to_string_pretty(&value)?)?)
}
