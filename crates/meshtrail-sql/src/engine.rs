//! The engine: plans and runs SQL queries over one source.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList,
};
use datafusion::common::{DataFusionError, config::Dialect};
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::object_store::{ObjectStoreRegistry, ObjectStoreUrl};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{SendableRecordBatchStream, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::object_store::{ObjectStore, memory::InMemory};
use datafusion::physical_plan::execute_stream;
use datafusion::prelude::{SQLOptions, SessionConfig, SessionContext};
use datafusion::sql::parser::Statement;
use meshtrail_worker::{Budget, Fault, QueryError};

use crate::budget::BudgetRule;
use crate::error::to_query_error;
use crate::files::SnapshotFiles;
use crate::memory::GrantedPool;
use crate::scan::{PinnedSnapshot, ReadCaches, STORE_URL};
use crate::source::Source;
use crate::statement::parse_query;
use crate::tables::Tables;
use crate::threads::Threads;
use crate::{CATALOG, SCHEMA, function_limits, json};

/// The stack size of planning threads: the planner recurses as deep as a query nests.
const PLANNING_STACK: usize = 32 << 20;

/// Limits of all queries together, and of each.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of memory: three quarters for queries, which spill to disk beyond it, a quarter for caches.
    pub memory: usize,
    /// The folder that queries spill into; the system's temporary folder if none.
    pub spill: Option<PathBuf>,
    /// Bytes of disk that queries may spill.
    pub spill_bytes: u64,
    /// The budget of a query that does not bring its own.
    pub budget: Budget,
    /// Threads of one query.
    pub threads: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 512 << 20,
            spill: None,
            spill_bytes: 8 << 30,
            budget: Budget { time: Duration::from_secs(60), rows: 1_000_000 },
            threads: std::thread::available_parallelism().map_or(2, usize::from).min(8),
        }
    }
}

/// The output of a running query; dropping it stops the query.
pub struct QueryOutput {
    /// The columns.
    pub schema: SchemaRef,
    /// The rows, as they are computed.
    pub stream: SendableRecordBatchStream,
}

impl fmt::Debug for QueryOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueryOutput").field("schema", &self.schema).finish_non_exhaustive()
    }
}

/// SQL over one source; cheap to clone.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    limits: Limits,
    source: Arc<dyn Source>,
    caches: ReadCaches,
    tables: Arc<Tables>,
    pool: Arc<GrantedPool>,
    runtime: Arc<RuntimeEnv>,
    context: SessionContext,
    threads: Threads,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("limits", &self.inner.limits).finish_non_exhaustive()
    }
}

impl Engine {
    /// Creates the tables over `source`.
    pub fn new(source: impl Source, limits: Limits) -> Result<Self, QueryError> {
        let source: Arc<dyn Source> = Arc::new(source);
        let caches = ReadCaches::with_limit(limits.memory / 4);
        let tables = Arc::new(Tables::new(&source, &caches).map_err(|error| to_query_error(&error, None))?);
        let pool = Arc::new(GrantedPool::new(limits.memory - limits.memory / 4));
        let runtime = runtime(&limits, pool.clone()).map_err(|error| to_query_error(&error, None))?;
        let context = session(&limits, &tables, &runtime, &limits.budget)
            .map_err(|error| to_query_error(&error, None))?;
        let threads = Threads::start(limits.threads).map_err(|error| {
            QueryError::new(Fault::Trail, format!("no threads to run queries on: {error}"))
        })?;
        Ok(Self {
            inner: Arc::new(Inner { limits, source, caches, tables, pool, runtime, context, threads }),
        })
    }

    /// Sets the memory that queries have before they spill to `bytes`, in place of the limits' share.
    pub fn grant(&self, bytes: usize) {
        self.inner.pool.grant(bytes);
    }

    /// Fills the cache with the footers of the newest files.
    pub async fn read_ahead(&self) -> Result<(), QueryError> {
        let snapshot = self.inner.source.snapshot().await?;
        let files = SnapshotFiles { snapshot: snapshot.clone(), footers: self.inner.caches.footers() };
        files.read_ahead().await;
        Ok(())
    }

    /// The runtime that queries run on, for users of [`Engine::session`].
    pub fn handle(&self) -> &tokio::runtime::Handle {
        self.inner.threads.handle()
    }

    /// The number of threads of one query.
    pub fn threads(&self) -> usize {
        self.inner.limits.threads
    }

    /// The budget of a query that does not bring its own.
    pub fn budget(&self) -> &Budget {
        &self.inner.limits.budget
    }

    /// The tables' names.
    pub fn tables(&self) -> impl Iterator<Item = &str> {
        self.inner.tables.names()
    }

    /// The columns of a table.
    pub fn schema(&self, table: &str) -> Option<SchemaRef> {
        self.inner.tables.schema(table)
    }

    /// A session for callers that use DataFusion directly. `budget` holds for each of its plans; nothing in it can write,
    /// read files or reach the network. The caller must refuse statements that set options.
    pub fn session(&self, budget: &Budget) -> Result<SessionContext, QueryError> {
        let Inner { limits, tables, runtime, .. } = &*self.inner;
        session(limits, tables, runtime, budget).map_err(|error| self.query_error(&error))
    }

    /// Plans `sql` without running it, if it is allowed.
    pub async fn check(&self, sql: &str) -> Result<LogicalPlan, QueryError> {
        let statement = parse_query(sql)?;
        let (engine, context) = (self.clone(), self.inner.context.clone());
        with_planning_stack(async move { engine.plan(&context, statement).await }).await
    }

    /// Runs `sql`, which sees everything that was acknowledged before the call.
    pub async fn query(&self, sql: &str, budget: &Budget) -> Result<QueryOutput, QueryError> {
        let statement = parse_query(sql)?;
        let engine = self.clone();
        let budget = budget.clone();
        with_planning_stack(async move { engine.answer(statement, &budget).await }).await
    }

    async fn answer(&self, statement: Statement, budget: &Budget) -> Result<QueryOutput, QueryError> {
        let context = if *budget == self.inner.limits.budget {
            self.inner.context.clone()
        } else {
            self.session(budget)?
        };
        // All tables of one query see the same snapshot.
        let mut state = context.state();
        state.config_mut().set_extension(Arc::new(PinnedSnapshot::default()));
        let context = SessionContext::new_with_state(state);
        let plan = self.plan(&context, statement).await?;
        let state = context.state();
        let physical = state.create_physical_plan(&plan).await.map_err(|error| self.query_error(&error))?;
        let stream = execute_stream(physical, state.task_ctx()).map_err(|error| self.query_error(&error))?;
        Ok(QueryOutput { schema: stream.schema(), stream: self.inner.threads.drive(stream) })
    }

    async fn plan(&self, context: &SessionContext, statement: Statement) -> Result<LogicalPlan, QueryError> {
        let state = context.state();
        let plan = state.statement_to_plan(statement).await.map_err(|error| self.query_error(&error))?;
        let only_reading =
            SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        only_reading
            .verify_plan(&plan)
            .map_err(|error| QueryError { fault: Fault::Refused, ..self.query_error(&error) })?;
        Ok(plan)
    }

    fn query_error(&self, error: &DataFusionError) -> QueryError {
        let tables: Vec<&str> = self.inner.tables.names().collect();
        to_query_error(error, Some(&tables))
    }
}

/// Runs `work` (planning) on a thread of its own with a large stack.
async fn with_planning_stack<T: Send + 'static>(
    work: impl Future<Output = Result<T, QueryError>> + Send + 'static,
) -> Result<T, QueryError> {
    let runtime = tokio::runtime::Handle::current();
    let (send, done) = tokio::sync::oneshot::channel();
    let planner = std::thread::Builder::new().name("sql-plan".to_owned()).stack_size(PLANNING_STACK);
    let started = planner.spawn(move || {
        // The receiver is gone if the query was dropped meanwhile.
        drop(send.send(runtime.block_on(work)));
    });
    if let Err(error) = started {
        return Err(QueryError::new(Fault::Trail, format!("no thread to plan on: {error}")));
    }
    done.await.unwrap_or_else(|_| Err(QueryError::new(Fault::Trail, "the planner failed on this query")))
}

/// A registry with a single, empty object store: no file, bucket or host can be reached.
#[derive(Debug)]
struct EmptyStoreRegistry(Arc<dyn ObjectStore>);

impl ObjectStoreRegistry for EmptyStoreRegistry {
    fn register_store(&self, _: &url::Url, _: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        None
    }

    fn get_store(&self, url: &url::Url) -> datafusion::common::Result<Arc<dyn ObjectStore>> {
        if url.as_str().starts_with(STORE_URL.trim_end_matches('/')) {
            return Ok(self.0.clone());
        }
        Err(DataFusionError::Plan("queries read tables, no files and no addresses".to_owned()))
    }
}

fn runtime(limits: &Limits, pool: Arc<GrantedPool>) -> datafusion::common::Result<Arc<RuntimeEnv>> {
    let disk = DiskManagerBuilder::default().with_max_temp_directory_size(limits.spill_bytes);
    let disk = match &limits.spill {
        Some(folder) => disk.with_mode(DiskManagerMode::Directories(vec![folder.clone()])),
        None => disk.with_mode(DiskManagerMode::OsTmpDirectory),
    };
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(pool)
        .with_disk_manager_builder(disk)
        .with_object_store_registry(Arc::new(EmptyStoreRegistry(Arc::new(InMemory::new()))))
        .build_arc()?;
    debug_assert!(ObjectStoreUrl::parse(STORE_URL).is_ok(), "an address we wrote");
    Ok(runtime)
}

fn session(
    limits: &Limits,
    tables: &Arc<Tables>,
    runtime: &Arc<RuntimeEnv>,
    budget: &Budget,
) -> datafusion::common::Result<SessionContext> {
    let schemas = MemoryCatalogProvider::new();
    schemas.register_schema(SCHEMA, tables.clone())?;
    let catalogs = MemoryCatalogProviderList::new();
    catalogs.register_catalog(CATALOG.to_owned(), Arc::new(schemas));
    let hold = BudgetRule { budget: budget.clone() };
    let mut state = SessionStateBuilder::new()
        .with_config(config(limits))
        .with_runtime_env(runtime.clone())
        .with_default_features()
        .with_catalog_list(Arc::new(catalogs))
        .with_table_factories(HashMap::new())
        .with_file_formats(Vec::new())
        .with_physical_optimizer_rule(Arc::new(hold))
        .build();
    json::register(&mut state)?;
    function_limits::register(&mut state)?;
    Ok(SessionContext::new_with_state(state))
}

fn config(limits: &Limits) -> SessionConfig {
    let mut config = SessionConfig::new()
        .with_default_catalog_and_schema(CATALOG, SCHEMA)
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(true)
        .with_target_partitions(limits.threads.max(1))
        .with_collect_statistics(true);
    let options = config.options_mut();
    options.sql_parser.dialect = Dialect::PostgreSQL;
    options.sql_parser.collect_spans = true;
    options.execution.time_zone = Some("UTC".to_owned());
    // A segment is one row group: cutting files by bytes would only open them twice.
    options.optimizer.repartition_file_scans = false;
    options.execution.parquet.pushdown_filters = true;
    // A sort's reservation for merging spilled runs must leave room for the sort itself.
    let aside = limits.memory / (16 * limits.threads.max(1));
    options.execution.sort_spill_reservation_bytes = aside.min(10 << 20);
    config
}
