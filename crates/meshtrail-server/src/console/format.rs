//! Formatting of values on the console's pages: times, durations, sizes, identifiers, and untrusted text.
//!
//! - Text from other machines is shown with control and reordering characters visible, and isolated (`<bdi>`) from the
//!   text around it, so that no name can spoof a page.
//! - A time is absolute, in UTC; its title has the time elapsed since.
//! - Numbers have thousands separators; identifiers are shortened in the middle, and a click copies the whole.

use std::time::Duration;

use maud::{Markup, html};
use meshtrail_event::{Actor, Event, Family, Timestamp, text};

/// Untrusted text, with control characters visible, and isolated.
pub(crate) fn untrusted(value: &str) -> Markup {
    html! { bdi { (text::visible(value)) } }
}

/// Untrusted text of at most `columns` columns; the whole text is the title.
pub(crate) fn clipped(value: &str, columns: usize) -> Markup {
    let short = text::shorten(value, columns);
    let whole = text::visible(value);
    html! { bdi title=[(short != whole).then_some(&whole)] { (short) } }
}

/// An instant to the second: `2026-11-20 14:02:11`. Narrow lists drop the year and the seconds.
pub(crate) fn clock(at: Timestamp, now: Timestamp) -> Markup {
    instant(at, now, 19)
}

/// An instant to the millisecond.
pub(crate) fn exact_clock(at: Timestamp, now: Timestamp) -> Markup {
    instant(at, now, 23)
}

fn instant(at: Timestamp, now: Timestamp, width: usize) -> Markup {
    let text_form = at.to_string();
    let (year, day, minute, rest) =
        (&text_form[..5], &text_form[5..10], &text_form[11..16], &text_form[16..width]);
    html! { time datetime=(text_form) title={ (text_form) ", " (ago(at, now)) } { span.wide { (year) } (day) " " (minute) span.wide { (rest) } } }
}

/// The time of day alone, for lists within one session.
pub(crate) fn time_of_day(at: Timestamp, now: Timestamp) -> Markup {
    let text_form = at.to_string();
    html! { time datetime=(text_form) title={ (text_form) ", " (ago(at, now)) } { (text_form[11..19]) } }
}

/// The time between `at` and `now`: `2 min 11 s ago`.
pub(crate) fn ago(at: Timestamp, now: Timestamp) -> String {
    if at > now {
        return format!("in {}", duration(at.since(now)));
    }
    format!("{} ago", duration(now.since(at)))
}

/// A duration with its two largest units: `2 min 11 s`.
pub(crate) fn duration(length: Duration) -> String {
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

/// A duration as a player shows it: `0:16`, `22:10`, `1:02:03`.
pub(crate) fn hms(of: Duration) -> String {
    let seconds = of.as_secs();
    match seconds / 3600 {
        0 => format!("{}:{:02}", seconds / 60, seconds % 60),
        hours => format!("{hours}:{:02}:{:02}", seconds / 60 % 60, seconds % 60),
    }
}

/// A number of bytes with three significant digits: `184 KB`.
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

/// A number with thousands separators: `1,284,113`.
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

/// A number with its noun: `1 event`, `2 events`.
pub(crate) fn plural(number: u64, one: &str, more: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { more })
}

/// An identifier, shortened in the middle; a click copies the whole.
pub(crate) fn identifier(whole: &str, columns: usize) -> Markup {
    let shown = text::shorten(whole, columns);
    html! { code.copy data-copy=(whole) title=(text::visible(whole)) { (shown) } }
}

/// The actor's shortest name; of several tags, the first one and the number of others.
pub(crate) fn actor_name(actor: &Actor) -> Option<String> {
    match actor.tags.as_slice() {
        [first, _, rest @ ..] if actor.person.is_none() => Some(format!("{first} +{}", rest.len() + 1)),
        _ => actor.label(),
    }
}

/// Whether Meshtrail itself acted: it started, marked a recording, heard from a source.
pub(crate) fn is_own_action(event: &Event) -> bool {
    let own = matches!(event.kind.family(), Family::Meshtrail | Family::Recording);
    own && event.actor.is_empty() && event.identity.is_empty()
}

/// The device that an actor used; `None` where the actor's own name is the device's.
pub(crate) fn actor_device(actor: &Actor) -> Option<&str> {
    let is_named_by_device = actor.person.is_none() && actor.tags.is_empty() && actor.service.is_none();
    actor.device.as_ref().and_then(|device| device.label()).filter(|_| !is_named_by_device)
}

/// An argument, quoted for a POSIX shell.
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
        assert_eq!(plural(1, "event", "events"), "1 event");
        assert_eq!(size(0), "0 B");
        assert_eq!(size(999), "999 B");
        assert_eq!(size(9_100), "9.1 KB");
        assert_eq!(size(184_203), "184 KB");
        assert_eq!(size(999_700), "1.0 MB");
        assert_eq!(size(3_400_000_000), "3.4 GB");
    }

    #[test]
    fn lengths_and_spans_keep_two_units() {
        assert_eq!(hms(Duration::from_secs(16)), "0:16");
        assert_eq!(hms(Duration::from_secs(3723)), "1:02:03");
        assert_eq!(duration(Duration::from_millis(20)), "under 1 s");
        assert_eq!(duration(Duration::from_secs(120)), "2 min");
        assert_eq!(duration(Duration::from_secs(90_000)), "1 d 1 h");
    }

    #[test]
    fn foreign_text_is_visible_and_isolated() {
        let shown = untrusted("a\u{202e}b\u{1b}[2J<script>").into_string();
        assert_eq!(shown, "<bdi>a\\u{202e}b␛[2J&lt;script&gt;</bdi>");
    }

    #[test]
    fn clipped_text_keeps_the_whole_in_its_title() {
        assert_eq!(clipped("abcdefgh", 5).into_string(), "<bdi title=\"abcdefgh\">ab…gh</bdi>");
        assert_eq!(clipped("abc", 5).into_string(), "<bdi>abc</bdi>");
    }
}
