//! Events from senders, parsed and checked before any of them is written.
//!
//! - A request is accepted as a whole or not at all: one invalid event refuses it, and the problem names that event.
//! - A sender may only send events of its own source: the token's name is the source, or its prefix up to a dot.
//! - Events that this server itself observes or derives (recordings, uses of Meshtrail, late identities) are
//!   never accepted from a sender.

use http::{HeaderMap, header};
use meshtrail_collect::sources::Sources;
use meshtrail_event::{Event, EventError, EventId, Family, Kind, Timestamp};
use meshtrail_trail::{AppendError, AppendOutcome, Trail};
use serde_json::value::RawValue;

use crate::auth::Principal;
use crate::problem::Problem;

/// The most events in one request.
pub(super) const MAX_EVENTS: usize = 10_000;

/// Parses and checks the events of a body.
pub(super) fn parse(
    headers: &HeaderMap,
    body: &[u8],
    who: &Principal,
    trail: &str,
) -> Result<Vec<Event>, Problem> {
    let texts = match media_type(headers) {
        "application/json" => split_array(body)?,
        "application/x-ndjson" | "application/jsonl" | "application/x-jsonlines" => split_lines(body),
        _ => {
            let detail =
                "send a JSON array as application/json, or one event per line as application/x-ndjson";
            return Err(Problem::unsupported_media(detail));
        }
    };
    if texts.is_empty() {
        return Err(Problem::bad_request("body", "the request holds no event"));
    }
    if texts.len() > MAX_EVENTS {
        let detail = format!("{} events in one request; send at most {MAX_EVENTS}", texts.len());
        return Err(Problem::too_large("body", detail));
    }
    let now = Timestamp::now();
    let parse = |(at, text): (usize, &[u8])| {
        let event = Event::from_source(text, now).map_err(|error| bad_event(at, &error))?;
        check(at, &event, who, trail)?;
        Ok(event)
    };
    texts.into_iter().enumerate().map(parse).collect()
}

fn media_type(headers: &HeaderMap) -> &str {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}

fn split_array(body: &[u8]) -> Result<Vec<&[u8]>, Problem> {
    let parts: Vec<&RawValue> = serde_json::from_slice(body)
        .map_err(|error| Problem::bad_request("body", format!("not a JSON array: {error}")))?;
    Ok(parts.into_iter().map(|part| part.get().as_bytes()).collect())
}

fn split_lines(body: &[u8]) -> Vec<&[u8]> {
    body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty()).collect()
}

fn bad_event(at: usize, error: &EventError) -> Problem {
    let field = match error {
        EventError::Member { member, .. } => format!("[{at}].{member}"),
        EventError::Syntax { .. } | EventError::Integer | EventError::TooLong { .. } => format!("[{at}]"),
    };
    Problem::bad_request(field, error.to_string())
}

fn check(at: usize, event: &Event, who: &Principal, trail: &str) -> Result<(), Problem> {
    let source = event.id.source.as_str();
    if source == trail || source.strip_prefix(trail).is_some_and(|rest| rest.starts_with('.')) {
        let detail = format!("sources that begin with {trail}. are this server's own");
        return Err(Problem::forbidden(detail).at(format!("[{at}].id")));
    }
    if let Principal::Token { name, .. } = who {
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

/// Appends all events; returns how many were new. Durable on return.
pub(super) async fn append(trail: &Trail, sources: &Sources, events: Vec<Event>) -> Result<usize, Problem> {
    let ids: Vec<(EventId, Timestamp)> = events.iter().map(|event| (event.id.clone(), event.time)).collect();
    let at = |id: &EventId| format!("[{}].id", ids.iter().position(|(other, _)| other == id).unwrap_or(0));
    let appended = trail.append(events).await.map_err(|error| match &error {
        AppendError::Event { id, reason } => Problem::bad_request(at(id), reason.to_string()),
        AppendError::Sequence(_) => Problem::conflict(error.to_string()),
        AppendError::TooLarge { .. } => Problem::too_large("body", format!("{error}; send it in parts")),
        AppendError::NoRoom { .. } | AppendError::Closed { .. } => Problem::unavailable(
            "the trail takes nothing now; nothing of this request counts as sent, send it again later",
        )
        .because(&error),
    })?;
    let new =
        ids.into_iter().zip(&appended).filter(|(_, one)| !matches!(one, AppendOutcome::Duplicate { .. }));
    let new: Vec<(EventId, Timestamp)> = new.map(|(id, _)| id).collect();
    sources.record_received(&new, Timestamp::now());
    Ok(appended.iter().filter(|one| !matches!(one, AppendOutcome::Duplicate { .. })).count())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn sender() -> Principal {
        Principal::Token { id: "t1".to_owned(), name: "agent-1".to_owned() }
    }

    fn parse_as(media: &'static str, body: &str) -> Result<Vec<Event>, Problem> {
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(media))]);
        parse(&headers, body.as_bytes(), &sender(), "main")
    }

    fn event(id: &str, kind: &str) -> String {
        format!(r#"{{"id":"{id}","kind":"{kind}","outcome":"success","time":"2026-11-20T14:02:11Z"}}"#)
    }

    #[test]
    fn arrays_and_lines_are_read_and_the_bad_one_is_named() {
        let (one, two) = (event("agent-1.1.1", "ssh.login"), event("agent-1.web.1.2", "flow.opened"));
        assert_eq!(parse_as("application/json; charset=utf-8", &format!("[{one},{two}]")).unwrap().len(), 2);
        assert_eq!(parse_as("application/x-ndjson", &format!("{one}\n\r\n{two}\n")).unwrap().len(), 2);
        let bad = parse_as("application/json", &format!(r#"[{one},{{"id":"nonsense"}}]"#)).unwrap_err();
        assert_eq!(bad.field.as_deref(), Some("[1]"));
        assert_eq!(parse_as("text/plain", &one).unwrap_err().status, 415);
        assert_eq!(parse_as("application/json", "[]").unwrap_err().status, 400);
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
            let refused = parse_as("application/x-ndjson", &event(id, kind)).unwrap_err();
            assert_eq!(
                (refused.status.as_u16(), refused.field.as_deref()),
                (403, Some(field)),
                "{id} {kind}"
            );
        }
    }
}
