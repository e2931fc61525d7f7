//! `tokens create`, `tokens list` and `tokens revoke`.

use anyhow::{Context, Result};
use meshtrail_api::client::encode;
use meshtrail_api::tokens::{MadeToken, NewToken, Token, TokenList};
use meshtrail_event::Timestamp;
use meshtrail_server::config::parse_span;
use serde_json::value::RawValue;

use crate::api::Api;
use crate::args::{TokenCreate, TokenRevoke, TokensList};
use crate::output::{Fit, Table, print_line, print_note};
use crate::units::format_time;

/// Creates a token and prints its secret.
pub(crate) async fn create(create: TokenCreate) -> Result<()> {
    let span = create.expires.as_deref().map(parse_span).transpose().context("--expires")?;
    let server = Api::open_server(&create.api.source, "making a token").await?;
    let expires = span.map(|span| Timestamp::now().after(span));
    let new = NewToken { name: create.name, role: create.role.into(), expires };
    let answer: Box<RawValue> = server.post_json("/api/v1/tokens", &new).await?;
    if create.api.json {
        return Ok(print_line(answer.get())?);
    }
    let MadeToken { token, secret } = serde_json::from_str(answer.get())?;
    print_line(&secret)?;
    print_note(&format!("Token {} is in force. Keep it now: it is not shown again.", token.id));
    Ok(())
}

/// Lists the tokens in force.
pub(crate) async fn list(list: TokensList) -> Result<()> {
    let server = Api::open_server(&list.api.source, "listing tokens").await?;
    let page: TokenList<Box<RawValue>> = server.get_json("/api/v1/tokens").await?;
    if list.api.json {
        return page.tokens.iter().try_for_each(|token| Ok(print_line(token.get())?));
    }
    if page.tokens.is_empty() {
        print_note("No tokens. `meshtrail tokens create --name NAME --role viewer` makes one.");
        return Ok(());
    }
    let mut table = Table::new([
        ("ID", Fit::Whole),
        ("ROLE", Fit::Whole),
        ("CREATED", Fit::Whole),
        ("EXPIRES", Fit::Whole),
        ("BY", Fit::Cut(8)),
        ("NAME", Fit::Cut(8)),
    ]);
    for text in &page.tokens {
        let token: Token = serde_json::from_str(text.get())?;
        let expires = token.expires.map_or_else(|| "never".to_owned(), format_time);
        table.row([
            token.id,
            token.role.to_string(),
            format_time(token.created),
            expires,
            token.created_by,
            token.name,
        ]);
    }
    Ok(table.print()?)
}

/// Revokes a token.
pub(crate) async fn revoke(revoke: TokenRevoke) -> Result<()> {
    let server = Api::open_server(&revoke.api.source, "revoking a token").await?;
    let path = format!("/api/v1/tokens/{}", encode(&revoke.id));
    let answer = server.send(http::Method::DELETE, &path, None).await?.read_all().await?;
    if revoke.api.json {
        return Ok(print_line(&String::from_utf8(answer)?)?);
    }
    print_note(&format!("Token {} opens nothing any more.", revoke.id));
    Ok(())
}
