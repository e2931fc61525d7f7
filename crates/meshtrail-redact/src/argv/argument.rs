//! Reads a word that has no meaning by its place: an assignment, a header, a URL, a list, any text.

use std::ops::Range;

use super::command::{Scan, name_length};
use super::programs::Rule;
use super::script;
use crate::decoded::to_bytes;
use crate::names::{Secrecy, classify, is_count};
use crate::spans::Span;
use crate::text::{self, begins_pair, credentials, is_pattern};
use crate::url::Extent;
use crate::values::{is_harmless, is_possible_secret, is_random, user_and_password};

/// How many levels of `a=b=c` and the like are looked at within one word.
const MAX_NESTED: usize = 8;

impl Scan<'_, '_> {
    /// A part of a word that has no meaning by its place: an assignment, a header, a URL, any text.
    pub(super) fn read_argument(&mut self, at: usize, range: Range<usize>) {
        let word = self.words[at];
        let mut range = range;
        for _ in 0..MAX_NESTED {
            let rest = &word[range.clone()];
            let Some((length, operator)) = name_length(rest) else { break };
            let name = &rest[..length];
            let value = range.start + length + 1..range.end;
            let slash = name.strip_prefix('/').filter(|_| operator == b':' && range.start == 0);
            if slash.is_some_and(|name| {
                self.command.has(|rule| matches!(rule, Rule::Long(long) if *long == name))
            }) {
                return self.cut(at, value);
            }
            match classify(name) {
                Secrecy::Secret if operator == b'=' => return self.cut_assigned(at, value, name),
                Secrecy::Secret => return self.cut_header(at, value, name),
                Secrecy::Possible if is_possible_secret(&word[value.clone()]) => return self.cut(at, value),
                _ if operator == b'=' && is_variable(name) && is_random(&word[value.clone()]) => {
                    return self.cut(at, value);
                }
                _ if operator == b':' => break,
                _ => range = value,
            }
        }
        self.read_text(at, range);
    }

    /// The value of `NAME=`: all of it, but for a form's next field.
    fn cut_assigned(&mut self, at: usize, range: Range<usize>, name: &str) {
        let value = &self.words[at][range.clone()];
        if is_pattern(value) || is_count(name, value) {
            return;
        }
        let next = value.match_indices('&').find(|(field, _)| begins_pair(&value.as_bytes()[field + 1..]));
        match next {
            Some((field, _)) => {
                self.cut(at, range.start..range.start + field);
                self.read_text(at, range.start + field..range.end);
            }
            None => self.cut(at, range),
        }
    }

    fn cut_header(&mut self, at: usize, range: Range<usize>, name: &str) {
        let value = &self.words[at][range.clone()];
        let blanks = value.len() - value.trim_start().len();
        let start = range.start + blanks;
        let value = &value[blanks..];
        if value.starts_with('/') {
            return self.read_text(at, range);
        }
        let lower = name.to_ascii_lowercase();
        let (from, secret) = if lower.ends_with("authorization") {
            credentials(value)
        } else {
            (0, value.as_bytes().to_vec())
        };
        if !is_harmless(&value[from..]) {
            self.found.push((at, Span::new(start + from..range.end, secret)));
        }
    }

    /// `a=1,b=2`: options of mount, values of Helm.
    pub(super) fn read_list(&mut self, at: usize, range: Range<usize>) {
        let word = self.words[at];
        let mut start = range.start;
        while start < range.end {
            let rest = &word[start..range.end];
            let next = rest.match_indices(',').find(|(comma, _)| {
                begins_pair(&rest.as_bytes()[comma + 1..]) && !rest[..*comma].ends_with('\\')
            });
            let end = next.map_or(range.end, |(comma, _)| start + comma);
            self.read_argument(at, start..end);
            start = end + 1;
        }
    }

    fn read_text(&mut self, at: usize, range: Range<usize>) {
        let rest = &self.words[at][range.clone()];
        let paths = self.command.has(|rule| matches!(rule, Rule::Paths));
        if let Some(secret) = user_without_scheme(rest).filter(|_| !paths) {
            self.cut(at, range.start + secret.start..range.start + secret.end);
        }
        let mut spans = Vec::new();
        // The commands whose output a word takes are read with the script that the word stands in.
        let read_already = self.depth > 0 && (rest.contains("$(") || rest.contains('`'));
        if rest.contains(char::is_whitespace) && !read_already {
            spans.extend(script::find(rest, self.depth + 1));
        }
        text::find_at(rest, Extent::Whole, 0, &mut spans);
        self.found.extend(spans.into_iter().map(|span| (at, span.shifted(range.start))));
    }

    /// Cuts a part of a word, unless it is none or says where the secret is.
    pub(super) fn cut(&mut self, at: usize, range: Range<usize>) {
        let value = &self.words[at][range.clone()];
        if !is_harmless(value) {
            self.found.push((at, Span::new(range, to_bytes(value))));
        }
    }

    /// Cuts what stands behind `user:`.
    pub(super) fn cut_pair(&mut self, at: usize, range: Range<usize>, between: char) {
        let value = &self.words[at][range.clone()];
        match value.find(between) {
            Some(length) => self.cut(at, range.start + length + between.len_utf8()..range.end),
            None if user_and_password(value).is_some() => self.cut(at, range),
            None => self.read_argument(at, range),
        }
    }
}

fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

/// The password of `user:password@host` without a scheme in front.
fn user_without_scheme(word: &str) -> Option<Range<usize>> {
    if word.contains("://") || word.contains(char::is_whitespace) || word.len() > 1024 {
        return None;
    }
    let (colon, at) = (word.find(':')?, word.rfind('@')?);
    let user = word[..colon].bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-/\\".contains(&byte));
    let host = word[at + 1..].split([':', '/']).next().unwrap_or_default();
    let is_host =
        !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    let digest = ["sha256", "sha512"].contains(&host);
    // `user:bob@example.com` is a name.
    let name =
        word.get(colon + 1..at)?.bytes().all(|byte| byte.is_ascii_alphabetic() || b"._+-".contains(&byte));
    (colon > 0 && user && !name && is_host && !digest).then_some(colon + 1..at)
}
