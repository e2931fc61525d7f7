//! A minimal JSON reader for canonical text, without a tree.
//!
//! It does not prove that a text is valid or canonical: callers compare the rebuilt text with the original.

/// A position in a text.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// A string as it stands in the text, without its quotes.
#[derive(Clone, Copy)]
pub(super) struct Quoted<'a> {
    pub(super) inner: &'a [u8],
    pub(super) escaped: bool,
}

impl<'a> Cursor<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    pub(super) const fn at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    #[inline]
    pub(super) fn take(&mut self, byte: u8) -> Option<()> {
        if self.peek()? != byte {
            return None;
        }
        self.at += 1;
        Some(())
    }

    /// A string with its quotes.
    #[inline]
    pub(super) fn string(&mut self) -> Option<Quoted<'a>> {
        self.take(b'"')?;
        let start = self.at;
        let mut at = start + quote_or_backslash(self.bytes.get(start..)?)?;
        let mut escaped = false;
        while self.bytes[at] == b'\\' {
            escaped = true;
            // The escaped character itself can't end the string.
            at += 2;
            at += quote_or_backslash(self.bytes.get(at..)?)?;
        }
        self.at = at + 1;
        Some(Quoted { inner: &self.bytes[start..at], escaped })
    }

    /// A run of digits that is a canonical integer up to 2^53 − 1.
    #[inline]
    pub(super) fn integer(&mut self) -> Option<i64> {
        let digits = self.bytes.get(self.at..)?;
        let length = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let number = integer(&digits[..length])?;
        if matches!(digits.get(length), Some(b'.' | b'e' | b'E')) {
            return None;
        }
        self.at += length;
        Some(number)
    }

    /// Any value, as it is written in the text.
    pub(super) fn value(&mut self) -> Option<&'a [u8]> {
        let start = self.at;
        match self.peek()? {
            b'"' => drop(self.string()?),
            b'{' | b'[' => self.skip_nested()?,
            _ => self.skip_scalar(),
        }
        (self.at > start).then(|| &self.bytes[start..self.at])
    }

    /// Counts brackets instead of recursing, so that nesting needs no stack.
    fn skip_nested(&mut self) -> Option<()> {
        let mut depth = 0usize;
        loop {
            match self.peek()? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Some(());
            }
        }
    }

    fn skip_scalar(&mut self) {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        self.at += rest.iter().take_while(|byte| !matches!(byte, b',' | b'}' | b']')).count();
    }
}

/// Digits without a leading zero, up to 2^53 − 1.
#[inline]
pub(super) fn integer(digits: &[u8]) -> Option<i64> {
    if digits.is_empty() || digits.len() > 16 || (digits[0] == b'0' && digits.len() > 1) {
        return None;
    }
    let mut number = 0i64;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        number = number * 10 + i64::from(digit - b'0');
    }
    (number <= meshtrail_event::MAX_EXACT_INTEGER as i64).then_some(number)
}

/// Appends `number` as JSON writes it.
#[inline]
pub(super) fn write_integer(number: i64, out: &mut Vec<u8>) {
    const PAIRS: &[u8; 200] = &{
        let mut pairs = [0; 200];
        let mut n = 0;
        while n < 100 {
            pairs[n * 2] = b'0' + (n / 10) as u8;
            pairs[n * 2 + 1] = b'0' + (n % 10) as u8;
            n += 1;
        }
        pairs
    };
    if number < 0 {
        out.push(b'-');
    }
    let mut rest = number.unsigned_abs();
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    while rest >= 100 {
        let pair = (rest % 100) as usize * 2;
        rest /= 100;
        at -= 2;
        digits[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
    }
    if rest >= 10 {
        let pair = rest as usize * 2;
        at -= 2;
        digits[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
    } else {
        at -= 1;
        digits[at] = b'0' + rest as u8;
    }
    out.extend_from_slice(&digits[at..]);
}

/// Finds the first quote or backslash, eight bytes at a time.
#[inline]
fn quote_or_backslash(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let (words, rest) = bytes.as_chunks::<8>();
    for (number, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let quote = word ^ (ONES * b'"' as u64);
        let slash = word ^ (ONES * b'\\' as u64);
        let zero = (quote.wrapping_sub(ONES) & !quote) | (slash.wrapping_sub(ONES) & !slash);
        let found = zero & HIGH;
        if found != 0 {
            return Some(number * 8 + (found.trailing_zeros() / 8) as usize);
        }
    }
    let place = rest.iter().position(|&byte| byte == b'"' || byte == b'\\')?;
    Some(words.len() * 8 + place)
}

/// Appends the text that `inner` stands for; none if it has an escape that canonical text never has.
pub(super) fn unescape(inner: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut rest = inner;
    while let Some(place) = rest.iter().position(|&byte| byte == b'\\') {
        out.extend_from_slice(&rest[..place]);
        let escape = *rest.get(place + 1)?;
        let mut length = 2;
        out.push(match escape {
            b'"' | b'\\' => escape,
            b'b' => 8,
            b't' => 9,
            b'n' => 10,
            b'f' => 12,
            b'r' => 13,
            b'u' => {
                length = 6;
                let digits = std::str::from_utf8(rest.get(place + 2..place + 6)?).ok()?;
                u8::from_str_radix(digits, 16).ok().filter(|&byte| byte < 0x20)?
            }
            _ => return None,
        });
        rest = &rest[place + length..];
    }
    out.extend_from_slice(rest);
    Some(())
}

/// Appends `text` between quotes, with the escapes of RFC 8785.
#[inline]
pub(super) fn write_string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let mut from = 0;
    for (at, &byte) in text.iter().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&text[from..at]);
        from = at + 1;
        write_escape(byte, out);
    }
    out.extend_from_slice(&text[from..]);
    out.push(b'"');
}

fn write_escape(byte: u8, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'"' | b'\\' => byte,
        8 => b'b',
        9 => b't',
        10 => b'n',
        12 => b'f',
        13 => b'r',
        _ => {
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_ends_where_its_text_ends() {
        for (text, value) in [
            (r#""a\"b",1"#, r#""a\"b""#),
            (r#"{"a":["]}",{}]},2"#, r#"{"a":["]}",{}]}"#),
            ("12.5e3}", "12.5e3"),
            ("null]", "null"),
            ("[[[[]]]]", "[[[[]]]]"),
        ] {
            assert_eq!(Cursor::new(text.as_bytes()).value(), Some(value.as_bytes()), "{text}");
        }
        for text in ["\"abc", "\"abc\\", "{\"a\":1", "[", ""] {
            assert_eq!(Cursor::new(text.as_bytes()).value(), None, "{text}");
        }
    }

    #[test]
    fn escapes_come_back_as_they_were() {
        let text: String = (0..0x300u32).filter_map(char::from_u32).chain("\u{10ffff}".chars()).collect();
        let mut written = Vec::new();
        write_string(text.as_bytes(), &mut written);
        assert_eq!(serde_json::from_slice::<String>(&written).unwrap(), text);
        let mut back = Vec::new();
        unescape(&written[1..written.len() - 1], &mut back).unwrap();
        assert_eq!(back, text.as_bytes());
    }

    #[test]
    fn integers_have_one_spelling() {
        for (text, number) in
            [("0", 0), ("7", 7), ("9007199254740991", (1 << 53) - 1), ("1234567", 1_234_567)]
        {
            assert_eq!(Cursor::new(text.as_bytes()).integer(), Some(number));
            let mut written = Vec::new();
            write_integer(number, &mut written);
            assert_eq!(written, text.as_bytes());
        }
        for text in ["", "-1", "01", "1.5", "1e3", "9007199254740992", "99999999999999999999"] {
            assert_eq!(Cursor::new(text.as_bytes()).integer(), None, "{text}");
        }
    }
}
