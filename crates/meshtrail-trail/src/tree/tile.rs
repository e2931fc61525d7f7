//! Tiles after C2SP tlog-tiles: their names, and the nodes in them.

use std::{fmt, str::FromStr};

use super::{Hash, node_hash};

/// Hashes of a full tile.
pub const TILE_WIDTH: usize = 256;

/// The highest tile level: 8 tree levels each, 64 in all.
const MAX_LEVEL: u8 = 7;

/// One tile's name: `tile/<level>/<index>[.p/<width>]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, std::hash::Hash)]
pub struct TileId {
    /// 0 for leaf hashes; each level above holds the roots of full tiles below.
    pub level: u8,
    /// Its index in the level, from 0.
    pub index: u64,
    /// Hashes in it: 256, or fewer for a partial tile.
    pub width: u16,
}

/// One entry bundle's name: `tile/entries/<index>[.p/<width>]`: the leaves under one tile of level 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bundle {
    /// Its index, from 0.
    pub index: u64,
    /// Leaves in it: 256, or fewer for a partial bundle.
    pub width: u16,
}

/// Why a text is not a tile's path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path:?} is not a tile path such as tile/0/x001/234.p/5")]
pub struct TilePathError {
    /// What was given, cut to a readable length.
    pub path: String,
}

impl TileId {
    /// The tile of `level` at `index` with all its 256 hashes.
    pub const fn full(level: u8, index: u64) -> Self {
        Self { level, index, width: 256 }
    }

    /// True for a tile that has all its hashes.
    pub const fn is_full(self) -> bool {
        self.width as usize == TILE_WIDTH
    }

    /// The partial tiles at the right edge of a tree of `size` leaves, lowest level first; levels whose last tile is
    /// full have none.
    pub fn partial(size: u64) -> impl Iterator<Item = Self> {
        (0..=MAX_LEVEL).filter_map(move |level| {
            let hashes = size >> (8 * u32::from(level));
            let width = u16::try_from(hashes % TILE_WIDTH as u64).expect("below 256");
            (width > 0).then_some(Self { level, index: hashes / TILE_WIDTH as u64, width })
        })
    }
}

impl fmt::Display for TileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tile/{}/", self.level)?;
        write_index(f, self.index, self.width)
    }
}

impl fmt::Display for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tile/entries/")?;
        write_index(f, self.index, self.width)
    }
}

impl FromStr for TileId {
    type Err = TilePathError;

    fn from_str(path: &str) -> Result<Self, TilePathError> {
        let wrong = || TilePathError { path: path.chars().take(80).collect() };
        let (level, rest) =
            path.strip_prefix("tile/").and_then(|rest| rest.split_once('/')).ok_or_else(wrong)?;
        let level = level.parse().ok().filter(|parsed: &u8| *parsed <= MAX_LEVEL && level.len() == 1);
        let (index, width) = read_index(rest).ok_or_else(wrong)?;
        Ok(Self { level: level.ok_or_else(wrong)?, index, width })
    }
}

impl FromStr for Bundle {
    type Err = TilePathError;

    fn from_str(path: &str) -> Result<Self, TilePathError> {
        let index = path.strip_prefix("tile/entries/").and_then(read_index);
        let (index, width) = index.ok_or_else(|| TilePathError { path: path.chars().take(80).collect() })?;
        Ok(Self { index, width })
    }
}

/// Writes an index in parts of three digits, all but the last prefixed with `x`: no folder has more than 1,000 names.
fn write_index(f: &mut fmt::Formatter<'_>, index: u64, width: u16) -> fmt::Result {
    let digits = index.to_string();
    let padded = format!("{digits:0>width$}", width = digits.len().div_ceil(3) * 3);
    let parts = padded.len() / 3;
    for part in 0..parts {
        let (mark, end) = if part + 1 < parts { ("x", "/") } else { ("", "") };
        write!(f, "{mark}{}{end}", &padded[part * 3..part * 3 + 3])?;
    }
    if usize::from(width) < TILE_WIDTH { write!(f, ".p/{width}") } else { Ok(()) }
}

fn read_index(text: &str) -> Option<(u64, u16)> {
    let (path, width) = match text.split_once(".p/") {
        Some((path, width)) => {
            let parsed: u16 = width.parse().ok()?;
            let plain = parsed.to_string() == width && (1..TILE_WIDTH).contains(&usize::from(parsed));
            (path, plain.then_some(parsed)?)
        }
        None => (text, 256),
    };
    let mut index = 0u64;
    let mut parts = path.split('/').peekable();
    let mut first = true;
    while let Some(part) = parts.next() {
        let digits = if parts.peek().is_some() { part.strip_prefix('x')? } else { part };
        let superfluous = first && parts.peek().is_some() && digits == "000";
        if digits.len() != 3 || superfluous || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        index = index.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
        first = false;
    }
    (index < 1 << 56).then_some((index, width))
}

/// The root of the complete subtree over `hashes`; their number must be a power of two.
pub fn subtree_of(hashes: &[Hash]) -> Hash {
    debug_assert!(hashes.len().is_power_of_two(), "a complete subtree has a power of two of leaves");
    if let [only] = hashes {
        return *only;
    }
    let mut row: Vec<Hash> = hashes.chunks_exact(2).map(|pair| node_hash(&pair[0], &pair[1])).collect();
    while row.len() > 1 {
        for at in 0..row.len() / 2 {
            row[at] = node_hash(&row[2 * at], &row[2 * at + 1]);
        }
        row.truncate(row.len() / 2);
    }
    row[0]
}

/// The hash of a full tile in the level above.
pub fn root_of_full(hashes: &[Hash; TILE_WIDTH]) -> Hash {
    subtree_of(hashes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_standard() {
        let cases = [
            (TileId::full(0, 0), "tile/0/000"),
            (TileId::full(0, 1_234_067), "tile/0/x001/x234/067"),
            (TileId { level: 1, index: 999, width: 5 }, "tile/1/999.p/5"),
            (TileId::full(2, 1000), "tile/2/x001/000"),
        ];
        for (tile, path) in cases {
            assert_eq!(tile.to_string(), path);
            assert_eq!(path.parse(), Ok(tile));
        }
        assert_eq!("tile/entries/x001/002.p/7".parse(), Ok(Bundle { index: 1002, width: 7 }));
    }

    #[test]
    fn one_tile_has_one_name() {
        for bad in [
            "",
            "tile/0",
            "tile/0/0",
            "tile/0/x000/001",
            "tile/0/001.p/0",
            "tile/0/001.p/256",
            "tile/0/001.p/05",
            "tile/00/001",
            "tile/8/001",
            "tile/0/001/002",
            "tile/0/x001",
            "tile/0/../001",
            "tile/-1/000",
            "tile/0/x999/x999/x999/x999/x999/x999/999",
        ] {
            assert!(bad.parse::<TileId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_right_edge_of_a_tree_is_one_partial_tile_a_level() {
        let names: Vec<String> = TileId::partial(70_000).map(|tile| tile.to_string()).collect();
        assert_eq!(names, ["tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1"]);
        assert_eq!(TileId::partial(256).map(|tile| tile.to_string()).collect::<Vec<_>>(), ["tile/1/000.p/1"]);
        assert_eq!(TileId::partial(0).count(), 0);
    }
}
