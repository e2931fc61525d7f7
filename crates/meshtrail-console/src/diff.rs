//! Rendering of a unified diff: numbered lines; additions and removals are marked by sign, by word and by colour.

use maud::{Markup, html};
use meshtrail_policy::unified::{Row, Sign, rows};

use super::format;

/// Most lines of a diff that is shown open; a longer one is folded.
const MAX_OPEN: usize = 14;

/// Most lines shown; the event has all of them.
const MAX_SHOWN: usize = 400;

/// Renders a diff, open if it is short.
pub(crate) fn diff(text: &str) -> Markup {
    let lines = rows(text);
    let added = lines.iter().filter(|line| line.sign == Sign::Added).count();
    let removed = lines.iter().filter(|line| line.sign == Sign::Removed).count();
    let summary = html! {
        @if added > 0 || removed == 0 { span.added { (format::plural(added as u64, "line", "lines")) " added" } }
        @if added > 0 && removed > 0 { ", " }
        @if removed > 0 { span.removed { (format::plural(removed as u64, "line", "lines")) " removed" } }
    };
    html! {
        @if lines.len() <= MAX_OPEN {
            p.small.q.diff-said { (summary) }
            (table(&lines))
        } @else {
            details.diff-fold { summary.small { (summary) } (table(&lines)) }
        }
    }
}

fn table(lines: &[Row<'_>]) -> Markup {
    html! {
        table.diff {
            thead.unseen { tr { th scope="col" { "Before" } th scope="col" { "After" } th scope="col" { "Line" } } }
            tbody {
                @for line in lines.iter().take(MAX_SHOWN) { (row(line)) }
                @if lines.len() > MAX_SHOWN { tr.place { td {} td {} td { "… and " (format::count((lines.len() - MAX_SHOWN) as u64)) " more lines; the event has all" } } }
            }
        }
    }
}

fn row(line: &Row<'_>) -> Markup {
    let number = |of: Option<usize>| html! { @match of { Some(of) => td.n { (of) }, None => td {} } };
    let (class, sign, label) = match line.sign {
        Sign::Head => ("place", "", ""),
        Sign::Added => ("add", "+", "added: "),
        Sign::Removed => ("del", "−", "removed: "),
        Sign::Same => ("same", " ", ""),
    };
    html! {
        tr class=(class) {
            (number(line.old)) (number(line.new))
            td {
                @if !sign.is_empty() { b.sign { (sign) } }
                @if !label.is_empty() { span.unseen { (label) } }
                // Tabs are harmless, and common in policies.
                code { (format::untrusted(&line.text.replace('\t', "    "))) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIFF: &str = "@@ -12,2 +12,3 @@\n \"acls\": [\n-  {\"src\": [\"group:dba\"]},\n+  {\"src\": [\"group:dba\", \"group:sre\"]},\n+  // checked\n";

    #[test]
    fn what_was_added_is_said_by_sign_and_word_and_not_by_colour_alone() {
        let shown = diff(DIFF).into_string();
        assert!(shown.contains("2 lines added") && shown.contains("1 line removed"), "{shown}");
        assert!(shown.contains(r#"<b class="sign">+</b><span class="unseen">added: </span>"#), "{shown}");
    }

    #[test]
    fn text_in_a_diff_can_not_disguise_the_page() {
        let shown = diff("+<script>\u{202e}").into_string();
        assert!(shown.contains("&lt;script&gt;\\u{202e}"), "{shown}");
    }
}
