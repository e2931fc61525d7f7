//! Conversion of leaves to columns and back in memory, for other readers of segments.
//!
//! - [`Columns`] has the columns of a file with the same leaves, without a file; times are whole, in nanoseconds.
//! - [`Rows`] restores the bytes of leaves whose columns another program read.
//! - A leaf that columns can't represent is in `raw`, as in a file; its members are split into columns as well, as far as
//!   it is JSON, so that a query over columns does not miss it.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use meshtrail_event::Family;

use super::SegmentError;
use super::join::Joiner;
use super::outline::{Tail, check_tail};
use super::page::{Column, Present};
use super::plan::{Form, INDEX, Plan};
use super::split::{ColumnBuffer, Splitter, Values};
use crate::store::{Key, Store};

/// The type of a column's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ColumnForm {
    /// A 64-bit integer.
    Int,
    /// An integer from 0 to 65,535, in 32 bits.
    Port,
    /// Nanoseconds since 1970, UTC.
    Time,
    /// UTF-8.
    Text,
    /// Bytes of any kind.
    Binary,
    /// 32 bytes.
    Hash,
}

impl From<Form> for ColumnForm {
    fn from(form: Form) -> Self {
        match form {
            Form::Int => Self::Int,
            Form::Port => Self::Port,
            Form::Time => Self::Time,
            Form::Text => Self::Text,
            Form::Binary => Self::Binary,
            Form::Hash => Self::Hash,
            Form::Micros | Form::Nanos => unreachable!("times are whole in memory"),
        }
    }
}

/// The columns of a family in memory, in order: the index first, `rest` and `raw` last. A file stores a time in two columns,
/// microseconds and the nanoseconds below.
pub fn columns(family: Family) -> impl Iterator<Item = (&'static str, ColumnForm)> {
    Plan::in_memory(family).columns.iter().map(|column| (column.name.as_str(), column.form.into()))
}

/// Leaves of one family, by column.
pub struct Columns {
    plan: &'static Plan,
    buffers: Vec<ColumnBuffer>,
    rows: usize,
}

/// A column's values and the rows they stand in, ascending; other rows have none.
pub struct ColumnValues<'a> {
    /// The row of each value.
    pub rows: &'a [u32],
    /// The values.
    pub values: ColumnArray<'a>,
}

/// Values of one column.
pub enum ColumnArray<'a> {
    /// Numbers, ports, times.
    Numbers(&'a [i64]),
    /// Texts and bytes: for each row the index of its text in the list.
    Texts {
        /// By row.
        ids: &'a [u32],
        /// Each text once.
        distinct: Vec<&'a [u8]>,
    },
    /// Hashes.
    Hashes(&'a [[u8; 32]]),
}

impl Columns {
    /// Sorts `leaves`, pairs of index and leaf, into columns.
    pub fn of<'l>(family: Family, leaves: impl IntoIterator<Item = (u64, &'l [u8])>) -> Self {
        let plan = Plan::in_memory(family);
        let mut splitter = Splitter::new(plan);
        let mut rows = 0;
        for (index, leaf) in leaves {
            splitter.push_row(index, leaf, false);
            rows += 1;
        }
        Self { plan, buffers: splitter.finish(), rows }
    }

    /// The same for leaves of which some can only be stored whole: these are in `raw`, and in columns as far as they are
    /// JSON.
    pub fn lenient<'l>(family: Family, leaves: impl IntoIterator<Item = (u64, &'l [u8])>) -> Self {
        let plan = Plan::in_memory(family);
        let mut splitter = Splitter::new(plan);
        let mut rows = 0;
        for (index, leaf) in leaves {
            let canonical = serde_json::from_slice::<serde_json::Value>(leaf)
                .map(|value| meshtrail_event::canonical_json(&value));
            match canonical {
                Ok(canonical) if canonical.as_bytes() == leaf => splitter.push_row(index, leaf, false),
                Ok(canonical) => splitter.push_whole_row(index, leaf, canonical.as_bytes()),
                Err(_) => splitter.push_row(index, leaf, true),
            }
            rows += 1;
        }
        Self { plan, buffers: splitter.finish(), rows }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// A column by its name in a file; none if the family has no such column.
    pub fn column(&self, name: &str) -> Option<ColumnValues<'_>> {
        let buffer = &self.buffers[self.plan.column(name)?];
        let values = match &buffer.values {
            Values::Numbers(numbers) => ColumnArray::Numbers(numbers),
            Values::Texts { ids, distinct } => {
                ColumnArray::Texts { ids, distinct: distinct.iter().collect() }
            }
            Values::Hashes(hashes) => ColumnArray::Hashes(hashes),
        };
        Some(ColumnValues { rows: &buffer.rows, values })
    }
}

/// Rows whose columns another program read, to be joined to leaves. Columns that are not set have no values.
pub struct Rows {
    plan: &'static Plan,
    columns: Vec<Column>,
    rows: usize,
}

impl Rows {
    /// `rows` rows of a family, without any value yet.
    pub fn new(family: Family, rows: usize) -> Self {
        let plan = Plan::in_memory(family);
        Self { plan, columns: vec![Column::Nothing; plan.columns.len()], rows }
    }

    /// The form of the family's column of this name, if there is one.
    pub fn form(&self, name: &str) -> Option<ColumnForm> {
        self.plan.column(name).map(|column| self.plan.columns[column].form.into())
    }

    /// Sets a column of numbers, ports or times, with a value or none for each row.
    pub fn numbers(&mut self, name: &str, values: impl Iterator<Item = Option<i64>>) {
        let (mut numbers, mut present) = (Vec::with_capacity(self.rows), Vec::with_capacity(self.rows));
        for value in values.take(self.rows) {
            numbers.push(value.unwrap_or_default());
            present.push(value.is_some());
        }
        let is_number = |form| matches!(form, Form::Int | Form::Port | Form::Time);
        self.set(name, is_number, present, |present| Column::Numbers { numbers, present });
    }

    /// Sets a column of texts or bytes.
    pub fn texts<'t>(&mut self, name: &str, values: impl Iterator<Item = Option<&'t [u8]>>) {
        let (mut bytes, mut ends, mut present) = (Vec::new(), Vec::with_capacity(self.rows), Vec::new());
        for value in values.take(self.rows) {
            bytes.extend_from_slice(value.unwrap_or_default());
            ends.push(bytes.len() as u32);
            present.push(value.is_some());
        }
        let is_text = |form| matches!(form, Form::Text | Form::Binary);
        self.set(name, is_text, present, |present| Column::Texts { bytes, ends, present });
    }

    /// Sets a column of hashes.
    pub fn hashes<'t>(&mut self, name: &str, values: impl Iterator<Item = Option<&'t [u8]>>) {
        let (mut hashes, mut present) = (Vec::with_capacity(self.rows * 32), Vec::new());
        for value in values.take(self.rows) {
            let value = value.filter(|hash| hash.len() == 32);
            hashes.extend_from_slice(value.unwrap_or(&[0; 32]));
            present.push(value.is_some());
        }
        self.set(name, |form| form == Form::Hash, present, |present| Column::Hashes { hashes, present });
    }

    fn set(
        &mut self,
        name: &str,
        fits: impl Fn(Form) -> bool,
        present: Vec<bool>,
        column: impl FnOnce(Present) -> Column,
    ) {
        let Some(number) = self.plan.column(name).filter(|&number| fits(self.plan.columns[number].form))
        else {
            return;
        };
        if number == INDEX || present.len() < self.rows || !present.contains(&true) {
            return;
        }
        let all = !present.contains(&false);
        self.columns[number] = column(if all { Present::All } else { Present::Some(present) });
    }

    /// Joins the leaf of each row: its exact bytes, if every column was set. None for a row whose columns contradict each
    /// other.
    pub fn leaves(&self) -> Vec<Option<Vec<u8>>> {
        let mut joiner = Joiner::new(self.plan, &self.columns);
        let join = |row| {
            let mut leaf = Vec::new();
            joiner.write(row, &mut leaf).map(|()| leaf)
        };
        (0..self.rows).map(join).collect()
    }
}

/// The end of a segment's file, with its page indexes and footer; its checksum was verified.
#[derive(Debug, Clone)]
pub struct SegmentEnd {
    /// The file's last bytes.
    pub bytes: Bytes,
    /// Bytes of the whole file.
    pub size: u64,
}

impl SegmentEnd {
    pub(crate) async fn read(store: &Store, key: &Key, size: u64) -> Result<Self, SegmentError> {
        let get = |range| async move { Ok(store.get_range(key, range).await?) };
        Self::read_with(key.as_str(), size, get).await
    }

    /// Reads the end of a file of `size` bytes by asking `get` for ranges of it; `name` is how errors call the file.
    pub async fn read_with<E, F>(name: &str, size: u64, get: impl Fn(Range<u64>) -> F) -> Result<Self, E>
    where
        E: From<SegmentError>,
        F: Future<Output = Result<Bytes, E>>,
    {
        let name: Arc<str> = name.into();
        let mut offset = size.saturating_sub(super::reader::FIRST_READ);
        loop {
            let bytes = get(offset..size).await?;
            match check_tail(&name, &bytes, offset)? {
                // Rows that happened to be read along are of no use, and many ends are kept.
                Tail::Whole { start, .. } => {
                    return Ok(Self { bytes: Bytes::copy_from_slice(&bytes[start..]), size });
                }
                Tail::From(earlier) => offset = earlier,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAF: &str = concat!(
        r#"{"actor":{"person":{"login":"a@example.com"}},"detail":{"peer":"[fd7a::1]:22","pid":7},"#,
        r#""id":"a.1.2","kind":"ssh.login","later":true,"time":"2026-11-20T00:00:00.000000000Z"}"#
    );

    fn texts<'c>(columns: &'c Columns, name: &str) -> Vec<&'c [u8]> {
        match columns.column(name).unwrap().values {
            ColumnArray::Texts { ids, distinct } => ids.iter().map(|&id| distinct[id as usize]).collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn leaves_kept_whole_are_in_columns_too() {
        let odd = LEAF.replace(',', ", ");
        let columns = Columns::lenient(Family::Login, [(3, LEAF.as_bytes()), (5, odd.as_bytes()), (8, b"{")]);
        assert_eq!(columns.rows(), 3);
        assert_eq!(texts(&columns, "kind"), [b"ssh.login", b"ssh.login"]);
        assert_eq!(columns.column("kind").unwrap().rows, [0, 1]);
        assert_eq!(texts(&columns, "raw"), [odd.as_bytes(), b"{"]);
        assert_eq!(columns.column("raw").unwrap().rows, [1, 2]);
        assert!(matches!(columns.column("index").unwrap().values, ColumnArray::Numbers([3, 5, 8])));
        assert!(columns.column("verb").is_none());
    }

    #[test]
    fn rows_whose_columns_are_given_are_the_leaves_they_were() {
        let columns = Columns::of(Family::Login, [(3, LEAF.as_bytes())]);
        let mut rows = Rows::new(Family::Login, 1);
        for (name, _) in super::columns(Family::Login) {
            let values = columns.column(name).unwrap();
            if values.rows.is_empty() {
                continue;
            }
            match values.values {
                ColumnArray::Numbers(numbers) => rows.numbers(name, numbers.iter().copied().map(Some)),
                ColumnArray::Texts { ids, distinct } => {
                    rows.texts(name, ids.iter().map(|&id| Some(distinct[id as usize])));
                }
                ColumnArray::Hashes(hashes) => rows.hashes(name, hashes.iter().map(|hash| Some(&hash[..]))),
            }
        }
        assert_eq!(rows.leaves(), [Some(LEAF.as_bytes().to_vec())]);
    }
}
