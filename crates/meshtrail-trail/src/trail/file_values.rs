//! The distinct values of text columns in each sealed file, or their bounds, so that scans skip files without a matching
//! value.
//!
//! - Values are read from a file's dictionaries when a predicate first tests a column, and interned by column: over all
//!   files a predicate tests each distinct value once. Of a column without a dictionary the least and greatest are known.
//! - Only a file that certainly has no matching row is skipped: leaves stored whole, and members outside of the columns,
//!   keep it.
//! - The cache is derived and bounded: a full one is emptied, and filled again by the scans that follow.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use super::shared::Shared;
use crate::manifest::SegmentFile;
use crate::segment::{ColumnTest, Predicate, SegmentError, TextValues, ValueNumbers};

/// The largest size of the cache, in bytes.
const MAX_BYTES: usize = 64 << 20;
/// The most distinct values of a column in one file; of a column with more the values are unknown, and its files are kept.
const MAX_VALUES: usize = 16_384;

/// The cached values of all files.
#[derive(Default)]
pub(super) struct FileValueCache {
    // Guards the cache; held for one lookup or one insertion, never while something is read.
    cache: RwLock<Cache>,
}

struct Cache {
    /// For each file what is known of each column's values.
    files: HashMap<String, HashMap<String, KnownValues>>,
    columns: HashMap<String, ColumnTexts>,
    bytes: usize,
    /// Changed when the cache is emptied, because values get new numbers then.
    generation: u64,
}

/// What is known of a column's values in one file.
enum KnownValues {
    Unknown,
    /// The least and the greatest.
    Between(Box<str>, Box<str>),
    /// The numbers of all of them.
    Numbers(ValueNumbers),
}

/// The last generation of any cache of this process: results of tests must never meet another cache's numbers.
static GENERATION: AtomicU64 = AtomicU64::new(0);

/// The distinct values of one column over all files.
#[derive(Default)]
struct ColumnTexts {
    numbers: HashMap<Box<str>, u32>,
    texts: Vec<Box<str>>,
}

impl ColumnTexts {
    /// The number of a value, and the bytes that it added.
    fn intern(&mut self, text: &str) -> (u32, usize) {
        if let Some(&number) = self.numbers.get(text) {
            return (number, 0);
        }
        let number = self.texts.len() as u32;
        self.numbers.insert(text.into(), number);
        self.texts.push(text.into());
        (number, text.len() * 2 + 64)
    }
}

impl Default for Cache {
    fn default() -> Self {
        let generation = GENERATION.fetch_add(1, Ordering::Relaxed) + 1;
        Self { files: HashMap::new(), columns: HashMap::new(), bytes: 0, generation }
    }
}

impl Cache {
    fn missing<'p>(&self, path: &str, predicates: &'p [Predicate]) -> Vec<&'p str> {
        let known = self.files.get(path);
        let is_missing = |column: &&str| known.is_none_or(|file| !file.contains_key(*column));
        let mut missing: Vec<&str> = columns(predicates).filter(is_missing).collect();
        missing.sort_unstable();
        missing.dedup();
        missing
    }

    fn insert(&mut self, path: &str, read: Vec<(String, TextValues)>) {
        if self.bytes > MAX_BYTES {
            *self = Self::default();
        }
        let Self { files, columns, bytes, .. } = self;
        let file = files.entry(path.to_owned()).or_insert_with(|| {
            *bytes += path.len() + 128;
            HashMap::new()
        });
        for (column, values) in read {
            let texts = columns.entry(column.clone()).or_default();
            let known = match values {
                TextValues::Unknown => KnownValues::Unknown,
                TextValues::Between(least, greatest) => {
                    *bytes += least.len() + greatest.len();
                    KnownValues::Between(least, greatest)
                }
                TextValues::Distinct(values) => {
                    let mut number = |value: &str| {
                        let (number, added) = texts.intern(value);
                        *bytes += added;
                        number
                    };
                    let numbers = ValueNumbers::of(values.iter().map(|value| number(value)).collect());
                    *bytes += numbers.size();
                    KnownValues::Numbers(numbers)
                }
            };
            *bytes += column.len() + 64;
            file.insert(column, known);
        }
    }

    /// Whether the file may have a row that matches all predicates; none if that is not known yet.
    fn may_match(&self, path: &str, predicates: &[Predicate]) -> Option<bool> {
        let file = self.files.get(path)?;
        for predicate in predicates {
            let mut may_match = false;
            for test in &predicate.any_of {
                may_match |= self.may_have_accepted(file.get(&*test.column)?, test);
            }
            if !may_match {
                return Some(false);
            }
        }
        Some(true)
    }

    fn may_have_accepted(&self, values: &KnownValues, test: &ColumnTest) -> bool {
        match (values, self.columns.get(&*test.column)) {
            (KnownValues::Between(least, greatest), _) => test.may_accept_between(least, greatest),
            (KnownValues::Numbers(numbers), Some(texts)) => {
                test.accepts_any(self.generation, &texts.texts, numbers)
            }
            (KnownValues::Unknown, _) | (_, None) => true,
        }
    }
}

fn columns(predicates: &[Predicate]) -> impl Iterator<Item = &str> {
    predicates.iter().flat_map(|predicate| &predicate.any_of).map(|test| &*test.column)
}

impl Shared {
    /// Whether the file may have a row that matches all predicates.
    pub(super) async fn may_match(
        &self,
        file: &SegmentFile,
        predicates: &[Predicate],
    ) -> Result<bool, SegmentError> {
        if predicates.is_empty() {
            return Ok(true);
        }
        let cache = &self.file_values.cache;
        let missing = {
            let cache = cache.read().unwrap_or_else(PoisonError::into_inner);
            match cache.may_match(&file.path, predicates) {
                Some(may_match) => return Ok(may_match),
                None => cache.missing(&file.path, predicates),
            }
        };
        let read = self.reader(file).await?.text_values(&missing, MAX_VALUES).await?;
        let mut cache = cache.write().unwrap_or_else(PoisonError::into_inner);
        cache.insert(&file.path, read);
        // Emptied meanwhile, other columns may be missing again: the file is read then.
        Ok(cache.may_match(&file.path, predicates).unwrap_or(true))
    }
}
