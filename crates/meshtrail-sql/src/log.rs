//! Rows of the log: events that are acknowledged and not in a sealed file yet.
//!
//! - They are made into batches a stretch at a time, as they are asked for: how many there are costs no memory.
//! - Stretches that are complete are kept, the newest of them, up to a bound: what is asked again and again is made
//!   once.

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

use crate::columns::{FAMILY, Stored, batch};
use crate::source::Moment;

/// Rows of one stretch.
const STRETCH: u64 = 8192;

/// One stretch, a batch for each family that is in it, with the family's own columns.
type Batches = Arc<Vec<(Family, RecordBatch)>>;

/// Stretches that are kept.
pub(crate) struct Stretches {
    kept: Mutex<BTreeMap<u64, (Batches, usize)>>,
    limit: usize,
}

impl Stretches {
    /// Keeps at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self { kept: Mutex::default(), limit }
    }

    fn get(&self, start: u64) -> Option<Batches> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(&start).map(|(batches, _)| batches.clone())
    }

    fn keep(&self, start: u64, batches: &Batches, sealed: u64) {
        let size = batches.iter().map(|(_, batch)| batch.get_array_memory_size()).sum();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|start, _| start + STRETCH > sealed);
        kept.insert(start, (batches.clone(), size));
        let mut bytes: usize = kept.values().map(|(_, size)| size).sum();
        while bytes > self.limit {
            let Some((_, (_, size))) = kept.pop_first() else { break };
            bytes -= size;
        }
    }
}

/// The rows of the log in one snapshot.
pub(crate) struct LogRows {
    pub(crate) moment: Arc<dyn Moment>,
    pub(crate) stretches: Arc<Stretches>,
    pub(crate) stored: &'static Stored,
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
        let first = indexes.start / STRETCH;
        let stretches: Vec<u64> = (first..indexes.end.div_ceil(STRETCH)).map(|at| at * STRETCH).collect();
        let rows = Arc::new(Self {
            moment: self.moment.clone(),
            stretches: self.stretches.clone(),
            stored: self.stored,
            schema: self.schema.clone(),
        });
        // Newest first, as files are.
        let batches = stream::iter(stretches.into_iter().rev()).then(move |start| {
            let rows = rows.clone();
            async move {
                let batches = rows.stretch(start).await?;
                Ok::<_, DataFusionError>(stream::iter(batches.into_iter().map(Ok)))
            }
        });
        Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), batches.try_flatten()))
    }
}

impl LogRows {
    /// The rows' indexes.
    pub(crate) fn indexes(&self) -> Range<u64> {
        self.moment.sealed().max(self.moment.first())..self.moment.end()
    }

    /// The wanted rows of the stretch from `start` on.
    async fn stretch(&self, start: u64) -> Result<Vec<RecordBatch>> {
        let indexes = self.indexes();
        let wanted = start.max(indexes.start)..(start + STRETCH).min(indexes.end);
        let is_whole = wanted == (start..start + STRETCH);
        let known = self.stretches.get(start).filter(|_| is_whole);
        let batches = match known {
            Some(batches) => batches,
            None => {
                let batches = Arc::new(self.read(wanted).await?);
                if is_whole {
                    self.stretches.keep(start, &batches, self.moment.sealed());
                }
                batches
            }
        };
        let ours = batches.iter().filter(|(family, _)| self.stored.families.contains(family));
        ours.map(|(family, batch)| self.under(*family, batch)).collect()
    }

    async fn read(&self, range: Range<u64>) -> Result<Vec<(Family, RecordBatch)>> {
        let events = self.moment.events(range).await.map_err(failed)?;
        let mut batches = Vec::new();
        for family in Family::ALL {
            let of = events.iter().filter(|(_, of, _)| *of == family);
            let columns = Columns::lenient(family, of.map(|(index, _, leaf)| (*index, &leaf[..])));
            if columns.rows() > 0 {
                batches.push((family, batch(&columns, &Stored::of(family).schema)?));
            }
        }
        Ok(batches)
    }

    /// A family's rows under the columns of this table.
    fn under(&self, family: Family, rows: &RecordBatch) -> Result<RecordBatch> {
        if !self.stored.has_family() {
            return Ok(rows.clone());
        }
        let arrays = self.schema.fields().iter().map(|field| {
            if field.name() == FAMILY {
                return crate::scan::family_value(family).to_array_of_size(rows.num_rows());
            }
            match rows.column_by_name(field.name()) {
                Some(array) if array.data_type() == field.data_type() => Ok(array.clone()),
                Some(array) => Ok(cast(array, field.data_type())?),
                None => Ok(new_null_array(field.data_type(), rows.num_rows())),
            }
        });
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        let arrays = arrays.collect::<Result<Vec<_>>>()?;
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)?)
    }
}

fn failed(error: QueryError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
