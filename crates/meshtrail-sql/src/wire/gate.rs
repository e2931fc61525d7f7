//! What may be said on the wire: questions, and the small talk that clients need.

use async_trait::async_trait;
use datafusion::common::ParamValues;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::ast::{Set, SetExpr, Statement};
use datafusion_postgres::QueryHook;
use datafusion_postgres::hooks::HookClient;
use datafusion_postgres::pgwire::api::ClientInfo;
use datafusion_postgres::pgwire::api::results::Response;
use datafusion_postgres::pgwire::error::{ErrorInfo, PgWireError, PgWireResult};

use super::startup::Seat;

/// What a client may set: how values are shown, and names that programs give themselves. Nothing of it changes what a
/// question may cost.
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

/// Stands before every statement of a connection.
pub(super) struct Gate {
    guest: Seat,
}

/// What a statement is to the gate.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    /// It reads the tables, and is written down.
    Question,
    /// Settings that change nothing, transactions that hold nothing.
    SmallTalk,
    /// Neither.
    No(&'static str),
}

impl Gate {
    pub(super) fn new(guest: Seat) -> Gate {
        Gate { guest }
    }

    /// Turns a statement down, or writes it down; durable on return.
    async fn pass(&self, statement: &Statement) -> PgWireResult<()> {
        match said(statement) {
            Said::SmallTalk => Ok(()),
            Said::No(why) => Err(error("25006", why.to_owned())),
            Said::Question => {
                let guest = self.guest.get().ok_or_else(|| error("28000", "sign in first".to_owned()))?;
                guest.asks(&statement.to_string()).await.map_err(|reason| error("58000", reason))
            }
        }
    }
}

fn said(statement: &Statement) -> Said {
    match statement {
        Statement::Query(query) => match &*query.body {
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => READ_ONLY,
            SetExpr::Select(select) if select.into.is_some() => READ_ONLY,
            _ if !query.locks.is_empty() => READ_ONLY,
            _ => Said::Question,
        },
        Statement::Explain { statement, .. } => said(statement),
        // Drivers fetch by the extended protocol, to which the wire's cursors do not tell their columns.
        Statement::Declare { .. } | Statement::Fetch { .. } | Statement::Close { .. } => {
            Said::No("there are no cursors here: ask for the rows as they come, or with limit and offset")
        }
        Statement::Set(set) => may_set(set),
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
        | Statement::Deallocate { .. }
        | Statement::Discard { .. } => Said::SmallTalk,
        _ => READ_ONLY,
    }
}

const READ_ONLY: Said =
    Said::No("the trail is append-only, and nothing is written over this connection: ask with select");

fn may_set(set: &Set) -> Said {
    let refused = Said::No("this setting can't be changed here");
    match set {
        Set::SetTransaction { .. }
        | Set::SetSessionParam(_)
        | Set::SetNames { .. }
        | Set::SetTimeZone { .. } => Said::SmallTalk,
        Set::SingleAssignment { variable, .. } => {
            let name = variable.to_string().to_lowercase();
            if SETTINGS.contains(&name.as_str()) { Said::SmallTalk } else { refused }
        }
        _ => refused,
    }
}

fn error(code: &str, message: String) -> PgWireError {
    PgWireError::UserError(Box::new(ErrorInfo::new("ERROR".to_owned(), code.to_owned(), message)))
}

#[async_trait]
impl QueryHook for Gate {
    async fn handle_simple_query(
        &self,
        statement: &Statement,
        _session: &SessionContext,
        _client: &mut dyn HookClient,
    ) -> Option<PgWireResult<Response>> {
        self.pass(statement).await.err().map(Err)
    }

    async fn handle_extended_parse_query(
        &self,
        statement: &Statement,
        _session: &SessionContext,
        _client: &(dyn ClientInfo + Send + Sync),
    ) -> Option<PgWireResult<LogicalPlan>> {
        // Refused before it is planned; written down when it runs.
        match said(statement) {
            Said::No(why) => Some(Err(error("25006", why.to_owned()))),
            Said::Question | Said::SmallTalk => None,
        }
    }

    async fn handle_extended_query(
        &self,
        statement: &Statement,
        _plan: &LogicalPlan,
        _params: &ParamValues,
        _session: &SessionContext,
        _client: &mut dyn HookClient,
    ) -> Option<PgWireResult<Response>> {
        self.pass(statement).await.err().map(Err)
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    fn verdict(sql: &str) -> Said {
        let statements = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap();
        said(&statements[0])
    }

    #[test]
    fn questions_pass_and_are_written_down() {
        for sql in [
            "select 1",
            "with a as (select 1) select * from a",
            "explain analyze select * from event",
            "values (1)",
        ] {
            assert_eq!(verdict(sql), Said::Question, "{sql}");
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
        ] {
            assert_eq!(verdict(sql), Said::SmallTalk, "{sql}");
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
            "declare c cursor for select * from event",
            "fetch 10 from c",
        ] {
            // What can't be parsed can't be run.
            if let Ok(statements) = Parser::parse_sql(&PostgreSqlDialect {}, sql) {
                assert!(matches!(said(&statements[0]), Said::No(_)), "{sql}");
            }
        }
    }
}
