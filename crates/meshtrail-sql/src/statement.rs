//! Which statements are allowed, decided on their text before anything is planned.
//!
//! - A single statement: `SELECT`, `WITH`, `VALUES`, `EXPLAIN` or `DESCRIBE` of such, `SHOW`.
//! - Nothing that writes, locks, reads files or loads code, anywhere in the statement.
//! - Length, tokens, nesting and operators are bounded before parsing, because parser and planner recurse.

use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::{self, Query, SetExpr, Visit, Visitor};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};
use std::ops::ControlFlow;

use meshtrail_worker::{Fault, MAX_QUERY, QueryError};

use crate::error::syntax;

/// Tokens of a query, at most.
const MAX_TOKENS: usize = 40_000;
/// Nested brackets and `CASE`s, at most.
const MAX_DEPTH: usize = 40;
/// Bounds of the depth of the syntax tree.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TreeLimits {
    /// Operators and set operations; each nests the tree by one.
    chain: usize,
}

impl TreeLimits {
    /// For planning on a thread with a large stack of its own.
    pub(crate) const ON_A_DEEP_STACK: Self = Self { chain: 600 };
    /// For planning on a thread with the default stack.
    pub(crate) const ON_A_SHARED_THREAD: Self = Self { chain: 150 };
}

/// Selects in one query, at most.
const MAX_SELECTS: usize = 100;

/// Parses the single query in `sql`.
pub(crate) fn parse_query(sql: &str) -> Result<Statement, QueryError> {
    check_size(sql, TreeLimits::ON_A_DEEP_STACK)?;
    let dialect = PostgreSqlDialect {};
    let read = DFParserBuilder::new(sql).with_dialect(&dialect).with_recursion_limit(MAX_DEPTH + 10).build();
    let statements = read.and_then(|mut parser| parser.parse_statements());
    let mut statements = statements.map_err(|error| crate::error::to_query_error(&error, None))?;
    match (statements.pop_front(), statements.is_empty()) {
        (Some(statement), true) => check_allowed(&statement).map(|()| statement),
        (Some(_), false) => Err(QueryError::new(Fault::Refused, "one statement at a time")),
        (None, _) => Err(QueryError::new(Fault::Query, "the query is empty")),
    }
}

/// Refuses what is too large for parser and planner, by its tokens alone.
pub(crate) fn check_size(sql: &str, bounds: TreeLimits) -> Result<(), QueryError> {
    if sql.len() > MAX_QUERY {
        let message = format!("the query has {} bytes, at most {MAX_QUERY} are taken", sql.len());
        return Err(QueryError::new(Fault::Refused, message));
    }
    let dialect = PostgreSqlDialect {};
    let tokens = Tokenizer::new(&dialect, sql).tokenize_with_location();
    let tokens = tokens.map_err(|error| syntax(&error.to_string()))?;
    let (mut words, mut depth, mut chain, mut selects) = (0, 0usize, 0, 0);
    for token in tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_))) {
        words += 1;
        match &token.token {
            Token::LParen | Token::LBracket | Token::LBrace => depth += 1,
            Token::RParen | Token::RBracket | Token::RBrace => depth = depth.saturating_sub(1),
            Token::Word(word) => match word.keyword {
                Keyword::CASE => depth += 1,
                Keyword::END => depth = depth.saturating_sub(1),
                Keyword::SELECT => selects += 1,
                Keyword::AND
                | Keyword::OR
                | Keyword::NOT
                | Keyword::UNION
                | Keyword::EXCEPT
                | Keyword::INTERSECT
                | Keyword::JOIN => chain += 1,
                _ => {}
            },
            Token::Comma
            | Token::Period
            | Token::SemiColon
            | Token::Number(..)
            | Token::SingleQuotedString(_) => {}
            _ => chain += 1,
        }
        let too_much = [
            (words > MAX_TOKENS, "is too long"),
            (depth > MAX_DEPTH, "is nested too deeply"),
            (chain > bounds.chain, "has too many operators: use IN (…) for lists"),
            (selects > MAX_SELECTS, "has too many selects"),
        ];
        if let Some((_, what)) = too_much.into_iter().find(|(is, _)| *is) {
            return Err(refuse(token, what));
        }
    }
    Ok(())
}

fn refuse(token: &TokenWithSpan, what: &str) -> QueryError {
    let at = token.span.start;
    QueryError::new(Fault::Refused, format!("the query {what}")).at(at.line, at.column)
}

const READ_ONLY: &str = "tables are read-only: ask with SELECT, WITH, VALUES, EXPLAIN, DESCRIBE or SHOW";

fn check_allowed(statement: &Statement) -> Result<(), QueryError> {
    let refused = Err(QueryError::new(Fault::Refused, READ_ONLY));
    match statement {
        Statement::Explain(explain) => check_allowed(&explain.statement),
        Statement::Statement(statement) => match &**statement {
            ast::Statement::Query(query) => check_query(query),
            ast::Statement::Explain { statement, .. } => match &**statement {
                ast::Statement::Query(query) => check_query(query),
                _ => refused,
            },
            ast::Statement::ExplainTable { .. }
            | ast::Statement::ShowTables { .. }
            | ast::Statement::ShowColumns { .. }
            | ast::Statement::ShowVariable { .. }
            | ast::Statement::ShowVariables { .. }
            | ast::Statement::ShowFunctions { .. } => Ok(()),
            _ => refused,
        },
        _ => refused,
    }
}

/// Finds the parts of a query that write.
struct WriteFinder;

impl Visitor for WriteFinder {
    type Break = &'static str;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<&'static str> {
        if !query.locks.is_empty() {
            return ControlFlow::Break("FOR UPDATE and FOR SHARE lock rows: tables are read-only");
        }
        match find_write(&query.body) {
            Some(what) => ControlFlow::Break(what),
            None => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_statement(&mut self, statement: &ast::Statement) -> ControlFlow<&'static str> {
        match statement {
            ast::Statement::Query(_) => ControlFlow::Continue(()),
            _ => ControlFlow::Break(READ_ONLY),
        }
    }
}

fn find_write(body: &SetExpr) -> Option<&'static str> {
    match body {
        SetExpr::Select(select) => {
            select.into.as_ref().map(|_| "SELECT INTO makes a table: tables are read-only")
        }
        SetExpr::SetOperation { left, right, .. } => find_write(left).or_else(|| find_write(right)),
        SetExpr::Query(_) | SetExpr::Values(_) | SetExpr::Table(_) => None,
        _ => Some(READ_ONLY),
    }
}

fn check_query(query: &Query) -> Result<(), QueryError> {
    match query.visit(&mut WriteFinder) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(why) => Err(QueryError::new(Fault::Refused, why)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_allowed() {
        for sql in [
            "select 1",
            "select * from event;",
            "with a as (select 1 as b) select b from a union all values (2)",
            "values (1), (2)",
            "explain analyze select * from event",
            "show tables",
            "describe event",
        ] {
            assert!(parse_query(sql).is_ok(), "{sql}: {:?}", parse_query(sql).err());
        }
    }

    #[test]
    fn whatever_writes_loads_or_sets_is_refused() {
        for sql in [
            "insert into event values (1)",
            "with a as (insert into event values (1) returning *) select * from a",
            "update event set kind = 'x'",
            "delete from event",
            "drop table event",
            "create table t as select * from event",
            "create view v as select 1",
            "create external table t stored as parquet location '/etc/passwd'",
            "create function f() returns int language plrust as $$ 1 $$",
            "copy event to '/tmp/event.parquet'",
            "copy (select 1) to '/tmp/x.csv' stored as csv",
            "set datafusion.execution.batch_size = 1",
            "reset datafusion.execution.batch_size",
            "explain copy event to '/tmp/x'",
            "explain insert into event values (1)",
            "select * into other from event",
            "select * from event for update",
            "prepare p as select 1",
            "begin",
            "select 1; drop table event",
            "",
            ";",
        ] {
            let error = parse_query(sql).expect_err(sql);
            assert!(matches!(error.fault, Fault::Refused | Fault::Query), "{sql}: {error:?}");
        }
    }

    #[test]
    fn huge_and_deep_queries_are_refused_before_they_are_parsed() {
        let deep = format!("select {}1{}", "(".repeat(5000), ")".repeat(5000));
        let chained = format!("select 1 where true{}", " or true".repeat(20_000));
        let unions = format!("select 1{}", " union select 1".repeat(5000));
        let minus = format!("select {}1", "- ".repeat(20_000));
        let nots = format!("select {}true", "not ".repeat(20_000));
        let cases = format!("select {}1{}", "case when true then ".repeat(5000), " end".repeat(5000));
        let long = format!("select '{}'", "x".repeat(MAX_QUERY));
        for sql in [deep, chained, unions, minus, nots, cases, long] {
            assert_eq!(parse_query(&sql).expect_err("refused").fault, Fault::Refused, "{}", &sql[..40]);
        }
        let list = vec!["'a'"; 15_000].join(",");
        assert!(parse_query(&format!("select * from event where kind in ({list})")).is_ok());
    }

    #[test]
    fn a_wrong_query_is_told_where() {
        let error = parse_query("select *\nform event").expect_err("wrong");
        assert_eq!((error.line, error.column, error.fault), (Some(2), Some(6), Fault::Query), "{error}");
        let error = parse_query("select 'abc").expect_err("unterminated");
        assert_eq!((error.line, error.column), (Some(1), Some(8)), "{error}");
    }
}
