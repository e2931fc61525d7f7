//! Groups events that report the same change: from the audit log, a webhook, a snapshot.
//!
//! - Records of one operation are one change: the most specific of them is the main event, the others are its parts.
//! - An event of another origin about the same thing at the same time corroborates the change; it never makes a second
//!   one. A second event of the same origin is another change.
//! - Events are not altered; only their places in a list are grouped.
//!
//! The change of a snapshot happened between the snapshot before and its own time; clocks may differ by [`SLACK`].

use std::collections::HashMap;
use std::time::Duration;

use meshtrail_event::{Change, Detail, Event, Kind, Severity, Timestamp};

use crate::severity::severity;
use crate::snapshot::Origin;

/// The most that two clocks, or two records of one change, may be apart, on each side.
pub const SLACK: Duration = Duration::from_secs(300);

/// How many changes of one thing, the latest, a new event is compared with.
pub(crate) const MAX_CANDIDATES: usize = 64;

/// The last [`MAX_CANDIDATES`] of `places`.
pub(crate) fn latest<T>(places: &[T]) -> &[T] {
    &places[places.len().saturating_sub(MAX_CANDIDATES)..]
}

/// The events of one change, as places in the list that was grouped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorroboratedChange {
    /// The most authoritative one: it names the actor, if one of them does.
    pub main: usize,
    /// Events of other origins about the same change.
    pub corroborations: Vec<usize>,
    /// Other records of the same operation.
    pub parts: Vec<usize>,
}

impl CorroboratedChange {
    /// All events, the main one first.
    pub fn all(&self) -> impl Iterator<Item = usize> {
        let others = self.corroborations.iter().chain(&self.parts).copied();
        [self.main].into_iter().chain(others)
    }
}

/// The change in an event; none for events that report no change, such as `config.snapshot`.
pub fn change(event: &Event) -> Option<&Change> {
    match (&event.detail, &event.kind) {
        (_, Kind::ConfigSnapshot | Kind::IdentityLearned) => None,
        (Some(Detail::Change(change)), _) => Some(change),
        _ => None,
    }
}

/// What an event is about, so that two events about the same change can be matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Topic {
    /// The class of the change: [`class`].
    class: String,
    /// Ids and names of the target.
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
            class: class(event, change),
            names: names(event),
            origin: origin_name(change),
            from: from.before(SLACK),
            until: event.time.after(SLACK),
        })
    }

    /// The keys of an index of topics.
    pub(crate) fn keys(&self) -> impl Iterator<Item = (String, String)> {
        self.names.iter().map(|name| (self.class.clone(), name.clone()))
    }

    /// Whether both are about the same change: the same thing, at the same time, by different origins.
    pub(crate) fn matches(&self, other: &Self) -> bool {
        self.class == other.class
            && self.origin != other.origin
            && self.names.iter().any(|name| other.names.contains(name))
            && self.from <= other.until
            && other.from <= self.until
    }
}

/// The origin of a change; the audit log is one origin, whether it is polled or streamed.
fn origin_name(change: &Change) -> String {
    match change.origin.as_deref() {
        Some(word) if word == Origin::Hec.as_str() => Origin::AuditLog.as_str().to_owned(),
        word => word.unwrap_or_default().to_owned(),
    }
}

/// One word for the kinds and properties that different origins use for the same change.
fn class(event: &Event, change: &Change) -> String {
    let property = change.property.as_deref().unwrap_or_default();
    match &event.kind {
        Kind::KeyRegistered | Kind::KeyRenewed | Kind::DeviceSignedIn => "signed-in".to_owned(),
        Kind::RouteEnabled | Kind::RouteDisabled => "routes".to_owned(),
        Kind::KeyExpired if event.target.of_type.as_deref() == Some("key") => "auth-key-expired".to_owned(),
        Kind::ConfigChanged => setting(event, change, property),
        kind => kind.as_str().to_owned(),
    }
}

/// The audit log's names of the settings.
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
    // There is one of each of these.
    if ["policy", "dns", "settings", "contacts", "tailnet", "webhooks", "webhook"].contains(&of_type)
        || of_type == "webhook_endpoint"
    {
        return vec!["the tailnet".to_owned()];
    }
    let mut names: Vec<String> = target.id.iter().filter(|id| !id.is_empty()).cloned().collect();
    match of_type {
        "user" => names.extend(target.person.iter().map(|person| person.login.clone())),
        // Without an id, the name is used.
        "device" if names.is_empty() => names.extend(target.name.clone()),
        _ if names.is_empty() => names.extend(target.name.clone()),
        _ => {}
    }
    names
}

/// Groups events by the change that they report, in the order of each change's first event. Events that report no
/// change are left out.
pub fn fold(events: &[Event]) -> Vec<CorroboratedChange> {
    let mut candidates: Vec<CorroboratedChange> = operations(events);
    let topics: Vec<Option<Topic>> = events.iter().map(Topic::of).collect();
    let mut index = TopicIndex::new();
    let mut changes: Vec<Option<CorroboratedChange>> = Vec::new();
    for candidate in candidates.drain(..) {
        match find_corroborated(&candidate, &changes, &index, &topics) {
            Some(at) => {
                if let Some(into) = &mut changes[at] {
                    merge(into, candidate.clone(), events);
                }
                index_change(&candidate, at, &topics, &mut index);
            }
            None => {
                index_change(&candidate, changes.len(), &topics, &mut index);
                changes.push(Some(candidate));
            }
        }
    }
    changes.into_iter().flatten().collect()
}

/// Places of changes by the keys of their topics.
type TopicIndex = HashMap<(String, String), Vec<usize>>;

fn index_change(change: &CorroboratedChange, at: usize, topics: &[Option<Topic>], index: &mut TopicIndex) {
    for topic in change.all().filter_map(|event| topics[event].as_ref()) {
        for key in topic.keys() {
            index.entry(key).or_default().push(at);
        }
    }
}

/// The change that a candidate corroborates: the nearest in time without an event of the candidate's origin.
fn find_corroborated(
    candidate: &CorroboratedChange,
    changes: &[Option<CorroboratedChange>],
    index: &TopicIndex,
    topics: &[Option<Topic>],
) -> Option<usize> {
    let main = topics[candidate.main].as_ref()?;
    let mut best: Option<(Duration, usize)> = None;
    let own: Vec<&Topic> = candidate.all().filter_map(|event| topics[event].as_ref()).collect();
    let places = own
        .iter()
        .flat_map(|topic| topic.keys())
        .filter_map(|key| index.get(&key))
        .flat_map(|places| latest(places));
    for &at in places {
        let Some(change) = &changes[at] else { continue };
        let theirs: Vec<&Topic> = change.all().filter_map(|event| topics[event].as_ref()).collect();
        if theirs.iter().any(|topic| topic.origin == main.origin && topic.class == main.class) {
            continue;
        }
        let main_of_theirs = topics[change.main].as_ref();
        // At least one of the two sides must match by its main event: parts alone are too unspecific.
        let matching = theirs
            .iter()
            .find(|topic| topic.matches(main))
            .copied()
            .or_else(|| main_of_theirs.filter(|topic| own.iter().any(|mine| mine.matches(topic))));
        if let Some(topic) = matching {
            let apart = main.until.since(topic.until).max(topic.until.since(main.until));
            if best.is_none_or(|(nearest, _)| apart < nearest) {
                best = Some((apart, at));
            }
        }
    }
    best.map(|(_, at)| at)
}

/// The rank of an event's origin: the audit log names the actor, a snapshot does not.
fn authority(event: &Event) -> u8 {
    let origin = change(event).and_then(|change| Origin::from_word(change.origin.as_deref()?));
    match origin {
        Some(Origin::AuditLog | Origin::Hec) => 3,
        Some(Origin::Webhook) => 2,
        Some(Origin::Tailscale | Origin::Headscale | Origin::PolicyFile) => 1,
        _ => 0,
    }
}

/// Adds the events of `from` to `into`; the more authoritative main event stays the main one.
fn merge(into: &mut CorroboratedChange, from: CorroboratedChange, events: &[Event]) {
    if authority(&events[from.main]) > authority(&events[into.main]) {
        into.corroborations.push(into.main);
        into.main = from.main;
    } else {
        into.corroborations.push(from.main);
    }
    into.corroborations.extend(from.corroborations);
    into.parts.extend(from.parts);
    into.corroborations.sort_unstable();
}

/// Groups events by operation, each with its most specific record as the main event.
fn operations(events: &[Event]) -> Vec<CorroboratedChange> {
    let mut changes: Vec<CorroboratedChange> = Vec::new();
    let mut by_operation: HashMap<&str, usize> = HashMap::new();
    for (place, event) in events.iter().enumerate() {
        let Some(change) = change(event) else { continue };
        let operation = change.operation.as_deref().filter(|operation| !operation.is_empty());
        match operation.and_then(|operation| by_operation.get(operation)) {
            Some(&at) => {
                let group = &mut changes[at];
                if specificity(event, change) > rank_of(&events[group.main]) {
                    group.parts.push(group.main);
                    group.main = place;
                } else {
                    group.parts.push(place);
                }
            }
            None => {
                by_operation.extend(operation.map(|operation| (operation, changes.len())));
                changes.push(CorroboratedChange {
                    main: place,
                    corroborations: Vec::new(),
                    parts: Vec::new(),
                });
            }
        }
    }
    changes
}

fn rank_of(event: &Event) -> (u8, Severity, u8) {
    change(event).map_or((0, Severity::Info, 0), |change| specificity(event, change))
}

/// How much of its operation a record covers; the largest is the main event.
fn specificity(event: &Event, change: &Change) -> (u8, Severity, u8) {
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
