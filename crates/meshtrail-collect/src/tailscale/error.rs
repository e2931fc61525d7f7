//! Errors of requests to Tailscale's API, with advice.

use std::time::Duration;

use crate::config::SecretError;
use crate::web::WebError;

/// Why a request failed. `what` names what was requested, `message` is the API's own text.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ApiError {
    /// There is no complete response.
    #[error("{0}")]
    Web(String),
    /// The response is longer than the limit; a shorter window may fit.
    #[error("{0}")]
    TooLarge(String),
    #[error("{key}: {source}")]
    Secret { key: &'static str, source: SecretError },
    #[error("the API refuses the credential ({message}): {advice}")]
    Unauthorized { message: String, advice: String },
    /// The credential lacks the scope, or the plan the feature.
    #[error("the credential may not read {what} ({message}): it needs the scope {scope}{}", plan(what))]
    Forbidden { what: &'static str, message: String, scope: &'static str },
    #[error("the API knows no {what} ({message}): is sources.tailscale.tailnet right?")]
    NotFound { what: &'static str, message: String },
    /// Rate limit, or a server error.
    #[error("the API answered {status} to {what}{}", waits(*retry_after))]
    Busy { what: &'static str, status: u16, retry_after: Option<Duration> },
    #[error("the API answered {status} to {what}: {message}")]
    Refused { what: &'static str, status: u16, message: String },
    #[error("the answer about {what} can't be understood: {reason}")]
    Shape { what: &'static str, reason: String },
}

impl ApiError {
    /// The wait that the server asked for.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether only a change of plan, scope or configuration helps: frequent retries are pointless.
    pub(crate) fn needs_operator(&self) -> bool {
        matches!(self, Self::Forbidden { .. } | Self::NotFound { .. } | Self::Unauthorized { .. })
    }
}

impl From<WebError> for ApiError {
    fn from(error: WebError) -> Self {
        match error {
            WebError::TooLarge { .. } => Self::TooLarge(error.to_string()),
            _ => Self::Web(error.to_string()),
        }
    }
}

fn plan(what: &str) -> &'static str {
    match what {
        "network flow logs" => {
            ", and the tailnet a plan with network flow logs, switched on; flow_logs = false stops asking"
        }
        _ => "",
    }
}

fn waits(retry_after: Option<Duration>) -> String {
    retry_after
        .map_or_else(String::new, |wait| format!(", and wants to be left alone for {} s", wait.as_secs()))
}
