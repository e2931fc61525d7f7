//! Terms of the filter language as text.

use crate::pattern::quote;

/// The term `field:value`, quoted where needed.
///
/// ```
/// use meshtrail_query::term;
///
/// assert_eq!(term("actor", "alice@example.com"), "actor:alice@example.com");
/// assert_eq!(term("command", "ls -l"), "command:\"ls -l\"");
/// ```
pub fn term(field: &str, value: &str) -> String {
    format!("{field}:{}", quoted_value(value))
}

/// A value as it is written in a term: in quotes where the filter language would parse it as something else.
pub fn quoted_value(value: &str) -> String {
    let plain = |c: char| !c.is_whitespace() && !matches!(c, '"' | '\\' | '(' | ')' | ',' | '*');
    if !value.is_empty() && value.chars().all(plain) { value.to_owned() } else { quote(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_is_not_one_word_is_quoted() {
        assert_eq!(term("command", "rm -rf \"x\""), r#"command:"rm -rf \"x\"""#);
        assert_eq!(term("actor", "tag:ci"), "actor:tag:ci");
        assert_eq!(term("actor", ""), "actor:\"\"");
    }
}
