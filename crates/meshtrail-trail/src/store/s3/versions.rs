//! Listing an object's versions and delete markers.

use http::Method;
use serde::Deserialize;

use super::connection::{Connection, RequestError, escape};

/// Which keys a listing includes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyMatch {
    /// The key that equals the prefix.
    Exact,
    /// All keys that begin with the prefix.
    Prefix,
}

/// One version; the versions of one key are adjacent, newest first.
#[derive(Debug, Clone)]
pub(super) struct Version {
    pub(super) key: String,
    pub(super) id: String,
    pub(super) at: String,
    pub(super) kind: VersionKind,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum VersionKind {
    Contents { size: u64 },
    Marker,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    #[serde(default)]
    is_truncated: bool,
    next_key_marker: Option<String>,
    next_version_id_marker: Option<String>,
    #[serde(rename = "$value", default)]
    items: Vec<Item>,
}

#[derive(Deserialize)]
enum Item {
    Version(Line),
    DeleteMarker(Line),
    #[serde(other)]
    Another,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Line {
    key: String,
    version_id: String,
    #[serde(default)]
    last_modified: String,
    #[serde(default)]
    size: u64,
}

impl Connection {
    pub(super) async fn versions(&self, prefix: &str, which: KeyMatch) -> Result<Vec<Version>, RequestError> {
        let mut found = Vec::new();
        let mut from = String::new();
        loop {
            let query = format!("{from}prefix={}&versions=", escape(prefix, false));
            let body = self.request(Method::GET, "", &query).await?;
            let page: Page =
                quick_xml::de::from_reader(&body[..]).map_err(|error| RequestError::Xml(Box::new(error)))?;
            let before = found.len();
            found.extend(page.items.into_iter().filter_map(version));
            if which == KeyMatch::Exact {
                found.retain(|version| version.key == prefix);
            }
            // The key that equals the prefix sorts before all that begin with it.
            let passed = which == KeyMatch::Exact && found.len() == before;
            match page.next_key_marker {
                Some(key) if page.is_truncated && !passed => {
                    let version = page.next_version_id_marker.unwrap_or_default();
                    from = format!(
                        "key-marker={}&version-id-marker={}&",
                        escape(&key, false),
                        escape(&version, false)
                    );
                }
                _ => break,
            }
        }
        found.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(found)
    }
}

fn version(item: Item) -> Option<Version> {
    let (line, kind) = match item {
        Item::Version(line) => {
            let size = line.size;
            (line, VersionKind::Contents { size })
        }
        Item::DeleteMarker(line) => (line, VersionKind::Marker),
        Item::Another => return None,
    };
    Some(Version { key: line.key, id: line.version_id, at: line.last_modified, kind })
}
