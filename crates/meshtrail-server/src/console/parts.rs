//! Parts that the pages about the mesh share: links to people and devices, counts, stretches of time, ranges.

use maud::{Markup, html};
use meshtrail_event::{Timestamp, text};

use super::ask::{address, term, under};
use super::words;
use crate::mesh::{Counted, Often, Stretch};

/// The stretches of time a page can look back over.
pub(crate) const RANGES: &[(&str, u64)] = &[("24h", 1), ("7d", 7), ("30d", 30), ("90d", 90)];

/// Links that choose a stretch of time; `keep` are the address's other parameters.
pub(crate) fn ranges(path: &str, chosen: &str, keep: &[(&str, &str)]) -> Markup {
    html! {
        nav.quick aria-label="How far back" {
            @for (name, _) in RANGES {
                @let mut parameters = keep.to_vec();
                @let () = parameters.push(("since", name));
                a href=(address(path, &parameters)) aria-current=[(chosen == *name).then_some("true")] { "last " (name) }
            }
        }
    }
}

/// A person's page, by login.
pub(crate) fn person(login: &str, columns: usize) -> Markup {
    html! { a href=(under("/people", login)) { (words::clipped(login, columns)) } }
}

/// A device's page, by id, under the name a person reads.
pub(crate) fn device(id: &str, name: Option<&str>, columns: usize) -> Markup {
    let shown = short_name(name.unwrap_or(id));
    html! { a href=(under("/devices", id)) title=[name.map(text::visible)] { (words::clipped(shown, columns)) } }
}

/// The first label of a full name.
pub(crate) fn short_name(name: &str) -> &str {
    match name.parse::<std::net::IpAddr>() {
        Ok(_) => name,
        Err(_) => name.split('.').next().filter(|first| !first.is_empty()).unwrap_or(name),
    }
}

/// An owner as text: a login, or tags.
pub(crate) fn owner(owner: Option<&str>, tags: &[&str]) -> Markup {
    html! {
        @if !tags.is_empty() { (tag_row(tags, 2)) }
        @else if let Some(login) = owner { (person(login, 34)) }
        @else { span.unsure { "not known" } }
    }
}

/// Tags, the first `most`; a count of the rest, which names them in its title.
pub(crate) fn tag_row(tags: &[&str], most: usize) -> Markup {
    let (shown, rest) = tags.split_at(most.min(tags.len()));
    html! {
        @for tag in shown {
            span.tag { a href=(address("/devices", &[("q", tag)])) { (words::clipped(tag, 24)) } } " "
        }
        @if !rest.is_empty() { span.q title=(text::visible(&rest.join(" "))) { "+" (rest.len()) } }
    }
}

/// Every tag; those past the first few are folded away.
pub(crate) fn all_tags(tags: &[&str]) -> Markup {
    let (first, rest) = tags.split_at(tags.len().min(6));
    html! {
        (tag_row(first, first.len()))
        @if !rest.is_empty() { details { summary { (rest.len()) " more" } (tag_row(rest, rest.len())) } }
    }
}

/// What a row of a list of counts leads to.
#[derive(Clone, Copy)]
pub(crate) enum Leads {
    /// To events where this field has the value, beside the page's own term.
    Field(&'static str),
    /// To the person's page.
    Person,
    /// To the device's page, where an id is known.
    Device,
}

/// Values by how often they came, each a way to its events.
pub(crate) fn counted(title: &str, counted: &Counted, base: &str, leads: Leads) -> Markup {
    let most = counted.top.first().map_or(1, |often| often.events.max(1));
    html! {
        @if !counted.top.is_empty() {
            section.counted {
                h2 { (title) }
                ul {
                    @for often in &counted.top {
                        li {
                            (bar(often.events, most))
                            (lead(often, base, leads))
                            a.n.many href=(events_of(often, base, leads)) title={ "last " (often.last) } { (words::count(often.events)) }
                        }
                    }
                }
                @if counted.others > 0 { p.q.small { "and " (words::counted(counted.others as u64, "other", "others")) } }
            }
        }
    }
}

fn lead(often: &Often, base: &str, leads: Leads) -> Markup {
    match leads {
        Leads::Person => html! { span.what { (person(&often.value, 34)) } },
        Leads::Device if often.id.is_some() => {
            html! { span.what { (device(often.id.as_deref().unwrap_or_default(), Some(&often.value), 34)) } }
        }
        _ => {
            html! { span.what { a href=(events_of(often, base, leads)) { (words::clipped(&often.value, 34)) } } }
        }
    }
}

fn events_of(often: &Often, base: &str, leads: Leads) -> String {
    let field = match leads {
        Leads::Field(field) => field,
        Leads::Person => "person",
        Leads::Device => "device",
    };
    let value =
        often.id.as_deref().filter(|_| !matches!(leads, Leads::Field("kind"))).unwrap_or(&often.value);
    address("/events", &[("q", &format!("{base} {}", term(field, value)))])
}

/// A bar behind a count; its length says the same as the number beside it.
fn bar(of: u64, most: u64) -> Markup {
    let percent = (of * 100).div_ceil(most).clamp(1, 100);
    html! { svg.bar-of aria-hidden="true" preserveAspectRatio="none" viewBox="0 0 100 1" { rect width=(percent) height="1" {} } }
}

/// How a property was over time, newest first.
pub(crate) fn history(stretches: &[Stretch], now: Timestamp) -> Markup {
    html! {
        table.list.history {
            thead { tr { th scope="col" { "What" } th.c-value scope="col" { "Value" } th scope="col" { "From (UTC)" } th scope="col" { "Until (UTC)" } th scope="col" { "Told by" } } }
            tbody {
                @for stretch in stretches {
                    tr.over[stretch.until.is_some()] {
                        td.q { (words::clipped(if stretch.what == "there" { "in the mesh" } else { &stretch.what }, 24)) }
                        td.at-value { (value(stretch)) }
                        td.at-from { span.label { "from " } (moment(stretch.from, "before that is not known", now)) }
                        td.at-until { span.label { "until " } (moment(stretch.until, "now", now)) }
                        td.q.at-by { (words::clipped(&stretch.by, 24)) }
                    }
                }
            }
        }
    }
}

fn value(stretch: &Stretch) -> Markup {
    if stretch.value.is_empty() {
        return html! { span.q { "none" } };
    }
    match stretch.what.as_str() {
        "whose" if stretch.value.contains('@') => person(&stretch.value, 60),
        "addresses" | "routes in force" => html! { code { (words::foreign(&stretch.value)) } },
        _ => words::clipped(&stretch.value, 140),
    }
}

/// An instant, or words for its absence.
pub(crate) fn moment(at: Option<Timestamp>, absent: &str, now: Timestamp) -> Markup {
    match at {
        Some(at) => words::clock(at, now),
        None => html! { span.q { (absent) } },
    }
}

/// How old the word that something is connected may be to be taken for now.
const FRESH: std::time::Duration = std::time::Duration::from_secs(15 * 60);

/// When something was seen last, or that it is there now.
pub(crate) fn seen(online: Option<bool>, last_seen: Option<Timestamp>, now: Timestamp) -> Markup {
    match last_seen {
        Some(at) if online == Some(true) && now.since(at) < FRESH => {
            html! { span.state.connected { "online" } }
        }
        at => html! { span.label { "seen " } (moment(at, "not told", now)) },
    }
}

/// A page of a list that is kept in memory: which rows, and the way to the next.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slice {
    pub(crate) from: usize,
    pub(crate) all: usize,
}

/// Rows on a page of people or devices.
pub(crate) const ROWS: usize = 100;

impl Slice {
    /// The rows from `from` on of a list of `all`.
    pub(crate) fn new(from: usize, all: usize) -> Slice {
        Slice { from: if from < all { from } else { 0 }, all }
    }

    /// Where its rows stand in the list.
    pub(crate) fn range(self) -> std::ops::Range<usize> {
        self.from..(self.from + ROWS).min(self.all)
    }

    /// Links to the pages around it.
    pub(crate) fn pager(self, path: &str, keep: &[(&str, &str)]) -> Markup {
        let to = |from: usize| {
            let from = from.to_string();
            let mut parameters = keep.to_vec();
            parameters.push(("from", if from == "0" { "" } else { &from }));
            address(path, &parameters)
        };
        let end = self.range().end;
        html! {
            nav.pager aria-label="Pages of this list" {
                @if self.from > 0 { a rel="prev" href=(to(self.from.saturating_sub(ROWS))) { "earlier rows" } }
                @if end < self.all { a rel="next" href=(to(end)) { "further rows" } }
                span.q { (words::count(self.from as u64 + 1)) " to " (words::count(end as u64)) " of " (words::count(self.all as u64)) }
            }
        }
    }
}

/// A box that finds by a part of what is shown; `keep` stays as it is.
pub(crate) fn finder(path: &str, text: &str, hint: &str, keep: &[(&str, &str)]) -> Markup {
    html! {
        form.find action=(path) method="get" role="search" {
            label.sign for="q" { "/" }
            input #q type="search" name="q" value=(text) autocomplete="off" autocapitalize="off" spellcheck="false"
                aria-label="Find" placeholder=(hint) maxlength="200";
            @for (name, value) in keep.iter().filter(|(_, value)| !value.is_empty()) { input type="hidden" name=(name) value=(value); }
            @if !text.trim().is_empty() { a.clear href=(address(path, keep)) { "clear" } }
            button type="submit" { "Find" }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_in_memory_is_turned_page_by_page_and_never_past_its_end() {
        assert_eq!(Slice::new(0, 250).range(), 0..100);
        assert_eq!(Slice::new(200, 250).range(), 200..250);
        assert_eq!(Slice::new(900, 250).range(), 0..100);
        assert_eq!(Slice::new(0, 0).range(), 0..0);
        let pager = Slice::new(100, 250).pager("/people", &[("q", "a b")]).into_string();
        assert!(pager.contains("href=\"/people?q=a%20b\"") && pager.contains("from=200"), "{pager}");
    }

    #[test]
    fn an_address_is_no_name_to_be_shortened() {
        assert_eq!(short_name("web-1.tail.example"), "web-1");
        assert_eq!(short_name("100.64.0.7"), "100.64.0.7");
    }
}
