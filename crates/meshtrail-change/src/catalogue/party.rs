//! The actor, its identity and the target of an audit log record.

use std::sync::Arc;

use meshtrail_event::{Actor, Device, Identity, IdentityStatus, Person, Target, Timestamp};
use serde_json::{Map, Value};

use super::members::text;

fn owned(members: &Map<String, Value>, name: &str) -> Option<String> {
    text(members, name).map(str::to_owned)
}

fn texts(members: &Map<String, Value>, name: &str) -> Vec<String> {
    let items = members.get(name).and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// A DNS name without its trailing dot.
fn without_dot(name: String) -> String {
    name.strip_suffix('.').map(str::to_owned).unwrap_or(name)
}

/// The actor of a record: a person, a device, or a program.
pub(super) fn actor(members: Option<&Map<String, Value>>) -> Actor {
    let Some(members) = members else { return Actor::default() };
    let (id, login, name) =
        (owned(members, "id"), owned(members, "loginName"), owned(members, "displayName"));
    match text(members, "type") {
        Some("NODE") => {
            let tags = texts(members, "tags");
            let device = Device { id, name: name.map(without_dot), tags: tags.clone(), ..Device::default() };
            Actor {
                device: Some(device).filter(|device| !device.is_empty()).map(Arc::new),
                tags,
                ..Actor::default()
            }
        }
        Some("USER") | None if login.is_some() => {
            let person = Person { id, login: login.unwrap_or_default(), name, ..Person::default() };
            Actor { person: Some(person.into()), ..Actor::default() }
        }
        of_type => {
            let service = name.or(login).or(id).or_else(|| of_type.map(str::to_lowercase));
            Actor { service, ..Actor::default() }
        }
    }
}

/// The identity of the actor: resolved by the control plane, at the time of the record.
pub(super) fn identity(actor: &Actor, provider: &str, time: Timestamp) -> Identity {
    if actor.is_empty() {
        let reason = Some("the record names no actor".to_owned());
        return Identity { provider: Some(provider.to_owned()), reason, ..Identity::default() };
    }
    Identity {
        as_of: Some(time),
        provider: Some(provider.to_owned()),
        status: IdentityStatus::Resolved,
        ..Identity::default()
    }
}

/// The target of a record.
pub(super) fn target(members: Option<&Map<String, Value>>) -> Target {
    let Some(members) = members else { return Target::default() };
    let (id, name) = (owned(members, "id"), owned(members, "name"));
    let word = text(members, "type").unwrap_or_default();
    let of_type = of_type(word, text(members, "property"));
    let mut target =
        Target { id: id.clone(), name: name.clone(), of_type: Some(of_type), ..Target::default() };
    match word {
        "NODE" | "SHARE" => {
            let name = name.map(without_dot);
            target.name.clone_from(&name);
            target.device = Some(Device { id, name, ..Device::default() }.into());
        }
        "USER" => {
            let login = name.or_else(|| id.clone()).unwrap_or_default();
            target.person = Some(Person { id, login, ..Person::default() }.into());
        }
        _ => {}
    }
    target
}

/// A target's type in an event, from its type in the audit log.
fn of_type(word: &str, property: Option<&str>) -> String {
    match (word, property) {
        ("NODE", _) => "device",
        ("API_KEY", _) => "key",
        ("TAILNET", Some("ACL")) => "policy",
        ("TAILNET", Some("DNS_CONFIG" | "MAGIC_DNS" | "TCD")) => "dns",
        (word, _) => return word.to_lowercase(),
    }
    .to_owned()
}

/// A target's type in the audit log, from its type in an event; the inverse of [`of_type`].
pub(super) fn audit_log_type(of_type: &str) -> String {
    match of_type {
        "device" => "NODE".to_owned(),
        "key" => "API_KEY".to_owned(),
        "policy" | "dns" => "TAILNET".to_owned(),
        other => other.to_uppercase(),
    }
}
