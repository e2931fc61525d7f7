//! The page of one event: its sentence, every member, its exact bytes, and its proof.

use maud::{Markup, html};
use meshtrail_api::policy::DiffAnswer;
use meshtrail_event::rule::Rule;
use meshtrail_event::{Detail, Event, Finding, Json, Kind, Position, Timestamp, text};
use serde_json::Value;

use super::events_page::outcome_word;
use super::format;
use super::layout::{identity_lines, target_line, verify_hint};
use super::page_filter::{PageFilter, under};
use super::policy_effect::policy_effect;
use super::sentence::sentence;
use super::view::EventView;

/// The content of the page.
pub struct EventPage<'a> {
    /// The event.
    pub view: &'a EventView,
    /// The size of the trail, for the link to the next event.
    pub size: u64,
    /// Of a change of the policy: what it opened and closed, or why that can't be told.
    pub effect: Option<Result<&'a DiffAnswer, &'a str>>,
    /// When the page is made.
    pub now: Timestamp,
}

/// Filter fields of leaf members, by the member's path.
const FILTERS: &[(&str, &str)] = &[
    ("actor.person.login", "actor"),
    ("actor.device.name", "actor"),
    ("target.device.name", "target"),
    ("target.name", "target"),
    ("kind", "kind"),
    ("outcome", "outcome"),
    ("session", "session"),
    ("identity.status", "identity"),
    ("identity.provider", "by"),
    ("target.namespace", "namespace"),
    ("target.cluster", "cluster"),
    ("detail.command", "command"),
    ("detail.executable", "executable"),
    ("detail.rule", "rule"),
    ("detail.severity", "severity"),
    ("detail.status", "status"),
    ("detail.subject.id", "subject"),
    ("detail.subject.type", "subject"),
];

impl EventPage<'_> {
    /// The page's content.
    pub fn render(&self) -> Markup {
        let event = &self.view.event;
        html! {
            div.with-side {
                section.main {
                    p.crumb {
                        a href="/events" data-back { "Events" } " / "
                        (format::identifier(&event.id.to_string(), 60)) (self.steps())
                    }
                    h1.said { (self.subject()) " " (sentence(event)) }
                    p.when { (format::exact_clock(event.time, self.now)) span.q { " UTC, " (format::ago(event.time, self.now)) } }
                    @if let Some(Detail::Finding(finding)) = &event.detail { @if let Some(summary) = &finding.summary { p { (format::untrusted(summary)) } } }
                    (self.proof())
                    @if let Some(effect) = self.effect { (policy_effect(effect)) }
                    h2 { "Every member" }
                    (self.members())
                    h2 { "The leaf" }
                    p.small.q { "These bytes, exactly, are what the trail proves: RFC 8785 canonical JSON." }
                    pre.leaf data-leaf tabindex="0" aria-label="Leaf as canonical JSON" { (text::visible(&self.view.leaf)) }
                }
                aside { (self.side()) }
            }
        }
    }

    fn subject(&self) -> Markup {
        match format::actor_name(&self.view.event.actor) {
            // The actor of a finding is whoever did what it is about.
            _ if self.view.event.kind == Kind::FindingRaised => html! { "A rule" },
            Some(label) => html! { (format::clipped(&label, 60)) },
            None if format::is_own_action(&self.view.event) => html! { "Meshtrail" },
            None => html! { span.unsure { "Somebody not known" } },
        }
    }

    /// Links to the previous and the next event of the trail.
    fn steps(&self) -> Markup {
        let index = self.view.position.index;
        let at = |index: u64| format!("/events/at/{}", Position { index, ..self.view.position.clone() });
        html! {
            span.steps {
                @if let Some(before) = index.checked_sub(1) { a href=(at(before)) data-earlier { "earlier" } }
                @if index + 1 < self.size { " " a href=(at(index + 1)) data-later { "later" } }
            }
        }
    }

    fn proof(&self) -> Markup {
        let (id, index) = (self.view.event.id.to_string(), self.view.position.index);
        html! {
            section.proof data-proof="event" data-event=(id) data-index=(index) data-open {
                p.head { b { "Not checked yet" } span { "claimed to be in the trail at index " (format::count(index)) } }
                (verify_hint(&id))
            }
        }
    }

    fn side(&self) -> Markup {
        let event = &self.view.event;
        let filter = PageFilter::new("/events", "");
        html! {
            h2 { "Who" }
            @if format::is_own_action(event) {
                p.small { "Meshtrail, by itself." }
            } @else {
                dl { (identity_lines(&event.actor, &event.identity, &filter, self.now)) }
            }
            @if let Some(best) = &self.view.best_known {
                h2 { "Who, as known now" }
                p.small.unsure { "This became known after the event was written, which stays as it is." }
                dl { (identity_lines(&best.actor, &best.identity, &filter, self.now)) }
            }
            h2 { "What" }
            dl {
                dt { "kind" }
                dd { (filter.value_links("kind", event.kind.as_str(), &html! { code { (format::untrusted(event.kind.as_str())) } })) }
                dt { "outcome" }
                dd { (filter.value_links("outcome", event.outcome.as_str(), &outcome_word(&event.outcome))) }
                @if !event.target.is_empty() { dt { "target" } dd { (target_line(&event.target, &filter)) } }
                @if let Some(session) = &event.session {
                    dt { "session" }
                    dd { a href=(under("/sessions", session.as_str())) { (format::clipped(session.as_str(), 34)) } }
                }
            }
            @if let Some(Detail::Finding(finding)) = &event.detail { (self.finding(finding, &filter)) }
            (intake_notes(event))
            h2 { "When (UTC)" }
            dl {
                dt { "happened" }
                dd {
                    (format::exact_clock(event.time, self.now))
                    @if let Some(unread) = &event.time_unread {
                        br; span.small.unsure { "when it was received: its own time can't be read, " (format::untrusted(unread)) }
                    }
                }
                dt { "received" } dd { (format::exact_clock(event.received, self.now)) }
                dt { "source" } dd { code { (format::untrusted(event.id.source.as_str())) } }
                dt { "number" } dd.n { (event.id.sequence) span.q { " of epoch " (event.id.epoch) } }
            }
        }
    }

    /// A finding's own members, and what it does not prove.
    fn finding(&self, finding: &Finding, filter: &PageFilter) -> Markup {
        let link = |field: &str, value: &str| filter.value_links(field, value, &format::untrusted(value));
        let rule = finding.rule.as_deref();
        html! {
            h2 { "Finding" }
            dl {
                @if let Some(severity) = &finding.severity { dt { "severity" } dd { (link("severity", severity.as_str())) } }
                @if let Some(status) = &finding.status { dt { "status" } dd { (link("status", status.as_str())) } }
                @if let Some(rule) = rule { dt { "rule" } dd { (link("rule", rule)) } }
                @if let Some(subject) = &finding.subject {
                    dt { (format::untrusted(&subject.of_type)) } dd { (link("subject", &subject.id)) }
                }
                @if let Some(count) = finding.count { dt { "rests on" } dd { (format::plural(count, "event", "events")) } }
                @if let Some(first) = finding.first_time { dt { "first" } dd { (format::exact_clock(first, self.now)) } }
                @if let Some(last) = finding.last_time { dt { "last" } dd { (format::exact_clock(last, self.now)) } }
                @for id in finding.finding.iter().chain(&finding.events).take(5) {
                    dt { @if finding.finding.as_ref() == Some(id) { "finding" } @else { "event" } }
                    dd { a href=(under("/events", &id.to_string())) { (format::identifier(&id.to_string(), 34)) } }
                }
            }
            @if let Some(rule) = rule.and_then(Rule::by_name) {
                p.small { b { "What it does not prove. " } (rule.does_not_prove) }
            }
        }
    }

    fn members(&self) -> Markup {
        let filter = PageFilter::new("/events", "");
        let mut rows = Vec::new();
        match serde_json::from_str::<Value>(&self.view.leaf) {
            Ok(leaf) => flatten(&leaf, &mut String::new(), &mut rows),
            Err(_) => return html! { p.alarm { "The leaf is not JSON." } },
        }
        html! {
            table.members {
                thead { tr { th scope="col" { "Member" } th scope="col" { "Value" } th scope="col" { "Filter" } } }
                tbody {
                    @for (path, value) in &rows {
                        tr {
                            th scope="row" { code { (format::untrusted(path)) } }
                            td { span.value { (format::untrusted(value)) } }
                            td.filters { @if let Some((_, field)) = FILTERS.iter().find(|(member, _)| member == path) {
                                a href=(filter.including(field, value)) { "is" } " " a href=(filter.excluding(field, value)) { "is not" }
                            } }
                        }
                    }
                }
            }
        }
    }
}

/// What was noticed as the event was taken in.
fn intake_notes(event: &Event) -> Markup {
    html! {
        @if let Some(id) = &event.repeat_of {
            p.small.unsure {
                "The same was sent before, as " a href=(under("/events", &id.to_string())) { (format::identifier(&id.to_string(), 34)) }
                "; nothing says that this is a retry, so both count."
            }
        }
        @if !event.repaired.is_empty() {
            p.small.unsure { "Text that could not be kept as it came was repaired: " (format::untrusted(&event.repaired.join(", "))) }
        }
    }
}

/// The members of a leaf as paths and values, in the leaf's order. Lists of strings stay on one line.
fn flatten(value: &Value, path: &mut String, rows: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, member) in members {
                let length = path.len();
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(name);
                flatten(member, path, rows);
                path.truncate(length);
            }
        }
        Value::String(text) => rows.push((path.clone(), text.clone())),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            let texts: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
            rows.push((path.clone(), texts.join(", ")));
        }
        other => rows.push((path.clone(), Json::from(other).text().to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_listed_by_path_in_the_order_of_the_leaf() {
        let leaf = serde_json::json!({"a": {"b": "x", "c": ["y", "z"]}, "d": 7, "e": {}});
        let mut rows = Vec::new();
        flatten(&leaf, &mut String::new(), &mut rows);
        let rows: Vec<_> = rows.iter().map(|(path, value)| (path.as_str(), value.as_str())).collect();
        assert_eq!(rows, [("a.b", "x"), ("a.c", "y, z"), ("d", "7"), ("e", "{}")]);
    }
}
