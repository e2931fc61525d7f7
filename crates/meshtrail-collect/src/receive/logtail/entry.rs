//! Entries of an upload, each read for itself: what one gets wrong harms no other.

use std::borrow::Cow;
use std::collections::BTreeMap;

use meshtrail_event::{Detail, Draft, Kind, LogLine, MAX_EXACT_INTEGER, Target, Timestamp};
use meshtrail_identity::History;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::catalogue::exact;
use crate::receive::store;

/// How far into an entry its marks are looked for.
const HEAD: usize = 1 << 10;

/// One entry, as events.
pub(crate) struct Entry {
    /// The how-manyth of its body.
    pub(crate) at: usize,
    /// Its process's number, and its own in that process.
    pub(crate) process: Option<(u64, u64)>,
    pub(crate) drafts: Vec<Draft>,
}

/// Whose lines they are.
pub(crate) struct Lines {
    pub(crate) collection: String,
    pub(crate) public_id: String,
    /// The name that the configuration gives the stream: its device's.
    pub(crate) device: Option<String>,
    pub(crate) history: History,
    pub(crate) now: Timestamp,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Marks {
    client_time: Option<Timestamp>,
    proc_id: Option<u64>,
    proc_seq: Option<u64>,
}

/// The entries of a body: a list of them, or one.
pub(crate) fn parts(body: &[u8]) -> Result<Vec<&[u8]>, String> {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    if first == Some(&b'{') {
        let one: &RawValue = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        return Ok(vec![one.get().as_bytes()]);
    }
    let all: Vec<&RawValue> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    Ok(all.into_iter().map(|one| one.get().as_bytes()).collect())
}

/// Whether an entry may be a flow report: clients write what tells it at the beginning. Reading it tells for certain.
pub(crate) fn may_be_report(json: &[u8]) -> bool {
    const MARK: &[u8] = b"\"nodeId\"";
    let head = &json[..json.len().min(HEAD)];
    head.windows(MARK.len()).any(|window| window == MARK)
}

/// The process that wrote an entry, and the entry's number.
pub(crate) fn process_of(json: &[u8]) -> Option<(u64, u64)> {
    #[derive(Deserialize)]
    struct Outer {
        logtail: Option<Marks>,
    }
    let marks =
        marks_at_the_beginning(json).or_else(|| serde_json::from_slice::<Outer>(json).ok()?.logtail)?;
    Some((marks.proc_id?, marks.proc_seq?))
}

/// The marks where clients write them, as an entry's first member, without reading the rest.
fn marks_at_the_beginning(json: &[u8]) -> Option<Marks> {
    let rest = json.strip_prefix(b"{\"logtail\":")?;
    serde_json::Deserializer::from_slice(rest).into_iter().next()?.ok()
}

impl Lines {
    /// The events of one entry.
    pub(crate) fn entry(&self, at: usize, json: &[u8]) -> Entry {
        match self.read(json) {
            Ok((process, drafts)) => Entry { at, process, drafts },
            Err(reason) => Entry { at, process: process_of(json), drafts: self.unreadable(json, &reason) },
        }
    }

    /// What can't be read, kept as it came.
    pub(crate) fn unreadable(&self, raw: &[u8], reason: &str) -> Vec<Draft> {
        let of = LogLine { collection: Some(self.collection.clone()), ..LogLine::default() };
        let mut drafts = store::kept_raw(raw, reason, &of, self.now);
        drafts.iter_mut().for_each(|draft| self.name(draft));
        drafts
    }

    fn read(&self, json: &[u8]) -> Result<(Option<(u64, u64)>, Vec<Draft>), String> {
        let mut members: BTreeMap<Cow<'_, str>, &RawValue> =
            serde_json::from_slice(json).map_err(|error| error.to_string())?;
        let marks: Marks = match members.remove("logtail") {
            None => Marks::default(),
            Some(raw) => serde_json::from_str(raw.get()).map_err(|error| format!("logtail: {error}"))?,
        };
        let held = |number: Option<u64>| number.filter(|&number| number <= MAX_EXACT_INTEGER);
        let text = members.remove("text").map(text_of);
        let verbosity = members.remove("v").and_then(|raw| serde_json::from_str(raw.get()).ok());
        let fields: Map<String, Value> = members
            .into_iter()
            .map(|(name, raw)| (name.into_owned(), serde_json::from_str(raw.get()).unwrap_or(Value::Null)))
            .collect();
        let line = LogLine {
            collection: Some(self.collection.clone()),
            fields: (!fields.is_empty()).then(|| exact(&Value::Object(fields))),
            proc_id: held(marks.proc_id),
            proc_seq: held(marks.proc_seq),
            text,
            verbosity,
        };
        let process = line.proc_id.zip(line.proc_seq);
        let time = marks.client_time.unwrap_or(self.now);
        let mut drafts = if store::fits(&line) {
            vec![Draft { detail: Some(Detail::Log(Box::new(line))), ..Draft::new(Kind::LogLine, time) }]
        } else {
            let of = LogLine { text: None, fields: None, ..line };
            store::kept_raw(json, "too long for one event", &of, time)
        };
        drafts.iter_mut().for_each(|draft| self.name(draft));
        Ok((process, drafts))
    }

    /// Says whose stream it is.
    pub(super) fn name(&self, draft: &mut Draft) {
        draft.target = Target {
            id: Some(self.public_id.clone()),
            name: self.device.clone(),
            of_type: Some("log".into()),
            ..Target::default()
        };
        let Some(device) = &self.device else { return };
        if let [known] = self.history.named(device, draft.time).as_slice() {
            known.act_in(draft);
        }
    }
}

fn text_of(raw: &RawValue) -> String {
    serde_json::from_str(raw.get()).unwrap_or_else(|_| raw.get().to_owned())
}
