//! Values of columns that every match of a term has, so that readers of columns skip the others.
//!
//! A requirement may hold for leaves that don't match, but never fails for one that does; it is judged by columns alone,
//! and the reader itself returns leaves whose members are outside of the columns.

use std::net::IpAddr;

use crate::address::AddressValue;
use crate::field::Field;
use crate::matching::{UNRESOLVED, kind_fits, name_fits, path_fits, source_of};
use crate::pattern::{Pattern, contains};
use crate::view::Texts;

/// A requirement: at least one of some columns has an accepted value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The columns; each family has some of them.
    pub columns: Vec<RequiredColumn>,
}

/// A column, and the values that it accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequiredColumn {
    /// The column's name in a segment.
    pub column: &'static str,
    accepted: Accepted,
}

/// The values that a column accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Accepted {
    /// Any value.
    Any,
    /// A kind, or its beginning.
    Kind(Vec<Pattern>),
    /// A value, with or without a prefix.
    Value(&'static str, Vec<Pattern>),
    /// The name of a device, or its first label.
    Name(Vec<Pattern>),
    /// A path, or its last part.
    Path(Vec<Pattern>),
    /// A list of values in JSON, one of which fits, with or without a prefix.
    List(&'static str, Vec<Pattern>),
    /// A value that contains one of these.
    Part(Vec<Pattern>),
    /// The name of a pod, alone or behind its namespace.
    Pod(Vec<Pattern>),
    /// The address of an endpoint, whose port is in another column, written with or without the port.
    Endpoint(Vec<Pattern>),
    /// The address of an endpoint, whose port is in another column.
    Address(Vec<AddressValue>),
    /// A list of addresses in JSON.
    Addresses(Vec<AddressValue>),
}

impl RequiredColumn {
    /// Texts with one of which every accepted value begins; none where that is not known.
    pub(crate) fn prefixes(&self) -> Option<Vec<&str>> {
        let Accepted::Value("", patterns) = &self.accepted else { return None };
        let prefix = |pattern| Some(Pattern::caseless_prefix(pattern)).filter(|prefix| !prefix.is_empty());
        patterns.iter().map(prefix).collect()
    }

    /// Whether this value is accepted.
    pub fn accepts(&self, value: &str) -> bool {
        let any = |patterns: &[Pattern], fits: &dyn Fn(&Pattern) -> bool| patterns.iter().any(fits);
        match &self.accepted {
            Accepted::Any => true,
            Accepted::Kind(patterns) => any(patterns, &|pattern| kind_fits(pattern, value)),
            Accepted::Value(prefix, patterns) => {
                any(patterns, &|pattern| pattern.fits_with_prefix(prefix, value))
            }
            Accepted::Name(patterns) => {
                name_fits(value, &mut |name| any(patterns, &|pattern| pattern.fits(name)))
            }
            Accepted::Path(patterns) => {
                path_fits(value, &mut |path| any(patterns, &|pattern| pattern.fits(path)))
            }
            Accepted::List(prefix, patterns) => {
                list_has(value, |value| any(patterns, &|pattern| pattern.fits_with_prefix(prefix, value)))
            }
            Accepted::Part(patterns) => any(patterns, &|pattern| pattern.is_found_in(value)),
            Accepted::Pod(patterns) => any(patterns, &|pattern| {
                pattern.is_wild() || pattern.fits(value) || ends_with_label(pattern.text(), value)
            }),
            Accepted::Endpoint(patterns) => {
                any(patterns, &|pattern| pattern.is_wild() || contains(pattern.text(), value))
            }
            Accepted::Address(values) => values.iter().any(|wanted| address_fits(wanted, value)),
            Accepted::Addresses(values) => {
                list_has(value, |value| values.iter().any(|wanted| wanted.fits(value)))
            }
        }
    }
}

/// Whether a JSON list has a value that fits; what is not a list may have one.
fn list_has(json: &str, fits: impl Fn(&str) -> bool) -> bool {
    serde_json::from_str::<Texts<'_>>(json).map_or(true, |texts| texts.iter().any(fits))
}

/// Whether the text ends with `/` and the value, in either case.
fn ends_with_label(text: &str, value: &str) -> bool {
    text.len()
        .checked_sub(value.len() + 1)
        .and_then(|at| text.split_at_checked(at))
        .is_some_and(|(_, end)| end.strip_prefix('/').is_some_and(|end| end.eq_ignore_ascii_case(value)))
}

/// Whether an endpoint with this address, at some port, may match.
fn address_fits(wanted: &AddressValue, address: &str) -> bool {
    match wanted {
        AddressValue::Wild(_) => true,
        AddressValue::Port(wanted) => address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.to_canonical() == wanted.ip().to_canonical()),
        AddressValue::One(_) | AddressValue::Net(..) => wanted.fits(address),
    }
}

impl Requirement {
    /// The requirement that holds if this one or the other does.
    pub(crate) fn or(mut self, other: &Requirement) -> Requirement {
        self.columns.extend(other.columns.iter().cloned());
        self
    }

    /// Whether both are of the same columns.
    pub(crate) fn is_of(&self, other: &Requirement) -> bool {
        self.columns.iter().map(|column| column.column).eq(other.columns.iter().map(|column| column.column))
    }

    /// The requirement of an `address` term.
    pub(crate) fn of_addresses(values: &[AddressValue]) -> Requirement {
        let endpoint = Accepted::Address(values.to_vec());
        let list = Accepted::Addresses(values.to_vec());
        columns([
            (&["target_address", "peer", "address", "src", "dst", "bind"], endpoint),
            (&["actor_device_addresses", "target_device_addresses"], list),
            (&["detail"], Accepted::Any),
        ])
    }

    /// The requirement of a term; none if its matches have nothing in common that columns tell.
    pub(crate) fn of_term(field: Field, values: &[Pattern]) -> Option<Requirement> {
        let prefix = field.implied_prefix();
        let value = || Accepted::Value(prefix, values.to_vec());
        let name = || Accepted::Name(values.to_vec());
        let list = || Accepted::List(prefix, values.to_vec());
        Some(match field {
            Field::Kind => columns([(&["kind"], Accepted::Kind(values.to_vec()))]),
            Field::Outcome => columns([(&["outcome"], value())]),
            Field::Session => columns([(&["session"], value())]),
            Field::Source => columns([(&["id_source"], value())]),
            Field::Id => columns([(&["id_source"], Accepted::Value("", sources(values)?))]),
            // Without a status an event counts as unresolved, and the column is empty.
            Field::Identity if values.iter().any(|pattern| pattern.fits(UNRESOLVED)) => return None,
            Field::Identity => columns([(&["identity_status"], value())]),
            Field::Actor => columns([
                (&ACTOR_VALUES, value()),
                (&["actor_device_name", "identity_claimed_node"], name()),
                (&["actor_tags", "identity_claimed_tags", "actor_device_addresses"], list()),
            ]),
            Field::Person => columns([(&["actor_login", "actor_name"], value())]),
            Field::Group => columns([(&["actor_groups"], list())]),
            Field::Tag => columns([(&TAGS, list())]),
            Field::Device => columns([
                (&["actor_device_id", "target_device_id", "src_node", "dst_node"], value()),
                (&["actor_device_name", "target_device_name", "recorded_by"], name()),
                (&["actor_device_addresses", "target_device_addresses"], list()),
                (&["detail"], Accepted::Any),
            ]),
            Field::Target => columns([
                (&TARGET_VALUES, value()),
                (&["target_device_name"], name()),
                (&["target_name"], Accepted::Pod(values.to_vec())),
                (&["target_address"], Accepted::Endpoint(values.to_vec())),
                (&["target_device_tags", "target_device_addresses"], list()),
            ]),
            Field::Namespace => columns([(&["target_namespace"], value())]),
            Field::Cluster => columns([(&["target_cluster"], value())]),
            Field::By => columns([(&["identity_provider"], value())]),
            Field::Command => of_detail("command", Accepted::Part(values.to_vec())),
            Field::Argv => of_detail("argv", list()),
            Field::Executable => of_detail("executable", Accepted::Path(values.to_vec())),
            Field::File => of_detail("path", Accepted::Path(values.to_vec())),
            Field::Url => of_detail("path", Accepted::Part(values.to_vec())),
            Field::Rule => of_detail("rule", value()),
            Field::Severity => of_detail("severity", value()),
            Field::Status => of_detail("status", value()),
            Field::Subject => {
                columns([(&["subject_id", "subject_type"], value()), (&["detail"], Accepted::Any)])
            }
            Field::Text | Field::Address | Field::Since | Field::Until => return None,
        })
    }
}

const ACTOR_VALUES: [&str; 6] = [
    "actor_login",
    "actor_name",
    "actor_service",
    "actor_device_id",
    "identity_claimed_login",
    "identity_claimed_node_id",
];
const TARGET_VALUES: [&str; 5] =
    ["target_account", "target_container", "target_id", "target_namespace", "target_device_id"];
const TAGS: [&str; 4] = ["actor_tags", "actor_device_tags", "target_device_tags", "identity_claimed_tags"];

fn columns<const N: usize>(groups: [(&[&'static str], Accepted); N]) -> Requirement {
    let each = |(names, accepted): (&[&'static str], Accepted)| -> Vec<RequiredColumn> {
        names.iter().map(|column| RequiredColumn { column, accepted: accepted.clone() }).collect()
    };
    Requirement { columns: groups.into_iter().flat_map(each).collect() }
}

/// The requirement of a detail's column; in files of unknown kinds, a detail is one column.
fn of_detail(column: &'static str, accepted: Accepted) -> Requirement {
    Requirement {
        columns: [(column, accepted), ("detail", Accepted::Any)]
            .map(|(column, accepted)| RequiredColumn { column, accepted })
            .into(),
    }
}

/// The sources of ids; none if one can't be told from its pattern.
fn sources(ids: &[Pattern]) -> Option<Vec<Pattern>> {
    let source =
        |pattern: &Pattern| source_of(pattern.text()).filter(|_| !pattern.is_wild()).map(Pattern::literal);
    ids.iter().map(source).collect()
}
