//! Readers of a trail's sealed files for DataFusion's Parquet source.
//!
//! - All bytes are read through the snapshot, so that folders and buckets behave alike and a bucket's first version
//!   counts.
//! - A footer is used only after its checksum was verified; the reader checks pages. Footers are cached, up to a bound.
//! - A file with leaves stored whole (column `raw`) is replaced in memory by a file with their values in columns, so that
//!   a query over columns misses no event.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use datafusion::common::DataFusionError;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileMetrics;
use datafusion::datasource::physical_plan::parquet::ParquetFileReaderFactory;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use meshtrail_trail::manifest::SegmentFile;
use meshtrail_trail::segment::{Columns, SegmentReader, Selection};
use meshtrail_worker::QueryError;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};

use crate::columns::{StoredColumns, batch};
use crate::source::SourceSnapshot;

/// The column of leaves that are stored whole.
const WHOLE: &str = "raw";

/// A sealed file, attached to DataFusion's `PartitionedFile` as an extension.
#[derive(Clone)]
pub(crate) struct SealedFile {
    pub(crate) path: Arc<str>,
    pub(crate) size: u64,
}

/// Footers by file; the least recently used are evicted.
#[derive(Default)]
pub(crate) struct FooterCache {
    entries: Mutex<CacheEntries>,
    limit: usize,
}

#[derive(Default)]
struct CacheEntries {
    files: VecDeque<(Arc<str>, Footer)>,
    bytes: usize,
}

#[derive(Clone)]
struct Footer {
    metadata: Arc<ParquetMetaData>,
    has_pages: bool,
    /// The file that is read in place of the original, where leaves are stored whole.
    replacement: Option<Bytes>,
}

impl Footer {
    fn size(&self) -> usize {
        self.metadata.memory_size() + self.replacement.as_ref().map_or(0, Bytes::len)
    }
}

impl FooterCache {
    /// A cache of at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self { entries: Mutex::default(), limit }
    }

    fn is_full(&self) -> bool {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.bytes > self.limit - self.limit / 8
    }

    fn get(&self, path: &str, with_pages: bool) -> Option<Footer> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let at = entries
            .files
            .iter()
            .position(|(name, footer)| **name == *path && (footer.has_pages || !with_pages))?;
        let found = entries.files.remove(at)?;
        let footer = found.1.clone();
        entries.files.push_front(found);
        Some(footer)
    }

    fn insert(&self, path: &Arc<str>, footer: &Footer) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = entries.files.iter().position(|(name, _)| name == path) {
            let gone = entries.files.remove(at).map_or(0, |(_, footer)| footer.size());
            entries.bytes -= gone;
        }
        entries.bytes += footer.size();
        entries.files.push_front((path.clone(), footer.clone()));
        while entries.bytes > self.limit {
            let Some((_, footer)) = entries.files.pop_back() else { break };
            entries.bytes -= footer.size();
        }
    }
}

/// Opens the files of one snapshot.
pub(crate) struct SnapshotFiles {
    pub(crate) snapshot: Arc<dyn SourceSnapshot>,
    pub(crate) footers: Arc<FooterCache>,
}

impl fmt::Debug for SnapshotFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotFiles").finish_non_exhaustive()
    }
}

/// Footers that are read ahead at the same time.
const AHEAD: usize = 4;

impl SnapshotFiles {
    /// Reads the footers of all files, the newest first, until the cache is full. Errors are ignored: the query that
    /// needs the footer reports them.
    pub(crate) async fn read_ahead(&self) {
        let reads: Vec<BoxFuture<'_, ()>> =
            self.snapshot.files().rev().map(|file| self.read_one_ahead(file).boxed()).collect();
        futures::stream::iter(reads).buffer_unordered(AHEAD).collect::<()>().await;
    }

    async fn read_one_ahead(&self, file: &SegmentFile) {
        if !self.footers.is_full() {
            let _read = self.open(file).get_metadata(Some(&ArrowReaderOptions::new())).await;
        }
    }

    /// A reader of a file's footer, whose reads are not counted in a query's metrics.
    pub(crate) fn open(&self, file: &SegmentFile) -> Box<dyn AsyncFileReader + Send> {
        let uncounted = ParquetFileMetrics::new(0, &file.path, &ExecutionPlanMetricsSet::new());
        Box::new(self.reader(SealedFile { path: file.path.as_str().into(), size: file.bytes }, uncounted))
    }

    fn reader(&self, file: SealedFile, metrics: ParquetFileMetrics) -> Reader {
        let (snapshot, footers) = (self.snapshot.clone(), self.footers.clone());
        Reader { snapshot, footers, file, replacement: None, metrics }
    }
}

impl ParquetFileReaderFactory for SnapshotFiles {
    fn create_reader(
        &self,
        partition: usize,
        file: PartitionedFile,
        _metadata_size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> datafusion::common::Result<Box<dyn AsyncFileReader + Send>> {
        let Some(sealed) = file.extension::<SealedFile>() else {
            return Err(DataFusionError::Internal("a file that is no trail's".to_owned()));
        };
        let metrics = ParquetFileMetrics::new(partition, file.object_meta.location.as_ref(), metrics);
        Ok(Box::new(self.reader(sealed.clone(), metrics)))
    }
}

struct Reader {
    snapshot: Arc<dyn SourceSnapshot>,
    footers: Arc<FooterCache>,
    file: SealedFile,
    replacement: Option<Bytes>,
    metrics: ParquetFileMetrics,
}

fn failed(error: QueryError) -> ParquetError {
    ParquetError::External(Box::new(error))
}

impl AsyncFileReader for Reader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        async move {
            let mut parts = self.get_byte_ranges(vec![range]).await?;
            Ok(parts.pop().unwrap_or_default())
        }
        .boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        self.metrics.bytes_scanned.add(ranges.iter().map(|range| (range.end - range.start) as usize).sum());
        async move {
            match &self.replacement {
                Some(file) => ranges.into_iter().map(|range| slice(file, range)).collect(),
                None => self.read(ranges).await,
            }
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        let with_pages = options.is_none_or(|options| options.offset_index_policy() != PageIndexPolicy::Skip);
        async move {
            let footer = match self.footers.get(&self.file.path, with_pages) {
                Some(footer) => footer,
                None => {
                    let footer = self.footer(with_pages).await?;
                    self.footers.insert(&self.file.path, &footer);
                    footer
                }
            };
            self.replacement = footer.replacement;
            Ok(footer.metadata)
        }
        .boxed()
    }
}

fn slice(file: &Bytes, range: Range<u64>) -> ParquetResult<Bytes> {
    let (start, end) = (range.start as usize, range.end as usize);
    if start > end || end > file.len() {
        return Err(ParquetError::EOF("beyond the end of a file in memory".to_owned()));
    }
    Ok(file.slice(start..end))
}

/// Ranges with at most this gap between them are read at once: the pages of one column are. A bucket's client merges over
/// wider gaps itself; over a worker's socket a gap costs more than a range.
const GAP: u64 = 4 * 1024;

impl Reader {
    async fn read(&self, ranges: Vec<Range<u64>>) -> ParquetResult<Vec<Bytes>> {
        let mut order: Vec<usize> = (0..ranges.len()).collect();
        order.sort_unstable_by_key(|&at| ranges[at].start);
        let mut merged: Vec<Range<u64>> = Vec::new();
        for &at in &order {
            let range = &ranges[at];
            match merged.last_mut() {
                Some(last) if range.start <= last.end + GAP => last.end = last.end.max(range.end),
                _ => merged.push(range.clone()),
            }
        }
        let read = self.snapshot.read_ranges(&self.file.path, merged.clone()).await.map_err(failed)?;
        let part = |range: &Range<u64>| {
            let at = merged.partition_point(|whole| whole.end < range.end);
            let start = (range.start - merged[at].start) as usize;
            read[at].slice(start..start + (range.end - range.start) as usize)
        };
        Ok(ranges.iter().map(part).collect())
    }

    async fn footer(&self, with_pages: bool) -> ParquetResult<Footer> {
        let end = self.snapshot.read_end(&self.file.path, self.file.size).await.map_err(failed)?;
        let policy = if with_pages { PageIndexPolicy::Optional } else { PageIndexPolicy::Skip };
        let metadata = parse(&end, self.file.size, policy)?;
        if !has_whole_leaves(&metadata) {
            return Ok(Footer { metadata: Arc::new(metadata), has_pages: with_pages, replacement: None });
        }
        let whole = std::iter::once(0..self.file.size).collect();
        let mut file = self.snapshot.read_ranges(&self.file.path, whole).await.map_err(failed)?;
        let file = file.pop().unwrap_or_default();
        let reader =
            SegmentReader::from_bytes(&self.file.path, file).map_err(|error| failed(error.into()))?;
        let file = Bytes::from(replacement(&reader).await?);
        let metadata = parse(&file, file.len() as u64, PageIndexPolicy::Optional)?;
        Ok(Footer { metadata: Arc::new(metadata), has_pages: true, replacement: Some(file) })
    }
}

/// The same rows as a Parquet file in memory whose columns also hold the values of leaves stored whole.
async fn replacement(reader: &SegmentReader) -> ParquetResult<Vec<u8>> {
    let family = reader.family();
    let schema = &StoredColumns::of(family).schema;
    let mut writer = ArrowWriter::try_new(Vec::new(), schema.clone(), None)?;
    let everything = Selection::of(0..u64::MAX);
    for page in reader.pages(&everything) {
        let rows = reader.read_page(page, &everything).await.map_err(|error| failed(error.into()))?;
        let leaves = rows.iter().map(|(index, leaf)| (*index, &leaf[..]));
        writer.write(&batch(&Columns::lenient(family, leaves), schema)?)?;
    }
    writer.into_inner()
}

fn parse(end: &Bytes, size: u64, policy: PageIndexPolicy) -> ParquetResult<ParquetMetaData> {
    let mut reader = ParquetMetaDataReader::new().with_page_index_policy(policy);
    reader.try_parse_sized(end, size)?;
    reader.finish()
}

fn has_whole_leaves(metadata: &ParquetMetaData) -> bool {
    let of_whole = |group: &parquet::file::metadata::RowGroupMetaData| {
        let whole = group.columns().iter().find(|column| column.column_path().string() == WHOLE);
        whole.is_some_and(|column| {
            let nulls = column.statistics().and_then(|statistics| statistics.null_count_opt());
            nulls != Some(group.num_rows() as u64)
        })
    };
    metadata.row_groups().iter().any(of_whole)
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};
    use meshtrail_event::Family;
    use meshtrail_trail::segment::encode;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::*;

    #[tokio::test]
    async fn a_leaf_kept_whole_is_a_row_like_any_other() {
        let leaf = r#"{"id":"a.1.1","kind":"ssh.login","time":"2026-11-20T00:00:00.000000000Z"}"#;
        let odd = r#"{"kind":"ssh.logout", "id":"a.1.2","time":"2026-11-20T00:00:01.000000000Z","new":[1]}"#;
        let rows: Vec<(u64, &[u8])> = vec![(4, leaf.as_bytes()), (9, odd.as_bytes()), (11, b"no JSON")];
        let segment = encode(Family::Login, "main", &rows).unwrap();
        assert_eq!(segment.stored_whole, 2);
        assert_eq!(segment.times.unwrap().1.to_string(), "2026-11-20T00:00:01.000000000Z");
        let bytes = Bytes::from(segment.bytes);
        assert!(has_whole_leaves(&parse(&bytes, bytes.len() as u64, PageIndexPolicy::Skip).unwrap()));

        let reader = SegmentReader::from_bytes("segment", bytes).unwrap();
        let file = Bytes::from(replacement(&reader).await.unwrap());
        let mut batches = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
        let batch = batches.next().unwrap().unwrap();
        let column = |name: &str| batch.column_by_name(name).unwrap();
        let kinds: Vec<_> = column("kind").as_string_view().iter().collect();
        assert_eq!(kinds, [Some("ssh.login"), Some("ssh.logout"), None]);
        let rest: Vec<_> = column("rest").as_string_view().iter().collect();
        assert_eq!(rest, [None, Some(r#"{"new":[1]}"#), None]);
        assert_eq!(column("raw").as_binary_view().value(1), odd.as_bytes());
        assert_eq!((column("time").null_count(), column("raw").null_count()), (1, 1));
    }
}
