//! The tables of SQL: one per family, one over all families, and a few views.
//!
//! A table is a projection over [`StoredTable`]: labels, hashes as text and whole leaves are computed from the stored
//! columns, after filters and limits were applied.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::catalog::{SchemaProvider, Session, TableProvider};
use datafusion::common::{Result, exec_err};
use datafusion::datasource::{TableType, provider_as_source};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, ScalarUDF, col, ident, lit};
use datafusion::physical_plan::ExecutionPlan;
use meshtrail_event::{ColumnType, Family};

use crate::columns::{CONSTANT, FAMILY, INDEX, StoredColumns, TIME, TRAIL};
use crate::functions::{self, ACTOR, DEVICE, TARGET};
use crate::scan::{ReadCaches, StoredTable};
use crate::source::Source;

/// The table over every family.
pub(crate) const EVENT: &str = "event";

/// Columns that come first, in this order.
const FIRST: [&str; 11] =
    [INDEX, TRAIL, TIME, "kind", "actor", "device", "target", "outcome", "session", "id", "received"];

/// Tables by name.
pub(crate) struct Tables(BTreeMap<String, Arc<dyn TableProvider>>);

impl fmt::Debug for Tables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

impl Tables {
    /// Creates the tables of `source`.
    pub(crate) fn new(source: &Arc<dyn Source>, caches: &ReadCaches) -> Result<Self> {
        let mut tables = BTreeMap::new();
        let rows = |stored| Arc::new(StoredTable::new(source.clone(), caches.clone(), stored));
        for family in Family::ALL {
            let plan = family_table(family, rows(StoredColumns::of(family)))?;
            for (name, kinds) in views(family) {
                let view = LogicalPlanBuilder::from(plan.clone()).filter(kind_filter(kinds))?.build()?;
                tables.insert((*name).to_owned(), Table::provider(view));
            }
            tables.insert(family.as_str().to_owned(), Table::provider(plan));
        }
        tables.insert(EVENT.to_owned(), Table::provider(event_table(rows(StoredColumns::all()))?));
        Ok(Self(tables))
    }

    /// All names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// A table's columns.
    pub(crate) fn schema(&self, name: &str) -> Option<SchemaRef> {
        self.0.get(name).map(|table| table.schema())
    }
}

/// Views on a family, with the kinds of their rows: one row for each finished session, login or request.
const fn views(family: Family) -> &'static [(&'static str, &'static [&'static str])] {
    match family {
        Family::Session => &[
            ("ssh_session", &["ssh.session.ended", "ssh.session.failed", "ssh.session.interrupted"]),
            ("kube_session", &["kube.session.ended", "kube.session.failed", "kube.session.interrupted"]),
        ],
        Family::Login => &[("ssh_login", &["ssh.login"])],
        Family::Kube => &[("kube_request", &["kube.request.done"])],
        _ => &[],
    }
}

fn kind_filter(kinds: &[&str]) -> Expr {
    let kinds =
        kinds.iter().map(|&kind| lit(datafusion::common::ScalarValue::Utf8View(Some(kind.to_owned()))));
    ident("kind").in_list(kinds.collect(), false)
}

fn call(function: &Arc<ScalarUDF>, columns: &[&str]) -> Expr {
    function.call(columns.iter().map(|&name| ident(name)).collect())
}

/// The columns that are computed for every table, with their names.
fn labels() -> Vec<(&'static str, Expr)> {
    vec![
        ("actor", call(&functions::actor(), &ACTOR)),
        ("device", call(&functions::device(), &DEVICE)),
        ("target", call(&functions::target(), &TARGET)),
        ("id", call(&functions::event_id(), &["id_source", "id_epoch", "id_sequence"])),
    ]
}

fn project(rows: Arc<StoredTable>, name: &str, mut shown: Vec<(String, Expr)>) -> Result<LogicalPlan> {
    let place = |name: &str| FIRST.iter().position(|first| *first == name).unwrap_or(FIRST.len());
    shown.sort_by_key(|(name, _)| place(name));
    let shown = shown.into_iter().map(|(name, shown)| match &shown {
        Expr::Column(column) if column.name == name => shown,
        _ => shown.alias(name),
    });
    LogicalPlanBuilder::scan(name, provider_as_source(rows), None)?.project(shown)?.build()
}

fn family_table(family: Family, rows: Arc<StoredTable>) -> Result<LogicalPlan> {
    let mut shown: Vec<(String, Expr)> =
        labels().into_iter().map(|(name, expr)| (name.to_owned(), expr)).collect();
    for field in rows.schema().fields() {
        let name = field.name();
        if name != "raw" {
            shown.push((name.clone(), display_column(name, field.data_type())));
        }
    }
    project(rows, family.as_str(), shown)
}

fn display_column(name: &str, of: &DataType) -> Expr {
    match of {
        DataType::FixedSizeBinary(_) => functions::hex().call(vec![ident(name)]),
        _ => ident(name),
    }
}

fn event_table(rows: Arc<StoredTable>) -> Result<LogicalPlan> {
    let schema = rows.schema();
    let common = |name: &str| {
        Family::ALL.iter().all(|family| {
            family.layout().columns.iter().any(|column| {
                !column.path.starts_with(&["detail"])
                    && (column.name == name
                        || parts(&column.name, column.column_type).iter().any(|part| part == name))
            })
        })
    };
    let names = schema.fields().iter().map(|field| field.name().clone());
    let stored: Vec<String> = names.filter(|name| !CONSTANT.contains(&name.as_str())).collect();
    let mut shown: Vec<(String, Expr)> =
        labels().into_iter().map(|(name, expr)| (name.to_owned(), expr)).collect();
    shown.extend(CONSTANT.map(|name| (name.to_owned(), ident(name))));
    for field in schema.fields().iter().filter(|field| field.name() == INDEX || common(field.name())) {
        shown.push((field.name().clone(), display_column(field.name(), field.data_type())));
    }
    let of_details: Vec<String> =
        stored.iter().filter(|name| *name != INDEX && !common(name)).cloned().collect();
    for (name, columns, is_detail) in [("detail", of_details, true), ("leaf", stored, false)] {
        let arguments = std::iter::once(FAMILY).chain(columns.iter().map(String::as_str)).map(ident);
        let function = functions::leaf(None, columns.clone(), is_detail);
        shown.push((name.to_owned(), function.call(arguments.collect())));
    }
    project(rows, EVENT, shown)
}

/// The additional file columns that store a layout column beside the one of its own name.
fn parts(name: &str, of: ColumnType) -> Vec<String> {
    match of {
        ColumnType::EventId => ["source", "epoch", "sequence"].map(|part| format!("{name}_{part}")).to_vec(),
        ColumnType::Address => vec![format!("{name}_port")],
        _ => Vec::new(),
    }
}

/// A table that is a plan over another table.
struct Table {
    plan: LogicalPlan,
    schema: SchemaRef,
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").finish_non_exhaustive()
    }
}

impl Table {
    fn provider(plan: LogicalPlan) -> Arc<dyn TableProvider> {
        let schema = Arc::new(plan.schema().as_arrow().clone());
        Arc::new(Self { plan, schema })
    }
}

#[async_trait]
impl TableProvider for Table {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn get_logical_plan(&self) -> Option<Cow<'_, LogicalPlan>> {
        Some(Cow::Borrowed(&self.plan))
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut plan = LogicalPlanBuilder::from(self.plan.clone());
        for filter in filters {
            plan = plan.filter(filter.clone())?;
        }
        if let Some(projection) = projection {
            let columns = projection
                .iter()
                .map(|&at| col(datafusion::common::Column::from(self.plan.schema().qualified_field(at))));
            plan = plan.project(columns.collect::<Vec<_>>())?;
        }
        if limit.is_some() {
            plan = plan.limit(0, limit)?;
        }
        state.create_physical_plan(&plan.build()?).await
    }
}

#[async_trait]
impl SchemaProvider for Tables {
    fn table_names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        Ok(self.0.get(name).cloned())
    }

    fn register_table(
        &self,
        name: String,
        _table: Arc<dyn TableProvider>,
    ) -> Result<Option<Arc<dyn TableProvider>>> {
        exec_err!("{name} can't be made: tables are read-only")
    }

    fn table_exist(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }
}
