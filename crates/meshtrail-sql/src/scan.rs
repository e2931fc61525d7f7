//! One scan over stored rows: sealed files, and the log's events behind them.
//!
//! - A scan sees what was durable when it was planned, each row once.
//! - Files whose times, indexes, family or trail can't meet the filters are skipped without being opened. The Parquet
//!   reader prunes the rest by statistics, Bloom filters, page bounds, then rows.
//! - Files are read newest first, so that a query for the newest rows stops early.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, TimestampNanosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::config::TableParquetOptions;
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::stats::Precision;
use datafusion::common::{
    Column, ColumnStatistics, DFSchema, DataFusionError, Result, ScalarValue, Statistics,
};
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::streaming::StreamingTableExec;
use datafusion::physical_plan::union::UnionExec;
use meshtrail_event::{Family, Kind, TrailName};
use meshtrail_trail::manifest::SegmentFile;

use crate::columns::{CONSTANT, FAMILY, INDEX, StoredColumns, TIME, constant};
use crate::files::{FooterCache, SealedFile, SnapshotFiles};
use crate::log::{LogBatchCache, LogRows};
use crate::pruning;
use crate::source::{Source, SourceSnapshot};
use crate::times::FileTimes;

/// The object store that DataFusion believes the files to be in; nothing is read from it.
pub(crate) const STORE_URL: &str = "meshtrail://trail/";

/// The snapshot that all tables of one query (of one transaction, over the Postgres wire) read; the first scan takes it.
#[derive(Default)]
pub(crate) struct PinnedSnapshot(tokio::sync::Mutex<Option<Arc<dyn SourceSnapshot>>>);

impl PinnedSnapshot {
    async fn get(&self, source: &dyn Source) -> Result<Arc<dyn SourceSnapshot>> {
        let mut pinned = self.0.lock().await;
        if let Some(snapshot) = &*pinned {
            return Ok(snapshot.clone());
        }
        let snapshot = take_snapshot(source).await?;
        *pinned = Some(snapshot.clone());
        Ok(snapshot)
    }

    /// Drops the snapshot: the next scan takes a new one.
    pub(crate) async fn release(&self) {
        let gone = self.0.lock().await.take();
        drop(gone);
    }
}

async fn take_snapshot(source: &dyn Source) -> Result<Arc<dyn SourceSnapshot>> {
    source.snapshot().await.map_err(|error| DataFusionError::External(Box::new(error)))
}

/// Caches shared by all tables: Parquet footers, and batches made from the log.
#[derive(Clone)]
pub(crate) struct ReadCaches {
    footers: Arc<FooterCache>,
    log_batches: Arc<LogBatchCache>,
}

impl ReadCaches {
    /// Caches that hold at most `memory` bytes together.
    pub(crate) fn with_limit(memory: usize) -> Self {
        // Footers of a year of segments without page bounds take about an eighth of the default.
        Self {
            footers: Arc::new(FooterCache::new(memory / 2)),
            log_batches: Arc::new(LogBatchCache::new(memory / 2)),
        }
    }
}

impl ReadCaches {
    /// The cache of footers.
    pub(crate) fn footers(&self) -> Arc<FooterCache> {
        self.footers.clone()
    }
}

/// The table of the stored rows of some families, without computed columns.
pub(crate) struct StoredTable {
    source: Arc<dyn Source>,
    caches: ReadCaches,
    stored: &'static StoredColumns,
    schema: SchemaRef,
}

impl fmt::Debug for StoredTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredTable").field("families", &self.stored.families).finish_non_exhaustive()
    }
}

/// The constant columns of the table of `stored`.
fn constant_columns(stored: &StoredColumns) -> Vec<Arc<Field>> {
    let names = CONSTANT.into_iter().filter(|&name| name != FAMILY || stored.has_family());
    names.map(|name| Arc::new(Field::new(name, DataType::Utf8View, false))).collect()
}

impl StoredTable {
    pub(crate) fn new(source: Arc<dyn Source>, caches: ReadCaches, stored: &'static StoredColumns) -> Self {
        let mut fields = stored.schema.fields().to_vec();
        fields.extend(constant_columns(stored));
        Self { source, caches, stored, schema: Arc::new(Schema::new(fields)) }
    }

    fn is_wanted(&self, snapshot: &dyn SourceSnapshot, file: &SegmentFile) -> bool {
        self.stored.families.contains(&file.family) && file.last >= snapshot.first()
    }

    /// The files that may hold rows that meet `filters`, newest first.
    fn select_files<'s>(
        &self,
        state: &dyn Session,
        snapshot: &'s dyn SourceSnapshot,
        filters: &[Expr],
    ) -> Result<Vec<&'s SegmentFile>> {
        let files: Vec<&SegmentFile> =
            snapshot.files().rev().filter(|file| self.is_wanted(snapshot, file)).collect();
        let keep = self.may_hold(state, snapshot.trail(), &files, filters)?;
        Ok(files.into_iter().zip(keep).filter_map(|(file, keep)| keep.then_some(file)).collect())
    }

    fn may_hold(
        &self,
        state: &dyn Session,
        trail: &TrailName,
        files: &[&SegmentFile],
        filters: &[Expr],
    ) -> Result<Vec<bool>> {
        let Some(filter) = conjunction(filters.iter().cloned()).filter(|_| !files.is_empty()) else {
            return Ok(vec![true; files.len()]);
        };
        let schema = DFSchema::try_from(self.schema.clone())?;
        let filter = state.create_physical_expr(filter, &schema)?;
        let pruning = PruningPredicateBuilder::new().with_file_schema(self.schema.clone()).try_build(filter);
        // A filter that can't be evaluated on bounds of files keeps all of them.
        pruning
            .and_then(|pruning| pruning.prune(&ManifestStatistics { trail, files }))
            .or_else(|_| Ok(vec![true; files.len()]))
    }

    fn scan_files(
        &self,
        state: &dyn Session,
        snapshot: &Arc<dyn SourceSnapshot>,
        files: &[&SegmentFile],
        projection: Option<&Vec<usize>>,
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let table = TableSchema::builder(self.stored.schema.clone())
            .with_table_partition_cols(constant_columns(self.stored));
        let source = ParquetSource::new(table.build())
            .with_table_parquet_options(TableParquetOptions {
                global: state.config_options().execution.parquet.clone(),
                ..TableParquetOptions::default()
            })
            .with_parquet_file_reader_factory(Arc::new(SnapshotFiles {
                snapshot: snapshot.clone(),
                footers: self.caches.footers.clone(),
            }));
        let groups = state.config().target_partitions().min(files.len()).max(1);
        let mut grouped = vec![Vec::new(); groups];
        for (number, file) in files.iter().enumerate() {
            grouped[number % groups].push(self.partitioned_file(snapshot.trail(), file));
        }
        let config = FileScanConfigBuilder::new(ObjectStoreUrl::parse(STORE_URL)?, Arc::new(source))
            .with_file_groups(grouped.into_iter().map(FileGroup::new).collect())
            .with_statistics(self.statistics(files))
            .with_projection_indices(projection.cloned())?
            .with_expr_adapter(Some(Arc::new(FileTimes)))
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }

    fn partitioned_file(&self, trail: &TrailName, file: &SegmentFile) -> PartitionedFile {
        let constants = constant_columns(self.stored);
        let values = constants.iter().filter_map(|field| constant(field.name(), file.family, trail));
        let partitioned =
            PartitionedFile::new(file.path.clone(), file.bytes).with_partition_values(values.collect());
        let statistics = statistics_of(&self.stored.schema, file.rows, Some(bounds(file)));
        partitioned
            .with_statistics(Arc::new(statistics))
            .with_extension(SealedFile { path: file.path.as_str().into(), size: file.bytes })
    }

    /// Number of rows, and the bounds of their indexes and times, over all files.
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

/// Bounds of files of one trail from its manifest, for pruning.
struct ManifestStatistics<'a> {
    trail: &'a TrailName,
    files: &'a [&'a SegmentFile],
}

impl ManifestStatistics<'_> {
    fn values(&self, column: &Column, of: impl Fn(FileBounds) -> (i64, i64)) -> Option<ArrayRef> {
        let all = self.files.iter().map(|file| of(bounds(file)));
        match column.name() {
            INDEX => Some(Arc::new(all.map(|(index, _)| index).collect::<Int64Array>())),
            TIME => {
                let times: TimestampNanosecondArray = all.map(|(_, time)| Some(time)).collect();
                Some(Arc::new(times.with_timezone("UTC")))
            }
            name => {
                let values = self.files.iter().map(|file| constant(name, file.family, self.trail));
                ScalarValue::iter_to_array(values.collect::<Option<Vec<_>>>()?).ok()
            }
        }
    }
}

impl PruningStatistics for ManifestStatistics<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.values(column, |bounds| (bounds.first, bounds.from))
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.values(column, |bounds| (bounds.last, bounds.to))
    }

    fn num_containers(&self) -> usize {
        self.files.len()
    }

    fn null_counts(&self, _column: &Column) -> Option<ArrayRef> {
        None
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        None
    }

    fn contained(&self, column: &Column, values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        // Rows of a known kind lie in its family's files; of an unknown kind, in any file.
        if column.name() != "kind" {
            return None;
        }
        let kinds: Vec<Kind> = values.iter().map(known_kind).collect::<Option<_>>()?;
        let families: Vec<Family> = kinds.iter().flat_map(Kind::stored_families).collect();
        // A version that did not know the kind yet stored it under `other`.
        let can = |family: &Family| *family == Family::Other || families.contains(family);
        Some(self.files.iter().map(|file| (!can(&file.family)).then_some(false)).collect())
    }
}

fn known_kind(value: &ScalarValue) -> Option<Kind> {
    let kind = Kind::from(value.try_as_str()??);
    (kind.family() != Family::Other).then_some(kind)
}

#[async_trait]
impl TableProvider for StoredTable {
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
        let snapshot = match state.config().get_extension::<PinnedSnapshot>() {
            Some(snapshot) => snapshot.get(&*self.source).await?,
            None => take_snapshot(&*self.source).await?,
        };
        let files = self.select_files(state, &*snapshot, filters)?;
        let opened = SnapshotFiles { snapshot: snapshot.clone(), footers: self.caches.footers.clone() };
        let files = pruning::prune_files(files, filters, &opened).await;
        let sealed = self.scan_files(state, &snapshot, &files, projection, limit)?;
        let log = LogRows {
            snapshot: snapshot.clone(),
            cache: self.caches.log_batches.clone(),
            stored: self.stored,
            schema: self.schema.clone(),
        };
        if log.indexes().is_empty() {
            return Ok(sealed);
        }
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
