//! The lexer of filters, for parsing, highlighting and completion.
//!
//! Every byte that is not white space is in exactly one token, even in an invalid text.

use serde::Serialize;

use crate::error::Span;
use crate::field::Field;

/// The kind of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenKind {
    /// A known field's name and its colon.
    Field,
    /// An unknown field's name and its colon.
    Unknown,
    /// A value of a field.
    Value,
    /// The comma between two values.
    Comma,
    /// A word to be found anywhere.
    Word,
    /// A quoted value or phrase, including its quotes.
    Quoted,
    /// A quoted text without its closing quote.
    Unclosed,
    /// The `-` of a negation.
    Minus,
    /// `OR`.
    Or,
    /// `AND`, which is optional.
    And,
    /// `(`.
    Open,
    /// `)`.
    Close,
}

/// A token of a filter's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Token {
    /// Its kind.
    pub kind: TokenKind,
    /// Its place.
    pub span: Span,
}

/// The tokens of any text, in order.
pub fn tokens(text: &str) -> Vec<Token> {
    let mut lexer = Lexer { text, at: 0, out: Vec::new() };
    while lexer.skip_space() {
        lexer.term();
    }
    lexer.out
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    out: Vec<Token>,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Skips white space; returns whether something is left.
    fn skip_space(&mut self) -> bool {
        let trimmed = self.rest().trim_start();
        self.at = self.text.len() - trimmed.len();
        !trimmed.is_empty()
    }

    fn push(&mut self, kind: TokenKind, length: usize) {
        self.out.push(Token { kind, span: Span::new(self.at, self.at + length) });
        self.at += length;
    }

    fn term(&mut self) {
        match self.peek() {
            Some('(') => self.push(TokenKind::Open, 1),
            Some(')') => self.push(TokenKind::Close, 1),
            Some('-') => self.push(TokenKind::Minus, 1),
            Some('"') => self.quoted(),
            _ => self.word(),
        }
    }

    fn word(&mut self) {
        let run = self.rest().find(ends_bare).unwrap_or(self.rest().len());
        let word = &self.rest()[..run];
        match word.find(':') {
            Some(colon) => {
                let known = Field::by_name(&word[..colon]).is_some();
                self.push(if known { TokenKind::Field } else { TokenKind::Unknown }, colon + 1);
                self.values();
            }
            None => {
                let kind = match word {
                    "OR" => TokenKind::Or,
                    "AND" => TokenKind::And,
                    _ => TokenKind::Word,
                };
                self.push(kind, run);
            }
        }
    }

    fn values(&mut self) {
        loop {
            if self.peek() == Some('"') {
                self.quoted();
            } else {
                let ends = |c: char| ends_bare(c) || c == ',';
                let run = self.rest().find(ends).unwrap_or(self.rest().len());
                if run > 0 {
                    self.push(TokenKind::Value, run);
                }
            }
            if self.peek() != Some(',') {
                return;
            }
            self.push(TokenKind::Comma, 1);
        }
    }

    fn quoted(&mut self) {
        let mut escaped = false;
        for (at, c) in self.rest().char_indices().skip(1) {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => return self.push(TokenKind::Quoted, at + 1),
                _ => {}
            }
        }
        self.push(TokenKind::Unclosed, self.rest().len());
    }
}

fn ends_bare(c: char) -> bool {
    c.is_whitespace() || matches!(c, '"' | '(' | ')')
}

#[cfg(test)]
mod tests {
    use super::*;
    use TokenKind::*;

    fn kinds(text: &str) -> Vec<TokenKind> {
        tokens(text).into_iter().map(|token| token.kind).collect()
    }

    #[test]
    fn a_filter_falls_into_its_tokens() {
        assert_eq!(
            kinds(r#"actor:a,"b c" -(kind:x OR rm) "y""#),
            [Field, Value, Comma, Quoted, Minus, Open, Field, Value, Or, Word, Close, Quoted]
        );
        assert_eq!(kinds("target:tag:prod until:2026-11-20T14:02:11Z"), [Field, Value, Field, Value]);
        assert_eq!(kinds(r#"actr:x "open \" end"#), [Unknown, Value, Unclosed]);
        assert_eq!(kinds("actor:"), [Field]);
    }

    #[test]
    fn every_byte_but_space_is_in_one_token() {
        for text in ["  a:b,,c\"d\"(e)-", "kind:ssh.* \u{a0} é:ü \"", ",,:\"\"\"", "-- OR AND ())("] {
            let mut at = 0;
            for token in tokens(text) {
                assert!(
                    text[at..token.span.start].trim().is_empty() && token.span.end > token.span.start,
                    "{text}"
                );
                at = token.span.end;
            }
            assert!(text[at..].trim().is_empty(), "{text}");
        }
    }
}
