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

type Entry = (&'static [&'static str], ColumnType);

use ColumnType::{Address, EventId, Int, Json, Sha256, Symbol, Text, Time};

/// The columns of every event.
const COMMON: &[Entry] = &[
    (&["actor", "device", "addresses"], Json),
    (&["actor", "device", "id"], Symbol),
    (&["actor", "device", "name"], Symbol),
    (&["actor", "device", "os"], Symbol),
    (&["actor", "device", "tags"], Json),
    (&["actor", "person", "groups"], Json),
    (&["actor", "person", "id"], Symbol),
    (&["actor", "person", "login"], Symbol),
    (&["actor", "person", "name"], Symbol),
    (&["actor", "service"], Symbol),
    (&["actor", "tags"], Json),
    (&["id"], EventId),
    (&["identity", "as_of"], Time),
    (&["identity", "claimed", "login"], Symbol),
    (&["identity", "claimed", "node"], Symbol),
    (&["identity", "claimed", "node_id"], Symbol),
    (&["identity", "claimed", "tags"], Json),
    (&["identity", "provider"], Symbol),
    (&["identity", "reason"], Symbol),
    (&["identity", "status"], Symbol),
    (&["kind"], Symbol),
    (&["outcome"], Symbol),
    (&["received"], Time),
    (&["session"], Text),
    (&["target", "account"], Symbol),
    (&["target", "address"], Address),
    (&["target", "container"], Symbol),
    (&["target", "device", "addresses"], Json),
    (&["target", "device", "id"], Symbol),
    (&["target", "device", "name"], Symbol),
    (&["target", "device", "os"], Symbol),
    (&["target", "device", "tags"], Json),
    (&["target", "id"], Text),
    (&["target", "name"], Symbol),
    (&["target", "namespace"], Symbol),
    (&["target", "person", "groups"], Json),
    (&["target", "person", "id"], Symbol),
    (&["target", "person", "login"], Symbol),
    (&["target", "person", "name"], Symbol),
    (&["target", "type"], Symbol),
    (&["time"], Time),
];

const fn details(family: Family) -> &'static [Entry] {
    match family {
        Family::Session => SESSION,
        Family::Recording => &[(&["detail", "bytes"], Int), (&["detail", "sha256"], Sha256)],
        Family::Login => LOGIN,
        Family::Kube => KUBE,
        Family::Flow => FLOW,
        Family::Config => CONFIG,
        Family::Log => LOG,
        Family::Finding => FINDING,
        Family::Meshtrail => OWN,
        Family::Other => &[(&["detail"], Json)],
    }
}

const SESSION: &[Entry] = &[
    (&["detail", "anomalies"], Json),
    (&["detail", "bytes"], Int),
    (&["detail", "command"], Text),
    (&["detail", "connection"], Text),
    (&["detail", "ended"], Time),
    (&["detail", "height"], Int),
    (&["detail", "imported_from"], Text),
    (&["detail", "index_sha256"], Sha256),
    (&["detail", "marks"], Int),
    (&["detail", "not_seen"], Json),
    (&["detail", "peer"], Address),
    (&["detail", "protocol"], Symbol),
    (&["detail", "reason"], Symbol),
    (&["detail", "recorded_by"], Symbol),
    (&["detail", "requested_user"], Symbol),
    (&["detail", "sha256"], Sha256),
    (&["detail", "started"], Time),
    (&["detail", "started_event"], EventId),
    (&["detail", "terminal"], Symbol),
    (&["detail", "width"], Int),
];

const LOGIN: &[Entry] = &[
    (&["detail", "method"], Symbol),
    (&["detail", "peer"], Address),
    (&["detail", "pid"], Int),
    (&["detail", "reason"], Symbol),
    (&["detail", "service"], Symbol),
    (&["detail", "terminal"], Symbol),
];

const KUBE: &[Entry] = &[
    (&["detail", "api_group"], Symbol),
    (&["detail", "api_version"], Symbol),
    (&["detail", "body"], Text),
    (&["detail", "body_bytes"], Int),
    (&["detail", "body_sha256"], Sha256),
    (&["detail", "latency"], Int),
    (&["detail", "method"], Symbol),
    (&["detail", "path"], Text),
    (&["detail", "query"], Json),
    (&["detail", "resource"], Symbol),
    (&["detail", "status"], Int),
    (&["detail", "subresource"], Symbol),
    (&["detail", "user_agent"], Symbol),
    (&["detail", "verb"], Symbol),
];

const FLOW: &[Entry] = &[
    (&["detail", "dst"], Address),
    (&["detail", "dst_node"], Symbol),
    (&["detail", "end"], Time),
    (&["detail", "layer"], Symbol),
    (&["detail", "logged"], Time),
    (&["detail", "proc_id"], Int),
    (&["detail", "proc_seq"], Int),
    (&["detail", "proto"], Int),
    (&["detail", "record"], Json),
    (&["detail", "reporter"], Symbol),
    (&["detail", "rx_bytes"], Int),
    (&["detail", "rx_packets"], Int),
    (&["detail", "src"], Address),
    (&["detail", "src_node"], Symbol),
    (&["detail", "start"], Time),
    (&["detail", "tx_bytes"], Int),
    (&["detail", "tx_packets"], Int),
];

const CONFIG: &[Entry] = &[
    (&["detail", "action"], Symbol),
    (&["detail", "diff"], Text),
    (&["detail", "digest"], Sha256),
    (&["detail", "error"], Symbol),
    (&["detail", "lines"], Json),
    (&["detail", "new"], Json),
    (&["detail", "not_before"], Time),
    (&["detail", "old"], Json),
    (&["detail", "operation"], Text),
    (&["detail", "origin"], Symbol),
    (&["detail", "part"], Int),
    (&["detail", "parts"], Int),
    (&["detail", "property"], Symbol),
    (&["detail", "record"], Json),
    (&["detail", "refers_to"], EventId),
    (&["detail", "summary"], Text),
    (&["detail", "via"], Symbol),
];

const LOG: &[Entry] = &[
    (&["detail", "collection"], Symbol),
    (&["detail", "fields"], Json),
    (&["detail", "proc_id"], Int),
    (&["detail", "proc_seq"], Int),
    (&["detail", "text"], Text),
    (&["detail", "verbosity"], Int),
];

const FINDING: &[Entry] = &[
    (&["detail", "attempts"], Int),
    (&["detail", "count"], Int),
    (&["detail", "destination"], Symbol),
    (&["detail", "error"], Symbol),
    (&["detail", "events"], Json),
    (&["detail", "finding"], EventId),
    (&["detail", "first"], Int),
    (&["detail", "last"], Int),
    (&["detail", "rule"], Symbol),
    (&["detail", "severity"], Symbol),
    (&["detail", "status"], Symbol),
    (&["detail", "summary"], Text),
    (&["detail", "title"], Symbol),
];

const OWN: &[Entry] = &[
    (&["detail", "address"], Address),
    (&["detail", "count"], Int),
    (&["detail", "first"], Int),
    (&["detail", "last"], Int),
    (&["detail", "message"], Text),
    (&["detail", "method"], Symbol),
    (&["detail", "reason"], Text),
    (&["detail", "role"], Symbol),
    (&["detail", "source"], Symbol),
    (&["detail", "what"], Symbol),
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
        entries.sort_unstable_by_key(|&(path, _)| path);
        let columns = entries
            .iter()
            .map(|&(path, column_type)| Column { name: column_name(path), path, column_type })
            .collect();
        let mut members = Vec::new();
        for (number, (path, _)) in entries.iter().enumerate() {
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
            if COMMON.iter().any(|(common, _)| common.join("_") == name) {
                format!("detail_{name}")
            } else {
                name
            }
        }
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
