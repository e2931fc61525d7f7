//! `sign-in`: a fresh one-time link.

use anyhow::Result;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::api::Api;
use crate::args::SignIn;
use crate::output::{line, note};

/// Prints a link that signs one browser on this machine in.
pub(crate) async fn run(sign_in: SignIn) -> Result<()> {
    #[derive(Deserialize)]
    struct Link {
        url: String,
    }
    let server = Api::open_server(&sign_in.asking.source, "a sign-in link").await?;
    let answer: Box<RawValue> = server.post("/api/v1/sign-in-links", &serde_json::json!({})).await?;
    if sign_in.asking.json {
        return Ok(line(answer.get())?);
    }
    let link: Link = serde_json::from_str(answer.get())?;
    line(&link.url)?;
    note("Open it in a browser on this machine within 15 minutes; it works once.");
    Ok(())
}
