//! A text without its escapes, and where each of its bytes stood in the text with them.

use std::ops::Range;

use crate::spans::Span;

/// What a text says once its escapes (quotes of a shell, `%41`) are resolved.
#[derive(Debug, Default, Clone)]
pub(crate) struct Decoded {
    pub(crate) text: String,
    /// For each byte of `text`, the bytes it was written with.
    origins: Vec<(u32, u32)>,
}

impl Decoded {
    /// Adds a character that was written as `origin`.
    pub(crate) fn push(&mut self, letter: char, origin: Range<usize>) {
        self.text.push(letter);
        let narrow = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        self.origins.resize(self.text.len(), (narrow(origin.start), narrow(origin.end)));
    }

    /// The bytes from which a range of `text` was read.
    pub(crate) fn origin(&self, range: &Range<usize>) -> Range<usize> {
        match (self.origins.get(range.start), self.origins.get(range.end.wrapping_sub(1))) {
            (Some(first), Some(last)) if !range.is_empty() => first.0 as usize..last.1 as usize,
            _ => 0..0,
        }
    }

    /// Spans of `text` as spans of what it was read from. Their values stay without escapes.
    pub(crate) fn to_origin(&self, spans: Vec<Span>) -> impl Iterator<Item = Span> + '_ {
        spans.into_iter().map(|span| Span::new(self.origin(&span.range), span.value))
    }
}

/// Percent escapes resolved, as far as they are UTF-8; in a query `+` is a blank. What is no escape stays as it is.
pub(crate) fn decode_percent(text: &str, plus_is_blank: bool) -> Decoded {
    let mut decoded = Decoded::default();
    let mut at = 0;
    while at < text.len() {
        let escaped = escaped_bytes(text, at);
        if escaped.is_empty() {
            let letter = text[at..].chars().next().expect("at is before the text's end");
            let shown = if letter == '+' && plus_is_blank { ' ' } else { letter };
            decoded.push(shown, at..at + letter.len_utf8());
            at += letter.len_utf8();
            continue;
        }
        let mut bytes = &escaped[..];
        while !bytes.is_empty() {
            let (letter, length) = first_character(bytes);
            decoded.push(letter, at..at + 3 * length);
            at += 3 * length;
            bytes = &bytes[length..];
        }
    }
    decoded
}

/// The longest run of `%41` at this place.
fn escaped_bytes(text: &str, at: usize) -> Vec<u8> {
    let digit = |byte: u8| (byte as char).to_digit(16);
    let escapes = text.as_bytes()[at..].chunks_exact(3);
    let byte = |escape: &[u8]| match escape {
        [b'%', high, low] => Some((digit(*high)? * 16 + digit(*low)?) as u8),
        _ => None,
    };
    escapes.map_while(byte).collect()
}

/// The first character of these bytes and its length; a byte that is not UTF-8 is the character of the same number in a
/// private range, and [`to_bytes`] gives it back.
fn first_character(bytes: &[u8]) -> (char, usize) {
    for length in 1..=4.min(bytes.len()) {
        if let Ok(text) = std::str::from_utf8(&bytes[..length]) {
            return (text.chars().next().expect("a byte at least"), length);
        }
    }
    (foreign_byte(bytes[0]), 1)
}

/// The first of the 256 characters that stand for bytes which are not UTF-8.
const FOREIGN: u32 = 0xF_FF00;

fn foreign_byte(byte: u8) -> char {
    char::from_u32(FOREIGN + u32::from(byte)).expect("a private character")
}

fn foreign_value(letter: char) -> Option<u8> {
    (u32::from(letter) & !0xFF == FOREIGN).then_some((u32::from(letter) & 0xFF) as u8)
}

/// Bytes as text; each that is not UTF-8 is a character of its own until [`shown`] writes it as `\xff`.
pub(crate) fn from_bytes(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|byte| foreign_byte(*byte)));
    }
    text
}

/// The bytes that a text of this module stands for.
pub(crate) fn to_bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for letter in text.chars() {
        match foreign_value(letter) {
            Some(byte) => bytes.push(byte),
            None => bytes.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes
}

/// The text as it is shown: bytes that are not UTF-8 as `\xff`.
pub(crate) fn shown(text: &str) -> String {
    if !text.chars().any(|letter| foreign_value(letter).is_some()) {
        return text.to_owned();
    }
    let show = |letter: char| match foreign_value(letter) {
        Some(byte) => format!("\\x{byte:02x}"),
        None => letter.to_string(),
    };
    text.chars().map(show).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_resolved_and_their_places_known() {
        let decoded = decode_percent("a%20b+%C3%BC%zz%41", true);
        assert_eq!(decoded.text, "a b ü%zzA");
        assert_eq!(decoded.origin(&(1..2)), 1..4);
        assert_eq!(decoded.origin(&(4..6)), 6..12);
        assert_eq!(decoded.origin(&(9..10)), 15..18);
        assert_eq!(decode_percent("a+b", false).text, "a+b");
    }

    #[test]
    fn bytes_that_are_not_utf8_are_shown_escaped_and_not_lost() {
        let text = from_bytes(b"a\xff\xfeb");
        assert_eq!(shown(&text), "a\\xff\\xfeb");
        assert_eq!(to_bytes(&text), b"a\xff\xfeb");
        assert_eq!(to_bytes(&decode_percent("%FF%FE", true).text), b"\xff\xfe");
    }
}
