//! Errors as Postgres tells them: an SQLSTATE for programs, words for people, and where in the query it stands.

use std::error::Error;

use datafusion::common::DataFusionError;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion_postgres::pgwire::api::{ClientInfo, ErrorHandler};
use datafusion_postgres::pgwire::error::{ErrorInfo, PgWireError};

use meshtrail_worker::{Fault, QueryError};

use crate::error::{of, sqlstate, syntax};

/// Tells errors; knows the tables' names, to tell which one was meant.
pub(super) struct Told {
    tables: Vec<String>,
}

/// What is wrong, and the SQLSTATE for it.
struct Wrong {
    error: QueryError,
    state: &'static str,
}

impl Told {
    pub(super) fn new(tables: Vec<String>) -> Self {
        Self { tables }
    }

    /// `error`, with where in `sql` it stands if that can be told.
    pub(super) async fn located(
        &self,
        error: PgWireError,
        sql: &str,
        session: &SessionContext,
    ) -> PgWireError {
        let PgWireError::ApiError(cause) = &error else { return error };
        let Some(wrong) = self.wrong(cause.as_ref()) else { return error };
        // The wire plans what it has rewritten, without places: what was asked is planned again, for its places alone.
        let again = self.asked_again(sql, session).await.filter(|again| again.state == wrong.state);
        let place = again.and_then(|again| again.error.line.zip(again.error.column));
        let place = place.and_then(|(line, column)| position(sql, line, column));
        wrong.info(place)
    }

    /// What was turned down by its text alone.
    pub(super) fn refused(error: QueryError, sql: &str) -> PgWireError {
        let place = error.line.zip(error.column).and_then(|(line, column)| position(sql, line, column));
        // 54001: statement too complex.
        let state = if error.fault == Fault::Query { "42601" } else { "54001" };
        Wrong { error, state }.info(place)
    }

    async fn asked_again(&self, sql: &str, session: &SessionContext) -> Option<Wrong> {
        let parsed = Parser::new(&PostgreSqlDialect {}).try_with_sql(sql);
        let statements = match parsed.and_then(|mut parser| parser.parse_statements()) {
            Ok(statements) => statements,
            Err(error) => return self.wrong(&error),
        };
        let state = session.state();
        for statement in statements {
            if let Err(error) = state.statement_to_plan(Statement::Statement(Box::new(statement))).await {
                return self.wrong(&error);
            }
        }
        None
    }

    fn wrong(&self, cause: &(dyn Error + Send + Sync + 'static)) -> Option<Wrong> {
        if let Some(error) = cause.downcast_ref::<ParserError>() {
            return Some(Wrong { error: syntax(&error.to_string()), state: "42601" });
        }
        let error = cause.downcast_ref::<DataFusionError>()?;
        let tables: Vec<&str> = self.tables.iter().map(String::as_str).collect();
        Some(Wrong { error: of(error, Some(&tables)), state: sqlstate(error) })
    }
}

impl Wrong {
    fn info(self, position: Option<usize>) -> PgWireError {
        let mut info = ErrorInfo::new("ERROR".to_owned(), self.state.to_owned(), self.error.message);
        info.position = position.map(|position| position.to_string());
        PgWireError::UserError(Box::new(info))
    }
}

impl ErrorHandler for Told {
    fn on_error<C: ClientInfo>(&self, _: &C, error: &mut PgWireError) {
        match error {
            PgWireError::ApiError(cause) => {
                if let Some(wrong) = self.wrong(cause.as_ref()) {
                    *error = wrong.info(None);
                }
            }
            PgWireError::PortalNotFound(name) => {
                *error = refusal("34000", format!("cursor \"{name}\" does not exist"));
            }
            // The wire takes "no transaction" for "failed transaction".
            PgWireError::UserError(info) if info.code == "25P01" && info.message.contains("aborted") => {
                info.code = "25P02".to_owned();
            }
            _ => {}
        }
    }
}

/// An error of the wire's own.
pub(super) fn refusal(state: &str, message: impl Into<String>) -> PgWireError {
    PgWireError::UserError(Box::new(ErrorInfo::new("ERROR".to_owned(), state.to_owned(), message.into())))
}

/// What the server says no to.
pub(super) fn of_query(error: QueryError) -> PgWireError {
    let state = match error.fault {
        Fault::Busy => "53000",
        Fault::Budget => "54000",
        _ => "58000",
    };
    refusal(state, error.message)
}

/// The place of a character, counted from 1 over the whole query.
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
