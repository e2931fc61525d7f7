//! Maps DataFusion's errors to [`QueryError`]s: the message, whose fault it is, and the place in the query.

use arrow::error::ArrowError;
use datafusion::common::{DataFusionError, Diagnostic, SchemaError};

use meshtrail_worker::{Fault, QueryError};

use crate::budget::Exceeded;

/// The error as its user sees it; `tables` are the names of all tables, for suggestions.
pub fn to_query_error(error: &DataFusionError, tables: Option<&[&str]>) -> QueryError {
    if let DataFusionError::Collection(errors) = error
        && let Some(first) = errors.first()
    {
        return to_query_error(first, tables);
    }
    let diagnostic = error.diagnostic();
    let found = root_error(error.find_root(), diagnostic, tables);
    let Some(start) = diagnostic.and_then(|found| found.span).map(|span| span.start) else { return found };
    if found.line.is_some() { found } else { found.at(start.line, start.column) }
}

fn root_error(
    error: &DataFusionError,
    diagnostic: Option<&Diagnostic>,
    tables: Option<&[&str]>,
) -> QueryError {
    let text = |error: &dyn std::error::Error| crate::error::error_chain(error);
    match error {
        DataFusionError::SQL(parser, _) => syntax(&parser.to_string()),
        DataFusionError::SchemaError(schema, _) => QueryError::new(Fault::Query, column_message(schema)),
        DataFusionError::Plan(message) => {
            QueryError::new(Fault::Query, plan_message(message, diagnostic, tables))
        }
        DataFusionError::NotImplemented(message) => {
            QueryError::new(Fault::Query, format!("this is not possible here: {message}"))
        }
        DataFusionError::Configuration(message) => QueryError::new(Fault::Query, message),
        DataFusionError::Execution(message) => QueryError::new(Fault::Query, message),
        DataFusionError::ArrowError(error, _) => QueryError::new(Fault::Query, error.to_string()),
        DataFusionError::ResourcesExhausted(message) => {
            let first = message.lines().next().unwrap_or_default();
            QueryError::new(
                Fault::Budget,
                format!("the query takes more memory or disk than it may: {first}"),
            )
        }
        DataFusionError::External(error) => {
            match (error.downcast_ref::<Exceeded>(), error.downcast_ref::<QueryError>()) {
                (Some(exceeded), _) => QueryError::new(Fault::Budget, exceeded.to_string()),
                (None, Some(error)) => error.clone(),
                (None, None) => QueryError::new(Fault::Trail, text(error.as_ref())),
            }
        }
        other => QueryError::new(Fault::Trail, text(other)),
    }
}

/// Postgres' SQLSTATE for an error of this kind.
pub(crate) fn sqlstate(error: &DataFusionError) -> &'static str {
    if let DataFusionError::Collection(errors) = error
        && let Some(first) = errors.first()
    {
        return sqlstate(first);
    }
    match error.find_root() {
        DataFusionError::SQL(..) => "42601",
        DataFusionError::SchemaError(schema, _) => match &**schema {
            SchemaError::FieldNotFound { .. } => "42703",
            SchemaError::AmbiguousReference { .. } => "42702",
            SchemaError::DuplicateQualifiedField { .. } | SchemaError::DuplicateUnqualifiedField { .. } => {
                "42701"
            }
        },
        DataFusionError::Plan(message) => state_of_plan(message),
        DataFusionError::NotImplemented(_) => "0A000",
        DataFusionError::Configuration(_) => "42704",
        DataFusionError::ArrowError(error, _) => match &**error {
            ArrowError::DivideByZero => "22012",
            ArrowError::ArithmeticOverflow(_) => "22003",
            ArrowError::ParseError(_) | ArrowError::CastError(_) => "22P02",
            _ => "22000",
        },
        DataFusionError::Execution(_) => "22000",
        DataFusionError::ResourcesExhausted(message) if message.contains("disk") => "53100",
        DataFusionError::ResourcesExhausted(_) => "53200",
        DataFusionError::External(error) => match error.downcast_ref::<Exceeded>() {
            Some(Exceeded::Time { .. }) => "57014",
            Some(Exceeded::Rows { .. }) => "54000",
            None => "58030",
        },
        _ => "XX000",
    }
}

/// The SQLSTATE of a planner's error, which only its message tells.
fn state_of_plan(message: &str) -> &'static str {
    const NO_FUNCTION: [&str; 5] =
        ["Invalid function", "table function", "Function", "Aggregate Function", "Window Function"];
    let is_of_function = NO_FUNCTION.iter().any(|begin| message.starts_with(begin));
    if is_of_function || message.contains("No function matches") {
        "42883"
    } else if message.starts_with("table '") && message.ends_with("not found") {
        "42P01"
    } else if message.contains("must") && message.contains("GROUP BY") {
        "42803"
    } else {
        "42000"
    }
}

fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let cause = source.to_string();
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
        next = source.source();
    }
    text
}

/// A parser's error. Its message ends in ` at Line: 1, Column: 8`.
pub(crate) fn syntax(message: &str) -> QueryError {
    let message = message.strip_prefix("sql parser error: ").unwrap_or(message);
    let number = |after: &str| {
        let rest = &message[message.rfind(after)? + after.len()..];
        let digits = rest.chars().take_while(char::is_ascii_digit).count();
        rest[..digits].parse().ok()
    };
    let place: Option<(u64, u64)> = number("Line: ").zip(number("Column: "));
    let text = message.split(" at Line: ").next().unwrap_or(message);
    let error = QueryError::new(Fault::Query, format!("the query can't be read: {text}"));
    match place {
        Some((line, column)) => error.at(line, column),
        None => error,
    }
}

fn column_message(schema: &SchemaError) -> String {
    let SchemaError::FieldNotFound { field, valid_fields } = schema else { return schema.to_string() };
    let names: Vec<&str> = valid_fields.iter().map(|field| field.name.as_str()).collect();
    let mut text = format!("there is no column {}", field.name);
    match nearest(&field.name, &names) {
        Some(near) => text.push_str(&format!(": did you mean {near}?")),
        None if !names.is_empty() && names.len() <= 12 => {
            text.push_str(&format!("; there are {}", names.join(", ")));
        }
        None => {}
    }
    text
}

fn plan_message(message: &str, diagnostic: Option<&Diagnostic>, tables: Option<&[&str]>) -> String {
    let missing = message.strip_prefix("table '").and_then(|rest| rest.strip_suffix("' not found"));
    let Some(missing) = missing else {
        return match diagnostic {
            Some(diagnostic) if message.is_empty() => diagnostic.message.clone(),
            _ => message.to_owned(),
        };
    };
    let missing = missing.rsplit('.').next().unwrap_or(missing);
    let tables = tables.unwrap_or_default();
    match nearest(missing, tables) {
        Some(near) => format!("there is no table {missing}: did you mean {near}?"),
        None => format!("there is no table {missing}; there are {}", tables.join(", ")),
    }
}

/// The name that was most likely meant.
fn nearest<'n>(wrong: &str, names: &[&'n str]) -> Option<&'n str> {
    let wrong = wrong.to_lowercase();
    let most = (wrong.chars().count() / 3).clamp(1, 3);
    let begin = wrong.chars().next().map_or(0, char::len_utf8);
    // Of equally near names, one with the same first letter is preferred.
    let near =
        names.iter().map(|&name| (distance(&wrong, name), !name.starts_with(&wrong[..begin]), name)).min()?;
    let begins = || names.iter().copied().find(|name| wrong.len() >= 3 && name.contains(wrong.as_str()));
    if near.0 <= most { Some(near.2) } else { begins() }
}

/// Edit distance: insertions, deletions, substitutions and swaps of neighbours.
fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) =
        (one.chars().take(64).collect(), other.chars().take(64).collect());
    let mut rows = vec![vec![0; other.len() + 1]; one.len() + 1];
    for at in 0..=one.len() {
        for to in 0..=other.len() {
            rows[at][to] = if at == 0 || to == 0 {
                at + to
            } else {
                let same = usize::from(one[at - 1] != other[to - 1]);
                let mut least =
                    (rows[at - 1][to - 1] + same).min(rows[at - 1][to] + 1).min(rows[at][to - 1] + 1);
                if at > 1 && to > 1 && one[at - 1] == other[to - 2] && one[at - 2] == other[to - 1] {
                    least = least.min(rows[at - 2][to - 2] + 1);
                }
                least
            };
        }
    }
    rows[one.len()][other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_seen_through_and_another_word_is_not() {
        let names = ["actor", "actor_login", "time", "end", "kind"];
        assert_eq!(nearest("acotr", &names), Some("actor"));
        assert_eq!(nearest("Knd", &names), Some("kind"), "and not end, which is as near");
        assert_eq!(nearest("login", &names), Some("actor_login"));
        assert_eq!(nearest("banana", &names), None);
    }
}
