//! Whose personal data each column holds: the table of docs/erasure.md.

use meshtrail_event::{Family, Layout};

/// The one person whose a value is, by the event's structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    Actor,
    Target,
    ActorDevice,
    TargetDevice,
    Holder,
    HolderOrActor,
    TargetType,
}

/// What a column says of people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Personal {
    pub(crate) whose: Option<Whose>,
    pub(crate) names_anybody: bool,
}

/// Which columns are encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// All columns of the table.
    All,
    /// Without columns of free text: texts of many values and free JSON.
    WithoutFreeText,
}

impl Personal {
    const fn of(whose: Whose) -> Self {
        Self { whose: Some(whose), names_anybody: false }
    }

    const fn and_anybody(whose: Whose) -> Self {
        Self { whose: Some(whose), names_anybody: true }
    }

    const NOBODY: Self = Self { whose: None, names_anybody: false };
    const ANYBODY: Self = Self { whose: None, names_anybody: true };
}

/// What each column of a layout holds, by the column's number.
pub(crate) fn of_columns(layout: &Layout, extent: Extent) -> Vec<Personal> {
    let of = |column: &meshtrail_event::Column| {
        if extent == Extent::WithoutFreeText && is_free_text(column.path) {
            return Personal::NOBODY;
        }
        of_path(layout.family, column.path)
    };
    layout.columns.iter().map(of).collect()
}

/// Columns in which people write what they like.
fn is_free_text(path: &[&str]) -> bool {
    let names = [
        "command", "body", "path", "query", "diff", "lines", "new", "old", "record", "summary", "fields",
        "text", "message", "reason", "error",
    ];
    matches!(path, ["detail"]) || matches!(path, ["detail", name] if names.contains(name))
}

fn of_path(family: Family, path: &[&str]) -> Personal {
    use Whose::{Actor, ActorDevice, Holder, Target, TargetDevice, TargetType};
    match path {
        ["actor", "device", "name"] => Personal::and_anybody(ActorDevice),
        ["actor", "device", "id" | "addresses" | "os"] => Personal::of(ActorDevice),
        ["actor", "person", _] => Personal::of(Actor),
        ["identity", "claimed", "login" | "node" | "node_id"] => Personal::and_anybody(Actor),
        ["target", "address"] => Personal::of(Holder),
        ["target", "device", "name"] => Personal::and_anybody(TargetDevice),
        ["target", "device", "id" | "addresses" | "os"] => Personal::of(TargetDevice),
        ["target", "person", _] => Personal::of(Target),
        ["target", "id"] => Personal::of(TargetType),
        ["target", "name"] => Personal::and_anybody(TargetType),
        ["actor", "service"] | ["identity", "reason"] | ["target", "account" | "container" | "namespace"] => {
            Personal::ANYBODY
        }
        ["detail"] => Personal::ANYBODY,
        ["detail", name] => of_detail(family, name),
        _ => Personal::NOBODY,
    }
}

fn of_detail(family: Family, name: &str) -> Personal {
    let holder = Personal::of(Whose::Holder);
    match (family, name) {
        (Family::Session, "recorded_by") => Personal::and_anybody(Whose::Holder),
        (Family::Session, "peer") => holder,
        (Family::Login, "peer") | (Family::Meshtrail, "address") => Personal::of(Whose::HolderOrActor),
        (Family::Flow, "dst" | "src" | "dst_node" | "src_node" | "reporter") => holder,
        (Family::Config, "new" | "old") => Personal::and_anybody(Whose::TargetType),
        (Family::Session, "anomalies" | "command" | "imported_from" | "reason" | "requested_user")
        | (Family::Login, "reason")
        | (Family::Kube, "body" | "body_sha256" | "path" | "query" | "user_agent")
        | (Family::Flow, "record")
        | (Family::Config, "diff" | "summary" | "digest" | "error" | "lines" | "record")
        | (Family::Log, "fields" | "text")
        | (Family::Finding, "error" | "summary")
        | (Family::Meshtrail, "message" | "reason") => Personal::ANYBODY,
        _ => Personal::NOBODY,
    }
}
