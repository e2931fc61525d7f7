//! Counts of events by time and by values, for histograms and facets.
//!
//! - A [`Tally`] counts leaves one by one; its size is bounded, and values beyond the bound are counted as others.
//! - A [`Summary`] is a stored tally of a range of the trail: derived, and deletable at any time.
//! - [`count`] answers from summaries where these are exact, and reads leaves where they are not. If its time is up, the
//!   result tells how many events were counted; it never estimates the rest.

mod count;
mod summary;

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use meshtrail_event::Timestamp;
use serde::{Deserialize, Serialize};

use crate::matching::source_of;
use crate::view::{Device, Leaf, Target};

pub use count::{CountQuery, CountResult, count, summarise};
pub use summary::{SLOT, SUMMARY_EVENTS, Summary};

/// Distinct values of a facet, at most; events with further values are counted together.
const MAX_VALUES: usize = 4096;

/// Distinct pairs of kind and outcome, at most.
const MAX_KIND_OUTCOMES: usize = 1024;

/// The longest value, in bytes; longer ones are truncated.
const MAX_VALUE: usize = 256;

/// A facet by which events are counted. Its name is also the filter field that selects a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Facet {
    /// The kind of event.
    Kind,
    /// The actors: people, tags, services.
    Actor,
    /// The devices of actor and target.
    Device,
    /// The target.
    Target,
    /// The outcome.
    Outcome,
    /// The event's source.
    Source,
    /// Tags of actor and target.
    Tag,
    /// Groups of the acting person.
    Group,
}

impl Facet {
    /// Every facet, in the order of a page.
    pub const ALL: [Facet; 8] = [
        Facet::Kind,
        Facet::Actor,
        Facet::Device,
        Facet::Target,
        Facet::Outcome,
        Facet::Source,
        Facet::Tag,
        Facet::Group,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Facet::Kind => "kind",
            Facet::Actor => "actor",
            Facet::Device => "device",
            Facet::Target => "target",
            Facet::Outcome => "outcome",
            Facet::Source => "source",
            Facet::Tag => "tag",
            Facet::Group => "group",
        }
    }
}

impl fmt::Display for Facet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text that is not the name of a facet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write one of kind, actor, device, target, outcome, source, tag, group")]
pub struct UnknownFacet;

impl FromStr for Facet {
    type Err = UnknownFacet;

    fn from_str(text: &str) -> Result<Facet, UnknownFacet> {
        Facet::ALL.into_iter().find(|facet| facet.name() == text).ok_or(UnknownFacet)
    }
}

/// Events by the values of one facet. An event with several values counts for each.
#[derive(Clone, Debug, Default)]
pub struct Values {
    counts: HashMap<Box<str>, u64>,
    others: u64,
    without: u64,
}

impl Values {
    fn add(&mut self, value: &str, events: u64) {
        let value = &value[..value.floor_char_boundary(MAX_VALUE)];
        if let Some(count) = self.counts.get_mut(value) {
            *count += events;
        } else if self.counts.len() < MAX_VALUES {
            self.counts.insert(value.into(), events);
        } else {
            self.others += events;
        }
    }

    /// The values with the most events; ties are ordered by name.
    pub fn top(&self, most: usize) -> Vec<(&str, u64)> {
        let mut all: Vec<(&str, u64)> = self.counts.iter().map(|(value, &count)| (&**value, count)).collect();
        all.sort_unstable_by(|one, two| two.1.cmp(&one.1).then(one.0.cmp(two.0)));
        all.truncate(most);
        all
    }

    /// The number of distinct values.
    pub fn distinct(&self) -> usize {
        self.counts.len()
    }

    /// Events whose value was beyond the bound. If it is not zero, the other counts are lower bounds.
    pub fn others(&self) -> u64 {
        self.others
    }

    /// Events without any value.
    pub fn without(&self) -> u64 {
        self.without
    }
}

/// A kind of event and an outcome.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct KindOutcome {
    /// The kind.
    pub kind: Box<str>,
    /// The outcome.
    pub outcome: Box<str>,
}

/// Counts of events.
#[derive(Clone, Debug)]
pub struct Tally {
    /// The width of a time slot, in seconds.
    width: i64,
    events: u64,
    sorts: Vec<KindOutcome>,
    sort_of: HashMap<KindOutcome, u16>,
    cells: HashMap<(i64, u16), u64>,
    facets: Option<Box<[Values; Facet::ALL.len()]>>,
}

impl Tally {
    /// An empty tally with time slots of `width` seconds, and with values if `facets` is set.
    pub fn new(width: u32, facets: bool) -> Tally {
        Tally {
            width: i64::from(width.max(1)),
            events: 0,
            sorts: Vec::new(),
            sort_of: HashMap::new(),
            cells: HashMap::new(),
            facets: facets.then(Box::default),
        }
    }

    /// The width of a time slot, in seconds.
    pub fn width(&self) -> i64 {
        self.width
    }

    /// The number of events.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// The values of a facet; none if values are not counted.
    pub fn values(&self, facet: Facet) -> Option<&Values> {
        self.facets.as_ref().map(|facets| &facets[facet as usize])
    }

    /// All counts: the start of the slot in seconds, kind and outcome, number of events; in no order.
    pub fn cells(&self) -> impl Iterator<Item = (i64, &KindOutcome, u64)> {
        self.cells.iter().map(|(&(slot, sort), &count)| (slot, &self.sorts[usize::from(sort)], count))
    }

    fn sort(&mut self, kind: &str, outcome: &str) -> u16 {
        let cut = |text: &str| text[..text.floor_char_boundary(MAX_VALUE)].into();
        let sort = KindOutcome { kind: cut(kind), outcome: cut(outcome) };
        if let Some(&known) = self.sort_of.get(&sort) {
            return known;
        }
        let sort = if self.sorts.len() < MAX_KIND_OUTCOMES {
            sort
        } else {
            KindOutcome { kind: "other".into(), outcome: sort.outcome }
        };
        if let Some(&known) = self.sort_of.get(&sort) {
            return known;
        }
        // Pairs beyond the bound share the last number.
        let number = u16::try_from(self.sorts.len()).unwrap_or(u16::MAX).min(2 * MAX_KIND_OUTCOMES as u16);
        if self.sorts.len() <= usize::from(number) {
            self.sorts.push(sort.clone());
            self.sort_of.insert(sort, number);
        }
        number.min(u16::try_from(self.sorts.len() - 1).unwrap_or(0))
    }

    fn add_cell(&mut self, slot: i64, sort: u16, events: u64) {
        *self.cells.entry((slot.div_euclid(self.width) * self.width, sort)).or_default() += events;
        self.events += events;
    }

    /// Counts one leaf; returns false if the bytes are not an event.
    pub fn add(&mut self, leaf: &[u8]) -> bool {
        let Some(leaf) = Leaf::read(leaf) else { return false };
        self.add_leaf(&leaf);
        true
    }

    fn add_leaf(&mut self, leaf: &Leaf<'_>) {
        let (kind, outcome) = (leaf.kind.get().unwrap_or_default(), leaf.outcome.get().unwrap_or("unknown"));
        let seconds = time(leaf).map_or(0, Timestamp::as_seconds);
        let sort = self.sort(kind, outcome);
        self.add_cell(seconds, sort, 1);
        if let Some(facets) = &mut self.facets {
            for facet in Facet::ALL {
                count_values(&mut facets[facet as usize], facet, leaf);
            }
        }
    }
}

fn time(leaf: &Leaf<'_>) -> Option<Timestamp> {
    let text = leaf.time.get()?;
    Timestamp::parse_canonical(text.as_bytes()).or_else(|| text.parse().ok())
}

fn count_values(values: &mut Values, facet: Facet, leaf: &Leaf<'_>) {
    match facet {
        Facet::Kind => values.add(leaf.kind.get().unwrap_or_default(), 1),
        Facet::Outcome => values.add(leaf.outcome.get().unwrap_or("unknown"), 1),
        Facet::Source => {
            each(values, leaf.id.get().and_then(source_of).into_iter());
        }
        Facet::Actor => {
            let (actor, claimed) = (&leaf.actor, &leaf.identity.claimed);
            let names = [actor.person.login.get(), actor.service.get(), claimed.login.get()];
            let tags = actor.tags.iter().chain(claimed.tags.iter());
            // A device without an owner counts among the devices, not as an event without an actor.
            let is_device = device(&actor.device).is_some() || actor.device.addresses.iter().next().is_some();
            if !each(values, names.into_iter().flatten().chain(tags)) && !is_device {
                values.without += 1;
            }
        }
        Facet::Device => {
            let names = [device(&leaf.actor.device), device(&leaf.target.device)];
            if !each(values, names.into_iter().flatten()) {
                values.without += 1;
            }
        }
        Facet::Target => match target(&leaf.target) {
            Some(target) => values.add(&target, 1),
            None => values.without += 1,
        },
        Facet::Tag => {
            let of_actor = leaf.actor.tags.iter().chain(leaf.actor.device.tags.iter());
            let claimed = leaf.identity.claimed.tags.iter();
            each(values, of_actor.chain(leaf.target.device.tags.iter()).chain(claimed));
        }
        Facet::Group => {
            each(values, leaf.actor.person.groups.iter());
        }
    }
}

/// Counts each distinct text once; returns whether there was any.
fn each<'a>(values: &mut Values, texts: impl Iterator<Item = &'a str>) -> bool {
    let mut seen: Vec<&str> = Vec::new();
    for text in texts {
        if !seen.contains(&text) {
            seen.push(text);
            values.add(text, 1);
        }
    }
    !seen.is_empty()
}

fn device<'a>(device: &'a Device<'_>) -> Option<&'a str> {
    device.name.get().or(device.id.get())
}

/// The name of a target, in a form that the filter field `target` matches.
fn target<'a>(target: &'a Target<'_>) -> Option<std::borrow::Cow<'a, str>> {
    if let (Some(space), Some(name)) = (target.namespace.get(), target.name.get()) {
        return Some(format!("{space}/{name}").into());
    }
    let name = target.name.get().or_else(|| device(&target.device));
    name.or_else(|| target.address.get()).or_else(|| target.id.get()).map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Filter;

    fn leaf(time: &str, kind: &str, rest: &str) -> String {
        format!(r#"{{"id":"main.recorder.1.7","kind":"{kind}","outcome":"success","time":"{time}"{rest}}}"#)
    }

    #[test]
    fn a_value_is_counted_as_often_as_a_click_on_it_finds_events() {
        let leaves = [
            leaf(
                "2026-11-20T14:00:01Z",
                "ssh.session.ended",
                r#","actor":{"person":{"login":"a@x"}},"target":{"device":{"name":"db.tail","tags":["tag:db"]}}"#,
            ),
            leaf(
                "2026-11-20T14:00:02Z",
                "ssh.session.ended",
                r#","actor":{"tags":["tag:ci","tag:ci"],"device":{"name":"r1.tail","tags":["tag:ci"]}},"target":{"namespace":"pay","name":"api-1"}"#,
            ),
            leaf(
                "2026-11-20T14:16:00Z",
                "kube.request.done",
                r#","actor":{"person":{"login":"a@x","groups":["group:dba"]}},"identity":{"claimed":{"login":"b@x"}},"target":{"address":"10.0.0.1:22"}"#,
            ),
        ];
        let mut tally = Tally::new(900, true);
        assert!(leaves.iter().all(|leaf| tally.add(leaf.as_bytes())));
        for facet in Facet::ALL {
            let values = tally.values(facet).unwrap();
            for (value, count) in values.top(100) {
                let filter = Filter::parse(&format!("{facet}:\"{value}\"")).unwrap();
                let found = leaves.iter().filter(|leaf| filter.matches(leaf.as_bytes())).count() as u64;
                assert_eq!(count, found, "{facet}:{value}");
            }
        }
        let mut slots: Vec<(i64, u64)> =
            tally.cells().map(|(slot, _, count)| (slot % 86_400, count)).collect();
        slots.sort_unstable();
        assert_eq!(slots, [(14 * 3600, 2), (14 * 3600 + 900, 1)]);
    }

    #[test]
    fn what_has_no_room_is_counted_as_others() {
        let mut values = Values::default();
        for number in 0..MAX_VALUES + 7 {
            values.add(&number.to_string(), 1);
        }
        values.add("0", 1);
        assert_eq!((values.distinct(), values.others(), values.top(1)[0]), (MAX_VALUES, 7, ("0", 2)));
    }

    #[test]
    fn kinds_without_end_share_a_name() {
        let mut tally = Tally::new(900, false);
        for number in 0..MAX_KIND_OUTCOMES + 50 {
            tally.add(leaf("2026-11-20T14:00:01Z", &format!("x.{number}"), "").as_bytes());
        }
        assert_eq!(tally.events(), (MAX_KIND_OUTCOMES + 50) as u64);
        assert!(tally.cells().any(|(_, sort, count)| &*sort.kind == "other" && count == 50));
    }
}
