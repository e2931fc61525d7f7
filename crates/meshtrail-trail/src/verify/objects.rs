//! Compares the objects in a trail's part of the store with its manifests.

use std::collections::BTreeSet;

use meshtrail_event::text::with_causes;

use super::chain::Chain;
use super::report::{Note, ProblemKind, Report};
use super::tiles::StoredTiles;
use crate::manifest::manifest_number;
use crate::retention::range_of;
use crate::store::{Entry, Key, Store};
use crate::trail::HEAD;
use crate::tree::TileId;

/// Lists the trail's objects; reports those that belong to nothing, and returns the tiles among them.
pub(super) async fn check(store: &Store, root: &Key, chain: &Chain, report: &mut Report) -> StoredTiles {
    let entries = match store.list(root).await {
        Ok(entries) => entries,
        Err(error) => {
            report.add_problem(root.to_string(), ProblemKind::Unreadable { reason: with_causes(&error) });
            return StoredTiles::default();
        }
    };
    let known: BTreeSet<&str> =
        chain.segments().flat_map(|segment| &segment.files).map(|file| file.path.as_str()).collect();
    let prefix = format!("{root}/");
    let mut listed = StoredTiles::default();
    for Entry { key, size } in &entries {
        let name = key.as_str().strip_prefix(&prefix).unwrap_or(key.as_str());
        match classify(name, &known, chain) {
            ObjectClass::Known => {}
            ObjectClass::Tile(tile) => {
                listed.0.insert(tile, *size);
            }
            ObjectClass::Unlisted => report.notes.push(Note::Unlisted { object: key.to_string() }),
            ObjectClass::Leftover => report.notes.push(Note::Leftover { object: key.to_string() }),
            ObjectClass::Extra => report.add_problem(key.to_string(), ProblemKind::Extra),
        }
    }
    listed
}

enum ObjectClass {
    Known,
    Tile(TileId),
    Unlisted,
    Leftover,
    Extra,
}

fn classify(name: &str, known: &BTreeSet<&str>, chain: &Chain) -> ObjectClass {
    if name == "checkpoint" || name == HEAD || name == "vkey" || known.contains(name) {
        return ObjectClass::Known;
    }
    if let Some(number) = name.strip_prefix("manifest/").and_then(manifest_number) {
        // A manifest that appeared after the listing is the server's; number 0 is never used.
        return if number == 0 { ObjectClass::Extra } else { ObjectClass::Known };
    }
    if name.starts_with("segments/") {
        return classify_segment(name, chain);
    }
    match name.parse::<TileId>() {
        Ok(tile) if tile.level == 0 && tile.is_full() => ObjectClass::Extra,
        Ok(tile) if end_of(tile) <= Some(chain.sealed()) => ObjectClass::Tile(tile),
        Ok(_) => ObjectClass::Unlisted,
        Err(_) => ObjectClass::Extra,
    }
}

/// Classifies a segment file in no manifest by its name: behind the sealed events, or dropped by retention.
fn classify_segment(name: &str, chain: &Chain) -> ObjectClass {
    let range = name.rsplit('/').next().and_then(range_of);
    match range {
        Some((first, _)) if first >= chain.sealed() => ObjectClass::Unlisted,
        Some((_, last)) if last < chain.retired() => ObjectClass::Leftover,
        _ => ObjectClass::Extra,
    }
}

/// The index after the last event under a tile.
fn end_of(tile: TileId) -> Option<u64> {
    let hashes = tile.index.checked_mul(256)?.checked_add(u64::from(tile.width))?;
    let bits = 8 * u32::from(tile.level);
    hashes.checked_shl(bits).filter(|end| end >> bits == hashes)
}

/// Reports later versions of objects that are written once.
pub(super) async fn audit(store: &Store, root: &Key, report: &mut Report) {
    match store.audit(root).await {
        Ok(found) => {
            for tampering in found {
                let (kind, version, at) = (tampering.what, tampering.version, tampering.at);
                report.add_problem(tampering.key, ProblemKind::Shadowed { kind, version, at });
            }
        }
        Err(error) => {
            report.add_problem(root.to_string(), ProblemKind::Unreadable { reason: with_causes(&error) })
        }
    }
}
