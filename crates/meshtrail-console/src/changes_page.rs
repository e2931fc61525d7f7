//! Changes in the mesh, by day: who did what, its severity, and the events that report it.

use maud::{Markup, html};
use meshtrail_api::changes::{ChangeEventView, ChangeView};
use meshtrail_event::Timestamp;
use meshtrail_query::term;

use super::diff::diff;
use super::format;
use super::layout::empty;
use super::page_filter::{PageFilter, address, under};
use super::people_page::FIRST_STEP;
use super::view::RANGES;

/// The content of the page.
pub struct ChangesPage<'a> {
    /// The page's filter.
    pub filter: &'a PageFilter,
    /// The minimum severity; empty for any.
    pub severity: &'a str,
    /// The time range: `7d`.
    pub since: &'a str,
    /// The changes, the newest first.
    pub rows: &'a [ChangeView],
    /// The time from which all events were read, where there were too many.
    pub read_since: Option<Timestamp>,
    /// The cursor of the next, older page.
    pub next: Option<&'a str>,
    /// Whether this page is not the first one.
    pub inside: bool,
    /// When the page is made.
    pub now: Timestamp,
}

/// Common filters, with their labels.
const QUICK: &[(&str, &str)] = &[
    ("everything", ""),
    ("devices", "kind:device"),
    ("people", "kind:user"),
    ("policy", "kind:policy"),
    ("keys", "kind:key"),
    ("routes", "kind:route"),
    ("DNS", "kind:dns"),
    ("settings", "kind:config.changed,billing"),
];

/// Minimum severities, with their labels.
const SEVERITIES: &[(&str, &str)] =
    &[("any weight", ""), ("high", "high"), ("medium and more", "medium"), ("low and more", "low")];

impl ChangesPage<'_> {
    /// The address with this filter, severity and time range.
    fn address(&self, q: &str, severity: &str, since: &str) -> String {
        let since = if since == "30d" { "" } else { since };
        address("/changes", &[("q", q), ("severity", severity), ("since", since)])
    }

    /// The page's content.
    pub fn render(&self) -> Markup {
        let filter = self.filter.text.trim();
        html! {
            (self.filter.form())
            h1 { "Changes in the mesh" }
            nav.quick aria-label="Common questions" {
                @for (name, text) in QUICK { a href=(self.address(text, self.severity, self.since)) aria-current=[(filter == *text).then_some("true")] { (name) } }
            }
            div.net-bar {
                nav.quick aria-label="How grave" {
                    @for (name, severity) in SEVERITIES { a href=(self.address(filter, severity, self.since)) aria-current=[(self.severity == *severity).then_some("true")] { (name) } }
                }
                nav.quick aria-label="How far back" {
                    @for (name, _) in RANGES { a href=(self.address(filter, self.severity, name)) aria-current=[(self.since == *name).then_some("true")] { "last " (name) } }
                }
            }
            @if let Some(at) = self.read_since { p.unsure.small { "There were more events than can be read for a page: changes are shown from " (format::clock(at, self.now)) " UTC on." } }
            @if self.rows.is_empty() { (self.nothing()) } @else { (self.days()) }
            (self.pager())
        }
    }

    fn days(&self) -> Markup {
        let day = |row: &ChangeView| row.time.to_string()[..10].to_owned();
        html! {
            @for rows in self.rows.chunk_by(|one, two| day(one) == day(two)) {
                section.day {
                    h2 { time datetime=(day(&rows[0])) { (day(&rows[0])) } " " span.q { (weekday(rows[0].time)) ", UTC · " (format::plural(rows.len() as u64, "change", "changes")) } }
                    ol.changes { @for row in rows { (self.row(row)) } }
                }
            }
        }
    }

    fn row(&self, row: &ChangeView) -> Markup {
        let event = row.events.first().map_or("", |event| event.event.as_str());
        html! {
            li id={ "c-" (event) } data-row {
                span.at-time { (format::time_of_day(row.time, self.now)) }
                span.at-severity { (severity(row.severity.as_str())) }
                div.at-what {
                    p.said {
                        span.who { (actor(row)) } " "
                        a.open href=(under("/events", event)) { b { (format::clipped(&row.summary, 240)) } }
                        @if row.outcome != "success" { " " span.alarm { (format::clipped(&row.outcome, 20)) } }
                    }
                    @if row.lines.len() > 1 || row.lines.first().is_some_and(|line| *line != row.summary) {
                        ul.plain { @for line in row.lines.iter().take(40) { li { (format::untrusted(line)) } } }
                    }
                    @if let Some(before) = row.not_before { p.q.small { "Nobody saw the moment: it was still as before at " (format::clock(before, self.now)) " UTC." } }
                    @if let Some(text) = &row.diff { (diff(text)) }
                    p.small.q.foot {
                        (self.filter.value_links("kind", &row.kind, &html! { code { (format::clipped(&row.kind, 28)) } }))
                        (self.about(row)) " · " (origins(&row.events))
                        @if !row.parts.is_empty() { " · with it: " (parts(&row.parts)) }
                    }
                }
            }
        }
    }

    /// Links to the device and the person that the change is about.
    fn about(&self, row: &ChangeView) -> Markup {
        let target = &row.target;
        let device =
            target.device.as_ref().and_then(|device| Some((device.id.as_deref()?, device.name.as_deref())));
        html! {
            @if let Some((id, name)) = device { " · " (super::components::device(id, name, 28)) }
            @if let Some(person) = &target.person { " · " (super::components::person(&person.login, 34)) }
        }
    }

    fn nothing(&self) -> Markup {
        if self.filter.error.is_some() {
            return html! { p.q { "The filter can't be read, so nothing was searched." } };
        }
        if self.next.is_some() {
            return html! { p.q { "Nothing among what was looked through so far; older changes are left." } };
        }
        if self.filter.text.trim().is_empty() && self.severity.is_empty() {
            return empty(
                "No change yet",
                "Changes come from a control plane: Tailscale or Headscale, asked with a key of its own. Three lines of configuration, then start the server again:",
                Some(FIRST_STEP),
            );
        }
        empty(
            "Nothing matches",
            "No change fits what is asked for. The command line lists all changes of the last 90 days:",
            Some("meshtrail changes --since 90d"),
        )
    }

    fn pager(&self) -> Markup {
        let filter = self.filter.text.trim();
        html! {
            nav.pager aria-label="Pages of this list" {
                @if self.inside { a rel="prev" href=(self.address(filter, self.severity, self.since)) { "newest" } }
                @match self.next {
                    Some(cursor) => a rel="next" href=(address("/changes", &[("q", filter), ("severity", self.severity), ("since", self.since), ("cursor", cursor)])) { "older" },
                    None => span.q { "That is all there is." },
                }
            }
        }
    }
}

/// The actor of the change; empty where only a snapshot shows the change.
fn actor(row: &ChangeView) -> Markup {
    html! {
        @if let Some(person) = &row.actor.person { (super::components::person(&person.login, 40)) ": " }
        @else if let Some(label) = format::actor_name(&row.actor) { (format::clipped(&label, 40)) ": " }
    }
}

/// The severity as a word with a shape.
fn severity(severity: &str) -> Markup {
    let shape = match severity {
        "critical" | "high" => "high",
        "medium" => "medium",
        _ => "low",
    };
    html! { span class={ "weight " (shape) } { (severity) } }
}

/// The origins of the events that report a change, each as a link to its event.
fn origins(events: &[ChangeEventView]) -> Markup {
    html! {
        "seen by "
        @for (at, event) in events.iter().take(6).enumerate() {
            @if at > 0 { ", " }
            a href=(under("/events", &event.event)) title=(event.time) {
                (format::clipped(origin_word(event.origin.as_deref().unwrap_or_default()), 24)) span.n { " " (event.index) }
            }
        }
        @if events.len() > 6 { " and " (events.len() - 6) " more" }
    }
}

/// The other records of the same operation.
fn parts(parts: &[ChangeEventView]) -> Markup {
    html! {
        @for (at, part) in parts.iter().take(6).enumerate() {
            @if at > 0 { ", " }
            a href=(under("/events", &part.event)) { (format::clipped(if part.summary.is_empty() { &part.kind } else { &part.summary }, 60)) }
        }
        @if parts.len() > 6 { " and " (parts.len() - 6) " more" }
    }
}

/// The label of an origin.
fn origin_word(origin: &str) -> &str {
    match origin {
        "audit-log" => "the audit log",
        "hec" => "the streamed audit log",
        "snapshot" => "a snapshot",
        "webhook" => "a webhook",
        "headscale" => "Headscale",
        "localapi" => "the own node",
        "" => "a sender",
        other => other,
    }
}

const WEEKDAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];

fn weekday(at: Timestamp) -> &'static str {
    WEEKDAYS[usize::try_from(at.as_seconds() / 86_400 % 7).unwrap_or(0)]
}

/// The filter for changes: all kinds of the config family except whole snapshots.
const CHANGES: &str = "kind:config.changed,device,user,policy,dns,key,route,billing";

/// The filter for the changes of one person or device.
pub fn changes_of(field: &str, value: &str) -> String {
    format!("{CHANGES} {}", term(field, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_their_names() {
        assert_eq!(weekday("2026-11-20T23:59:59Z".parse().unwrap()), "Friday");
        assert_eq!(weekday(Timestamp::from_nanos(0)), "Thursday");
    }

    #[test]
    fn the_filter_of_changes_is_one_the_language_reads() {
        meshtrail_query::Filter::parse(&changes_of("device", "n\"7 ")).unwrap();
        for (_, text) in QUICK {
            meshtrail_query::Filter::parse(text).unwrap();
        }
    }
}
