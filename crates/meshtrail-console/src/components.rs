//! Fragments that the pages about the mesh share: links to people and devices, counts, property history, time ranges.

use maud::{Markup, html};
use meshtrail_api::directory::{PropertyPeriod, TopValues, ValueCount};
use meshtrail_event::{Timestamp, text};
use meshtrail_query::term;

use super::format;
use super::page_filter::{address, under};
use super::view::RANGES;

/// Links that select a time range; `parameters` are the other parameters of the address.
pub(crate) fn ranges(path: &str, chosen: &str, parameters: &[(&str, &str)]) -> Markup {
    html! {
        nav.quick aria-label="How far back" {
            @for (name, _) in RANGES {
                @let mut parameters = parameters.to_vec();
                @let () = parameters.push(("since", name));
                a href=(address(path, &parameters)) aria-current=[(chosen == *name).then_some("true")] { "last " (name) }
            }
        }
    }
}

/// A link to a person's page.
pub(crate) fn person(login: &str, columns: usize) -> Markup {
    html! { a href=(under("/people", login)) { (format::clipped(login, columns)) } }
}

/// A link to a device's page, labelled with its short name.
pub(crate) fn device(id: &str, name: Option<&str>, columns: usize) -> Markup {
    let shown = short_name(name.unwrap_or(id));
    html! { a href=(under("/devices", id)) title=[name.map(text::visible)] { (format::clipped(shown, columns)) } }
}

/// The first label of a full name; an IP address is not shortened.
pub(crate) fn short_name(name: &str) -> &str {
    match name.parse::<std::net::IpAddr>() {
        Ok(_) => name,
        Err(_) => name.split('.').next().filter(|first| !first.is_empty()).unwrap_or(name),
    }
}

/// The owner of a device: a login, or tags.
pub(crate) fn owner(owner: Option<&str>, tags: &[&str]) -> Markup {
    html! {
        @if !tags.is_empty() { (tag_row(tags, 2)) }
        @else if let Some(login) = owner { (person(login, 34)) }
        @else { span.unsure { "not known" } }
    }
}

/// The first `most` tags, and the number of others with their names as its title.
pub(crate) fn tag_row(tags: &[&str], most: usize) -> Markup {
    let (shown, rest) = tags.split_at(most.min(tags.len()));
    html! {
        @for tag in shown {
            span.tag { a href=(address("/devices", &[("q", tag)])) { (format::clipped(tag, 24)) } } " "
        }
        @if !rest.is_empty() { span.q title=(text::visible(&rest.join(" "))) { "+" (rest.len()) } }
    }
}

/// All tags; those after the first few are folded.
pub(crate) fn all_tags(tags: &[&str]) -> Markup {
    let (first, rest) = tags.split_at(tags.len().min(6));
    html! {
        (tag_row(first, first.len()))
        @if !rest.is_empty() { details { summary { (rest.len()) " more" } (tag_row(rest, rest.len())) } }
    }
}

/// The target of a row's link in a list of value counts.
#[derive(Clone, Copy)]
pub(crate) enum RowLink {
    /// Events where this field has the value and the page's own filter matches.
    Field(&'static str),
    /// The person's page.
    Person,
    /// The device's page, where the id is known.
    Device,
}

/// A list of values with their counts; each count links to the events.
pub(crate) fn value_counts(title: &str, values: &TopValues, base: &str, link: RowLink) -> Markup {
    let most = values.top.first().map_or(1, |value| value.events.max(1));
    html! {
        @if !values.top.is_empty() {
            section.counted {
                h2 { (title) }
                ul {
                    @for value in &values.top {
                        li {
                            (bar(value.events, most))
                            (row_label(value, base, link))
                            a.n.many href=(events_of(value, base, link)) title={ "last " (value.last) } { (format::count(value.events)) }
                        }
                    }
                }
                @if values.others > 0 { p.q.small { "and " (format::plural(values.others as u64, "other", "others")) } }
            }
        }
    }
}

fn row_label(value: &ValueCount, base: &str, link: RowLink) -> Markup {
    match link {
        RowLink::Person => html! { span.what { (person(&value.value, 34)) } },
        RowLink::Device if value.id.is_some() => {
            html! { span.what { (device(value.id.as_deref().unwrap_or_default(), Some(&value.value), 34)) } }
        }
        _ => {
            html! { span.what { a href=(events_of(value, base, link)) { (format::clipped(&value.value, 34)) } } }
        }
    }
}

fn events_of(value: &ValueCount, base: &str, link: RowLink) -> String {
    let field = match link {
        RowLink::Field(field) => field,
        RowLink::Person => "person",
        RowLink::Device => "device",
    };
    let value =
        value.id.as_deref().filter(|_| !matches!(link, RowLink::Field("kind"))).unwrap_or(&value.value);
    address("/events", &[("q", &format!("{base} {}", term(field, value)))])
}

/// A bar behind a count, with a length proportional to it.
fn bar(of: u64, most: u64) -> Markup {
    let percent = (of * 100).div_ceil(most).clamp(1, 100);
    html! { svg.bar-of aria-hidden="true" preserveAspectRatio="none" viewBox="0 0 100 1" { rect width=(percent) height="1" {} } }
}

/// A table of property periods.
pub(crate) fn history(periods: &[PropertyPeriod], now: Timestamp) -> Markup {
    html! {
        table.list.history {
            thead { tr { th scope="col" { "What" } th.c-value scope="col" { "Value" } th scope="col" { "From (UTC)" } th scope="col" { "Until (UTC)" } th scope="col" { "Reported by" } } }
            tbody {
                @for period in periods {
                    tr.over[period.until.is_some()] {
                        td.q { (format::clipped(if period.what == "there" { "in the mesh" } else { &period.what }, 24)) }
                        td.at-value { (value(period)) }
                        td.at-from { span.label { "from " } (moment(period.from, "before that is not known", now)) }
                        td.at-until { span.label { "until " } (moment(period.until, "now", now)) }
                        td.q.at-by { (format::clipped(&period.by, 24)) }
                    }
                }
            }
        }
    }
}

fn value(period: &PropertyPeriod) -> Markup {
    if period.value.is_empty() {
        return html! { span.q { "none" } };
    }
    match period.what.as_str() {
        "whose" if period.value.contains('@') => person(&period.value, 60),
        "addresses" | "routes in force" => html! { code { (format::untrusted(&period.value)) } },
        _ => format::clipped(&period.value, 140),
    }
}

/// An instant, or the text `absent`.
pub(crate) fn moment(at: Option<Timestamp>, absent: &str, now: Timestamp) -> Markup {
    match at {
        Some(at) => format::clock(at, now),
        None => html! { span.q { (absent) } },
    }
}

/// Age up to which a report that a device is connected counts as current.
const ONLINE_MAX_AGE: std::time::Duration = std::time::Duration::from_secs(15 * 60);

/// Whether a person or device is online, else when it was seen last.
pub(crate) fn describe_presence(
    online: Option<bool>,
    last_seen: Option<Timestamp>,
    now: Timestamp,
) -> Markup {
    match last_seen {
        Some(at) if online == Some(true) && now.since(at) < ONLINE_MAX_AGE => {
            html! { span.state.connected { "online" } }
        }
        at => html! { span.label { "seen " } (moment(at, "not told", now)) },
    }
}

/// A page of a list in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slice {
    from: usize,
    all: usize,
}

/// Rows on a page of people or devices.
const ROWS: usize = 100;

impl Slice {
    /// The page from row `from` of a list of `all` rows; the first page where `from` is past the end.
    pub(crate) fn new(from: usize, all: usize) -> Slice {
        Slice { from: if from < all { from } else { 0 }, all }
    }

    /// The range of its rows in the list.
    pub(crate) fn range(self) -> std::ops::Range<usize> {
        self.from..(self.from + ROWS).min(self.all)
    }

    /// Links to the previous and the next page.
    pub(crate) fn pager(self, path: &str, parameters: &[(&str, &str)]) -> Markup {
        let to = |from: usize| {
            let from = from.to_string();
            let mut parameters = parameters.to_vec();
            parameters.push(("from", if from == "0" { "" } else { &from }));
            address(path, &parameters)
        };
        let end = self.range().end;
        html! {
            nav.pager aria-label="Pages of this list" {
                @if self.from > 0 { a rel="prev" href=(to(self.from.saturating_sub(ROWS))) { "earlier rows" } }
                @if end < self.all { a rel="next" href=(to(end)) { "further rows" } }
                span.q { (format::count(self.from as u64 + 1)) " to " (format::count(end as u64)) " of " (format::count(self.all as u64)) }
            }
        }
    }
}

/// A search box for text in the rows; `parameters` are the other parameters of the address.
pub(crate) fn finder(path: &str, text: &str, hint: &str, parameters: &[(&str, &str)]) -> Markup {
    html! {
        form.find action=(path) method="get" role="search" {
            label.sign for="q" { "/" }
            input #q type="search" name="q" value=(text) autocomplete="off" autocapitalize="off" spellcheck="false"
                aria-label="Find" placeholder=(hint) maxlength="200";
            @for (name, value) in parameters.iter().filter(|(_, value)| !value.is_empty()) { input type="hidden" name=(name) value=(value); }
            @if !text.trim().is_empty() { a.clear href=(address(path, parameters)) { "clear" } }
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
