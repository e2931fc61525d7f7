//! Finds `*.cast` files on disk, and derives node and start from their paths.

use std::io;
use std::path::{Path, PathBuf};

use meshtrail_event::Timestamp;

/// A file, with what its location says about it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CastFile {
    /// Its path or URL.
    pub(super) from: String,
    /// The node that recorded it, if a folder is named after the node.
    pub(super) node: Option<String>,
    /// When the recording began, if the name contains it.
    pub(super) started: Option<Timestamp>,
}

impl CastFile {
    /// Parses a location; `node` takes precedence over the names of folders.
    pub(super) fn from_location(from: &str, node: Option<&str>) -> CastFile {
        let parts: Vec<&str> = from.split('/').collect();
        let (name, folders) = parts.split_last().unwrap_or((&"", &[]));
        let node_folder = folders.iter().rev().find(|folder| is_stable_id(folder));
        CastFile {
            from: from.to_owned(),
            node: node.or(node_folder.copied()).map(str::to_owned),
            started: parse_started(name),
        }
    }
}

/// Whether a name is a node's stable id of Tailscale's control plane.
fn is_stable_id(name: &str) -> bool {
    name.len() > 6
        && name.starts_with('n')
        && name.ends_with("CNTRL")
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// The start of a recording from its file name: `ssh-session-<nanoseconds>-<digits>.cast`, or a time in RFC 3339.
fn parse_started(name: &str) -> Option<Timestamp> {
    let stem = name.strip_suffix(".cast").unwrap_or(name);
    if let Some(rest) = stem.strip_prefix("ssh-session-") {
        let nanos: i64 = rest.split('-').next()?.parse().ok()?;
        return (nanos > 0).then(|| Timestamp::from_nanos(nanos));
    }
    stem.parse().ok()
}

/// Whether a file name has the extension of a recording.
pub(super) fn is_cast(name: &str) -> bool {
    name.ends_with(".cast")
}

/// The file itself, or every `*.cast` file below a folder, sorted by name; symbolic links to folders are not followed.
pub(super) fn walk(path: &Path) -> impl Iterator<Item = io::Result<PathBuf>> {
    Walk { pending: vec![path.to_owned()], is_root: true }
}

struct Walk {
    /// Files and folders still to be visited; the next one is the last.
    pending: Vec<PathBuf>,
    /// Whether the next one is the named path itself, which is accepted under any name.
    is_root: bool,
}

impl Iterator for Walk {
    type Item = io::Result<PathBuf>;

    fn next(&mut self) -> Option<io::Result<PathBuf>> {
        loop {
            let path = self.pending.pop()?;
            let is_root = std::mem::take(&mut self.is_root);
            let metadata = if is_root { std::fs::metadata(&path) } else { std::fs::symlink_metadata(&path) };
            let kind = match metadata {
                Ok(metadata) => metadata.file_type(),
                Err(error) => return Some(Err(error)),
            };
            if kind.is_dir() {
                if let Err(error) = self.enter(&path) {
                    return Some(Err(error));
                }
            } else if is_root || is_cast(&path.to_string_lossy()) {
                return Some(Ok(path));
            }
        }
    }
}

impl Walk {
    fn enter(&mut self, folder: &Path) -> io::Result<()> {
        let entries = std::fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path()));
        let mut entries = entries.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by(|one, other| other.cmp(one));
        self.pending.extend(entries);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_tell_the_node_and_names_tell_the_beginning() {
        let cast_file = CastFile::from_location("s3://rec/prod/nQx7Lm2CNTRL/2026-11-20T14:02:11Z.cast", None);
        assert_eq!(cast_file.node.as_deref(), Some("nQx7Lm2CNTRL"));
        assert_eq!(cast_file.started.unwrap().as_seconds(), 1_795_183_331);
        let cast_file = CastFile::from_location(
            "/var/lib/tailscale/ssh-sessions/ssh-session-1767225600123456789-77.cast",
            Some("web-1"),
        );
        assert_eq!(cast_file.node.as_deref(), Some("web-1"));
        assert_eq!(cast_file.started.unwrap().as_nanos(), 1_767_225_600_123_456_789);
        let cast_file = CastFile::from_location("a.cast", None);
        assert_eq!((cast_file.node, cast_file.started), (None, None));
    }

    #[test]
    fn a_folder_is_walked_by_name_and_what_is_no_cast_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("b/c")).unwrap();
        for name in ["z.cast", "b/1.cast", "b/c/2.cast", "b/notes.txt"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        std::os::unix::fs::symlink(folder.path(), folder.path().join("b/loop")).unwrap();
        let paths = |path: &Path| walk(path).collect::<io::Result<Vec<_>>>().unwrap();
        let names: Vec<String> = paths(folder.path())
            .iter()
            .map(|path| path.strip_prefix(folder.path()).unwrap().display().to_string())
            .collect();
        assert_eq!(names, ["b/1.cast", "b/c/2.cast", "z.cast"]);
        assert_eq!(paths(&folder.path().join("b/notes.txt")).len(), 1);
    }
}
