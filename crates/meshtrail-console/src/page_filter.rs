//! A page's filter, and the addresses of the same page with a changed filter.
//!
//! The address holds all state. Every link that narrows a list is built here, by adding a term to the filter.

use maud::{Markup, html};
use meshtrail_event::text::sentence_case;
use meshtrail_query::{Field, FilterError, TokenKind, term, tokens};

/// The filter of one page, with the other parameters of its address.
#[derive(Debug, Clone)]
pub struct PageFilter {
    /// The path of the list: `/events`.
    path: &'static str,
    /// The filter as typed.
    pub(crate) text: String,
    /// The `state` parameter of the list of sessions: `live`, `ended`, …; empty for all, and on other lists.
    pub state: String,
    /// Further parameters that addresses keep, by name: order, grouping of bars.
    pub parameters: Vec<(&'static str, String)>,
    /// Why `text` can't be parsed, if so.
    pub error: Option<FilterError>,
}

impl PageFilter {
    /// The filter `text` on the list at `path`.
    pub fn new(path: &'static str, text: impl Into<String>) -> PageFilter {
        PageFilter { path, text: text.into(), state: String::new(), parameters: Vec::new(), error: None }
    }

    /// Whether nothing is filtered out.
    pub(crate) fn is_empty(&self) -> bool {
        self.text.trim().is_empty() && self.state.is_empty()
    }

    /// The address where `field` must have `value`.
    pub(crate) fn including(&self, field: &str, value: &str) -> String {
        self.with_term(&term(field, value))
    }

    /// The address where `field` must not have `value`.
    pub(crate) fn excluding(&self, field: &str, value: &str) -> String {
        self.with_term(&format!("-{}", term(field, value)))
    }

    /// The address with `term` added; a term that is there already is not added again.
    pub(crate) fn with_term(&self, term: &str) -> String {
        let current = self.text.trim();
        let text = match (current.is_empty(), self.has_term(term)) {
            (true, _) => term.to_owned(),
            (false, true) => current.to_owned(),
            (false, false) => format!("{} {term}", parenthesised(current)),
        };
        self.with_text(&text)
    }

    /// Whether the filter contains exactly this term.
    pub(crate) fn has_term(&self, term: &str) -> bool {
        self.position_of(term).is_some()
    }

    fn position_of(&self, term: &str) -> Option<usize> {
        let stands_alone = |at: &usize| {
            let (before, after) = (&self.text[..*at], &self.text[at + term.len()..]);
            before.chars().next_back().is_none_or(char::is_whitespace)
                && after.chars().next().is_none_or(char::is_whitespace)
        };
        self.text.match_indices(term).map(|(at, _)| at).find(stands_alone)
    }

    /// The address without this term.
    pub(crate) fn without_term(&self, term: &str) -> String {
        let Some(at) = self.position_of(term) else { return self.with_text(self.text.trim()) };
        let (before, after) = (self.text[..at].trim(), self.text[at + term.len()..].trim());
        self.with_text(format!("{before} {after}").trim())
    }

    /// The address with another time range; both empty for all time.
    pub(crate) fn with_times(&self, since: &str, until: &str) -> String {
        let mut text = without_times(&self.text);
        if !(since.is_empty() && until.is_empty()) {
            text = parenthesised(&text);
        }
        for (field, value) in
            [("since", since), ("until", until)].iter().filter(|(_, value)| !value.is_empty())
        {
            text = format!("{text} {}", term(field, value));
        }
        self.with_text(text.trim())
    }

    /// The address with another filter text.
    fn with_text(&self, text: &str) -> String {
        self.address(text, &[])
    }

    fn address(&self, text: &str, more: &[(&str, &str)]) -> String {
        let mut parameters = vec![("q", text), ("state", &*self.state)];
        parameters.extend(self.parameters.iter().map(|(name, value)| (*name, &**value)));
        parameters.retain(|(name, _)| !more.iter().any(|(other, _)| other == name));
        parameters.extend(more);
        address(self.path, &parameters)
    }

    /// The address of the page at `cursor`.
    pub(crate) fn at_cursor(&self, cursor: &str) -> String {
        self.address(self.text.trim(), &[("cursor", cursor)])
    }

    /// The address with another `state` of sessions; empty for all.
    pub(crate) fn with_state(&self, state: &str) -> String {
        self.address(self.text.trim(), &[("state", state)])
    }

    /// The address with another value of a further parameter.
    pub(crate) fn with_parameter(&self, name: &str, value: &str) -> String {
        self.address(self.text.trim(), &[(name, value)])
    }

    /// The search box.
    pub(crate) fn form(&self) -> Markup {
        let error = self.error.as_ref();
        html! {
            form.ask action=(self.path) method="get" role="search" {
                label.sign for="q" { "/" }
                div.field {
                    input #q type="text" name="q" value=(self.text) autocomplete="off" autocapitalize="off" spellcheck="false"
                        aria-label="Filter" placeholder="actor:alice@example.com since:24h" maxlength="2000"
                        data-fields=(field_list()) data-wrong=[error.map(|error| self.error_range(error))]
                        aria-invalid=[error.map(|_| "true")] aria-describedby=[error.map(|_| "q-wrong")];
                }
                @if !self.state.is_empty() { input type="hidden" name="state" value=(self.state); }
                @for (name, value) in self.parameters.iter().filter(|(_, value)| !value.is_empty()) {
                    input type="hidden" name=(name) value=(value);
                }
                @if !self.text.trim().is_empty() { a.clear href=(self.with_text("")) { "clear" } }
                button type="submit" { "Ask" }
            }
            @if let Some(error) = error { (self.error_line(error)) }
        }
    }

    /// The filter with the wrong part underlined, the error and a hint; needs no scripts.
    fn error_line(&self, error: &FilterError) -> Markup {
        let start = self.text.floor_char_boundary(error.span.start);
        let end = self.text.floor_char_boundary(error.span.end).max(start);
        let (before, wrong, after) = (&self.text[..start], &self.text[start..end], &self.text[end..]);
        html! {
            div.mistake #q-wrong role="alert" {
                p { code { (before) mark { (if wrong.is_empty() { " " } else { wrong }) } (after) } }
                p {
                    (sentence_case(&error.message))
                    @if let Some(hint) = &error.hint { " " (sentence_case(hint)) }
                }
            }
        }
    }

    /// The range of the error in UTF-16 units, as a browser counts.
    fn error_range(&self, error: &FilterError) -> String {
        let units = error.span.in_utf16(&self.text);
        format!("{},{}", units.start, units.end)
    }

    /// A value as a link that adds it to the filter, and a link that excludes it.
    pub(crate) fn value_links(&self, field: &str, value: &str, shown: &Markup) -> Markup {
        html! {
            span.v {
                a.is href=(self.including(field, value)) data-field=(field) data-value=(value) { (shown) }
                a.not href=(self.excluding(field, value)) tabindex="-1" title={ "not " (value) } aria-label={ "not " (value) } { "≠" }
            }
        }
    }
}

/// The filter in parentheses, if a term appended to it would otherwise bind to one side of an `OR`.
fn parenthesised(text: &str) -> String {
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

/// The filter without its top-level `since:` and `until:` terms; unchanged if it has a top-level `OR`.
fn without_times(text: &str) -> String {
    let (mut rest, mut from, mut depth) = (String::new(), 0, 0);
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
                    rest.push_str(&text[from..token.span.start]);
                    let value = all.get(at + 1).filter(|next| next.span.start == token.span.end);
                    from = value.map_or(token.span.end, |value| value.span.end);
                }
            }
            _ => {}
        }
    }
    rest.push_str(&text[from..]);
    rest.trim().to_owned()
}

/// Every field with its description, as JSON, for the completion of the search box.
fn field_list() -> String {
    let all: Vec<(&str, &str)> = Field::ALL.iter().map(|field| (field.name(), field.about())).collect();
    serde_json::to_string(&all).expect("names are text")
}

/// An address of `path` and query parameters; parameters with an empty value are left out.
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

/// An address of `path` and one more segment, percent-encoded.
pub fn under(path: &str, part: &str) -> String {
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
        let filter = PageFilter::new("/events", "kind:ssh.*");
        assert_eq!(
            filter.including("actor", "a@example.com"),
            "/events?q=kind:ssh.%2A%20actor:a@example.com"
        );
        assert_eq!(filter.excluding("kind", "x"), "/events?q=kind:ssh.%2A%20-kind:x");
        let again = PageFilter::new("/events", "actor:a");
        assert_eq!(again.including("actor", "a"), "/events?q=actor:a");
    }

    #[test]
    fn a_stretch_of_time_takes_the_place_of_the_one_before() {
        let range = |text: &str| PageFilter::new("/events", text).with_times("7d", "");
        assert_eq!(range("since:24h kind:ssh"), "/events?q=kind:ssh%20since:7d");
        assert_eq!(range("rm until:\"2026-11-20\""), "/events?q=rm%20since:7d");
        assert_eq!(range("a OR b"), "/events?q=%28a%20OR%20b%29%20since:7d");
        assert_eq!(range("(since:1h OR x)"), "/events?q=%28since:1h%20OR%20x%29%20since:7d");
        assert_eq!(PageFilter::new("/events", "since:1h x").with_times("", ""), "/events?q=x");
    }

    #[test]
    fn a_term_that_narrows_can_be_taken_out_again() {
        let filter = PageFilter::new("/events", "actor:a outcome:denied");
        assert!(
            filter.has_term("outcome:denied")
                && !filter.has_term("outcome:den")
                && !filter.has_term("actor:")
        );
        assert_eq!(filter.without_term("actor:a"), "/events?q=outcome:denied");
        assert_eq!(
            PageFilter::new("/events", "a OR b").including("kind", "x"),
            "/events?q=%28a%20OR%20b%29%20kind:x"
        );
    }

    #[test]
    fn addresses_carry_any_text() {
        assert_eq!(address("/events", &[("q", "a&b=ü"), ("cursor", "")]), "/events?q=a%26b%3D%C3%BC");
        assert_eq!(under("/events", "main.recorder.1.7/x"), "/events/main.recorder.1.7%2Fx");
    }

    #[test]
    fn the_place_of_a_mistake_is_marked_even_within_a_character() {
        let mut filter = PageFilter::new("/events", "ü wer:x");
        filter.error = meshtrail_query::Filter::parse(&filter.text).err();
        let shown = filter.form().into_string();
        assert!(shown.contains("<mark>wer:</mark>") && shown.contains("There is no field"), "{shown}");
        assert!(shown.contains("data-wrong=\"2,6\""), "{shown}");
    }
}
