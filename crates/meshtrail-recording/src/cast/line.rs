//! One event line: `[seconds, code, data]`.

use std::borrow::Cow;

use serde_json::Value;

/// The code of an event line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// Output to the terminal.
    Output,
    /// Keystrokes. No known client sends them; they are never played.
    Input,
    /// A new terminal size.
    Resize,
    /// A marker.
    Marker,
    /// Any other code: played unchanged.
    Other(char),
}

/// A parsed event line.
#[derive(Debug, Clone, PartialEq)]
pub struct CastLine<'a> {
    /// Seconds since the start; NaN if the line has no finite number there.
    pub time: f64,
    /// The code.
    pub code: Code,
    /// The text.
    pub data: Cow<'a, str>,
    /// Whether bytes that are not UTF-8 were replaced.
    pub replaced: bool,
}

/// Why a line is no event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum LineError {
    /// Possibly a second header.
    #[error("line: expected a list, found an object")]
    Object,
    #[error("line: expected [time, code, data], {reason}")]
    Shape { reason: String },
    /// `found` is shortened.
    #[error("line.code: expected one character, found {found:?}")]
    Code { found: String },
}

/// Parses one line without its line feed.
pub fn parse_line(line: &[u8]) -> Result<CastLine<'_>, LineError> {
    match std::str::from_utf8(line) {
        Ok(text) => parse_text(text),
        Err(_) => {
            let text = String::from_utf8_lossy(line);
            let CastLine { time, code, data, .. } = parse_text(&text)?;
            Ok(CastLine { time, code, data: Cow::Owned(data.into_owned()), replaced: true })
        }
    }
}

fn parse_text(text: &str) -> Result<CastLine<'_>, LineError> {
    let text = text.trim_ascii();
    if text.starts_with('{') {
        return Err(LineError::Object);
    }
    let rest = text.strip_prefix('[').ok_or_else(|| shape("no list"))?;
    // The time is parsed apart from the rest: a time that is no JSON (NaN, Infinity) does not make the line unreadable.
    let (time, rest) = rest.split_once(',').ok_or_else(|| shape("only one member"))?;
    let time = time.trim_ascii().parse::<f64>().ok().filter(|time| time.is_finite()).unwrap_or(f64::NAN);
    let (code, data) = code_and_data(rest)?;
    Ok(CastLine { time, code, data, replaced: false })
}

/// A string, borrowed from the line if it has no escapes.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

fn code_and_data(rest: &str) -> Result<(Code, Cow<'_, str>), LineError> {
    let (code, after) = string(rest)?;
    let after = after.trim_ascii_start().strip_prefix(',').ok_or_else(|| shape("only two members"))?;
    let mut characters = code.chars();
    let code = match (characters.next(), characters.next()) {
        (Some('o'), None) => Code::Output,
        (Some('i'), None) => Code::Input,
        (Some('r'), None) => Code::Resize,
        (Some('m'), None) => Code::Marker,
        (Some(other), None) => Code::Other(other),
        _ => return Err(LineError::Code { found: code.chars().take(8).collect() }),
    };
    let (data, end) = match string(after) {
        Ok(found) => found,
        // Other codes may have numbers or objects as data, which are kept as text.
        Err(error) => match (code, after.trim_ascii().strip_suffix(']')) {
            (Code::Other(_), Some(value)) if serde_json::from_str::<Value>(value).is_ok() => {
                return Ok((code, Cow::Owned(value.trim_ascii().to_owned())));
            }
            _ => return Err(error),
        },
    };
    match end.trim_ascii() {
        "]" => Ok((code, data)),
        "" => Err(shape("the list is not closed")),
        _ => Err(shape("more than three members")),
    }
}

fn string(text: &str) -> Result<(Cow<'_, str>, &str), LineError> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Text<'_>>();
    match values.next() {
        Some(Ok(Text(found))) => Ok((found, &text[values.byte_offset()..])),
        Some(Err(error)) => Err(shape(&error.to_string())),
        None => Err(shape("a string is missing")),
    }
}

fn shape(reason: &str) -> LineError {
    LineError::Shape { reason: reason.to_owned() }
}

impl CastLine<'_> {
    /// The line for playback: valid asciicast v2 without its line feed.
    pub fn to_playable(&self) -> String {
        let code = match self.code {
            Code::Output => 'o',
            Code::Input => 'i',
            Code::Resize => 'r',
            Code::Marker => 'm',
            Code::Other(other) => other,
        };
        let data = Value::String(self.data.as_ref().to_owned());
        let code = Value::String(code.to_string());
        format!("[{}, {code}, {data}]", self.time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_with_exponents_escapes_and_spaces() {
        let line = parse_line(br#" [1e-7, "o" ,"\u003ca\u003e\u001b[m"] "#).unwrap();
        assert_eq!((line.time, line.code, line.data.as_ref()), (1e-7, Code::Output, "<a>\u{1b}[m"));
        assert!(matches!(parse_line(br#"[1,"o","plain"]"#).unwrap().data, Cow::Borrowed("plain")));
    }

    #[test]
    fn a_time_that_is_no_number_does_not_cost_the_line() {
        for time in ["NaN", "null", "\"x\"", "1e999", "-Infinity"] {
            let line = format!("[{time},\"o\",\"kept\"]");
            let parsed = parse_line(line.as_bytes()).unwrap();
            assert!(parsed.time.is_nan() && parsed.data == "kept", "{time}");
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_are_replaced_and_said_so() {
        let line = parse_line(b"[0,\"o\",\"a\xffb\"]").unwrap();
        assert_eq!((line.data.as_ref(), line.replaced), ("a\u{fffd}b", true));
    }

    #[test]
    fn errors_say_what_was_expected_where() {
        let error = |line: &str| parse_line(line.as_bytes()).unwrap_err().to_string();
        assert_eq!(error("{\"version\":2}"), "line: expected a list, found an object");
        assert_eq!(error("[1,\"out\",\"x\"]"), "line.code: expected one character, found \"out\"");
        assert_eq!(error("[1,\"o\",\"x\""), "line: expected [time, code, data], the list is not closed");
        assert_eq!(error("[1,\"o\",\"x\",4]"), "line: expected [time, code, data], more than three members");
        assert!(error("[1,\"o\",7]").contains("invalid type: integer `7`"));
        assert!(error("[1]").contains("only one member"));
        assert!(error("nonsense").contains("no list"));
    }
}
