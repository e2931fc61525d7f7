//! Bodies that can't be read: what is written down of one, and how many a sender may have written down.
//!
//! - A sender may have [`AT_ONCE`] of them kept, and one more every [`EVERY`] from then on. What comes beyond is refused
//!   until then, and counted in the next one that is kept: nothing is acknowledged that is not durable, and nobody fills
//!   the trail.
//! - [`EVERY`] is what clients wait at most between two tries: one bad body holds up its sender that long at worst.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meshtrail_event::{Detail, Draft, Event, Finding, Json, Kind, LogLine, Timestamp};
use serde_json::json;

use crate::receive::body::Spoiled;
use crate::receive::store::hex;
use crate::weight::Severity;

/// The rule of the finding.
pub(super) const RULE: &str = "source.body_unreadable";

/// How many a sender may have kept at once.
const AT_ONCE: u32 = 8;

/// How long it takes until a sender may have one more kept.
const EVERY: Duration = Duration::from_secs(300);

/// How many more bodies of one sender are kept.
#[derive(Debug, Clone, Default)]
pub(crate) struct Allowance {
    /// How many were kept and are not made good by time.
    used: u32,
    /// Since when time makes good for the last of them.
    since: Timestamp,
    folded: Option<Folded>,
}

/// Bodies that were refused since the last that was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Folded {
    count: u64,
    first: Timestamp,
    last: Timestamp,
}

impl Allowance {
    /// Whether one more may be kept at `now`, or how long until then: it is counted as refused.
    pub(crate) fn ask(&mut self, now: Timestamp) -> Result<(), Duration> {
        let good = now.since(self.since).as_nanos() / EVERY.as_nanos();
        let good = u32::try_from(good).unwrap_or(u32::MAX).min(self.used);
        self.used -= good;
        self.since = if self.used == 0 { now } else { self.since.after(EVERY * good) };
        if self.used < AT_ONCE {
            return Ok(());
        }
        let folded = self.folded.get_or_insert(Folded { count: 0, first: now, last: now });
        (folded.count, folded.last) = (folded.count + 1, now);
        Err(EVERY.saturating_sub(now.since(self.since)))
    }

    /// What was refused since the last that was kept.
    pub(crate) fn folded(&self) -> Option<Folded> {
        self.folded
    }

    /// One more was kept.
    pub(crate) fn kept(&mut self) {
        self.used += 1;
        self.folded = None;
    }
}

/// The line that keeps a body's first bytes.
pub(super) fn line(collection: &str, spoiled: &Spoiled, folded: Option<Folded>, now: Timestamp) -> Draft {
    let mut about = json!({
        "bytes": spoiled.bytes,
        "form": "base64",
        "kept": spoiled.start.len(),
        "kept_raw": spoiled.reason.chars().take(300).collect::<String>(),
        "sha256": hex(&spoiled.digest),
    });
    if let Some(Folded { count, first, last }) = folded {
        about["refused_before"] = json!({ "count": count, "first": first, "last": last });
    }
    let line = LogLine {
        collection: Some(collection.to_owned()),
        fields: Some(Json::from(&json!({ "meshtrail": about }))),
        text: Some(STANDARD.encode(&spoiled.start)),
        ..LogLine::default()
    };
    Draft { detail: Some(Detail::Log(Box::new(line))), ..Draft::new(Kind::LogLine, now) }
}

/// The finding that rests on a body's line.
pub(super) fn finding(line: &Event, spoiled: &Spoiled, folded: Option<Folded>) -> Draft {
    let mut summary = format!(
        "an upload of {} bytes can't be read: {}; its first {} bytes are kept, SHA-256 of all {}",
        spoiled.bytes,
        spoiled.reason.chars().take(300).collect::<String>(),
        spoiled.start.len(),
        hex(&spoiled.digest)
    );
    if let Some(Folded { count, first, last }) = folded {
        summary.push_str(&format!("; {count} more were refused from {first} to {last}"));
    }
    let finding = Finding {
        events: vec![line.id.clone()],
        rule: Some(RULE.to_owned()),
        severity: Some(Severity::Medium.as_str().to_owned()),
        status: Some("open".to_owned()),
        summary: Some(summary),
        title: Some("Upload can't be read".to_owned()),
        ..Finding::default()
    };
    let mut draft = Draft::new(Kind::FindingRaised, line.time);
    (draft.actor, draft.identity, draft.target) =
        (line.actor.clone(), line.identity.clone(), line.target.clone());
    draft.detail = Some(Detail::Finding(Box::new(finding)));
    draft
}

/// The digest of the body that a line keeps the first bytes of.
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
        for _ in 0..AT_ONCE {
            assert_eq!(allowance.ask(start), Ok(()));
            allowance.kept();
        }
        let later = start.after(Duration::from_secs(100));
        assert_eq!(allowance.ask(later), Err(Duration::from_secs(200)));
        assert_eq!(allowance.ask(later), Err(Duration::from_secs(200)));
        let due = start.after(EVERY);
        assert_eq!(allowance.ask(due), Ok(()));
        assert_eq!(allowance.folded(), Some(Folded { count: 2, first: later, last: later }));
        allowance.kept();
        assert_eq!((allowance.folded(), allowance.ask(due)), (None, Err(EVERY)));
        let days = due.after(EVERY * 1_000);
        let kept = (0..1_000).filter(|_| allowance.ask(days).map(|()| allowance.kept()).is_ok()).count();
        assert_eq!(kept as u32, AT_ONCE, "what time made good does not add up for ever");
    }

    #[test]
    fn a_line_gives_back_the_digest_of_its_body() {
        let spoiled = Spoiled::of(&[0xff; 9_000], "nonsense");
        let draft = line("tailnode", &spoiled, None, Timestamp::from_nanos(0));
        let Some(Detail::Log(line)) = draft.detail else { panic!() };
        assert_eq!(digest(&line), Some(spoiled.digest));
        assert_eq!(line.text.as_deref().map(str::len), Some(4_096_usize.div_ceil(3) * 4));
    }
}
