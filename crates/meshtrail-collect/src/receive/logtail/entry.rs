//! Parses the entries of an upload, each for itself: an invalid entry does not affect the others.

use std::borrow::Cow;
use std::collections::BTreeMap;

use meshtrail_event::{Detail, Draft, Json, Kind, LogLine, MAX_EXACT_INTEGER, Target, Timestamp};
use meshtrail_identity::History;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::receive::store;

/// The bytes of an entry that are searched for the member of flow reports.
const HEAD: usize = 1 << 10;

/// One entry, as events.
pub(crate) struct Entry {
    /// Index in the body.
    pub(crate) at: usize,
    /// The process's id, and the entry's sequence number in that process.
    pub(crate) process: Option<(u64, u64)>,
    pub(crate) drafts: Vec<Draft>,
}

/// What the log lines of one upload have in common.
pub(crate) struct LineContext {
    pub(crate) collection: String,
    pub(crate) public_id: String,
    /// The stream's name in the configuration: that of its device.
    pub(crate) device: Option<String>,
    pub(crate) history: History,
    pub(crate) now: Timestamp,
}

/// The `logtail` member of an entry.
#[derive(Default, Deserialize)]
#[serde(default, expecting = "struct Marks")]
struct LogtailMarks {
    client_time: Option<Timestamp>,
    proc_id: Option<u64>,
    proc_seq: Option<u64>,
}

/// Splits a body into its entries: it is a list of entries, or one.
pub(crate) fn split_body(body: &[u8]) -> Result<Vec<&[u8]>, String> {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    if first == Some(&b'{') {
        let one: &RawValue = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        return Ok(vec![one.get().as_bytes()]);
    }
    let all: Vec<&RawValue> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    Ok(all.into_iter().map(|one| one.get().as_bytes()).collect())
}

/// Whether an entry may be a flow report: clients write `nodeId` near the beginning. Only parsing it is certain.
pub(crate) fn may_be_report(json: &[u8]) -> bool {
    const MARK: &[u8] = b"\"nodeId\"";
    let head = &json[..json.len().min(HEAD)];
    head.windows(MARK.len()).any(|window| window == MARK)
}

/// The process that wrote an entry, and the entry's sequence number.
pub(crate) fn process_of(json: &[u8]) -> Option<(u64, u64)> {
    #[derive(Deserialize)]
    struct Outer {
        logtail: Option<LogtailMarks>,
    }
    let marks = leading_marks(json).or_else(|| serde_json::from_slice::<Outer>(json).ok()?.logtail)?;
    Some((marks.proc_id?, marks.proc_seq?))
}

/// The `logtail` member, if it is the entry's first one, as clients write it; the rest is not parsed.
fn leading_marks(json: &[u8]) -> Option<LogtailMarks> {
    let rest = json.strip_prefix(b"{\"logtail\":")?;
    serde_json::Deserializer::from_slice(rest).into_iter().next()?.ok()
}

impl LineContext {
    /// The events of one entry.
    pub(crate) fn entry(&self, at: usize, json: &[u8]) -> Entry {
        match self.read(json) {
            Ok((process, drafts)) => Entry { at, process, drafts },
            Err(reason) => Entry { at, process: process_of(json), drafts: self.unreadable(json, &reason) },
        }
    }

    /// The events for bytes that can't be parsed: they are stored as received.
    pub(crate) fn unreadable(&self, raw: &[u8], reason: &str) -> Vec<Draft> {
        let of = LogLine { collection: Some(self.collection.clone()), ..LogLine::default() };
        let mut drafts = store::raw_lines(raw, reason, &of, self.now);
        drafts.iter_mut().for_each(|draft| self.set_target(draft));
        drafts
    }

    fn read(&self, json: &[u8]) -> Result<(Option<(u64, u64)>, Vec<Draft>), String> {
        let mut members: BTreeMap<Cow<'_, str>, &RawValue> =
            serde_json::from_slice(json).map_err(|error| error.to_string())?;
        let marks: LogtailMarks = match members.remove("logtail") {
            None => LogtailMarks::default(),
            Some(raw) => serde_json::from_str(raw.get()).map_err(|error| format!("logtail: {error}"))?,
        };
        let exact_integer = |number: Option<u64>| number.filter(|&number| number <= MAX_EXACT_INTEGER);
        let text = members.remove("text").map(text_of);
        let verbosity = members.remove("v").and_then(|raw| serde_json::from_str(raw.get()).ok());
        let fields: Map<String, Value> = members
            .into_iter()
            .map(|(name, raw)| (name.into_owned(), serde_json::from_str(raw.get()).unwrap_or(Value::Null)))
            .collect();
        let line = LogLine {
            collection: Some(self.collection.clone()),
            fields: (!fields.is_empty()).then(|| Json::exact(&Value::Object(fields))),
            proc_id: exact_integer(marks.proc_id),
            proc_seq: exact_integer(marks.proc_seq),
            text,
            verbosity,
        };
        let process = line.proc_id.zip(line.proc_seq);
        let time = marks.client_time.unwrap_or(self.now);
        let mut drafts = if store::fits(&line) {
            vec![Draft { detail: Some(Detail::Log(Box::new(line))), ..Draft::new(Kind::LogLine, time) }]
        } else {
            let of = LogLine { text: None, fields: None, ..line };
            store::raw_lines(json, "too long for one event", &of, time)
        };
        drafts.iter_mut().for_each(|draft| self.set_target(draft));
        Ok((process, drafts))
    }

    /// Sets the stream as the draft's target, and its device's owner as the actor, if known.
    pub(super) fn set_target(&self, draft: &mut Draft) {
        draft.target = Target {
            id: Some(self.public_id.clone()),
            name: self.device.clone(),
            of_type: Some("log".into()),
            ..Target::default()
        };
        let Some(device) = &self.device else { return };
        if let [known] = self.history.devices_by_name(device, draft.time).as_slice() {
            known.set_as_actor(draft);
        }
    }
}

fn text_of(raw: &RawValue) -> String {
    serde_json::from_str(raw.get()).unwrap_or_else(|_| raw.get().to_owned())
}
