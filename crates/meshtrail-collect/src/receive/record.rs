//! Records that come by a SIEM's protocol, recognised by what they hold: Tailscale's log streaming sends flow reports
//! and audit records through one address. Anything else is kept as a log line.

use bytes::Bytes;
use meshtrail_event::{Detail, Draft, Kind, LogLine, Target, Timestamp};
use meshtrail_trail::Emitter;
use serde::Deserialize;
use serde_json::Value;

use super::Shared;
use super::bodies::{Bodies, Taking, durable_with};
use super::store::{emit_in_parts, fits, kept_raw};
use crate::catalogue::{self, Groups, exact};
use crate::flow::{self, FlowRecord, Flows};
use crate::once::Record;
use crate::snapshot::Origin;

/// One record and what goes with it.
#[derive(Debug, Default)]
pub(crate) struct Wrapped<'a> {
    pub(crate) json: &'a [u8],
    /// When it happened, where it does not say so itself.
    pub(crate) time: Option<Timestamp>,
    /// When a log service between took it.
    pub(crate) logged: Option<Timestamp>,
    /// What else came with it.
    pub(crate) beside: Option<Value>,
}

/// Records that were read and can all be taken.
#[derive(Default)]
pub(crate) struct Records {
    flows: Vec<FlowRecord>,
    audits: Vec<Record>,
    /// Each with the number of its record.
    lines: Vec<(usize, Draft)>,
    newest: Option<Timestamp>,
}

/// Who sent them.
pub(crate) struct Sender {
    /// `hec` or `bulk`: the collection of lines.
    pub(crate) protocol: &'static str,
    pub(crate) emitter: Emitter,
    pub(crate) bodies: Bodies,
}

#[derive(Deserialize)]
struct Marks {
    actor: Option<serde::de::IgnoredAny>,
    action: Option<serde::de::IgnoredAny>,
    target: Option<serde::de::IgnoredAny>,
}

impl Sender {
    pub(crate) fn new(protocol: &'static str, shared: &Shared) -> Self {
        Self { protocol, emitter: shared.wiring.trail.emitter(protocol), bodies: Bodies::new(protocol) }
    }

    /// Makes records of a body durable, but for lines that are already.
    pub(crate) async fn take(
        &self,
        shared: &Shared,
        records: Records,
        body: &Taking<'_>,
    ) -> Result<(), String> {
        let text = |error: &dyn std::error::Error| error.to_string();
        let count = records.len() as u64;
        if !records.flows.is_empty() {
            shared.wiring.flows.take(&self.emitter, records.flows).await.map_err(|error| text(&error))?;
        }
        if !records.audits.is_empty() {
            let taken = shared.wiring.once.emit_new(&self.emitter, records.audits, None).await;
            taken.map_err(|error| text(&error))?;
        }
        let mut lines = records.lines;
        lines.retain(|(record, _)| *record >= body.durable);
        lines.iter_mut().for_each(|(record, draft)| body.mark(draft, *record));
        let durable = durable_with(&lines);
        let drafts = lines.into_iter().map(|(_, draft)| draft).collect();
        let so_far = |lines: usize| body.durable(durable[lines - 1]);
        emit_in_parts(&self.emitter, drafts, so_far).await.map_err(|error| text(&error))?;
        body.durable(usize::MAX);
        let source = shared.wiring.sources.register(self.protocol, crate::sources::Expect::Whenever);
        source.heard(count, records.newest);
        Ok(())
    }
}

impl Records {
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

    /// Reads one record of `body`, the how-manyth of it.
    pub(crate) fn add(
        &mut self,
        at: usize,
        protocol: &str,
        body: &Bytes,
        wrapped: Wrapped<'_>,
        groups: &Groups,
    ) -> Result<(), String> {
        let time = wrapped.time.unwrap_or_else(Timestamp::now);
        self.newest = self.newest.max(Some(time));
        if flow::looks_like_a_report(wrapped.json) {
            Flows::check(wrapped.json).map_err(|error| error.to_string())?;
            self.flows.push(FlowRecord { json: body.slice_ref(wrapped.json), logged: wrapped.logged });
        } else if looks_like_an_audit_record(wrapped.json) {
            let record = catalogue::audit(wrapped.json, Origin::Hec, Some(time), groups);
            self.audits.push(record.map_err(|error| error.to_string())?);
        } else {
            self.add_lines(at, lines(protocol, &wrapped, time), time);
        }
        Ok(())
    }
}

fn looks_like_an_audit_record(json: &[u8]) -> bool {
    serde_json::from_slice::<Marks>(json)
        .is_ok_and(|marks| marks.actor.is_some() && marks.action.is_some() && marks.target.is_some())
}

fn lines(protocol: &str, wrapped: &Wrapped<'_>, time: Timestamp) -> Vec<Draft> {
    let value: Value = serde_json::from_slice(wrapped.json).unwrap_or(Value::Null);
    let mut line = LogLine { collection: Some(protocol.to_owned()), ..LogLine::default() };
    let mut fields = serde_json::Map::new();
    match value {
        Value::String(text) => line.text = Some(text),
        value => drop(fields.insert("event".to_owned(), value)),
    }
    if let Some(Value::Object(beside)) = &wrapped.beside {
        fields.extend(beside.clone());
    }
    line.fields = (!fields.is_empty()).then(|| exact(&Value::Object(fields)));
    let mut drafts = if fits(&line) {
        vec![Draft { detail: Some(Detail::Log(Box::new(line))), ..Draft::new(Kind::LogLine, time) }]
    } else {
        let of = LogLine { text: None, fields: None, ..line };
        kept_raw(wrapped.json, "too long for one event", &of, time)
    };
    for draft in &mut drafts {
        draft.target = Target { of_type: Some("log".into()), ..Target::default() };
    }
    drafts
}
