//! Finding the worker's program.

use std::path::{Path, PathBuf};

use crate::query::{Fault, QueryError};

/// The program's file name.
pub const PROGRAM: &str = "meshtrail-sql";

/// Finds the worker's program: the configured one, else the one beside this program, else the one on `PATH`.
pub fn find(configured: Option<&Path>) -> Result<PathBuf, QueryError> {
    if let Some(path) = configured {
        return if path.is_file() { Ok(path.to_owned()) } else { Err(missing(&path.display().to_string())) };
    }
    let own = std::env::current_exe().ok();
    let folder = own.as_deref().and_then(Path::parent);
    // Tests run from the folder `deps` below the one with the programs.
    let above = folder.filter(|folder| folder.ends_with("deps")).and_then(Path::parent);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = folder.into_iter().chain(above).map(Path::to_owned).chain(std::env::split_paths(&path));
    places.map(|place| place.join(PROGRAM)).find(|file| file.is_file()).ok_or_else(|| missing(PROGRAM))
}

fn missing(what: &str) -> QueryError {
    QueryError::new(
        Fault::Missing,
        format!(
            "SQL needs the program {what}, which is not there: `cargo build --release -p meshtrail-sql` makes it, or set \
             query.program to where it lies"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_there_is_missing_by_name() {
        let error = find(Some(Path::new("/nowhere/meshtrail-sql"))).unwrap_err();
        assert_eq!(error.fault, Fault::Missing);
        assert!(error.message.contains("/nowhere/meshtrail-sql"), "{error}");
        assert!(error.message.contains("cargo build --release -p meshtrail-sql"), "{error}");
    }
}
