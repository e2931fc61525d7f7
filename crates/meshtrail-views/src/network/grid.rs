//! Traffic edges grouped by person, group, tag or device into a grid, the busiest groups first.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::edges::{CountAgreement, TrafficEdge, TrafficEndpoint};

/// The property by which endpoints are grouped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grouping {
    /// By the device's owner: a login, or the first tag.
    Person,
    /// By the owner's groups: somebody in several counts in each. Tagged devices by the first tag.
    Group,
    /// By the first tag; devices of people form one group.
    Tag,
    /// Each device is a group.
    Device,
}

impl Grouping {
    /// Every grouping, with its name in the page's address.
    pub const ALL: [(Grouping, &'static str); 4] = [
        (Grouping::Person, "person"),
        (Grouping::Group, "group"),
        (Grouping::Tag, "tag"),
        (Grouping::Device, "device"),
    ];

    /// The grouping of this name; `Person` for any other text.
    pub fn named(word: &str) -> Grouping {
        Grouping::ALL.iter().find(|(_, name)| *name == word).map_or(Grouping::Person, |(by, _)| *by)
    }

    /// The name in the page's address.
    pub fn word(self) -> &'static str {
        Grouping::ALL.iter().find(|(by, _)| *by == self).map_or("person", |(_, name)| name)
    }

    /// The groups that an endpoint belongs to: one, except for a person in several groups.
    pub fn groups_of(self, endpoint: &TrafficEndpoint) -> Vec<GridGroup> {
        let group = |group: &Arc<str>| GridGroup::new("group", group, group.trim_start_matches("group:"));
        let group = match (self, endpoint.tags.first(), &endpoint.person) {
            (Grouping::Device, ..) => GridGroup::device(endpoint),
            (_, Some(tag), _) => GridGroup::new("tag", tag, tag),
            (Grouping::Person, None, Some(login)) => GridGroup::new("person", login, login),
            (Grouping::Group, None, Some(_)) if endpoint.groups.is_empty() => {
                GridGroup::new("ungrouped", "", "in no group")
            }
            (Grouping::Group, None, Some(_)) => return endpoint.groups.iter().map(group).collect(),
            (Grouping::Tag, None, Some(_)) => GridGroup::new("people", "", "people's devices"),
            (Grouping::Person | Grouping::Group, None, None) => GridGroup::device(endpoint),
            (Grouping::Tag, None, None) => GridGroup::new("unknown", "", "not known"),
        };
        vec![group]
    }
}

/// Endpoints that share a row and a column of the grid.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GridGroup {
    /// Identifies the group in the page's address: `person:alice@example.com`, `tag:tag:db`.
    pub key: String,
    /// Its name for people.
    pub label: String,
}

impl GridGroup {
    fn new(prefix: &str, value: &str, label: &str) -> GridGroup {
        GridGroup { key: format!("{prefix}:{value}"), label: label.to_owned() }
    }

    /// The group of a single device or address.
    pub fn device(endpoint: &TrafficEndpoint) -> GridGroup {
        match (&endpoint.id, &endpoint.address) {
            (Some(id), _) => GridGroup::new("device", id, endpoint.name.as_deref().unwrap_or(id)),
            (None, Some(address)) => GridGroup::new("address", address, address),
            (None, None) => GridGroup::new("unknown", "", "not known"),
        }
    }
}

/// Whether an endpoint belongs to the group with this key.
fn belongs_to(endpoint: &TrafficEndpoint, key: &str) -> bool {
    let has_key = |by: Grouping| by.groups_of(endpoint).iter().any(|group| group.key == key);
    match key.split_once(':') {
        Some(("person", login)) => {
            endpoint.tags.is_empty()
                && endpoint.person.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(login))
        }
        Some(("device" | "address", _)) => has_key(Grouping::Device),
        Some(("group" | "ungrouped", _)) => has_key(Grouping::Group),
        _ => has_key(Grouping::Tag),
    }
}

/// The edges between the groups with the keys `of` and `with`, in either direction; an empty key matches everything.
pub fn edges_between<'a>(edges: &'a [TrafficEdge], of: &str, with: &str) -> Vec<&'a TrafficEdge> {
    let within = |endpoint: &TrafficEndpoint, key: &str| key.is_empty() || belongs_to(endpoint, key);
    let between = |one: &TrafficEndpoint, two: &TrafficEndpoint| within(one, of) && within(two, with);
    edges.iter().filter(|edge| between(&edge.from, &edge.to) || between(&edge.to, &edge.from)).collect()
}

/// The traffic from one group to another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cell {
    /// As [`TrafficEdge::bytes`].
    pub bytes: u64,
    /// The part of `bytes` that only one endpoint reported.
    pub one_sided: u64,
}

/// How much each of the busiest groups sent to every other.
pub struct Grid {
    /// The busiest first; where there are more than fit, the last one stands for all others.
    pub groups: Vec<GridGroup>,
    /// How many groups the last one stands for; 0 where each stands for itself.
    pub others: usize,
    cells: HashMap<(usize, usize), Cell>,
    /// The largest cell, in bytes.
    pub most: u64,
}

impl Grid {
    /// A grid of at most `size` groups and one for the others.
    pub fn of(edges: &[&TrafficEdge], by: Grouping, size: usize) -> Grid {
        let mut volume: HashMap<GridGroup, u64> = HashMap::new();
        for edge in edges {
            for group in [&edge.from, &edge.to].into_iter().flat_map(|endpoint| by.groups_of(endpoint)) {
                *volume.entry(group).or_default() += edge.bytes();
            }
        }
        let mut groups: Vec<(GridGroup, u64)> = volume.into_iter().collect();
        groups.sort_by(|one, two| two.1.cmp(&one.1).then_with(|| one.0.cmp(&two.0)));
        let others = groups.len().saturating_sub(size);
        groups.truncate(size);
        let mut groups: Vec<GridGroup> = groups.into_iter().map(|(group, _)| group).collect();
        let positions: HashMap<GridGroup, usize> = groups.iter().cloned().zip(0..).collect();
        let rest = groups.len();
        if others > 0 {
            groups.push(GridGroup::new("others", "", &format!("{others} others")));
        }
        let mut grid = Grid { groups, others, cells: HashMap::new(), most: 0 };
        for edge in edges {
            // Several groups of one person that are among the others share one position.
            let at = |endpoint: &TrafficEndpoint| -> BTreeSet<usize> {
                by.groups_of(endpoint)
                    .iter()
                    .map(|group| positions.get(group).copied().unwrap_or(rest))
                    .collect()
            };
            let (from, to) = (at(&edge.from), at(&edge.to));
            for position in from.iter().flat_map(|from| to.iter().map(move |to| (*from, *to))) {
                grid.add(position, edge);
            }
        }
        grid
    }

    fn add(&mut self, position: (usize, usize), edge: &TrafficEdge) {
        let cell = self.cells.entry(position).or_default();
        cell.bytes = cell.bytes.saturating_add(edge.bytes());
        if matches!(edge.agreement(), CountAgreement::SenderOnly | CountAgreement::ReceiverOnly) {
            cell.one_sided = cell.one_sided.saturating_add(edge.bytes());
        }
        self.most = self.most.max(cell.bytes);
    }

    /// What one group sent to another.
    pub fn cell(&self, from: usize, to: usize) -> Option<Cell> {
        self.cells.get(&(from, to)).copied()
    }
}

#[cfg(test)]
mod tests {
    use meshtrail_event::Timestamp;

    use super::*;

    fn endpoint(id: &str, person: Option<&str>, tags: &[&str]) -> Arc<TrafficEndpoint> {
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        Arc::new(TrafficEndpoint {
            id: Some(id.to_owned()),
            person: person.map(str::to_owned),
            tags,
            ..TrafficEndpoint::default()
        })
    }

    fn edge(from: &Arc<TrafficEndpoint>, to: &Arc<TrafficEndpoint>, sent: u64) -> TrafficEdge {
        let (from, to) = (from.clone(), to.clone());
        TrafficEdge {
            from,
            to,
            layer: "virtual".to_owned(),
            sent: Some(sent),
            received: None,
            receiver_undercounts: false,
            last: Timestamp::default(),
        }
    }

    #[test]
    fn a_tagged_device_stands_under_its_tag_and_never_under_the_person_who_registered_it() {
        let server = endpoint("n1", Some("alice@example.com"), &["tag:db"]);
        assert_eq!(Grouping::Person.groups_of(&server)[0].key, "tag:tag:db");
        assert!(!belongs_to(&server, "person:alice@example.com"));
        assert!(belongs_to(&server, "tag:tag:db") && belongs_to(&server, "device:n1"));
    }

    #[test]
    fn the_busiest_come_first_and_the_rest_are_one_part_that_loses_nothing() {
        let hub = endpoint("hub", None, &["tag:hub"]);
        let people: Vec<_> =
            (0..50).map(|n| endpoint(&format!("n{n}"), Some(&format!("p{n}")), &[])).collect();
        let edges: Vec<TrafficEdge> =
            people.iter().zip(1..).map(|(one, bytes)| edge(one, &hub, bytes)).collect();
        let all: Vec<&TrafficEdge> = edges.iter().collect();
        let grid = Grid::of(&all, Grouping::Person, 10);
        assert_eq!((grid.groups.len(), grid.others), (11, 41));
        assert_eq!((grid.groups[0].label.as_str(), grid.groups[1].label.as_str()), ("tag:hub", "p49"));
        let sum: u64 = (0..11).filter_map(|from| grid.cell(from, 0)).map(|cell| cell.bytes).sum();
        assert_eq!(sum, (1..=50).sum::<u64>());
    }

    #[test]
    fn somebody_in_several_groups_counts_in_each_and_nobody_counts_twice_in_one() {
        let groups = |all: &[&str]| all.iter().map(|group| Arc::from(*group)).collect();
        let of = |id: &str, all: &[&str]| {
            let groups = groups(all);
            Arc::new(TrafficEndpoint {
                id: Some(id.to_owned()),
                person: Some(id.to_owned()),
                groups,
                ..TrafficEndpoint::default()
            })
        };
        let (both, one, none) = (of("a", &["group:eng", "group:sre"]), of("b", &["group:eng"]), of("c", &[]));
        let edges = [edge(&both, &one, 5), edge(&none, &one, 2)];
        let sum = |of: &str| edges_between(&edges, of, "").iter().map(|edge| edge.bytes()).sum::<u64>();
        assert_eq!((sum("group:group:sre"), sum("group:group:eng"), sum("ungrouped:")), (5, 7, 2));
        let all: Vec<&TrafficEdge> = edges.iter().collect();
        let grid = Grid::of(&all, Grouping::Group, 10);
        let position = |label: &str| grid.groups.iter().position(|group| group.label == label).unwrap();
        let bytes =
            |from: &str, to: &str| grid.cell(position(from), position(to)).map_or(0, |cell| cell.bytes);
        assert_eq!((bytes("eng", "eng"), bytes("sre", "eng"), bytes("in no group", "eng")), (5, 5, 2));
        let squeezed = Grid::of(&all, Grouping::Group, 0);
        assert_eq!(squeezed.cell(0, 0).unwrap().bytes, 7, "groups that stand together count once");
    }

    #[test]
    fn talks_between_two_parts_are_those_of_both_directions() {
        let (a, b, c) =
            (endpoint("a", Some("x"), &[]), endpoint("b", None, &["tag:t"]), endpoint("c", Some("y"), &[]));
        let edges = [edge(&a, &b, 1), edge(&b, &a, 2), edge(&a, &c, 4)];
        let sum = |of: &str, with: &str| {
            edges_between(&edges, of, with).iter().map(|edge| edge.bytes()).sum::<u64>()
        };
        assert_eq!(sum("person:x", "tag:tag:t"), 3);
        assert_eq!(sum("tag:tag:t", ""), 3);
        assert_eq!(sum("", ""), 7);
    }
}
