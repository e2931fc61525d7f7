//! Requests to Tailscale's API.
//!
//! - An OAuth client's token is kept until shortly before it expires: each new token adds a record to the audit log that is
//!   being read.
//! - A credential that is refused is read again from its file once; then it is an error.
//! - Each error says what to do: the scope that is missing, the key to create.

use std::collections::BTreeSet;
use std::time::Duration;

use http::{Method, StatusCode};
use meshtrail_event::Timestamp;
use serde::Deserialize;
use tokio::sync::Mutex;

use super::error::ApiError;
use crate::config::{Credentials, Secret, TailscaleConfig};
use crate::web::{ApiClient, ApiRequest, ApiResponse, Timeouts, WebError};

/// The most bytes of one response.
pub(super) const MAX_RESPONSE: usize = 32 << 20;

/// A token is renewed this long before it expires.
const RENEW_BEFORE: Duration = Duration::from_secs(300);

/// Lifetime in seconds of a token that does not state one.
const DEFAULT_LIFETIME: u64 = 3_600;

/// Client of Tailscale's API with one credential.
pub struct Client {
    api: ApiClient,
    tailnet: String,
    credentials: Credentials,
    /// The current token; locked while a new one is requested, so that only one is.
    token: Mutex<Option<Token>>,
}

struct Token {
    secret: Secret,
    /// Its scopes, where they are known.
    scopes: Option<Scopes>,
    /// When to request the next one; none for an API key.
    renew: Option<Timestamp>,
}

/// The scopes of a credential, as the API writes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scopes(BTreeSet<String>);

impl Scopes {
    fn read(text: &str) -> Self {
        Self(text.split_whitespace().map(str::to_owned).collect())
    }

    /// Whether they allow reading what `scope` is for.
    pub(super) fn cover(&self, scope: &str) -> bool {
        let named = |name: &str| self.0.contains(name) || self.0.contains(&format!("{name}:read"));
        named("all") || named(scope)
    }
}

/// A resource of the API, and what reading it takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct ApiResource<'a> {
    /// Its name in messages: `devices`.
    pub(super) what: &'static str,
    /// The scope that it needs.
    pub(super) scope: &'static str,
    /// Its path below the tailnet.
    pub(super) path: &'a [&'a str],
    pub(super) query: &'a [(&'a str, &'a str)],
    pub(super) accept: &'static str,
}

impl Client {
    pub(crate) fn new(config: &TailscaleConfig, timeouts: Timeouts) -> Result<Self, WebError> {
        Ok(Self {
            api: ApiClient::new(&config.api_url, timeouts, config.ca_file.as_deref())?,
            tailnet: config.tailnet.clone(),
            credentials: config.credentials.clone(),
            token: Mutex::new(None),
        })
    }

    /// The API's time when ours is `now`.
    pub(super) fn their_time(&self, now: Timestamp) -> Timestamp {
        self.api.their_time(now)
    }

    /// How far the API's clock is ahead of ours, in milliseconds.
    pub(super) fn skew(&self) -> Option<i64> {
        self.api.skew()
    }

    /// Requests a resource of the tailnet.
    pub(super) async fn get(
        &self,
        resource: ApiResource<'_>,
        now: Timestamp,
    ) -> Result<ApiResponse, ApiError> {
        let mut path = vec!["api", "v2", "tailnet", self.tailnet.as_str()];
        path.extend(resource.path);
        let mut tried = self.token(None, now).await?;
        for attempt in 0..2 {
            let request = ApiRequest {
                method: Method::GET,
                path: &path,
                query: resource.query,
                accept: Some(resource.accept),
                bearer: Some(&tried),
                form: None,
                most: MAX_RESPONSE,
            };
            let response = self.api.send(&request).await?;
            if response.status == StatusCode::UNAUTHORIZED && attempt == 0 {
                let fresh = self.token(Some(&tried), now).await?;
                if fresh != tried {
                    tried = fresh;
                    continue;
                }
            }
            return self.check_status(response, resource, now);
        }
        unreachable!("the second attempt returns whatever it got")
    }

    /// The scopes that were reported when the token was created; those of an access token are not reported.
    pub(super) async fn scopes(&self) -> Option<Scopes> {
        self.token.lock().await.as_ref()?.scopes.clone()
    }

    /// Requests a new token for its scopes: a token lives for an hour, and the client may have lost scopes since.
    pub(super) async fn refresh_scopes(&self, now: Timestamp) -> Result<Option<Scopes>, ApiError> {
        if matches!(self.credentials, Credentials::ApiKey(_)) {
            return Ok(None);
        }
        *self.token.lock().await = None;
        self.token(None, now).await?;
        Ok(self.scopes().await)
    }

    /// The token to send; not `refused`, which the API did not accept.
    async fn token(&self, refused: Option<&Secret>, now: Timestamp) -> Result<Secret, ApiError> {
        let mut cached = self.token.lock().await;
        if let Some(token) = &*cached
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
        Ok(cached.insert(token).secret.clone())
    }

    /// Exchanges an OAuth client's secret for a token.
    async fn exchange(&self, client_id: &str, secret: &Secret, now: Timestamp) -> Result<Token, ApiError> {
        #[derive(Deserialize)]
        struct TokenResponse {
            access_token: String,
            expires_in: Option<u64>,
            scope: Option<String>,
        }
        let form = [
            ("client_id", client_id),
            ("client_secret", secret.reveal()),
            ("grant_type", "client_credentials"),
        ];
        let request = ApiRequest {
            method: Method::POST,
            path: &["api", "v2", "oauth", "token"],
            query: &[],
            accept: Some("application/json"),
            bearer: None,
            form: Some(&form),
            most: 1 << 16,
        };
        let response = self.api.send(&request).await?;
        let resource = ApiResource { what: "an access token", scope: "", path: &[], query: &[], accept: "" };
        if matches!(response.status.as_u16(), 400 | 401 | 403) {
            let advice = format!(
                "check sources.tailscale.oauth_client_id and {}; a new client is made in the admin console under Trust credentials",
                self.credentials.key()
            );
            return Err(ApiError::Unauthorized { message: error_message(&response), advice });
        }
        let response = self.check_status(response, resource, now)?;
        // The text of the error would hold the token's beginning.
        let body: TokenResponse = serde_json::from_slice(&response.body).map_err(|_| ApiError::Shape {
            what: resource.what,
            reason: "it is no JSON object with access_token".to_owned(),
        })?;
        let lifetime = Duration::from_secs(body.expires_in.unwrap_or(DEFAULT_LIFETIME));
        let renew = now.after(lifetime.saturating_sub(RENEW_BEFORE).max(lifetime / 2));
        let scopes = body.scope.filter(|scope| !scope.is_empty()).map(|scope| Scopes::read(&scope));
        Ok(Token { secret: Secret::new(body.access_token), scopes, renew: Some(renew) })
    }

    fn check_status(
        &self,
        response: ApiResponse,
        resource: ApiResource<'_>,
        now: Timestamp,
    ) -> Result<ApiResponse, ApiError> {
        let (what, scope, status) = (resource.what, resource.scope, response.status);
        if status == StatusCode::OK {
            return Ok(response);
        }
        let message = error_message(&response);
        Err(match status {
            StatusCode::UNAUTHORIZED => ApiError::Unauthorized { message, advice: self.advice() },
            StatusCode::FORBIDDEN | StatusCode::PAYMENT_REQUIRED => {
                ApiError::Forbidden { what, message, scope }
            }
            StatusCode::NOT_FOUND => ApiError::NotFound { what, message },
            StatusCode::TOO_MANY_REQUESTS => {
                ApiError::Busy { what, status: 429, retry_after: response.retry_after(now) }
            }
            status if status.is_server_error() => {
                ApiError::Busy { what, status: status.as_u16(), retry_after: response.retry_after(now) }
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

/// The API's error message, truncated and without invisible characters.
fn error_message(response: &ApiResponse) -> String {
    #[derive(Deserialize)]
    struct ErrorBody {
        message: Option<String>,
        error_description: Option<String>,
        error: Option<String>,
    }
    let error = serde_json::from_slice::<ErrorBody>(&response.body).ok();
    let text = error.and_then(|error| error.message.or(error.error_description).or(error.error));
    let text = text.unwrap_or_else(|| format!("{}, and no more", response.status));
    meshtrail_event::text::visible(&text).chars().take(300).collect()
}
