//! The explorer of events, newest first.

use maud::{Markup, html};
use meshtrail_event::{Outcome, Timestamp};

use super::ask::{Ask, address, under};
use super::layout::{empty, pager, who_did};
use super::sentence::sentence;
use super::view::{EventView, Paging};
use super::words;

/// What the list shows.
pub(crate) struct EventsPage<'a> {
    pub(crate) ask: &'a Ask,
    pub(crate) events: &'a [EventView],
    pub(crate) paging: &'a Paging,
    pub(crate) now: Timestamp,
}

const QUICK: &[(&str, &str)] = &[
    ("everything", ""),
    ("sessions", "kind:ssh.session.*"),
    ("who looked", "kind:meshtrail.*"),
    ("not successful", "-outcome:success"),
    ("in doubt", "identity:conflicting"),
    ("last 24 h", "since:24h"),
];

impl EventsPage<'_> {
    /// The page's content.
    pub(crate) fn render(&self) -> Markup {
        html! {
            (self.ask.form())
            h1 { "Events" }
            nav.quick aria-label="Common questions" {
                @for (name, text) in QUICK {
                    a href=(address("/events", &[("q", text)])) aria-current=[(self.ask.text.trim() == *text).then_some("true")] { (name) }
                }
            }
            @if self.events.is_empty() { (self.nothing()) } @else { (self.table()) (pager(self.ask, self.paging)) }
        }
    }

    fn nothing(&self) -> Markup {
        if self.ask.mistake.is_some() {
            return html! { p.q { "The filter can't be read, so nothing was searched." } };
        }
        if self.paging.next.is_some() {
            return html! { p.q { "Nothing among the events looked through so far; older ones are left." } (pager(self.ask, self.paging)) };
        }
        if self.ask.text.trim().is_empty() {
            let command = "curl -H \"Authorization: Bearer $TOKEN\" -d @events.json http://127.0.0.1:7411/api/v1/events";
            return empty(
                "No events yet",
                "Sources send them, recordings make them. By hand, with a token of role sender:",
                Some(command),
            );
        }
        let command = format!("meshtrail events query {}", super::words::shell_word(&self.ask.text));
        empty(
            "Nothing matches",
            "No event matches this filter. The command line asks the same:",
            Some(&command),
        )
    }

    fn table(&self) -> Markup {
        html! {
            table.events {
                thead { tr {
                    th.c-time scope="col" { "Time (UTC)" } th.c-kind scope="col" { "Kind" } th.c-who scope="col" { "Who" }
                    th scope="col" { "What" } th.c-outcome scope="col" { "Outcome" } th.c-index.r scope="col" { "Index" }
                } }
                tbody { @for each in self.events { (self.row(each)) } }
            }
        }
    }

    fn row(&self, each: &EventView) -> Markup {
        let event = &each.event;
        let id = event.id.to_string();
        let kind = event.kind.as_str();
        html! {
            tr id={ "e" (each.index) } data-row {
                td.at-time { (words::exact_clock(event.time, self.now)) }
                td.at-kind { (self.ask.value("kind", kind, &html! { code.q { (words::clipped(kind, 28)) } })) }
                td.at-who { (who_did(event, self.ask)) }
                td.at-what { a.open href=(under("/events", &id)) { (sentence(event)) } }
                td.at-outcome { (self.outcome(&event.outcome)) }
                td.at-index.r.n { (each.index) }
            }
        }
    }

    fn outcome(&self, outcome: &Outcome) -> Markup {
        self.ask.value("outcome", outcome.as_str(), &outcome_word(outcome))
    }
}

/// The outcome as a word, in the colour of its weight.
pub(crate) fn outcome_word(outcome: &Outcome) -> Markup {
    match outcome {
        Outcome::Success => html! { span.q { "success" } },
        Outcome::Failure => html! { span.alarm { "failure" } },
        Outcome::Denied => html! { span.alarm { "denied" } },
        Outcome::Unknown => html! { span.unsure { "unknown" } },
        Outcome::Other(word) => html! { span.unsure { (words::clipped(word, 20)) } },
    }
}
