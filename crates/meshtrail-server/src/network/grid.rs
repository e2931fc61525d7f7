//! Talks put together by person, group, tag or device, and ordered by how much went.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::talks::{End, Talk, Trust};

/// By what ends are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// By whose the device is: a login, or the first tag.
    Person,
    /// By the groups of whose the device is: somebody in several stands in each. Tagged devices by the first tag.
    Group,
    /// By the first tag; people's devices together.
    Tag,
    /// Each device by itself.
    Device,
}

impl By {
    /// Every way, with its word.
    pub(crate) const ALL: [(By, &'static str); 4] =
        [(By::Person, "person"), (By::Group, "group"), (By::Tag, "tag"), (By::Device, "device")];

    /// The way of this word.
    pub(crate) fn named(word: &str) -> By {
        By::ALL.iter().find(|(_, name)| *name == word).map_or(By::Person, |(by, _)| *by)
    }

    /// Its word.
    pub(crate) fn word(self) -> &'static str {
        By::ALL.iter().find(|(by, _)| *by == self).map_or("person", |(_, name)| name)
    }

    /// The parts an end belongs to: one, but for somebody in several groups.
    pub(crate) fn parts(self, end: &End) -> Vec<Part> {
        let group = |group: &Arc<str>| Part::new("group", group, group.trim_start_matches("group:"));
        let part = match (self, end.tags.first(), &end.person) {
            (By::Device, ..) => Part::device(end),
            (_, Some(tag), _) => Part::new("tag", tag, tag),
            (By::Person, None, Some(login)) => Part::new("person", login, login),
            (By::Group, None, Some(_)) if end.groups.is_empty() => Part::new("ungrouped", "", "in no group"),
            (By::Group, None, Some(_)) => return end.groups.iter().map(group).collect(),
            (By::Tag, None, Some(_)) => Part::new("people", "", "people's devices"),
            (By::Person | By::Group, None, None) => Part::device(end),
            (By::Tag, None, None) => Part::new("unknown", "", "not known"),
        };
        vec![part]
    }
}

/// Ends that are shown as one: `key` is what an address says of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Part {
    pub(crate) key: String,
    pub(crate) label: String,
}

impl Part {
    fn new(sort: &str, value: &str, label: &str) -> Part {
        Part { key: format!("{sort}:{value}"), label: label.to_owned() }
    }

    /// The device that an end is.
    pub(crate) fn device(end: &End) -> Part {
        match (&end.id, &end.address) {
            (Some(id), _) => Part::new("device", id, end.name.as_deref().unwrap_or(id)),
            (None, Some(address)) => Part::new("address", address, address),
            (None, None) => Part::new("unknown", "", "not known"),
        }
    }
}

/// Whether an end is within the part that an address names.
pub(crate) fn is_in(end: &End, key: &str) -> bool {
    let own = |by: By| by.parts(end).iter().any(|part| part.key == key);
    match key.split_once(':') {
        Some(("person", login)) => {
            end.tags.is_empty() && end.person.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(login))
        }
        Some(("device" | "address", _)) => own(By::Device),
        Some(("group" | "ungrouped", _)) => own(By::Group),
        _ => own(By::Tag),
    }
}

/// The talks between `of` and `with`, in either direction; an empty key stands for everybody.
pub(crate) fn parts_of<'a>(talks: &'a [Talk], of: &str, with: &str) -> Vec<&'a Talk> {
    let within = |end: &End, key: &str| key.is_empty() || is_in(end, key);
    let between = |one: &End, two: &End| within(one, of) && within(two, with);
    talks.iter().filter(|talk| between(&talk.from, &talk.to) || between(&talk.to, &talk.from)).collect()
}

/// What went between two parts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) bytes: u64,
    /// Of these, what only one end counted.
    pub(crate) one_sided: u64,
}

/// Who sent how much to whom, as a square of the busiest parts.
pub(crate) struct Grid {
    /// The parts, the busiest first; where there are more, the last stands for all others.
    pub(crate) parts: Vec<Part>,
    /// How many parts the last stands for; none where each stands for itself.
    pub(crate) others: usize,
    cells: HashMap<(usize, usize), Cell>,
    pub(crate) most: u64,
}

impl Grid {
    /// The square of at most `size` parts and one for the others.
    pub(crate) fn of(talks: &[&Talk], by: By, size: usize) -> Grid {
        let mut volume: HashMap<Part, u64> = HashMap::new();
        for talk in talks {
            for part in [&talk.from, &talk.to].into_iter().flat_map(|end| by.parts(end)) {
                *volume.entry(part).or_default() += talk.bytes();
            }
        }
        let mut parts: Vec<(Part, u64)> = volume.into_iter().collect();
        parts.sort_by(|one, two| two.1.cmp(&one.1).then_with(|| one.0.cmp(&two.0)));
        let others = parts.len().saturating_sub(size);
        parts.truncate(size);
        let mut parts: Vec<Part> = parts.into_iter().map(|(part, _)| part).collect();
        let places: HashMap<Part, usize> = parts.iter().cloned().zip(0..).collect();
        let rest = parts.len();
        if others > 0 {
            parts.push(Part::new("others", "", &format!("{others} others")));
        }
        let mut grid = Grid { parts, others, cells: HashMap::new(), most: 0 };
        for talk in talks {
            // Several groups of one person that stand among the others are one place there.
            let at = |end: &End| -> BTreeSet<usize> {
                by.parts(end).iter().map(|part| places.get(part).copied().unwrap_or(rest)).collect()
            };
            let (from, to) = (at(&talk.from), at(&talk.to));
            for place in from.iter().flat_map(|from| to.iter().map(move |to| (*from, *to))) {
                grid.add(place, talk);
            }
        }
        grid
    }

    fn add(&mut self, place: (usize, usize), talk: &Talk) {
        let cell = self.cells.entry(place).or_default();
        cell.bytes = cell.bytes.saturating_add(talk.bytes());
        if matches!(talk.trust(), Trust::SenderOnly | Trust::ReceiverOnly) {
            cell.one_sided = cell.one_sided.saturating_add(talk.bytes());
        }
        self.most = self.most.max(cell.bytes);
    }

    /// What one part sent to another.
    pub(crate) fn cell(&self, from: usize, to: usize) -> Option<Cell> {
        self.cells.get(&(from, to)).copied()
    }
}

#[cfg(test)]
mod tests {
    use meshtrail_event::Timestamp;

    use super::*;

    fn end(id: &str, person: Option<&str>, tags: &[&str]) -> Arc<End> {
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        Arc::new(End { id: Some(id.to_owned()), person: person.map(str::to_owned), tags, ..End::default() })
    }

    fn talk(from: &Arc<End>, to: &Arc<End>, sent: u64) -> Talk {
        let (from, to) = (from.clone(), to.clone());
        Talk {
            from,
            to,
            layer: "virtual".to_owned(),
            sent: Some(sent),
            received: None,
            blind: false,
            last: Timestamp::default(),
        }
    }

    #[test]
    fn a_tagged_device_stands_under_its_tag_and_never_under_the_person_who_registered_it() {
        let server = end("n1", Some("alice@example.com"), &["tag:db"]);
        assert_eq!(By::Person.parts(&server)[0].key, "tag:tag:db");
        assert!(!is_in(&server, "person:alice@example.com"));
        assert!(is_in(&server, "tag:tag:db") && is_in(&server, "device:n1"));
    }

    #[test]
    fn the_busiest_come_first_and_the_rest_are_one_part_that_loses_nothing() {
        let hub = end("hub", None, &["tag:hub"]);
        let people: Vec<_> = (0..50).map(|n| end(&format!("n{n}"), Some(&format!("p{n}")), &[])).collect();
        let talks: Vec<Talk> = people.iter().zip(1..).map(|(one, bytes)| talk(one, &hub, bytes)).collect();
        let all: Vec<&Talk> = talks.iter().collect();
        let grid = Grid::of(&all, By::Person, 10);
        assert_eq!((grid.parts.len(), grid.others), (11, 41));
        assert_eq!((grid.parts[0].label.as_str(), grid.parts[1].label.as_str()), ("tag:hub", "p49"));
        let sum: u64 = (0..11).filter_map(|from| grid.cell(from, 0)).map(|cell| cell.bytes).sum();
        assert_eq!(sum, (1..=50).sum::<u64>());
    }

    #[test]
    fn somebody_in_several_groups_counts_in_each_and_nobody_counts_twice_in_one() {
        let groups = |all: &[&str]| all.iter().map(|group| Arc::from(*group)).collect();
        let of = |id: &str, all: &[&str]| {
            let groups = groups(all);
            Arc::new(End { id: Some(id.to_owned()), person: Some(id.to_owned()), groups, ..End::default() })
        };
        let (both, one, none) = (of("a", &["group:eng", "group:sre"]), of("b", &["group:eng"]), of("c", &[]));
        let talks = [talk(&both, &one, 5), talk(&none, &one, 2)];
        let sum = |of: &str| parts_of(&talks, of, "").iter().map(|talk| talk.bytes()).sum::<u64>();
        assert_eq!((sum("group:group:sre"), sum("group:group:eng"), sum("ungrouped:")), (5, 7, 2));
        let all: Vec<&Talk> = talks.iter().collect();
        let grid = Grid::of(&all, By::Group, 10);
        let place = |label: &str| grid.parts.iter().position(|part| part.label == label).unwrap();
        let bytes = |from: &str, to: &str| grid.cell(place(from), place(to)).map_or(0, |cell| cell.bytes);
        assert_eq!((bytes("eng", "eng"), bytes("sre", "eng"), bytes("in no group", "eng")), (5, 5, 2));
        let squeezed = Grid::of(&all, By::Group, 0);
        assert_eq!(squeezed.cell(0, 0).unwrap().bytes, 7, "groups that stand together count once");
    }

    #[test]
    fn talks_between_two_parts_are_those_of_both_directions() {
        let (a, b, c) = (end("a", Some("x"), &[]), end("b", None, &["tag:t"]), end("c", Some("y"), &[]));
        let talks = [talk(&a, &b, 1), talk(&b, &a, 2), talk(&a, &c, 4)];
        let sum =
            |of: &str, with: &str| parts_of(&talks, of, with).iter().map(|talk| talk.bytes()).sum::<u64>();
        assert_eq!(sum("person:x", "tag:tag:t"), 3);
        assert_eq!(sum("tag:tag:t", ""), 3);
        assert_eq!(sum("", ""), 7);
    }
}
