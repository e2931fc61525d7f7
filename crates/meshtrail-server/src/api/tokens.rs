//! API tokens and sign-in links: create, list and revoke.
//!
//! The audit entry is written first, then the change is made; a change that fails gets a second entry.

use std::time::Instant;

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;
use meshtrail_api::tokens::{MadeToken, NewToken, SignInLink, Token as TokenView, TokenList};
use meshtrail_event::text::visible;
use meshtrail_event::{Kind, Outcome, SourceName, Timestamp};

use crate::audit_log::Entry;
use crate::auth::links::LINK_LIFETIME;
use crate::auth::tokens::{MAX_NAME, Token, TokenRequest, TokensError};
use crate::auth::{Caller, Role};
use crate::extract::{ValidJson, parse_field};
use crate::problem::Problem;
use crate::state::AppState;

/// Lists the API tokens in force, without their secrets.
#[utoipa::path(get, path = "/api/v1/tokens", tag = "tokens", responses((status = 200, body = TokenList)))]
pub(crate) async fn list(State(state): State<AppState>) -> Json<TokenList> {
    Json(TokenList { tokens: state.tokens().list().into_iter().map(TokenView::from).collect() })
}

/// Makes an API token. Its secret is in the answer and nowhere else.
#[utoipa::path(post, path = "/api/v1/tokens", tag = "tokens", request_body = NewToken,
    responses((status = 201, body = MadeToken)))]
pub(crate) async fn create(
    State(state): State<AppState>,
    caller: Caller,
    ValidJson(new): ValidJson<NewToken>,
) -> Result<(StatusCode, Json<MadeToken>), Problem> {
    let now = Timestamp::now();
    let role = check(&new, now)?;
    let shared = state.clone();
    let id = blocking(move || shared.tokens().reserve_id()).await?;
    let what = format!("token created with the role {role}");
    let entry = Entry::new(Kind::MeshtrailConfigChanged, &what).with_target("token", id.id(), &new.name);
    state.audit_log().write(&caller, entry.clone()).await?;
    let request =
        TokenRequest { name: new.name, role, expires: new.expires, created_by: caller.who.to_string() };
    let shared = state.clone();
    let created = blocking(move || shared.tokens().create(id, request, now)).await;
    match created {
        Ok((token, secret)) => {
            let secret = secret.reveal().to_owned();
            Ok((StatusCode::CREATED, Json(MadeToken { token: token.into(), secret })))
        }
        Err(error) => {
            state.audit_log().write(&caller, entry.with_outcome(Outcome::Failure)).await?;
            Err(error.into())
        }
    }
}

/// Takes an API token out of force at once.
#[utoipa::path(delete, path = "/api/v1/tokens/{id}", tag = "tokens", params(("id" = String, Path)),
    responses((status = 200, body = TokenView)))]
pub(crate) async fn revoke(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<TokenView>, Problem> {
    let token = state.tokens().get(&id).ok_or_else(|| unknown(&id))?;
    let entry = Entry::new(Kind::MeshtrailConfigChanged, "token revoked").with_target(
        "token",
        &token.id,
        &token.name,
    );
    state.audit_log().write(&caller, entry.clone()).await?;
    let (shared, revoked_id) = (state.clone(), id.clone());
    if let Err(error) = blocking(move || shared.tokens().revoke(&revoked_id)).await {
        state.audit_log().write(&caller, entry.with_outcome(Outcome::Failure)).await?;
        return Err(error.into());
    }
    state.sign_ins().close_token(&id);
    Ok(Json(token.into()))
}

/// Makes a one-time link that signs a browser on the server's own machine in, as admin.
#[utoipa::path(post, path = "/api/v1/sign-in-links", tag = "sign-in",
    responses((status = 201, body = SignInLink)))]
pub(crate) async fn make_link(
    State(state): State<AppState>,
    caller: Caller,
) -> Result<(StatusCode, Json<SignInLink>), Problem> {
    let entry = Entry::new(Kind::MeshtrailConfigChanged, "sign-in link made");
    state.audit_log().write(&caller, entry).await?;
    let url = state.new_sign_in_link(Instant::now()).map_err(|error| Problem::internal(error.to_string()))?;
    let link = SignInLink { url, expires: Timestamp::now().after(LINK_LIFETIME) };
    Ok((StatusCode::CREATED, Json(link)))
}

impl From<Token> for TokenView {
    fn from(token: Token) -> TokenView {
        TokenView {
            id: token.id,
            name: token.name,
            role: token.role.name().into(),
            created: token.created,
            created_by: token.created_by,
            expires: token.expires,
        }
    }
}

/// Checks a request; returns its role.
fn check(new: &NewToken, now: Timestamp) -> Result<Role, Problem> {
    let role = parse_field::<Role>("role", new.role.as_str())?;
    if new.name.trim().is_empty() || new.name.len() > MAX_NAME || visible(&new.name) != new.name {
        let detail = format!("a token's name is 1 to {MAX_NAME} bytes of visible text");
        return Err(Problem::bad_request("name", detail));
    }
    if role == Role::Sender {
        let _source: SourceName = parse_field("name", &new.name)?;
    }
    if new.expires.is_some_and(|expires| expires <= now) {
        return Err(Problem::bad_request("expires", "this moment has passed; name a later one"));
    }
    Ok(role)
}

fn unknown(id: &str) -> Problem {
    Problem::not_found(format!("there is no token {}", visible(id)))
}

async fn blocking<T: Send + 'static>(
    act: impl FnOnce() -> Result<T, TokensError> + Send + 'static,
) -> Result<T, TokensError> {
    tokio::task::spawn_blocking(act).await.expect("changing tokens does not panic")
}

impl From<TokensError> for Problem {
    fn from(error: TokensError) -> Problem {
        match &error {
            TokensError::Unknown { id } => unknown(id),
            TokensError::Full => Problem::conflict(error.to_string()),
            TokensError::Write { .. } | TokensError::Read { .. } => {
                Problem::unavailable("the tokens could not be written to disk; nothing was changed")
                    .because(&error)
            }
            TokensError::Malformed { .. } | TokensError::Newer { .. } | TokensError::NoRandomness(_) => {
                Problem::internal("the tokens could not be changed").because(&error)
            }
        }
    }
}
