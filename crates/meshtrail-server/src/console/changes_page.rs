//! What changed in the mesh, as a person would tell it: by day, who did what, how grave it is, who witnessed it.

use maud::{Markup, html};
use meshtrail_event::Timestamp;

use super::ask::{Ask, address, term, under};
use super::diff::diff;
use super::layout::empty;
use super::parts::RANGES;
use super::people_page::FIRST_STEP;
use super::words;
use crate::api::changes::{ChangeView, WitnessView};

/// What the list shows.
pub(crate) struct ChangesPage<'a> {
    pub(crate) ask: &'a Ask,
    /// Only changes as grave as this.
    pub(crate) severity: &'a str,
    /// How far back: `7d`.
    pub(crate) since: &'a str,
    pub(crate) rows: &'a [ChangeView],
    /// From when on everything was read, where there was too much.
    pub(crate) read_since: Option<Timestamp>,
    /// The cursor of what is older.
    pub(crate) next: Option<&'a str>,
    pub(crate) inside: bool,
    pub(crate) now: Timestamp,
}

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

const SEVERITIES: &[(&str, &str)] =
    &[("any weight", ""), ("high", "high"), ("medium and more", "medium"), ("low and more", "low")];

impl ChangesPage<'_> {
    fn to(&self, q: &str, severity: &str, since: &str) -> String {
        let since = if since == "30d" { "" } else { since };
        address("/changes", &[("q", q), ("severity", severity), ("since", since)])
    }

    /// The page's content.
    pub(crate) fn render(&self) -> Markup {
        let asked = self.ask.text.trim();
        html! {
            (self.ask.form())
            h1 { "Changes in the mesh" }
            nav.quick aria-label="Common questions" {
                @for (name, text) in QUICK { a href=(self.to(text, self.severity, self.since)) aria-current=[(asked == *text).then_some("true")] { (name) } }
            }
            div.net-bar {
                nav.quick aria-label="How grave" {
                    @for (name, severity) in SEVERITIES { a href=(self.to(asked, severity, self.since)) aria-current=[(self.severity == *severity).then_some("true")] { (name) } }
                }
                nav.quick aria-label="How far back" {
                    @for (name, _) in RANGES { a href=(self.to(asked, self.severity, name)) aria-current=[(self.since == *name).then_some("true")] { "last " (name) } }
                }
            }
            @if let Some(at) = self.read_since { p.unsure.small { "There were more events than can be read for a page: changes are shown from " (words::clock(at, self.now)) " UTC on." } }
            @if self.rows.is_empty() { (self.nothing()) } @else { (self.days()) }
            (self.pager())
        }
    }

    fn days(&self) -> Markup {
        let day = |row: &ChangeView| row.time.to_string()[..10].to_owned();
        html! {
            @for rows in self.rows.chunk_by(|one, two| day(one) == day(two)) {
                section.day {
                    h2 { time datetime=(day(&rows[0])) { (day(&rows[0])) } " " span.q { (weekday(rows[0].time)) ", UTC · " (words::counted(rows.len() as u64, "change", "changes")) } }
                    ol.changes { @for row in rows { (self.row(row)) } }
                }
            }
        }
    }

    fn row(&self, row: &ChangeView) -> Markup {
        let event = row.witnesses.first().map_or("", |witness| witness.event.as_str());
        html! {
            li id={ "c-" (event) } data-row {
                span.at-time { (words::time_of_day(row.time, self.now)) }
                span.at-severity { (severity(row.severity.as_str())) }
                div.at-what {
                    p.said {
                        span.who { (actor(row)) } " "
                        a.open href=(under("/events", event)) { b { (words::clipped(&row.summary, 240)) } }
                        @if row.outcome != "success" { " " span.alarm { (words::clipped(&row.outcome, 20)) } }
                    }
                    @if row.lines.len() > 1 || row.lines.first().is_some_and(|line| *line != row.summary) {
                        ul.plain { @for line in row.lines.iter().take(40) { li { (words::foreign(line)) } } }
                    }
                    @if let Some(before) = row.not_before { p.q.small { "Nobody saw the moment: it was still as before at " (words::clock(before, self.now)) " UTC." } }
                    @if let Some(text) = &row.diff { (diff(text)) }
                    p.small.q.foot {
                        (self.ask.value("kind", &row.kind, &html! { code { (words::clipped(&row.kind, 28)) } }))
                        (self.about(row)) " · " (witnesses(&row.witnesses))
                        @if !row.parts.is_empty() { " · with it: " (parts(&row.parts)) }
                    }
                }
            }
        }
    }

    /// The device or person it is about, as a link to their page.
    fn about(&self, row: &ChangeView) -> Markup {
        let target = &row.target;
        let device =
            target.device.as_ref().and_then(|device| Some((device.id.as_deref()?, device.name.as_deref())));
        html! {
            @if let Some((id, name)) = device { " · " (super::parts::device(id, name, 28)) }
            @if let Some(person) = &target.person { " · " (super::parts::person(&person.login, 34)) }
        }
    }

    fn nothing(&self) -> Markup {
        if self.ask.mistake.is_some() {
            return html! { p.q { "The filter can't be read, so nothing was searched." } };
        }
        if self.next.is_some() {
            return html! { p.q { "Nothing among what was looked through so far; older changes are left." } };
        }
        if self.ask.text.trim().is_empty() && self.severity.is_empty() {
            return empty(
                "No change yet",
                "Changes come from a control plane: Tailscale or Headscale, asked with a key of its own. Three lines of configuration, then start the server again:",
                Some(FIRST_STEP),
            );
        }
        empty(
            "Nothing matches",
            "No change fits what is asked for. The command line tells all of the last 90 days:",
            Some("meshtrail changes --since 90d"),
        )
    }

    fn pager(&self) -> Markup {
        let asked = self.ask.text.trim();
        html! {
            nav.pager aria-label="Pages of this list" {
                @if self.inside { a rel="prev" href=(self.to(asked, self.severity, self.since)) { "newest" } }
                @match self.next {
                    Some(cursor) => a rel="next" href=(address("/changes", &[("q", asked), ("severity", self.severity), ("since", self.since), ("cursor", cursor)])) { "older" },
                    None => span.q { "That is all there is." },
                }
            }
        }
    }
}

/// Whoever made the change; a change that only a snapshot saw has nobody to name.
fn actor(row: &ChangeView) -> Markup {
    html! {
        @if let Some(person) = &row.actor.person { (super::parts::person(&person.login, 40)) ": " }
        @else if let Some(label) = words::name_of(&row.actor) { (words::clipped(&label, 40)) ": " }
    }
}

/// How grave, as a word with a shape.
fn severity(severity: &str) -> Markup {
    let shape = match severity {
        "critical" | "high" => "high",
        "medium" => "medium",
        _ => "low",
    };
    html! { span class={ "weight " (shape) } { (severity) } }
}

fn witnesses(witnesses: &[WitnessView]) -> Markup {
    html! {
        "seen by "
        @for (at, witness) in witnesses.iter().take(6).enumerate() {
            @if at > 0 { ", " }
            a href=(under("/events", &witness.event)) title=(witness.time) {
                (words::clipped(origin_word(witness.origin.as_deref().unwrap_or_default()), 24)) span.n { " " (witness.index) }
            }
        }
        @if witnesses.len() > 6 { " and " (witnesses.len() - 6) " more" }
    }
}

/// The other records of the same act.
fn parts(parts: &[WitnessView]) -> Markup {
    html! {
        @for (at, part) in parts.iter().take(6).enumerate() {
            @if at > 0 { ", " }
            a href=(under("/events", &part.event)) { (words::clipped(if part.summary.is_empty() { &part.kind } else { &part.summary }, 60)) }
        }
        @if parts.len() > 6 { " and " (parts.len() - 6) " more" }
    }
}

/// An origin in words.
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

/// The filter of the events that tell of changes: everything of the configuration's family but whole snapshots.
const CHANGES: &str = "kind:config.changed,device,user,policy,dns,key,route,billing";

/// The filter of one thing's changes.
pub(crate) fn changes_of(field: &str, value: &str) -> String {
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
