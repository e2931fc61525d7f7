//! One question to Tailscale's API.
//!
//! - An OAuth client's token is renewed before it expires, and held until then: every token made is a record in the
//!   audit log that is being read.
//! - A credential that is refused is read anew from its place once, then said.
//! - Each refusal says what to do: the scope that is missing, the key to make.

use std::collections::BTreeSet;
use std::time::Duration;

use http::{Method, StatusCode};
use meshtrail_event::Timestamp;
use serde::Deserialize;
use tokio::sync::Mutex;

use super::error::ApiError;
use crate::config::{Credentials, Secret, TailscaleConfig};
use crate::web::{Answer, Ask, Times, Web, WebError};

/// The most bytes of one answer.
pub(super) const MOST: usize = 32 << 20;

/// How long before its end a token is renewed.
const EARLY: Duration = Duration::from_secs(300);

/// How long a token lives that does not say.
const UNSAID: u64 = 3_600;

/// Tailscale's API, asked as one credential.
pub struct Client {
    web: Web,
    tailnet: String,
    credentials: Credentials,
    /// What is sent now; held while a new one is made, so that one is made.
    token: Mutex<Option<Token>>,
}

struct Token {
    secret: Secret,
    /// What it may do, where that was told.
    scopes: Option<Scopes>,
    /// When to make the next; none for a key that is only read.
    renew: Option<Timestamp>,
}

/// What a credential may do, in the API's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scopes(BTreeSet<String>);

impl Scopes {
    fn read(text: &str) -> Self {
        Self(text.split_whitespace().map(str::to_owned).collect())
    }

    /// Whether they cover reading what this scope is for.
    pub(super) fn cover(&self, scope: &str) -> bool {
        let named = |name: &str| self.0.contains(name) || self.0.contains(&format!("{name}:read"));
        named("all") || named(scope)
    }
}

/// What is asked for, and what it takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// What it is, in words: `devices`.
    pub(super) what: &'static str,
    /// The scope that unlocks it.
    pub(super) scope: &'static str,
    /// Its path below the tailnet.
    pub(super) path: &'a [&'a str],
    pub(super) query: &'a [(&'a str, &'a str)],
    pub(super) accept: &'static str,
}

impl Client {
    pub(crate) fn new(config: &TailscaleConfig, times: Times) -> Result<Self, WebError> {
        Ok(Self {
            web: Web::new(&config.api_url, times, config.ca_file.as_deref())?,
            tailnet: config.tailnet.clone(),
            credentials: config.credentials.clone(),
            token: Mutex::new(None),
        })
    }

    /// What the API's clock shows when ours shows `now`.
    pub(super) fn their_time(&self, now: Timestamp) -> Timestamp {
        self.web.their_time(now)
    }

    /// How far the API's clock is ahead of ours, in milliseconds.
    pub(super) fn skew(&self) -> Option<i64> {
        self.web.skew()
    }

    /// Asks for something of the tailnet.
    pub(super) async fn get(&self, wanted: Wanted<'_>, now: Timestamp) -> Result<Answer, ApiError> {
        let mut path = vec!["api", "v2", "tailnet", self.tailnet.as_str()];
        path.extend(wanted.path);
        let mut tried = self.token(None, now).await?;
        for attempt in 0..2 {
            let ask = Ask {
                method: Method::GET,
                path: &path,
                query: wanted.query,
                accept: Some(wanted.accept),
                bearer: Some(&tried),
                form: None,
                most: MOST,
            };
            let answer = self.web.ask(&ask).await?;
            if answer.status == StatusCode::UNAUTHORIZED && attempt == 0 {
                let fresh = self.token(Some(&tried), now).await?;
                if fresh != tried {
                    tried = fresh;
                    continue;
                }
            }
            return self.judged(answer, wanted, now);
        }
        unreachable!("the second attempt returns whatever it got")
    }

    /// What the credential may do, as was told when its token was made; an access token's scopes are not told.
    pub(super) async fn scopes(&self) -> Option<Scopes> {
        self.token.lock().await.as_ref()?.scopes.clone()
    }

    /// The same, told now: a token holds for an hour, and its client may have lost scopes since it was made.
    pub(super) async fn fresh_scopes(&self, now: Timestamp) -> Result<Option<Scopes>, ApiError> {
        if matches!(self.credentials, Credentials::ApiKey(_)) {
            return Ok(None);
        }
        *self.token.lock().await = None;
        self.token(None, now).await?;
        Ok(self.scopes().await)
    }

    /// What to show; `refused` was shown and not taken.
    async fn token(&self, refused: Option<&Secret>, now: Timestamp) -> Result<Secret, ApiError> {
        let mut held = self.token.lock().await;
        if let Some(token) = &*held
            && refused != Some(&token.secret)
            && token.renew.is_none_or(|renew| now < renew)
        {
            return Ok(token.secret.clone());
        }
        let (key, place) = (self.credentials.key(), self.credentials.place());
        let secret = place.read().map_err(|source| ApiError::Secret { key, source })?;
        let token = match &self.credentials {
            Credentials::ApiKey(_) => Token { secret, scopes: None, renew: None },
            Credentials::OAuth { client_id, .. } => self.exchange(client_id, &secret, now).await?,
        };
        Ok(held.insert(token).secret.clone())
    }

    /// Exchanges an OAuth client's secret for a token.
    async fn exchange(&self, client_id: &str, secret: &Secret, now: Timestamp) -> Result<Token, ApiError> {
        #[derive(Deserialize)]
        struct Made {
            access_token: String,
            expires_in: Option<u64>,
            scope: Option<String>,
        }
        let form = [
            ("client_id", client_id),
            ("client_secret", secret.reveal()),
            ("grant_type", "client_credentials"),
        ];
        let ask = Ask {
            method: Method::POST,
            path: &["api", "v2", "oauth", "token"],
            query: &[],
            accept: Some("application/json"),
            bearer: None,
            form: Some(&form),
            most: 1 << 16,
        };
        let answer = self.web.ask(&ask).await?;
        let wanted = Wanted { what: "an access token", scope: "", path: &[], query: &[], accept: "" };
        if matches!(answer.status.as_u16(), 400 | 401 | 403) {
            let advice = format!(
                "check sources.tailscale.oauth_client_id and {}; a new client is made in the admin console under Trust credentials",
                self.credentials.key()
            );
            return Err(ApiError::Unauthorized { message: message(&answer), advice });
        }
        let answer = self.judged(answer, wanted, now)?;
        // The text of the error would hold the token's beginning.
        let made: Made = serde_json::from_slice(&answer.body).map_err(|_| ApiError::Shape {
            what: wanted.what,
            reason: "it is no JSON object with access_token".to_owned(),
        })?;
        let lives = Duration::from_secs(made.expires_in.unwrap_or(UNSAID));
        let renew = now.after(lives.saturating_sub(EARLY).max(lives / 2));
        let scopes = made.scope.filter(|scope| !scope.is_empty()).map(|scope| Scopes::read(&scope));
        Ok(Token { secret: Secret::new(made.access_token), scopes, renew: Some(renew) })
    }

    fn judged(&self, answer: Answer, wanted: Wanted<'_>, now: Timestamp) -> Result<Answer, ApiError> {
        let (what, scope, status) = (wanted.what, wanted.scope, answer.status);
        if status == StatusCode::OK {
            return Ok(answer);
        }
        let message = message(&answer);
        Err(match status {
            StatusCode::UNAUTHORIZED => ApiError::Unauthorized { message, advice: self.advice() },
            StatusCode::FORBIDDEN | StatusCode::PAYMENT_REQUIRED => {
                ApiError::Forbidden { what, message, scope }
            }
            StatusCode::NOT_FOUND => ApiError::NotFound { what, message },
            StatusCode::TOO_MANY_REQUESTS => {
                ApiError::Busy { what, status: 429, retry_after: answer.retry_after(now) }
            }
            status if status.is_server_error() => {
                ApiError::Busy { what, status: status.as_u16(), retry_after: answer.retry_after(now) }
            }
            status => ApiError::Refused { what, status: status.as_u16(), message },
        })
    }

    fn advice(&self) -> String {
        match &self.credentials {
            Credentials::ApiKey(place) => format!(
                "access tokens end after 90 days at most, or with their user; put a new one into {place}, or better use an OAuth client, which does not expire"
            ),
            Credentials::OAuth { .. } => "its token was just made and is refused all the same".to_owned(),
        }
    }
}

/// What the API says in a refusal, short and visible.
fn message(answer: &Answer) -> String {
    #[derive(Deserialize)]
    struct Said {
        message: Option<String>,
        error_description: Option<String>,
        error: Option<String>,
    }
    let said = serde_json::from_slice::<Said>(&answer.body).ok();
    let text = said.and_then(|said| said.message.or(said.error_description).or(said.error));
    let text = text.unwrap_or_else(|| format!("{}, and no more", answer.status));
    meshtrail_event::text::visible(&text).chars().take(300).collect()
}
