//! Rows as they are stored: sealed files and the rows of the log behind them, as one scan.
//!
//! - A scan sees what was durable when it was planned; a row is in it once.
//! - Files whose times, indexes or family can't meet the filters are left out without being opened. What is left is
//!   narrowed by the Parquet reader: statistics, Bloom filters, page bounds, then rows.
//! - Files are read newest first, so that whoever asks for the newest rows stops early.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, StringViewArray, TimestampNanosecondArray};
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
use meshtrail_event::Family;
use meshtrail_trail::manifest::SegmentFile;

use crate::columns::{FAMILY, INDEX, Stored, TIME};
use crate::files::{Files, Footers, SealedFile};
use crate::log::{LogRows, Stretches};
use crate::lookup;
use crate::source::{Moment, Source};
use crate::times::FileTimes;

/// Where DataFusion believes the files to be; nothing is read from there.
pub(crate) const NOWHERE: &str = "meshtrail://trail/";

/// The moment that all tables of one query read, taken by the first; of one transaction, over the Postgres wire.
#[derive(Default)]
pub(crate) struct Pinned(tokio::sync::Mutex<Option<Arc<dyn Moment>>>);

impl Pinned {
    async fn get(&self, source: &dyn Source) -> Result<Arc<dyn Moment>> {
        let mut pinned = self.0.lock().await;
        if let Some(moment) = &*pinned {
            return Ok(moment.clone());
        }
        let moment = moment_of(source).await?;
        *pinned = Some(moment.clone());
        Ok(moment)
    }

    /// What is asked next sees what is there then.
    pub(crate) async fn forget(&self) {
        let gone = self.0.lock().await.take();
        drop(gone);
    }
}

async fn moment_of(source: &dyn Source) -> Result<Arc<dyn Moment>> {
    source.moment().await.map_err(|error| DataFusionError::External(Box::new(error)))
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

impl Kept {
    /// The footers that are kept.
    pub(crate) fn footers(&self) -> Arc<Footers> {
        self.footers.clone()
    }
}

/// The stored rows of some families.
pub(crate) struct Rows {
    source: Arc<dyn Source>,
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
    pub(crate) fn new(source: Arc<dyn Source>, kept: Kept, stored: &'static Stored) -> Self {
        let mut fields = stored.schema.fields().to_vec();
        if stored.has_family() {
            fields.push(Arc::new(family_field()));
        }
        Self { source, kept, stored, schema: Arc::new(Schema::new(fields)) }
    }

    fn is_wanted(&self, moment: &dyn Moment, file: &SegmentFile) -> bool {
        self.stored.families.contains(&file.family) && file.last >= moment.first()
    }

    /// The files that may hold rows that meet `filters`, newest first.
    fn files<'s>(
        &self,
        state: &dyn Session,
        moment: &'s dyn Moment,
        filters: &[Expr],
    ) -> Result<Vec<&'s SegmentFile>> {
        let files: Vec<&SegmentFile> =
            moment.files().rev().filter(|file| self.is_wanted(moment, file)).collect();
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
        moment: &Arc<dyn Moment>,
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
                moment: moment.clone(),
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
            .with_expr_adapter(Some(Arc::new(FileTimes)))
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
        let moment = match state.config().get_extension::<Pinned>() {
            Some(pinned) => pinned.get(&*self.source).await?,
            None => moment_of(&*self.source).await?,
        };
        let files = self.files(state, &*moment, filters)?;
        let opened = Files { moment: moment.clone(), footers: self.kept.footers.clone() };
        let files = lookup::narrow(files, filters, &opened).await;
        let sealed = self.sealed(state, &moment, &files, projection, limit)?;
        let log = LogRows {
            moment: moment.clone(),
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
