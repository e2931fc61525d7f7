//! Who talks to whom: a square of senders and receivers, then the same as a list with both ends' counts.
//!
//! How much went is told by the size of a mark, and in words by its name; what only one end counted by its outline.
//! On a phone the square gives way to the list, which says all of it.

use maud::{Markup, html};
use meshtrail_event::{Event, Timestamp};

use super::ask::{address, term};
use super::layout::empty;
use super::parts::{self, short_name};
use super::person_page::recent;
use super::words;
use crate::network::{By, End, Grid, Part, Picture, Talk, Trust};

/// Rows and columns of the square, at most; what is beyond stands together in one more.
const SIZE: usize = 30;

/// Lines of the list on a page.
pub(crate) const LINES: usize = 60;

/// What the page shows.
pub(crate) struct NetworkPage<'a> {
    pub(crate) picture: &'a Picture,
    /// What of it was asked for, the most traffic first.
    pub(crate) talks: &'a [&'a Talk],
    pub(crate) asked: &'a Question,
    /// The newest flow events between two devices, where two were asked for.
    pub(crate) flows: &'a [(u64, Event)],
    pub(crate) now: Timestamp,
}

/// What the page's address says.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) by: By,
    /// The part that is looked at, and the one it talks to; empty for everybody.
    pub(crate) of: String,
    pub(crate) with: String,
    /// One layer, or all where it is empty.
    pub(crate) layer: String,
    /// How far back: `24h`.
    pub(crate) since: &'static str,
    /// After so many lines of the list.
    pub(crate) from: usize,
}

const LAYERS: &[(&str, &str)] = &[
    ("all layers", ""),
    ("in the mesh", "virtual"),
    ("subnets behind it", "subnet"),
    ("through exit nodes", "exit"),
    ("on the wire", "physical"),
];

impl Question {
    /// The same question with one thing asked otherwise.
    fn with(&self, change: impl FnOnce(&mut Question)) -> String {
        let mut other = Question { from: 0, ..self.clone() };
        change(&mut other);
        other.address()
    }

    fn address(&self) -> String {
        let by = if self.by == By::Person { "" } else { self.by.word() };
        let from = if self.from == 0 { String::new() } else { self.from.to_string() };
        let since = if self.since == "24h" { "" } else { self.since };
        let parameters = [
            ("by", by),
            ("of", &self.of),
            ("with", &self.with),
            ("layer", &self.layer),
            ("since", since),
            ("from", &from),
        ];
        address("/network", &parameters)
    }
}

impl NetworkPage<'_> {
    /// The page's content.
    pub(crate) fn render(&self) -> Markup {
        let total: u64 = self.talks.iter().map(|talk| talk.bytes()).sum();
        html! {
            h1 { "Who talks to whom" (self.narrowed()) }
            (self.bar())
            @if self.talks.is_empty() { (self.nothing()) } @else {
                p {
                    (words::size(total)) " in "
                    (words::counted(self.talks.len() as u64, "direction", "directions"))
                    span.q { ", " (clock(self.picture.since)) " to " (clock(self.picture.until)) " UTC. What a sender counts and what the receiver counts are the same traffic: they stand side by side and are not added up." }
                }
                (self.undercount())
                @if !(self.is_pair()) { (self.matrix()) }
                (self.list())
                (recent(self.flows, &self.events(), self.now))
            }
        }
    }

    /// What is not in the figures.
    fn undercount(&self) -> Markup {
        let (whole_from, left_out) = (self.picture.whole_from, self.picture.left_out);
        html! {
            @if let Some(at) = whole_from { p.unsure { "Counted back to " (words::clock(at, self.now)) " UTC so far; what is older is being counted. Look again in a moment." } }
            @if left_out > 0 { p.unsure { (words::counted(left_out as u64, "pair", "pairs")) " with less traffic than any of these are not shown." } }
        }
    }

    /// Whether two single devices are looked at.
    pub(crate) fn is_pair(&self) -> bool {
        let single = |key: &str| key.starts_with("device:") || key.starts_with("address:");
        single(&self.asked.of) && single(&self.asked.with)
    }

    fn events(&self) -> String {
        events_between(self.asked)
    }

    fn narrowed(&self) -> Markup {
        let asked = self.asked;
        html! {
            @if !asked.of.is_empty() {
                span.as { ": " (self.label(&asked.of)) @if !asked.with.is_empty() { " and " (self.label(&asked.with)) } }
            }
        }
    }

    /// The name of a part that an address names, as the picture has it.
    fn label(&self, key: &str) -> Markup {
        let ends = self.talks.iter().flat_map(|talk| [&talk.from, &talk.to]);
        let parts = ends.flat_map(|end| By::ALL.iter().flat_map(|(by, _)| by.parts(end)));
        match parts.into_iter().find(|part| part.key == key) {
            Some(part) => words::clipped(short_name_of(&part), 40),
            None => words::clipped(key.split_once(':').map_or(key, |(_, rest)| rest), 40),
        }
    }

    fn bar(&self) -> Markup {
        let asked = self.asked;
        html! {
            div.net-bar {
                nav.quick aria-label="Put together" {
                    @for (by, word) in By::ALL { a href=(asked.with(|ask| ask.by = by)) aria-current=[(asked.by == by).then_some("true")] { "by " (word) } }
                }
                nav.quick aria-label="Layer" {
                    @for (name, layer) in LAYERS { a href=(asked.with(|ask| ask.layer = (*layer).to_owned())) aria-current=[(asked.layer == *layer).then_some("true")] { (name) } }
                }
                nav.quick aria-label="How far back" {
                    @for name in super::mesh_pages::NETWORK_RANGES.iter().map(|(name, _)| *name) { a href=(asked.with(|ask| ask.since = name)) aria-current=[(asked.since == name).then_some("true")] { "last " (name) } }
                }
                @if !asked.of.is_empty() { nav.quick aria-label="Out" { a href=(asked.with(|ask| { ask.of.clear(); ask.with.clear(); })) { "everybody" } @if !asked.with.is_empty() { a href=(asked.with(|ask| ask.with.clear())) { "all of " (self.label(&asked.of)) } } } }
            }
        }
    }

    fn nothing(&self) -> Markup {
        if !self.picture.talks.is_empty() {
            return html! { p.q { "No traffic of this sort was reported in this time. " a href="/network" { "Everybody, the last 24 hours" } } };
        }
        empty(
            "No flow in this time",
            "Who talks to whom is told by network flow logs: Tailscale's own, or those that nodes send to this server. What nodes need for that, written to a folder:",
            Some("meshtrail setup flow-logs"),
        )
    }

    fn matrix(&self) -> Markup {
        let grid = Grid::of(self.talks, self.asked.by, SIZE);
        html! {
            div.matrix-frame {
                table.matrix {
                    caption.unseen { "Who sent how much to whom: senders down, receivers across. The list below says the same." }
                    thead { tr {
                        th scope="col" { span.q { "from ↓ to →" } }
                        @for part in &grid.parts { th scope="col" { span title=(meshtrail_event::text::visible(&part.label)) { (words::clipped(short_name_of(part), 20)) } } }
                    } }
                    tbody { @for from in 0..grid.parts.len() { (self.row(&grid, from)) } }
                }
                p.small.q.legend {
                    span { i.s1 {} "a little" } span { i.s3 {} "more" } span { i.s5 {} (words::size(grid.most)) }
                    span { i.s1b {} span.unsure { "counted by one end alone" } }
                    @if grid.others > 0 { span { "Whoever is not among the busiest " (SIZE) " stands together in the last row and column." } }
                    @if self.asked.by == By::Group { span { "Whoever is in several groups counts in each of them." } }
                    @if self.asked.by != By::Device { span { "A device with several tags stands under its first. Choose a name to look into it." } }
                }
                p.small #matrix-said aria-live="polite" {}
            }
        }
    }

    fn row(&self, grid: &Grid, from: usize) -> Markup {
        let part = &grid.parts[from];
        html! {
            tr {
                th scope="row" { @match self.look_into(part) {
                    Some(href) => a href=(href) { (words::clipped(short_name_of(part), 30)) },
                    None => span.q { (words::clipped(short_name_of(part), 30)) },
                } }
                @for to in 0..grid.parts.len() {
                    @match grid.cell(from, to).filter(|cell| cell.bytes > 0) {
                        None => td {},
                        Some(cell) => td class=(weight(cell.bytes, grid.most, cell.one_sided * 2 > cell.bytes)) {
                            @let said = format!("{} to {}: {}", short_name_of(part), short_name_of(&grid.parts[to]), words::size(cell.bytes));
                            @match self.between(part, &grid.parts[to]) {
                                Some(href) => a href=(href) tabindex="-1" aria-label=(meshtrail_event::text::visible(&said)) { i {} },
                                None => i title=(meshtrail_event::text::visible(&said)) {},
                            }
                        },
                    }
                }
            }
        }
    }

    /// Looking into a part: its devices, and whom they talk to.
    fn look_into(&self, part: &Part) -> Option<String> {
        let named = !part.key.starts_with("others:") && !part.key.starts_with("unknown:");
        named.then(|| {
            self.asked.with(|ask| {
                ask.of.clone_from(&part.key);
                ask.with.clear();
                ask.by = By::Device;
            })
        })
    }

    /// Looking at what went between two parts.
    fn between(&self, from: &Part, to: &Part) -> Option<String> {
        self.look_into(from).and(self.look_into(to))?;
        Some(self.asked.with(|ask| {
            ask.of.clone_from(&from.key);
            ask.with.clone_from(&to.key);
            ask.by = By::Device;
        }))
    }

    fn list(&self) -> Markup {
        let from = if self.asked.from < self.talks.len() { self.asked.from } else { 0 };
        let end = (from + LINES).min(self.talks.len());
        html! {
            h2 { "Most traffic first" }
            table.list.pairs {
                thead { tr {
                    th.c-end scope="col" { "From" } th.c-end scope="col" { "To" } th.c-os scope="col" { "Layer" }
                    th.c-bytes.r scope="col" { "Sender counts" } th.c-bytes.r scope="col" { "Receiver counts" } th scope="col" { "To know" } th.c-time scope="col" { "Last (UTC)" }
                } }
                tbody { @for talk in &self.talks[from..end] { (self.line(talk)) } }
            }
            nav.pager aria-label="Pages of this list" {
                @if from > 0 { a rel="prev" href=(self.asked.with(|ask| ask.from = from.saturating_sub(LINES))) { "more traffic" } }
                @if end < self.talks.len() { a rel="next" href=(self.asked.with(|ask| ask.from = end)) { "less traffic" } }
                span.q { (words::count(from as u64 + 1)) " to " (words::count(end as u64)) " of " (words::count(self.talks.len() as u64)) }
            }
        }
    }

    fn line(&self, talk: &Talk) -> Markup {
        let (from, to) = (Part::device(&talk.from), Part::device(&talk.to));
        let href = match self.is_pair() {
            true => address("/events", &[("q", &self.events())]),
            false => self.asked.with(|ask| {
                ask.of = from.key;
                ask.with = to.key;
                ask.by = By::Device;
            }),
        };
        html! {
            tr data-row {
                td.at-pair { (end(&talk.from)) }
                td.at-pair { span.label { "→ " } (end(&talk.to)) }
                td.q.at-layer { (words::clipped(&talk.layer, 12)) }
                td.r.n { a.open href=(href) { span.label { "sent " } (bytes(talk.sent)) } }
                td.r.n { span.label { "received " } (bytes(talk.received)) }
                td.at-know { (trust(talk)) }
                td.at-time { (words::clock(talk.last, self.now)) }
            }
        }
    }
}

/// The filter that finds the events behind what is asked for.
pub(crate) fn events_between(asked: &Question) -> String {
    let mut q = "kind:flow".to_owned();
    for key in [&asked.of, &asked.with] {
        match key.split_once(':') {
            Some(("person", login)) => q.push_str(&format!(" {}", term("person", login))),
            Some((sort @ ("device" | "address" | "tag"), value)) => {
                q.push_str(&format!(" {}", term(sort, value)))
            }
            _ => {}
        }
    }
    q.push_str(&format!(" since:{}", asked.since));
    q
}

fn short_name_of(part: &Part) -> &str {
    if part.key.starts_with("device:") { short_name(&part.label) } else { &part.label }
}

/// An end of traffic: its device, and whose it is.
fn end(end: &End) -> Markup {
    html! {
        @match (&end.id, &end.address) {
            (Some(id), _) => (parts::device(id, end.name.as_deref(), 26)),
            (None, Some(ip)) => code { (words::clipped(ip, 40)) },
            (None, None) => span.unsure { "not known" },
        }
        @if let Some(tag) = end.tags.first() { " " span.q { (words::clipped(tag, 20)) @if end.tags.len() > 1 { " +" (end.tags.len() - 1) } } }
        @else if let Some(login) = &end.person { " " span.q { (parts::person(login, 26)) } }
    }
}

fn bytes(counted: Option<u64>) -> Markup {
    html! { @match counted { Some(counted) => (words::size(counted)), None => span.unsure { "no report" } } }
}

/// How the two counts stand to each other, in words.
fn trust(talk: &Talk) -> Markup {
    html! {
        @match talk.trust() {
            Trust::BothAgree => span.q { "both ends agree" },
            Trust::Differ(hundredths) => span.unsure { "the ends differ by " (hundredths) " %" },
            Trust::SenderOnly => span.unsure { "only the sender reports" },
            Trust::ReceiverOnly => span.unsure { "only the receiver reports" },
            Trust::ReceiverBlind => span.unsure { "the receiver counts only what it sends" },
        }
    }
}

/// The size of a mark: five steps by powers, so that small traffic is seen beside large.
fn weight(bytes: u64, most: u64, one_sided: bool) -> String {
    let (bytes, most) = (bytes.max(1).ilog2(), most.max(2).ilog2());
    let step = 5 - most.saturating_sub(bytes).div_euclid(4).min(4);
    format!("v{step}{}", if one_sided { " one" } else { "" })
}

fn clock(at: Timestamp) -> String {
    at.to_string()[..16].replace('T', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_traffic_is_seen_beside_large() {
        let most = 1 << 40;
        assert_eq!(weight(most, most, false), "v5");
        assert_eq!(weight(most >> 5, most, false), "v4");
        assert_eq!(weight(1, most, true), "v1 one");
    }

    #[test]
    fn the_address_says_only_what_is_not_usual() {
        let asked = Question {
            by: By::Person,
            of: String::new(),
            with: String::new(),
            layer: String::new(),
            since: "24h",
            from: 60,
        };
        assert_eq!(asked.with(|_| {}), "/network");
        let narrowed = asked.with(|ask| {
            ask.by = By::Device;
            ask.of = "person:a b".to_owned();
        });
        assert_eq!(narrowed, "/network?by=device&of=person:a%20b");
    }

    #[test]
    fn what_is_looked_at_leads_to_its_events() {
        let asked = Question {
            by: By::Device,
            of: "device:n7".to_owned(),
            with: "tag:tag:db".to_owned(),
            layer: String::new(),
            since: "7d",
            from: 0,
        };
        let q = events_between(&asked);
        assert_eq!(q, "kind:flow device:n7 tag:tag:db since:7d");
        meshtrail_query::Filter::parse(&q).unwrap();
    }
}
