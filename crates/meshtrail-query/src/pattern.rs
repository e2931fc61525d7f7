//! Values in a filter: a text to be equal to, or with `*` for any run of characters.
//!
//! Letters of the ASCII alphabet match in either case.

use std::fmt;

/// A value of a term.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Pattern {
    text: String,
    /// Whether `*` in the text is a wildcard; in a quoted value it is an ordinary character.
    wild: bool,
}

impl Pattern {
    /// A value written without quotes.
    pub(crate) fn bare(text: &str) -> Pattern {
        Pattern { text: text.to_owned(), wild: text.contains('*') }
    }

    /// A value written in quotes, or one without wildcards.
    pub(crate) fn literal(text: impl Into<String>) -> Pattern {
        Pattern { text: text.into(), wild: false }
    }

    /// The text, without quotes.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn is_wild(&self) -> bool {
        self.wild
    }

    /// The text with which every value that fits begins, up to the first letter, which may be in either case.
    pub(crate) fn caseless_prefix(&self) -> &str {
        let end = self.text.find(|c: char| c.is_ascii_alphabetic() || (self.wild && c == '*'));
        &self.text[..end.unwrap_or(self.text.len())]
    }

    /// Whether the whole value matches.
    pub(crate) fn fits(&self, value: &str) -> bool {
        if self.wild {
            wild_fits(self.text.as_bytes(), value.as_bytes())
        } else {
            self.text.eq_ignore_ascii_case(value)
        }
    }

    /// Whether the value matches with or without a prefix that filters may omit.
    pub(crate) fn fits_with_prefix(&self, prefix: &str, value: &str) -> bool {
        self.fits(value) || value.strip_prefix(prefix).is_some_and(|rest| self.fits(rest))
    }

    /// Whether the value contains the text; with a wildcard, whether the whole value matches.
    pub(crate) fn is_found_in(&self, value: &str) -> bool {
        if self.wild { self.fits(value) } else { contains(value, &self.text) }
    }
}

/// Formats the value, in quotes where it would mean something else without.
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = !self.text.is_empty()
            && self.text.contains('*') == self.wild
            && !self.text.contains(|c: char| c.is_whitespace() || c.is_control() || "\"(),".contains(c));
        if plain { f.write_str(&self.text) } else { f.write_str(&quote(&self.text)) }
    }
}

/// Quotes a text for a filter, on one line.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Unescapes the text between quotes: `\n`, `\t`, `\r` and `\u{1b}` have their usual meaning, `\` before any other
/// character means that character.
pub(crate) fn unquote(between: &str) -> String {
    let mut out = String::with_capacity(between.len());
    let mut chars = between.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('r') => out.push('\r'),
                Some('u') => match code_point(chars.as_str()) {
                    Some((c, rest)) => {
                        out.push(c);
                        chars = rest.chars();
                    }
                    None => out.push('u'),
                },
                Some(other) => out.push(other),
                None => out.push('\\'),
            },
            c => out.push(c),
        }
    }
    out
}

/// Parses `{1b}`; returns the character and the rest.
fn code_point(text: &str) -> Option<(char, &str)> {
    let (digits, rest) = text.strip_prefix('{')?.split_once('}')?;
    let c = u32::from_str_radix(digits, 16).ok().and_then(char::from_u32)?;
    Some((c, rest))
}

/// Whether `value` contains `part`, in either case.
pub(crate) fn contains(value: &str, part: &str) -> bool {
    if value.is_ascii() && part.is_ascii() {
        return contains_bytes(value.as_bytes(), part.as_bytes());
    }
    value.to_lowercase().contains(&part.to_lowercase())
}

/// Whether `value` contains `part`, in either case of ASCII letters.
pub(crate) fn contains_bytes(value: &[u8], part: &[u8]) -> bool {
    let Some((&first, rest)) = part.split_first() else { return true };
    let (lower, upper) = (first.to_ascii_lowercase(), first.to_ascii_uppercase());
    let Some(last_start) = value.len().checked_sub(part.len()) else { return false };
    let starts = value[..=last_start].iter().enumerate().filter(|&(_, &byte)| byte == lower || byte == upper);
    starts.into_iter().any(|(start, _)| value[start + 1..start + part.len()].eq_ignore_ascii_case(rest))
}

/// Matches with two pointers: on a mismatch the last `*` takes one more byte. Linear in practice, at worst the
/// product of both lengths, both of which are bounded.
fn wild_fits(pattern: &[u8], value: &[u8]) -> bool {
    let (mut at, mut seen) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while seen < value.len() {
        if at < pattern.len() && pattern[at] == b'*' {
            star = Some((at, seen));
            at += 1;
        } else if at < pattern.len() && pattern[at].eq_ignore_ascii_case(&value[seen]) {
            at += 1;
            seen += 1;
        } else if let Some((from, taken)) = star {
            star = Some((from, taken + 1));
            at = from + 1;
            seen = taken + 1;
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_where_case_or_a_wildcard_begins() {
        for (pattern, prefix) in [
            (Pattern::bare("20261120-main-1-17"), "20261120-"),
            (Pattern::bare("2026112*"), "2026112"),
            (Pattern::literal("7*8a"), "7*8"),
            (Pattern::bare("é9"), "é9"),
            (Pattern::bare("*17"), ""),
            (Pattern::bare("main"), ""),
        ] {
            assert_eq!(pattern.caseless_prefix(), prefix, "{pattern}");
        }
    }

    #[test]
    fn a_star_stands_for_any_run_of_characters() {
        for (pattern, value) in [
            ("*", "x"),
            ("ssh.*", "ssh.session.ended"),
            ("*.ended", "ssh.session.ended"),
            ("a*b*c", "aXbbYc"),
            ("a*", "A"),
        ] {
            assert!(Pattern::bare(pattern).fits(value), "{pattern} {value}");
        }
        for (pattern, value) in
            [("ssh.*", "kube.x"), ("a*b", "ac"), ("*a", "ab"), ("abc", "ab"), ("a*b*c", "acb")]
        {
            assert!(!Pattern::bare(pattern).fits(value), "{pattern} {value}");
        }
        assert!(Pattern::literal("a*").fits("a*") && !Pattern::literal("a*").fits("ab"));
    }

    #[test]
    fn a_part_is_found_in_either_case() {
        assert!(contains("sudo RM -rf /", "rm -rf") && contains("GRÜN", "grün") && contains("x", ""));
        assert!(!contains("rm", "rm -rf") && !contains("", "x"));
    }

    #[test]
    fn quotes_keep_every_text() {
        for text in ["", "a b", "\"\\", "\\n", "line\nline\t\r", "*", "\u{1b}[2J"] {
            let written = quote(text);
            assert_eq!(unquote(&written[1..written.len() - 1]), text);
            assert!(!written.contains(char::is_control));
        }
    }
}
