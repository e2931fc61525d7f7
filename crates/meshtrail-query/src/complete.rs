//! Completion of filters.

use serde::Serialize;

use crate::error::Span;
use crate::field::Field;
use crate::token::{TokenKind, tokens};

/// Options that are offered, at most.
const MAX_OPTIONS: usize = 20;

/// The completions at a position in a filter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Completion {
    /// The text that an option replaces.
    pub replace: Span,
    /// The field whose value is being written; none while a field's name is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<Field>,
    /// The text written so far.
    pub written: String,
    /// The options that do not depend on data. The caller adds values from the data.
    pub options: Vec<CompletionOption>,
}

/// One option of a completion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CompletionOption {
    /// The text to insert.
    pub insert: String,
    /// A short description; may be empty.
    pub about: String,
}

/// The completions in `text` at byte `at`, the position of the cursor.
pub fn completions(text: &str, at: usize) -> Completion {
    let at = text.floor_char_boundary(at);
    let before = &text[..at];
    let tokens = tokens(before);
    let mut touching = tokens.iter().rev().take_while({
        let mut end = at;
        move |token| std::mem::replace(&mut end, token.span.start) == token.span.end
    });
    let Some(last) = touching.next() else { return names("", Span { start: at, end: at }) };
    let written = &before[last.span.range()];
    match last.kind {
        TokenKind::Word => names(written, last.span),
        TokenKind::Field => values(written, "", Span { start: at, end: at }),
        TokenKind::Value | TokenKind::Comma => {
            let field = touching.find(|token| matches!(token.kind, TokenKind::Field | TokenKind::Unknown));
            let name = field.map_or("", |token| &before[token.span.range()]);
            let (written, start) =
                if last.kind == TokenKind::Comma { ("", at) } else { (written, last.span.start) };
            values(name, written, Span { start, end: at })
        }
        TokenKind::Open | TokenKind::Minus => names("", Span { start: at, end: at }),
        _ => Completion {
            replace: Span { start: at, end: at },
            field: None,
            written: String::new(),
            options: vec![],
        },
    }
}

fn names(written: &str, replace: Span) -> Completion {
    let lower = written.to_lowercase();
    let fitting = Field::ALL.into_iter().filter(|field| field.name().starts_with(&lower));
    let options = fitting
        .map(|field| CompletionOption {
            insert: format!("{}:", field.name()),
            about: field.about().to_owned(),
        })
        .collect();
    Completion { replace, field: None, written: written.to_owned(), options }
}

fn values(name: &str, written: &str, replace: Span) -> Completion {
    let field = Field::by_name(name.trim_end_matches(':'));
    let lower = written.to_lowercase();
    let words = match field {
        Some(Field::Since | Field::Until) => {
            ["1h", "24h", "7d", "30d", "today", "yesterday"].map(str::to_owned).into()
        }
        Some(Field::Kind) => kinds(),
        Some(field) => field.vocabulary().unwrap_or_default().into_iter().map(str::to_owned).collect(),
        None => Vec::new(),
    };
    let fitting = words.into_iter().filter(|word| word.starts_with(&lower)).take(MAX_OPTIONS);
    let options = fitting.map(|insert| CompletionOption { insert, about: String::new() }).collect();
    Completion { replace, field, written: written.to_owned(), options }
}

/// Kinds and their prefixes, the shorter ones first.
fn kinds() -> Vec<String> {
    let mut found = std::collections::BTreeSet::new();
    for kind in Field::Kind.vocabulary().unwrap_or_default() {
        let dots = kind.match_indices('.').map(|(dot, _)| &kind[..dot]);
        found.extend(dots.chain([kind]).map(|start| (start.matches('.').count(), start.to_owned())));
    }
    found.into_iter().map(|(_, start)| start).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(text: &str) -> (Vec<String>, Span) {
        let completion = completions(text, text.len());
        (completion.options.into_iter().map(|option| option.insert).collect(), completion.replace)
    }

    #[test]
    fn a_word_completes_to_fields_and_a_value_to_the_fields_words() {
        assert_eq!(offered("actor:x ses"), (vec!["session:".to_owned()], Span { start: 8, end: 11 }));
        assert_eq!(offered("outcome:success,d"), (vec!["denied".to_owned()], Span { start: 16, end: 17 }));
        let (kinds, _) = offered("-kind:kube.");
        assert_eq!(kinds[0], "kube.request");
        assert!(kinds.contains(&"kube.session.ended".to_owned()), "{kinds:?}");
        assert_eq!(offered("").0.len(), Field::ALL.len());
        assert_eq!(offered("x:").0, Vec::<String>::new());
        assert_eq!(offered("\"quo").0, Vec::<String>::new());
    }

    #[test]
    fn the_place_may_be_inside_the_text_or_beyond_it() {
        assert_eq!(completions("outcome:den rm", 11).options[0].insert, "denied");
        assert_eq!(completions("é", 1).replace, Span { start: 0, end: 0 });
        assert_eq!(completions("", 99).written, "");
    }
}
