//! Events from senders, read and checked before any of them is written.
//!
//! - All of a request is taken or none: one bad event refuses it, and says which.
//! - A sender hands in what its own source saw: the token's name is the source, or the beginning of it up to a dot.
//! - What this server itself witnesses or concludes (recordings, what was done with Meshtrail, who somebody was) is
//!   never taken from a sender.

use http::{HeaderMap, header};
use meshtrail_event::{Event, EventError, EventId, Family, Kind, Timestamp};
use meshtrail_trail::{AppendError, Appended};
use serde_json::value::RawValue;

use crate::auth::Holder;
use crate::problem::Problem;
use crate::state::AppState;

/// The most events in one request.
pub(super) const MAX_EVENTS: usize = 10_000;

/// Reads the events of a body.
pub(super) fn read(
    headers: &HeaderMap,
    body: &[u8],
    who: &Holder,
    trail: &str,
) -> Result<Vec<Event>, Problem> {
    let parts = match media_type(headers) {
        "application/json" => array(body)?,
        "application/x-ndjson" | "application/jsonl" | "application/x-jsonlines" => lines(body),
        _ => {
            let detail =
                "send a JSON array as application/json, or one event per line as application/x-ndjson";
            return Err(Problem::unsupported_media(detail));
        }
    };
    if parts.is_empty() {
        return Err(Problem::bad_request("body", "the request holds no event"));
    }
    if parts.len() > MAX_EVENTS {
        let detail = format!("{} events in one request; send at most {MAX_EVENTS}", parts.len());
        return Err(Problem::too_large("body", detail));
    }
    let now = Timestamp::now();
    let read = |(at, text): (usize, &[u8])| {
        let event = Event::from_source(text, now).map_err(|error| bad_event(at, &error))?;
        check(at, &event, who, trail)?;
        Ok(event)
    };
    parts.into_iter().enumerate().map(read).collect()
}

fn media_type(headers: &HeaderMap) -> &str {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}

fn array(body: &[u8]) -> Result<Vec<&[u8]>, Problem> {
    let parts: Vec<&RawValue> = serde_json::from_slice(body)
        .map_err(|error| Problem::bad_request("body", format!("not a JSON array: {error}")))?;
    Ok(parts.into_iter().map(|part| part.get().as_bytes()).collect())
}

fn lines(body: &[u8]) -> Vec<&[u8]> {
    body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty()).collect()
}

fn bad_event(at: usize, error: &EventError) -> Problem {
    let field = match error {
        EventError::Member { member, .. } => format!("[{at}].{member}"),
        EventError::Syntax { .. } | EventError::Integer | EventError::TooLong { .. } => format!("[{at}]"),
    };
    Problem::bad_request(field, error.to_string())
}

fn check(at: usize, event: &Event, who: &Holder, trail: &str) -> Result<(), Problem> {
    let source = event.id.source.as_str();
    if source == trail || source.strip_prefix(trail).is_some_and(|rest| rest.starts_with('.')) {
        let detail = format!("sources that begin with {trail}. are this server's own");
        return Err(Problem::forbidden(detail).at(format!("[{at}].id")));
    }
    if let Holder::Token { name, .. } = who {
        let own =
            source.strip_prefix(name.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        if !own {
            let detail = format!(
                "the token {name} hands in events of the source {name} and of {name}.…, not of {source}"
            );
            return Err(Problem::forbidden(detail).at(format!("[{at}].id")));
        }
    }
    if event.kind == Kind::IdentityLearned {
        let detail = format!("{} is concluded by this server itself and not taken from a sender", event.kind);
        return Err(Problem::forbidden(detail).at(format!("[{at}].kind")));
    }
    match event.kind.family() {
        Family::Session | Family::Recording | Family::Meshtrail => {
            let detail =
                format!("{} is witnessed by this server itself and not taken from a sender", event.kind);
            Err(Problem::forbidden(detail).at(format!("[{at}].kind")))
        }
        _ => Ok(()),
    }
}

/// Appends all; returns how many were new. Durable on return.
pub(super) async fn append(state: &AppState, events: Vec<Event>) -> Result<usize, Problem> {
    let ids: Vec<(EventId, Timestamp)> = events.iter().map(|event| (event.id.clone(), event.time)).collect();
    let at = |id: &EventId| format!("[{}].id", ids.iter().position(|(known, _)| known == id).unwrap_or(0));
    let appended = state.trail().append(events).await.map_err(|error| match &error {
        AppendError::Event { id, reason } => Problem::bad_request(at(id), reason.to_string()),
        AppendError::Sequence(_) => Problem::conflict(error.to_string()),
        AppendError::TooLarge { .. } => Problem::too_large("body", format!("{error}; send it in parts")),
        AppendError::NoRoom { .. } | AppendError::Closed { .. } => Problem::unavailable(
            "the trail takes nothing now; nothing of this request counts as sent, send it again later",
        )
        .because(&error),
    })?;
    let came = ids.into_iter().zip(&appended).filter(|(_, one)| !matches!(one, Appended::Duplicate { .. }));
    let came: Vec<(EventId, Timestamp)> = came.map(|(id, _)| id).collect();
    state.sources().came(&came, Timestamp::now());
    Ok(appended.iter().filter(|one| !matches!(one, Appended::Duplicate { .. })).count())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn sender() -> Holder {
        Holder::Token { id: "t1".to_owned(), name: "agent-1".to_owned() }
    }

    fn read_as(media: &'static str, body: &str) -> Result<Vec<Event>, Problem> {
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(media))]);
        read(&headers, body.as_bytes(), &sender(), "main")
    }

    fn event(id: &str, kind: &str) -> String {
        format!(r#"{{"id":"{id}","kind":"{kind}","outcome":"success","time":"2026-11-20T14:02:11Z"}}"#)
    }

    #[test]
    fn arrays_and_lines_are_read_and_the_bad_one_is_named() {
        let (one, two) = (event("agent-1.1.1", "ssh.login"), event("agent-1.web.1.2", "flow.opened"));
        assert_eq!(read_as("application/json; charset=utf-8", &format!("[{one},{two}]")).unwrap().len(), 2);
        assert_eq!(read_as("application/x-ndjson", &format!("{one}\n\r\n{two}\n")).unwrap().len(), 2);
        let bad = read_as("application/json", &format!(r#"[{one},{{"id":"nonsense"}}]"#)).unwrap_err();
        assert_eq!(bad.field.as_deref(), Some("[1]"));
        assert_eq!(read_as("text/plain", &one).unwrap_err().status, 415);
        assert_eq!(read_as("application/json", "[]").unwrap_err().status, 400);
    }

    #[test]
    fn a_sender_speaks_for_itself_alone() {
        for (id, kind, field) in [
            ("main.recorder.1.1", "ssh.login", "[0].id"),
            ("agent-2.1.1", "ssh.login", "[0].id"),
            ("agent-10.1.1", "ssh.login", "[0].id"),
            ("agent-1.1.1", "ssh.session.ended", "[0].kind"),
            ("agent-1.1.1", "meshtrail.viewed", "[0].kind"),
        ] {
            let refused = read_as("application/x-ndjson", &event(id, kind)).unwrap_err();
            assert_eq!(
                (refused.status.as_u16(), refused.field.as_deref()),
                (403, Some(field)),
                "{id} {kind}"
            );
        }
    }
}
