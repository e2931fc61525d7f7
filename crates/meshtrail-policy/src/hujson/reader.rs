//! The parser: from a text to nodes.

use super::{HujsonError, MAX_DEPTH, MAX_TEXT, Node, Shape};

pub(super) fn read(text: &str) -> Result<Node, HujsonError> {
    let mut reader = Reader { text, at: 0, line: 1, line_start: 0, depth: 0, mark: Mark::default() };
    if text.len() > MAX_TEXT {
        return Err(reader.error("the text is too long"));
    }
    if text.starts_with('\u{feff}') {
        reader.at = '\u{feff}'.len_utf8();
    }
    let node = reader.value()?;
    reader.skip_space()?;
    if reader.at < text.len() { Err(reader.error("something follows the value")) } else { Ok(node) }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    line: usize,
    line_start: usize,
    depth: usize,
    mark: Mark,
}

/// A position whose column is known, so that a long line is counted once and not for each of its values.
#[derive(Default)]
struct Mark {
    line_start: usize,
    at: usize,
    /// Characters of the line before `at`.
    chars: usize,
}

impl<'a> Reader<'a> {
    /// An error at the current position.
    fn error(&self, reason: &'static str) -> HujsonError {
        let column = self.text.get(self.line_start..self.at).map_or(1, |text| text.chars().count() + 1);
        HujsonError { line: self.line, column, reason }
    }

    /// The character of the current position in its line, from 1.
    fn column(&mut self) -> usize {
        if self.mark.line_start != self.line_start || self.mark.at > self.at {
            self.mark = Mark { line_start: self.line_start, at: self.line_start, chars: 0 };
        }
        self.mark.chars += self.text.get(self.mark.at..self.at).map_or(0, |text| text.chars().count());
        self.mark.at = self.at;
        self.mark.chars + 1
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn new_line(&mut self) {
        self.line += 1;
        self.line_start = self.at;
    }

    /// Skips white space and comments; returns the text of the comments right before the next token.
    fn skip_space(&mut self) -> Result<Option<String>, HujsonError> {
        let mut comments: Vec<&str> = Vec::new();
        let mut last_line = self.line;
        loop {
            match self.peek() {
                Some(b'\n') => {
                    self.at += 1;
                    self.new_line();
                }
                Some(b' ' | b'\t' | b'\r') => self.at += 1,
                Some(b'/') => {
                    // A comment before an empty line is not about the next token.
                    if self.line > last_line + 1 {
                        comments.clear();
                    }
                    comments.push(self.comment()?);
                    last_line = self.line;
                }
                _ => break,
            }
        }
        if self.line > last_line + 1 {
            return Ok(None);
        }
        Ok(Some(comments.join(" ")).filter(|text| !text.is_empty()))
    }

    /// Skips one comment; returns the text between its delimiters.
    fn comment(&mut self) -> Result<&'a str, HujsonError> {
        let rest = &self.text[self.at..];
        if let Some(inner) = rest.strip_prefix("//") {
            let end = inner.find('\n').unwrap_or(inner.len());
            self.at += 2 + end;
            return Ok(inner[..end].trim());
        }
        let Some(inner) = rest.strip_prefix("/*") else { return Err(self.error("a single slash")) };
        let Some(end) = inner.find("*/") else { return Err(self.error("the comment has no end")) };
        for (place, _) in inner[..end].match_indices('\n') {
            self.line += 1;
            self.line_start = self.at + 2 + place + 1;
        }
        self.at += end + 4;
        Ok(inner[..end].trim())
    }

    fn value(&mut self) -> Result<Node, HujsonError> {
        let comment = self.skip_space()?;
        let (line, column, start) = (self.line, self.column(), self.at);
        let shape = match self.peek() {
            Some(b'{') => self.nested(Self::object)?,
            Some(b'[') => self.nested(Self::list)?,
            Some(b'"') => Shape::Text(self.string()?),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(_) => self.literal()?,
            None => return Err(self.error("the text ends where a value should stand")),
        };
        Ok(Node { comment, line, column, span: start..self.at, shape })
    }

    fn nested(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<Shape, HujsonError>,
    ) -> Result<Shape, HujsonError> {
        if self.depth >= MAX_DEPTH {
            return Err(self.error("values stand too deep in each other"));
        }
        self.depth += 1;
        self.at += 1;
        let shape = read(self);
        self.depth -= 1;
        shape
    }

    fn list(&mut self) -> Result<Shape, HujsonError> {
        let mut items = Vec::new();
        loop {
            let (at, line, line_start) = (self.at, self.line, self.line_start);
            self.skip_space()?;
            if self.peek() == Some(b']') {
                self.at += 1;
                return Ok(Shape::List(items));
            }
            (self.at, self.line, self.line_start) = (at, line, line_start);
            items.push(self.value()?);
            self.separator(b']', "a list goes on with a comma or ends with ]")?;
        }
    }

    fn object(&mut self) -> Result<Shape, HujsonError> {
        let mut members = Vec::new();
        loop {
            let comment = self.skip_space()?;
            match self.peek() {
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Shape::Object(members));
                }
                Some(b'"') => {}
                _ => return Err(self.error("a member begins with its name in quotes")),
            }
            let (line, column) = (self.line, self.column());
            let name = self.string()?;
            self.skip_space()?;
            if self.peek() != Some(b':') {
                return Err(self.error("a colon follows a member's name"));
            }
            self.at += 1;
            let value = self.value()?;
            let comment = comment.or(value.comment);
            members.push((name, Node { comment, line, column, ..value }));
            self.separator(b'}', "an object goes on with a comma or ends with }")?;
        }
    }

    /// Skips a comma, or stops before the closing bracket.
    fn separator(&mut self, end: u8, reason: &'static str) -> Result<(), HujsonError> {
        self.skip_space()?;
        match self.peek() {
            Some(b',') => self.at += 1,
            Some(mark) if mark == end => {}
            _ => return Err(self.error(reason)),
        }
        Ok(())
    }

    fn string(&mut self) -> Result<String, HujsonError> {
        let bytes = self.text.as_bytes();
        let mut end = self.at + 1;
        loop {
            match bytes.get(end) {
                Some(b'"') => break,
                Some(b'\\') => end += 2,
                Some(b'\n') | None => return Err(self.error("the text in quotes has no end")),
                Some(_) => end += 1,
            }
        }
        let read = self.text.get(self.at..=end).and_then(|text| serde_json::from_str(text).ok());
        let text = read.ok_or_else(|| self.error("a wrong escape or a control character in quotes"))?;
        self.at = end + 1;
        Ok(text)
    }

    fn number(&mut self) -> Result<Shape, HujsonError> {
        let rest = &self.text[self.at..];
        let is_part = |byte: u8| byte.is_ascii_digit() || b"+-.eE".contains(&byte);
        let length = rest.bytes().take_while(|byte| is_part(*byte)).count();
        let number = serde_json::from_str(&rest[..length]);
        let number = number.map_err(|_| self.error("this is not a number as JSON has them"))?;
        self.at += length;
        Ok(Shape::Number(number))
    }

    fn literal(&mut self) -> Result<Shape, HujsonError> {
        let rest = &self.text[self.at..];
        let words = [("true", Shape::Bool(true)), ("false", Shape::Bool(false)), ("null", Shape::Null)];
        for (word, shape) in words {
            if rest.starts_with(word) {
                self.at += word.len();
                return Ok(shape);
            }
        }
        Err(self.error("this is no value"))
    }
}
