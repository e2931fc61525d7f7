//! The image of the directory in `local/cache/directory`, from which a start reads most of it in place of all events about
//! configuration.
//!
//! - It is derived: without it, or if it is not usable, the directory is read from the trail.
//! - Its first line names the trail, the events it was learned from and the SHA-256 of the rest, and is signed by the trail's
//!   key: whoever can write the file can't add a person.
//! - What retention drops from the trail must not live on in it: an image learned from dropped events is removed when it
//!   would be written next, and by the next start.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use meshtrail_identity::{History, ImageError};
use meshtrail_trail::Trail;
use meshtrail_trail::durable::{self, Readers};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

const VERSION: u32 = 1;
/// Leaves read since the last image after which it is written anew.
pub(super) const WRITE_AFTER: usize = 20_000;

/// Where the image is, and the events that the directory was learned from.
#[derive(Debug, Clone)]
pub struct DirectoryImage {
    path: PathBuf,
    /// The first event of the trail when learning began.
    first: u64,
}

/// The first line of the file, without the signature.
#[derive(Serialize, Deserialize)]
struct Header {
    version: u32,
    trail: String,
    /// The first event that was learned from, and the one after the last.
    first: u64,
    end: u64,
    sha256: String,
}

#[derive(Serialize, Deserialize)]
struct SignedHeader {
    header: Header,
    signature: String,
}

/// Why an image is not used.
#[derive(Debug, thiserror::Error)]
enum LoadError {
    #[error("it can't be read")]
    Read(#[source] io::Error),
    #[error("it is damaged, or not signed by this trail")]
    Signature,
    #[error("it is of another version, of another trail, or of events that are not in this one any more")]
    Other,
    #[error(transparent)]
    Image(#[from] ImageError),
}

impl DirectoryImage {
    /// The image of this trail's directory below the local folder.
    pub fn below(local: &Path, trail: &Trail) -> Self {
        Self { path: local.join("cache").join("directory"), first: trail.snapshot().first() }
    }

    /// Restores the directory; returns the index of the first event that is still to be learned, 0 without a usable image.
    pub(super) fn load(&self, history: &History, trail: &Trail) -> u64 {
        match self.try_load(history, trail) {
            Ok(end) => end,
            Err(LoadError::Read(error)) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => {
                let path = self.path.display();
                tracing::info!(error = &error as &dyn std::error::Error, %path, "the image of the directory is not used");
                self.remove();
                0
            }
        }
    }

    fn try_load(&self, history: &History, trail: &Trail) -> Result<u64, LoadError> {
        let file = std::fs::read(&self.path).map_err(LoadError::Read)?;
        let end = file.iter().position(|&byte| byte == b'\n').ok_or(LoadError::Signature)?;
        let (line, image) = (&file[..end], &file[end + 1..]);
        let SignedHeader { header, signature } =
            serde_json::from_slice(line).map_err(|_| LoadError::Signature)?;
        let is_signed = trail.has_signed_derived(&bytes_of(&header), &signature);
        if !is_signed || header.sha256 != hex::encode(Sha256::digest(image)) {
            return Err(LoadError::Signature);
        }
        let is_of_trail = header.version == VERSION && header.trail == trail.name().as_str();
        if !is_of_trail || header.first != self.first || header.end > trail.size() {
            return Err(LoadError::Other);
        }
        history.restore(image)?;
        Ok(header.end)
    }

    /// Writes the directory, which was learned from all events before `end`. An image that can't be written only makes the
    /// next start slower.
    pub(super) fn write(&self, history: &History, trail: &Trail, end: u64) {
        if trail.snapshot().first() != self.first {
            // Retention has dropped events that the directory still knows of.
            return self.remove();
        }
        let image = history.image();
        let sha256 = hex::encode(Sha256::digest(&image));
        let header =
            Header { version: VERSION, trail: trail.name().to_string(), first: self.first, end, sha256 };
        let Some(signature) = trail.sign_derived(&bytes_of(&header)) else { return };
        let mut file = bytes_of(&SignedHeader { header, signature });
        file.push(b'\n');
        file.extend_from_slice(&image);
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let written = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        let written = written.and_then(|()| durable::replace(&self.path, Readers::Owner, &file));
        if let Err(error) = written {
            let path = self.path.display();
            tracing::warn!(error = &error as &dyn std::error::Error, %path, "the image of the directory is not written");
        }
    }

    fn remove(&self) {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let path = self.path.display();
                tracing::warn!(error = &error as &dyn std::error::Error, %path, "the image of the directory can't be removed");
            }
            _ => {}
        }
    }
}

fn bytes_of(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("it has string keys and no floats")
}

#[cfg(test)]
pub(super) mod tests {
    use meshtrail_event::{Change, Detail, DeviceState, Draft, Json, Kind, Target, Timestamp};
    use meshtrail_trail::TrailConfig;
    use meshtrail_trail::fault::Faults;
    use meshtrail_trail::store::{Store, StoreLocation, WritePolicy};

    use super::*;
    use crate::directory::{LateIdentities, load};

    pub(in crate::directory) fn snapshot_of_device(id: &str) -> Draft {
        let address = format!("100.64.0.{}", id.trim_start_matches('n'));
        let state = DeviceState {
            id: id.to_owned(),
            addresses: vec![address.parse().unwrap()],
            ..DeviceState::default()
        };
        let mut draft = Draft::new(Kind::ConfigSnapshot, Timestamp::from_seconds(1000).unwrap());
        draft.target = Target { of_type: Some("device".to_owned()), ..Target::default() };
        let new = Some(Json::from(&serde_json::to_value(&state).unwrap()));
        draft.detail = Some(Detail::Change(Box::new(Change { new, ..Change::default() })));
        draft
    }

    pub(in crate::directory) async fn open(folder: &Path, faults: Faults) -> Trail {
        let location = StoreLocation::Folder(folder.join("store"));
        let store = Store::open(&location, &WritePolicy::default()).await.unwrap();
        let config = TrailConfig { faults, ..TrailConfig::new("main") };
        Trail::open(store, &folder.join("local"), config).await.unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_image_is_used_while_it_is_signed_and_of_this_trail_and_removed_otherwise() {
        let folder = tempfile::tempdir().unwrap();
        let trail = open(folder.path(), Faults::none()).await;
        let emitter = trail.emitter("snapshot");
        emitter.emit_all(vec![snapshot_of_device("n1"), snapshot_of_device("n2")]).await.unwrap();
        let image = DirectoryImage::below(&folder.path().join("local"), &trail);
        let read = async |image: &DirectoryImage| {
            let history = History::for_trail("main");
            let loaded = load(&history, &LateIdentities::default(), &trail, Some(image)).await.unwrap();
            let knows = |last: u8| {
                history.at(format!("100.64.0.{last}").parse().unwrap(), Timestamp::now()).is_some()
            };
            assert!(knows(1) && knows(2) && loaded.end == trail.size());
            let knows_third = knows(3);
            (history, loaded.read, knows_third)
        };
        let (history, events, _) = read(&image).await;
        assert_eq!(events, 2, "without an image everything is read");
        image.write(&history, &trail, trail.size());
        assert_eq!(read(&image).await.1, 0);

        emitter.emit_all(vec![snapshot_of_device("n3")]).await.unwrap();
        let (_, events, knows_third) = read(&image).await;
        assert!(events == 1 && knows_third, "what came later is read from the trail");

        let written = std::fs::read(&image.path).unwrap();
        let mut forged = String::from_utf8(written.clone()).unwrap();
        forged = forged.replace("100.64.0.2", "100.64.0.9");
        std::fs::write(&image.path, forged).unwrap();
        assert_eq!(read(&image).await.1, 3);
        assert!(!image.path.exists(), "a forged image is removed");

        std::fs::write(&image.path, &written).unwrap();
        let after_retention = DirectoryImage { first: 1, ..image.clone() };
        assert_eq!(read(&after_retention).await.1, 3);
        assert!(!image.path.exists(), "it knows of events that are not in the trail any more");
        after_retention.write(&history, &trail, trail.size());
        assert!(!image.path.exists());

        let other = tempfile::tempdir().unwrap();
        let stranger = open(other.path(), Faults::none()).await;
        image.write(&history, &stranger, 0);
        assert_eq!(read(&image).await.1, 3, "another trail's signature");
        stranger.close().await;
        trail.close().await;
    }
}
