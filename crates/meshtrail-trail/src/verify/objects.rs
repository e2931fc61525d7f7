//! Everything that lies in a trail's part of the store, against what its manifests speak of.

use std::collections::BTreeSet;

use meshtrail_event::text::with_causes;

use super::chain::Chain;
use super::report::{Note, Report, Wrong};
use super::tiles::Listed;
use crate::manifest::manifest_number;
use crate::retention::range_of;
use crate::store::{Entry, Key, Store};
use crate::trail::HEAD;
use crate::tree::TileId;

/// Lists the trail's objects; reports those that nothing speaks of, and gives the tiles among them.
pub(super) async fn check(store: &Store, root: &Key, chain: &Chain, report: &mut Report) -> Listed {
    let entries = match store.list(root).await {
        Ok(entries) => entries,
        Err(error) => {
            report.wrong(root.to_string(), Wrong::Unreadable { reason: with_causes(&error) });
            return Listed::default();
        }
    };
    let known: BTreeSet<&str> =
        chain.segments().flat_map(|segment| &segment.files).map(|file| file.path.as_str()).collect();
    let prefix = format!("{root}/");
    let mut listed = Listed::default();
    for Entry { key, size } in &entries {
        let name = key.as_str().strip_prefix(&prefix).unwrap_or(key.as_str());
        match place(name, &known, chain) {
            Place::Known => {}
            Place::Tile(tile) => {
                listed.0.insert(tile, *size);
            }
            Place::Unlisted => report.notes.push(Note::Unlisted { object: key.to_string() }),
            Place::Leftover => report.notes.push(Note::Leftover { object: key.to_string() }),
            Place::Extra => report.wrong(key.to_string(), Wrong::Extra),
        }
    }
    listed
}

enum Place {
    Known,
    Tile(TileId),
    Unlisted,
    Leftover,
    Extra,
}

fn place(name: &str, known: &BTreeSet<&str>, chain: &Chain) -> Place {
    if name == "checkpoint" || name == HEAD || name == "vkey" || known.contains(name) {
        return Place::Known;
    }
    if let Some(number) = name.strip_prefix("manifest/").and_then(manifest_number) {
        // One that came after we listed the manifests is the server's; 0 is nobody's.
        return if number == 0 { Place::Extra } else { Place::Known };
    }
    if name.starts_with("segments/") {
        return segment_place(name, chain);
    }
    match name.parse::<TileId>() {
        Ok(tile) if tile.level == 0 && tile.is_full() => Place::Extra,
        Ok(tile) if end_of(tile) <= Some(chain.sealed()) => Place::Tile(tile),
        Ok(_) => Place::Unlisted,
        Err(_) => Place::Extra,
    }
}

/// A segment file in no manifest: by its name it lies behind what is sealed, or in what retention dropped.
fn segment_place(name: &str, chain: &Chain) -> Place {
    let range = name.rsplit('/').next().and_then(range_of);
    match range {
        Some((first, _)) if first >= chain.sealed() => Place::Unlisted,
        Some((_, last)) if last < chain.retired() => Place::Leftover,
        _ => Place::Extra,
    }
}

/// The index after the last event under a tile.
fn end_of(tile: TileId) -> Option<u64> {
    let hashes = tile.index.checked_mul(256)?.checked_add(u64::from(tile.width))?;
    let bits = 8 * u32::from(tile.level);
    hashes.checked_shl(bits).filter(|end| end >> bits == hashes)
}

/// Reports what was put in front of objects that are written once.
pub(super) async fn audit(store: &Store, root: &Key, report: &mut Report) {
    match store.audit(root).await {
        Ok(found) => {
            for tampering in found {
                let (kind, version, at) = (tampering.what, tampering.version, tampering.at);
                report.wrong(tampering.key, Wrong::Shadowed { kind, version, at });
            }
        }
        Err(error) => report.wrong(root.to_string(), Wrong::Unreadable { reason: with_causes(&error) }),
    }
}
