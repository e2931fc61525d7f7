//! A unified diff as a page shows it: numbered lines, what was added and removed by sign, by word and by colour.

use maud::{Markup, html};
use meshtrail_collect::diff::unified::{Row, Sign, rows};

use super::words;

/// Lines of a diff that stand open on a page; longer ones are folded.
const OPEN: usize = 14;

/// The most lines that are shown; the event has all of them.
const MOST: usize = 400;

/// The diff, open if it is short.
pub(crate) fn diff(text: &str) -> Markup {
    let lines = rows(text);
    let added = lines.iter().filter(|line| line.sign == Sign::Added).count();
    let removed = lines.iter().filter(|line| line.sign == Sign::Removed).count();
    let said = html! {
        @if added > 0 || removed == 0 { span.added { (words::counted(added as u64, "line", "lines")) " added" } }
        @if added > 0 && removed > 0 { ", " }
        @if removed > 0 { span.removed { (words::counted(removed as u64, "line", "lines")) " removed" } }
    };
    html! {
        @if lines.len() <= OPEN {
            p.small.q.diff-said { (said) }
            (table(&lines))
        } @else {
            details.diff-fold { summary.small { (said) } (table(&lines)) }
        }
    }
}

fn table(lines: &[Row<'_>]) -> Markup {
    html! {
        table.diff {
            thead.unseen { tr { th scope="col" { "Before" } th scope="col" { "After" } th scope="col" { "Line" } } }
            tbody {
                @for line in lines.iter().take(MOST) { (row(line)) }
                @if lines.len() > MOST { tr.place { td {} td {} td { "… and " (words::count((lines.len() - MOST) as u64)) " more lines; the event has all" } } }
            }
        }
    }
}

fn row(line: &Row<'_>) -> Markup {
    let number = |of: Option<usize>| html! { @match of { Some(of) => td.n { (of) }, None => td {} } };
    let (class, sign, said) = match line.sign {
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
                @if !said.is_empty() { span.unseen { (said) } }
                // A tab is no disguise, and policies are full of them.
                code { (words::foreign(&line.text.replace('\t', "    "))) }
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
