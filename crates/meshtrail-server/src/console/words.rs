//! How the console writes things: times, lengths, sizes, hashes, and text from elsewhere.
//!
//! - Text from other machines is shown with control and reordering characters visible, and isolated from the text
//!   around it, so that no name can disguise a page.
//! - A time is absolute, in UTC; how long ago it was stands in its title.
//! - Numbers that are read by people have separators; identifiers are shortened in the middle and copied whole.

use std::time::Duration;

use maud::{Markup, html};
use meshtrail_event::{Actor, Event, Family, Timestamp, text};

/// Text from elsewhere, visible and isolated.
pub(crate) fn foreign(value: &str) -> Markup {
    html! { bdi { (text::visible(value)) } }
}

/// Text from elsewhere, at most `columns` wide; the whole is in its title.
pub(crate) fn clipped(value: &str, columns: usize) -> Markup {
    let short = text::shortened(value, columns);
    let whole = text::visible(value);
    html! { bdi title=[(short != whole).then_some(&whole)] { (short) } }
}

/// An instant: `2026-11-20 14:02:11`, with how long ago as its title; narrow lists drop the year and the seconds.
pub(crate) fn clock(at: Timestamp, now: Timestamp) -> Markup {
    instant(at, now, 19)
}

/// The same to the millisecond.
pub(crate) fn exact_clock(at: Timestamp, now: Timestamp) -> Markup {
    instant(at, now, 23)
}

fn instant(at: Timestamp, now: Timestamp, width: usize) -> Markup {
    let written = at.to_string();
    let (year, day, minute, rest) = (&written[..5], &written[5..10], &written[11..16], &written[16..width]);
    html! { time datetime=(written) title={ (written) ", " (ago(at, now)) } { span.wide { (year) } (day) " " (minute) span.wide { (rest) } } }
}

/// Only the time of day, for lists within one session.
pub(crate) fn time_of_day(at: Timestamp, now: Timestamp) -> Markup {
    let written = at.to_string();
    html! { time datetime=(written) title={ (written) ", " (ago(at, now)) } { (written[11..19]) } }
}

/// How long before `now` something was, in words.
pub(crate) fn ago(at: Timestamp, now: Timestamp) -> String {
    if at > now {
        return format!("in {}", span(at.since(now)));
    }
    format!("{} ago", span(now.since(at)))
}

/// A stretch of time in words, with its two largest units.
pub(crate) fn span(length: Duration) -> String {
    let seconds = length.as_secs();
    match seconds {
        0 => "under 1 s".to_owned(),
        1..60 => format!("{seconds} s"),
        60..3600 => two_units(seconds / 60, "min", seconds % 60, "s"),
        3600..86_400 => two_units(seconds / 3600, "h", seconds / 60 % 60, "min"),
        _ => two_units(seconds / 86_400, "d", seconds / 3600 % 24, "h"),
    }
}

fn two_units(large: u64, large_unit: &str, small: u64, small_unit: &str) -> String {
    if small == 0 {
        format!("{large} {large_unit}")
    } else {
        format!("{large} {large_unit} {small} {small_unit}")
    }
}

/// A length as a clock shows it: `0:16`, `22:10`, `1:02:03`.
pub(crate) fn length(of: Duration) -> String {
    let seconds = of.as_secs();
    match seconds / 3600 {
        0 => format!("{}:{:02}", seconds / 60, seconds % 60),
        hours => format!("{hours}:{:02}:{:02}", seconds / 60 % 60, seconds % 60),
    }
}

/// A number of bytes to three figures: `184 KB`.
#[expect(clippy::cast_precision_loss, reason = "three figures are shown")]
pub(crate) fn size(bytes: u64) -> String {
    let (mut value, mut unit) = (bytes as f64, "B");
    for larger in ["KB", "MB", "GB", "TB", "PB"] {
        if value < 999.5 {
            break;
        }
        value /= 1000.0;
        unit = larger;
    }
    if unit == "B" || value >= 99.95 { format!("{value:.0} {unit}") } else { format!("{value:.1} {unit}") }
}

/// A number with separators: `1,284,113`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// `1 event`, `2 events`.
pub(crate) fn counted(number: u64, one: &str, more: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { more })
}

/// An identifier shortened in its middle; a click copies it whole.
pub(crate) fn identifier(whole: &str, columns: usize) -> Markup {
    let shown = text::shortened(whole, columns);
    html! { code.copy data-copy=(whole) title=(text::visible(whole)) { (shown) } }
}

/// Whoever acted, by the shortest name; of many tags, the first and how many more.
pub(crate) fn name_of(actor: &Actor) -> Option<String> {
    match actor.tags.as_slice() {
        [first, _, rest @ ..] if actor.person.is_none() => Some(format!("{first} +{}", rest.len() + 1)),
        _ => actor.label(),
    }
}

/// Whether Meshtrail did this by itself: it started, marked a recording, heard from a source.
pub(crate) fn by_itself(event: &Event) -> bool {
    let own = matches!(event.kind.family(), Family::Meshtrail | Family::Recording);
    own && event.actor.is_empty() && event.identity.is_empty()
}

/// Words as a sentence: a large letter first, a full stop last.
pub(crate) fn sentence_case(text: &str) -> String {
    let mut letters = text.chars();
    let mut sentence: String =
        letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
    if !sentence.ends_with(['.', '?', '!', ':']) {
        sentence.push('.');
    }
    sentence
}

/// The device beside an actor, in quiet words: `on oc-laptop`.
pub(crate) fn on_device(actor: &Actor) -> Option<&str> {
    let named_by_device = actor.person.is_none() && actor.tags.is_empty() && actor.service.is_none();
    actor.device.as_ref().and_then(|device| device.label()).filter(|_| !named_by_device)
}

/// One argument as a POSIX shell takes it.
pub(crate) fn shell_word(argument: &str) -> String {
    format!("'{}'", text::visible(argument).replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_a_person_writes_them() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_284_113), "1,284,113");
        assert_eq!(counted(1, "event", "events"), "1 event");
        assert_eq!(size(0), "0 B");
        assert_eq!(size(999), "999 B");
        assert_eq!(size(9_100), "9.1 KB");
        assert_eq!(size(184_203), "184 KB");
        assert_eq!(size(999_700), "1.0 MB");
        assert_eq!(size(3_400_000_000), "3.4 GB");
    }

    #[test]
    fn lengths_and_spans_keep_two_units() {
        assert_eq!(length(Duration::from_secs(16)), "0:16");
        assert_eq!(length(Duration::from_secs(3723)), "1:02:03");
        assert_eq!(span(Duration::from_millis(20)), "under 1 s");
        assert_eq!(span(Duration::from_secs(120)), "2 min");
        assert_eq!(span(Duration::from_secs(90_000)), "1 d 1 h");
    }

    #[test]
    fn foreign_text_is_visible_and_isolated() {
        let shown = foreign("a\u{202e}b\u{1b}[2J<script>").into_string();
        assert_eq!(shown, "<bdi>a\\u{202e}b␛[2J&lt;script&gt;</bdi>");
    }

    #[test]
    fn clipped_text_keeps_the_whole_in_its_title() {
        assert_eq!(clipped("abcdefgh", 5).into_string(), "<bdi title=\"abcdefgh\">ab…gh</bdi>");
        assert_eq!(clipped("abc", 5).into_string(), "<bdi>abc</bdi>");
    }
}
