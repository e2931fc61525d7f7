//! Reading parts of a segment.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use meshtrail_event::{EventId, Family, Timestamp};

use super::SegmentError;
use super::outline::{Outline, Page, PagePart, Tail, check_tail, slice};
use super::page::{Column, Dictionary, PageReader};
use super::plan::{INDEX, Plan};
use super::predicate::{ColumnTest, Predicate, TextValues};
use crate::store::{Key, Store};

/// Bytes of the first read: enough for footer and page indexes of all but the largest segments.
pub(super) const FIRST_READ: u64 = 128 * 1024;

/// A segment that is read by ranges as needed. Clones share its outline and dictionaries.
#[derive(Debug, Clone)]
pub struct SegmentReader {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    outline: Outline,
    source: SegmentSource,
}

#[derive(Debug)]
enum SegmentSource {
    Stored { store: Store, key: Key },
    Memory(Bytes),
}

/// Which rows of a segment to read. It only prunes: rows that don't match may be returned, but no matching row is missed.
#[derive(Clone)]
pub struct Selection {
    /// The range of indexes, without the end.
    pub indexes: Range<u64>,
    /// The range of times, with the end.
    pub times: Option<(Timestamp, Timestamp)>,
    /// Predicates that must all hold.
    pub predicates: Vec<Predicate>,
    /// Events that match all predicates.
    pub exempt: Option<ExemptEvents>,
}

/// Tells by source, epoch and sequence whether an event matches all predicates, whatever its columns contain.
pub type ExemptEvents = Arc<dyn Fn(&str, u64, u64) -> bool + Send + Sync>;

impl Selection {
    /// Every row with an index in `indexes`.
    pub fn of(indexes: Range<u64>) -> Self {
        Self { indexes, times: None, predicates: Vec::new(), exempt: None }
    }
}

impl SegmentReader {
    /// Reads the outline of the object under `key`, which is `size` bytes long.
    pub async fn open(store: &Store, key: &Key, size: u64) -> Result<Self, SegmentError> {
        let name: Arc<str> = key.as_str().into();
        let mut offset = size.saturating_sub(FIRST_READ);
        loop {
            let end = store.get_range(key, offset..size).await?;
            match check_tail(&name, &end, offset)? {
                Tail::Whole { footer, .. } => {
                    let outline = Outline::parse(&name, &end, offset, footer)?;
                    let source = SegmentSource::Stored { store: store.clone(), key: key.clone() };
                    return Ok(Self { inner: Arc::new(Inner { outline, source }) });
                }
                // Each round begins earlier, so it ends.
                Tail::From(earlier) => offset = earlier,
            }
        }
    }

    /// Reads the outline of a file in memory; `name` is its name in errors.
    pub fn from_bytes(name: &str, file: Bytes) -> Result<Self, SegmentError> {
        let outline = Outline::read_whole(&name.into(), &file)?;
        Ok(Self { inner: Arc::new(Inner { outline, source: SegmentSource::Memory(file) }) })
    }

    /// The family whose columns it has.
    pub fn family(&self) -> Family {
        self.inner.outline.plan.layout.family
    }

    /// The trail's name in the footer.
    pub fn trail(&self) -> &str {
        &self.inner.outline.trail
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.inner.outline.rows
    }

    /// The first index and the last.
    pub fn indexes(&self) -> (u64, u64) {
        self.inner.outline.indexes
    }

    /// The numbers of the pages that may have selected rows, ascending. Reads nothing.
    pub fn pages(&self, selection: &Selection) -> Vec<usize> {
        let outline = &self.inner.outline;
        (0..outline.pages()).filter(|&page| self.may_hold(outline, selection, page)).collect()
    }

    fn may_hold(&self, outline: &Outline, selection: &Selection, page: usize) -> bool {
        let Range { start, end } = selection.indexes;
        let wanted = |(least, most): (i64, i64)| (most as u64) >= start && (least as u64) < end;
        if !outline.bounds(INDEX, page).is_none_or(wanted) {
            return false;
        }
        let Some((from, to)) = selection.times else { return true };
        let overlaps = |(least, most)| most >= from.as_nanos() && least <= to.as_nanos();
        !outline.is_certain(Some(outline.plan.time)) || outline.times(page).is_some_and(overlaps)
    }

    /// Reads the selected rows of one page, as pairs of index and leaf, ascending.
    pub async fn read_page(
        &self,
        page: usize,
        selection: &Selection,
    ) -> Result<Vec<(u64, Bytes)>, SegmentError> {
        let outline = &self.inner.outline;
        if page >= outline.pages() {
            return Ok(Vec::new());
        }
        if selection.times.is_none() && selection.predicates.is_empty() {
            let all = self.load(page, 0..outline.plan.columns.len()).await?;
            let rows: Vec<usize> =
                (0..all.rows()).filter(|&row| in_range(&all, row, &selection.indexes)).collect();
            return self.join(&all, &rows);
        }
        let mut columns = vec![INDEX, outline.plan.rest, outline.plan.raw];
        columns.extend(outline.plan.time_columns());
        columns.extend(tested_columns(outline.plan, &selection.predicates));
        if selection.exempt.is_some() {
            columns.extend(outline.plan.id..outline.plan.id + 3);
        }
        columns.sort_unstable();
        columns.dedup();
        let few = self.load(page, columns.into_iter()).await?;
        let rows = self.select(&few, selection);
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let all = self.load(page, 0..outline.plan.columns.len()).await?;
        self.join(&all, &rows)
    }

    /// Reads what is known of the values of some columns from their dictionaries, at most `most` of each, or else from
    /// their bounds.
    pub(crate) async fn text_values(
        &self,
        columns: &[&str],
        most: usize,
    ) -> Result<Vec<(String, TextValues)>, SegmentError> {
        let outline = &self.inner.outline;
        let numbers: Vec<Option<usize>> = columns.iter().map(|name| outline.plan.column(name)).collect();
        let parts = outline.dictionary_parts(numbers.iter().flatten().copied());
        let bytes = self.fetch(&parts).await?;
        PageReader::with(|reader| {
            parts
                .iter()
                .zip(&bytes)
                .try_for_each(|(part, bytes)| outline.decode_dictionary(part, bytes, reader))
        })
        .map_err(|source| SegmentError::Memory { source })??;
        let values =
            |(name, number): (&&str, Option<usize>)| ((*name).to_owned(), outline.values(number, most));
        Ok(columns.iter().zip(numbers).map(values).collect())
    }

    /// Reads all rows with an index in `indexes`, ascending.
    pub async fn read(&self, indexes: Range<u64>) -> Result<Vec<(u64, Bytes)>, SegmentError> {
        let selection = Selection::of(indexes);
        let mut rows = Vec::new();
        for page in self.pages(&selection) {
            rows.extend(self.read_page(page, &selection).await?);
        }
        Ok(rows)
    }

    /// Finds the index of the event with this id.
    pub async fn find(&self, id: &EventId) -> Result<Option<u64>, SegmentError> {
        let (outline, plan) = (&self.inner.outline, self.inner.outline.plan);
        let sequence = id.sequence as i64;
        for page in 0..outline.pages() {
            let outside = |(least, most): (i64, i64)| sequence < least || sequence > most;
            let has_whole = !outline.is_empty(plan.raw);
            if !has_whole && outline.bounds(plan.id + 2, page).is_none_or(outside) {
                continue;
            }
            let ids =
                self.load(page, [INDEX, plan.id, plan.id + 1, plan.id + 2, plan.raw].into_iter()).await?;
            if let Some(row) = (0..ids.rows()).find(|&row| is_event(&ids, plan.id, plan.raw, row, id)) {
                return Ok(ids.index(row));
            }
        }
        Ok(None)
    }

    fn select(&self, page: &Page, selection: &Selection) -> Vec<usize> {
        let plan = self.inner.outline.plan;
        let (rest, whole) = (page.column(plan.rest), page.column(plan.raw));
        // The caller checks values that are in no column.
        let is_elsewhere = |column: &Column, row| whole.has(row) || (rest.has(row) && !column.has(row));
        let is_exempt =
            |row| selection.exempt.as_ref().is_some_and(|exempt| is_exempt(page, plan.id, row, exempt));
        let mut accepted = vec![true; page.rows()];
        if let Some((from, to)) = selection.times {
            let times = page.column(plan.time);
            let in_time = |row| page.time(row).is_some_and(|at| at >= from.as_nanos() && at <= to.as_nanos());
            for (row, accepted) in accepted.iter_mut().enumerate() {
                *accepted = in_time(row) || is_elsewhere(times, row);
            }
        }
        for predicate in &selection.predicates {
            let mut meets = vec![false; page.rows()];
            for test in &predicate.any_of {
                let column = plan.column(&test.column).map_or(&Column::Nothing, |column| page.column(column));
                let accepts = accepted_rows(column, test, page.rows());
                for (row, meets) in meets.iter_mut().enumerate() {
                    *meets |= accepts[row] || is_elsewhere(column, row);
                }
            }
            for (row, accepted) in accepted.iter_mut().enumerate() {
                *accepted &= meets[row] || is_exempt(row);
            }
        }
        (0..page.rows()).filter(|&row| accepted[row] && in_range(page, row, &selection.indexes)).collect()
    }

    fn join(&self, page: &Page, rows: &[usize]) -> Result<Vec<(u64, Bytes)>, SegmentError> {
        let damaged = || SegmentError::Damaged {
            file: self.inner.outline.name.clone(),
            what: "the columns of a row contradict each other",
        };
        let mut joiner = page.joiner();
        let mut leaves = Vec::with_capacity(rows.len() * 512);
        let mut ends = Vec::with_capacity(rows.len());
        for &row in rows {
            joiner.write(row, &mut leaves).ok_or_else(damaged)?;
            ends.push((page.index(row).ok_or_else(damaged)?, leaves.len()));
        }
        let leaves = Bytes::from(leaves);
        let mut start = 0;
        let cut = |(index, end)| {
            let leaf = leaves.slice(start..end);
            start = end;
            (index, leaf)
        };
        Ok(ends.into_iter().map(cut).collect())
    }

    async fn load(&self, page: usize, columns: impl Iterator<Item = usize>) -> Result<Page, SegmentError> {
        let outline = &self.inner.outline;
        let parts = outline.parts(page, columns);
        let bytes = self.fetch(&parts).await?;
        let parts = parts.iter().zip(bytes.iter().map(|bytes| &bytes[..]));
        PageReader::with(|reader| outline.decode(page, parts, reader))
            .map_err(|source| SegmentError::Memory { source })?
    }

    async fn fetch(&self, parts: &[PagePart]) -> Result<Vec<Bytes>, SegmentError> {
        let ranges = parts.iter().map(|part| part.range.clone());
        match &self.inner.source {
            SegmentSource::Stored { store, key } => Ok(store.get_ranges(key, ranges.collect()).await?),
            SegmentSource::Memory(file) => {
                let cut = || SegmentError::Damaged {
                    file: self.inner.outline.name.clone(),
                    what: "it is cut short",
                };
                ranges
                    .map(|range| slice(file, &range).map(|part| file.slice_ref(part)).ok_or_else(cut))
                    .collect()
            }
        }
    }
}

fn in_range(page: &Page, row: usize, indexes: &Range<u64>) -> bool {
    page.index(row).is_some_and(|index| indexes.contains(&index))
}

fn tested_columns(plan: &Plan, predicates: &[Predicate]) -> impl Iterator<Item = usize> {
    predicates.iter().flat_map(|predicate| &predicate.any_of).filter_map(|test| plan.column(&test.column))
}

fn is_exempt(page: &Page, id: usize, row: usize, exempt: &ExemptEvents) -> bool {
    let source = page.column(id).text(row).and_then(|source| std::str::from_utf8(source).ok());
    let (epoch, sequence) = (page.column(id + 1).number(row), page.column(id + 2).number(row));
    // A leaf that was stored whole is selected anyway.
    source
        .zip(epoch)
        .zip(sequence)
        .is_some_and(|((source, epoch), sequence)| exempt(source, epoch as u64, sequence as u64))
}

/// Which rows have a value that the test accepts.
fn accepted_rows(column: &Column, test: &ColumnTest, rows: usize) -> Vec<bool> {
    let accepts = |text: &[u8]| std::str::from_utf8(text).is_ok_and(|text| test.accepts(text));
    if let Column::Ids { ids, dictionary } = column
        && let Dictionary::Texts(texts) = &**dictionary
    {
        let by_id: Vec<bool> = texts.iter().map(accepts).collect();
        return ids.iter().map(|&id| by_id.get(id as usize).copied().unwrap_or(false)).collect();
    }
    (0..rows).map(|row| column.text(row).is_some_and(accepts)).collect()
}

fn is_event(page: &Page, id: usize, raw: usize, row: usize, wanted: &EventId) -> bool {
    if let Some(leaf) = page.column(raw).text(row) {
        let leaf = serde_json::from_slice::<serde_json::Value>(leaf).unwrap_or_default();
        return leaf["id"] == wanted.to_string();
    }
    page.column(id + 2).number(row) == Some(wanted.sequence as i64)
        && page.column(id + 1).number(row) == Some(wanted.epoch as i64)
        && page.column(id).text(row) == Some(wanted.source.as_str().as_bytes())
}
