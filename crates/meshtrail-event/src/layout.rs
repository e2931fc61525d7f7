//! A family's members as typed columns.
//!
//! Columnar storage walks a leaf and this tree side by side: both are in canonical order. A member without a column,
//! or in a form that its column cannot hold, is stored beside the columns: every event can be stored.

use std::sync::LazyLock;

use crate::Family;

/// The type of a column, and the text form of its values in a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ColumnType {
    /// A string of many values: a command, a summary.
    Text,
    /// A string of few values: a kind, a login, a device.
    Symbol,
    /// A non-negative integer up to 2^53 − 1.
    Int,
    /// A time in its canonical form.
    Time,
    /// 64 lower-case hex digits.
    Sha256,
    /// An event id: three columns, source, epoch and sequence.
    EventId,
    /// `address:port` or an address.
    Address,
    /// Any JSON: lists and objects, as canonical text.
    Json,
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name in a table: the path joined by `_`, without `detail`.
    pub name: String,
    /// The path of the member in a leaf.
    pub path: &'static [&'static str],
    /// The type of its values.
    pub column_type: ColumnType,
    /// Whose personal data its values are.
    pub personal: PersonalData,
}

/// Whose personal data a column holds, by which its values are sealed in a trail whose people can be erased. The two answers
/// are independent; docs/erasure.md has the reason for each column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PersonalData {
    /// The person whose it is by the event's structure, whatever its text says.
    pub whose: Option<Whose>,
    /// Whether its text may name a person who is not in the event's structure.
    pub may_name_anybody: bool,
}

/// A person as an event's structure names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Whose {
    /// The actor's person.
    Actor,
    /// The target's person.
    Target,
    /// The owner of the actor's device at the event's time.
    ActorDevice,
    /// The owner of the target's device at the event's time.
    TargetDevice,
    /// The owner, at the event's time, of the device that has this address, id or name.
    Holder,
    /// The same; of an address outside the mesh, the actor.
    HolderOrActor,
    /// The target's person, where the target's type is a user; the owner of its device, where it is a device.
    TargetType,
    /// Whoever's session it is: the session has keys of its own.
    Session,
    /// The person who is likely to have acted.
    Likely,
    /// The person whom a finding's subject names, or who holds it.
    SubjectType,
}

const NOBODY: PersonalData = PersonalData { whose: None, may_name_anybody: false };
const ANYBODY: PersonalData = NOBODY.and_anybody();
const ACTOR: PersonalData = PersonalData::of(Whose::Actor);
const TARGET: PersonalData = PersonalData::of(Whose::Target);
const ACTOR_DEVICE: PersonalData = PersonalData::of(Whose::ActorDevice);
const TARGET_DEVICE: PersonalData = PersonalData::of(Whose::TargetDevice);
const HOLDER: PersonalData = PersonalData::of(Whose::Holder);
const HOLDER_OR_ACTOR: PersonalData = PersonalData::of(Whose::HolderOrActor);
const TARGET_TYPE: PersonalData = PersonalData::of(Whose::TargetType);
const SESSION_KEYS: PersonalData = PersonalData::of(Whose::Session);
const LIKELY: PersonalData = PersonalData::of(Whose::Likely);
const SUBJECT_TYPE: PersonalData = PersonalData::of(Whose::SubjectType);

impl PersonalData {
    const fn of(whose: Whose) -> Self {
        Self { whose: Some(whose), may_name_anybody: false }
    }

    const fn and_anybody(self) -> Self {
        Self { may_name_anybody: true, ..self }
    }
}

/// A member of an object in a leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Member {
    /// The column with this index.
    Column(usize),
    /// An object with these members, in canonical order.
    Object(Vec<(&'static str, Self)>),
}

/// A family's columns and their places in a leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The family.
    pub family: Family,
    /// The columns in canonical order of their paths.
    pub columns: Vec<Column>,
    /// The leaf's members.
    pub members: Vec<(&'static str, Member)>,
}

type Entry = (&'static [&'static str], ColumnType, PersonalData);

use ColumnType::{Address, EventId, Int, Json, Sha256, Symbol, Text, Time};

/// The columns of every event.
const COMMON: &[Entry] = &[
    (&["actor", "device", "addresses"], Json, ACTOR_DEVICE),
    (&["actor", "device", "id"], Symbol, ACTOR_DEVICE),
    (&["actor", "device", "name"], Symbol, ACTOR_DEVICE.and_anybody()),
    (&["actor", "device", "os"], Symbol, ACTOR_DEVICE),
    (&["actor", "device", "tags"], Json, NOBODY),
    (&["actor", "person", "groups"], Json, ACTOR),
    (&["actor", "person", "id"], Symbol, ACTOR),
    (&["actor", "person", "login"], Symbol, ACTOR),
    (&["actor", "person", "name"], Symbol, ACTOR),
    (&["actor", "service"], Symbol, ANYBODY),
    (&["actor", "tags"], Json, NOBODY),
    (&["id"], EventId, NOBODY),
    (&["identity", "as_of"], Time, NOBODY),
    (&["identity", "claimed", "login"], Symbol, ACTOR.and_anybody()),
    (&["identity", "claimed", "node"], Symbol, ACTOR.and_anybody()),
    (&["identity", "claimed", "node_id"], Symbol, ACTOR.and_anybody()),
    (&["identity", "claimed", "tags"], Json, NOBODY),
    (&["identity", "likely", "person", "groups"], Json, LIKELY),
    (&["identity", "likely", "person", "id"], Symbol, LIKELY),
    (&["identity", "likely", "person", "login"], Symbol, LIKELY),
    (&["identity", "likely", "person", "name"], Symbol, LIKELY),
    (&["identity", "likely", "reason"], Symbol, ANYBODY),
    (&["identity", "provider"], Symbol, NOBODY),
    (&["identity", "reason"], Symbol, ANYBODY),
    (&["identity", "status"], Symbol, NOBODY),
    (&["kind"], Symbol, NOBODY),
    (&["leaf_version"], Int, NOBODY),
    (&["outcome"], Symbol, NOBODY),
    (&["received"], Time, NOBODY),
    (&["repaired"], Json, NOBODY),
    (&["repeat_of"], EventId, NOBODY),
    (&["session"], Text, NOBODY),
    (&["target", "account"], Symbol, ANYBODY),
    (&["target", "address"], Address, HOLDER),
    (&["target", "cluster"], Symbol, NOBODY),
    (&["target", "container"], Symbol, ANYBODY),
    (&["target", "device", "addresses"], Json, TARGET_DEVICE),
    (&["target", "device", "id"], Symbol, TARGET_DEVICE),
    (&["target", "device", "name"], Symbol, TARGET_DEVICE.and_anybody()),
    (&["target", "device", "os"], Symbol, TARGET_DEVICE),
    (&["target", "device", "tags"], Json, NOBODY),
    (&["target", "id"], Text, TARGET_TYPE.and_anybody()),
    (&["target", "name"], Symbol, TARGET_TYPE.and_anybody()),
    (&["target", "namespace"], Symbol, ANYBODY),
    (&["target", "person", "groups"], Json, TARGET),
    (&["target", "person", "id"], Symbol, TARGET),
    (&["target", "person", "login"], Symbol, TARGET),
    (&["target", "person", "name"], Symbol, TARGET),
    (&["target", "type"], Symbol, NOBODY),
    (&["time"], Time, NOBODY),
    (&["time_unread"], Text, ANYBODY),
];

const fn details(family: Family) -> &'static [Entry] {
    match family {
        Family::Session => SESSION,
        Family::Recording => {
            &[(&["detail", "bytes"], Int, NOBODY), (&["detail", "sha256"], Sha256, SESSION_KEYS)]
        }
        Family::Login => LOGIN,
        Family::Process => PROCESS,
        Family::Transfer => TRANSFER,
        Family::Coverage => COVERAGE,
        Family::Kube => KUBE,
        Family::Flow => FLOW,
        Family::Config => CONFIG,
        Family::Log => LOG,
        Family::Finding => FINDING,
        Family::Delivery => DELIVERY,
        Family::Meshtrail => OWN,
        Family::Other => &[(&["detail"], Json, ANYBODY)],
    }
}

const SESSION: &[Entry] = &[
    (&["detail", "anomalies"], Json, ANYBODY),
    (&["detail", "argv"], Json, ANYBODY),
    (&["detail", "boot"], Symbol, NOBODY),
    (&["detail", "bytes"], Int, NOBODY),
    (&["detail", "command"], Text, ANYBODY),
    (&["detail", "connection"], Text, NOBODY),
    (&["detail", "ended"], Time, NOBODY),
    (&["detail", "exit_signal"], Symbol, NOBODY),
    (&["detail", "exit_status"], Int, NOBODY),
    (&["detail", "height"], Int, NOBODY),
    (&["detail", "image"], Symbol, ANYBODY),
    (&["detail", "imported_from"], Text, ANYBODY),
    (&["detail", "index_sha256"], Sha256, NOBODY),
    (&["detail", "marks"], Int, NOBODY),
    (&["detail", "not_seen"], Json, NOBODY),
    (&["detail", "peer"], Address, HOLDER),
    (&["detail", "protocol"], Symbol, NOBODY),
    (&["detail", "reason"], Symbol, ANYBODY),
    (&["detail", "recorded_by"], Symbol, HOLDER.and_anybody()),
    (&["detail", "requested_user"], Symbol, ANYBODY),
    (&["detail", "rule"], Symbol, ANYBODY),
    (&["detail", "ses"], Int, NOBODY),
    (&["detail", "sha256"], Sha256, SESSION_KEYS),
    (&["detail", "started"], Time, NOBODY),
    (&["detail", "started_event"], EventId, NOBODY),
    (&["detail", "terminal"], Symbol, NOBODY),
    (&["detail", "width"], Int, NOBODY),
];

const LOGIN: &[Entry] = &[
    (&["detail", "attested_by"], Symbol, NOBODY),
    (&["detail", "boot"], Symbol, NOBODY),
    (&["detail", "check_confirmed"], Time, NOBODY),
    (&["detail", "command"], Text, ANYBODY),
    (&["detail", "cwd"], Text, ANYBODY),
    (&["detail", "from_account"], Symbol, ANYBODY),
    (&["detail", "gid"], Int, NOBODY),
    (&["detail", "key_fingerprint"], Symbol, ANYBODY),
    (&["detail", "method"], Symbol, NOBODY),
    (&["detail", "peer"], Address, HOLDER_OR_ACTOR),
    (&["detail", "pid"], Int, NOBODY),
    (&["detail", "reason"], Symbol, ANYBODY),
    (&["detail", "rule"], Symbol, ANYBODY),
    (&["detail", "ses"], Int, NOBODY),
    (&["detail", "service"], Symbol, NOBODY),
    (&["detail", "terminal"], Symbol, NOBODY),
    (&["detail", "uid"], Int, NOBODY),
    (&["detail", "would_deny"], Symbol, ANYBODY),
];

const PROCESS: &[Entry] = &[
    (&["detail", "argv"], Json, ANYBODY),
    (&["detail", "argv_bytes"], Int, NOBODY),
    (&["detail", "boot"], Symbol, NOBODY),
    (&["detail", "command"], Text, ANYBODY),
    (&["detail", "count"], Int, NOBODY),
    (&["detail", "cwd"], Text, ANYBODY),
    (&["detail", "ended"], Time, NOBODY),
    (&["detail", "executable"], Symbol, ANYBODY),
    (&["detail", "exit_signal"], Symbol, NOBODY),
    (&["detail", "exit_status"], Int, NOBODY),
    (&["detail", "gid"], Int, NOBODY),
    (&["detail", "parent_pid"], Int, NOBODY),
    (&["detail", "pid"], Int, NOBODY),
    (&["detail", "ses"], Int, NOBODY),
    (&["detail", "started"], Time, NOBODY),
    (&["detail", "started_event"], EventId, NOBODY),
    (&["detail", "terminal"], Symbol, NOBODY),
    (&["detail", "uid"], Int, NOBODY),
    (&["detail", "unit"], Symbol, ANYBODY),
];

const TRANSFER: &[Entry] = &[
    (&["detail", "bind"], Address, HOLDER),
    (&["detail", "boot"], Symbol, NOBODY),
    (&["detail", "bytes"], Int, NOBODY),
    (&["detail", "came_as"], Text, ANYBODY),
    (&["detail", "destination"], Text, ANYBODY),
    (&["detail", "direction"], Symbol, NOBODY),
    (&["detail", "ended"], Time, NOBODY),
    (&["detail", "path"], Text, ANYBODY),
    (&["detail", "protocol"], Symbol, NOBODY),
    (&["detail", "reason"], Symbol, ANYBODY),
    (&["detail", "rule"], Symbol, ANYBODY),
    (&["detail", "rx_bytes"], Int, NOBODY),
    (&["detail", "ses"], Int, NOBODY),
    (&["detail", "sha256"], Sha256, ANYBODY),
    (&["detail", "size"], Int, NOBODY),
    (&["detail", "start_offset"], Int, NOBODY),
    (&["detail", "started"], Time, NOBODY),
];

const COVERAGE: &[Entry] = &[
    (&["detail", "boot"], Symbol, NOBODY),
    (&["detail", "count"], Int, NOBODY),
    (&["detail", "reason"], Symbol, ANYBODY),
    (&["detail", "since"], Time, NOBODY),
    (&["detail", "source"], Symbol, ANYBODY),
    (&["detail", "until"], Time, NOBODY),
    (&["detail", "what"], Symbol, NOBODY),
];

const KUBE: &[Entry] = &[
    (&["detail", "api_group"], Symbol, NOBODY),
    (&["detail", "api_version"], Symbol, NOBODY),
    (&["detail", "argv"], Json, ANYBODY),
    (&["detail", "audit_id"], Text, NOBODY),
    (&["detail", "body"], Text, ANYBODY),
    (&["detail", "body_bytes"], Int, NOBODY),
    (&["detail", "body_fingerprint"], Text, ANYBODY),
    (&["detail", "body_sha256"], Sha256, ANYBODY),
    (&["detail", "command"], Text, ANYBODY),
    (&["detail", "diff"], Text, ANYBODY),
    (&["detail", "diff_base"], Symbol, NOBODY),
    (&["detail", "dry_run"], Symbol, NOBODY),
    (&["detail", "durable"], Symbol, NOBODY),
    (&["detail", "fingerprints"], Json, ANYBODY),
    (&["detail", "image"], Symbol, ANYBODY),
    (&["detail", "latency"], Int, NOBODY),
    (&["detail", "message"], Text, ANYBODY),
    (&["detail", "method"], Symbol, NOBODY),
    (&["detail", "object_uid"], Text, NOBODY),
    (&["detail", "objects"], Json, ANYBODY),
    (&["detail", "path"], Text, ANYBODY),
    (&["detail", "query"], Json, ANYBODY),
    (&["detail", "resource"], Symbol, NOBODY),
    (&["detail", "resource_version"], Text, NOBODY),
    (&["detail", "status"], Int, NOBODY),
    (&["detail", "subresource"], Symbol, NOBODY),
    (&["detail", "user_agent"], Symbol, ANYBODY),
    (&["detail", "verb"], Symbol, NOBODY),
];

const FLOW: &[Entry] = &[
    (&["detail", "boot"], Symbol, NOBODY),
    (&["detail", "connections"], Int, NOBODY),
    (&["detail", "dst"], Address, HOLDER),
    (&["detail", "dst_node"], Symbol, HOLDER),
    (&["detail", "dst_ports"], Symbol, NOBODY),
    (&["detail", "end"], Time, NOBODY),
    (&["detail", "end_reason"], Symbol, NOBODY),
    (&["detail", "first_seq"], Int, NOBODY),
    (&["detail", "last_seq"], Int, NOBODY),
    (&["detail", "layer"], Symbol, NOBODY),
    (&["detail", "local_user"], Symbol, ANYBODY),
    (&["detail", "logged"], Time, NOBODY),
    (&["detail", "opener"], Symbol, NOBODY),
    (&["detail", "pid"], Int, NOBODY),
    (&["detail", "proc_id"], Int, NOBODY),
    (&["detail", "proc_seq"], Int, NOBODY),
    (&["detail", "process"], Symbol, ANYBODY),
    (&["detail", "proto"], Int, NOBODY),
    (&["detail", "record"], Json, ANYBODY),
    (&["detail", "reporter"], Symbol, HOLDER),
    (&["detail", "rx_bytes"], Int, NOBODY),
    (&["detail", "rx_packets"], Int, NOBODY),
    (&["detail", "rx_payload_bytes"], Int, NOBODY),
    (&["detail", "rx_segments"], Int, NOBODY),
    (&["detail", "ses"], Int, NOBODY),
    (&["detail", "src"], Address, HOLDER),
    (&["detail", "src_node"], Symbol, HOLDER),
    (&["detail", "start"], Time, NOBODY),
    (&["detail", "tx_bytes"], Int, NOBODY),
    (&["detail", "tx_packets"], Int, NOBODY),
    (&["detail", "tx_payload_bytes"], Int, NOBODY),
    (&["detail", "tx_segments"], Int, NOBODY),
    (&["detail", "unattributed"], Symbol, ANYBODY),
    (&["detail", "unit"], Symbol, ANYBODY),
];

const CONFIG: &[Entry] = &[
    (&["detail", "action"], Symbol, NOBODY),
    (&["detail", "diff"], Text, ANYBODY),
    (&["detail", "digest"], Sha256, ANYBODY),
    (&["detail", "error"], Symbol, ANYBODY),
    (&["detail", "lines"], Json, ANYBODY),
    (&["detail", "new"], Json, TARGET_TYPE.and_anybody()),
    (&["detail", "not_before"], Time, NOBODY),
    (&["detail", "old"], Json, TARGET_TYPE.and_anybody()),
    (&["detail", "operation"], Text, NOBODY),
    (&["detail", "origin"], Symbol, NOBODY),
    (&["detail", "part"], Int, NOBODY),
    (&["detail", "parts"], Int, NOBODY),
    (&["detail", "property"], Symbol, NOBODY),
    (&["detail", "record"], Json, ANYBODY),
    (&["detail", "refers_to"], EventId, NOBODY),
    (&["detail", "summary"], Text, ANYBODY),
    (&["detail", "via"], Symbol, NOBODY),
];

const LOG: &[Entry] = &[
    (&["detail", "collection"], Symbol, NOBODY),
    (&["detail", "fields"], Json, ANYBODY),
    (&["detail", "proc_id"], Int, NOBODY),
    (&["detail", "proc_seq"], Int, NOBODY),
    (&["detail", "text"], Text, ANYBODY),
    (&["detail", "verbosity"], Int, NOBODY),
];

/// With the columns of alerts and deliveries, which were of this family before they had one of their own.
const FINDING: &[Entry] = &[
    (&["detail", "attempts"], Int, NOBODY),
    (&["detail", "count"], Int, NOBODY),
    (&["detail", "destination"], Symbol, NOBODY),
    (&["detail", "error"], Symbol, ANYBODY),
    (&["detail", "events"], Json, NOBODY),
    (&["detail", "finding"], EventId, NOBODY),
    (&["detail", "first"], Int, NOBODY),
    (&["detail", "first_time"], Time, NOBODY),
    (&["detail", "key"], Text, ANYBODY),
    (&["detail", "last"], Int, NOBODY),
    (&["detail", "last_time"], Time, NOBODY),
    (&["detail", "reason"], Text, ANYBODY),
    (&["detail", "rule"], Symbol, NOBODY),
    (&["detail", "severity"], Symbol, NOBODY),
    (&["detail", "status"], Symbol, NOBODY),
    (&["detail", "subject", "id"], Symbol, SUBJECT_TYPE.and_anybody()),
    (&["detail", "subject", "type"], Symbol, NOBODY),
    (&["detail", "summary"], Text, ANYBODY),
    (&["detail", "title"], Symbol, NOBODY),
];

const DELIVERY: &[Entry] = &[
    (&["detail", "attempts"], Int, NOBODY),
    (&["detail", "count"], Int, NOBODY),
    (&["detail", "destination"], Symbol, NOBODY),
    (&["detail", "error"], Symbol, ANYBODY),
    (&["detail", "finding"], EventId, NOBODY),
    (&["detail", "first"], Int, NOBODY),
    (&["detail", "last"], Int, NOBODY),
    (&["detail", "rule"], Symbol, NOBODY),
    (&["detail", "severity"], Symbol, NOBODY),
    (&["detail", "summary"], Text, ANYBODY),
    (&["detail", "title"], Symbol, NOBODY),
];

const OWN: &[Entry] = &[
    (&["detail", "address"], Address, HOLDER_OR_ACTOR),
    (&["detail", "count"], Int, NOBODY),
    (&["detail", "counts"], Json, NOBODY),
    (&["detail", "day"], Symbol, NOBODY),
    (&["detail", "definition"], Json, ANYBODY),
    (&["detail", "expires"], Time, NOBODY),
    (&["detail", "first"], Int, NOBODY),
    (&["detail", "last"], Int, NOBODY),
    (&["detail", "message"], Text, ANYBODY),
    (&["detail", "method"], Symbol, NOBODY),
    (&["detail", "owner"], Symbol, ANYBODY),
    (&["detail", "reason"], Text, ANYBODY),
    (&["detail", "replaces"], EventId, NOBODY),
    (&["detail", "role"], Symbol, NOBODY),
    (&["detail", "scope"], Text, ANYBODY),
    (&["detail", "sha256"], Sha256, NOBODY),
    (&["detail", "source"], Symbol, NOBODY),
    (&["detail", "what"], Symbol, NOBODY),
];

static LAYOUTS: LazyLock<[Layout; Family::ALL.len()]> = LazyLock::new(|| Family::ALL.map(Layout::build));

impl Family {
    /// The family's columns.
    pub fn layout(self) -> &'static Layout {
        let place = Self::ALL.iter().position(|&family| family == self);
        &LAYOUTS[place.expect("ALL holds every family")]
    }
}

impl Layout {
    fn build(family: Family) -> Self {
        let mut entries: Vec<Entry> = COMMON.iter().chain(details(family)).copied().collect();
        entries.sort_unstable_by_key(|&(path, ..)| path);
        let columns = entries
            .iter()
            .map(|&(path, column_type, personal)| Column {
                name: column_name(path),
                path,
                column_type,
                personal,
            })
            .collect();
        let mut members = Vec::new();
        for (number, (path, ..)) in entries.iter().enumerate() {
            insert_member(&mut members, path, number);
        }
        Self { family, columns, members }
    }

    /// The column of this name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}

/// `actor.person.login` is `actor_login`, `detail.src` is `src`; a detail that shares a common name keeps its prefix.
fn column_name(path: &[&str]) -> String {
    match path {
        ["detail"] => "detail".to_owned(),
        ["detail", rest @ ..] => {
            let name = rest.join("_");
            if COMMON.iter().any(|(common, ..)| common.join("_") == name) {
                format!("detail_{name}")
            } else {
                name
            }
        }
        ["identity", "likely", "person", rest @ ..] => format!("likely_{}", rest.join("_")),
        ["identity", "likely", rest @ ..] => format!("likely_{}", rest.join("_")),
        ["actor", "person", rest @ ..] => format!("actor_{}", rest.join("_")),
        ["target", "person", rest @ ..] => format!("target_person_{}", rest.join("_")),
        path => path.join("_"),
    }
}

fn insert_member(members: &mut Vec<(&'static str, Member)>, path: &'static [&'static str], number: usize) {
    let (first, rest) = path.split_first().expect("a column has a path");
    if rest.is_empty() {
        members.push((first, Member::Column(number)));
        return;
    }
    if members.last().is_none_or(|(name, _)| name != first) {
        members.push((first, Member::Object(Vec::new())));
    }
    match members.last_mut() {
        Some((_, Member::Object(inner))) => insert_member(inner, rest, number),
        _ => unreachable!("no column's path begins with another's"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn columns_are_in_canonical_order_and_have_distinct_names() {
        for family in Family::ALL {
            let layout = family.layout();
            assert!(layout.columns.is_sorted_by(|a, b| a.path < b.path), "{family}");
            let names: HashSet<_> = layout.columns.iter().map(|column| &column.name).collect();
            assert_eq!(names.len(), layout.columns.len(), "{family}");
        }
    }
}
