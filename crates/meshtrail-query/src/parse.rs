//! Parsing filters.
//!
//! A text that is too long, nested too deeply or has too many terms is refused early.

use meshtrail_event::{EventId, SessionId};

use crate::address::AddressValue;
use crate::error::{FilterError, Span, near};
use crate::expr::Expr;
use crate::field::{FOREIGN_NAMES, Field};
use crate::pattern::{Pattern, unquote};
use crate::time_expr::TimeExpr;
use crate::token::{Token, TokenKind, tokens};

/// The longest filter, in bytes.
pub const MAX_FILTER: usize = 4096;
const MAX_DEPTH: usize = 16;
const MAX_VALUES: usize = 256;

type Parsed<T> = Result<T, FilterError>;

pub(crate) fn parse(text: &str) -> Parsed<Expr> {
    if text.len() > MAX_FILTER {
        let span = Span::new(text.floor_char_boundary(MAX_FILTER), text.len());
        return Err(FilterError::new(span, format!("a filter is at most {MAX_FILTER} bytes long")));
    }
    if let Some((at, c)) = text.char_indices().find(|(_, c)| c.is_control() && !c.is_whitespace()) {
        let written = Pattern::literal(c).to_string();
        let error =
            FilterError::new(Span::new(at, at + c.len_utf8()), "a control character can't stand here");
        return Err(error.hint(format!("write it as {written}")));
    }
    let mut parser = Parser { text, tokens: tokens(text), at: 0, depth: 0, values: 0 };
    let expr = parser.alternatives()?;
    match parser.peek() {
        None => Ok(expr),
        Some(token) => {
            Err(FilterError::new(token.span, "this ) closes nothing")
                .hint("quote it to search for it: \")\""))
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
    values: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<Token> {
        self.tokens.get(self.at).copied()
    }

    fn next_if(&mut self, kind: TokenKind) -> Option<Token> {
        let token = self.peek().filter(|token| token.kind == kind)?;
        self.at += 1;
        Some(token)
    }

    fn of(&self, token: Token) -> &'a str {
        &self.text[token.span.range()]
    }

    /// `a b OR c`: both a and b, or c.
    fn alternatives(&mut self) -> Parsed<Expr> {
        let mut parts = vec![self.conjunction()?];
        while let Some(or) = self.next_if(TokenKind::Or) {
            let part = self.conjunction()?;
            if [&part, parts.last().unwrap_or(&part)].contains(&&Expr::All(Vec::new())) {
                return Err(missing_side(or));
            }
            parts.push(part);
        }
        Ok(Expr::any(parts))
    }

    fn conjunction(&mut self) -> Parsed<Expr> {
        let mut parts = Vec::new();
        while let Some(token) = self.peek() {
            match token.kind {
                TokenKind::Or | TokenKind::Close => break,
                TokenKind::And => {
                    self.at += 1;
                    let follows = self.peek().is_some_and(|next| {
                        !matches!(next.kind, TokenKind::Or | TokenKind::And | TokenKind::Close)
                    });
                    if parts.is_empty() || !follows {
                        return Err(missing_side(token));
                    }
                }
                _ => parts.push(self.unary()?),
            }
        }
        Ok(Expr::all(parts))
    }

    fn unary(&mut self) -> Parsed<Expr> {
        let mut negated = false;
        let mut minus = None;
        while let Some(token) = self.next_if(TokenKind::Minus) {
            negated = !negated;
            minus = Some(token);
        }
        let Some(token) = self.peek() else {
            let span = minus.map_or(Span::default(), |token| token.span);
            return Err(FilterError::new(span, "nothing follows this -").hint("write -outcome:denied"));
        };
        self.at += 1;
        let expr = match token.kind {
            TokenKind::Open => self.group(token)?,
            TokenKind::Field => self.term(token)?,
            TokenKind::Unknown => return Err(unknown_field(token, self.of(token))),
            TokenKind::Word => self.words(Pattern::bare(self.of(token)), token)?,
            TokenKind::Quoted => {
                let pattern = self.quoted_value(token)?;
                self.words(pattern, token)?
            }
            TokenKind::Unclosed => return Err(unclosed(token)),
            TokenKind::Or | TokenKind::And => return Err(missing_side(token)),
            TokenKind::Minus | TokenKind::Value | TokenKind::Comma | TokenKind::Close => {
                return Err(FilterError::new(token.span, "nothing can stand here"));
            }
        };
        Ok(if negated { Expr::not(expr) } else { expr })
    }

    fn group(&mut self, open: Token) -> Parsed<Expr> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(FilterError::new(
                open.span,
                format!("at most {MAX_DEPTH} parentheses inside each other"),
            ));
        }
        let expr = self.alternatives()?;
        let Some(close) = self.next_if(TokenKind::Close) else {
            return Err(FilterError::new(open.span, "this ( is never closed")
                .hint("quote it to search for it: \"(\""));
        };
        self.depth -= 1;
        if expr == Expr::All(Vec::new()) {
            return Err(FilterError::new(
                open.span.to(close.span),
                "nothing stands between these parentheses",
            ));
        }
        Ok(expr)
    }

    fn words(&mut self, pattern: Pattern, token: Token) -> Parsed<Expr> {
        self.count(token)?;
        Ok(Expr::Term(Field::Text, vec![pattern]))
    }

    fn count(&mut self, token: Token) -> Parsed<()> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(FilterError::new(token.span, format!("a filter holds at most {MAX_VALUES} values")));
        }
        Ok(())
    }

    fn quoted_value(&self, token: Token) -> Parsed<Pattern> {
        let text = self.of(token);
        if text.len() <= 2 {
            return Err(FilterError::new(token.span, "nothing stands between these quotes"));
        }
        Ok(Pattern::literal(unquote(&text[1..text.len() - 1])))
    }

    fn term(&mut self, name: Token) -> Parsed<Expr> {
        let written = self.of(name);
        let field =
            Field::by_name(&written[..written.len() - 1]).expect("a field token is one of a known field");
        let mut values: Vec<(Pattern, Span)> = Vec::new();
        loop {
            let before = values.last().map_or(name.span, |(_, span)| *span);
            values.push(self.value(before, field)?);
            if self.next_if(TokenKind::Comma).is_none() {
                break;
            }
        }
        self.no_neighbour(values.last().map_or(name.span, |(_, span)| *span))?;
        build(field, name, values)
    }

    /// Parses the value that must follow directly after `before`.
    fn value(&mut self, before: Span, field: Field) -> Parsed<(Pattern, Span)> {
        let token = self.peek().filter(|token| {
            matches!(token.kind, TokenKind::Value | TokenKind::Quoted | TokenKind::Unclosed)
                && token.span.start <= before.end + 1
                && self.text[before.end..token.span.start].chars().all(|c| c == ',')
        });
        let Some(token) = token else {
            let example = Field::about(field);
            return Err(
                FilterError::new(before, format!("{} needs a value here", field.name())).hint(example)
            );
        };
        self.at += 1;
        self.count(token)?;
        match token.kind {
            TokenKind::Quoted => Ok((self.quoted_value(token)?, token.span)),
            TokenKind::Value => Ok((Pattern::bare(self.of(token)), token.span)),
            _ => Err(unclosed(token)),
        }
    }

    /// Refuses a token that touches a value: it was most likely meant as a part of it.
    fn no_neighbour(&self, value: Span) -> Parsed<()> {
        match self.peek() {
            Some(token) if token.span.start == value.end && token.kind != TokenKind::Close => {
                let error = FilterError::new(token.span, "this touches the value before it");
                Err(error.hint("put the whole value in quotes, or a space between"))
            }
            _ => Ok(()),
        }
    }
}

fn build(field: Field, name: Token, values: Vec<(Pattern, Span)>) -> Parsed<Expr> {
    match field {
        Field::Since | Field::Until => {
            if let [_, (_, second), ..] = &values[..] {
                return Err(FilterError::new(*second, format!("{} takes one time", field.name())));
            }
            let (pattern, span) = values.first().expect("a term has a value");
            let moment = TimeExpr::parse(pattern.text()).ok_or_else(|| {
                let error = format!("{} is not a time", printable(pattern.text()));
                FilterError::new(*span, error).hint(field.about())
            })?;
            Ok(if field == Field::Since { Expr::Since(moment) } else { Expr::Until(moment) })
        }
        Field::Address => {
            let one = |(pattern, span): &(Pattern, Span)| {
                AddressValue::parse(pattern).ok_or_else(|| {
                    let error = format!("{} is not an address or a network", printable(pattern.text()));
                    FilterError::new(*span, error).hint("for a name, use device: or target:")
                })
            };
            values.iter().map(one).collect::<Parsed<_>>().map(Expr::Address)
        }
        _ => {
            for (pattern, span) in &values {
                check(field, pattern, *span)?;
            }
            debug_assert!(name.kind == TokenKind::Field, "a term begins with its field");
            Ok(Expr::Term(field, values.into_iter().map(|(pattern, _)| pattern).collect()))
        }
    }
}

/// Refuses a value that no event of this version can have, unless it is a pattern.
fn check(field: Field, pattern: &Pattern, span: Span) -> Parsed<()> {
    if pattern.is_wild() {
        return Ok(());
    }
    let text = pattern.text();
    let wrong = |what: &str, hint: String| {
        Err(FilterError::new(span, format!("{} is not {what}", printable(text))).hint(hint))
    };
    match field {
        Field::Id if text.parse::<EventId>().is_err() => {
            wrong("an event id", "such as main.recorder.3.17, or with *: main.recorder.3.*".to_owned())
        }
        Field::Session if text.parse::<SessionId>().is_err() => {
            wrong("a session id", "such as 20261120-main-3-17, or with *: 20261120-*".to_owned())
        }
        Field::Kind | Field::Outcome | Field::Identity => {
            let words = field.vocabulary().unwrap_or_default();
            if words.iter().any(|word| is_or_extends(word, text)) {
                return Ok(());
            }
            let near = near(text, words.iter().copied());
            let known = if near.is_empty() && field != Field::Kind { words } else { near };
            let hint = if known.is_empty() {
                "a kind such as ssh.session.ended, or a beginning such as kube; see docs/filter-language.md"
                    .to_owned()
            } else {
                format!("did you mean {}?", known.join(", "))
            };
            wrong(&format!("a known {}", field.name()), hint)
        }
        _ => Ok(()),
    }
}

/// Whether `word` is `start`, or continues it after a dot.
pub(crate) fn is_or_extends(word: &str, start: &str) -> bool {
    let Some((head, tail)) = word.split_at_checked(start.len()) else { return false };
    head.eq_ignore_ascii_case(start) && (tail.is_empty() || tail.starts_with('.'))
}

fn unknown_field(token: Token, written: &str) -> FilterError {
    let name = &written[..written.len() - 1];
    if name.is_empty() {
        return FilterError::new(token.span, "a field's name is missing before this colon")
            .hint("quote a text that holds a colon");
    }
    let brought =
        FOREIGN_NAMES.iter().find(|(theirs, _)| theirs.eq_ignore_ascii_case(name)).map(|(_, ours)| *ours);
    let names = Field::ALL.map(Field::name);
    let likely = brought.map_or_else(|| near(name, names.into_iter()), |ours| vec![ours]);
    let hint = if likely.is_empty() {
        format!("fields are {}; quote a text that holds a colon", names.join(", "))
    } else {
        format!("did you mean {}? Quote a text that holds a colon", likely.join(", "))
    };
    FilterError::new(token.span, format!("there is no field {}", printable(name))).hint(hint)
}

fn unclosed(token: Token) -> FilterError {
    FilterError::new(token.span, "the closing quote is missing")
}

fn missing_side(token: Token) -> FilterError {
    FilterError::new(token.span, "something must stand on both sides of this word")
        .hint("quote it to search for the word itself")
}

/// Foreign text for a message: shortened, and without control characters for terminals.
fn printable(text: &str) -> String {
    format!("\"{}\"", meshtrail_event::text::shorten(text, 60))
}
