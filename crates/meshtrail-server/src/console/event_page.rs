//! One event: said, then every member, then its exact bytes, then its proof.

use maud::{Markup, html};
use meshtrail_event::{Json, Timestamp, text};
use serde_json::Value;

use super::ask::{Ask, under};
use super::events_page::outcome_word;
use super::layout::{by_hand, identity_lines, what};
use super::sentence::sentence;
use super::view::EventView;
use super::words;

/// What the page shows.
pub(crate) struct EventPage<'a> {
    pub(crate) view: &'a EventView,
    /// How many events the trail has, for the way to the next.
    pub(crate) size: u64,
    pub(crate) now: Timestamp,
}

/// Members whose value a filter can ask for, by their path in the leaf.
const FILTERS: &[(&str, &str)] = &[
    ("actor.person.login", "actor"),
    ("actor.device.name", "actor"),
    ("target.device.name", "target"),
    ("target.name", "target"),
    ("kind", "kind"),
    ("outcome", "outcome"),
    ("session", "session"),
    ("identity.status", "identity"),
    ("detail.command", "command"),
];

impl EventPage<'_> {
    /// The page's content.
    pub(crate) fn render(&self) -> Markup {
        let event = &self.view.event;
        html! {
            div.with-side {
                section.main {
                    p.crumb {
                        a href="/events" data-back { "Events" } " / "
                        (words::identifier(&event.id.to_string(), 60)) (self.steps())
                    }
                    h1.said { (self.subject()) " " (sentence(event)) }
                    p.when { (words::exact_clock(event.time, self.now)) span.q { " UTC, " (words::ago(event.time, self.now)) } }
                    (self.proof())
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
        match words::name_of(&self.view.event.actor) {
            Some(label) => html! { (words::clipped(&label, 60)) },
            None if words::by_itself(&self.view.event) => html! { "Meshtrail" },
            None => html! { span.unsure { "Somebody not known" } },
        }
    }

    /// The ways to the events before and after it.
    fn steps(&self) -> Markup {
        let at = |index: u64| format!("/events/at/{index}");
        html! {
            span.steps {
                @if let Some(before) = self.view.index.checked_sub(1) { a href=(at(before)) data-earlier { "earlier" } }
                @if self.view.index + 1 < self.size { " " a href=(at(self.view.index + 1)) data-later { "later" } }
            }
        }
    }

    fn proof(&self) -> Markup {
        let id = self.view.event.id.to_string();
        html! {
            section.proof data-proof="event" data-event=(id) data-index=(self.view.index) data-open {
                p.head { b { "Not checked yet" } span { "said to stand in the trail at index " (words::count(self.view.index)) } }
                (by_hand(&id))
            }
        }
    }

    fn side(&self) -> Markup {
        let event = &self.view.event;
        let ask = Ask::new("/events", "");
        html! {
            h2 { "Who" }
            @if words::by_itself(event) {
                p.small { "Meshtrail, by itself." }
            } @else {
                dl { (identity_lines(&event.actor, &event.identity, &ask, self.now)) }
            }
            @if let Some(best) = &self.view.best {
                h2 { "Who, as known now" }
                p.small.unsure { "This became known after the event was written, which stays as it is." }
                dl { (identity_lines(&best.actor, &best.identity, &ask, self.now)) }
            }
            h2 { "What" }
            dl {
                dt { "kind" }
                dd { (ask.value("kind", event.kind.as_str(), &html! { code { (words::foreign(event.kind.as_str())) } })) }
                dt { "outcome" }
                dd { (ask.value("outcome", event.outcome.as_str(), &outcome_word(&event.outcome))) }
                @if !event.target.is_empty() { dt { "target" } dd { (what(&event.target, &ask)) } }
                @if let Some(session) = &event.session {
                    dt { "session" }
                    dd { a href=(under("/sessions", session.as_str())) { (words::clipped(session.as_str(), 34)) } }
                }
            }
            h2 { "When (UTC)" }
            dl {
                dt { "happened" } dd { (words::exact_clock(event.time, self.now)) }
                dt { "received" } dd { (words::exact_clock(event.received, self.now)) }
                dt { "source" } dd { code { (words::foreign(event.id.source.as_str())) } }
                dt { "number" } dd.n { (event.id.sequence) span.q { " of epoch " (event.id.epoch) } }
            }
        }
    }

    fn members(&self) -> Markup {
        let ask = Ask::new("/events", "");
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
                            th scope="row" { code { (words::foreign(path)) } }
                            td { span.value { (words::foreign(value)) } }
                            td.filters { @if let Some((_, field)) = FILTERS.iter().find(|(member, _)| member == path) {
                                a href=(ask.is(field, value)) { "is" } " " a href=(ask.is_not(field, value)) { "is not" }
                            } }
                        }
                    }
                }
            }
        }
    }
}

/// The members of a leaf as paths and values, in its order. Lists of plain values stay on one line.
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
