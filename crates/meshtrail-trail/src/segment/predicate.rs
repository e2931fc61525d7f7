//! Conditions on the text columns of a segment, and the distinct values that they are tested with.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// A condition: a row matches if one of the tests accepts the value of its column.
#[derive(Debug, Clone)]
pub struct Predicate {
    /// The tests; with none, no row matches.
    pub any_of: Vec<ColumnTest>,
}

/// A test of one text column's value. A row without a value is not accepted. Clones share what was tested.
#[derive(Clone)]
pub struct ColumnTest {
    /// The Parquet column's name: `kind`, `actor_login`, `src`.
    pub(crate) column: Arc<str>,
    accepts: Arc<dyn Fn(&str) -> bool + Send + Sync>,
    results: Arc<Mutex<Results>>,
}

/// The results of a test by the number of the value, given by a cache that counts its generations.
#[derive(Default)]
struct Results {
    generation: u64,
    accepted: Vec<Option<bool>>,
}

impl ColumnTest {
    /// A test of the column with this name. `accepts` is called once for each distinct value, if the column has a dictionary.
    pub fn new(column: &str, accepts: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self { column: column.into(), accepts: Arc::new(accepts), results: Arc::default() }
    }

    /// Whether the value is accepted.
    pub fn accepts(&self, value: &str) -> bool {
        (self.accepts)(value)
    }

    /// Whether one of the values with these numbers in `texts` is accepted. The numbers mean the same values for as long as
    /// the generation is the same.
    pub(crate) fn accepts_any(&self, generation: u64, texts: &[Box<str>], numbers: &[u32]) -> bool {
        let mut results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        if results.generation != generation {
            *results = Results { generation, accepted: Vec::new() };
        }
        if results.accepted.len() < texts.len() {
            results.accepted.resize(texts.len(), None);
        }
        numbers.iter().any(|&number| {
            let number = number as usize;
            *results.accepted[number].get_or_insert_with(|| (self.accepts)(&texts[number]))
        })
    }
}

impl fmt::Debug for ColumnTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ColumnTest").field("column", &self.column).finish_non_exhaustive()
    }
}
