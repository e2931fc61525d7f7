//! Conditions on the text columns of a segment, and what is known of the values that they are tested with.

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
    /// Each accepted value begins with one of these, where they are known.
    prefixes: Option<Arc<[Box<str>]>>,
    results: Arc<Mutex<Results>>,
}

/// The results of a test, one bit for the number of each value, given by a cache that counts its generations.
#[derive(Default)]
struct Results {
    generation: u64,
    tested: Vec<u64>,
    accepted: Vec<u64>,
}

/// A set of values by their numbers, in the smaller of two forms.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ValueNumbers {
    List(Box<[u32]>),
    /// One bit for each number, the least significant bit of the first word for 0.
    Bits(Box<[u64]>),
}

impl ValueNumbers {
    pub(crate) fn of(numbers: Vec<u32>) -> Self {
        let words = numbers.iter().max().map_or(0, |&greatest| greatest as usize / 64 + 1);
        if words * size_of::<u64>() >= numbers.len() * size_of::<u32>() {
            return Self::List(numbers.into());
        }
        let mut bits = vec![0_u64; words];
        for number in numbers {
            bits[number as usize / 64] |= 1 << (number % 64);
        }
        Self::Bits(bits.into())
    }

    /// The bytes that it takes.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::List(numbers) => size_of_val(&**numbers),
            Self::Bits(words) => size_of_val(&**words),
        }
    }
}

impl ColumnTest {
    /// A test of the column with this name. `accepts` is called once for each distinct value, if the column has a dictionary.
    pub fn new(column: &str, accepts: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self { column: column.into(), accepts: Arc::new(accepts), prefixes: None, results: Arc::default() }
    }

    /// Adds what is known of accepted values: each begins with one of these texts. A file is skipped by the bounds of a
    /// column that has no dictionary.
    #[must_use]
    pub fn with_prefixes<'p>(self, prefixes: impl IntoIterator<Item = &'p str>) -> Self {
        Self { prefixes: Some(prefixes.into_iter().map(Box::from).collect()), ..self }
    }

    /// Whether the value is accepted.
    pub fn accepts(&self, value: &str) -> bool {
        (self.accepts)(value)
    }

    /// Whether a value from `least` to `greatest` may be accepted.
    pub(crate) fn may_accept_between(&self, least: &str, greatest: &str) -> bool {
        // The least text with a prefix is the prefix.
        let may_begin = |prefix: &str| prefix <= greatest && (least <= prefix || least.starts_with(prefix));
        self.prefixes.as_ref().is_none_or(|prefixes| prefixes.iter().any(|prefix| may_begin(prefix)))
    }

    /// Whether one of the values with these numbers in `texts` is accepted. The numbers mean the same values for as long as
    /// the generation is the same.
    pub(crate) fn accepts_any(&self, generation: u64, texts: &[Box<str>], numbers: &ValueNumbers) -> bool {
        let mut results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        if results.generation != generation {
            *results = Results { generation, ..Results::default() };
        }
        let words = texts.len().div_ceil(64).max(results.tested.len());
        results.tested.resize(words, 0);
        results.accepted.resize(words, 0);
        let mut accepts_any = |at: usize, word: u64| {
            let mut untested = word & !results.tested[at];
            while untested != 0 {
                let bit = untested.trailing_zeros() as usize;
                untested &= untested - 1;
                results.accepted[at] |= u64::from((self.accepts)(&texts[at * 64 + bit])) << bit;
            }
            results.tested[at] |= word;
            results.accepted[at] & word != 0
        };
        match numbers {
            ValueNumbers::List(numbers) => {
                numbers.iter().any(|&number| accepts_any(number as usize / 64, 1 << (number % 64)))
            }
            ValueNumbers::Bits(words) => words.iter().enumerate().any(|(at, &word)| accepts_any(at, word)),
        }
    }
}

/// What is known of the values of a text column in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TextValues {
    /// Nothing.
    Unknown,
    /// None is less than the first or greater than the second.
    Between(Box<str>, Box<str>),
    /// All of them.
    Distinct(Vec<Box<str>>),
}

impl fmt::Debug for ColumnTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ColumnTest").field("column", &self.column).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_answers_the_same_for_both_forms_of_a_set_and_tests_each_value_once() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        let tested = Arc::new(AtomicUsize::new(0));
        let counted = tested.clone();
        let test = ColumnTest::new("src", move |value| {
            counted.fetch_add(1, Ordering::Relaxed);
            value == "v130"
        });
        let texts: Vec<Box<str>> = (0..200).map(|number| format!("v{number}").into()).collect();
        let sets =
            [(0..200).collect(), vec![130], vec![0, 199], (0..130).collect(), (64..131).collect(), vec![]];
        for numbers in sets {
            let is_wanted = numbers.contains(&130);
            let (list, set) = (ValueNumbers::List(numbers.clone().into()), ValueNumbers::of(numbers.clone()));
            assert!(set.size() <= list.size());
            assert_eq!(matches!(set, ValueNumbers::Bits(_)), numbers.len() > 10, "{numbers:?}");
            assert_eq!(test.accepts_any(1, &texts, &set), is_wanted, "{numbers:?}");
            assert_eq!(test.accepts_any(1, &texts, &list), is_wanted, "{numbers:?}");
        }
        // The words of 0 to 191, and 199 by itself.
        assert_eq!(tested.load(Ordering::Relaxed), 193);
        assert!(!test.accepts_any(2, &texts[..130], &ValueNumbers::of((0..130).collect())), "another cache");
    }

    #[test]
    fn a_range_is_skipped_only_if_no_text_in_it_begins_as_accepted_ones_do() {
        let test = ColumnTest::new("session", |_| true);
        assert!(test.may_accept_between("a", "b"), "nothing is known of accepted values");
        let test = test.with_prefixes(["20261120-", "7"]);
        for (least, greatest) in [
            ("20261120-main-1-1", "20261120-main-1-9"),
            ("20261101-main-1-1", "20261120-main-1-1"),
            ("20261120-main-1-1", "20261131-main-1-1"),
            ("20250101-main-1-1", "20271231-main-1-1"),
            ("20261120-", "20261120-"),
            ("6", "8"),
            ("20261121-main-1-1", "7"),
        ] {
            assert!(test.may_accept_between(least, greatest), "{least} to {greatest}");
        }
        for (least, greatest) in [
            ("20261121-main-1-1", "20261130-main-1-1"),
            ("20261101-main-1-1", "20261119-main-1-1"),
            ("20261120", "20261120"),
            ("8", "9"),
        ] {
            assert!(!test.may_accept_between(least, greatest), "{least} to {greatest}");
        }
    }
}
