//! The policy of a mesh without a control plane, as plain WireGuard: a file, and beside it the directory file's people and
//! devices, so that each change of them is an event.
//!
//! Both files are read every 30 seconds; where one can't be read, what it said before stays, and the source says why.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use meshtrail_change::snapshot::{Origin, PolicyText, Snapshot};
use meshtrail_event::{DeviceState, Timestamp, UserState};
use meshtrail_identity::{Directory, Subject};

use crate::observations::Observations;
use crate::poll::{Poller, causes, spawn};
use crate::sources::{Cadence, Source};
use crate::start::Wiring;

/// How often the files are read.
const INTERVAL: Duration = Duration::from_secs(30);

/// The largest policy file, in bytes.
const MAX_POLICY: u64 = 4 << 20;

/// The files of a mesh without a control plane.
#[derive(Debug, Clone)]
pub struct MeshFiles {
    /// The policy, as HuJSON.
    pub policy: PathBuf,
    /// The directory file.
    pub directory: Option<PathBuf>,
}

/// Why the policy file could not be read.
#[derive(Debug, thiserror::Error)]
enum PolicyFileError {
    #[error("the policy file {} can't be read", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("the policy file {} is longer than {MAX_POLICY} bytes", path.display())]
    TooLong { path: PathBuf },
}

/// Spawns the poller.
pub(crate) fn start(files: MeshFiles, wiring: &Wiring) {
    spawn(
        wiring,
        FilePoller {
            files,
            observations: Observations::new(wiring, "policy-file", Origin::PolicyFile),
            source: wiring.sources.register("policy-file", Cadence::Every(INTERVAL)),
        },
    );
}

struct FilePoller {
    files: MeshFiles,
    observations: Observations,
    source: Source,
}

impl Poller for FilePoller {
    async fn poll(&mut self, now: Timestamp) -> Duration {
        let (snapshot, trouble) = read(&self.files, now);
        match self.observations.record(snapshot).await {
            Ok(count) => self.source.record_contact(count as u64, (count > 0).then_some(now)),
            Err(error) => self.source.record_trouble(&causes(&error)),
        }
        if let Some(trouble) = trouble {
            self.source.record_trouble(&trouble);
        }
        INTERVAL
    }
}

/// A snapshot of what can be read, and the first error.
fn read(files: &MeshFiles, now: Timestamp) -> (Snapshot, Option<String>) {
    let mut snapshot = Snapshot::new(Origin::PolicyFile, now);
    let mut trouble = None;
    match read_policy(&files.policy) {
        Ok(text) => snapshot.policy = Some(PolicyText { text, ..PolicyText::default() }),
        Err(error) => trouble = Some(causes(&error)),
    }
    if let Some(path) = &files.directory {
        match Directory::load(path) {
            Ok(directory) => {
                snapshot.devices = Some(directory.devices().iter().map(device).collect());
                snapshot.users = Some(users(&directory));
            }
            Err(error) => drop(trouble.get_or_insert(causes(&error))),
        }
    }
    (snapshot, trouble)
}

fn read_policy(path: &Path) -> Result<String, PolicyFileError> {
    let read = |source| PolicyFileError::Read { path: path.to_owned(), source };
    if std::fs::metadata(path).map_err(read)?.len() > MAX_POLICY {
        return Err(PolicyFileError::TooLong { path: path.to_owned() });
    }
    std::fs::read_to_string(path).map_err(read)
}

fn device(subject: &Subject) -> DeviceState {
    let Subject { name, stable_id, addresses, os, owner, tags } = subject;
    let address = || addresses.first().map(ToString::to_string);
    DeviceState {
        addresses: addresses.clone(),
        id: stable_id.clone().or_else(|| name.clone()).or_else(address).unwrap_or_default(),
        name: name.clone(),
        os: os.clone(),
        owner: owner.as_ref().map(|owner| owner.login.clone()).filter(|_| tags.is_empty()),
        tags: tags.clone(),
        ..DeviceState::default()
    }
}

/// The owners of devices, each once.
fn users(directory: &Directory) -> Vec<UserState> {
    let owners = directory.devices().iter().filter_map(|device| device.owner.as_ref());
    let by_login: BTreeMap<&str, UserState> = owners
        .map(|owner| {
            let state = UserState {
                groups: owner.groups.clone(),
                id: owner.id.clone().unwrap_or_else(|| owner.login.clone()),
                login: owner.login.clone(),
                name: owner.display_name.clone(),
                ..UserState::default()
            };
            (owner.login.as_str(), state)
        })
        .collect();
    by_login.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIRECTORY: &str = r#"
        [[people]]
        login = "alice@example.com"
        name = "Alice"
        [[devices]]
        id = "n7"
        name = "laptop"
        addresses = ["10.0.0.7"]
        owner = "alice@example.com"
        [[devices]]
        name = "web"
        addresses = ["10.0.0.20"]
        tags = ["tag:web"]
    "#;

    #[test]
    fn both_files_become_one_snapshot_and_what_can_not_be_read_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (policy, directory) = (folder.path().join("policy.hujson"), folder.path().join("directory.toml"));
        std::fs::write(&policy, "{}").unwrap();
        std::fs::write(&directory, DIRECTORY).unwrap();
        let files = MeshFiles { policy: policy.clone(), directory: Some(directory.clone()) };
        let (snapshot, trouble) = read(&files, Timestamp::now());
        assert_eq!(trouble, None);
        assert_eq!(snapshot.policy.unwrap().text, "{}");
        let devices = snapshot.devices.unwrap();
        let of = |id: &str| devices.iter().find(|device| device.id == id).unwrap();
        assert_eq!(of("n7").owner.as_deref(), Some("alice@example.com"));
        assert_eq!(of("web").tags.iter().collect::<Vec<_>>(), ["tag:web"]);
        assert_eq!(snapshot.users.unwrap()[0].name.as_deref(), Some("Alice"));

        std::fs::remove_file(&policy).unwrap();
        std::fs::write(&directory, "devices = 7").unwrap();
        let (snapshot, trouble) = read(&files, Timestamp::now());
        assert!(snapshot.policy.is_none() && snapshot.devices.is_none());
        assert!(trouble.unwrap().contains("policy.hujson"));
    }
}
