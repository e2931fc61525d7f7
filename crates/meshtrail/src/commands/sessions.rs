//! `sessions list`, `sessions show` and `sessions kill`.

use anyhow::Result;
use meshtrail_api::client::{encode, path};
use meshtrail_api::recordings::KillRequest;
use meshtrail_api::sessions::{Session, SessionsPage, SessionsQuery};
use meshtrail_event::text::visible;
use meshtrail_event::{IdentityStatus, Timestamp};
use serde_json::value::RawValue;

use crate::api::Api;
use crate::args::{SessionKill, SessionShow, SessionState, SessionsList};
use crate::output::{Fit, Table, print_line, print_note};
use crate::units::{format_duration, format_size, format_time};

/// The page size of requests.
const PAGE: usize = 500;

/// Lists sessions.
pub(crate) async fn list(list: SessionsList) -> Result<()> {
    let api = Api::open(&list.api.source).await?;
    let mut table = Table::new([
        ("STATE", Fit::Whole),
        ("ID", Fit::Whole),
        ("WHO", Fit::Cut(12)),
        ("WHERE", Fit::Cut(8)),
        ("STARTED", Fit::Whole),
        ("LENGTH", Fit::Right),
        ("SIZE", Fit::Right),
        ("COMMAND", Fit::Cut(7)),
    ]);
    let state = list.state.map(|state| state_name(state).to_owned());
    let (mut left, mut cursor, mut shown) = (list.limit, None, 0);
    while left > 0 {
        let query = SessionsQuery {
            q: list.filter.clone(),
            state: state.clone(),
            limit: Some(left.min(PAGE)),
            cursor: cursor.take(),
        };
        let page: SessionsPage<Box<RawValue>> = api.get_json(&path("/api/v1/sessions", &query)).await?;
        for text in page.sessions.iter().take(left) {
            if list.api.json {
                print_line(text.get())?;
            } else {
                table.row(row(&serde_json::from_str(text.get())?));
            }
        }
        shown += page.sessions.len().min(left);
        left -= page.sessions.len().min(left);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    if list.api.json {
        return Ok(());
    }
    if shown == 0 {
        print_note(
            "No sessions. Point a policy's recorder at a `meshtrail serve --recorder-listen …`, or widen the filter.",
        );
        return Ok(());
    }
    table.print()?;
    if cursor.is_some() {
        print_note(&format!("There are more; --limit {} shows them.", list.limit.saturating_mul(10)));
    }
    Ok(())
}

fn state_name(state: SessionState) -> &'static str {
    match state {
        SessionState::Live => "live",
        SessionState::Ended => "ended",
        SessionState::Interrupted => "interrupted",
        SessionState::Failed => "failed",
    }
}

fn row(session: &Session) -> [String; 8] {
    let span = session.ended.unwrap_or_else(Timestamp::now).since(session.started);
    [
        match session.imported_from {
            Some(_) => format!("{} (imported)", session.state),
            None => session.state.to_string(),
        },
        session.id.to_string(),
        who(session),
        place(session),
        format_time(session.started),
        format_duration(span),
        format_size(session.bytes),
        session.command.clone().unwrap_or_else(|| "(shell)".to_owned()),
    ]
}

fn who(session: &Session) -> String {
    let name = session.actor.label().unwrap_or_else(|| "unknown".to_owned());
    match &session.identity.status {
        IdentityStatus::Resolved => name,
        status => format!("{name} ({status})"),
    }
}

fn place(session: &Session) -> String {
    let place = session.target.label().unwrap_or_else(|| "unknown".to_owned());
    match &session.target.account {
        Some(account) => format!("{account}@{place}"),
        None => place,
    }
}

/// Shows one session.
pub(crate) async fn show(show: SessionShow) -> Result<()> {
    let api = Api::open(&show.api.source).await?;
    let text: Box<RawValue> = api.get_json(&format!("/api/v1/sessions/{}", encode(&show.id))).await?;
    if show.api.json {
        return Ok(print_line(text.get())?);
    }
    let session: Session = serde_json::from_str(text.get())?;
    let span = session.ended.unwrap_or_else(Timestamp::now).since(session.started);
    let provider = session.identity.provider.as_deref().map_or(String::new(), |by| format!(" by {by}"));
    let reason = session.identity.reason.as_deref().map_or(String::new(), |why| format!(": {why}"));
    let device = session.actor.device.as_ref().and_then(|device| device.name.clone());
    let facts = [
        ("Session", Some(session.id.to_string())),
        ("State", Some(session.state.to_string())),
        ("Who", Some(who(&session))),
        ("From", device),
        ("Identity", Some(format!("{}{provider}{reason}", session.identity.status))),
        ("Where", Some(place(&session))),
        ("Command", Some(session.command.clone().unwrap_or_else(|| "(shell)".to_owned()))),
        ("Started", Some(format_time(session.started))),
        ("Ended", session.ended.map(format_time)),
        ("Length", Some(format_duration(span))),
        ("Bytes", Some(format!("{} ({})", session.bytes, format_size(session.bytes)))),
        ("SHA-256", session.sha256.clone()),
        ("Reason", session.reason.clone()),
        (
            "Imported",
            session
                .imported_from
                .as_ref()
                .map(|from| format!("from {from}; not witnessed while it happened")),
        ),
        ("Not seen", Some(session.not_seen.join("; ")).filter(|text| !text.is_empty())),
        ("Anomalies", Some(session.anomalies.join("; ")).filter(|text| !text.is_empty())),
        ("Event", session.event.as_ref().map(ToString::to_string)),
    ];
    for (name, fact) in facts {
        if let Some(fact) = fact {
            print_line(&format!("{name:<10} {}", visible(&fact)))?;
        }
    }
    Ok(())
}

/// Ends a live session.
pub(crate) async fn kill(kill: SessionKill) -> Result<()> {
    let server = Api::open_server(&kill.api.source, "ending a session").await?;
    let request = KillRequest { message: Some(kill.message), reason: kill.reason };
    let answer: Box<RawValue> =
        server.post_json(&format!("/api/v1/sessions/{}/kill", encode(&kill.id)), &request).await?;
    if kill.api.json {
        return Ok(print_line(answer.get())?);
    }
    print_note(
        "The node was told that the recording failed. It ends the session if its policy enforces recording.",
    );
    Ok(())
}
