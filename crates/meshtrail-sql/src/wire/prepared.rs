//! Limits on prepared statements, by number and by bytes, since each is kept until it is closed.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use datafusion_postgres::pgwire::error::{PgWireError, PgWireResult};

use super::errors::pg_error;

/// Prepared statements of one connection, at most.
const MAX_STATEMENTS: usize = 256;
/// Bytes of SQL in them, at most; their plans take a multiple of it.
const MAX_BYTES: usize = 1 << 20;

/// The lengths of one connection's prepared statements, by name.
#[derive(Default)]
pub(super) struct PreparedStatements(Mutex<HashMap<String, usize>>);

impl PreparedStatements {
    /// Adds a statement, or refuses it if it exceeds a limit.
    pub(super) fn add(&self, name: &str, bytes: usize) -> PgWireResult<()> {
        let mut lengths = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let others = lengths.iter().filter(|(other, _)| *other != name);
        let (number, sum) = others.fold((1, bytes), |(number, sum), (_, bytes)| (number + 1, sum + bytes));
        if number > MAX_STATEMENTS || sum > MAX_BYTES {
            return Err(too_much(number));
        }
        lengths.insert(name.to_owned(), bytes);
        Ok(())
    }

    /// Removes a statement that was closed.
    pub(super) fn remove(&self, name: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

/// The statement's name if `query` is `DEALLOCATE [PREPARE] name`, which drivers with a bounded cache send.
pub(super) fn parse_deallocate(query: &str) -> Option<String> {
    let mut words = query.trim().trim_end_matches(';').split_whitespace();
    if !words.next()?.eq_ignore_ascii_case("deallocate") {
        return None;
    }
    let name = words.next()?;
    let name = if name.eq_ignore_ascii_case("prepare") { words.next()? } else { name };
    if words.next().is_some() || name.eq_ignore_ascii_case("all") {
        return None;
    }
    let quoted = name.strip_prefix('"').and_then(|name| name.strip_suffix('"'));
    Some(quoted.map_or_else(|| name.to_lowercase(), |name| name.replace("\"\"", "\"")))
}

fn too_much(number: usize) -> PgWireError {
    let what = if number > MAX_STATEMENTS {
        format!("{MAX_STATEMENTS} statements")
    } else {
        format!("{MAX_BYTES} bytes of SQL")
    };
    // 53400: configuration limit exceeded.
    pg_error("53400", format!("a connection prepares at most {what}: close some first"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_may_forget_what_it_prepared() {
        assert_eq!(parse_deallocate("DEALLOCATE \"_pg3_7\"").as_deref(), Some("_pg3_7"));
        assert_eq!(parse_deallocate("deallocate prepare S_1;").as_deref(), Some("s_1"));
        assert_eq!(parse_deallocate("deallocate all"), None);
        assert_eq!(parse_deallocate("select 1"), None);
    }

    #[test]
    fn statements_are_bounded_by_number_and_bytes_and_a_name_counts_once() {
        let prepared = PreparedStatements::default();
        for number in 0..MAX_STATEMENTS {
            prepared.add(&number.to_string(), 10).unwrap();
        }
        prepared.add("0", 20).unwrap();
        assert!(prepared.add("more", 1).is_err());
        prepared.remove("7");
        prepared.add("more", 1).unwrap();
        let prepared = PreparedStatements::default();
        prepared.add("", MAX_BYTES).unwrap();
        assert!(prepared.add("another", 1).is_err());
        prepared.add("", 5).unwrap();
        prepared.add("another", 1).unwrap();
    }
}
