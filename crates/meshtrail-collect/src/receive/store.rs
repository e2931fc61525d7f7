//! Writing what a sender sent, in as many batches of the trail as it needs.

use std::fmt::Write as _;

use meshtrail_event::{Detail, Draft, Json, Kind, LogLine, MAX_LEAF, Timestamp};
use meshtrail_trail::{AppendError, Emitter};
use serde_json::json;

/// Drafts in one batch, whatever their length.
const BATCH: usize = 1024;
/// Bytes of text in one batch, about.
const BATCH_BYTES: usize = 2 << 20;
/// Bytes of a text that fit into an event however they have to be written there.
const PIECE: usize = MAX_LEAF / 8;
/// Characters of a reason that are kept.
const REASON: usize = 300;

/// Appends drafts in their order; calls `durable` with how many are, each time more of them are.
pub(crate) async fn emit_in_parts(
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

/// What could not be read, or is too long for one event, kept byte for byte in as many events as it takes.
pub(crate) fn kept_raw(raw: &[u8], reason: &str, of: &LogLine, time: Timestamp) -> Vec<Draft> {
    let reason: String = reason.chars().take(REASON).collect();
    let texts = pieces(raw);
    let parts = texts.len();
    let draft = |(at, text): (usize, String)| {
        let fields = json!({"meshtrail": {"kept_raw": reason, "part": at + 1, "parts": parts}});
        let line = LogLine { text: Some(text), fields: Some(Json::from(&fields)), ..of.clone() };
        Draft { detail: Some(Detail::Log(Box::new(line))), ..Draft::new(Kind::LogLine, time) }
    };
    texts.into_iter().enumerate().map(draft).collect()
}

/// The bytes as texts: as they are where they are UTF-8, else in hexadecimal.
fn pieces(raw: &[u8]) -> Vec<String> {
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
