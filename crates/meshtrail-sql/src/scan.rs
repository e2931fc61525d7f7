//! Rows as they are stored: sealed files and the rows of the log behind them, as one scan.
//!
//! - A scan sees what was durable when it was planned; a row is in it once.
//! - Files whose times, indexes or family can't meet the filters are left out without being opened. What is left is
//!   narrowed by the Parquet reader: statistics, Bloom filters, page bounds, then rows.
//! - Files are read newest first, so that whoever asks for the newest rows stops early.
//! - Rows of the log are made into batches as they are asked for: how many there are costs no memory.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{
    ArrayRef, BooleanArray, Int64Array, RecordBatch, StringViewArray, TimestampNanosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::stats::Precision;
use datafusion::common::{Column, ColumnStatistics, DFSchema, Result, ScalarValue, Statistics};
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::union::UnionExec;
use futures::{StreamExt, TryStreamExt, stream};
use meshtrail_event::Family;
use meshtrail_trail::manifest::SegmentFile;
use meshtrail_trail::segment::Columns;
use meshtrail_trail::{ReadError, Scan, Snapshot, Trail};

use crate::columns::{FAMILY, INDEX, Stored, TIME, batch};
use crate::files::{Files, Footers, SealedFile};

/// Where DataFusion believes the files to be; nothing is read from there.
pub(crate) const NOWHERE: &str = "meshtrail://trail/";
/// Rows of the log in one batch.
const LOGGED: u64 = 8192;

/// The snapshot that all tables of one query read, taken by the first.
#[derive(Default)]
pub(crate) struct Pinned(Mutex<Option<Snapshot>>);

impl Pinned {
    fn get(&self, trail: &Trail) -> Snapshot {
        let mut pinned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pinned.get_or_insert_with(|| trail.snapshot()).clone()
    }
}

/// The stored rows of some families.
pub(crate) struct Rows {
    trail: Trail,
    footers: Arc<Footers>,
    stored: &'static Stored,
    schema: SchemaRef,
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows").field("families", &self.stored.families).finish_non_exhaustive()
    }
}

fn family_field() -> Field {
    Field::new(FAMILY, DataType::Utf8View, false)
}

fn family_value(family: Family) -> ScalarValue {
    ScalarValue::Utf8View(Some(family.as_str().to_owned()))
}

impl Rows {
    pub(crate) fn new(trail: Trail, footers: Arc<Footers>, stored: &'static Stored) -> Self {
        let mut fields = stored.schema.fields().to_vec();
        if stored.has_family() {
            fields.push(Arc::new(family_field()));
        }
        Self { trail, footers, stored, schema: Arc::new(Schema::new(fields)) }
    }

    fn is_wanted(&self, snapshot: &Snapshot, file: &SegmentFile) -> bool {
        self.stored.families.contains(&file.family) && file.last >= snapshot.first()
    }

    /// The files that may hold rows that meet `filters`, newest first.
    fn files<'s>(
        &self,
        state: &dyn Session,
        snapshot: &'s Snapshot,
        filters: &[Expr],
    ) -> Result<Vec<&'s SegmentFile>> {
        let files: Vec<&SegmentFile> =
            snapshot.files().rev().filter(|file| self.is_wanted(snapshot, file)).collect();
        let keep = self.may_hold(state, &files, filters)?;
        Ok(files.into_iter().zip(keep).filter_map(|(file, keep)| keep.then_some(file)).collect())
    }

    fn may_hold(&self, state: &dyn Session, files: &[&SegmentFile], filters: &[Expr]) -> Result<Vec<bool>> {
        let Some(filter) = conjunction(filters.iter().cloned()).filter(|_| !files.is_empty()) else {
            return Ok(vec![true; files.len()]);
        };
        let schema = DFSchema::try_from(self.schema.clone())?;
        let filter = state.create_physical_expr(filter, &schema)?;
        let pruning = PruningPredicateBuilder::new().with_file_schema(self.schema.clone()).try_build(filter);
        // A filter that tells nothing about whole files leaves all of them.
        pruning.and_then(|pruning| pruning.prune(&Bounds(files))).or_else(|_| Ok(vec![true; files.len()]))
    }

    fn sealed(
        &self,
        state: &dyn Session,
        snapshot: &Snapshot,
        files: &[&SegmentFile],
        projection: Option<&Vec<usize>>,
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut table = TableSchema::builder(self.stored.schema.clone());
        if self.stored.has_family() {
            table = table.with_table_partition_cols(vec![Arc::new(family_field())]);
        }
        let source = ParquetSource::new(table.build())
            .with_table_parquet_options(state.table_options().parquet.clone())
            .with_parquet_file_reader_factory(Arc::new(Files {
                snapshot: snapshot.clone(),
                footers: self.footers.clone(),
            }));
        let groups = state.config().target_partitions().min(files.len()).max(1);
        let mut grouped = vec![Vec::new(); groups];
        for (number, file) in files.iter().enumerate() {
            grouped[number % groups].push(self.partitioned(file));
        }
        let config = FileScanConfigBuilder::new(ObjectStoreUrl::parse(NOWHERE)?, Arc::new(source))
            .with_file_groups(grouped.into_iter().map(FileGroup::new).collect())
            .with_statistics(self.statistics(files))
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }

    fn partitioned(&self, file: &SegmentFile) -> PartitionedFile {
        let mut partitioned = PartitionedFile::new(file.path.clone(), file.bytes);
        if self.stored.has_family() {
            partitioned = partitioned.with_partition_values(vec![family_value(file.family)]);
        }
        let statistics = statistics_of(&self.stored.schema, file.rows, Some(bounds(file)));
        partitioned.with_statistics(Arc::new(statistics)).with_extension(SealedFile {
            path: file.path.as_str().into(),
            size: file.bytes,
            family: file.family,
        })
    }

    /// What is known of all rows: their number, and between which indexes and times they lie.
    fn statistics(&self, files: &[&SegmentFile]) -> Statistics {
        let rows = files.iter().map(|file| file.rows).sum();
        let all = files.iter().map(|file| bounds(file)).reduce(|one, other| FileBounds {
            first: one.first.min(other.first),
            last: one.last.max(other.last),
            from: one.from.min(other.from),
            to: one.to.max(other.to),
        });
        statistics_of(&self.schema, rows, all)
    }
}

#[derive(Clone, Copy)]
struct FileBounds {
    first: i64,
    last: i64,
    from: i64,
    to: i64,
}

fn bounds(file: &SegmentFile) -> FileBounds {
    FileBounds {
        first: file.first as i64,
        last: file.last as i64,
        from: file.times.min.as_nanos(),
        to: file.times.max.as_nanos(),
    }
}

fn time(nanos: i64) -> ScalarValue {
    ScalarValue::TimestampNanosecond(Some(nanos), Some("UTC".into()))
}

fn statistics_of(schema: &Schema, rows: u64, bounds: Option<FileBounds>) -> Statistics {
    let column = |field: &Arc<Field>| {
        let mut column = ColumnStatistics::new_unknown();
        let Some(FileBounds { first, last, from, to }) = bounds else { return column };
        if field.name() == INDEX {
            column.null_count = Precision::Exact(0);
            column.min_value = Precision::Exact(ScalarValue::Int64(Some(first)));
            column.max_value = Precision::Exact(ScalarValue::Int64(Some(last)));
        } else if field.name() == TIME {
            column.min_value = Precision::Exact(time(from));
            column.max_value = Precision::Exact(time(to));
        }
        column
    };
    Statistics {
        num_rows: Precision::Exact(usize::try_from(rows).unwrap_or(usize::MAX)),
        total_byte_size: Precision::Absent,
        column_statistics: schema.fields().iter().map(column).collect(),
    }
}

/// What a manifest tells of files, for pruning.
struct Bounds<'a>(&'a [&'a SegmentFile]);

impl Bounds<'_> {
    fn values(&self, column: &Column, of: impl Fn(FileBounds) -> (i64, i64)) -> Option<ArrayRef> {
        let all = self.0.iter().map(|file| of(bounds(file)));
        match column.name() {
            INDEX => Some(Arc::new(all.map(|(index, _)| index).collect::<Int64Array>())),
            TIME => {
                let times: TimestampNanosecondArray = all.map(|(_, time)| Some(time)).collect();
                Some(Arc::new(times.with_timezone("UTC")))
            }
            FAMILY => {
                let families = self.0.iter().map(|file| Some(file.family.as_str()));
                Some(Arc::new(families.collect::<StringViewArray>()))
            }
            _ => None,
        }
    }
}

impl PruningStatistics for Bounds<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.values(column, |bounds| (bounds.first, bounds.from))
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.values(column, |bounds| (bounds.last, bounds.to))
    }

    fn num_containers(&self) -> usize {
        self.0.len()
    }

    fn null_counts(&self, _column: &Column) -> Option<ArrayRef> {
        None
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        None
    }

    fn contained(&self, column: &Column, values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        // Kinds of a family of its own may be told by the family; a kind nobody knows yet may be anywhere.
        if column.name() != "kind" {
            return None;
        }
        let families: Vec<Family> = values.iter().filter_map(family_of_kind).collect();
        if families.len() < values.len() {
            return None;
        }
        Some(self.0.iter().map(|file| (!families.contains(&file.family)).then_some(false)).collect())
    }
}

fn family_of_kind(value: &ScalarValue) -> Option<Family> {
    let text = value.try_as_str()??;
    let kind = meshtrail_event::Kind::from(text);
    Some(kind.family()).filter(|family| *family != Family::Other)
}

#[async_trait]
impl TableProvider for Rows {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let snapshot = match state.config().get_extension::<Pinned>() {
            Some(pinned) => pinned.get(&self.trail),
            None => self.trail.snapshot(),
        };
        let held = snapshot.clone();
        let files = self.files(state, &held, filters)?;
        let sealed = self.sealed(state, &snapshot, &files, projection, limit)?;
        let logged = snapshot.sealed().max(snapshot.first())..snapshot.end();
        if logged.is_empty() {
            return Ok(sealed);
        }
        let log = LogRows {
            trail: self.trail.clone(),
            snapshot,
            range: logged,
            stored: self.stored,
            schema: self.schema.clone(),
        };
        let log = StreamingTableExec::try_new(
            self.schema.clone(),
            vec![Arc::new(log)],
            projection,
            Vec::new(),
            false,
            limit,
        )?;
        let log: Arc<dyn ExecutionPlan> = Arc::new(log);
        if files.is_empty() { Ok(log) } else { UnionExec::try_new(vec![log, sealed]) }
    }
}

/// Rows of the log.
struct LogRows {
    trail: Trail,
    snapshot: Snapshot,
    range: Range<u64>,
    stored: &'static Stored,
    schema: SchemaRef,
}

impl fmt::Debug for LogRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogRows").field("range", &self.range).finish_non_exhaustive()
    }
}

impl PartitionStream for LogRows {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _ctx: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (trail, snapshot, stored) = (self.trail.clone(), self.snapshot.clone(), self.stored);
        let schema = self.schema.clone();
        // Newest first, as files are.
        let Range { start, end } = self.range;
        let starts: Vec<u64> = (start..end).step_by(LOGGED as usize).collect();
        let chunks = starts.into_iter().rev().map(move |at| at..end.min(at + LOGGED));
        let batches = stream::iter(chunks).then({
            let schema = schema.clone();
            move |range| {
                let (trail, snapshot, schema) = (trail.clone(), snapshot.clone(), schema.clone());
                async move {
                    let batches = read(&trail, &snapshot, range, stored, &schema).await?;
                    Ok::<_, datafusion::error::DataFusionError>(stream::iter(batches.into_iter().map(Ok)))
                }
            }
        });
        Box::pin(RecordBatchStreamAdapter::new(schema, batches.try_flatten()))
    }
}

fn failed(error: ReadError) -> datafusion::error::DataFusionError {
    datafusion::error::DataFusionError::External(Box::new(error))
}

/// The rows of the log in `range`, a batch for each family.
async fn read(
    trail: &Trail,
    snapshot: &Snapshot,
    range: Range<u64>,
    stored: &'static Stored,
    schema: &SchemaRef,
) -> Result<Vec<RecordBatch>> {
    let mut batches = Vec::new();
    let logged = snapshot.logged(range.clone()).await.map_err(failed)?;
    for &family in &stored.families {
        let columns = match &logged {
            Some(rows) => {
                let of = rows.iter().filter(|(_, of, _)| *of == family);
                Columns::of(family, of.map(|(index, _, leaf)| (*index, &leaf[..])))
            }
            // Sealed since: the same rows are in a segment now.
            None => {
                let scan = Scan { families: vec![family], ..Scan::oldest(range.clone()) };
                let rows: Vec<_> = trail.scan(scan).try_collect().await.map_err(failed)?;
                Columns::lenient(family, rows.iter().map(|(index, leaf)| (*index, &leaf[..])))
            }
        };
        if columns.rows() > 0 {
            batches.push(under(&columns, family, stored, schema)?);
        }
    }
    Ok(batches)
}

fn under(
    columns: &Columns,
    family: Family,
    stored: &'static Stored,
    schema: &SchemaRef,
) -> Result<RecordBatch> {
    let rows = batch(columns, &stored.schema)?;
    if !stored.has_family() {
        return Ok(rows);
    }
    let mut arrays = rows.columns().to_vec();
    arrays.push(family_value(family).to_array_of_size(rows.num_rows())?);
    Ok(RecordBatch::try_new(schema.clone(), arrays)?)
}
