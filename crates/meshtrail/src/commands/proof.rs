//! `checkpoint` and `proof`.

use anyhow::Result;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::api::{Api, path};
use crate::args::{Checkpoint, Proof};
use crate::output::{print_line, print_note};

/// Prints the newest checkpoint: the signed note itself, or with `--json` its contents.
pub(crate) async fn checkpoint(checkpoint: Checkpoint) -> Result<()> {
    #[derive(Deserialize)]
    struct Head {
        note: String,
        vkey: String,
    }
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
    let number = |number: Option<u64>| number.map(|number| number.to_string());
    let parameters = [
        ("event", proof.event),
        ("index", number(proof.index)),
        ("size", number(proof.size)),
        ("from", number(proof.from)),
        ("to", number(proof.to)),
    ];
    let text: Box<RawValue> = api.get_json(&path("/api/v1/proof", &parameters)).await?;
    if proof.api.json {
        return Ok(print_line(text.get())?);
    }
    let value: serde_json::Value = serde_json::from_str(text.get())?;
    Ok(print_line(&serde_json::to_string_pretty(&value)?)?)
}
