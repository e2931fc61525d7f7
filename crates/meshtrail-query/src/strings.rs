//! An iterator over the scalar values of a JSON text, without a tree.

use std::borrow::Cow;

/// The strings (unescaped) and numbers in `json`, but not the names of members. Bytes that are not JSON end it.
pub(crate) fn values(json: &[u8]) -> Values<'_> {
    Values { json, at: 0 }
}

pub(crate) struct Values<'a> {
    json: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Values<'a> {
    type Item = Cow<'a, str>;

    fn next(&mut self) -> Option<Cow<'a, str>> {
        loop {
            match self.json.get(self.at)? {
                b'"' => {
                    let string = self.string()?;
                    let follows = self.json[self.at..].iter().find(|byte| !byte.is_ascii_whitespace());
                    if follows != Some(&b':') {
                        return unescape(string);
                    }
                }
                b'0'..=b'9' | b'-' => return self.number(),
                _ => self.at += 1,
            }
        }
    }
}

impl<'a> Values<'a> {
    /// The string that begins here, including its quotes.
    fn string(&mut self) -> Option<&'a [u8]> {
        let start = self.at;
        let mut at = start + 1;
        loop {
            match self.json.get(at)? {
                b'\\' => at += 2,
                b'"' => break,
                _ => at += 1,
            }
        }
        self.at = at + 1;
        self.json.get(start..self.at)
    }

    fn number(&mut self) -> Option<Cow<'a, str>> {
        let rest = &self.json[self.at..];
        let part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let length = rest.iter().position(|byte| !part(byte)).unwrap_or(rest.len());
        self.at += length;
        std::str::from_utf8(&rest[..length]).ok().map(Cow::Borrowed)
    }
}

fn unescape(string: &[u8]) -> Option<Cow<'_, str>> {
    let between = &string[1..string.len() - 1];
    if between.contains(&b'\\') {
        return serde_json::from_slice(string).ok().map(Cow::Owned);
    }
    std::str::from_utf8(between).ok().map(Cow::Borrowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_given_and_names_are_not() {
        let json = r#"{"name":"va\"lue \u001b","list":[1,-2.5e7,"x"],"in":{"ner" : true,"é":"ü"},"":""}"#;
        let found: Vec<_> = values(json.as_bytes()).collect();
        assert_eq!(found, ["va\"lue \u{1b}", "1", "-2.5e7", "x", "ü", ""]);
    }

    #[test]
    fn broken_json_ends_quietly() {
        for broken in [&b"{\"a"[..], b"\"\\", b"{\"a\":\"b\\", b"\"\xff\"", b"", b"\"\\ud800\""] {
            assert!(values(broken).count() <= 1);
        }
    }
}
