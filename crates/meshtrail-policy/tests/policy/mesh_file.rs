//! Directories and vectors as files.

use std::collections::BTreeMap;

use meshtrail_policy::{Attributes, Device, DeviceRef, Directory, Mesh, Person, Prefix};
use serde_json::Value;

/// The text of a file beside the tests.
pub(crate) fn read(name: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A file of JSON.
pub(crate) fn read_json(name: &str) -> Value {
    serde_json::from_str(&read(name)).unwrap()
}

/// A file of one JSON value a line.
pub(crate) fn read_lines(name: &str) -> Vec<Value> {
    read(name).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A mesh from `{"domains": […], "people": {login: role}, "devices": {name: {…}}}`.
pub(crate) fn mesh(value: &Value) -> Mesh {
    let people = value["people"].as_object().unwrap().iter().map(|(login, role)| Person {
        login: login.clone(),
        role: role.as_str().map(|role| role.parse().unwrap()),
        ..Person::default()
    });
    let devices = value["devices"].as_object().unwrap();
    Mesh::new(Directory {
        domains: texts(&value["domains"]).into_iter().collect(),
        people: people.collect(),
        devices: devices.iter().map(|(name, device)| self::device(name, device)).collect(),
    })
}

fn device(name: &str, value: &Value) -> Device {
    let prefixes =
        |member: &str| texts(&value[member]).iter().map(|text| text.parse::<Prefix>().unwrap()).collect();
    Device {
        id: name.to_owned(),
        name: name.to_owned(),
        addresses: texts(&value["addresses"]).iter().map(|address| address.parse().unwrap()).collect(),
        owner: value["owner"].as_str().map(str::to_owned),
        tags: texts(&value["tags"]).into_iter().collect(),
        routes: prefixes("routes"),
        advertised_routes: prefixes("advertised"),
        external: value["external"].as_bool().unwrap_or_default(),
        attributes: Attributes::default(),
        ..Device::default()
    }
}

/// The texts of a list; none of anything else.
pub(crate) fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// All devices by name.
pub(crate) fn by_name(mesh: &Mesh) -> BTreeMap<String, DeviceRef> {
    mesh.devices().map(|device| (mesh.device(device).name.clone(), device)).collect()
}
