//! Secrets in the target of a request: its path, its query, and the command that `kubectl exec` has in the query.
//!
//! What is not cut stays as it was sent, escapes included. Pairs of the query that Go's parser drops (a `;` or an escape that
//! is none) are not seen by an API server; they are cut whole, since nobody can say what they are.

use std::ops::Range;

use serde_json::{Map, Value};

use crate::argv;
use crate::decoded::{Decoded, decode_percent, to_bytes};
use crate::redactor::{RedactedText, Redactor};
use crate::spans::{Span, merge};
use crate::text;
use crate::tokens;
use crate::url::{self, Extent, find_pairs, is_secret_parameter};

/// Parameters that are repeated for each argument of a command: of the API server's exec, of a kubelet's.
const COMMANDS: &[&str] = &["command", "cmd", "args", "arg"];

/// The command that an exec or attach request asks for: the values of `command` in order, as Go reads a query. A pair with
/// a `;` or a bad escape is dropped, names are case-sensitive.
pub fn exec_argv(query: &str) -> Vec<Vec<u8>> {
    let read = pairs(query).filter(|pair| !pair.is_dropped(query));
    let commands = read.filter(|pair| decode_percent(&query[pair.name.clone()], true).text == "command");
    commands.map(|pair| to_bytes(&decode_percent(&query[pair.value], true).text)).collect()
}

impl Redactor {
    /// A request's target as it was sent: a path with its query, or a whole URL.
    pub fn target(&self, target: &str) -> RedactedText {
        let (path, query) = match target.find('?') {
            Some(mark) => (0..mark, mark + 1..target.len()),
            None => (0..target.len(), target.len()..target.len()),
        };
        let mut spans = Vec::new();
        find_in_path(&target[path], &mut spans);
        let mut in_query = Vec::new();
        find_in_query(&target[query.clone()], &mut in_query);
        spans.extend(in_query.into_iter().map(|span| span.shifted(query.start)));
        self.cut_text(target, &merge(spans))
    }

    /// The decoded parameters of a query, each name with its values.
    pub fn query(&self, parameters: &Map<String, Value>) -> Map<String, Value> {
        let redact = |(name, values): (&String, &Value)| {
            let values = match values {
                Value::Array(values) => self.parameter(name, values),
                single => self.parameter(name, std::slice::from_ref(single)),
            };
            (self.text(name).text, Value::Array(values))
        };
        parameters.iter().map(redact).collect()
    }

    fn parameter(&self, name: &str, values: &[Value]) -> Vec<Value> {
        let texts: Vec<String> = values
            .iter()
            .map(|value| match value {
                Value::String(text) => text.clone(),
                // No parameter is anything else; what it is as JSON is looked at.
                other => other.to_string(),
            })
            .collect();
        if is_command(name) {
            return self.argv(&texts).argv.into_iter().map(Value::String).collect();
        }
        let redact = |text: String| {
            let mut spans = Vec::new();
            find_in_value(&text, name, &mut spans);
            Value::String(self.cut_text(&text, &merge(spans)).text)
        };
        texts.into_iter().map(redact).collect()
    }
}

fn is_command(name: &str) -> bool {
    COMMANDS.iter().any(|command| name.eq_ignore_ascii_case(command))
}

/// Names in a path are of objects and services, so that only `NAME=VALUE`, URLs and tokens are looked for.
fn find_in_path(path: &str, spans: &mut Vec<Span>) {
    let decoded = decode_percent(path, false);
    let mut inner = Vec::new();
    tokens::find(&decoded.text, &mut inner);
    url::find(&decoded.text, Extent::Word, 0, &mut inner);
    let mut at = 0;
    for segment in decoded.text.split('/') {
        find_pairs(&decoded.text, at..at + segment.len(), 0, &mut inner);
        at += segment.len() + 1;
    }
    spans.extend(decoded.to_origin(inner));
}

/// A pair of a query, as ranges of it.
struct Pair {
    name: Range<usize>,
    value: Range<usize>,
}

impl Pair {
    fn range(&self) -> Range<usize> {
        self.name.start..self.value.end
    }

    /// Whether Go's parser drops it.
    fn is_dropped(&self, query: &str) -> bool {
        let pair = &query[self.range()];
        let digits = |rest: &[u8]| rest.len() >= 2 && rest[..2].iter().all(u8::is_ascii_hexdigit);
        pair.contains(';') || pair.match_indices('%').any(|(at, _)| !digits(&pair.as_bytes()[at + 1..]))
    }
}

fn pairs(query: &str) -> impl Iterator<Item = Pair> + '_ {
    let mut at = 0;
    query.split('&').filter_map(move |pair| {
        let start = at;
        at += pair.len() + 1;
        let name = start..start + pair.find('=').unwrap_or(pair.len());
        let value = (name.end + 1).min(start + pair.len())..start + pair.len();
        (!pair.is_empty()).then_some(Pair { name, value })
    })
}

fn find_in_query(query: &str, spans: &mut Vec<Span>) {
    let mut commands: Vec<(String, Vec<(Decoded, usize)>)> = Vec::new();
    for pair in pairs(query) {
        if pair.is_dropped(query) {
            spans.push(Span::plain(query, pair.range()));
            continue;
        }
        let name = decode_percent(&query[pair.name.clone()], true);
        let value = decode_percent(&query[pair.value.clone()], true);
        spans.extend(name.to_origin(text::find(&name.text)).map(|span| span.shifted(pair.name.start)));
        if is_command(&name.text) {
            let arguments = commands.iter_mut().find(|(command, _)| *command == name.text);
            match arguments {
                Some((_, arguments)) => arguments.push((value, pair.value.start)),
                None => commands.push((name.text, vec![(value, pair.value.start)])),
            }
            continue;
        }
        let mut inner = Vec::new();
        find_in_value(&value.text, &name.text, &mut inner);
        spans.extend(value.to_origin(inner).map(|span| span.shifted(pair.value.start)));
    }
    for (_, arguments) in commands {
        let words: Vec<&str> = arguments.iter().map(|(value, _)| value.text.as_str()).collect();
        for ((value, start), found) in arguments.iter().zip(argv::find(&words)) {
            spans.extend(value.to_origin(found).map(|span| span.shifted(*start)));
        }
    }
}

/// The secrets of a decoded parameter.
fn find_in_value(value: &str, name: &str, spans: &mut Vec<Span>) {
    if is_secret_parameter(name, value) {
        spans.push(Span::new(0..value.len(), to_bytes(value)));
    } else {
        text::find_at(value, Extent::Whole, 1, spans);
    }
}
