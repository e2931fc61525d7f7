//! A shell's text as words and operators, after POSIX's token recognition, with the place of every letter.

use std::ops::Range;

use crate::decoded::Decoded;
use crate::spans::Span;

/// A word, or what stands between words.
pub(super) enum Item {
    Word(Word),
    Operator(Operator),
}

impl Item {
    pub(super) fn word(&self) -> Option<&Word> {
        match self {
            Item::Word(word) => Some(word),
            Item::Operator(_) => None,
        }
    }
}

/// What ends a command, or changes where it reads and writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Pipe,
    /// `;`, `&`, `&&`, `||`, a line's end, a bracket.
    End,
    HereString,
    Redirect,
}

/// The quotes that a letter stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quotes {
    None,
    Single,
    Double,
    /// `$'…'`
    Ansi,
}

/// A word without its quotes.
#[derive(Default)]
pub(super) struct Word {
    decoded: Decoded,
    /// For each byte of the text, the quotes it stood in.
    quotes: Vec<Quotes>,
    /// The parts of the text that a shell replaces: variables, output of commands.
    references: Vec<Range<usize>>,
    /// The commands within `$(…)` and backquotes, as ranges of the script.
    pub(super) substitutions: Vec<Range<usize>>,
}

impl Word {
    pub(super) fn text(&self) -> &str {
        &self.decoded.text
    }

    /// Whether all of the range is taken from elsewhere.
    pub(super) fn is_reference(&self, range: &Range<usize>) -> bool {
        let mut at = range.start;
        for reference in &self.references {
            if reference.start <= at && at < reference.end {
                at = reference.end;
            }
        }
        at >= range.end
    }

    /// What is taken from elsewhere, as ranges of the script.
    pub(super) fn raw_references(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.references.iter().map(|reference| self.decoded.origin(reference))
    }

    /// A span of the text as one of the script.
    pub(super) fn to_raw(&self, span: Span) -> Span {
        let (first, last) =
            (self.quotes_at(span.range.start), self.quotes_at(span.range.end.saturating_sub(1)));
        Span { range: self.decoded.origin(&span.range), value: span.value, after: between(first, last) }
    }

    fn quotes_at(&self, at: usize) -> Quotes {
        self.quotes.get(at).copied().unwrap_or(Quotes::None)
    }

    fn push(&mut self, letter: char, origin: Range<usize>, quotes: Quotes) {
        self.decoded.push(letter, origin);
        self.quotes.resize(self.decoded.text.len(), quotes);
    }
}

/// What closes the quotes of the first letter and opens those of the last one.
fn between(first: Quotes, last: Quotes) -> &'static str {
    match (first, last) {
        (first, last) if first == last => "",
        (Quotes::None, Quotes::Single) => "'",
        (Quotes::None, Quotes::Double) => "\"",
        (Quotes::None, Quotes::Ansi) => "$'",
        (Quotes::Double, Quotes::None) => "\"",
        (Quotes::Double, Quotes::Single) => "\"'",
        (Quotes::Double, Quotes::Ansi) => "\"$'",
        (_, Quotes::None) => "'",
        (_, Quotes::Single) => "''",
        (_, Quotes::Double) => "'\"",
        (_, Quotes::Ansi) => "'$'",
    }
}

/// The words and operators of a script. A quote or bracket that is not closed reaches to the end.
pub(super) fn split(script: &str) -> Vec<Item> {
    let mut reader = Reader { script, at: 0 };
    let mut items = Vec::new();
    while let Some(letter) = reader.peek() {
        match letter {
            ' ' | '\t' | '\r' => reader.at += 1,
            '#' => reader.skip_comment(),
            _ => match reader.operator() {
                Some(operator) => items.push(Item::Operator(operator)),
                None => items.push(Item::Word(reader.word())),
            },
        }
    }
    items
}

struct Reader<'a> {
    script: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        &self.script[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<(char, Range<usize>)> {
        let letter = self.peek()?;
        let start = self.at;
        self.at += letter.len_utf8();
        Some((letter, start..self.at))
    }

    fn skip_comment(&mut self) {
        self.at += self.rest().find('\n').unwrap_or(self.rest().len());
    }

    fn operator(&mut self) -> Option<Operator> {
        const OPERATORS: &[(&str, Operator)] = &[
            ("<<<", Operator::HereString),
            ("||", Operator::End),
            ("|&", Operator::Pipe),
            ("|", Operator::Pipe),
            ("&>", Operator::Redirect),
            (">&", Operator::Redirect),
            ("<&", Operator::Redirect),
            ("&", Operator::End),
            (";", Operator::End),
            ("\n", Operator::End),
            ("(", Operator::End),
            (")", Operator::End),
            ("<", Operator::Redirect),
            (">", Operator::Redirect),
        ];
        let (text, operator) = OPERATORS.iter().find(|(text, _)| self.rest().starts_with(text))?;
        self.at += text.len();
        Some(*operator)
    }

    fn word(&mut self) -> Word {
        let mut word = Word::default();
        while let Some(letter) = self.peek() {
            match letter {
                ' ' | '\t' | '\r' | '\n' | ';' | '&' | '|' | '<' | '>' | '(' | ')' => break,
                '\'' => self.single_quoted(&mut word),
                '"' => self.double_quoted(&mut word),
                '\\' => self.escaped(&mut word),
                '$' | '`' => self.reference(&mut word, Quotes::None),
                _ => self.plain(&mut word, Quotes::None),
            }
        }
        word
    }

    fn plain(&mut self, word: &mut Word, quotes: Quotes) {
        if let Some((letter, origin)) = self.next() {
            word.push(letter, origin, quotes);
        }
    }

    /// A backslash outside of quotes: the next letter is itself, a line's end is nothing.
    fn escaped(&mut self, word: &mut Word) {
        let start = self.at;
        self.at += 1;
        match self.next() {
            Some(('\n', _)) => {}
            Some((letter, origin)) => word.push(letter, start..origin.end, Quotes::None),
            None => word.push('\\', start..self.at, Quotes::None),
        }
    }

    fn single_quoted(&mut self, word: &mut Word) {
        self.at += 1;
        while let Some((letter, origin)) = self.next() {
            if letter == '\'' {
                return;
            }
            word.push(letter, origin, Quotes::Single);
        }
    }

    fn double_quoted(&mut self, word: &mut Word) {
        self.at += 1;
        while let Some(letter) = self.peek() {
            match letter {
                '"' => {
                    self.at += 1;
                    return;
                }
                '\\' => {
                    let start = self.at;
                    self.at += 1;
                    match self.peek() {
                        Some('\n') => self.at += 1,
                        Some(next @ ('$' | '`' | '"' | '\\')) => {
                            self.at += 1;
                            word.push(next, start..self.at, Quotes::Double);
                        }
                        _ => word.push('\\', start..self.at, Quotes::Double),
                    }
                }
                '$' | '`' => self.reference(word, Quotes::Double),
                _ => self.plain(word, Quotes::Double),
            }
        }
    }

    /// A variable, an expression or a command whose output is taken, or a dollar sign that is none of these.
    fn reference(&mut self, word: &mut Word, quotes: Quotes) {
        let rest = self.rest();
        if quotes == Quotes::None && rest.starts_with("$'") {
            return self.ansi_quoted(word);
        }
        let end = if rest.starts_with("$(") {
            let close = closing(rest, 1, '(', ')');
            word.substitutions.push(self.at + 2..self.at + close.max(2));
            close + 1
        } else if let Some(inner) = rest.strip_prefix('`') {
            let close = inner.find('`').map_or(rest.len(), |length| length + 1);
            word.substitutions.push(self.at + 1..self.at + close.max(1));
            close + 1
        } else if rest.starts_with("${") {
            closing(rest, 1, '{', '}') + 1
        } else {
            let name =
                rest[1..].bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
            let special = rest[1..].starts_with(['@', '*', '#', '?', '-', '$', '!']);
            if name == 0 && !special {
                return self.plain(word, quotes);
            }
            1 + name.max(1)
        };
        let (from, until) = (word.text().len(), (self.at + end).min(self.script.len()));
        while self.at < until {
            self.plain(word, quotes);
        }
        // `${VAR:-default}`: a default is written here.
        let text = &word.text()[from..];
        let default = text.starts_with("${") && (text.contains(":-") || text.contains(":="));
        if !default {
            word.references.push(from..word.text().len());
        }
    }

    fn ansi_quoted(&mut self, word: &mut Word) {
        self.at += 2;
        while let Some((letter, origin)) = self.next() {
            match letter {
                '\'' => return,
                '\\' => {
                    let Some((escape, end)) = self.next() else { return };
                    let shown = match escape {
                        'n' => '\n',
                        't' => '\t',
                        'r' => '\r',
                        other => other,
                    };
                    word.push(shown, origin.start..end.end, Quotes::Ansi);
                }
                _ => word.push(letter, origin, Quotes::Ansi),
            }
        }
    }
}

/// Where the bracket at `open` is closed, with regard to quotes; the text's end if it is not.
fn closing(text: &str, open: usize, begin: char, end: char) -> usize {
    let (mut depth, mut quote, mut escaped) = (0usize, None, false);
    for (at, letter) in text.char_indices().skip_while(|(at, _)| *at < open) {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '\'' | '"' if quote == Some(letter) => quote = None,
            '\'' | '"' if quote.is_none() => quote = Some(letter),
            _ if quote.is_some() => {}
            _ if letter == begin => depth += 1,
            _ if letter == end => {
                depth -= 1;
                if depth == 0 {
                    return at;
                }
            }
            _ => {}
        }
    }
    text.len()
}
