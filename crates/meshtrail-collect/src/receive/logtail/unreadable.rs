//! Unreadable bodies: the events that are written about one, and a token bucket that limits how many a sender may cause.
//!
//! - A sender may cause [`BURST`] of them at once, and one more every [`REFILL`]. Further ones are refused and counted in the
//!   next one that is stored: nothing is acknowledged that is not durable, and no sender can fill the trail.
//! - [`REFILL`] is the longest wait of clients between two tries: a bad body blocks its sender that long at worst.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meshtrail_event::rule::SOURCE_BODY_UNREADABLE;
use meshtrail_event::{Detail, Draft, Event, Finding, Json, Kind, LogLine, Subject, Timestamp};
use serde_json::json;

use crate::receive::body::UnreadableBody;
use crate::receive::store::hex;

/// The size of a sender's bucket.
const BURST: u32 = 8;

/// The time in which a bucket gains one token.
const REFILL: Duration = Duration::from_secs(300);

/// The token bucket of one sender.
#[derive(Debug, Clone, Default)]
pub(crate) struct Allowance {
    /// Tokens that are used and not refilled yet.
    used: u32,
    /// Start of the current refill.
    since: Timestamp,
    refusals: Option<Refusals>,
}

/// Bodies that were refused since the last one that was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusals {
    count: u64,
    first: Timestamp,
    last: Timestamp,
}

impl Allowance {
    /// Whether one more body may be stored at `now`; else the body counts as refused, and the error is the wait.
    pub(crate) fn check(&mut self, now: Timestamp) -> Result<(), Duration> {
        let refilled = now.since(self.since).as_nanos() / REFILL.as_nanos();
        let refilled = u32::try_from(refilled).unwrap_or(u32::MAX).min(self.used);
        self.used -= refilled;
        self.since = if self.used == 0 { now } else { self.since.after(REFILL * refilled) };
        if self.used < BURST {
            return Ok(());
        }
        let refusals = self.refusals.get_or_insert(Refusals { count: 0, first: now, last: now });
        (refusals.count, refusals.last) = (refusals.count + 1, now);
        Err(REFILL.saturating_sub(now.since(self.since)))
    }

    /// Bodies that were refused since the last one that was stored.
    pub(crate) fn refusals(&self) -> Option<Refusals> {
        self.refusals
    }

    /// Uses a token: one more body was stored.
    pub(crate) fn consume(&mut self) {
        self.used += 1;
        self.refusals = None;
    }
}

/// The log line that holds the first bytes of a body.
pub(super) fn line(
    collection: &str,
    body: &UnreadableBody,
    refusals: Option<Refusals>,
    now: Timestamp,
) -> Draft {
    let mut about = json!({
        "bytes": body.bytes,
        "form": "base64",
        "kept": body.start.len(),
        "kept_raw": body.reason.chars().take(300).collect::<String>(),
        "sha256": hex(&body.digest),
    });
    if let Some(Refusals { count, first, last }) = refusals {
        about["refused_before"] = json!({ "count": count, "first": first, "last": last });
    }
    let line = LogLine {
        collection: Some(collection.to_owned()),
        fields: Some(Json::from(&json!({ "meshtrail": about }))),
        text: Some(STANDARD.encode(&body.start)),
        ..LogLine::default()
    };
    Draft { detail: Some(Detail::Log(Box::new(line))), ..Draft::new(Kind::LogLine, now) }
}

/// The finding about a body, which refers to its log line.
pub(super) fn finding(line: &Event, body: &UnreadableBody, refusals: Option<Refusals>) -> Draft {
    let mut summary = format!(
        "an upload of {} bytes can't be read: {}; its first {} bytes are kept, SHA-256 of all {}",
        body.bytes,
        body.reason.chars().take(300).collect::<String>(),
        body.start.len(),
        hex(&body.digest)
    );
    if let Some(Refusals { count, first, last }) = refusals {
        summary.push_str(&format!("; {count} more were refused from {first} to {last}"));
    }
    let finding = Finding {
        subject: Some(Subject::new("source", line.id.source.as_str())),
        summary: Some(summary),
        ..SOURCE_BODY_UNREADABLE.finding(line.id.to_string(), vec![line.id.clone()], line.time)
    };
    let mut draft = Draft::new(Kind::FindingRaised, line.time);
    (draft.actor, draft.identity, draft.target) =
        (line.actor.clone(), line.identity.clone(), line.target.clone());
    draft.detail = Some(Detail::Finding(Box::new(finding)));
    draft
}

/// The digest of the body that a log line is about.
pub(super) fn digest(line: &LogLine) -> Option<[u8; 32]> {
    let fields = line.fields.as_ref()?;
    if !fields.text().contains("\"kept_raw\"") {
        return None;
    }
    let value = fields.value();
    let text = value.get("meshtrail")?.get("sha256")?.as_str()?.as_bytes();
    let mut digest = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(text.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_has_some_bodies_kept_then_one_for_each_stretch_of_time_and_the_rest_counted() {
        let (mut allowance, start) = (Allowance::default(), Timestamp::from_seconds(1_795_000_000).unwrap());
        for _ in 0..BURST {
            assert_eq!(allowance.check(start), Ok(()));
            allowance.consume();
        }
        let later = start.after(Duration::from_secs(100));
        assert_eq!(allowance.check(later), Err(Duration::from_secs(200)));
        assert_eq!(allowance.check(later), Err(Duration::from_secs(200)));
        let due = start.after(REFILL);
        assert_eq!(allowance.check(due), Ok(()));
        assert_eq!(allowance.refusals(), Some(Refusals { count: 2, first: later, last: later }));
        allowance.consume();
        assert_eq!((allowance.refusals(), allowance.check(due)), (None, Err(REFILL)));
        let days = due.after(REFILL * 1_000);
        let kept = (0..1_000).filter(|_| allowance.check(days).map(|()| allowance.consume()).is_ok()).count();
        assert_eq!(kept as u32, BURST, "what time made good does not add up for ever");
    }

    #[test]
    fn a_line_gives_back_the_digest_of_its_body() {
        let body = UnreadableBody::of(&[0xff; 9_000], "nonsense");
        let draft = line("tailnode", &body, None, Timestamp::from_nanos(0));
        let Some(Detail::Log(line)) = draft.detail else { panic!() };
        assert_eq!(digest(&line), Some(body.digest));
        assert_eq!(line.text.as_deref().map(str::len), Some(4_096_usize.div_ceil(3) * 4));
    }
}
