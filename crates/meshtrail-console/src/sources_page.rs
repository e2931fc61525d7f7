//! The page of all sources: last contact, lag, rate, gaps, and what to do about a source in trouble.

use std::time::Duration;

use maud::{Markup, html};
use meshtrail_api::sources::{GapView, SourceState, SourceView};
use meshtrail_event::Timestamp;
use meshtrail_event::text::sentence_case;
use meshtrail_query::{quote, term};

use super::format;
use super::layout::empty;
use super::page_filter::address;

/// The content of the page.
pub struct SourcesPage<'a> {
    /// Every source, by name.
    pub sources: &'a [SourceView],
    /// When the page is made.
    pub now: Timestamp,
}

impl SourcesPage<'_> {
    /// The page's content.
    pub fn render(&self) -> Markup {
        let is_wrong = |state: &SourceState| matches!(state, SourceState::Silent | SourceState::Trouble);
        let wrong = self.sources.iter().filter(|source| is_wrong(&source.state)).count();
        html! {
            h1 { "Sources" }
            @if self.sources.is_empty() { (nothing()) } @else {
                p {
                    (format::plural(self.sources.len() as u64, "source", "sources"))
                    @if wrong == 0 { span.q { ", none in trouble" } }
                    @else { ", " span.unsure { (format::plural(wrong as u64, "does", "do")) " not work or " (if wrong == 1 { "is" } else { "are" }) " silent" } }
                    span.q { ". Numbers are since the server's start; what is missing from before stands in the trail: " a href=(address("/events", &[("q", "kind:meshtrail.source_gap,meshtrail.source_silent")])) { "gaps and silences" } "." }
                }
                (self.table())
            }
        }
    }

    fn table(&self) -> Markup {
        html! {
            table.list.sources {
                thead { tr {
                    th.c-state scope="col" { "State" } th.c-name scope="col" { "Source" } th.c-time scope="col" { "Last heard (UTC)" }
                    th.c-lag.r scope="col" { "Behind" } th.c-rate.r scope="col" { "Per second" } th.c-size.r scope="col" { "Events" } th.c-size.r scope="col" { "Gaps" } th scope="col" { "Remarks" }
                } }
                tbody { @for source in self.sources { (self.row(source)) } }
            }
        }
    }

    fn row(&self, source: &SourceView) -> Markup {
        html! {
            tr id={ "s-" (source.name) } data-row {
                td.at-state { (state(&source.state)) }
                td.at-name { a.open href=(address("/events", &[("q", &events_of(&source.name))])) { (format::clipped(&source.name, 32)) } }
                td.at-time { span.label { "heard " } (super::components::moment(source.last_heard, "not yet", self.now)) }
                td.at-lag.r { span.label { "behind " } @match source.lag_ms { Some(lag) => (format::duration(Duration::from_millis(lag))), None => span.q { "–" } } }
                td.at-rate.r.n { (rate(source.rate)) span.label { " per second" } }
                td.at-size.r.n { (format::count(source.events)) span.label { " events" } }
                td.at-gaps.r.n { @if source.gaps > 0 { span.unsure { (format::count(source.gaps)) } } @else { "0" } span.label { " gaps" } }
                td.at-know { (self.remarks(source)) }
            }
        }
    }

    fn remarks(&self, source: &SourceView) -> Markup {
        html! {
            @if let Some(trouble) = &source.trouble { p.unsure { (format::untrusted(&sentence_case(trouble))) } p.q { (next_step(trouble)) } }
            @else if source.state == SourceState::Silent {
                p.unsure { "Silent" @if let Some(heard) = source.last_heard { " since " (format::clock(heard, self.now)) " UTC" } ". " }
                p.q { @if let Some(every) = source.every { "It should be heard every " (format::duration(Duration::from_secs(every))) ". " } "Look whether what sends it runs, and reaches this server." }
            } @else if source.state == SourceState::Waiting {
                p.q { "Nothing came yet." @if let Some(every) = source.every { " It is asked every " (format::duration(Duration::from_secs(every))) "." } }
            }
            @for unseen in &source.unseen { @if let Some(since) = unseen.since { p.unsure {
                "Not visible: " (unseen.part) ", since " (format::clock(since, self.now)) " UTC; what was seen then still stands. "
                (format::untrusted(&sentence_case(&unseen.reason)))
            } } }
            @if !source.recent_gaps.is_empty() { (self.gaps(source)) }
        }
    }

    fn gaps(&self, source: &SourceView) -> Markup {
        html! {
            details {
                summary.unsure { "what was missed" }
                ul.plain { @for gap in source.recent_gaps.iter().rev() { li { (self.gap(gap)) } } }
                p { a href=(address("/events", &[("q", &format!("kind:meshtrail.source_gap {}", quote(&source.name)))])) { "All of them, in the trail" } }
            }
        }
    }

    fn gap(&self, gap: &GapView) -> Markup {
        html! {
            (format::untrusted(&gap.reason))
            @if let (Some(first), Some(last)) = (gap.first, gap.last) { ": " (format::clock(first, self.now)) " to " (format::clock(last, self.now)) " UTC" }
        }
    }
}

/// The filter for a source's events, whose source is the trail's name and its own, or its own alone.
fn events_of(name: &str) -> String {
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    if plain { format!("source:*{name}") } else { term("source", name) }
}

/// A state as a word with a shape.
fn state(state: &SourceState) -> Markup {
    let shape = match state {
        SourceState::Connected => "connected",
        SourceState::Silent => "interrupted",
        SourceState::Trouble => "failed",
        _ => "ended",
    };
    html! { span class={ "state " (shape) } { (state.as_str()) } }
}

fn rate(per_second: f64) -> String {
    match per_second {
        rate if rate <= 0.0 => "0".to_owned(),
        rate if rate < 0.05 => "under 0.1".to_owned(),
        rate if rate < 100.0 => format!("{rate:.1}"),
        rate => format!("{rate:.0}"),
    }
}

/// What to do next, by the words of the trouble.
fn next_step(trouble: &str) -> &'static str {
    let trouble = trouble.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| trouble.contains(word));
    if has(&["401", "unauthori", "invalid key", "bad token", "api key"]) {
        "Its key is not taken: make a new one in the control plane, put it into the configured file, and start the server again."
    } else if has(&["403", "forbidden", "scope"]) {
        "Its key may not ask this: give it the read scopes that docs/sources.md lists."
    } else if has(&["429", "rate limit", "too many"]) {
        "It is asked again when the other side allows it; nothing is lost meanwhile."
    } else if has(&["refused", "dns", "resolve", "unreachable", "timed out", "timeout", "connect"]) {
        "Look whether the address in the configuration is right and reachable from here; it is tried again by itself."
    } else if has(&["certificate", "tls"]) {
        "Look at the certificate and its authority; docs/sources.md says which file is read."
    } else {
        "It is tried again by itself. The server's log has the whole chain of causes."
    }
}

fn nothing() -> Markup {
    empty(
        "No source yet",
        "Recordings need a listener, events need a sender's token, a control plane needs a table in the configuration. To begin with the recorder:",
        Some("meshtrail serve --recorder-listen tailscale:80"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_comes_with_what_to_do_next() {
        assert!(next_step("the API answered 401 Unauthorized").contains("new one"));
        assert!(next_step("connection refused").contains("reachable"));
        assert!(next_step("something else").contains("log"));
    }

    #[test]
    fn a_source_leads_to_its_events_under_whichever_trail_they_stand() {
        assert_eq!(events_of("tailscale.audit"), "source:*tailscale.audit");
        for name in ["tailscale.audit", "odd name", "a*b\"c"] {
            meshtrail_query::Filter::parse(&events_of(name)).unwrap();
        }
    }

    #[test]
    fn a_slow_source_is_not_shown_as_a_still_one() {
        assert_eq!(
            (rate(0.0), rate(0.01), rate(1.25), rate(2_000.4)),
            ("0".into(), "under 0.1".into(), "1.2".into(), "2000".into())
        );
    }
}
