//! The logtail protocol: Meshtrail as the central log server of its clients.
//!
//! - Clients' own lines (`TS_LOG_TARGET`) become `log.line` events; flow reports (collection `tailtraffic`) go to
//!   [`crate::flow`].
//! - A client sends the same batch again until it hears 200, for ever: so 200 is said once all of it is durable, and
//!   what can't be read of a batch is kept as it came instead of being refused. Of a body that can't be unpacked or is
//!   beyond what any client sends, its first bytes and its digest are kept, as a finding ([`spoiled`]).
//! - Refused are ids and tailnets nobody issued, where known ones are set.
//! - A process numbers its entries: what comes again counts once, what is missing is a gap of the source.
//! - The private id in the path is the sender's credential and is written nowhere; its SHA-256, the public id, is.

mod entry;
mod ids;
mod spoiled;
mod streams;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use meshtrail_event::{Draft, Family, Timestamp};
use meshtrail_trail::{AppendError, Emitter};
use sha2::{Digest as _, Sha256};

use super::body::{BodyError, Bounds, Spoiled};
use super::store::emit_in_parts;
use super::{Shared, sender_of};
use crate::config::LogtailConfig;
use crate::flow::FlowRecord;
use crate::joined::joined;
use crate::sources::{Expect, Source};
use entry::{Entry, Lines};
use ids::{Place, PublicId};
use spoiled::{Allowance, Folded};
use streams::{Stream, Streams};

/// What clients send is half of this at most, and the lines of one entry may come on top.
pub(super) const BOUNDS: Bounds =
    Bounds { received: 4 << 20, decoded: 16 << 20, time: Duration::from_secs(60) };
/// The most entries of one body.
const MAX_ENTRIES: usize = 1 << 17;

struct Logtail {
    shared: Shared,
    known: BTreeMap<String, String>,
    tailnets: BTreeMap<String, String>,
    lines: Emitter,
    reports: Emitter,
    streams: Streams,
    /// What senders of which nothing good ever came may have kept of bad bodies, together: ids cost nothing.
    strangers: tokio::sync::Mutex<Allowance>,
}

/// Why an upload is refused; the sender prints the text and tries again.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("this is a log server: POST to /c/<collection>/<private id>[?copyId=<private id>]")]
    Path,
    #[error("only POST is taken here")]
    Method,
    #[error(
        "the log id with the public id {public} is none that this server knows: add it to [sources.logtail.known]"
    )]
    Unknown { public: String },
    #[error(
        "the copyId with the public id {public} is no tailnet's that this server knows: add it to \
         [sources.logtail.tailnets]"
    )]
    UnknownTailnet { public: String },
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error("one more body that can't be read ({reason}); of this sender it is kept in {} s", .wait.as_secs())]
    TooOften { reason: String, wait: Duration },
    #[error("the trail takes nothing now; send it again")]
    Trail,
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (status, wait) = match &self {
            Self::Path => (StatusCode::NOT_FOUND, 300),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, 300),
            Self::Unknown { .. } | Self::UnknownTailnet { .. } => (StatusCode::FORBIDDEN, 300),
            Self::Body(BodyError::NoRoom) => (StatusCode::SERVICE_UNAVAILABLE, 5),
            Self::Body(_) => (StatusCode::REQUEST_TIMEOUT, 5),
            Self::TooOften { wait, .. } => (StatusCode::TOO_MANY_REQUESTS, wait.as_secs() + 1),
            Self::Trail => (StatusCode::SERVICE_UNAVAILABLE, 5),
        };
        let mut response = (status, format!("{self}\n")).into_response();
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait));
        response
    }
}

/// The receiver's one route.
pub(super) fn router(shared: &Shared, config: LogtailConfig) -> Router {
    let trail = &shared.wiring.trail;
    let logtail = Logtail {
        lines: trail.emitter("logtail"),
        reports: trail.emitter("flowlog"),
        shared: shared.clone(),
        known: config.known,
        tailnets: config.tailnets,
        streams: Streams::new(),
        strangers: tokio::sync::Mutex::default(),
    };
    Router::new().fallback(upload).with_state(Arc::new(logtail))
}

async fn upload(State(logtail): State<Arc<Logtail>>, request: Request) -> Result<StatusCode, Refused> {
    if request.method() != Method::POST {
        return Err(Refused::Method);
    }
    let place = Place::of(request.uri().path(), request.uri().query()).ok_or(Refused::Path)?;
    if !logtail.known.is_empty() && !logtail.known.contains_key(place.id.as_str()) {
        return Err(Refused::Unknown { public: place.id.as_str().to_owned() });
    }
    if let Some(copy) = place.copy.as_ref().filter(|_| !logtail.is_vouched_for(&place)) {
        return Err(Refused::UnknownTailnet { public: copy.as_str().to_owned() });
    }
    let (head, body) = request.into_parts();
    let read = logtail
        .shared
        .room
        .read_or_spoiled(&sender_of(&head.extensions), &head.headers, body, BOUNDS)
        .await?;
    // Taking goes on to its end even if the sender goes away: what it sends again is known then.
    let work = tokio::spawn(async move {
        match read {
            Ok(read) => logtail.take(&place, &read.bytes).await,
            Err(spoiled) => logtail.keep(&place, &spoiled).await,
        }
    });
    joined(work).await.map(|()| StatusCode::OK)
}

impl Logtail {
    async fn take(&self, place: &Place, body: &Bytes) -> Result<(), Refused> {
        let stream = self.stream(place).await?;
        let mut stream = stream.lock().await;
        let Some((entries, reports)) = split(&self.lines(place), body, self.is_vouched_for(place)) else {
            drop(stream);
            let reason = format!("more than {MAX_ENTRIES} entries in one upload");
            return self.keep(place, &Spoiled::of(body, &reason)).await;
        };
        let source = self.shared.wiring.sources.register(&self.source_name(place), Expect::Whenever);
        // What no process numbered is known again by its body.
        let unnumbered = entries.iter().any(|entry| entry.process.is_none())
            || reports.iter().any(|report| report.process.is_none());
        let digest: Option<[u8; 32]> = unnumbered.then(|| Sha256::digest(body).into());
        if digest.is_some_and(|digest| stream.has_body(&digest)) {
            return Ok(());
        }
        let came_before: Vec<bool> = reports.iter().map(|report| stream.has(report.process)).collect();
        let lines = self.take_lines(&source, &mut stream, entries, &reports).await?;
        let (flows, newest) = self.take_reports(place, &reports, &came_before).await?;
        for report in &reports {
            if let Some((process, number)) = report.process {
                stream.came(process, number);
            }
        }
        if let Some(digest) = digest {
            stream.add_body(digest);
        }
        source.heard((lines + flows) as u64, newest.or_else(|| (lines > 0).then(Timestamp::now)));
        Ok(())
    }

    /// Whether an upload may hold flow reports: it knows a tailnet's id that was set, or none are.
    fn is_vouched_for(&self, place: &Place) -> bool {
        let known = |copy: &PublicId| self.tailnets.contains_key(copy.as_str());
        self.tailnets.is_empty() || place.copy.as_ref().is_some_and(known)
    }

    async fn stream(&self, place: &Place) -> Result<Arc<tokio::sync::Mutex<Stream>>, Refused> {
        let name = (place.collection.clone(), place.id.as_str().to_owned());
        self.streams.stream(&self.shared.wiring.trail, &name).await.map_err(|error| unready(&error))
    }

    /// Makes what is kept of a body that can't be read durable, with the finding that it came.
    async fn keep(&self, place: &Place, spoiled: &Spoiled) -> Result<(), Refused> {
        let stream = self.stream(place).await?;
        let mut stream = stream.lock().await;
        if stream.has_body(&spoiled.digest) {
            return Ok(());
        }
        let stranger = self.known.is_empty() && stream.is_new();
        let mut strangers = if stranger { Some(self.strangers.lock().await) } else { None };
        let allowance = strangers.as_deref_mut().unwrap_or(&mut stream.allowance);
        let too_often = |wait| Refused::TooOften { reason: spoiled.reason.clone(), wait };
        allowance.ask(Timestamp::now()).map_err(too_often)?;
        self.write_spoiled(place, spoiled, allowance.folded()).await.map_err(|error| unready(&error))?;
        allowance.kept();
        stream.add_body(spoiled.digest);
        tracing::warn!(stream = place.id.short(), reason = spoiled.reason, "an upload can't be read");
        Ok(())
    }

    /// Both events at once: a finding without its line, or a line without its finding, would stay so.
    async fn write_spoiled(
        &self,
        place: &Place,
        spoiled: &Spoiled,
        folded: Option<Folded>,
    ) -> Result<(), AppendError> {
        let lines = self.lines(place);
        let mut line = spoiled::line(&lines.collection, spoiled, folded, lines.now);
        lines.name(&mut line);
        let mut leaves = self.lines.leaves(2).await;
        let received = leaves.received();
        let mut named = None;
        leaves.push(Family::Log, line.time, |id, leaf| {
            let event = line.into_event(id.clone(), received);
            leaf.extend(event.to_leaf());
            named = Some(event);
        })?;
        let line = named.expect("the line was written just now");
        let finding = spoiled::finding(&line, spoiled, folded);
        leaves.push(Family::Finding, finding.time, |id, leaf| {
            leaf.extend(finding.into_event(id.clone(), received).to_leaf());
        })?;
        self.lines.emit_leaves(leaves).await.map(drop)
    }

    /// Makes the lines that did not come before durable, and says which numbers are missing. How many were new.
    async fn take_lines(
        &self,
        source: &Source,
        stream: &mut Stream,
        entries: Vec<Entry>,
        reports: &[Report],
    ) -> Result<usize, Refused> {
        // Reports are numbered among the lines of their process.
        let mut planned = stream.clone();
        let mut gaps = Vec::new();
        let mut look = |number: Option<(u64, u64)>| {
            let Some((process, number)) = number else { return true };
            let place = planned.place(process, number);
            planned.came(process, number);
            if let streams::Place::After(first, last) = place {
                gaps.push((first, last));
            }
            place != streams::Place::Before
        };
        let mut numbered: Vec<(usize, Option<(u64, u64)>, Option<Entry>)> =
            entries.into_iter().map(|entry| (entry.at, entry.process, Some(entry))).collect();
        numbered.extend(reports.iter().map(|report| (report.at, report.process, None)));
        numbered.sort_by_key(|(at, _, _)| *at);
        let (mut drafts, mut numbers): (Vec<Draft>, Vec<Option<(u64, u64)>>) = (Vec::new(), Vec::new());
        for (_, process, entry) in numbered {
            let new = look(process);
            let Some(entry) = entry.filter(|_| new) else { continue };
            numbers.resize(numbers.len() + entry.drafts.len() - 1, None);
            numbers.push(entry.process);
            drafts.extend(entry.drafts);
        }
        let mut done = 0;
        let durable = |so_far: usize| {
            for (process, number) in numbers[done..so_far].iter().flatten() {
                stream.came(*process, *number);
            }
            done = so_far;
        };
        let emitted = emit_in_parts(&self.lines, drafts, durable).await;
        // Once something of the batch is known to have come, a gap before it does not show again.
        if emitted.is_ok() || done > 0 {
            for (first, last) in gaps {
                source.missing(first, last, "log entries of one process did not come");
            }
        }
        emitted.map(|()| done).map_err(|error| unready(&error))
    }

    /// Makes flow reports durable; what is none after all is kept as it came.
    async fn take_reports(
        &self,
        place: &Place,
        reports: &[Report],
        came_before: &[bool],
    ) -> Result<(usize, Option<Timestamp>), Refused> {
        if reports.is_empty() {
            return Ok((0, None));
        }
        let records =
            reports.iter().map(|report| FlowRecord { json: report.json.clone(), logged: None }).collect();
        let taken =
            self.shared.wiring.flows.take(&self.reports, records).await.map_err(|error| unready(&error))?;
        let lines = self.lines(place);
        for (at, error) in &taken.refused {
            if came_before[*at] {
                continue;
            }
            let json = &reports[*at].json;
            let drafts = if crate::flow::looks_like_a_report(json) {
                tracing::warn!(stream = place.id.short(), %error, "a flow report can't be read; it is kept as it came");
                lines.unreadable(json, &error.to_string())
            } else {
                lines.entry(reports[*at].at, json).drafts
            };
            emit_in_parts(&self.lines, drafts, |_| {}).await.map_err(|error| unready(&error))?;
        }
        Ok((taken.new, taken.newest))
    }

    fn lines(&self, place: &Place) -> Lines {
        let device = self.known.get(place.id.as_str()).cloned();
        Lines {
            collection: place.collection.clone(),
            public_id: place.id.as_str().to_owned(),
            device,
            history: self.shared.wiring.history.clone(),
            now: Timestamp::now(),
        }
    }

    fn source_name(&self, place: &Place) -> String {
        let stream = place.collection.split('.').next().unwrap_or_default();
        let who = self.known.get(place.id.as_str()).map_or(place.id.short(), String::as_str);
        format!("{stream}.{who}")
    }
}

/// One flow report of a body.
struct Report {
    at: usize,
    process: Option<(u64, u64)>,
    json: Bytes,
}

/// The lines and the flow reports of a body, each with its place; none where there are too many. Reports that nobody
/// vouches for are kept as lines: refusing them would block what comes with them.
fn split(lines: &Lines, body: &Bytes, vouched: bool) -> Option<(Vec<Entry>, Vec<Report>)> {
    let raw = match entry::parts(body) {
        Ok(raw) => raw,
        Err(reason) => {
            let drafts = lines.unreadable(body, &reason);
            return Some((vec![Entry { at: 0, process: None, drafts }], Vec::new()));
        }
    };
    if raw.len() > MAX_ENTRIES {
        return None;
    }
    let (mut entries, mut reports) = (Vec::new(), Vec::new());
    for (at, json) in raw.into_iter().enumerate() {
        let report = entry::may_be_report(json);
        if report && !vouched && crate::flow::looks_like_a_report(json) {
            let reason = "a flow report without the copyId of a tailnet in [sources.logtail.tailnets]";
            let drafts = lines.unreadable(json, reason);
            entries.push(Entry { at, process: entry::process_of(json), drafts });
        } else if report && vouched {
            let process = entry::process_of(json);
            reports.push(Report { at, process, json: body.slice_ref(json) });
        } else {
            entries.push(lines.entry(at, json));
        }
    }
    Some((entries, reports))
}

/// The drafts of a body's lines, of a stream that nobody named.
pub(super) fn drafts(upload: &[u8], history: meshtrail_identity::History, now: Timestamp) -> Vec<Draft> {
    let lines = Lines { collection: "fuzz".into(), public_id: "0".repeat(64), device: None, history, now };
    let split = split(&lines, &Bytes::copy_from_slice(upload), true);
    split.map(|(entries, _)| entries.into_iter().flat_map(|entry| entry.drafts).collect()).unwrap_or_default()
}

fn unready(error: &(dyn std::error::Error + 'static)) -> Refused {
    tracing::warn!(error, "an upload could not be written down");
    Refused::Trail
}
