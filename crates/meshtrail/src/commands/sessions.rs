//! `sessions list`, `sessions show` and `sessions kill`.

use anyhow::Result;
use meshtrail_event::text::visible;
use meshtrail_event::{Actor, Identity, IdentityStatus, Target, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::api::{Api, encode, path};
use crate::args::{SessionKill, SessionShow, SessionState, SessionsList};
use crate::output::{Fit, Table, print_line, print_note};
use crate::units::{format_duration, format_size, format_time};

/// The page size of requests.
const PAGE: usize = 500;

/// The fields of a session that the commands use.
#[derive(Debug, Deserialize)]
pub(crate) struct Session {
    pub(crate) id: String,
    /// `live`, `ended`, `interrupted` or `failed`.
    pub(crate) state: String,
    #[serde(default)]
    pub(crate) actor: Option<Actor>,
    #[serde(default)]
    pub(crate) target: Option<Target>,
    #[serde(default)]
    pub(crate) identity: Option<Identity>,
    /// The command; absent for a shell.
    #[serde(default)]
    pub(crate) command: Option<String>,
    pub(crate) started: Timestamp,
    #[serde(default)]
    pub(crate) ended: Option<Timestamp>,
    /// The number of received bytes.
    #[serde(default)]
    pub(crate) bytes: u64,
    /// The SHA-256 of the received bytes.
    #[serde(default)]
    pub sha256: Option<String>,
    /// Why it ended as it did.
    #[serde(default)]
    pub(crate) reason: Option<String>,
    /// Kinds of data that this kind of client does not send.
    #[serde(default)]
    pub(crate) not_seen: Vec<String>,
    /// Deviations of the stream from the format.
    #[serde(default)]
    pub(crate) anomalies: Vec<String>,
    /// Where its recording was imported from; absent if it was recorded here.
    #[serde(default)]
    pub(crate) imported_from: Option<String>,
    /// The SHA-256 of its index, if the closing event names one.
    #[serde(default)]
    pub(crate) index_sha256: Option<String>,
    /// The id of the closing event.
    #[serde(default)]
    pub(crate) event: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Page {
    sessions: Vec<Box<RawValue>>,
    #[serde(default)]
    next: Option<String>,
}

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
        let parameters = [
            ("q", list.filter.clone()),
            ("state", state.clone()),
            ("limit", Some(left.min(PAGE).to_string())),
            ("cursor", cursor.take()),
        ];
        let page: Page = api.get_json(&path("/api/v1/sessions", &parameters)).await?;
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
            None => session.state.clone(),
        },
        session.id.clone(),
        who(session),
        place(session),
        format_time(session.started),
        format_duration(span),
        format_size(session.bytes),
        session.command.clone().unwrap_or_else(|| "(shell)".to_owned()),
    ]
}

fn who(session: &Session) -> String {
    let name = session.actor.as_ref().and_then(Actor::label).unwrap_or_else(|| "unknown".to_owned());
    match session.identity.as_ref().map(|identity| &identity.status) {
        None | Some(IdentityStatus::Resolved) => name,
        Some(status) => format!("{name} ({status})"),
    }
}

fn place(session: &Session) -> String {
    let Some(target) = &session.target else { return "unknown".to_owned() };
    let place = target.label().unwrap_or_else(|| "unknown".to_owned());
    match &target.account {
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
    let how = session.identity.as_ref().map(|identity| {
        let provider = identity.provider.as_deref().map_or(String::new(), |by| format!(" by {by}"));
        let reason = identity.reason.as_deref().map_or(String::new(), |why| format!(": {why}"));
        format!("{}{provider}{reason}", identity.status)
    });
    let device = session.actor.as_ref().and_then(|actor| actor.device.as_ref()?.name.clone());
    let facts = [
        ("Session", Some(session.id.clone())),
        ("State", Some(session.state.clone())),
        ("Who", Some(who(&session))),
        ("From", device),
        ("Identity", how),
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
        ("Event", session.event.clone()),
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
    #[derive(Serialize)]
    struct Ask<'a> {
        message: &'a str,
        reason: &'a str,
    }
    let server = Api::open_server(&kill.api.source, "ending a session").await?;
    let ask = Ask { message: &kill.message, reason: &kill.reason };
    let answer: Box<RawValue> =
        server.post(&format!("/api/v1/sessions/{}/kill", encode(&kill.id)), &ask).await?;
    if kill.api.json {
        return Ok(print_line(answer.get())?);
    }
    print_note(
        "The node was told that the recording failed. It ends the session if its policy enforces recording.",
    );
    Ok(())
}
