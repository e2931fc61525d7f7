//! `sign-in`

use anyhow::Result;
use meshtrail_api::tokens::SignInLink;
use serde_json::value::RawValue;

use crate::api::Api;
use crate::args::SignIn;
use crate::output::{print_line, print_note};

/// Prints a one-time link that signs in one browser on this machine.
pub(crate) async fn run(sign_in: SignIn) -> Result<()> {
    let server = Api::open_server(&sign_in.api.source, "a sign-in link").await?;
    let answer: Box<RawValue> = server.post_json("/api/v1/sign-in-links", &serde_json::json!({})).await?;
    if sign_in.api.json {
        return Ok(print_line(answer.get())?);
    }
    let link: SignInLink = serde_json::from_str(answer.get())?;
    print_line(&link.url)?;
    print_note("Open it in a browser on this machine within 15 minutes; it works once.");
    Ok(())
}
