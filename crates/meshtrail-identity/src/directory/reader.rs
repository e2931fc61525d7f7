//! Parses a directory member by member, so that each error can name its key.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

use serde_json::{Map, Value};

use super::{Directory, DirectoryError, Entries};
use crate::local_api::single_address;
use crate::subject::{Owner, Subject, group_name};

type Read<T> = Result<T, DirectoryError>;

pub(super) fn read(value: &Value) -> Read<Directory> {
    let root = Keyed { key: String::new(), value }.table(&["people", "devices", "groups"])?;
    let mut groups = BTreeMap::new();
    let mut people = HashMap::new();
    for person in root.list("people")? {
        read_person(&person, &mut people, &mut groups)?;
    }
    let mut devices = Vec::new();
    let mut used = UsedKeys::default();
    for device in root.list("devices")? {
        let device = read_device(&device, &people, &mut used)?;
        devices.push(device);
    }
    if let Some(listed) = root.get("groups") {
        let table = listed.object()?;
        for (name, members) in table {
            let at = Keyed { key: format!("groups.{name}"), value: members };
            let members: &mut BTreeSet<String> = groups.entry(group_name(name)).or_default();
            for member in at.items()? {
                members.insert(member.text()?.to_lowercase());
            }
        }
    }
    Ok(Entries { people, devices, groups }.into())
}

fn read_person(
    person: &Keyed<'_>,
    people: &mut HashMap<String, Owner>,
    groups: &mut BTreeMap<String, BTreeSet<String>>,
) -> Read<()> {
    let person = person.clone().table(&["login", "name", "groups"])?;
    let at = person.required("login")?;
    let login = at.text()?;
    for group in person.list("groups")? {
        groups.entry(group_name(group.text()?)).or_default().insert(login.to_lowercase());
    }
    let display_name = person.optional_text("name")?;
    let owner = Owner { id: None, login: login.to_owned(), display_name, groups: BTreeSet::new() };
    match people.insert(login.to_lowercase(), owner) {
        None => Ok(()),
        Some(_) => Err(at.error(format!("{login:?} is listed twice"))),
    }
}

/// Addresses and ids of parsed devices, to find duplicates.
#[derive(Default)]
struct UsedKeys {
    addresses: HashMap<IpAddr, String>,
    ids: HashSet<String>,
}

fn read_device(device: &Keyed<'_>, people: &HashMap<String, Owner>, used: &mut UsedKeys) -> Read<Subject> {
    let key = device.key.clone();
    let device = device.clone().table(&["name", "id", "addresses", "owner", "tags", "os"])?;
    let name = device.required("name")?.text()?.trim_end_matches('.').to_owned();
    let stable_id = device.optional_text("id")?;
    if let Some(id) = &stable_id
        && !used.ids.insert(id.clone())
    {
        return Err(device.at("id").error(format!("{id:?} is the id of another device")));
    }
    let mut addresses = Vec::new();
    for at in device.list("addresses")? {
        let address = read_address(&at)?;
        if let Some(other) = used.addresses.insert(address, key.clone()) {
            return Err(at.error(format!("{address} already belongs to {other}")));
        }
        addresses.push(address);
    }
    let owner = read_owner(&device, people)?;
    let mut tags = BTreeSet::new();
    for at in device.list("tags")? {
        if owner.is_some() {
            return Err(device.at("tags").error("a device has an owner or tags, not both"));
        }
        let tag = at.text()?;
        if !tag.starts_with("tag:") {
            return Err(at.error(format!("{tag:?} must begin with tag:")));
        }
        tags.insert(tag.to_owned());
    }
    Ok(Subject { name: Some(name), stable_id, addresses, os: device.optional_text("os")?, owner, tags })
}

fn read_owner(device: &Table<'_>, people: &HashMap<String, Owner>) -> Read<Option<Owner>> {
    let Some(at) = device.get("owner") else { return Ok(None) };
    let login = at.text()?;
    match people.get(&login.to_lowercase()) {
        Some(owner) => Ok(Some(owner.clone())),
        None => Err(at.error(format!("{login:?} is not among the people"))),
    }
}

fn read_address(at: &Keyed<'_>) -> Read<IpAddr> {
    let text = at.text()?;
    let address = single_address(text)
        .ok_or_else(|| at.error(format!("{text:?} is not a single IP address")))?
        .to_canonical();
    let shared = [IpAddr::from([127, 0, 0, 1]), std::net::Ipv6Addr::LOCALHOST.into()];
    if shared.contains(&address) || address.is_unspecified() || address.is_multicast() {
        return Err(at.error(format!("{address} belongs to no one device")));
    }
    Ok(address)
}

/// A value with its key.
#[derive(Clone)]
struct Keyed<'a> {
    key: String,
    value: &'a Value,
}

impl<'a> Keyed<'a> {
    fn error(&self, problem: impl Into<String>) -> DirectoryError {
        let key = if self.key.is_empty() { "the file".to_owned() } else { self.key.clone() };
        DirectoryError::Key { key, problem: problem.into() }
    }

    fn object(&self) -> Read<&'a Map<String, Value>> {
        self.value
            .as_object()
            .ok_or_else(|| self.error(format!("must be a table, not {}", type_name(self.value))))
    }

    fn items(&self) -> Read<Vec<Keyed<'a>>> {
        let items = self
            .value
            .as_array()
            .ok_or_else(|| self.error(format!("must be a list, not {}", type_name(self.value))))?;
        let at = |(index, value)| Keyed { key: format!("{}[{index}]", self.key), value };
        Ok(items.iter().enumerate().map(at).collect())
    }

    fn text(&self) -> Read<&'a str> {
        match self.value.as_str() {
            Some(text) if text.trim().is_empty() => Err(self.error("is empty")),
            Some(text) if text.chars().any(char::is_control) => Err(self.error("holds control characters")),
            Some(text) => Ok(text.trim()),
            None => Err(self.error(format!("must be a text, not {}", type_name(self.value)))),
        }
    }

    fn table(self, known: &[&str]) -> Read<Table<'a>> {
        let members = self.object()?;
        let table = Table { key: self.key, members };
        match members.keys().find(|name| !known.contains(&name.as_str())) {
            Some(name) => {
                Err(table.at(name).error(format!("is not known here; known are: {}", known.join(", "))))
            }
            None => Ok(table),
        }
    }
}

/// A table without unknown keys.
struct Table<'a> {
    key: String,
    members: &'a Map<String, Value>,
}

impl<'a> Table<'a> {
    fn at(&self, name: &str) -> Keyed<'a> {
        let key = if self.key.is_empty() { name.to_owned() } else { format!("{}.{name}", self.key) };
        Keyed { key, value: self.members.get(name).unwrap_or(&Value::Null) }
    }

    fn get(&self, name: &str) -> Option<Keyed<'a>> {
        self.members.contains_key(name).then(|| self.at(name))
    }

    fn required(&self, name: &str) -> Read<Keyed<'a>> {
        self.get(name).ok_or_else(|| self.at(name).error("is missing"))
    }

    fn optional_text(&self, name: &str) -> Read<Option<String>> {
        self.get(name).map(|at| at.text().map(str::to_owned)).transpose()
    }

    fn list(&self, name: &str) -> Read<Vec<Keyed<'a>>> {
        self.get(name).map_or_else(|| Ok(Vec::new()), |at| at.items())
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a table",
    }
}
