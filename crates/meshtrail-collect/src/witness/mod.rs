//! One change that several tell of: the audit log, a webhook, a snapshot.
//!
//! - Records of one operation are one change: the most telling of them, and its parts.
//! - What another origin tells of the same thing at the same time is one more witness, never a second change. The same
//!   origin telling it again is another change.
//! - All events stay as they are: this only says which belong together.
//!
//! A snapshot's change lies between the snapshot before and its own time; clocks may differ by [`SLACK`].

use std::collections::HashMap;
use std::time::Duration;

use meshtrail_event::{Change, Detail, Event, Kind, Timestamp};

use crate::snapshot::Origin;
use crate::weight::{Severity, severity};

/// How far apart two clocks, or two records of one change, may be on each side.
pub const SLACK: Duration = Duration::from_secs(300);

/// How many changes of one thing a new event is held against, the latest ones.
pub(crate) const LATEST: usize = 64;

/// The last of them.
pub(crate) fn latest<T>(places: &[T]) -> &[T] {
    &places[places.len().saturating_sub(LATEST)..]
}

/// Events that tell of one change, by their places in the list they were in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folded {
    /// The one that tells it best: it names who, where one does.
    pub main: usize,
    /// Those of other origins that tell the same.
    pub witnesses: Vec<usize>,
    /// Other records of the same operation.
    pub parts: Vec<usize>,
}

impl Folded {
    /// All of them, the main one first.
    pub fn all(&self) -> impl Iterator<Item = usize> {
        [self.main].into_iter().chain(self.witnesses.iter().copied()).chain(self.parts.iter().copied())
    }
}

/// The change that an event tells of; none where it tells of none, as a snapshot's "it was so".
pub fn change(event: &Event) -> Option<&Change> {
    match (&event.detail, &event.kind) {
        (_, Kind::ConfigSnapshot | Kind::IdentityLearned) => None,
        (Some(Detail::Change(change)), _) => Some(change),
        _ => None,
    }
}

/// What an event is about, so that two that are about the same can be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Topic {
    what: String,
    /// Names of what was acted on: an id, a name.
    names: Vec<String>,
    pub(crate) origin: String,
    from: Timestamp,
    until: Timestamp,
}

impl Topic {
    pub(crate) fn of(event: &Event) -> Option<Self> {
        let change = change(event)?;
        let from = change.not_before.filter(|before| *before < event.time).unwrap_or(event.time);
        Some(Self {
            what: what(event, change),
            names: names(event),
            origin: witness_name(change),
            from: from.before(SLACK),
            until: event.time.after(SLACK),
        })
    }

    /// Where in a map it is looked for.
    pub(crate) fn keys(&self) -> impl Iterator<Item = (String, String)> {
        self.names.iter().map(|name| (self.what.clone(), name.clone()))
    }

    /// Whether both tell the same: of the same thing, at the same time, by another origin.
    pub(crate) fn same(&self, other: &Self) -> bool {
        self.what == other.what
            && self.origin != other.origin
            && self.names.iter().any(|name| other.names.contains(name))
            && self.from <= other.until
            && other.from <= self.until
    }
}

/// The audit log is one witness, whichever way its records come.
fn witness_name(change: &Change) -> String {
    match change.origin.as_deref() {
        Some(word) if word == Origin::Hec.as_str() => Origin::AuditLog.as_str().to_owned(),
        word => word.unwrap_or_default().to_owned(),
    }
}

/// One word for what several kinds and properties say.
fn what(event: &Event, change: &Change) -> String {
    let property = change.property.as_deref().unwrap_or_default();
    match &event.kind {
        Kind::KeyRegistered | Kind::KeyRenewed | Kind::DeviceSignedIn => "signed-in".to_owned(),
        Kind::RouteEnabled | Kind::RouteDisabled => "routes".to_owned(),
        Kind::KeyExpired if event.target.of_type.as_deref() == Some("key") => "auth-key-expired".to_owned(),
        Kind::ConfigChanged => setting(event, change, property),
        kind => kind.as_str().to_owned(),
    }
}

/// What the settings' names are in the audit log.
const SETTINGS: &[(&str, &str)] = &[
    ("devicesApprovalOn", "MACHINE_APPROVAL_NEEDED"),
    ("devicesKeyDurationDays", "MAX_KEY_DURATION"),
    ("usersApprovalOn", "USER_APPROVAL_REQUIRED"),
    ("networkFlowLoggingOn", "NETWORK_FLOW_LOGGING"),
    ("regionalRoutingOn", "GEOSTEERING"),
    ("routeSelection", "ROUTE_SELECTION"),
    ("postureIdentityCollectionOn", "COLLECT_POSTURE_IDENTITY"),
    ("httpsEnabled", "HTTPS"),
    ("account", "ACCOUNT_EMAIL"),
    ("security", "SECURITY_EMAIL"),
    ("support", "SUPPORT_EMAIL"),
];

fn setting(event: &Event, change: &Change, property: &str) -> String {
    let first = change.lines.first().map(String::as_str).unwrap_or_default();
    let named = first.split([' ', '.', ':']).next().unwrap_or_default();
    let of_type = event.target.of_type.as_deref().unwrap_or_default();
    match of_type {
        "settings" | "contacts" => match SETTINGS.iter().find(|(name, _)| *name == named) {
            Some((_, word)) => format!("setting {word}"),
            None => format!("setting {named}"),
        },
        "webhooks" | "webhook_endpoint" | "webhook" => "webhook".to_owned(),
        _ => format!("setting {property}"),
    }
}

fn names(event: &Event) -> Vec<String> {
    let target = &event.target;
    let of_type = target.of_type.as_deref().unwrap_or_default();
    // Of these there is one.
    if ["policy", "dns", "settings", "contacts", "tailnet", "webhooks", "webhook"].contains(&of_type)
        || of_type == "webhook_endpoint"
    {
        return vec!["the tailnet".to_owned()];
    }
    let mut names: Vec<String> = target.id.iter().filter(|id| !id.is_empty()).cloned().collect();
    match of_type {
        "user" => names.extend(target.person.iter().map(|person| person.login.clone())),
        // Where only a name is told, it stands in for the id.
        "device" if names.is_empty() => names.extend(target.name.clone()),
        _ if names.is_empty() => names.extend(target.name.clone()),
        _ => {}
    }
    names
}

/// Which events tell of one change; the changes stand in the order of their first event. Events that tell of no
/// change are left out.
pub fn fold(events: &[Event]) -> Vec<Folded> {
    let mut folded: Vec<Folded> = operations(events);
    let topics: Vec<Option<Topic>> = events.iter().map(Topic::of).collect();
    let mut known: HashMap<(String, String), Vec<usize>> = HashMap::new();
    let mut kept: Vec<Option<Folded>> = Vec::new();
    for candidate in folded.drain(..) {
        match joined(&candidate, &kept, &known, &topics) {
            Some(at) => {
                if let Some(into) = &mut kept[at] {
                    join(into, candidate.clone(), events);
                }
                remember(&candidate, at, &topics, &mut known);
            }
            None => {
                remember(&candidate, kept.len(), &topics, &mut known);
                kept.push(Some(candidate));
            }
        }
    }
    kept.into_iter().flatten().collect()
}

type Known = HashMap<(String, String), Vec<usize>>;

fn remember(folded: &Folded, at: usize, topics: &[Option<Topic>], known: &mut Known) {
    for topic in folded.all().filter_map(|event| topics[event].as_ref()) {
        for key in topic.keys() {
            known.entry(key).or_default().push(at);
        }
    }
}

/// The change that a candidate is one more witness of: the nearest in time that its origin has not told of yet.
fn joined(
    candidate: &Folded,
    kept: &[Option<Folded>],
    known: &Known,
    topics: &[Option<Topic>],
) -> Option<usize> {
    let main = topics[candidate.main].as_ref()?;
    let mut best: Option<(Duration, usize)> = None;
    let own: Vec<&Topic> = candidate.all().filter_map(|event| topics[event].as_ref()).collect();
    let places = own
        .iter()
        .flat_map(|topic| topic.keys())
        .filter_map(|key| known.get(&key))
        .flat_map(|places| latest(places));
    for &at in places {
        let Some(change) = &kept[at] else { continue };
        let theirs: Vec<&Topic> = change.all().filter_map(|event| topics[event].as_ref()).collect();
        if theirs.iter().any(|topic| topic.origin == main.origin && topic.what == main.what) {
            continue;
        }
        let main_of_theirs = topics[change.main].as_ref();
        // At least one of the two sides matches by its main event: parts alone say too little.
        let matching = theirs
            .iter()
            .find(|topic| topic.same(main))
            .copied()
            .or_else(|| main_of_theirs.filter(|topic| own.iter().any(|mine| mine.same(topic))));
        if let Some(topic) = matching {
            let apart = main.until.since(topic.until).max(topic.until.since(main.until));
            if best.is_none_or(|(nearest, _)| apart < nearest) {
                best = Some((apart, at));
            }
        }
    }
    best.map(|(_, at)| at)
}

/// How well an origin tells: the audit log names who, a snapshot does not.
fn authority(event: &Event) -> u8 {
    let origin = change(event).and_then(|change| Origin::from_word(change.origin.as_deref()?));
    match origin {
        Some(Origin::AuditLog | Origin::Hec) => 3,
        Some(Origin::Webhook) => 2,
        Some(Origin::Tailscale | Origin::Headscale) => 1,
        _ => 0,
    }
}

fn join(into: &mut Folded, from: Folded, events: &[Event]) {
    if authority(&events[from.main]) > authority(&events[into.main]) {
        into.witnesses.push(into.main);
        into.main = from.main;
    } else {
        into.witnesses.push(from.main);
    }
    into.witnesses.extend(from.witnesses);
    into.parts.extend(from.parts);
    into.witnesses.sort_unstable();
}

/// Events by operation, each with its most telling record as the main one.
fn operations(events: &[Event]) -> Vec<Folded> {
    let mut folded: Vec<Folded> = Vec::new();
    let mut by_operation: HashMap<&str, usize> = HashMap::new();
    for (place, event) in events.iter().enumerate() {
        let Some(change) = change(event) else { continue };
        let operation = change.operation.as_deref().filter(|operation| !operation.is_empty());
        match operation.and_then(|operation| by_operation.get(operation)) {
            Some(&at) => {
                let group = &mut folded[at];
                if telling(event, change) > rank_of(&events[group.main]) {
                    group.parts.push(group.main);
                    group.main = place;
                } else {
                    group.parts.push(place);
                }
            }
            None => {
                by_operation.extend(operation.map(|operation| (operation, folded.len())));
                folded.push(Folded { main: place, witnesses: Vec::new(), parts: Vec::new() });
            }
        }
    }
    folded
}

fn rank_of(event: &Event) -> (u8, Severity, u8) {
    change(event).map_or((0, Severity::Info, 0), |change| telling(event, change))
}

/// How much of a whole operation one record tells.
fn telling(event: &Event, change: &Change) -> (u8, Severity, u8) {
    let whole = match &event.kind {
        Kind::UserAdded | Kind::UserRemoved => 4,
        Kind::DeviceAdded | Kind::DeviceRemoved => 3,
        Kind::DeviceSignedIn | Kind::DeviceSignedOut | Kind::KeyRegistered | Kind::KeyRenewed => 2,
        _ => 1,
    };
    let particular = u8::from(change.action.as_deref() != Some("UPDATE"));
    (whole, severity(event, change), particular)
}

#[cfg(test)]
mod tests;
