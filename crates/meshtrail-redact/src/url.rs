//! Secrets within URLs: the password of the user part, and query parameters that are named like a secret.
//!
//! The user part ends at the last `@` before the path: passwords with an `@`, a bracket or a blank are written raw into
//! connection strings, and a parser that stops at the first one leaves their tail behind.

use std::ops::Range;

use crate::decoded::{Decoded, decode_percent, to_bytes};
use crate::names::{Secrecy, classify_query};
use crate::spans::Span;
use crate::text;
use crate::values::{is_harmless, is_possible_secret, is_random};

/// How a URL ends in the text around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// At a blank or a quote.
    Word,
    /// At the text's end: the text is one URL, whatever is in it.
    Whole,
}

/// How deep URLs within query parameters are looked at.
const MAX_DEPTH: usize = 4;

/// The longest password that is looked for where the user part is not well-formed.
const MAX_PASSWORD: usize = 512;

/// Adds the secrets of all URLs in `text`. `depth` counts the texts around it.
pub(crate) fn find(text: &str, extent: Extent, depth: usize, spans: &mut Vec<Span>) {
    let mut word = Word { end: 0, query: None };
    for (at, _) in text.match_indices("://") {
        let scheme = text[..at]
            .bytes()
            .rev()
            .take(32)
            .take_while(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte))
            .count();
        let start = at + "://".len();
        // URLs of one word have one query, which is read once.
        let in_query = start <= word.end && word.query.is_some_and(|query| query < at);
        if scheme == 0 || in_query {
            continue;
        }
        let whole = extent == Extent::Whole && at == scheme;
        let is_new = start > word.end || whole;
        if is_new {
            word.end = if whole { text.len() } else { word_end(text, start) };
        }
        let host = find_user(text, start, word.end, whole, spans);
        if is_new {
            word.query = text[host..word.end.max(host)].find(['?', '#']).map(|mark| host + mark);
            if let Some(query) = word.query {
                find_pairs(text, query + 1..word.end, depth, spans);
            }
        }
    }
}

/// A run of text without blanks, which may have several URLs in it.
struct Word {
    end: usize,
    /// Where its query or fragment begins: a fragment carries tokens as a query does.
    query: Option<usize>,
}

fn word_end(text: &str, start: usize) -> usize {
    let stop = |letter: char| letter.is_whitespace() || matches!(letter, '"' | '<' | '>' | '`' | '\\');
    text[start..].find(stop).map_or(text.len(), |length| start + length)
}

/// Cuts the password of the user part, and returns where the host begins.
fn find_user(text: &str, start: usize, end: usize, whole: bool, spans: &mut Vec<Span>) -> usize {
    let Some(at) = user_end(text, start, end, whole) else { return start };
    let user = &text[start..at];
    let (name, password) = match user.find(':') {
        Some(colon) => (start..start + colon, start + colon + 1..at),
        None => (start..at, at..at),
    };
    let no_password = password.is_empty() || &text[password.clone()] == "x-oauth-basic";
    if no_password && is_token_user(&text[name.clone()]) {
        spans.push(decoded_span(text, name));
    } else if !is_harmless(&text[password.clone()]) {
        spans.push(decoded_span(text, password));
    }
    at + 1
}

/// Where the user part ends, at its `@`.
fn user_end(text: &str, start: usize, end: usize, whole: bool) -> Option<usize> {
    let url = &text[start..end];
    let authority = &url[..url.find(['/', '?', '#']).unwrap_or(url.len())];
    if let Some(at) = authority.rfind('@') {
        return Some(start + at);
    }
    // What stands behind the colon is no port: it is a password with a slash, a question mark or a blank in it.
    let (host, port) = authority.split_once(':')?;
    let no_port =
        !port.is_empty() && !port.bytes().all(|byte| byte.is_ascii_digit()) && !host.starts_with('[');
    let reach = if whole { url } else { &text[start..line_end(text, start)] };
    let at = reach.rfind('@').filter(|_| no_port)?;
    Some(start + at)
}

fn line_end(text: &str, start: usize) -> usize {
    let reach = &text[start..text.floor_char_boundary(start + MAX_PASSWORD)];
    start + reach.find(['\n', '"']).unwrap_or(reach.len())
}

/// Whether a user without a password is a token, as `https://TOKEN@host` has it.
fn is_token_user(user: &str) -> bool {
    let digits = user.bytes().filter(u8::is_ascii_digit).count();
    let plain = user.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_random(user) || user.len() >= 20 && plain && digits >= 3 || user.len() >= 40
}

/// Adds the secrets of `a=1&b=2`; pairs may be apart by `;` and `#` as well.
pub(crate) fn find_pairs(text: &str, range: Range<usize>, depth: usize, spans: &mut Vec<Span>) {
    let mut at = range.start;
    for pair in text[range].split(['&', ';', '#', '?']) {
        if let Some(equals) = pair.find('=') {
            let value = at + equals + 1..at + pair.len();
            let name = decode_percent(&pair[..equals], true).text;
            find_value(text, value, &name, depth, spans);
        }
        at += pair.len() + 1;
    }
}

fn find_value(text: &str, range: Range<usize>, name: &str, depth: usize, spans: &mut Vec<Span>) {
    let decoded = decode_percent(&text[range.clone()], true);
    if is_secret_parameter(name, &decoded.text) {
        spans.push(Span::new(range, to_bytes(&decoded.text)));
    } else if depth < MAX_DEPTH {
        let mut inner = Vec::new();
        text::find_at(&decoded.text, Extent::Whole, depth + 1, &mut inner);
        spans.extend(decoded.to_origin(inner).map(|span| span.shifted(range.start)));
    }
}

/// Whether all of a decoded parameter is a secret.
pub(crate) fn is_secret_parameter(name: &str, value: &str) -> bool {
    match classify_query(name) {
        Secrecy::Secret => !is_harmless(value),
        Secrecy::Possible => is_possible_secret(value),
        Secrecy::None => false,
    }
}

fn decoded_span(text: &str, range: Range<usize>) -> Span {
    let decoded: Decoded = decode_percent(&text[range.clone()], false);
    Span::new(range, to_bytes(&decoded.text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spans::merge;

    fn found(text: &str, extent: Extent) -> Vec<(String, String)> {
        let mut spans = Vec::new();
        find(text, extent, 0, &mut spans);
        let show = |span: Span| (text[span.range].to_owned(), String::from_utf8(span.value).unwrap());
        merge(spans).into_iter().map(show).collect()
    }

    #[test]
    fn the_password_ends_at_the_last_at_sign_before_the_path() {
        for (url, secret) in [
            ("https://deploy:Not@Re:al11@git.example.com/x.git", "Not@Re:al11"),
            ("postgres://app:Not)Real12@db-1:5432/shop?sslmode=require", "Not)Real12"),
            ("redis://:NotReal13@db-1:6379/0", "NotReal13"),
            ("postgres://app:Not/Real?x@db-1/shop", "Not/Real?x"),
            ("postgres://app:Not Real@db-1/shop", "Not Real"),
            ("https://0123456789abcdef0123@example.com/1", "0123456789abcdef0123"),
        ] {
            assert_eq!(found(url, Extent::Whole), [(secret.to_owned(), secret.to_owned())], "{url}");
        }
        assert_eq!(found("mysql://u:a%40b@h/", Extent::Word), [("a%40b".to_owned(), "a@b".to_owned())]);
        let text = "see postgres://app:a'b@db/x, or http://host:80/a@b";
        assert_eq!(found(text, Extent::Word), [("a'b".to_owned(), "a'b".to_owned())]);
    }

    #[test]
    fn parameters_named_like_secrets_are_cut_and_others_stay() {
        let one = |text: &str| (text.to_owned(), text.to_owned());
        assert_eq!(found("https://x/v1?token=NotReal14&page=2", Extent::Whole), [one("NotReal14")]);
        assert_eq!(found("https://x/#access_token=Not&state=1", Extent::Word), [one("Not")]);
        assert_eq!(
            found("https://x/?sv=1&sig=a%2Bb&se=2", Extent::Word),
            [("a%2Bb".to_owned(), "a+b".to_owned())]
        );
        let nested = "https://x/?to=https%3A%2F%2Fy%2F%3Fpassword%3DNotReal%26a%3D1&b=2";
        assert_eq!(found(nested, Extent::Word), [one("NotReal")]);
        for url in [
            "https://x/?page=2&token=",
            "ssh://git@github.com/x",
            "https://bob@example.com/",
            "docker://r:5000/a@sha256:0",
        ] {
            assert!(found(url, Extent::Whole).is_empty(), "{url}");
        }
    }
}
