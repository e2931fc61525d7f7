//! The question a page answers: its filter, and the addresses that ask a slightly different one.
//!
//! The address bar is the state. Every link that narrows a list is made here, by adding a term to the filter.

use maud::{Markup, html};
use meshtrail_query::{Field, FilterError, TokenKind, tokens};

use super::words;

/// One page's filter.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    /// The list it belongs to: `/events`.
    pub(crate) path: &'static str,
    /// The filter as typed.
    pub(crate) text: String,
    /// Which sessions, beside the filter: `live`, `ended`, …; empty for all, and on other lists.
    pub(crate) state: String,
    /// How the list is shown beside that, which its addresses keep: names of parameters and their values.
    pub(crate) keep: Vec<(&'static str, String)>,
    /// What could not be read in it.
    pub(crate) mistake: Option<FilterError>,
}

impl Ask {
    /// The filter `text` on the list at `path`.
    pub(crate) fn new(path: &'static str, text: impl Into<String>) -> Ask {
        Ask { path, text: text.into(), state: String::new(), keep: Vec::new(), mistake: None }
    }

    /// Whether everything is asked for.
    pub(crate) fn is_open(&self) -> bool {
        self.text.trim().is_empty() && self.state.is_empty()
    }

    /// The address with `field` narrowed to `value`.
    pub(crate) fn is(&self, field: &str, value: &str) -> String {
        self.with(&term(field, value))
    }

    /// The address without what has `value` in `field`.
    pub(crate) fn is_not(&self, field: &str, value: &str) -> String {
        self.with(&format!("-{}", term(field, value)))
    }

    /// The address with one more term; one that is there already is not added again.
    pub(crate) fn with(&self, term: &str) -> String {
        let kept = self.text.trim();
        let text = match (kept.is_empty(), self.has(term)) {
            (true, _) => term.to_owned(),
            (false, true) => kept.to_owned(),
            (false, false) => format!("{} {term}", as_one(kept)),
        };
        self.asking(&text)
    }

    /// Whether the filter is narrowed by this very term.
    pub(crate) fn has(&self, term: &str) -> bool {
        self.place(term).is_some()
    }

    fn place(&self, term: &str) -> Option<usize> {
        let stands_alone = |at: &usize| {
            let (before, after) = (&self.text[..*at], &self.text[at + term.len()..]);
            before.chars().next_back().is_none_or(char::is_whitespace)
                && after.chars().next().is_none_or(char::is_whitespace)
        };
        self.text.match_indices(term).map(|(at, _)| at).find(stands_alone)
    }

    /// The address without this term.
    pub(crate) fn without(&self, term: &str) -> String {
        let Some(at) = self.place(term) else { return self.asking(self.text.trim()) };
        let (before, after) = (self.text[..at].trim(), self.text[at + term.len()..].trim());
        self.asking(format!("{before} {after}").trim())
    }

    /// The same question over another stretch of time; both empty for all of it.
    pub(crate) fn in_range(&self, since: &str, until: &str) -> String {
        let mut text = untimed(&self.text);
        if !(since.is_empty() && until.is_empty()) {
            text = as_one(&text);
        }
        for (field, value) in
            [("since", since), ("until", until)].iter().filter(|(_, value)| !value.is_empty())
        {
            text = format!("{text} {}", term(field, value));
        }
        self.asking(text.trim())
    }

    /// The address of the same list with another filter.
    fn asking(&self, text: &str) -> String {
        self.address(text, &[])
    }

    fn address(&self, text: &str, more: &[(&str, &str)]) -> String {
        let mut parameters = vec![("q", text), ("state", &*self.state)];
        parameters.extend(self.keep.iter().map(|(name, value)| (*name, &**value)));
        parameters.retain(|(name, _)| !more.iter().any(|(other, _)| other == name));
        parameters.extend(more);
        address(self.path, &parameters)
    }

    /// The address of another page of the same list.
    pub(crate) fn page(&self, cursor: &str) -> String {
        self.address(self.text.trim(), &[("cursor", cursor)])
    }

    /// The same question of sessions in another state; empty for all.
    pub(crate) fn in_state(&self, state: &str) -> String {
        self.address(self.text.trim(), &[("state", state)])
    }

    /// The same question, shown in another way.
    pub(crate) fn shown(&self, name: &str, value: &str) -> String {
        self.address(self.text.trim(), &[(name, value)])
    }

    /// The search box.
    pub(crate) fn form(&self) -> Markup {
        let wrong = self.mistake.as_ref();
        html! {
            form.ask action=(self.path) method="get" role="search" {
                label.sign for="q" { "/" }
                div.field {
                    input #q type="text" name="q" value=(self.text) autocomplete="off" autocapitalize="off" spellcheck="false"
                        aria-label="Filter" placeholder="actor:alice@example.com since:24h" maxlength="2000"
                        data-fields=(fields()) data-wrong=[wrong.map(|mistake| self.marked(mistake))]
                        aria-invalid=[wrong.map(|_| "true")] aria-describedby=[wrong.map(|_| "q-wrong")];
                }
                @if !self.state.is_empty() { input type="hidden" name="state" value=(self.state); }
                @for (name, value) in self.keep.iter().filter(|(_, value)| !value.is_empty()) {
                    input type="hidden" name=(name) value=(value);
                }
                @if !self.text.trim().is_empty() { a.clear href=(self.asking("")) { "clear" } }
                button type="submit" { "Ask" }
            }
            @if let Some(mistake) = wrong { (self.mistake_line(mistake)) }
        }
    }

    /// The filter again with the wrong part underlined, and what would have been right; readable without scripts.
    fn mistake_line(&self, mistake: &FilterError) -> Markup {
        let start = floor(&self.text, mistake.span.start);
        let end = floor(&self.text, mistake.span.end).max(start);
        let (before, wrong, after) = (&self.text[..start], &self.text[start..end], &self.text[end..]);
        html! {
            div.mistake #q-wrong role="alert" {
                p { code { (before) mark { (if wrong.is_empty() { " " } else { wrong }) } (after) } }
                p {
                    (words::sentence_case(&mistake.message))
                    @if let Some(hint) = &mistake.hint { " " (words::sentence_case(hint)) }
                }
            }
        }
    }

    /// Where the mistake stands, as a browser counts.
    fn marked(&self, mistake: &FilterError) -> String {
        let units = mistake.span.in_utf16(&self.text);
        format!("{},{}", units.start, units.end)
    }

    /// A value that can be clicked into the filter, with its opposite beside it.
    pub(crate) fn value(&self, field: &str, value: &str, shown: &Markup) -> Markup {
        html! {
            span.v {
                a.is href=(self.is(field, value)) data-field=(field) data-value=(value) { (shown) }
                a.not href=(self.is_not(field, value)) tabindex="-1" title={ "not " (value) } aria-label={ "not " (value) } { "≠" }
            }
        }
    }
}

/// A filter that more can be put behind: what stands beside an `OR` is taken together.
fn as_one(text: &str) -> String {
    let mut depth = 0;
    let has_or = tokens(text).iter().any(|token| {
        match token.kind {
            TokenKind::Open => depth += 1,
            TokenKind::Close => depth -= 1,
            _ => {}
        }
        depth == 0 && token.kind == TokenKind::Or
    });
    if has_or { format!("({text})") } else { text.to_owned() }
}

/// A filter without the times that hold for all of it.
fn untimed(text: &str) -> String {
    let (mut kept, mut from, mut depth) = (String::new(), 0, 0);
    let all = tokens(text);
    for (at, token) in all.iter().enumerate() {
        match token.kind {
            TokenKind::Open => depth += 1,
            TokenKind::Close => depth -= 1,
            TokenKind::Or if depth == 0 => return text.trim().to_owned(),
            TokenKind::Field if depth == 0 => {
                let name = &text[token.span.range()];
                let negated = at > 0 && all[at - 1].kind == TokenKind::Minus;
                let is_time = ["since:", "until:"].iter().any(|time| time.eq_ignore_ascii_case(name));
                if is_time && !negated {
                    kept.push_str(&text[from..token.span.start]);
                    let value = all.get(at + 1).filter(|next| next.span.start == token.span.end);
                    from = value.map_or(token.span.end, |value| value.span.end);
                }
            }
            _ => {}
        }
    }
    kept.push_str(&text[from..]);
    kept.trim().to_owned()
}

/// Every field and what it looks at, for the box to complete.
fn fields() -> String {
    let all: Vec<(&str, &str)> = Field::ALL.iter().map(|field| (field.name(), field.about())).collect();
    serde_json::to_string(&all).expect("names are text")
}

fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// `field:value`, quoted where the language would read the value as more than one word.
pub(crate) fn term(field: &str, value: &str) -> String {
    format!("{field}:{}", quoted_value(value))
}

/// A value as a term has it: in quotes where the language would read it as something else.
pub(crate) fn quoted_value(value: &str) -> String {
    let plain = |c: char| !c.is_whitespace() && !matches!(c, '"' | '\\' | '(' | ')' | ',' | '*');
    if !value.is_empty() && value.chars().all(plain) {
        return value.to_owned();
    }
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A path with query parameters; empty ones are left out.
pub(crate) fn address(path: &str, parameters: &[(&str, &str)]) -> String {
    let mut whole = path.to_owned();
    for (name, value) in parameters.iter().filter(|(_, value)| !value.is_empty()) {
        whole.push(if whole.contains('?') { '&' } else { '?' });
        whole.push_str(name);
        whole.push('=');
        encode(value, &mut whole);
    }
    whole
}

/// A path's last part, encoded.
pub(crate) fn under(path: &str, part: &str) -> String {
    let mut whole = format!("{path}/");
    encode(part, &mut whole);
    whole
}

fn encode(value: &str, out: &mut String) {
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b':' | b'@' | b',' => {
                out.push(char::from(byte));
            }
            b' ' => out.push_str("%20"),
            _ => {
                const HEX: &[u8; 16] = b"0123456789ABCDEF";
                out.push('%');
                out.push(char::from(HEX[usize::from(byte >> 4)]));
                out.push(char::from(HEX[usize::from(byte & 15)]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_clicked_is_added_to_the_filter_once() {
        let ask = Ask::new("/events", "kind:ssh.*");
        assert_eq!(ask.is("actor", "a@example.com"), "/events?q=kind:ssh.%2A%20actor:a@example.com");
        assert_eq!(ask.is_not("kind", "x"), "/events?q=kind:ssh.%2A%20-kind:x");
        let again = Ask::new("/events", "actor:a");
        assert_eq!(again.is("actor", "a"), "/events?q=actor:a");
    }

    #[test]
    fn a_stretch_of_time_takes_the_place_of_the_one_before() {
        let range = |text: &str| Ask::new("/events", text).in_range("7d", "");
        assert_eq!(range("since:24h kind:ssh"), "/events?q=kind:ssh%20since:7d");
        assert_eq!(range("rm until:\"2026-11-20\""), "/events?q=rm%20since:7d");
        assert_eq!(range("a OR b"), "/events?q=%28a%20OR%20b%29%20since:7d");
        assert_eq!(range("(since:1h OR x)"), "/events?q=%28since:1h%20OR%20x%29%20since:7d");
        assert_eq!(Ask::new("/events", "since:1h x").in_range("", ""), "/events?q=x");
    }

    #[test]
    fn a_term_that_narrows_can_be_taken_out_again() {
        let ask = Ask::new("/events", "actor:a outcome:denied");
        assert!(ask.has("outcome:denied") && !ask.has("outcome:den") && !ask.has("actor:"));
        assert_eq!(ask.without("actor:a"), "/events?q=outcome:denied");
        assert_eq!(Ask::new("/events", "a OR b").is("kind", "x"), "/events?q=%28a%20OR%20b%29%20kind:x");
    }

    #[test]
    fn a_value_that_is_not_one_word_is_quoted() {
        assert_eq!(term("command", "rm -rf \"x\""), r#"command:"rm -rf \"x\"""#);
        assert_eq!(term("actor", "tag:ci"), "actor:tag:ci");
        assert_eq!(term("actor", ""), "actor:\"\"");
    }

    #[test]
    fn addresses_carry_any_text() {
        assert_eq!(address("/events", &[("q", "a&b=ü"), ("cursor", "")]), "/events?q=a%26b%3D%C3%BC");
        assert_eq!(under("/events", "main.recorder.1.7/x"), "/events/main.recorder.1.7%2Fx");
    }

    #[test]
    fn the_place_of_a_mistake_is_marked_even_within_a_character() {
        let mut ask = Ask::new("/events", "ü wer:x");
        ask.mistake = meshtrail_query::Filter::parse(&ask.text).err();
        let shown = ask.form().into_string();
        assert!(shown.contains("<mark>wer:</mark>") && shown.contains("There is no field"), "{shown}");
        assert!(shown.contains("data-wrong=\"2,6\""), "{shown}");
    }
}
