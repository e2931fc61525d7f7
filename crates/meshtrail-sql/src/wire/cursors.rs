//! Cursors: DECLARE, FETCH and CLOSE, for programs that read a large answer in portions.
//!
//! - A cursor lives in the transaction that declared it and moves forward only. Its query has the usual time limit, which
//!   starts at DECLARE; at the deadline the rows are dropped.
//! - FETCH computes rows as they are sent; nothing is buffered.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::{DFSchema, Result};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::{EmptyRelation, LogicalPlan, Projection};
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement as Parsed;
use datafusion::sql::sqlparser::ast::{
    CloseCursor, Declare, DeclareType, FetchDirection, Ident, Query, Statement, Value,
};
use datafusion_postgres::arrow_pg::datatypes::{arrow_schema_to_pg_fields, encode_recordbatch};
use datafusion_postgres::pgwire::api::portal::Format;
use datafusion_postgres::pgwire::api::results::{FieldInfo, QueryResponse, Response, Tag};
use datafusion_postgres::pgwire::error::{PgWireError, PgWireResult};
use datafusion_postgres::pgwire::messages::response::TransactionStatus;
use datafusion_postgres::pgwire::types::format::FormatOptions;
use futures::{StreamExt, TryStreamExt, stream};

use super::deadline::{self, TimedRows};
use super::errors::pg_error;
use crate::worker::StatementPermit;

/// Cursors of one connection, at most.
const MAX_CURSORS: usize = 16;

/// The cursors of one connection.
#[derive(Default)]
pub(super) struct Cursors(Mutex<BTreeMap<String, Cursor>>);

#[derive(Clone)]
struct Cursor {
    schema: SchemaRef,
    rows: Arc<tokio::sync::Mutex<CursorRows>>,
}

/// The rows of a cursor that were not fetched yet.
struct CursorRows {
    batches: TimedRows<deadline::GuardedRows<SendableRecordBatchStream>>,
    partial: Option<RecordBatch>,
}

fn failed(error: impl Into<datafusion::common::DataFusionError>) -> PgWireError {
    PgWireError::ApiError(Box::new(error.into()))
}

fn name_of(name: &Ident) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() }
}

/// The query of a DECLARE, if the cursor's options are supported.
pub(super) fn declared_query(declarations: &[Declare]) -> Result<&Query, &'static str> {
    let [Declare { declare_type: Some(DeclareType::Cursor), for_query: Some(query), scroll, hold, .. }] =
        declarations
    else {
        return Err("declare name cursor for select …");
    };
    if *scroll == Some(true) || *hold == Some(true) {
        return Err("cursors go forward only, and end with their transaction");
    }
    Ok(query)
}

/// A plan without columns that keeps the parameters of `query`: a DECLARE returns no rows.
pub(super) async fn plan_of(query: &Query, session: &SessionContext) -> Result<LogicalPlan> {
    let statement = Parsed::Statement(Box::new(Statement::Query(Box::new(query.clone()))));
    let plan = session.state().statement_to_plan(statement).await?;
    Ok(LogicalPlan::Projection(Projection::new_from_schema(Arc::new(plan), Arc::new(DFSchema::empty()))))
}

impl Cursors {
    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Cursor>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes all cursors.
    pub(super) fn clear(&self) {
        let gone = std::mem::take(&mut *self.all());
        drop(gone);
    }

    /// Opens a cursor over the query in `plan`, made by [`plan_of`], for at most `time`.
    pub(super) async fn declare(
        &self,
        name: &Ident,
        plan: &LogicalPlan,
        session: &SessionContext,
        (status, time): (TransactionStatus, Duration),
        permits: Vec<StatementPermit>,
    ) -> PgWireResult<Response> {
        let name = name_of(name);
        if status != TransactionStatus::Transaction {
            return Err(pg_error("25P01", "DECLARE CURSOR can only be used in transaction blocks"));
        }
        if self.all().contains_key(&name) {
            return Err(pg_error("42P03", format!("cursor \"{name}\" already exists")));
        }
        if self.all().len() >= MAX_CURSORS {
            return Err(pg_error(
                "53000",
                format!("a connection has at most {MAX_CURSORS} cursors: close one"),
            ));
        }
        let query = plan.inputs().first().map_or_else(|| plan.clone(), |&query| query.clone());
        let frame = session.execute_logical_plan(query).await.map_err(failed)?;
        let batches = frame.execute_stream().await.map_err(failed)?;
        let schema = batches.schema();
        let rows = CursorRows {
            batches: TimedRows::new(deadline::GuardedRows::new(batches, permits.into()), time),
            partial: None,
        };
        let cursor = Cursor { schema, rows: Arc::new(tokio::sync::Mutex::new(rows)) };
        self.all().insert(name, cursor);
        Ok(Response::Execution(Tag::new("DECLARE CURSOR")))
    }

    fn get(&self, name: &str) -> PgWireResult<Cursor> {
        let cursor = self.all().get(name).cloned();
        cursor.ok_or_else(|| pg_error("34000", format!("cursor \"{name}\" does not exist")))
    }

    /// The columns of a cursor, if there is one of this name.
    pub(super) fn describe(&self, name: &str) -> Option<PgWireResult<Vec<FieldInfo>>> {
        let cursor = self.get(name).ok()?;
        Some(arrow_schema_to_pg_fields(&cursor.schema, &Format::UnifiedText, None))
    }

    /// A plan with the columns of a cursor, to describe a FETCH.
    pub(super) fn plan_shape(&self, name: &Ident) -> PgWireResult<LogicalPlan> {
        let cursor = self.get(&name_of(name))?;
        let schema = Arc::new(DFSchema::try_from(cursor.schema).map_err(failed)?);
        Ok(LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: false, schema }))
    }

    /// Fetches the next rows.
    pub(super) fn fetch(
        &self,
        name: &Ident,
        direction: &FetchDirection,
        (format, options): (&Format, FormatOptions),
    ) -> PgWireResult<QueryResponse> {
        let cursor = self.get(&name_of(name))?;
        let count = count(direction)?;
        let fields = Arc::new(arrow_schema_to_pg_fields(&cursor.schema, format, Some(Arc::new(options)))?);
        let batches = stream::try_unfold((cursor.rows, count), async |(rows, left)| {
            if left == 0 {
                return Ok(None);
            }
            let next = rows.lock().await.next(left).await?;
            Ok::<_, PgWireError>(next.map(|batch| {
                let left = left - batch.num_rows();
                (batch, (rows, left))
            }))
        });
        let encoded = fields.clone();
        let rows = batches.map_ok(move |batch| stream::iter(encode_recordbatch(encoded.clone(), batch)));
        let mut answer = QueryResponse::new(fields, rows.try_flatten());
        answer.set_command_tag("FETCH");
        Ok(answer)
    }

    /// Closes one cursor, or all.
    pub(super) fn close(&self, which: &CloseCursor) -> PgWireResult<Response> {
        match which {
            CloseCursor::All => self.clear(),
            CloseCursor::Specific { name } => {
                let name = name_of(name);
                self.get(&name)?;
                let gone = self.all().remove(&name);
                drop(gone);
            }
        }
        Ok(Response::Execution(Tag::new("CLOSE CURSOR")))
    }
}

impl CursorRows {
    /// Returns at most `most` rows; none at the end.
    async fn next(&mut self, most: usize) -> PgWireResult<Option<RecordBatch>> {
        let batch = loop {
            let next = match self.partial.take() {
                Some(batch) => Some(batch),
                None => match self.batches.next().await {
                    Some(batch) => Some(batch.and_then(|batch| batch).map_err(failed)?),
                    None => None,
                },
            };
            match next {
                Some(batch) if batch.num_rows() == 0 => {}
                other => break other,
            }
        };
        Ok(batch.map(|batch| {
            let count = batch.num_rows().min(most);
            if count < batch.num_rows() {
                self.partial = Some(batch.slice(count, batch.num_rows() - count));
            }
            batch.slice(0, count)
        }))
    }
}

/// The number of rows that a FETCH asks for.
fn count(direction: &FetchDirection) -> PgWireResult<usize> {
    let number = |limit: &Value| match limit {
        Value::Number(digits, _) => digits.parse().ok(),
        _ => None,
    };
    let wanted = match direction {
        FetchDirection::Next | FetchDirection::Forward { limit: None } => Some(1),
        FetchDirection::Forward { limit: Some(limit) } | FetchDirection::Count { limit } => number(limit),
        FetchDirection::ForwardAll | FetchDirection::All => Some(usize::MAX),
        _ => None,
    };
    wanted.ok_or_else(|| pg_error("55000", "cursors go forward only: fetch next, a number, or all"))
}
