//! The timeline: all events, with counts over time and by value.

use maud::{Markup, html};
use meshtrail_event::{Outcome, Timestamp};

use super::events_counts::CountsView;
use super::format;
use super::layout::{empty, event_actor, pager};
use super::page_filter::{PageFilter, address, under};
use super::sentence::sentence;
use super::view::{EventView, Paging};

/// The content of the page.
pub struct EventsPage<'a> {
    /// The page's filter.
    pub filter: &'a PageFilter,
    /// The events, in the order of the list.
    pub events: &'a [EventView],
    /// `None` where the filter can't be parsed.
    pub counts: Option<&'a CountsView<'a>>,
    /// The position of this page in the list.
    pub paging: &'a Paging,
    /// Whether the reader may export events.
    pub may_export: bool,
    /// When the page is made.
    pub now: Timestamp,
}

/// Time ranges up to now: label, and value of `since:`.
const RANGES: &[(&str, &str)] =
    &[("1 h", "1h"), ("24 h", "24h"), ("7 days", "7d"), ("30 days", "30d"), ("all time", "")];

/// Common filter terms, which are added to the filter.
const QUICK: &[(&str, &str)] = &[
    ("sessions", "kind:ssh.session"),
    ("not successful", "-outcome:success"),
    ("who is in doubt", "identity:conflicting,self-reported"),
    ("who looked", "kind:meshtrail.viewed,meshtrail.exported"),
];

impl EventsPage<'_> {
    /// The page's content.
    pub fn render(&self) -> Markup {
        html! {
            h1.unseen { "Timeline" }
            (self.filter.form())
            (self.quick())
            // Nothing to count: everything was searched and nothing found, or the filter can't be parsed.
            @if self.events.is_empty() && (self.counts.is_none() || self.paging.next.is_none()) { (self.nothing()) } @else {
                div.timeline {
                    @if let Some(counts) = self.counts { (counts.facets()) }
                    div.main {
                        @if let Some(counts) = self.counts { (counts.histogram()) }
                        @if self.events.is_empty() { (self.nothing()) } @else { (self.table()) (pager(self.filter, self.paging)) }
                    }
                }
            }
        }
    }

    fn quick(&self) -> Markup {
        html! {
            nav.quick aria-label="Time and common questions" {
                @for (name, since) in RANGES {
                    a href=(self.filter.with_times(since, "")) aria-current=[self.is_range(since).then_some("true")] { (name) }
                }
                span.apart {}
                @for (name, term) in QUICK {
                    @let chosen = self.filter.has_term(term);
                    a href=(if chosen { self.filter.without_term(term) } else { self.filter.with_term(term) }) aria-current=[chosen.then_some("true")] { (name) }
                }
                span.apart {}
                button.tail type="button" data-follow data-tail hidden[true] { "follow live " kbd { "f" } }
                @if self.may_export && self.filter.error.is_none() {
                    a href=(address("/exports", &[("filter", self.filter.text.trim())])) { "export" }
                }
                a.down href="#facets" { "narrow down ↓" }
            }
        }
    }

    fn is_range(&self, since: &str) -> bool {
        match since {
            "" => !self.filter.text.contains("since:") && !self.filter.text.contains("until:"),
            since => self.filter.has_term(&format!("since:{since}")) && !self.filter.text.contains("until:"),
        }
    }

    fn nothing(&self) -> Markup {
        if self.filter.error.is_some() {
            return html! { p.q { "The filter can't be read, so nothing was searched." } };
        }
        if self.paging.next.is_some() {
            return html! {
                p.q data-goes-on role="status" { "Nothing among the events looked through so far; older ones are left." }
                (pager(self.filter, self.paging))
            };
        }
        if self.filter.text.trim().is_empty() {
            let command = "curl -H \"Authorization: Bearer $TOKEN\" -d @events.json http://127.0.0.1:7411/api/v1/events";
            return empty(
                "No events yet",
                "Sources send them, recordings make them. By hand, with a token of role sender:",
                Some(command),
            );
        }
        let command = format!("meshtrail events query {}", super::format::shell_word(&self.filter.text));
        empty(
            "Nothing matches",
            "No event matches this filter. The command line asks the same:",
            Some(&command),
        )
    }

    fn table(&self) -> Markup {
        let oldest = self.filter.parameters.iter().any(|(name, value)| *name == "order" && value == "oldest");
        let live = !oldest && !self.paging.inside;
        let (other_order, sign, word) =
            if oldest { ("", "↑", "ascending") } else { ("oldest", "↓", "descending") };
        html! {
            table.events data-tail-rows[live] {
                thead { tr {
                    th.c-time scope="col" aria-sort=(word) {
                        a href=(self.filter.with_parameter("order", other_order)) title="by when it came into the trail; the other way round" { "Time (UTC) " span aria-hidden="true" { (sign) } }
                    }
                    th.c-kind scope="col" { "Kind" } th.c-who scope="col" { "Who" }
                    th scope="col" { "What" } th.c-outcome scope="col" { "Outcome" } th.c-index.r scope="col" { "Index" }
                } }
                tbody { @for each in self.events { (self.row(each)) } }
            }
        }
    }

    fn row(&self, each: &EventView) -> Markup {
        let event = each.best_known();
        let id = event.id.to_string();
        let (kind, index) = (event.kind.as_str(), each.position.index);
        html! {
            tr id={ "e" (index) } data-position=(each.position) data-row {
                td.at-time { (format::exact_clock(event.time, self.now)) }
                td.at-kind { (self.filter.value_links("kind", kind, &html! { code.q { (format::clipped(kind, 28)) } })) }
                td.at-who { (event_actor(event, self.filter)) (late_identity_note(each)) }
                td.at-what { a.open href=(under("/events", &id)) { (sentence(event)) } }
                td.at-outcome { (self.outcome(&event.outcome)) }
                td.at-index.r.n { (index) }
            }
        }
    }

    fn outcome(&self, outcome: &Outcome) -> Markup {
        self.filter.value_links("outcome", outcome.as_str(), &outcome_word(outcome))
    }
}

/// The outcome as a word, in the colour of its severity.
pub(crate) fn outcome_word(outcome: &Outcome) -> Markup {
    match outcome {
        Outcome::Success => html! { span.q { "success" } },
        Outcome::Failure => html! { span.alarm { "failure" } },
        Outcome::Denied => html! { span.alarm { "denied" } },
        Outcome::Unknown => html! { span.unsure { "unknown" } },
        Outcome::Other(word) => html! { span.unsure { (format::clipped(word, 20)) } },
    }
}

/// A note that the identity became known late, with what was known when the event was written.
fn late_identity_note(each: &EventView) -> Markup {
    if each.best_known.is_none() {
        return html! {};
    }
    let then = format::actor_name(&each.event.actor).unwrap_or_else(|| "nobody".to_owned());
    html! { " " span.unsure.why title={ "known then: " (meshtrail_event::text::visible(&then)) } { "learned later" } }
}
