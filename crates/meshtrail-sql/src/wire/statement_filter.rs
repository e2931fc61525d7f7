//! Which statements the Postgres wire allows: queries, and the session commands that clients send.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::common::ParamValues;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::ast::{Set, SetExpr, Statement};
use datafusion_postgres::QueryHook;
use datafusion_postgres::hooks::HookClient;
use datafusion_postgres::pgwire::api::ClientInfo;
use datafusion_postgres::pgwire::api::portal::Format;
use datafusion_postgres::pgwire::api::results::Response;
use datafusion_postgres::pgwire::error::{PgWireError, PgWireResult};
use datafusion_postgres::pgwire::messages::response::TransactionStatus;
use datafusion_postgres::pgwire::types::format::FormatOptions;

use super::cursors::{self, Cursors};
use super::deadline;
use super::errors::{from_query_error, pg_error as error};
use crate::worker::StatementPermits;
use meshtrail_worker::Budget;

/// Settings that a client may change: the form of values, and names of programs. None of them changes the limits of a
/// query.
const SETTINGS: [&str; 12] = [
    "application_name",
    "bytea_output",
    "client_encoding",
    "client_min_messages",
    "datestyle",
    "extra_float_digits",
    "intervalstyle",
    "search_path",
    "standard_conforming_strings",
    "statement_timeout",
    "timezone",
    "time",
];

/// A hook that checks every statement of a connection before it runs.
pub(super) struct StatementFilter {
    pub(super) statements: StatementPermits,
    pub(super) cursors: Arc<Cursors>,
    pub(super) budget: Budget,
}

/// The class of a statement.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// It reads tables, and is recorded in the trail.
    Query,
    /// A setting, a transaction command, SHOW and the like; not recorded.
    SessionCommand,
    /// It is refused, with this message.
    Refused(&'static str),
}

impl StatementFilter {
    /// Refuses a statement, or has the server record it and permit it; the record is durable on return.
    async fn admit(&self, statement: &Statement, time: std::time::Duration) -> PgWireResult<()> {
        match classify(statement) {
            Verdict::SessionCommand => Ok(()),
            Verdict::Refused(why) => Err(error("25006", why.to_owned())),
            Verdict::Query => {
                let sql = statement.to_string();
                let permit = self.statements.begin(Some(&sql), time).await.map_err(from_query_error)?;
                self.statements.set_current(permit);
                Ok(())
            }
        }
    }
}

fn classify(statement: &Statement) -> Verdict {
    match statement {
        Statement::Query(query) => match &*query.body {
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => READ_ONLY,
            SetExpr::Select(select) if select.into.is_some() => READ_ONLY,
            _ if !query.locks.is_empty() => READ_ONLY,
            _ => Verdict::Query,
        },
        Statement::Explain { statement, .. } => classify(statement),
        Statement::Declare { stmts } => match cursors::declared_query(stmts) {
            Ok(query) => classify(&Statement::Query(Box::new(query.clone()))),
            Err(why) => Verdict::Refused(why),
        },
        Statement::Set(set) => classify_set(set),
        Statement::ShowVariable { .. }
        | Statement::ShowStatus { .. }
        | Statement::ShowTables { .. }
        | Statement::ShowColumns { .. }
        | Statement::ShowCatalogs { .. }
        | Statement::ShowDatabases { .. }
        | Statement::ShowSchemas { .. }
        | Statement::ExplainTable { .. }
        | Statement::StartTransaction { .. }
        | Statement::Commit { .. }
        | Statement::Rollback { .. }
        | Statement::Fetch { into: None, .. }
        | Statement::Close { .. }
        | Statement::Deallocate { .. }
        | Statement::Discard { .. } => Verdict::SessionCommand,
        _ => READ_ONLY,
    }
}

const READ_ONLY: Verdict = Verdict::Refused(
    "the trail is append-only, and nothing is written over this connection: ask with select",
);

fn classify_set(set: &Set) -> Verdict {
    let refused = Verdict::Refused("this setting can't be changed here");
    match set {
        Set::SetTransaction { .. }
        | Set::SetSessionParam(_)
        | Set::SetNames { .. }
        | Set::SetTimeZone { .. } => Verdict::SessionCommand,
        Set::SingleAssignment { variable, .. } => {
            let name = variable.to_string().to_lowercase();
            if SETTINGS.contains(&name.as_str()) { Verdict::SessionCommand } else { refused }
        }
        _ => refused,
    }
}

impl StatementFilter {
    /// Runs a statement about a cursor.
    async fn cursor(
        &self,
        statement: &Statement,
        plan: Option<LogicalPlan>,
        session: &SessionContext,
        client: &dyn HookClient,
    ) -> Option<PgWireResult<Response>> {
        // The transaction hook answers statements in a failed transaction.
        if client.transaction_status() == TransactionStatus::Error {
            return None;
        }
        match statement {
            Statement::Declare { stmts } => {
                let [declared] = stmts.as_slice() else { return None };
                let name = declared.names.first()?;
                let plan = match plan {
                    Some(plan) => plan,
                    None => match cursors::plan_of(declared.for_query.as_ref()?, session).await {
                        Ok(plan) => plan,
                        Err(error) => return Some(Err(PgWireError::ApiError(Box::new(error)))),
                    },
                };
                let bounds = (client.transaction_status(), deadline::statement_time(client, &self.budget));
                let permits = self.statements.take_current();
                Some(self.cursors.declare(name, &plan, session, bounds, permits).await)
            }
            Statement::Fetch { name, direction, .. } => {
                let options = FormatOptions::from_client_metadata(client.metadata());
                let rows = self.cursors.fetch(name, direction, (&Format::UnifiedText, options));
                Some(rows.map(Response::Query))
            }
            Statement::Close { cursor } => Some(self.cursors.close(cursor)),
            _ => None,
        }
    }
}

#[async_trait]
impl QueryHook for StatementFilter {
    async fn handle_simple_query(
        &self,
        statement: &Statement,
        session: &SessionContext,
        client: &mut dyn HookClient,
    ) -> Option<PgWireResult<Response>> {
        match self.admit(statement, deadline::statement_time(client, &self.budget)).await {
            Err(refused) => Some(Err(refused)),
            Ok(()) => self.cursor(statement, None, session, client).await,
        }
    }

    async fn handle_extended_parse_query(
        &self,
        statement: &Statement,
        session: &SessionContext,
        _client: &(dyn ClientInfo + Send + Sync),
    ) -> Option<PgWireResult<LogicalPlan>> {
        // Refused before planning; recorded when it runs.
        if let Verdict::Refused(why) = classify(statement) {
            return Some(Err(error("25006", why.to_owned())));
        }
        match statement {
            Statement::Declare { stmts } => {
                let query = cursors::declared_query(stmts).ok()?;
                let plan = cursors::plan_of(query, session).await;
                Some(plan.map_err(|error| PgWireError::ApiError(Box::new(error))))
            }
            Statement::Fetch { name, .. } => Some(self.cursors.plan_shape(name)),
            Statement::Close { .. } => Some(Ok(LogicalPlan::default())),
            _ => None,
        }
    }

    async fn handle_extended_query(
        &self,
        statement: &Statement,
        plan: &LogicalPlan,
        parameters: &ParamValues,
        session: &SessionContext,
        client: &mut dyn HookClient,
    ) -> Option<PgWireResult<Response>> {
        if let Err(refused) = self.admit(statement, deadline::statement_time(client, &self.budget)).await {
            return Some(Err(refused));
        }
        let plan = match statement {
            Statement::Declare { .. } => match plan.clone().replace_params_with_values(parameters) {
                Ok(plan) => Some(plan),
                Err(error) => return Some(Err(PgWireError::ApiError(Box::new(error)))),
            },
            _ => None,
        };
        self.cursor(statement, plan, session, client).await
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    fn verdict(sql: &str) -> Verdict {
        let statements = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap();
        classify(&statements[0])
    }

    #[test]
    fn questions_pass_and_are_written_down() {
        for sql in [
            "select 1",
            "with a as (select 1) select * from a",
            "explain analyze select * from event",
            "values (1)",
            "declare c cursor for select * from event",
        ] {
            assert_eq!(verdict(sql), Verdict::Query, "{sql}");
        }
    }

    #[test]
    fn clients_may_make_small_talk() {
        for sql in [
            "begin",
            "begin read only",
            "rollback",
            "set timezone to 'UTC'",
            "set extra_float_digits = 3",
            "set session characteristics as transaction read only",
            "show server_version",
            "discard all",
            "fetch forward 10 from c",
            "close c",
        ] {
            assert_eq!(verdict(sql), Verdict::SessionCommand, "{sql}");
        }
    }

    #[test]
    fn nothing_is_written_loaded_or_reconfigured() {
        for sql in [
            "insert into event values (1)",
            "with a as (select 1) insert into event select * from a",
            "update event set kind = 'x'",
            "delete from event",
            "drop table event",
            "create table t (a int)",
            "create external table t stored as csv location '/etc/passwd'",
            "create view v as select 1",
            "copy event to '/tmp/x'",
            "copy event from program 'id'",
            "select * into t from event",
            "select * from event for update",
            "explain delete from event",
            "truncate event",
            "grant select on event to bob",
            "set datafusion.runtime.memory_limit = '90G'",
            "set datafusion.catalog.information_schema = false",
            "call f()",
            "do $$ begin end $$",
            "listen a",
            "declare c cursor for delete from event",
            "declare c cursor for select * from event for update",
            "declare c scroll cursor for select * from event",
            "declare c cursor with hold for select * from event",
        ] {
            // What can't be parsed can't be run.
            if let Ok(statements) = Parser::parse_sql(&PostgreSqlDialect {}, sql) {
                assert!(matches!(classify(&statements[0]), Verdict::Refused(_)), "{sql}");
            }
        }
    }
}
