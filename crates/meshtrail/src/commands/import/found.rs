//! Files that may be recordings, and what their places tell of them.

use std::io;
use std::path::{Path, PathBuf};

use meshtrail_event::Timestamp;

/// A file, and what its place tells.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Where it lies.
    pub(super) from: String,
    /// The node that recorded it, where a folder is named after it.
    pub(super) node: Option<String>,
    /// When it began, where its name tells.
    pub(super) started: Option<Timestamp>,
}

impl Found {
    /// The file at `from`; `node` goes before what its folders say.
    pub(super) fn at(from: &str, node: Option<&str>) -> Found {
        let parts: Vec<&str> = from.split('/').collect();
        let (name, folders) = parts.split_last().unwrap_or((&"", &[]));
        let named = folders.iter().rev().find(|folder| is_stable_id(folder));
        Found {
            from: from.to_owned(),
            node: node.or(named.copied()).map(str::to_owned),
            started: started(name),
        }
    }
}

/// Whether a name is a node's stable id, as Tailscale's control plane makes them.
fn is_stable_id(name: &str) -> bool {
    name.len() > 6
        && name.starts_with('n')
        && name.ends_with("CNTRL")
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// When a recording began, by its name: `ssh-session-<nanoseconds>-<digits>.cast`, or a time in RFC 3339.
fn started(name: &str) -> Option<Timestamp> {
    let stem = name.strip_suffix(".cast").unwrap_or(name);
    if let Some(rest) = stem.strip_prefix("ssh-session-") {
        let nanos: i64 = rest.split('-').next()?.parse().ok()?;
        return (nanos > 0).then(|| Timestamp::from_nanos(nanos));
    }
    stem.parse().ok()
}

/// Whether a name is a recording's.
pub(super) fn is_cast(name: &str) -> bool {
    name.ends_with(".cast")
}

/// The file itself, or every `*.cast` file below a folder, by name; symbolic links to folders are not followed.
pub(super) fn on_disk(path: &Path) -> impl Iterator<Item = io::Result<PathBuf>> {
    Walk { waiting: vec![path.to_owned()], named: true }
}

struct Walk {
    /// Files and folders that are still to be looked at; the next one last.
    waiting: Vec<PathBuf>,
    /// Whether the next one is what the person named: then it is taken whatever it is called.
    named: bool,
}

impl Iterator for Walk {
    type Item = io::Result<PathBuf>;

    fn next(&mut self) -> Option<io::Result<PathBuf>> {
        loop {
            let path = self.waiting.pop()?;
            let named = std::mem::take(&mut self.named);
            let looked = if named { std::fs::metadata(&path) } else { std::fs::symlink_metadata(&path) };
            let kind = match looked {
                Ok(found) => found.file_type(),
                Err(error) => return Some(Err(error)),
            };
            if kind.is_dir() {
                if let Err(error) = self.enter(&path) {
                    return Some(Err(error));
                }
            } else if named || is_cast(&path.to_string_lossy()) {
                return Some(Ok(path));
            }
        }
    }
}

impl Walk {
    fn enter(&mut self, folder: &Path) -> io::Result<()> {
        let inside = std::fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path()));
        let mut inside = inside.collect::<io::Result<Vec<_>>>()?;
        inside.sort_by(|one, other| other.cmp(one));
        self.waiting.extend(inside);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_tell_the_node_and_names_tell_the_beginning() {
        let found = Found::at("s3://rec/prod/nQx7Lm2CNTRL/2026-11-20T14:02:11Z.cast", None);
        assert_eq!(found.node.as_deref(), Some("nQx7Lm2CNTRL"));
        assert_eq!(found.started.unwrap().as_seconds(), 1_795_183_331);
        let found = Found::at(
            "/var/lib/tailscale/ssh-sessions/ssh-session-1767225600123456789-77.cast",
            Some("web-1"),
        );
        assert_eq!(found.node.as_deref(), Some("web-1"));
        assert_eq!(found.started.unwrap().as_nanos(), 1_767_225_600_123_456_789);
        let found = Found::at("a.cast", None);
        assert_eq!((found.node, found.started), (None, None));
    }

    #[test]
    fn a_folder_is_walked_by_name_and_what_is_no_cast_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("b/c")).unwrap();
        for name in ["z.cast", "b/1.cast", "b/c/2.cast", "b/notes.txt"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        std::os::unix::fs::symlink(folder.path(), folder.path().join("b/loop")).unwrap();
        let walked = |path: &Path| on_disk(path).collect::<io::Result<Vec<_>>>().unwrap();
        let names: Vec<String> = walked(folder.path())
            .iter()
            .map(|path| path.strip_prefix(folder.path()).unwrap().display().to_string())
            .collect();
        assert_eq!(names, ["b/1.cast", "b/c/2.cast", "z.cast"]);
        assert_eq!(walked(&folder.path().join("b/notes.txt")).len(), 1);
    }
}
