//! Drafts of the events about sources.

use meshtrail_event::{Detail, Draft, Kind, Own, Target, Timestamp};

use super::{Gap, UnavailablePart};

/// First contact since the start, or contact after silence.
pub(super) fn connected(name: &str, was_silent: bool, last: Option<Timestamp>, now: Timestamp) -> Draft {
    let reason = (was_silent || last.is_some()).then(|| match last {
        Some(last) => format!("after silence since {last}"),
        None => "after not being heard since the start".to_owned(),
    });
    draft(Kind::MeshtrailSourceConnected, name, Own { reason, ..Own::default() }, now)
}

/// No contact for too long.
pub(super) fn silent(name: &str, last: Option<Timestamp>, trouble: Option<&str>, now: Timestamp) -> Draft {
    let since =
        last.map_or_else(|| "not heard since the start".to_owned(), |last| format!("last heard {last}"));
    let reason = trouble.map_or_else(|| since.clone(), |trouble| format!("{since}: {trouble}"));
    draft(Kind::MeshtrailSourceSilent, name, Own { reason: Some(cut(reason)), ..Own::default() }, now)
}

/// A gap in the source's data.
pub(super) fn gap(name: &str, gap: &Gap, numbers: Option<(u64, u64)>, now: Timestamp) -> Draft {
    let reason = match (gap.first, gap.last) {
        (Some(first), Some(last)) => format!("{} (from {first} to {last})", gap.reason),
        _ => gap.reason.clone(),
    };
    let (first, last) = numbers.unzip();
    let count = numbers.map(|(first, last)| last.saturating_sub(first).saturating_add(1));
    let own = Own { reason: Some(cut(reason)), first, last, count, ..Own::default() };
    draft(Kind::MeshtrailSourceGap, name, own, now)
}

/// A part of its data can't be read any more.
pub(super) fn unavailable(name: &str, unavailable: &UnavailablePart, now: Timestamp) -> Draft {
    let UnavailablePart { part, since, reason } = unavailable;
    let since = since.map(|since| format!(", seen last {since}")).unwrap_or_default();
    let reason =
        cut(format!("{part}: not visible any more{since}; what was seen then still stands: {reason}"));
    let own = Own { reason: Some(reason), what: Some(part.clone()), ..Own::default() };
    draft(Kind::MeshtrailSourceGap, name, own, now)
}

/// A part of its data can be read again.
pub(super) fn available_again(name: &str, unavailable: &UnavailablePart, now: Timestamp) -> Draft {
    let UnavailablePart { part, since, reason } = unavailable;
    let since = since.map(|since| format!(" from {since} to {now}")).unwrap_or_default();
    let reason = cut(format!("{part}: visible again, and was not{since}: {reason}"));
    let own = Own { reason: Some(reason), what: Some(part.clone()), ..Own::default() };
    draft(Kind::MeshtrailSourceConnected, name, own, now)
}

fn draft(kind: Kind, name: &str, mut own: Own, now: Timestamp) -> Draft {
    own.source = Some(name.to_owned());
    let target =
        Target { of_type: Some("source".to_owned()), id: Some(name.to_owned()), ..Target::default() };
    Draft { target, detail: Some(Detail::Own(Box::new(own))), ..Draft::new(kind, now) }
}

/// Truncates a foreign text so that it fits into an event.
fn cut(text: String) -> String {
    const MOST: usize = 2_000;
    if text.len() <= MOST { text } else { text.chars().take(MOST / 4).chain(['…']).collect() }
}
