//! Text for people: safe display of what comes from other machines, lists in sentences, lengths.
//!
//! Names and commands can contain escape sequences that a terminal would execute, and marks that reorder the text of
//! a page; [`visible`] replaces every such character by its control picture or an escape.

use std::borrow::Cow;
use std::fmt::{Display, Write};

/// The most items of a list that a sentence names.
const MAX_NAMED: usize = 8;

/// The text with control, reordering and invisible characters made visible, on one line.
///
/// ```
/// use meshtrail_event::text::visible;
/// assert_eq!(visible("ls\u{1b}[2J\n"), "ls␛[2J␊");
/// assert_eq!(visible("plain"), "plain");
/// ```
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '\0'..='\u{1f}' => {
                shown.push(char::from_u32(0x2400 + u32::from(character)).unwrap_or('\u{fffd}'))
            }
            '\u{7f}' => shown.push('\u{2421}'),
            character if is_unsafe(character) => {
                write!(shown, "\\u{{{:x}}}", u32::from(character)).expect("writing to a string works");
            }
            character => shown.push(character),
        }
    }
    Cow::Owned(shown)
}

/// A cell for a spreadsheet. A spreadsheet evaluates a cell that begins like a formula: such a cell gets an apostrophe
/// in front, and is shown as text. The cell then differs from the stored value; do not use this for exact output.
///
/// ```
/// use meshtrail_event::text::without_formula;
/// assert_eq!(without_formula("=HYPERLINK(A1)"), "'=HYPERLINK(A1)");
/// assert_eq!(without_formula("a=b"), "a=b");
/// ```
pub fn without_formula(cell: &str) -> Cow<'_, str> {
    // The characters that OWASP lists; spreadsheets in Japanese, Chinese or Korean also accept the full-width forms.
    const BEGIN: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];
    if cell.starts_with(BEGIN) { Cow::Owned(format!("'{cell}")) } else { Cow::Borrowed(cell) }
}

/// The visible text, with its middle left out if it is longer than `columns` characters.
pub fn shorten(text: &str, columns: usize) -> String {
    let shown = visible(text);
    let count = shown.chars().count();
    if count <= columns || columns < 3 {
        return shown.into_owned();
    }
    let (head, tail) = ((columns - 1).div_ceil(2), (columns - 1) / 2);
    let front: String = shown.chars().take(head).collect();
    let back: String = shown.chars().skip(count - tail).collect();
    format!("{front}…{back}")
}

/// Joins a list: `a`, `a and b`, `a, b and c`. Of a long list, the first items and the number of the others.
pub fn join_list<T: Display>(items: &[T]) -> String {
    let mut words: Vec<String> = items.iter().take(MAX_NAMED).map(T::to_string).collect();
    if items.len() > MAX_NAMED {
        words.push(format!("{} more", items.len() - MAX_NAMED));
    }
    match words.pop() {
        None => "nothing".to_owned(),
        Some(last) if words.is_empty() => last,
        Some(last) => format!("{} and {last}", words.join(", ")),
    }
}

/// The text with an upper-case first letter.
pub fn upper_first(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}

/// The text with an upper-case first letter and a full stop.
pub fn sentence_case(text: &str) -> String {
    let mut sentence = upper_first(text);
    if !sentence.ends_with(['.', '?', '!', ':']) {
        sentence.push('.');
    }
    sentence
}

/// The most bytes of a character in a JSON text.
pub fn json_len(character: char) -> usize {
    match character {
        '"' | '\\' | '\n' | '\r' | '\t' => 2,
        character if character.is_control() => 6,
        character => character.len_utf8(),
    }
}

/// An error and its causes on one line, without repetitions.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string().trim_end().to_owned();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(cause_text.trim_end()) {
            text.push_str(": ");
            text.push_str(cause_text.trim_end());
        }
        next = cause.source();
    }
    text
}

/// Control, reordering and invisible characters.
fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_written_with_every_cause_once() {
        #[derive(Debug, thiserror::Error)]
        enum Failed {
            #[error("the file can't be read")]
            Read(#[source] Box<Failed>),
            #[error("it can't be opened: {0}")]
            Open(#[source] std::io::Error),
        }
        let error = Failed::Read(Box::new(Failed::Open(std::io::Error::other("no such thing\n"))));
        assert_eq!(with_causes(&error), "the file can't be read: it can't be opened: no such thing");
    }

    #[test]
    fn no_character_that_a_terminal_executes_is_left() {
        let hostile: String = (0..0x30000).filter_map(char::from_u32).collect();
        assert!(!visible(&hostile).chars().any(is_unsafe));
        assert_eq!(visible("a\u{202e}b\u{9b}c\u{7f}"), "a\\u{202e}b\\u{9b}c␡");
        assert_eq!(visible("שלום 🙂 naïve"), "שלום 🙂 naïve");
    }

    #[test]
    fn no_cell_begins_like_a_formula() {
        for cell in ["=1+1", "+1", "-2", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", "＋1", "－1", "＠1"] {
            assert_eq!(without_formula(cell), format!("'{cell}"));
        }
        for cell in ["", "plain", "a=b", " =1", "'=1", "7"] {
            assert_eq!(without_formula(cell), cell);
        }
    }

    #[test]
    fn the_middle_is_left_out_of_long_text() {
        assert_eq!(shorten("abcdefghij", 5), "ab…ij");
        assert_eq!(shorten("abc", 5), "abc");
        assert_eq!(shorten("\n\n\n\n\n\n", 3), "␊…␊");
    }
}
