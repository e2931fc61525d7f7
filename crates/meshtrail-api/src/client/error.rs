//! Why a request has no answer, and what a server says when it refuses one.

use http::StatusCode;
use meshtrail_event::text::visible;

use crate::problem::ProblemBody;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ClientError {
    #[error("{url:?} is no address such as http://127.0.0.1:7411")]
    Address { url: String },
    #[error(
        "no certificate authorities were found on this machine, which https needs; install ca-certificates, or set SSL_CERT_FILE"
    )]
    Certificates { source: reqwest::Error },
    /// The request could not be sent, or was not answered.
    #[error("no answer from {address}; is the server running there?")]
    NoAnswer { address: String, source: reqwest::Error },
    /// The answer is an error.
    #[error(transparent)]
    Refused(Refusal),
    #[error("{reason}")]
    BrokenOff { reason: &'static str, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("the answer is larger than {max} bytes")]
    TooLarge { max: usize },
    #[error("the server sent a line of more than {max} bytes")]
    LineTooLong { max: usize },
    #[error("the request can't be written as JSON")]
    Request { source: serde_json::Error },
    #[error("the answer to {path} is not what was expected")]
    Unexpected { path: String, source: serde_json::Error },
}

/// What a server says when it refuses a request. Its texts command no terminal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}{}", location_note(field.as_deref(), id.as_deref()))]
pub struct Refusal {
    /// The HTTP status.
    pub status: StatusCode,
    /// What happened, and what to do next.
    pub detail: String,
    /// The part of the request that is wrong.
    pub field: Option<String>,
    /// The id under which the server's log has more.
    pub id: Option<String>,
}

impl Refusal {
    /// Reads the body of an error.
    pub(super) fn parse(status: StatusCode, body: &[u8]) -> Refusal {
        let Ok(problem) = serde_json::from_slice::<ProblemBody>(body) else {
            let detail = format!("the server answered {status} and said no more; is it a Meshtrail server?");
            return Refusal { status, detail, field: None, id: None };
        };
        let ProblemBody { title, detail, field, id, .. } = problem;
        let shown = |text: String| visible(&text).into_owned();
        let said = [detail, title].into_iter().find(|text| !text.is_empty());
        Refusal {
            status,
            detail: shown(said.unwrap_or_else(|| status.to_string())),
            field: field.map(shown),
            id: Some(id).filter(|id| !id.is_empty()).map(shown),
        }
    }
}

fn location_note(field: Option<&str>, id: Option<&str>) -> String {
    let field = field.map(|field| format!("in {field}"));
    let id = id.map(|id| format!("{id} in the server's log"));
    let notes: Vec<String> = field.into_iter().chain(id).collect();
    if notes.is_empty() { String::new() } else { format!(" ({})", notes.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_where_and_never_commands_the_terminal() {
        let body = br#"{"detail":"no \u001b[2J","field":"q","id":"r1-2"}"#;
        let text = Refusal::parse(StatusCode::BAD_REQUEST, body).to_string();
        assert_eq!(text, "no ␛[2J (in q; r1-2 in the server's log)");
        assert!(Refusal::parse(StatusCode::BAD_GATEWAY, b"<html>").to_string().contains("502"));
    }

    #[test]
    fn a_problem_without_details_is_told_by_its_title_or_its_status() {
        let titled = Refusal::parse(StatusCode::BAD_GATEWAY, br#"{"title":"No upstream"}"#);
        assert_eq!(titled.to_string(), "No upstream");
        assert_eq!(Refusal::parse(StatusCode::BAD_GATEWAY, b"{}").to_string(), "502 Bad Gateway");
    }
}
