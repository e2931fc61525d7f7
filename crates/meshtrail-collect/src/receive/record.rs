//! Records that arrive by a SIEM's protocol. Their type is recognised by their members, since Tailscale's log streaming
//! sends flow reports and audit records to one address; anything else is stored as a log line.

use bytes::Bytes;
use meshtrail_change::catalogue::{self, Groups};
use meshtrail_change::snapshot::Origin;
use meshtrail_event::{Detail, Draft, Json, Kind, LogLine, Target, Timestamp};
use meshtrail_flow::{FlowRecord, Flows, looks_like_a_report};
use meshtrail_trail::Emitter;
use serde::Deserialize;
use serde_json::Value;

use super::Shared;
use super::body_dedup::{Bodies, BodyIntake, durable_after_each};
use super::store::{emit_in_batches, fits, raw_lines};
use crate::dedupe::RecordDrafts;

/// One record, with the metadata of its envelope.
#[derive(Debug, Default)]
pub(crate) struct IncomingRecord<'a> {
    pub(crate) json: &'a [u8],
    /// When it happened, where the record itself does not say so.
    pub(crate) time: Option<Timestamp>,
    /// When a log service in between took it.
    pub(crate) logged: Option<Timestamp>,
    /// Other members of the envelope.
    pub(crate) metadata: Option<Value>,
}

/// Parsed and valid records of one body.
#[derive(Default)]
pub(crate) struct RecordBatch {
    flows: Vec<FlowRecord>,
    audits: Vec<RecordDrafts>,
    /// Each with its record number in the body.
    lines: Vec<(usize, Draft)>,
    newest: Option<Timestamp>,
}

/// Writes the records of one protocol.
pub(crate) struct RecordWriter {
    /// `hec` or `bulk`; also the collection of its log lines.
    pub(crate) protocol: &'static str,
    pub(crate) emitter: Emitter,
    pub(crate) bodies: Bodies,
}

#[derive(Deserialize)]
struct AuditMarkers {
    actor: Option<serde::de::IgnoredAny>,
    action: Option<serde::de::IgnoredAny>,
    target: Option<serde::de::IgnoredAny>,
}

impl RecordWriter {
    pub(crate) fn new(protocol: &'static str, shared: &Shared) -> Self {
        Self { protocol, emitter: shared.wiring.trail.emitter(protocol), bodies: Bodies::new(protocol) }
    }

    /// Makes the records of a body durable, except for lines that are durable already.
    pub(crate) async fn write(
        &self,
        shared: &Shared,
        records: RecordBatch,
        body: &BodyIntake<'_>,
    ) -> Result<(), String> {
        let text = |error: &dyn std::error::Error| error.to_string();
        let count = records.len() as u64;
        if !records.flows.is_empty() {
            shared.wiring.flows.ingest(&self.emitter, records.flows).await.map_err(|error| text(&error))?;
        }
        if !records.audits.is_empty() {
            let result = shared.wiring.dedupe.emit_new(&self.emitter, records.audits, None).await;
            result.map_err(|error| text(&error))?;
        }
        let mut lines = records.lines;
        lines.retain(|(record, _)| *record >= body.durable);
        lines.iter_mut().for_each(|(record, draft)| body.mark(draft, *record));
        let durable = durable_after_each(&lines);
        let drafts = lines.into_iter().map(|(_, draft)| draft).collect();
        let so_far = |lines: usize| body.record_durable(durable[lines - 1]);
        emit_in_batches(&self.emitter, drafts, so_far).await.map_err(|error| text(&error))?;
        body.record_durable(usize::MAX);
        let source = shared.wiring.sources.register(self.protocol, crate::sources::Cadence::Irregular);
        source.record_contact(count, records.newest);
        Ok(())
    }
}

impl RecordBatch {
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn add_lines(&mut self, at: usize, drafts: Vec<Draft>, time: Timestamp) {
        self.newest = self.newest.max(Some(time));
        self.lines.extend(drafts.into_iter().map(|draft| (at, draft)));
    }

    fn len(&self) -> usize {
        self.flows.len() + self.audits.len() + self.lines.len()
    }

    /// Parses and adds record number `at` of `body`.
    pub(crate) fn add(
        &mut self,
        at: usize,
        protocol: &str,
        body: &Bytes,
        incoming: IncomingRecord<'_>,
        groups: &Groups,
    ) -> Result<(), String> {
        let time = incoming.time.unwrap_or_else(Timestamp::now);
        self.newest = self.newest.max(Some(time));
        if looks_like_a_report(incoming.json) {
            Flows::check(incoming.json).map_err(|error| error.to_string())?;
            self.flows.push(FlowRecord { json: body.slice_ref(incoming.json), logged: incoming.logged });
        } else if looks_like_an_audit_record(incoming.json) {
            let record = catalogue::audit(incoming.json, Origin::Hec, Some(time), groups);
            self.audits.push(record.map_err(|error| error.to_string())?);
        } else {
            self.add_lines(at, lines(protocol, &incoming, time), time);
        }
        Ok(())
    }
}

fn looks_like_an_audit_record(json: &[u8]) -> bool {
    serde_json::from_slice::<AuditMarkers>(json)
        .is_ok_and(|markers| markers.actor.is_some() && markers.action.is_some() && markers.target.is_some())
}

fn lines(protocol: &str, incoming: &IncomingRecord<'_>, time: Timestamp) -> Vec<Draft> {
    let value: Value = serde_json::from_slice(incoming.json).unwrap_or(Value::Null);
    let mut line = LogLine { collection: Some(protocol.to_owned()), ..LogLine::default() };
    let mut fields = serde_json::Map::new();
    match value {
        Value::String(text) => line.text = Some(text),
        value => drop(fields.insert("event".to_owned(), value)),
    }
    if let Some(Value::Object(metadata)) = &incoming.metadata {
        fields.extend(metadata.clone());
    }
    line.fields = (!fields.is_empty()).then(|| Json::exact(&Value::Object(fields)));
    let mut drafts = if fits(&line) {
        vec![Draft { detail: Some(Detail::Log(Box::new(line))), ..Draft::new(Kind::LogLine, time) }]
    } else {
        let of = LogLine { text: None, fields: None, ..line };
        raw_lines(incoming.json, "too long for one event", &of, time)
    };
    for draft in &mut drafts {
        draft.target = Target { of_type: Some("log".into()), ..Target::default() };
    }
    drafts
}
