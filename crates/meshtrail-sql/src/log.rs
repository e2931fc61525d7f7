//! Rows of the log: events that are acknowledged but not in a sealed file yet.
//!
//! - Batches are built on demand from one block of events at a time, so that memory does not grow with the log.
//! - Batches of complete blocks are cached up to a bound, the newest first, so that repeated queries build them once.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::{StreamExt, TryStreamExt, stream};
use meshtrail_event::Family;
use meshtrail_trail::segment::Columns;
use meshtrail_worker::QueryError;

use crate::columns::{StoredColumns, batch, constant};
use crate::source::SourceSnapshot;

/// Events of one block.
const BLOCK: u64 = 8192;

/// One block: a batch for each family in it, with the family's own columns.
type Batches = Arc<Vec<(Family, RecordBatch)>>;

/// Batches of complete blocks, by the index of the block's first event.
pub(crate) struct LogBatchCache {
    entries: Mutex<BTreeMap<u64, (Batches, usize)>>,
    limit: usize,
}

impl LogBatchCache {
    /// A cache of at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self { entries: Mutex::default(), limit }
    }

    fn get(&self, start: u64) -> Option<Batches> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.get(&start).map(|(batches, _)| batches.clone())
    }

    fn insert(&self, start: u64, batches: &Batches, sealed: u64) {
        let size = batches.iter().map(|(_, batch)| batch.get_array_memory_size()).sum();
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|start, _| start + BLOCK > sealed);
        entries.insert(start, (batches.clone(), size));
        let mut bytes: usize = entries.values().map(|(_, size)| size).sum();
        while bytes > self.limit {
            let Some((_, (_, size))) = entries.pop_first() else { break };
            bytes -= size;
        }
    }
}

/// The rows of the log in one snapshot.
pub(crate) struct LogRows {
    pub(crate) snapshot: Arc<dyn SourceSnapshot>,
    pub(crate) cache: Arc<LogBatchCache>,
    pub(crate) stored: &'static StoredColumns,
    pub(crate) schema: SchemaRef,
}

impl fmt::Debug for LogRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogRows").field("indexes", &self.indexes()).finish_non_exhaustive()
    }
}

impl PartitionStream for LogRows {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let indexes = self.indexes();
        let first = indexes.start / BLOCK;
        let blocks: Vec<u64> = (first..indexes.end.div_ceil(BLOCK)).map(|at| at * BLOCK).collect();
        let rows = Arc::new(Self {
            snapshot: self.snapshot.clone(),
            cache: self.cache.clone(),
            stored: self.stored,
            schema: self.schema.clone(),
        });
        // Newest first, as files are.
        let batches = stream::iter(blocks.into_iter().rev()).then(move |start| {
            let rows = rows.clone();
            async move {
                let batches = rows.block_batches(start).await?;
                Ok::<_, DataFusionError>(stream::iter(batches.into_iter().map(Ok)))
            }
        });
        Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), batches.try_flatten()))
    }
}

impl LogRows {
    /// The rows' indexes.
    pub(crate) fn indexes(&self) -> Range<u64> {
        self.snapshot.sealed().max(self.snapshot.first())..self.snapshot.end()
    }

    /// The table's rows of the block that begins at `start`.
    async fn block_batches(&self, start: u64) -> Result<Vec<RecordBatch>> {
        let indexes = self.indexes();
        let wanted = start.max(indexes.start)..(start + BLOCK).min(indexes.end);
        let is_whole = wanted == (start..start + BLOCK);
        let cached = self.cache.get(start).filter(|_| is_whole);
        let batches = match cached {
            Some(batches) => batches,
            None => {
                let batches = Arc::new(self.read(wanted).await?);
                if is_whole {
                    self.cache.insert(start, &batches, self.snapshot.sealed());
                }
                batches
            }
        };
        let ours = batches.iter().filter(|(family, _)| self.stored.families.contains(family));
        ours.map(|(family, batch)| self.with_table_columns(*family, batch)).collect()
    }

    async fn read(&self, range: Range<u64>) -> Result<Vec<(Family, RecordBatch)>> {
        let events = self.snapshot.events(range).await.map_err(failed)?;
        let mut batches = Vec::new();
        for family in Family::ALL {
            let of = events.iter().filter(|(_, of, _)| *of == family);
            let columns = Columns::lenient(family, of.map(|(index, _, leaf)| (*index, &leaf[..])));
            if columns.rows() > 0 {
                batches.push((family, batch(&columns, &StoredColumns::of(family).schema)?));
            }
        }
        Ok(batches)
    }

    /// Rows of one family with the columns of this table; missing ones are null.
    fn with_table_columns(&self, family: Family, rows: &RecordBatch) -> Result<RecordBatch> {
        let arrays = self.schema.fields().iter().map(|field| match rows.column_by_name(field.name()) {
            Some(array) if array.data_type() == field.data_type() => Ok(array.clone()),
            Some(array) => Ok(cast(array, field.data_type())?),
            None => match constant(field.name(), family, self.snapshot.trail()) {
                Some(value) => value.to_array_of_size(rows.num_rows()),
                None => Ok(new_null_array(field.data_type(), rows.num_rows())),
            },
        });
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        let arrays = arrays.collect::<Result<Vec<_>>>()?;
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)?)
    }
}

fn failed(error: QueryError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
