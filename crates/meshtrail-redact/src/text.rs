//! Secrets within any text: a script, a message, a settings file, a header.
//!
//! Looked for are tokens by their form, URLs, `NAME=VALUE` and `NAME: VALUE` in the notations of shells, JSON, YAML and
//! programs where the name says that the value is a secret, the credentials of `Authorization`, and passwords in SQL. Every
//! step reads the text once; how far it looks back or ahead is bounded.

use std::ops::Range;

use crate::names::{Secrecy, classify, is_count};
use crate::spans::{Span, merge};
use crate::tokens;
use crate::url::{self, Extent};
use crate::values::{is_harmless, is_possible_secret, user_and_password};

/// How far a name reaches back from its `=` or `:`.
const MAX_NAME: usize = 128;

/// How far before a name brackets are looked for.
const MAX_LOOK_BACK: usize = 256;

/// The longest value that is a secret by its looks alone.
const MAX_POSSIBLE: usize = 128;

/// No token is shorter.
const SHORTEST: usize = 9;

/// The secrets of a text, in order.
pub(crate) fn find(text: &str) -> Vec<Span> {
    let mut spans = Vec::new();
    find_at(text, Extent::Word, 0, &mut spans);
    merge(spans)
}

/// Adds the secrets of a text. `depth` counts the texts around it.
pub(crate) fn find_at(text: &str, extent: Extent, depth: usize, spans: &mut Vec<Span>) {
    // Keys and words: nothing that is looked for is shorter without an operator in it.
    if text.len() < SHORTEST && !text.contains(['=', ':']) {
        return;
    }
    tokens::find(text, spans);
    url::find(text, extent, depth, spans);
    find_assignments(text, spans);
    find_credentials(text, spans);
    find_sql(text, spans);
}

/// Which quotes are open where the scan is, on its line.
#[derive(Default, Clone, Copy)]
struct OpenQuotes {
    single: bool,
    double: bool,
}

impl OpenQuotes {
    fn read(&mut self, byte: u8, escaped: bool) {
        match byte {
            b'\n' => *self = Self::default(),
            b'"' if !escaped => self.double = !self.double,
            b'\'' if !escaped && !self.double => self.single = !self.single,
            _ => {}
        }
    }

    fn closes(self, byte: u8) -> bool {
        byte == b'"' && self.double || byte == b'\'' && self.single
    }
}

/// `NAME=VALUE`, `NAME: VALUE`, `"NAME": "VALUE"`, `NAME => 'VALUE'`.
fn find_assignments(text: &str, spans: &mut Vec<Span>) {
    let bytes = text.as_bytes();
    let (mut quotes, mut done) = (OpenQuotes::default(), 0);
    // Where the last template ends: behind it none is looked for.
    let templates = text.rfind("}}").unwrap_or(0);
    for at in 0..bytes.len() {
        // `name:/path` is a volume or a URL.
        let operator = bytes[at] == b'=' || bytes[at] == b':' && bytes.get(at + 1) != Some(&b'/');
        let name = if at >= done && operator { name_before(text, at) } else { None };
        if let Some(span) = name.and_then(|name| assigned_secret(text, at, &name, quotes, templates)) {
            done = span.range.end;
            spans.push(span);
        }
        quotes.read(bytes[at], at > 0 && bytes[at - 1] == b'\\');
    }
}

/// A name in front of an operator.
struct Name<'a> {
    text: &'a str,
    start: usize,
    /// Whether it was in quotes, as in JSON.
    quoted: bool,
    /// Whether blanks stand between it and the operator.
    apart: bool,
}

fn name_before(text: &str, operator: usize) -> Option<Name<'_>> {
    let bytes = text.as_bytes();
    let mut end = operator;
    while end > 0 && operator - end < 4 && bytes[end - 1] == b' ' {
        end -= 1;
    }
    let apart = end < operator;
    // `:=` is one operator.
    let quoted = end > 0 && matches!(bytes[end - 1], b'"' | b'\'');
    if quoted {
        end -= 1;
        end -= usize::from(end > 0 && bytes[end - 1] == b'\\');
    }
    let is_name = |byte: &u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'[' | b']') || *byte >= 128
    };
    let length = bytes[..end].iter().rev().take(MAX_NAME).take_while(|byte| is_name(byte)).count();
    let start = (end - length..end).find(|at| text.is_char_boundary(*at))?;
    Some(Name { text: &text[start..end], start, quoted, apart })
}

fn assigned_secret(
    text: &str,
    operator: usize,
    name: &Name<'_>,
    quotes: OpenQuotes,
    templates: usize,
) -> Option<Span> {
    let secrecy = classify(name.text);
    if secrecy == Secrecy::None {
        return None;
    }
    let lower = name.text.to_ascii_lowercase();
    if lower.ends_with("authorization") || lower.ends_with("cookie") {
        return header_value(text, operator + 1, quotes);
    }
    let start = value_start(text, operator, name).filter(|start| !quotes.closes(text.as_bytes()[*start]))?;
    if is_pattern(&text[start..]) {
        return None;
    }
    // What only may be a secret is not looked at beyond a bound: long texts are none, and names follow each other closely.
    let text = if secrecy == Secrecy::Possible {
        &text[..text.floor_char_boundary(start + MAX_POSSIBLE)]
    } else {
        text
    };
    let block = || block_value(text, start, name).filter(|_| secrecy == Secrecy::Secret);
    let span = quoted_value(text, start)
        .or_else(block)
        .or_else(|| bare_value(text, start, name, quotes, templates))?;
    let value = String::from_utf8_lossy(&span.value);
    let secret = match secrecy {
        Secrecy::Secret => !is_harmless(&value) && !is_count(name.text, &value),
        Secrecy::Possible => is_possible_secret(&value),
        Secrecy::None => false,
    };
    secret.then_some(span)
}

/// Whether this is what somebody looks for, not what it is: `.*`, `[^"]+`.
pub(crate) fn is_pattern(value: &str) -> bool {
    let value = value.trim_start_matches(['\'', '"']);
    [".*", ".+", "[^", "\\S", "\\w", "\\s", "[a-z", "[A-Z", "[0-9", "[[:", "(.", "(["]
        .iter()
        .any(|start| value.starts_with(start))
}

/// Where the value begins. A blank behind `=` ends an assignment of a shell, unless one stands before it as well.
fn value_start(text: &str, operator: usize, name: &Name<'_>) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = operator + 1;
    at += bytes[at.min(bytes.len())..].iter().take_while(|byte| matches!(byte, b'=' | b'>' | b'~')).count();
    let blanks = bytes[at..].iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    if blanks > 0 && bytes[operator] == b'=' && !name.apart && !name.quoted {
        return None;
    }
    at += blanks;
    let lines = bytes[at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    if name.quoted && matches!(bytes.get(at + lines), Some(b'"' | b'\'')) {
        at += lines;
    }
    (at < bytes.len()).then_some(at)
}

/// `"…"`, `'…'`, `\"…\"` and, as programs have them, `b'…'`.
fn quoted_value(text: &str, start: usize) -> Option<Span> {
    let bytes = text.as_bytes();
    // Prefixes of strings in Python, Rust and SQL.
    let is_quoted = |prefix: &str| {
        text[start..].starts_with(prefix) && matches!(bytes.get(start + prefix.len()), Some(b'"' | b'\''))
    };
    let prefix = ["b", "r", "u", "f", "rb", "br", "E", "N"]
        .into_iter()
        .find(|prefix| is_quoted(prefix))
        .map_or(0, str::len);
    let mut open = start + prefix;
    let escapes = bytes[open..].iter().take(8).take_while(|byte| **byte == b'\\').count();
    open += escapes;
    let quote = *bytes.get(open).filter(|byte| matches!(byte, b'"' | b'\''))?;
    let from = open + 1;
    let mut at = from;
    let mut backslashes = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => backslashes += 1,
            byte if byte == quote && (backslashes == escapes || backslashes % 2 == 0 && escapes == 0) => {
                break;
            }
            _ => backslashes = 0,
        }
        at += 1;
    }
    let end = if at < bytes.len() {
        at - escapes
    } else {
        text[from..].find('\n').map_or(text.len(), |line| from + line)
    };
    let raw = text.get(from..end.max(from))?;
    Some(Span::new(from..end.max(from), unescape(raw, quote).into_bytes()))
}

/// A JSON string's content without escapes; anything else as it is.
fn unescape(raw: &str, quote: u8) -> String {
    if quote != b'"' || !raw.contains('\\') {
        return raw.to_owned();
    }
    serde_json::from_str(&format!("\"{raw}\"")).unwrap_or_else(|_| raw.to_owned())
}

/// The lines of `NAME: |` in YAML: all that are indented more than the name.
fn block_value(text: &str, start: usize, name: &Name<'_>) -> Option<Span> {
    if !text[start..].starts_with(['|', '>']) {
        return None;
    }
    let head = text[start..].lines().next()?.trim_end();
    let block = head.starts_with(['|', '>'])
        && head[1..].bytes().all(|byte| matches!(byte, b'+' | b'-' | b'0'..=b'9'));
    if !block {
        return None;
    }
    let indent = text[..name.start].bytes().rev().take_while(|byte| *byte != b'\n').count();
    let from = start + text[start..].find('\n')? + 1;
    let mut end = from;
    for line in text[from..].split_inclusive('\n') {
        let blanks = line.len() - line.trim_start_matches(' ').len();
        if !line.trim().is_empty() && blanks <= indent {
            break;
        }
        end += line.len();
    }
    let body = text[from..end].trim();
    let first = from + text[from..end].find(body)?;
    let lines: Vec<&str> = body.lines().map(str::trim_start).collect();
    (!body.is_empty()).then(|| Span::new(first..first + body.len(), lines.join("\n").into_bytes()))
}

/// A value without quotes: to the next blank, or to the next `NAME=` behind `&`, `;` or `,`.
fn bare_value(
    text: &str,
    start: usize,
    name: &Name<'_>,
    quotes: OpenQuotes,
    templates: usize,
) -> Option<Span> {
    let bytes = text.as_bytes();
    // A template's blanks are within its brackets.
    if start < templates
        && let Some(length) = text[start..].strip_prefix("{{").and_then(|rest| rest.find("}}"))
    {
        return Some(Span::plain(text, start..start + length + 4));
    }
    let mut end = start;
    while end < bytes.len() && !bytes[end].is_ascii_whitespace() && !quotes.closes(bytes[end]) {
        if matches!(bytes[end], b'&' | b';' | b',') && begins_pair(&bytes[end + 1..]) {
            break;
        }
        end += 1;
    }
    // Within an escaped string the backslash belongs to the quote.
    if bytes.get(end).is_some_and(|byte| quotes.closes(*byte)) && bytes[..end].ends_with(b"\\") {
        end -= 1;
    }
    let before = &text[text.ceil_char_boundary(name.start.saturating_sub(MAX_LOOK_BACK))..name.start];
    let before = before.rsplit('\n').next().unwrap_or_default();
    let end = start + trim_closers(&text[start..end.max(start)], before).len();
    (end > start).then(|| Span::plain(text, start..end))
}

/// Without what ends the sentence or the bracket around it.
fn trim_closers<'a>(value: &'a str, before: &str) -> &'a str {
    // What is trimmed has no opener, so that this holds for what is left as well.
    let is_within = |opener: char| before.contains(opener) && !value.contains(opener);
    let within = [is_within('('), is_within('['), is_within('{')];
    let mut value = value;
    while let Some(last) = value.chars().next_back() {
        let is_outside = match last {
            ',' | ';' => true,
            ')' => within[0],
            ']' => within[1],
            '}' => within[2],
            _ => false,
        };
        if !is_outside {
            break;
        }
        value = &value[..value.len() - 1];
    }
    value
}

/// Whether `NAME=` or `NAME: ` follows.
pub(crate) fn begins_pair(bytes: &[u8]) -> bool {
    let blanks = bytes.iter().take(2).take_while(|byte| **byte == b' ').count();
    let is_name = |byte: &u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'[' | b']' | b' ' | b'"')
    };
    let length = bytes[blanks..].iter().take(64).take_while(|byte| is_name(byte)).count();
    length > 0 && matches!(bytes.get(blanks + length), Some(b'=' | b':'))
}

/// The credentials of a header to the end of its line or string. The scheme stays.
fn header_value(text: &str, start: usize, quotes: OpenQuotes) -> Option<Span> {
    let bytes = text.as_bytes();
    let mut from = start + bytes[start..].iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let mut quotes = quotes;
    if let Some(quote) = bytes.get(from).filter(|byte| matches!(byte, b'"' | b'\'') && !quotes.closes(**byte))
    {
        quotes.read(*quote, false);
        from += 1;
    }
    let length = bytes[from..]
        .iter()
        .take_while(|byte| !matches!(byte, b'\r' | b'\n') && !quotes.closes(**byte))
        .count();
    let value = text[from..from + length].trim_end_matches('\\').trim_end();
    let (credentials, secret) = credentials(value);
    let from = from + credentials;
    let value = &value[credentials..];
    (!is_harmless(value)).then(|| Span::new(from..from + value.len(), secret))
}

/// Where the credentials of `Bearer …` begin, and the secret in them.
pub(crate) fn credentials(value: &str) -> (usize, Vec<u8>) {
    let scheme = value.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'-').count();
    let blanks = value[scheme..].bytes().take_while(|byte| *byte == b' ').count();
    if scheme == 0 || scheme > 32 || blanks == 0 || scheme + blanks == value.len() {
        return (0, value.as_bytes().to_vec());
    }
    let secret = &value[scheme + blanks..];
    let password = value[..scheme].eq_ignore_ascii_case("basic").then(|| user_and_password(secret)).flatten();
    (scheme + blanks, password.unwrap_or_else(|| secret.to_owned()).into_bytes())
}

/// `Bearer …` and `Basic …` without a name in front.
fn find_credentials(text: &str, spans: &mut Vec<Span>) {
    for (at, word) in words_without_case(text, &["bearer ", "basic "]) {
        let from = at + word.len();
        let letter = |byte: &u8| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'~' | b'+' | b'/' | b'=' | b'-')
        };
        let length = text.as_bytes()[from..].iter().take_while(|byte| letter(byte)).count();
        let secret = &text[from..from + length];
        let value = if word == "basic " {
            user_and_password(secret)
        } else {
            (length >= 6).then(|| secret.to_owned())
        };
        // `bearer` is a word of prose as well.
        if let Some(value) =
            value.filter(|_| word == "basic " || secret.bytes().any(|byte| !byte.is_ascii_lowercase()))
        {
            spans.push(Span::new(from..from + length, value.into_bytes()));
        }
    }
}

/// `PASSWORD '…'`, `IDENTIFIED BY '…'`, `PASSWORD('…')`.
fn find_sql(text: &str, spans: &mut Vec<Span>) {
    for (at, word) in
        words_without_case(text, &["password", "identified by", " by", "convertto-securestring"])
    {
        let bytes = text.as_bytes();
        let from = at + word.len();
        let skipped = bytes[from..]
            .iter()
            .take(8)
            .take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'('))
            .count();
        let is_statement = !word.starts_with(' ') || clause_before(&text[..at]);
        if !is_statement || skipped == 0 {
            continue;
        }
        if let Some(range) = sql_string(text, from + skipped) {
            spans.push(Span::plain(text, range));
        }
    }
}

/// Whether `IDENTIFIED WITH plugin` ends the text.
fn clause_before(text: &str) -> bool {
    let start = text.ceil_char_boundary(text.len().saturating_sub(96));
    let tail = text[start..].to_ascii_lowercase();
    tail.rfind("identified with ").is_some_and(|at| tail[at..].split_whitespace().count() == 3)
}

/// A string of SQL without its quotes; a doubled quote is one within it.
fn sql_string(text: &str, open: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let quote = *bytes.get(open).filter(|byte| matches!(byte, b'\'' | b'"'))?;
    let mut at = open + 1;
    while at < bytes.len() {
        if bytes[at] == b'\\' {
            at += 1;
        } else if bytes[at] == quote {
            if bytes.get(at + 1) != Some(&quote) {
                break;
            }
            at += 1;
        }
        at += 1;
    }
    let end = at.min(bytes.len());
    (end > open + 1 && text.is_char_boundary(end)).then_some(open + 1..end)
}

/// Every place of one of these words, which are in small letters, whatever the case it is written in.
fn words_without_case(text: &str, words: &[&'static str]) -> Vec<(usize, &'static str)> {
    let bytes = text.as_bytes();
    let begins = |at: usize| at == 0 || !bytes[at - 1].is_ascii_alphanumeric();
    let matches = |at: usize, word: &str| {
        let here = bytes.get(at..at + word.len());
        here.is_some_and(|here| here.eq_ignore_ascii_case(word.as_bytes()))
            && (word.starts_with(' ') || begins(at))
    };
    let at = |at: usize| words.iter().filter(move |word| matches(at, word)).map(move |word| (at, *word));
    (0..bytes.len()).flat_map(at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        find(text).into_iter().map(|span| text[span.range].to_owned()).collect()
    }

    #[test]
    fn assignments_of_every_notation_are_cut_to_the_secret() {
        for (text, secret) in [
            ("password=NotReal", "NotReal"),
            ("export DB_PASSWORD=Not;Real x", "Not;Real"),
            ("{\"password\": \"Not\\\"Real\", \"a\": 1}", "Not\\\"Real"),
            ("{\\\"password\\\":\\\"NotReal\\\",\\\"a\\\":1}", "NotReal"),
            ("{'pin': 4711, 'b': 2}", "4711"),
            ("x.connect(password='Not Real')", "Not Real"),
            ("x.connect(password=b'Not Real')", "Not Real"),
            ("{pin: 4711-9082}", "4711-9082"),
            ("a=1&password=NotReal&b=2", "NotReal"),
            ("Server=db;User Id=app;Password=NotReal;Encrypt=true", "NotReal"),
            ("user=a,password=NotReal,vers=3", "NotReal"),
            ("spring:\n  datasource:\n    password: NotReal # now\n", "NotReal"),
            ("key: |\n  x\npassword: |\n  Not\n  Real\nb: 1", "Not\n  Real"),
            ("'password' => 'NotReal',", "NotReal"),
            ("password = NotReal", "NotReal"),
            ("Authorization: Bearer NotReal.abc", "NotReal.abc"),
            ("-H 'Authorization: Token Not Real' x", "Not Real"),
            ("Cookie: a=Not; b=Real\nx", "a=Not; b=Real"),
            ("ALTER USER a WITH PASSWORD 'Not''Real';", "Not''Real"),
            ("create user a identified by 'NotReal'", "NotReal"),
            ("identified with caching_sha2_password by 'NotReal'", "NotReal"),
            ("curl with bearer NotReal1", "NotReal1"),
            ("password=ab\"cd x", "ab\"cd"),
            ("{\"x\":\"token=NotReal\",\"b\":\"c\"}", "NotReal"),
        ] {
            assert_eq!(found(text), [secret], "{text}");
        }
    }

    #[test]
    fn what_only_speaks_of_secrets_stays() {
        for text in [
            "grep -r password= /etc",
            "password:",
            "the password is long",
            "token_file=/x",
            "password: $(DB_PASSWORD)",
            "max_tokens: 4096",
            "https://example.com/password",
            "password=.*",
            "password = ",
            "secret:/run/x",
            "a bearer of news",
            "select password from t",
            "secretName: db",
            "sorted by 'name'",
        ] {
            assert!(found(text).is_empty(), "{text}: {:?}", found(text));
        }
    }

    #[test]
    fn the_fingerprint_is_of_the_secret_without_escapes() {
        let value = |text: &str| String::from_utf8(find(text).remove(0).value).unwrap();
        assert_eq!(value(r#"{"password":"a\"b\u0041"}"#), "a\"bA");
        assert_eq!(value("Authorization: Basic YXBwOk5vdFJlYWw="), "NotReal");
        assert_eq!(value("password: |\n  a\n  b\n"), "a\nb");
    }
}
