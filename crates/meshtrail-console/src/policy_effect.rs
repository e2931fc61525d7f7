//! What a change of the policy opened and closed, in people and machines.

use maud::{Markup, html};
use meshtrail_api::policy::{AccessChange, DiffAnswer, KindChanges};
use meshtrail_event::text::sentence_case;

use super::format;

/// The most lines of each kind that are shown before the others are folded.
const MAX_OPEN: usize = 8;

/// The section of a page.
pub(crate) fn policy_effect(effect: Result<&DiffAnswer, &str>) -> Markup {
    html! {
        h2 id="effect" { "What it opened and closed" }
        @match effect {
            Err(reason) => p.small.q { (format::untrusted(&sentence_case(reason))) },
            Ok(diff) => {
                p { b { (format::untrusted(&sentence_case(&diff.summary))) } }
                (kind("Connections", &diff.connections))
                (kind("Logins", &diff.logins))
                (kind("Capabilities", &diff.capabilities))
                (sentences("Authority", &diff.authority, 0))
                (sentences("Could, if", &diff.possible, diff.possible_left_off))
                p.small.q {
                    "For the people and devices of that moment, as " (diff.policy.control_plane) " reads both policies."
                    @if diff.devices_left_out > 0 {
                        " Left out: " (format::plural(diff.devices_left_out as u64, "device", "devices")) " that took no part in the mesh."
                    }
                }
            }
        }
    }
}

fn kind(title: &str, changes: &KindChanges) -> Markup {
    html! {
        @if !changes.opened.is_empty() || !changes.closed.is_empty() {
            p.small.q { (title) }
            (lines(&changes.opened, changes.opened_left_off))
            (lines(&changes.closed, changes.closed_left_off))
        }
    }
}

fn lines(changes: &[AccessChange], left_off: usize) -> Markup {
    let (shown, folded) = changes.split_at(changes.len().min(MAX_OPEN));
    let list = |changes: &[AccessChange]| {
        html! {
            ul.plain {
                @for change in changes {
                    li { (format::untrusted(&change.sentence)) " " span.small.q { (format::untrusted(&change.rules.join(", "))) } }
                }
            }
        }
    };
    html! {
        @if !shown.is_empty() { (list(shown)) }
        @if !folded.is_empty() {
            details { summary { (format::plural(folded.len() as u64, "more", "more")) } (list(folded)) }
        }
        @if left_off > 0 { p.small.q { (format::plural(left_off as u64, "more is", "more are")) " not listed here." } }
    }
}

fn sentences(title: &str, entries: &[String], left_off: usize) -> Markup {
    html! {
        @if !entries.is_empty() {
            p.small.q { (title) }
            ul.plain { @for entry in entries { li { (format::untrusted(entry)) } } }
            @if left_off > 0 { p.small.q { (format::plural(left_off as u64, "more is", "more are")) " not listed here." } }
        }
    }
}
