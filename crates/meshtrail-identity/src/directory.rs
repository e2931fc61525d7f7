//! The directory file: people, devices and groups of a mesh without an API.
//!
//! ```toml
//! [[people]]
//! login = "alice@example.com"
//! name = "Alice"
//!
//! [[devices]]
//! name = "laptop.example.com"
//! addresses = ["10.8.0.2", "fd00::2"]
//! owner = "alice@example.com"
//!
//! [[devices]]
//! name = "web-1.example.com"
//! id = "web-1"
//! addresses = ["10.8.0.20"]
//! tags = ["tag:prod"]
//!
//! [groups]
//! ops = ["alice@example.com"]
//! ```
//!
//! - Every error names its key; an unknown key is an error.
//! - An address belongs to one device, and a device to one person or to its tags, never both.
//! - Prefixes are refused: the device within a prefix would be a guess.
//! - A loaded directory is immutable: a changed file is loaded as a new directory.

mod follow;
mod reader;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

pub use follow::{DirectoryFile, DirectoryState};

use crate::subject::{Owner, Subject, same_name};

/// The longest directory file that is read.
pub(crate) const MAX_FILE: u64 = 16 << 20;

/// Why a directory file can't be loaded.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum DirectoryError {
    #[error("cannot read the directory file {}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("the directory file {} is longer than {MAX_FILE} bytes", path.display())]
    TooLong { path: PathBuf },
    #[error("the directory file {} must be named .toml or .json", path.display())]
    Format { path: PathBuf },
    #[error("the directory file is not TOML")]
    Toml { source: Box<toml::de::Error> },
    #[error("the directory file is not JSON")]
    Json { source: serde_json::Error },
    #[error("directory: {key}: {problem}")]
    Key {
        /// The key, such as `devices[2].addresses[0]`.
        key: String,
        problem: String,
    },
}

/// The people, devices and groups of a directory file.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    devices: Vec<Subject>,
    by_address: HashMap<IpAddr, usize>,
    groups: BTreeMap<String, BTreeSet<String>>,
    people: usize,
}

impl Directory {
    /// Loads a directory file, whose name ends in `.toml` or `.json`.
    pub fn load(path: &Path) -> Result<Directory, DirectoryError> {
        let read = |source| DirectoryError::Read { path: path.to_owned(), source };
        if std::fs::metadata(path).map_err(read)?.len() > MAX_FILE {
            return Err(DirectoryError::TooLong { path: path.to_owned() });
        }
        let text = std::fs::read_to_string(path).map_err(read)?;
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("toml") => Directory::from_toml(&text),
            Some("json") => Directory::from_json(&text),
            _ => Err(DirectoryError::Format { path: path.to_owned() }),
        }
    }

    /// Parses a directory in TOML.
    pub fn from_toml(text: &str) -> Result<Directory, DirectoryError> {
        let value =
            toml::from_str(text).map_err(|source| DirectoryError::Toml { source: Box::new(source) })?;
        reader::read(&value)
    }

    /// Parses a directory in JSON, with the same members.
    pub fn from_json(text: &str) -> Result<Directory, DirectoryError> {
        let value = serde_json::from_str(text).map_err(|source| DirectoryError::Json { source })?;
        reader::read(&value)
    }

    /// The device with this address.
    pub fn by_address(&self, address: IpAddr) -> Option<&Subject> {
        self.by_address.get(&address.to_canonical()).map(|&index| &self.devices[index])
    }

    /// The device with this id.
    pub fn by_id(&self, id: &str) -> Option<&Subject> {
        self.devices.iter().find(|device| device.stable_id.as_deref() == Some(id))
    }

    /// The device with this full name, with or without the trailing dot.
    pub fn by_name(&self, name: &str) -> Option<&Subject> {
        self.devices.iter().find(|device| device.name.as_deref().is_some_and(|known| same_name(known, name)))
    }

    /// The groups that list this login, written `group:name`.
    pub fn groups_of(&self, login: &str) -> BTreeSet<String> {
        let login = login.to_lowercase();
        let listing = self.groups.iter().filter(|(_, members)| members.contains(&login));
        listing.map(|(name, _)| name.clone()).collect()
    }

    /// Every device.
    pub fn devices(&self) -> &[Subject] {
        &self.devices
    }

    /// Number of people, devices and groups.
    pub fn counts(&self) -> (usize, usize, usize) {
        (self.people, self.devices.len(), self.groups.len())
    }
}

/// The entries of a file, before they are indexed.
struct Entries {
    people: HashMap<String, Owner>,
    devices: Vec<Subject>,
    groups: BTreeMap<String, BTreeSet<String>>,
}

impl From<Entries> for Directory {
    fn from(entries: Entries) -> Directory {
        let mut by_address = HashMap::new();
        for (index, device) in entries.devices.iter().enumerate() {
            by_address.extend(device.addresses.iter().map(|&address| (address, index)));
        }
        let mut directory = Directory {
            devices: entries.devices,
            by_address,
            groups: entries.groups,
            people: entries.people.len(),
        };
        for index in 0..directory.devices.len() {
            let Some(owner) = &directory.devices[index].owner else { continue };
            let mut groups = directory.groups_of(&owner.login);
            if let Some(owner) = &mut directory.devices[index].owner {
                owner.groups.append(&mut groups);
            }
        }
        directory
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
        [[people]]
        login = "Alice@example.com"
        name = "Alice"
        groups = ["oncall"]

        [[devices]]
        name = "laptop.example.com."
        addresses = ["10.8.0.2", "fd00::2/128"]
        owner = "alice@example.com"
        os = "linux"

        [[devices]]
        name = "web-1"
        id = "web-1"
        addresses = ["10.8.0.20"]
        tags = ["tag:prod"]

        [groups]
        ops = ["alice@example.com"]
    "#;

    #[test]
    fn a_device_is_found_by_each_of_its_names_and_addresses() {
        let directory = Directory::from_toml(FILE).unwrap();
        let laptop = directory.by_address("::ffff:10.8.0.2".parse().unwrap()).unwrap();
        let owner = laptop.owner.as_ref().unwrap();
        assert_eq!(owner.display_name.as_deref(), Some("Alice"));
        assert_eq!(owner.groups, ["group:oncall", "group:ops"].map(str::to_owned).into());
        assert_eq!(directory.by_address("fd00::2".parse().unwrap()), Some(laptop));
        assert_eq!(directory.by_name("LAPTOP.example.com"), Some(laptop));
        assert!(directory.by_id("web-1").unwrap().tags.contains("tag:prod"));
        assert_eq!(directory.by_address("10.8.0.3".parse().unwrap()), None);
        assert_eq!(directory.counts(), (1, 2, 2));
    }

    #[test]
    fn toml_and_json_say_the_same() {
        let value: serde_json::Value = toml::from_str(FILE).unwrap();
        let (one, other) =
            (Directory::from_toml(FILE).unwrap(), Directory::from_json(&value.to_string()).unwrap());
        assert_eq!((one.devices, one.groups), (other.devices, other.groups));
    }

    #[test]
    fn an_error_names_the_key_and_what_is_wrong_with_it() {
        let cases = [
            ("[[people]]\nlogin = 5", "directory: people[0].login: must be a text, not a number"),
            (
                "[[people]]\nlogn = \"a\"",
                "directory: people[0].logn: is not known here; known are: login, name, groups",
            ),
            ("[[people]]\nname = \"a\"", "directory: people[0].login: is missing"),
            (
                "[[people]]\nlogin = \"a@b\"\n[[people]]\nlogin = \"A@b\"",
                "directory: people[1].login: \"A@b\" is listed twice",
            ),
            ("people = 3", "directory: people: must be a list, not a number"),
            ("peopel = []", "directory: peopel: is not known here; known are: people, devices, groups"),
            (
                "[[devices]]\nname = \"a\"\naddresses = [\"10.0.0.0/24\"]\ntags = [\"tag:x\"]",
                "directory: devices[0].addresses[0]: \"10.0.0.0/24\" is not a single IP address",
            ),
            (
                "[[devices]]\nname = \"a\"\naddresses = [\"127.0.0.1\"]\ntags = [\"tag:x\"]",
                "directory: devices[0].addresses[0]: 127.0.0.1 belongs to no one device",
            ),
            (
                "[[people]]\nlogin = \"a@b\"\n[[devices]]\nname = \"a\"\nowner = \"a@b\"\ntags = [\"tag:x\"]",
                "directory: devices[0].tags: a device has an owner or tags, not both",
            ),
            (
                "[[devices]]\nname = \"a\"\naddresses = [\"10.0.0.1\"]\nowner = \"a@b\"",
                "directory: devices[0].owner: \"a@b\" is not among the people",
            ),
            (
                "[[devices]]\nname = \"a\"\naddresses = [\"10.0.0.1\"]\ntags = [\"prod\"]",
                "directory: devices[0].tags[0]: \"prod\" must begin with tag:",
            ),
            (
                "[[devices]]\nname = \"a\"\naddresses = [\"10.0.0.1\"]\n[[devices]]\nname = \"b\"\naddresses = [\"10.0.0.1\"]",
                "directory: devices[1].addresses[0]: 10.0.0.1 already belongs to devices[0]",
            ),
            ("[groups]\nops = [\"\"]", "directory: groups.ops[0]: is empty"),
        ];
        for (text, expected) in cases {
            assert_eq!(Directory::from_toml(text).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn an_empty_file_is_an_empty_directory() {
        assert_eq!(Directory::from_toml("").unwrap().counts(), (0, 0, 0));
        assert!(matches!(Directory::from_json(""), Err(DirectoryError::Json { .. })));
    }
}
