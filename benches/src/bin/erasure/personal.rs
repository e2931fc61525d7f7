//! Whose personal data each column holds, as the layout says it and this prototype needs it.

use meshtrail_event::{Column, Layout, PersonalData};

/// Which columns are encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// All columns of the table.
    All,
    /// Without columns of free text: texts of many values and free JSON.
    WithoutFreeText,
}

/// What each column of a layout holds, by the column's number.
pub(crate) fn of_columns(layout: &Layout, extent: Extent) -> Vec<PersonalData> {
    let of = |column: &Column| match column.path {
        path if extent == Extent::WithoutFreeText && is_free_text(path) => {
            PersonalData { whose: None, may_name_anybody: false }
        }
        // `Encrypter::holder` tells which types of targets have ids that may name anybody.
        ["target", "id"] => PersonalData { may_name_anybody: false, ..column.personal },
        _ => column.personal,
    };
    layout.columns.iter().map(of).collect()
}

/// Columns in which people write what they like.
fn is_free_text(path: &[&str]) -> bool {
    let names = [
        "command", "body", "path", "query", "diff", "lines", "new", "old", "record", "summary", "fields",
        "text", "message", "reason", "error",
    ];
    matches!(path, ["detail"]) || matches!(path, ["detail", name] if names.contains(name))
}
