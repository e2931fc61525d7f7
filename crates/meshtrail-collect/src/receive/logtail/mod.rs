//! The logtail protocol: a log server for Tailscale's clients.
//!
//! - Clients' own lines (`TS_LOG_TARGET`) become `log.line` events; flow reports (collection `tailtraffic`) go to
//!   [`meshtrail_flow`].
//! - A client repeats a batch for ever until it gets status 200. So 200 is returned once all of it is durable, and entries
//!   that can't be parsed are stored as received instead of being refused. Of a body that can't be decoded, or is longer than
//!   what any client sends, the first bytes and the digest are stored, with a finding ([`unreadable`]).
//! - If ids or tailnets are configured, uploads of others are refused.
//! - A process numbers its entries: a repeated entry counts once, a missing one is a gap of the source.
//! - The private id in the path is the sender's credential and is stored nowhere; its SHA-256, the public id, is.

mod entry;
mod ids;
mod streams;
mod unreadable;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use meshtrail_event::{Draft, Family, Timestamp};
use meshtrail_flow::{FlowRecord, looks_like_a_report};
use meshtrail_trail::{AppendError, Emitter, run_detached};
use sha2::{Digest as _, Sha256};

use super::body::{BodyError, Bounds, UnreadableBody};
use super::store::emit_in_batches;
use super::{Shared, sender_of};
use crate::config::LogtailConfig;
use crate::sources::{Cadence, Source};
use entry::{Entry, LineContext};
use ids::{PublicId, UploadTarget};
use streams::{EntryOrder, Stream, Streams};
use unreadable::{Allowance, Refusals};

/// Limits on one upload: twice what clients send, since the lines of one entry may come on top.
pub(super) const BOUNDS: Bounds =
    Bounds { received: 4 << 20, decoded: 16 << 20, time: Duration::from_secs(60) };
/// The most entries of one body.
const MAX_ENTRIES: usize = 1 << 17;

struct Logtail {
    shared: Shared,
    known_ids: BTreeMap<String, String>,
    tailnets: BTreeMap<String, String>,
    lines: Emitter,
    reports: Emitter,
    streams: Streams,
    /// Limits unreadable bodies of all senders together that never sent a readable one: new ids are free.
    unknown_senders: tokio::sync::Mutex<Allowance>,
}

/// Why an upload is refused. The sender logs the text and retries.
#[derive(Debug, thiserror::Error)]
enum UploadError {
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

impl IntoResponse for UploadError {
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

/// The receiver's only route.
pub(super) fn router(shared: &Shared, config: LogtailConfig) -> Router {
    let trail = &shared.wiring.trail;
    let logtail = Logtail {
        lines: trail.emitter("logtail"),
        reports: trail.emitter("flowlog"),
        shared: shared.clone(),
        known_ids: config.known_ids,
        tailnets: config.tailnets,
        streams: Streams::new(),
        unknown_senders: tokio::sync::Mutex::default(),
    };
    Router::new().fallback(upload).with_state(Arc::new(logtail))
}

async fn upload(State(logtail): State<Arc<Logtail>>, request: Request) -> Result<StatusCode, UploadError> {
    if request.method() != Method::POST {
        return Err(UploadError::Method);
    }
    let target = UploadTarget::of(request.uri().path(), request.uri().query()).ok_or(UploadError::Path)?;
    if !logtail.known_ids.is_empty() && !logtail.known_ids.contains_key(target.id.as_str()) {
        return Err(UploadError::Unknown { public: target.id.as_str().to_owned() });
    }
    if let Some(copy) = target.copy.as_ref().filter(|_| !logtail.has_known_tailnet(&target)) {
        return Err(UploadError::UnknownTailnet { public: copy.as_str().to_owned() });
    }
    let (head, body) = request.into_parts();
    let read = logtail
        .shared
        .room
        .read_or_unreadable(&sender_of(&head.extensions), &head.headers, body, BOUNDS)
        .await?;
    // Runs to its end even if the sender disconnects: repeated entries are recognised then.
    let work = tokio::spawn(async move {
        match read {
            Ok(read) => logtail.store(&target, &read.bytes).await,
            Err(unreadable) => logtail.store_unreadable(&target, &unreadable).await,
        }
    });
    run_detached(work).await.map(|()| StatusCode::OK)
}

impl Logtail {
    async fn store(&self, target: &UploadTarget, body: &Bytes) -> Result<(), UploadError> {
        let stream = self.stream(target).await?;
        let mut stream = stream.lock().await;
        let Some((entries, reports)) =
            split_entries(&self.lines(target), body, self.has_known_tailnet(target))
        else {
            drop(stream);
            let reason = format!("more than {MAX_ENTRIES} entries in one upload");
            return self.store_unreadable(target, &UnreadableBody::of(body, &reason)).await;
        };
        let source = self.shared.wiring.sources.register(&self.source_name(target), Cadence::Irregular);
        // Unnumbered entries are deduplicated by their body's digest.
        let unnumbered = entries.iter().any(|entry| entry.process.is_none())
            || reports.iter().any(|report| report.process.is_none());
        let digest: Option<[u8; 32]> = unnumbered.then(|| Sha256::digest(body).into());
        if digest.is_some_and(|digest| stream.has_body(&digest)) {
            return Ok(());
        }
        let duplicates: Vec<bool> = reports.iter().map(|report| stream.has_entry(report.process)).collect();
        let lines = self.store_lines(&source, &mut stream, entries, &reports).await?;
        let (flows, newest) = self.store_reports(target, &reports, &duplicates).await?;
        for report in &reports {
            if let Some((process, number)) = report.process {
                stream.record(process, number);
            }
        }
        if let Some(digest) = digest {
            stream.add_body(digest);
        }
        source.record_contact((lines + flows) as u64, newest.or_else(|| (lines > 0).then(Timestamp::now)));
        Ok(())
    }

    /// Whether flow reports of an upload are accepted: its `copyId` is a configured tailnet's, or none is configured.
    fn has_known_tailnet(&self, target: &UploadTarget) -> bool {
        let known = |copy: &PublicId| self.tailnets.contains_key(copy.as_str());
        self.tailnets.is_empty() || target.copy.as_ref().is_some_and(known)
    }

    async fn stream(&self, target: &UploadTarget) -> Result<Arc<tokio::sync::Mutex<Stream>>, UploadError> {
        let name = (target.collection.clone(), target.id.as_str().to_owned());
        self.streams.stream(&self.shared.wiring.trail, &name).await.map_err(|error| trail_unavailable(&error))
    }

    /// Writes the events about an unreadable body.
    async fn store_unreadable(
        &self,
        target: &UploadTarget,
        unreadable: &UnreadableBody,
    ) -> Result<(), UploadError> {
        let stream = self.stream(target).await?;
        let mut stream = stream.lock().await;
        if stream.has_body(&unreadable.digest) {
            return Ok(());
        }
        let unknown_sender = self.known_ids.is_empty() && stream.is_new();
        let mut shared_allowance =
            if unknown_sender { Some(self.unknown_senders.lock().await) } else { None };
        let allowance = shared_allowance.as_deref_mut().unwrap_or(&mut stream.allowance);
        let too_often = |wait| UploadError::TooOften { reason: unreadable.reason.clone(), wait };
        allowance.check(Timestamp::now()).map_err(too_often)?;
        self.write_unreadable(target, unreadable, allowance.refusals())
            .await
            .map_err(|error| trail_unavailable(&error))?;
        allowance.consume();
        stream.add_body(unreadable.digest);
        tracing::warn!(stream = target.id.short(), reason = unreadable.reason, "an upload can't be read");
        Ok(())
    }

    /// Writes line and finding in one batch: one without the other would never be completed.
    async fn write_unreadable(
        &self,
        target: &UploadTarget,
        unreadable: &UnreadableBody,
        refusals: Option<Refusals>,
    ) -> Result<(), AppendError> {
        let lines = self.lines(target);
        let mut line = unreadable::line(&lines.collection, unreadable, refusals, lines.now);
        lines.set_target(&mut line);
        let mut leaves = self.lines.leaves(2).await;
        let received = leaves.received();
        let mut written = None;
        leaves.push(Family::Log, line.time, |id, leaf| {
            let event = line.into_event(id.clone(), received);
            leaf.extend(event.to_leaf());
            written = Some(event);
        })?;
        let line = written.expect("the line was written just now");
        let finding = unreadable::finding(&line, unreadable, refusals);
        leaves.push(Family::Finding, finding.time, |id, leaf| {
            leaf.extend(finding.into_event(id.clone(), received).to_leaf());
        })?;
        self.lines.emit_leaves(leaves).await.map(drop)
    }

    /// Makes the new lines durable, and records missing numbers as gaps. Returns the number of new lines.
    async fn store_lines(
        &self,
        source: &Source,
        stream: &mut Stream,
        entries: Vec<Entry>,
        reports: &[RawReport],
    ) -> Result<usize, UploadError> {
        // Reports and lines of a process share one sequence of numbers.
        let mut planned = stream.clone();
        let mut gaps = Vec::new();
        let mut is_new = |number: Option<(u64, u64)>| {
            let Some((process, number)) = number else { return true };
            let order = planned.order_of(process, number);
            planned.record(process, number);
            if let EntryOrder::AfterGap(first, last) = order {
                gaps.push((first, last));
            }
            order != EntryOrder::Duplicate
        };
        let mut numbered: Vec<(usize, Option<(u64, u64)>, Option<Entry>)> =
            entries.into_iter().map(|entry| (entry.at, entry.process, Some(entry))).collect();
        numbered.extend(reports.iter().map(|report| (report.at, report.process, None)));
        numbered.sort_by_key(|(at, _, _)| *at);
        let (mut drafts, mut numbers): (Vec<Draft>, Vec<Option<(u64, u64)>>) = (Vec::new(), Vec::new());
        for (_, process, entry) in numbered {
            let new = is_new(process);
            let Some(entry) = entry.filter(|_| new) else { continue };
            numbers.resize(numbers.len() + entry.drafts.len() - 1, None);
            numbers.push(entry.process);
            drafts.extend(entry.drafts);
        }
        let mut done = 0;
        let durable = |so_far: usize| {
            for (process, number) in numbers[done..so_far].iter().flatten() {
                stream.record(*process, *number);
            }
            done = so_far;
        };
        let emitted = emit_in_batches(&self.lines, drafts, durable).await;
        // Once a part of the batch is durable, a gap before it is not found again.
        if emitted.is_ok() || done > 0 {
            for (first, last) in gaps {
                source.record_missing(first, last, "log entries of one process did not come");
            }
        }
        emitted.map(|()| done).map_err(|error| trail_unavailable(&error))
    }

    /// Makes flow reports durable; an entry that is no flow report after all becomes a log line.
    async fn store_reports(
        &self,
        target: &UploadTarget,
        reports: &[RawReport],
        duplicates: &[bool],
    ) -> Result<(usize, Option<Timestamp>), UploadError> {
        if reports.is_empty() {
            return Ok((0, None));
        }
        let records =
            reports.iter().map(|report| FlowRecord { json: report.json.clone(), logged: None }).collect();
        let summary = self
            .shared
            .wiring
            .flows
            .ingest(&self.reports, records)
            .await
            .map_err(|error| trail_unavailable(&error))?;
        let lines = self.lines(target);
        for (at, error) in &summary.refused {
            if duplicates[*at] {
                continue;
            }
            let json = &reports[*at].json;
            let drafts = if looks_like_a_report(json) {
                tracing::warn!(stream = target.id.short(), %error, "a flow report can't be read; it is kept as it came");
                lines.unreadable(json, &error.to_string())
            } else {
                lines.entry(reports[*at].at, json).drafts
            };
            emit_in_batches(&self.lines, drafts, |_| {}).await.map_err(|error| trail_unavailable(&error))?;
        }
        Ok((summary.new, summary.newest))
    }

    fn lines(&self, target: &UploadTarget) -> LineContext {
        let device = self.known_ids.get(target.id.as_str()).cloned();
        LineContext {
            collection: target.collection.clone(),
            public_id: target.id.as_str().to_owned(),
            device,
            history: self.shared.wiring.history.clone(),
            now: Timestamp::now(),
        }
    }

    fn source_name(&self, target: &UploadTarget) -> String {
        let stream = target.collection.split('.').next().unwrap_or_default();
        let who = self.known_ids.get(target.id.as_str()).map_or(target.id.short(), String::as_str);
        format!("{stream}.{who}")
    }
}

/// A flow report in a body, not parsed yet.
struct RawReport {
    at: usize,
    process: Option<(u64, u64)>,
    json: Bytes,
}

/// Splits a body into log lines and flow reports, each with its index; none if there are too many. Reports that are not
/// accepted become log lines: refusing them would block the other entries.
fn split_entries(
    lines: &LineContext,
    body: &Bytes,
    accept_reports: bool,
) -> Option<(Vec<Entry>, Vec<RawReport>)> {
    let raw = match entry::split_body(body) {
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
        if report && !accept_reports && looks_like_a_report(json) {
            let reason = "a flow report without the copyId of a tailnet in [sources.logtail.tailnets]";
            let drafts = lines.unreadable(json, reason);
            entries.push(Entry { at, process: entry::process_of(json), drafts });
        } else if report && accept_reports {
            let process = entry::process_of(json);
            reports.push(RawReport { at, process, json: body.slice_ref(json) });
        } else {
            entries.push(lines.entry(at, json));
        }
    }
    Some((entries, reports))
}

/// The drafts for the log lines of a body, of an unnamed stream.
pub(super) fn drafts(upload: &[u8], history: meshtrail_identity::History, now: Timestamp) -> Vec<Draft> {
    let lines =
        LineContext { collection: "fuzz".into(), public_id: "0".repeat(64), device: None, history, now };
    let split = split_entries(&lines, &Bytes::copy_from_slice(upload), true);
    split.map(|(entries, _)| entries.into_iter().flat_map(|entry| entry.drafts).collect()).unwrap_or_default()
}

fn trail_unavailable(error: &(dyn std::error::Error + 'static)) -> UploadError {
    tracing::warn!(error, "an upload could not be written down");
    UploadError::Trail
}
