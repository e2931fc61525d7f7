//! The network page: a grid of senders and receivers, then the same traffic as a list with both endpoints' counts.
//!
//! The size of a mark shows the number of bytes, which its label also gives; its outline shows that only one endpoint
//! counted most of them. On a phone only the list is shown, which has the same content.

use maud::{Markup, html};
use meshtrail_event::{Event, Timestamp};
use meshtrail_query::term;
use meshtrail_views::network::{
    CountAgreement, Grid, GridGroup, Grouping, TrafficEdge, TrafficEndpoint, TrafficMatrix,
};

use super::components::{self, short_name};
use super::format;
use super::layout::empty;
use super::page_filter::address;
use super::person_page::recent;

/// The time ranges of the network page, in hours.
pub const NETWORK_RANGES: &[(&str, u64)] = &[("1h", 1), ("24h", 24), ("7d", 168), ("30d", 720)];

/// Most groups in the grid; all others share one more row and column.
const MAX_GROUPS: usize = 30;

/// Lines of the list on a page.
const MAX_LINES: usize = 60;

/// The content of the page.
pub struct NetworkPage<'a> {
    /// All traffic of the time range and layer.
    pub matrix: &'a TrafficMatrix,
    /// The edges that the selection includes, the busiest first.
    pub edges: &'a [&'a TrafficEdge],
    /// What the page's address selects.
    pub selection: &'a NetworkSelection,
    /// The newest flow events between two devices, where the selection is a pair.
    pub flows: &'a [(u64, Event)],
    /// When the page is made.
    pub now: Timestamp,
}

/// What the page's address selects.
#[derive(Debug, Clone)]
pub struct NetworkSelection {
    /// How endpoints are put together.
    pub by: Grouping,
    /// The key of the selected group; empty for all.
    pub of: String,
    /// The key of the group that it exchanged traffic with; empty for all.
    pub with: String,
    /// One layer, or all where it is empty.
    pub layer: String,
    /// The time range: `24h`.
    pub since: &'static str,
    /// Number of lines of the list to skip.
    pub from: usize,
}

/// The links that select a layer: label, and value of `layer`.
pub const LAYERS: &[(&str, &str)] = &[
    ("all layers", ""),
    ("in the mesh", "virtual"),
    ("subnets behind it", "subnet"),
    ("through exit nodes", "exit"),
    ("on the wire", "physical"),
];

impl NetworkSelection {
    /// Whether the selection is two single devices or addresses.
    pub fn is_pair(&self) -> bool {
        let single = |key: &str| key.starts_with("device:") || key.starts_with("address:");
        single(&self.of) && single(&self.with)
    }

    /// The filter for the events of the selection.
    pub fn events(&self) -> String {
        let mut q = "kind:flow".to_owned();
        for key in [&self.of, &self.with] {
            if let Some((field @ ("person" | "device" | "address" | "tag"), value)) = key.split_once(':') {
                q.push_str(&format!(" {}", term(field, value)));
            }
        }
        q.push_str(&format!(" since:{}", self.since));
        q
    }

    /// The address of this selection with a change, from the first line of the list.
    fn address_with(&self, change: impl FnOnce(&mut NetworkSelection)) -> String {
        let mut other = NetworkSelection { from: 0, ..self.clone() };
        change(&mut other);
        other.address()
    }

    fn address(&self) -> String {
        let by = if self.by == Grouping::Person { "" } else { self.by.word() };
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
    pub fn render(&self) -> Markup {
        let total: u64 = self.edges.iter().map(|edge| edge.bytes()).sum();
        html! {
            h1 { "Who talks to whom" (self.selected_groups()) }
            (self.bar())
            @if self.edges.is_empty() { (self.nothing()) } @else {
                p {
                    (format::size(total)) " in "
                    (format::plural(self.edges.len() as u64, "direction", "directions"))
                    span.q { ", " (clock(self.matrix.since)) " to " (clock(self.matrix.until)) " UTC. What a sender counts and what the receiver counts are the same traffic: they stand side by side and are not added up." }
                }
                (self.omissions())
                @if !self.selection.is_pair() { (self.grid()) }
                (self.list())
                (recent(self.flows, &self.selection.events(), self.now))
            }
        }
    }

    /// What the figures leave out.
    fn omissions(&self) -> Markup {
        let (complete_from, omitted_pairs) = (self.matrix.complete_from, self.matrix.omitted_pairs);
        html! {
            @if let Some(at) = complete_from { p.unsure { "Counted back to " (format::clock(at, self.now)) " UTC so far; what is older is being counted. Look again in a moment." } }
            @if omitted_pairs > 0 { p.unsure { (format::plural(omitted_pairs as u64, "pair", "pairs")) " with less traffic than any of these are not shown." } }
        }
    }

    fn selected_groups(&self) -> Markup {
        let selection = self.selection;
        html! {
            @if !selection.of.is_empty() {
                span.as { ": " (self.label(&selection.of)) @if !selection.with.is_empty() { " and " (self.label(&selection.with)) } }
            }
        }
    }

    /// The label of the group with this key.
    fn label(&self, key: &str) -> Markup {
        let endpoints = self.edges.iter().flat_map(|edge| [&edge.from, &edge.to]);
        let groups =
            endpoints.flat_map(|endpoint| Grouping::ALL.iter().flat_map(|(by, _)| by.groups_of(endpoint)));
        match groups.into_iter().find(|group| group.key == key) {
            Some(group) => format::clipped(short_name_of(&group), 40),
            None => format::clipped(key.split_once(':').map_or(key, |(_, rest)| rest), 40),
        }
    }

    fn bar(&self) -> Markup {
        let selection = self.selection;
        html! {
            div.net-bar {
                nav.quick aria-label="Put together" {
                    @for (by, word) in Grouping::ALL { a href=(selection.address_with(|other| other.by = by)) aria-current=[(selection.by == by).then_some("true")] { "by " (word) } }
                }
                nav.quick aria-label="Layer" {
                    @for (name, layer) in LAYERS { a href=(selection.address_with(|other| other.layer = (*layer).to_owned())) aria-current=[(selection.layer == *layer).then_some("true")] { (name) } }
                }
                nav.quick aria-label="How far back" {
                    @for name in NETWORK_RANGES.iter().map(|(name, _)| *name) { a href=(selection.address_with(|other| other.since = name)) aria-current=[(selection.since == name).then_some("true")] { "last " (name) } }
                }
                @if !selection.of.is_empty() { nav.quick aria-label="Out" { a href=(selection.address_with(|other| { other.of.clear(); other.with.clear(); })) { "everybody" } @if !selection.with.is_empty() { a href=(selection.address_with(|other| other.with.clear())) { "all of " (self.label(&selection.of)) } } } }
            }
        }
    }

    fn nothing(&self) -> Markup {
        if !self.matrix.edges.is_empty() {
            return html! { p.q { "No traffic of this sort was reported in this time. " a href="/network" { "Everybody, the last 24 hours" } } };
        }
        empty(
            "No flow in this time",
            "Who talks to whom is known from network flow logs: Tailscale's own, or those that nodes send to this server. What nodes need for that, written to a folder:",
            Some("meshtrail setup flow-logs"),
        )
    }

    fn grid(&self) -> Markup {
        let grid = Grid::of(self.edges, self.selection.by, MAX_GROUPS);
        html! {
            div.matrix-frame {
                table.matrix {
                    caption.unseen { "Who sent how much to whom: senders down, receivers across. The list below says the same." }
                    thead { tr {
                        th scope="col" { span.q { "from ↓ to →" } }
                        @for group in &grid.groups { th scope="col" { span title=(meshtrail_event::text::visible(&group.label)) { (format::clipped(short_name_of(group), 20)) } } }
                    } }
                    tbody { @for from in 0..grid.groups.len() { (self.row(&grid, from)) } }
                }
                p.small.q.legend {
                    span { i.s1 {} "a little" } span { i.s3 {} "more" } span { i.s5 {} (format::size(grid.most)) }
                    span { i.s1b {} span.unsure { "counted by one end alone" } }
                    @if grid.others > 0 { span { "Whoever is not among the busiest " (MAX_GROUPS) " stands together in the last row and column." } }
                    @if self.selection.by == Grouping::Group { span { "Whoever is in several groups counts in each of them." } }
                    @if self.selection.by != Grouping::Device { span { "A device with several tags stands under its first. Choose a name to look into it." } }
                }
                p.small #matrix-said aria-live="polite" {}
            }
        }
    }

    fn row(&self, grid: &Grid, from: usize) -> Markup {
        let group = &grid.groups[from];
        html! {
            tr {
                th scope="row" { @match self.address_of_group(group) {
                    Some(href) => a href=(href) { (format::clipped(short_name_of(group), 30)) },
                    None => span.q { (format::clipped(short_name_of(group), 30)) },
                } }
                @for to in 0..grid.groups.len() {
                    @match grid.cell(from, to).filter(|cell| cell.bytes > 0) {
                        None => td {},
                        Some(cell) => td class=(cell_class(cell.bytes, grid.most, cell.one_sided * 2 > cell.bytes)) {
                            @let label = format!("{} to {}: {}", short_name_of(group), short_name_of(&grid.groups[to]), format::size(cell.bytes));
                            @match self.address_of_pair(group, &grid.groups[to]) {
                                Some(href) => a href=(href) tabindex="-1" aria-label=(meshtrail_event::text::visible(&label)) { i {} },
                                None => i title=(meshtrail_event::text::visible(&label)) {},
                            }
                        },
                    }
                }
            }
        }
    }

    /// The address that selects a group, by device; `None` for the group of others or of unknown endpoints.
    fn address_of_group(&self, group: &GridGroup) -> Option<String> {
        let selectable = !group.key.starts_with("others:") && !group.key.starts_with("unknown:");
        selectable.then(|| {
            self.selection.address_with(|other| {
                other.of.clone_from(&group.key);
                other.with.clear();
                other.by = Grouping::Device;
            })
        })
    }

    /// The address that selects the traffic between two groups.
    fn address_of_pair(&self, from: &GridGroup, to: &GridGroup) -> Option<String> {
        self.address_of_group(from).and(self.address_of_group(to))?;
        Some(self.selection.address_with(|other| {
            other.of.clone_from(&from.key);
            other.with.clone_from(&to.key);
            other.by = Grouping::Device;
        }))
    }

    fn list(&self) -> Markup {
        let from = if self.selection.from < self.edges.len() { self.selection.from } else { 0 };
        let end = (from + MAX_LINES).min(self.edges.len());
        html! {
            h2 { "Most traffic first" }
            table.list.pairs {
                thead { tr {
                    th.c-end scope="col" { "From" } th.c-end scope="col" { "To" } th.c-os scope="col" { "Layer" }
                    th.c-bytes.r scope="col" { "Sender counts" } th.c-bytes.r scope="col" { "Receiver counts" } th scope="col" { "Remarks" } th.c-time scope="col" { "Last (UTC)" }
                } }
                tbody { @for edge in &self.edges[from..end] { (self.line(edge)) } }
            }
            nav.pager aria-label="Pages of this list" {
                @if from > 0 { a rel="prev" href=(self.selection.address_with(|other| other.from = from.saturating_sub(MAX_LINES))) { "more traffic" } }
                @if end < self.edges.len() { a rel="next" href=(self.selection.address_with(|other| other.from = end)) { "less traffic" } }
                span.q { (format::count(from as u64 + 1)) " to " (format::count(end as u64)) " of " (format::count(self.edges.len() as u64)) }
            }
        }
    }

    fn line(&self, edge: &TrafficEdge) -> Markup {
        let (from, to) = (GridGroup::device(&edge.from), GridGroup::device(&edge.to));
        let href = match self.selection.is_pair() {
            true => address("/events", &[("q", &self.selection.events())]),
            false => self.selection.address_with(|other| {
                other.of = from.key;
                other.with = to.key;
                other.by = Grouping::Device;
            }),
        };
        html! {
            tr data-row {
                td.at-pair { (endpoint(&edge.from)) }
                td.at-pair { span.label { "→ " } (endpoint(&edge.to)) }
                td.q.at-layer { (format::clipped(&edge.layer, 12)) }
                td.r.n { a.open href=(href) { span.label { "sent " } (bytes(edge.sent)) } }
                td.r.n { span.label { "received " } (bytes(edge.received)) }
                td.at-know { (agreement(edge)) }
                td.at-time { (format::clock(edge.last, self.now)) }
            }
        }
    }
}

fn short_name_of(group: &GridGroup) -> &str {
    if group.key.starts_with("device:") { short_name(&group.label) } else { &group.label }
}

/// An endpoint: its device, and the owner or first tag.
fn endpoint(endpoint: &TrafficEndpoint) -> Markup {
    html! {
        @match (&endpoint.id, &endpoint.address) {
            (Some(id), _) => (components::device(id, endpoint.name.as_deref(), 26)),
            (None, Some(ip)) => code { (format::clipped(ip, 40)) },
            (None, None) => span.unsure { "not known" },
        }
        @if let Some(tag) = endpoint.tags.first() { " " span.q { (format::clipped(tag, 20)) @if endpoint.tags.len() > 1 { " +" (endpoint.tags.len() - 1) } } }
        @else if let Some(login) = &endpoint.person { " " span.q { (components::person(login, 26)) } }
    }
}

fn bytes(counted: Option<u64>) -> Markup {
    html! { @match counted { Some(counted) => (format::size(counted)), None => span.unsure { "no report" } } }
}

/// How the two counts compare, in words.
fn agreement(edge: &TrafficEdge) -> Markup {
    html! {
        @match edge.agreement() {
            CountAgreement::Agree => span.q { "both ends agree" },
            CountAgreement::Differ(hundredths) => span.unsure { "the ends differ by " (hundredths) " %" },
            CountAgreement::SenderOnly => span.unsure { "only the sender reports" },
            CountAgreement::ReceiverOnly => span.unsure { "only the receiver reports" },
            CountAgreement::ReceiverUndercounts => span.unsure { "the receiver counts only what it sends" },
        }
    }
}

/// The CSS class of a mark: one of five sizes, each for sixteen times the bytes of the one below.
fn cell_class(bytes: u64, most: u64, one_sided: bool) -> String {
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
        assert_eq!(cell_class(most, most, false), "v5");
        assert_eq!(cell_class(most >> 5, most, false), "v4");
        assert_eq!(cell_class(1, most, true), "v1 one");
    }

    #[test]
    fn the_address_says_only_what_is_not_usual() {
        let selection = NetworkSelection {
            by: Grouping::Person,
            of: String::new(),
            with: String::new(),
            layer: String::new(),
            since: "24h",
            from: 60,
        };
        assert_eq!(selection.address_with(|_| {}), "/network");
        let narrowed = selection.address_with(|other| {
            other.by = Grouping::Device;
            other.of = "person:a b".to_owned();
        });
        assert_eq!(narrowed, "/network?by=device&of=person:a%20b");
    }

    #[test]
    fn what_is_looked_at_leads_to_its_events() {
        let selection = NetworkSelection {
            by: Grouping::Device,
            of: "device:n7".to_owned(),
            with: "tag:tag:db".to_owned(),
            layer: String::new(),
            since: "7d",
            from: 0,
        };
        let q = selection.events();
        assert_eq!(q, "kind:flow device:n7 tag:tag:db since:7d");
        meshtrail_query::Filter::parse(&q).unwrap();
    }
}
