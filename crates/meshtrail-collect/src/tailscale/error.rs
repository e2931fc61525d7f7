//! Why Tailscale's API did not give what was asked for, and what to do about it.

use std::time::Duration;

use crate::config::SecretError;
use crate::web::WebError;

/// Why there is no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// There is no whole answer.
    #[error("{0}")]
    Web(String),
    /// The answer is longer than is read at once; a shorter window may do.
    #[error("{0}")]
    TooLarge(String),
    /// The secret can't be read.
    #[error("{key}: {source}")]
    Secret {
        /// The key of the configuration.
        key: &'static str,
        /// Why.
        source: SecretError,
    },
    /// The credential is not taken.
    #[error("the API refuses the credential ({message}): {advice}")]
    Unauthorized {
        /// What the API says.
        message: String,
        /// What to do.
        advice: String,
    },
    /// The credential may not do this, or the plan has not got it.
    #[error("the credential may not read {what} ({message}): it needs the scope {scope}{}", plan(what))]
    Forbidden {
        /// What was asked for.
        what: &'static str,
        /// What the API says.
        message: String,
        /// The scope that it needs.
        scope: &'static str,
    },
    /// There is no such tailnet, or no such thing in it.
    #[error("the API knows no {what} ({message}): is sources.tailscale.tailnet right?")]
    NotFound {
        /// What was asked for.
        what: &'static str,
        /// What the API says.
        message: String,
    },
    /// Too many questions, or the other side is in trouble.
    #[error("the API answered {status} to {what}{}", waits(*retry_after))]
    Busy {
        /// What was asked for.
        what: &'static str,
        /// The status.
        status: u16,
        /// How long it wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// Another refusal.
    #[error("the API answered {status} to {what}: {message}")]
    Refused {
        /// What was asked for.
        what: &'static str,
        /// The status.
        status: u16,
        /// What the API says.
        message: String,
    },
    /// The answer is not what the API's description promises.
    #[error("the answer about {what} can't be understood: {reason}")]
    Shape {
        /// What was asked for.
        what: &'static str,
        /// Where it goes wrong.
        reason: String,
    },
}

impl ApiError {
    /// How long the other side wants to be left alone.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether only a change of plan, scope or configuration helps: asking often is of no use.
    pub(crate) fn needs_somebody(&self) -> bool {
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
