//! Errors for Postgres clients: an SQLSTATE, a message, and the position in the query.

use std::error::Error;

use datafusion::common::DataFusionError;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion_postgres::pgwire::api::{ClientInfo, ErrorHandler};
use datafusion_postgres::pgwire::error::{ErrorInfo, PgWireError};

use meshtrail_worker::{Fault, QueryError};

use crate::error::{sqlstate, syntax, to_query_error};

/// Maps errors of the engine; knows the names of all tables, for suggestions.
pub(super) struct ErrorMapper {
    tables: Vec<String>,
}

/// An error and its SQLSTATE.
struct WireError {
    error: QueryError,
    state: &'static str,
}

impl ErrorMapper {
    pub(super) fn new(tables: Vec<String>) -> Self {
        Self { tables }
    }

    /// Maps `error`, with its position in `sql` if that can be found.
    pub(super) async fn locate(
        &self,
        error: PgWireError,
        sql: &str,
        session: &SessionContext,
    ) -> PgWireError {
        let PgWireError::ApiError(cause) = &error else { return error };
        let Some(wrong) = self.map(cause.as_ref()) else { return error };
        // datafusion-postgres plans a rewritten statement without locations: the original is planned again to get them.
        let again = self.plan_again(sql, session).await.filter(|again| again.state == wrong.state);
        let place = again.and_then(|again| again.error.line.zip(again.error.column));
        let place = place.and_then(|(line, column)| position(sql, line, column));
        wrong.into_pg(place)
    }

    /// The error for a query that was refused before parsing.
    pub(super) fn refuse(error: QueryError, sql: &str) -> PgWireError {
        let place = error.line.zip(error.column).and_then(|(line, column)| position(sql, line, column));
        // 54001: statement too complex.
        let state = if error.fault == Fault::Query { "42601" } else { "54001" };
        WireError { error, state }.into_pg(place)
    }

    async fn plan_again(&self, sql: &str, session: &SessionContext) -> Option<WireError> {
        let parsed = Parser::new(&PostgreSqlDialect {}).try_with_sql(sql);
        let statements = match parsed.and_then(|mut parser| parser.parse_statements()) {
            Ok(statements) => statements,
            Err(error) => return self.map(&error),
        };
        let state = session.state();
        for statement in statements {
            if let Err(error) = state.statement_to_plan(Statement::Statement(Box::new(statement))).await {
                return self.map(&error);
            }
        }
        None
    }

    fn map(&self, cause: &(dyn Error + Send + Sync + 'static)) -> Option<WireError> {
        if let Some(error) = cause.downcast_ref::<ParserError>() {
            return Some(WireError { error: syntax(&error.to_string()), state: "42601" });
        }
        let error = cause.downcast_ref::<DataFusionError>()?;
        let tables: Vec<&str> = self.tables.iter().map(String::as_str).collect();
        Some(WireError { error: to_query_error(error, Some(&tables)), state: sqlstate(error) })
    }
}

impl WireError {
    fn into_pg(self, position: Option<usize>) -> PgWireError {
        let mut info = ErrorInfo::new("ERROR".to_owned(), self.state.to_owned(), self.error.message);
        info.position = position.map(|position| position.to_string());
        PgWireError::UserError(Box::new(info))
    }
}

impl ErrorHandler for ErrorMapper {
    fn on_error<C: ClientInfo>(&self, _: &C, error: &mut PgWireError) {
        match error {
            PgWireError::ApiError(cause) => {
                if let Some(wrong) = self.map(cause.as_ref()) {
                    *error = wrong.into_pg(None);
                }
            }
            PgWireError::PortalNotFound(name) => {
                *error = pg_error("34000", format!("cursor \"{name}\" does not exist"));
            }
            // The wire takes "no transaction" for "failed transaction".
            PgWireError::UserError(info) if info.code == "25P01" && info.message.contains("aborted") => {
                info.code = "25P02".to_owned();
            }
            _ => {}
        }
    }
}

/// An error of the wire itself.
pub(super) fn pg_error(state: &str, message: impl Into<String>) -> PgWireError {
    PgWireError::UserError(Box::new(ErrorInfo::new("ERROR".to_owned(), state.to_owned(), message.into())))
}

/// A refusal by the server.
pub(super) fn from_query_error(error: QueryError) -> PgWireError {
    let state = match error.fault {
        Fault::Busy => "53000",
        Fault::Budget => "54000",
        _ => "58000",
    };
    pg_error(state, error.message)
}

/// The position of a character in the whole query, from 1.
fn position(sql: &str, line: u64, column: u64) -> Option<usize> {
    let (line, column) = (usize::try_from(line).ok()?, usize::try_from(column).ok()?);
    let before = sql.split('\n').take(line.checked_sub(1)?).map(|line| line.chars().count() + 1);
    Some(before.sum::<usize>() + column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_counted_in_characters_over_all_lines() {
        assert_eq!(position("select 1", 1, 8), Some(8));
        assert_eq!(position("séléct\nüber, x\nfrom y", 3, 6), Some(7 + 8 + 6));
        assert_eq!(position("select 1", 0, 0), None);
    }
}
