//! Writes drafts to the trail in as many batches as needed, and splits texts that are too long for one event.

use std::fmt::Write as _;

use meshtrail_event::{Detail, Draft, Json, Kind, LogLine, MAX_LEAF, Timestamp};
use meshtrail_trail::{AppendError, Emitter};
use serde_json::json;

/// The most drafts in one batch.
const BATCH: usize = 1024;
/// The approximate bytes of text in one batch.
const BATCH_BYTES: usize = 2 << 20;
/// Bytes of text that fit into an event even if every byte is escaped.
const PIECE: usize = MAX_LEAF / 8;
/// The most characters of a reason.
const MAX_REASON: usize = 300;

/// Appends drafts in order; after each batch `durable` is called with the number of drafts that are durable.
pub(crate) async fn emit_in_batches(
    emitter: &Emitter,
    drafts: Vec<Draft>,
    mut durable: impl FnMut(usize),
) -> Result<(), AppendError> {
    let (mut part, mut bytes, mut done) = (Vec::new(), 0, 0);
    for draft in drafts {
        bytes += weight(&draft);
        part.push(draft);
        if part.len() >= BATCH || bytes >= BATCH_BYTES {
            done += part.len();
            emitter.emit_all(std::mem::take(&mut part)).await?;
            bytes = 0;
            durable(done);
        }
    }
    if !part.is_empty() {
        done += part.len();
        emitter.emit_all(part).await?;
        durable(done);
    }
    Ok(())
}

fn weight(draft: &Draft) -> usize {
    match &draft.detail {
        Some(Detail::Log(line)) => {
            512 + line.text.as_ref().map_or(0, String::len)
                + line.fields.as_ref().map_or(0, |fields| fields.text().len())
        }
        Some(Detail::Change(_)) => MAX_LEAF,
        _ => 1024,
    }
}

/// Whether a log line fits into one event.
pub(crate) fn fits(line: &LogLine) -> bool {
    let text = line
        .text
        .as_deref()
        .map_or(0, |text| serde_json::to_string(text).map_or(MAX_LEAF, |text| text.len()));
    text + line.fields.as_ref().map_or(0, |fields| fields.text().len()) < MAX_LEAF - 4096
}

/// Log lines that hold a record byte for byte, in as many events as needed: it could not be read, or is too long for one.
pub(crate) fn raw_lines(raw: &[u8], reason: &str, of: &LogLine, time: Timestamp) -> Vec<Draft> {
    let reason: String = reason.chars().take(MAX_REASON).collect();
    let texts = split_text(raw);
    let parts = texts.len();
    let draft = |(at, text): (usize, String)| {
        let fields = json!({"meshtrail": {"kept_raw": reason, "part": at + 1, "parts": parts}});
        let line = LogLine { text: Some(text), fields: Some(Json::from(&fields)), ..of.clone() };
        Draft { detail: Some(Detail::Log(Box::new(line))), ..Draft::new(Kind::LogLine, time) }
    };
    texts.into_iter().enumerate().map(draft).collect()
}

/// The bytes as texts: unchanged if they are UTF-8, else in hexadecimal.
fn split_text(raw: &[u8]) -> Vec<String> {
    let Ok(text) = std::str::from_utf8(raw) else {
        return raw.chunks(PIECE / 2).map(hex).collect();
    };
    let (mut pieces, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        let end = rest.floor_char_boundary(PIECE);
        pieces.push(rest[..end].to_owned());
        rest = &rest[end..];
    }
    pieces
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string works");
        text
    })
}
