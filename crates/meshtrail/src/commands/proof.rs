//! `checkpoint` and `proof`.

use anyhow::Result;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::api::{Api, path};
use crate::args::{Checkpoint, Proof};
use crate::output::{line, note};

/// Shows the signed head of the trail: the note itself, or with `--json` what it says.
pub(crate) async fn checkpoint(checkpoint: Checkpoint) -> Result<()> {
    #[derive(Deserialize)]
    struct Head {
        note: String,
        vkey: String,
    }
    let api = Api::open(&checkpoint.asking.source).await?;
    let text: Box<RawValue> = api.get_json("/api/v1/checkpoint").await?;
    if checkpoint.asking.json {
        return Ok(line(text.get())?);
    }
    let head: Head = serde_json::from_str(text.get())?;
    // The note is signed text: it goes out exactly as it is, without a line more.
    line(head.note.strip_suffix('\n').unwrap_or(&head.note))?;
    note(&format!("Signed by {}", head.vkey));
    Ok(())
}

/// Shows a proof, as JSON.
pub(crate) async fn proof(proof: Proof) -> Result<()> {
    let api = Api::open(&proof.asking.source).await?;
    let number = |number: Option<u64>| number.map(|number| number.to_string());
    let parameters = [
        ("event", proof.event),
        ("index", number(proof.index)),
        ("size", number(proof.size)),
        ("from", number(proof.from)),
        ("to", number(proof.to)),
    ];
    let text: Box<RawValue> = api.get_json(&path("/api/v1/proof", &parameters)).await?;
    if proof.asking.json {
        return Ok(line(text.get())?);
    }
    let value: serde_json::Value = serde_json::from_str(text.get())?;
    Ok(line(&serde_json::to_string_pretty(&value)?)?)
}
