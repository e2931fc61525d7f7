//! Named cursors: the positions of a reader that goes on after a restart.
//!
//! A cursor is the file `local/cursors/NAME`, such as `{"next":{"main":4711},"version":1}`: for each trail the first index
//! that the reader is not done with.
//!
//! - A file and not an event: a reader of all events would read its own position, and write the next.
//! - A position is saved after the work on the events before it. A crash in between leaves the older position: those
//!   events are read again, and the reader must bear that.
//! - A file that is damaged, of a newer version, or ahead of the trail is an error. Nothing is skipped or begun anew by
//!   guess.
//! - One reader per name: the file is written only by the process that has the trail open for writing, and two readers of
//!   one process need two names.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File};
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use meshtrail_event::{Position, TrailName};
use meshtrail_log::sync_folder;
use serde::{Deserialize, Serialize};

use crate::Trail;
use crate::durable::{self, Readers};

/// The folder below the machine's own.
const FOLDER: &str = "cursors";

/// The newest version of the file that is read, and the one that is written.
const VERSION: u32 = 1;

/// Bytes of a file that are read: a longer one is damaged.
const MAX_FILE: u64 = 1 << 20;

/// The longest name, in characters.
const MAX_NAME: usize = 64;

/// Why a cursor can't be used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum CursorError {
    #[error("{name:?} can't be a cursor's name: it has 1 to {MAX_NAME} characters of a to z, 0 to 9 and -")]
    Name { name: String },
    #[error("failed to read the cursor {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error(
        "the cursor {} is damaged: put it back from a copy, or remove it, and its reader begins anew",
        path.display()
    )]
    Damaged { path: PathBuf, source: serde_json::Error },
    #[error(
        "the cursor {} has version {found}, and this program reads version {VERSION}: use the version of Meshtrail \
         that wrote it, or remove it, and its reader begins anew",
        path.display()
    )]
    Version { path: PathBuf, found: u32 },
    #[error(
        "the cursor {} is at {next}, and trail {trail} has {size} events: events that were read are missing here. \
         Put the folder back as it was, or remove the cursor, and its reader begins anew",
        path.display(), trail = next.trail
    )]
    Beyond { path: PathBuf, next: Position, size: u64 },
    #[error("failed to write the cursor {}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// A reader's saved positions, one for each trail.
#[derive(Debug, Clone)]
pub struct NamedCursor {
    path: PathBuf,
    /// As in the file.
    next: BTreeMap<TrailName, u64>,
}

/// The file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CursorFile {
    next: BTreeMap<TrailName, u64>,
    version: u32,
}

impl NamedCursor {
    /// Reads the cursor of this name below `local`, this machine's folder of the trail. Without a file it has no
    /// position, and nothing is written yet.
    pub fn open(local: &Path, name: &str) -> Result<Self, CursorError> {
        if !is_name(name) {
            return Err(CursorError::Name { name: name.to_owned() });
        }
        let path = local.join(FOLDER).join(name);
        let text = match read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self { path, next: BTreeMap::new() });
            }
            Err(source) => return Err(CursorError::Read { path, source }),
        };
        match parse(&text) {
            Ok(CursorFile { next, version: VERSION }) => Ok(Self { path, next }),
            Ok(CursorFile { version: found, .. }) => Err(CursorError::Version { path, found }),
            Err(source) => Err(CursorError::Damaged { path, source }),
        }
    }

    /// The saved position in `trail`; none if none was saved.
    pub fn position(&self, trail: &Trail) -> Result<Option<Position>, CursorError> {
        let next = self.next.get(trail.name()).map(|&next| trail.position(next));
        let size = trail.size();
        match next {
            Some(next) if next.index > size => {
                Err(CursorError::Beyond { path: self.path.clone(), next, size })
            }
            next => Ok(next),
        }
    }

    /// Saves the position of the first event that the reader is not done with; durable on return. Positions in other
    /// trails stay.
    pub async fn save(&mut self, next: Position) -> Result<(), CursorError> {
        let mut positions = self.next.clone();
        positions.insert(next.trail, next.index);
        let file = CursorFile { next: positions, version: VERSION };
        let path = self.path.clone();
        let writing = tokio::task::spawn_blocking(move || write(&path, &file).map(|()| file.next));
        let written = writing.await.unwrap_or_else(|panic| Err(io::Error::other(panic)));
        // After an error either position may be in the file: the older one stays here.
        self.next = written.map_err(|source| CursorError::Write { path: self.path.clone(), source })?;
        Ok(())
    }
}

fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(allowed)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path)?.take(MAX_FILE).read_to_end(&mut text)?;
    Ok(text)
}

/// A newer version may have other members: its version is found first.
fn parse(text: &[u8]) -> serde_json::Result<CursorFile> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    let Versioned { version } = serde_json::from_slice(text)?;
    if version == VERSION {
        return serde_json::from_slice(text);
    }
    Ok(CursorFile { next: BTreeMap::new(), version })
}

fn write(path: &Path, file: &CursorFile) -> io::Result<()> {
    let folder = path.parent().expect("a cursor is in a folder");
    if !folder.exists() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        // After a power cut before this the folder may be missing, and the reader begins anew; nothing was saved yet.
        let local = folder.parent().expect("the folder of cursors is below the machine's own");
        sync_folder(local)?;
    }
    durable::replace(path, Readers::Owner, &serde_json::to_vec(file)?)
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use std::fs;

    use super::*;
    use crate::follow::Follower;
    use crate::follow::tests::{append, open_trail};

    #[tokio::test(flavor = "multi_thread")]
    async fn a_reader_goes_on_where_it_saved() {
        let folder = tempfile::tempdir().unwrap();
        let trail = open_trail(folder.path()).await;
        append(&trail, 1..6).await;
        let mut cursor = NamedCursor::open(folder.path(), "detect").unwrap();
        assert_eq!(cursor.position(&trail).unwrap(), None);
        for next in [3, 5] {
            cursor.save(trail.position(next)).await.unwrap();
            let again = NamedCursor::open(folder.path(), "detect").unwrap();
            assert_eq!(again.position(&trail).unwrap(), Some(trail.position(next)));
        }
        assert_eq!(NamedCursor::open(folder.path(), "stream").unwrap().position(&trail).unwrap(), None);
        let text = fs::read_to_string(folder.path().join("cursors/detect")).unwrap();
        assert_eq!(text, r#"{"next":{"main":5},"version":1}"#);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_reader_that_died_before_it_saved_reads_those_events_again() {
        let folder = tempfile::tempdir().unwrap();
        let trail = open_trail(folder.path()).await;
        append(&trail, 1..6).await;
        let mut read = Vec::new();
        for saves in [true, false, true] {
            let mut cursor = NamedCursor::open(folder.path(), "detect").unwrap();
            let from = cursor.position(&trail).unwrap().map_or(0, |position| position.index);
            let mut follower =
                Follower::new(trail.clone(), from, CancellationToken::new()).with_max_indexes(2);
            let batch = follower.read().await.unwrap().unwrap();
            follower.advance(batch.range.end);
            read.push(batch.range);
            if saves {
                cursor.save(trail.position(follower.position())).await.unwrap();
            }
        }
        assert_eq!(read, [0..2, 2..4, 2..4]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_save_keeps_positions_in_other_trails() {
        let folder = tempfile::tempdir().unwrap();
        let trail = open_trail(folder.path()).await;
        append(&trail, 1..6).await;
        fs::create_dir(folder.path().join("cursors")).unwrap();
        fs::write(folder.path().join("cursors/detect"), r#"{"next":{"other":9},"version":1}"#).unwrap();
        let mut cursor = NamedCursor::open(folder.path(), "detect").unwrap();
        assert_eq!(cursor.position(&trail).unwrap(), None);
        cursor.save(trail.position(2)).await.unwrap();
        let text = fs::read_to_string(folder.path().join("cursors/detect")).unwrap();
        assert_eq!(text, r#"{"next":{"main":2,"other":9},"version":1}"#);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_crash_before_the_rename_leaves_the_position_before() {
        let folder = tempfile::tempdir().unwrap();
        let trail = open_trail(folder.path()).await;
        append(&trail, 1..6).await;
        let mut cursor = NamedCursor::open(folder.path(), "detect").unwrap();
        cursor.save(trail.position(2)).await.unwrap();
        // What a crash leaves: the next position under the other name, complete or not.
        let unfinished = folder.path().join("cursors/detect.new");
        for text in [r#"{"next":{"main":4},"version":1}"#, r#"{"next":{"ma"#, ""] {
            fs::write(&unfinished, text).unwrap();
            let mut cursor = NamedCursor::open(folder.path(), "detect").unwrap();
            assert_eq!(cursor.position(&trail).unwrap(), Some(trail.position(2)), "{text}");
            cursor.save(trail.position(2)).await.unwrap();
            assert!(!unfinished.exists());
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_failed_save_leaves_the_position_before() {
        let folder = tempfile::tempdir().unwrap();
        let trail = open_trail(folder.path()).await;
        append(&trail, 1..6).await;
        let mut cursor = NamedCursor::open(folder.path(), "detect").unwrap();
        cursor.save(trail.position(2)).await.unwrap();
        // A folder of that name, which is not removed as a file would be.
        fs::create_dir(folder.path().join("cursors/detect.new")).unwrap();
        assert!(matches!(cursor.save(trail.position(4)).await, Err(CursorError::Write { .. })));
        assert_eq!(cursor.position(&trail).unwrap(), Some(trail.position(2)));
        let again = NamedCursor::open(folder.path(), "detect").unwrap();
        assert_eq!(again.position(&trail).unwrap(), Some(trail.position(2)));
    }

    #[test]
    fn a_damaged_file_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("cursors")).unwrap();
        let path = folder.path().join("cursors/detect");
        let long = format!("{{\"next\":{{\"main\":1}},{}\"version\":1}}", " ".repeat(1 << 20));
        let damaged = [
            "",
            r#"{"next":{"main":4711},"ver"#,
            r#"{"next":{"main":-1},"version":1}"#,
            r#"{"next":{"../main":1},"version":1}"#,
            r#"{"next":{"main":1},"other":2,"version":1}"#,
            r#"{"next":{"main":1}}"#,
            r#"{"version":1}"#,
            "\0\0\0\0",
            long.as_str(),
        ];
        for text in damaged {
            fs::write(&path, text).unwrap();
            let error = NamedCursor::open(folder.path(), "detect").unwrap_err();
            assert!(matches!(error, CursorError::Damaged { .. }), "{text:.40}: {error}");
            assert!(error.to_string().contains(&path.display().to_string()), "{error}");
        }
    }

    #[test]
    fn a_newer_version_is_refused_whatever_else_it_has() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("cursors")).unwrap();
        let newer = r#"{"positions":[["main",{"segment":7}]],"version":2}"#;
        fs::write(folder.path().join("cursors/detect"), newer).unwrap();
        let error = NamedCursor::open(folder.path(), "detect").unwrap_err();
        assert!(matches!(error, CursorError::Version { found: 2, .. }), "{error}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_cursor_ahead_of_the_trail_is_an_error_that_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let trail = open_trail(folder.path()).await;
        append(&trail, 1..4).await;
        let mut cursor = NamedCursor::open(folder.path(), "detect").unwrap();
        cursor.save(trail.position(3)).await.unwrap();
        assert_eq!(cursor.position(&trail).unwrap(), Some(trail.position(3)), "at the end");
        cursor.save(trail.position(4)).await.unwrap();
        let error = cursor.position(&trail).unwrap_err();
        assert!(matches!(error, CursorError::Beyond { size: 3, .. }), "{error}");
        assert!(error.to_string().contains("is at main:4, and trail main has 3 events"), "{error}");
    }

    #[test]
    fn a_name_can_be_no_path() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["", "..", "a/b", "a.new", "Detect", "a".repeat(65).as_str()] {
            let error = NamedCursor::open(folder.path(), name).unwrap_err();
            assert!(matches!(error, CursorError::Name { .. }), "{name}: {error}");
        }
        assert!(NamedCursor::open(folder.path(), "siem-1").is_ok());
    }
}
