//! Cells: classes of sources that all broad sets hold alike.
//!
//! A rule of everybody to everything changes every pair of classes, and most pairs alike. So sets of many classes are
//! not taken apart: what they open is added up once for each cell, and only classes that other rules name as well are looked
//! at one by one.

use std::collections::HashMap;

use super::classes::{ClassId, ClassMembers};
use crate::compile::Families;

/// A set of more classes than this is broad.
const BROAD: usize = 64;

/// The most broad sets; two bits of a key are for each.
const MAX_BROAD: usize = 32;

/// A cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct CellId(pub(super) u32);

/// The cells of a diff.
#[derive(Debug, Default)]
pub(super) struct Cells {
    /// The place of each broad set in the keys of cells, by its number.
    broad: HashMap<u32, usize>,
    /// The families of each cell in each broad set.
    keys: Vec<u64>,
    /// The classes of each cell.
    pub(super) classes: Vec<Vec<ClassId>>,
    cell_of: Vec<Option<CellId>>,
}

impl Cells {
    /// The cells of these sets of sources; `classes` is the number of all classes.
    pub(super) fn new(sets: &[ClassMembers], sources: &[u32], classes: usize) -> Self {
        let mut broad: Vec<u32> =
            sources.iter().copied().filter(|set| sets[*set as usize].len() > BROAD).collect();
        broad.sort_unstable();
        broad.dedup();
        broad.sort_by_key(|set| std::cmp::Reverse(sets[*set as usize].len()));
        broad.truncate(MAX_BROAD);
        let mut keys = vec![0_u64; classes];
        for (place, set) in broad.iter().enumerate() {
            for (class, families) in &sets[*set as usize] {
                keys[class.0 as usize] |= u64::from(families.bits()) << (2 * place);
            }
        }
        let mut cells = Self {
            broad: broad.into_iter().enumerate().map(|(place, set)| (set, place)).collect(),
            cell_of: vec![None; classes],
            ..Self::default()
        };
        let mut by_key: HashMap<u64, CellId> = HashMap::new();
        for (class, key) in (0..).map(ClassId).zip(keys).filter(|(_, key)| *key != 0) {
            let next = CellId(u32::try_from(by_key.len()).expect("fewer cells than classes"));
            let cell = *by_key.entry(key).or_insert(next);
            if cell == next {
                cells.keys.push(key);
                cells.classes.push(Vec::new());
            }
            cells.classes[cell.0 as usize].push(class);
            cells.cell_of[class.0 as usize] = Some(cell);
        }
        cells
    }

    /// Whether a set is broad.
    pub(super) fn is_broad(&self, set: u32) -> bool {
        self.broad.contains_key(&set)
    }

    /// The families of a cell's classes in a broad set; `None` if it is not in it.
    pub(super) fn families(&self, cell: CellId, set: u32) -> Option<Families> {
        let place = *self.broad.get(&set)?;
        let bits = u32::try_from((self.keys[cell.0 as usize] >> (2 * place)) & 3).ok()?;
        (bits != 0).then(|| Families::from_bits(bits))
    }

    /// All cells.
    pub(super) fn all(&self) -> impl Iterator<Item = CellId> + use<> {
        (0..u32::try_from(self.keys.len()).unwrap_or(u32::MAX)).map(CellId)
    }

    /// The cell of a class; `None` if no broad set holds it.
    pub(super) fn of(&self, class: ClassId) -> Option<CellId> {
        self.cell_of[class.0 as usize]
    }
}
