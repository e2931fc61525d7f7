//! Formatting of values on the console's pages: times, durations, sizes, identifiers, and untrusted text.
//!
//! - Text from other machines is shown with control and reordering characters visible, and isolated (`<bdi>`) from the
//!   text around it, so that no name can spoof a page.
//! - A time is absolute, in UTC; its title has the time elapsed since.
//! - Identifiers are shortened in the middle, and a click copies the whole. Numbers are as `quantities` has them.

use maud::{Markup, Render, html};
use meshtrail_event::{Actor, Event, Family, Timestamp, text};

pub(crate) use super::quantities::{ago, count, duration, hms, plural, size};
use super::sentence::{Part, Sentence};

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

/// An identifier, shortened in the middle; a click copies the whole.
pub(crate) fn identifier(whole: &str, columns: usize) -> Markup {
    let shown = text::shorten(whole, columns);
    html! { code.copy data-copy=(whole) title=(text::visible(whole)) { (shown) } }
}

impl Render for Sentence {
    fn render(&self) -> Markup {
        html! {
            @for part in self.parts() {
                @match part {
                    Part::Words(words) => { (words) }
                    Part::Name(name) => { b { (clipped(name, Part::COLUMNS)) } }
                    Part::Typed(typed) => { code { (clipped(typed, Part::COLUMNS)) } }
                    Part::Unsure(words) => { span.unsure { (untrusted(words)) } }
                }
            }
        }
    }
}

/// The actor's shortest name; of several tags, the first one and the number of others.
pub(crate) fn actor_name(actor: &Actor) -> Option<String> {
    match actor.tags.as_slice() {
        [first, _, rest @ ..] if actor.person.is_none() => Some(format!("{first} +{}", rest.len() + 1)),
        _ => actor.label(),
    }
}

/// Whether Meshtrail itself acted: it started, marked a recording, heard from a source, found or delivered something.
pub(crate) fn is_own_action(event: &Event) -> bool {
    event.actor.is_empty()
        && match event.kind.family() {
            Family::Meshtrail | Family::Recording => event.identity.is_empty(),
            // The identity says why nobody is known who did what it is about.
            Family::Finding | Family::Delivery => true,
            _ => false,
        }
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
    use super::super::sentence::sentence;
    use super::*;

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

    #[test]
    fn foreign_text_in_a_sentence_is_visible_and_escaped() {
        let json = r#"{"id":"a.1.7","time":"2026-11-20T14:02:11Z","received":"2026-11-20T14:02:11Z","kind":"log.line","detail":{"text":"<b>\u001b[2J"}}"#;
        let shown = sentence(&Event::from_json(json.as_bytes()).unwrap()).render().into_string();
        assert_eq!(shown, "logged <code><bdi>&lt;b&gt;␛[2J</bdi></code>");
    }
}
