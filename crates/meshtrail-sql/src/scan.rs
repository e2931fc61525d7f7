//! Rows as they are stored: sealed files and the rows of the log behind them, as one scan.
//!
//! - A scan sees what was durable when it was planned; a row is in it once.
//! - Files whose times, indexes or family can't meet the filters are left out without being opened. What is left is
//!   narrowed by the Parquet reader: statistics, Bloom filters, page bounds, then rows.
//! - Files are read newest first, so that whoever asks for the newest rows stops early.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, BooleanArray, Int64Array, StringViewArray, TimestampNanosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::config::TableParquetOptions;
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::stats::Precision;
use datafusion::common::{Column, ColumnStatistics, DFSchema, Result, ScalarValue, Statistics};
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
use meshtrail_event::Family;
use meshtrail_trail::manifest::SegmentFile;
use meshtrail_trail::{Snapshot, Trail};

use crate::columns::{FAMILY, INDEX, Stored, TIME};
use crate::files::{Files, Footers, SealedFile};
use crate::log::{LogRows, Stretches};
use crate::lookup;

/// Where DataFusion believes the files to be; nothing is read from there.
pub(crate) const NOWHERE: &str = "meshtrail://trail/";

/// The snapshot that all tables of one query read, taken by the first; of one transaction, over the Postgres wire.
#[derive(Default)]
pub(crate) struct Pinned(Mutex<Option<Snapshot>>);

impl Pinned {
    fn get(&self, trail: &Trail) -> Snapshot {
        let mut pinned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pinned.get_or_insert_with(|| trail.snapshot()).clone()
    }

    /// What is asked next sees what is there then.
    pub(crate) fn forget(&self) {
        let gone = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(gone);
    }
}

/// What all tables keep of what they have read.
#[derive(Clone)]
pub(crate) struct Kept {
    footers: Arc<Footers>,
    stretches: Arc<Stretches>,
}

impl Kept {
    /// Keeps a part of `memory` bytes.
    pub(crate) fn within(memory: usize) -> Self {
        // Footers of a year of segments without page bounds take about an eighth of the default.
        Self { footers: Arc::new(Footers::new(memory / 2)), stretches: Arc::new(Stretches::new(memory / 2)) }
    }
}

/// The stored rows of some families.
pub(crate) struct Rows {
    trail: Trail,
    kept: Kept,
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

pub(crate) fn family_value(family: Family) -> ScalarValue {
    ScalarValue::Utf8View(Some(family.as_str().to_owned()))
}

impl Rows {
    pub(crate) fn new(trail: Trail, kept: Kept, stored: &'static Stored) -> Self {
        let mut fields = stored.schema.fields().to_vec();
        if stored.has_family() {
            fields.push(Arc::new(family_field()));
        }
        Self { trail, kept, stored, schema: Arc::new(Schema::new(fields)) }
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
            .with_table_parquet_options(TableParquetOptions {
                global: state.config_options().execution.parquet.clone(),
                ..TableParquetOptions::default()
            })
            .with_parquet_file_reader_factory(Arc::new(Files {
                snapshot: snapshot.clone(),
                footers: self.kept.footers.clone(),
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
        partitioned
            .with_statistics(Arc::new(statistics))
            .with_extension(SealedFile { path: file.path.as_str().into(), size: file.bytes })
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
        // A version that did not know a kind yet put it among the others.
        let can = |family: &Family| *family == Family::Other || families.contains(family);
        Some(self.0.iter().map(|file| (!can(&file.family)).then_some(false)).collect())
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
        let opened = Files { snapshot: snapshot.clone(), footers: self.kept.footers.clone() };
        let files = lookup::narrow(files, filters, &opened).await;
        let sealed = self.sealed(state, &snapshot, &files, projection, limit)?;
        let log = LogRows {
            trail: self.trail.clone(),
            snapshot,
            stretches: self.kept.stretches.clone(),
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
