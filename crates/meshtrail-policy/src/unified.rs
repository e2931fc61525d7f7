//! Unified diffs of texts, with hunks as `diff -u` writes them.
//!
//! Work is bounded: where two texts differ in more than 1,500 lines, the differing part is shown as replaced.

use meshtrail_event::text::json_len;

/// The most inserted and deleted lines for which the shortest edit script is searched.
const MAX_EDITS: usize = 1500;

/// The unchanged lines shown around a change.
const CONTEXT: usize = 3;

/// The kind of a line in a diff.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// In both texts.
    Same,
    /// Only in the old one.
    Removed,
    /// Only in the new one.
    Added,
    /// The head of a hunk, or the number of lines left out.
    Head,
}

/// A line of a diff, for display.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row<'a> {
    /// Its kind.
    pub sign: Sign,
    /// Its number in the old text, from 1.
    pub old: Option<usize>,
    /// Its number in the new text, from 1.
    pub new: Option<usize>,
    /// The line, without its sign.
    pub text: &'a str,
}

/// The hunks that turn `old` into `new`, with three lines of context; empty where the two are equal. At most about `max`
/// bytes as JSON text; if lines are left out, the last line has their number.
pub fn unified(old: &str, new: &str, max: usize) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let edits = edits(&old, &new);
    let mut out = String::new();
    let (mut left_out, mut bytes) = (0, 0);
    for hunk in hunks(&edits) {
        let lines = render(hunk, &old, &new);
        for line in lines {
            bytes += 2 + line.chars().map(json_len).sum::<usize>();
            if left_out == 0 && bytes < max {
                out.push_str(&line);
                out.push('\n');
            } else {
                left_out += 1;
            }
        }
    }
    if left_out > 0 {
        out.push_str(&format!("@@ {left_out} more lines @@\n"));
    }
    out
}

/// The lines of a unified diff with their numbers.
pub fn rows(diff: &str) -> Vec<Row<'_>> {
    let (mut old, mut new) = (1, 1);
    diff.lines()
        .map(|line| {
            let text = line.get(1..).unwrap_or_default();
            match line.as_bytes().first() {
                Some(b'@') => {
                    (old, new) = parse_hunk_starts(line).unwrap_or((old, new));
                    Row { sign: Sign::Head, old: None, new: None, text: line }
                }
                Some(b'-') => {
                    old += 1;
                    Row { sign: Sign::Removed, old: Some(old - 1), new: None, text }
                }
                Some(b'+') => {
                    new += 1;
                    Row { sign: Sign::Added, old: None, new: Some(new - 1), text }
                }
                _ => {
                    (old, new) = (old + 1, new + 1);
                    Row { sign: Sign::Same, old: Some(old - 1), new: Some(new - 1), text }
                }
            }
        })
        .collect()
}

/// The first lines of a hunk in the old and the new text, from its head `@@ -3,7 +3,8 @@`.
fn parse_hunk_starts(head: &str) -> Option<(usize, usize)> {
    let mut words = head.split(' ').skip(1);
    let mut number = |sign: char| words.next()?.strip_prefix(sign)?.split(',').next()?.parse().ok();
    Some((number('-')?, number('+')?))
}

/// One step from the old lines to the new ones, with the line numbers in both, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edit {
    Same(usize, usize),
    Removed(usize, usize),
    Added(usize, usize),
}

fn edits(old: &[&str], new: &[&str]) -> Vec<Edit> {
    let head = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let (old_rest, new_rest) = (&old[head..], &new[head..]);
    let tail = old_rest.iter().rev().zip(new_rest.iter().rev()).take_while(|(a, b)| a == b).count();
    let (inner_old, inner_new) = (&old_rest[..old_rest.len() - tail], &new_rest[..new_rest.len() - tail]);
    let mut edits: Vec<Edit> = (0..head).map(|at| Edit::Same(at, at)).collect();
    let inner =
        shortest_edits(inner_old, inner_new).unwrap_or_else(|| replace_all(inner_old.len(), inner_new.len()));
    edits.extend(inner.into_iter().map(|edit| match edit {
        Edit::Same(a, b) => Edit::Same(a + head, b + head),
        Edit::Removed(a, b) => Edit::Removed(a + head, b + head),
        Edit::Added(a, b) => Edit::Added(a + head, b + head),
    }));
    edits.extend((0..tail).map(|at| Edit::Same(old.len() - tail + at, new.len() - tail + at)));
    edits
}

/// Removes every old line and adds every new one.
fn replace_all(old: usize, new: usize) -> Vec<Edit> {
    let removed = (0..old).map(|at| Edit::Removed(at, 0));
    removed.chain((0..new).map(|at| Edit::Added(old, at))).collect()
}

/// The shortest edit script, by Myers' greedy algorithm ("An O(ND) Difference Algorithm", 1986); none where it is longer
/// than [`MAX_EDITS`].
fn shortest_edits(old: &[&str], new: &[&str]) -> Option<Vec<Edit>> {
    let most = (old.len() + new.len()).min(MAX_EDITS);
    // `furthest[k + most + 1]` is how far into the old lines diagonal k reaches; `rows` has one row per number of edits.
    let mut furthest = vec![0usize; 2 * most + 3];
    let centre = most + 1;
    let mut rows: Vec<Vec<usize>> = Vec::new();
    for edits in 0..=most {
        for step in 0..=edits {
            let diagonal = centre + 2 * step - edits;
            let down = step == 0 || (step < edits && furthest[diagonal - 1] < furthest[diagonal + 1]);
            let mut x = if down { furthest[diagonal + 1] } else { furthest[diagonal - 1] + 1 };
            let mut y = x + centre - diagonal;
            while x < old.len() && y < new.len() && old[x] == new[y] {
                (x, y) = (x + 1, y + 1);
            }
            furthest[diagonal] = x;
            if x >= old.len() && y >= new.len() {
                return Some(trace_back(&rows, centre, edits, (old.len(), new.len())));
            }
        }
        rows.push(furthest[centre - edits..=centre + edits].to_vec());
    }
    None
}

/// Follows the rows from the end back to the beginning; returns the edits in forward order.
fn trace_back(rows: &[Vec<usize>], centre: usize, edits: usize, end: (usize, usize)) -> Vec<Edit> {
    let (mut x, mut y) = end;
    let mut path = Vec::new();
    for edits in (1..=edits).rev() {
        let row = &rows[edits - 1];
        let at = |diagonal: usize| {
            let offset = (diagonal + edits).checked_sub(centre + 1);
            offset.and_then(|offset| row.get(offset)).copied()
        };
        let diagonal = centre + x - y;
        let (less, more) = (at(diagonal - 1), at(diagonal + 1));
        let step = diagonal + edits - centre;
        let down = step == 0 || (step < 2 * edits && less.unwrap_or(0) < more.unwrap_or(0));
        let from = if down { diagonal + 1 } else { diagonal - 1 };
        let from_x = at(from).unwrap_or(0);
        let from_y = from_x + centre - from;
        while x > from_x + usize::from(!down) && y > from_y + usize::from(down) {
            (x, y) = (x - 1, y - 1);
            path.push(Edit::Same(x, y));
        }
        (x, y) = (from_x, from_y);
        path.push(if down { Edit::Added(x, y) } else { Edit::Removed(x, y) });
    }
    while x > 0 && y > 0 {
        (x, y) = (x - 1, y - 1);
        path.push(Edit::Same(x, y));
    }
    path.reverse();
    path
}

/// Runs of edits with their context.
fn hunks(edits: &[Edit]) -> Vec<&[Edit]> {
    let mut hunks = Vec::new();
    let changed: Vec<usize> = (0..edits.len()).filter(|at| !matches!(edits[*at], Edit::Same(..))).collect();
    let mut changed = changed.into_iter().peekable();
    while let Some(first) = changed.next() {
        let mut last = first;
        while let Some(next) = changed.next_if(|next| *next <= last + 2 * CONTEXT + 1) {
            last = next;
        }
        hunks.push(&edits[first.saturating_sub(CONTEXT)..(last + CONTEXT + 1).min(edits.len())]);
    }
    hunks
}

fn render(hunk: &[Edit], old: &[&str], new: &[&str]) -> Vec<String> {
    let (mut olds, mut news) = (0, 0);
    for edit in hunk {
        olds += usize::from(!matches!(edit, Edit::Added(..)));
        news += usize::from(!matches!(edit, Edit::Removed(..)));
    }
    let (Edit::Same(a, b) | Edit::Removed(a, b) | Edit::Added(a, b)) = hunk[0];
    // As in `diff -u`, an empty range is numbered by the line before it.
    let number = |start: usize, count: usize| if count == 0 { start } else { start + 1 };
    let head = format!("@@ -{},{olds} +{},{news} @@", number(a, olds), number(b, news));
    let line = |edit: &Edit| match *edit {
        Edit::Same(a, _) => format!(" {}", old[a]),
        Edit::Removed(a, _) => format!("-{}", old[a]),
        Edit::Added(_, b) => format!("+{}", new[b]),
    };
    std::iter::once(head).chain(hunk.iter().map(line)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Sign, rows, unified};

    /// Applies a diff to the old text.
    fn apply(old: &str, diff: &str) -> Vec<String> {
        let old: Vec<&str> = old.lines().collect();
        let (mut out, mut at) = (Vec::new(), 0);
        for row in rows(diff) {
            let before = match row.sign {
                Sign::Head => continue,
                Sign::Added => {
                    out.push(row.text.to_owned());
                    continue;
                }
                Sign::Same | Sign::Removed => row.old.unwrap_or_default() - 1,
            };
            out.extend(old[at..before].iter().map(|line| (*line).to_owned()));
            assert_eq!(old[before], row.text);
            at = before + 1;
            if row.sign == Sign::Same {
                out.push(row.text.to_owned());
            }
        }
        out.extend(old[at..].iter().map(|line| (*line).to_owned()));
        out
    }

    #[test]
    fn hunks_read_as_diff_writes_them() {
        let old = "a\nb\nc\nd\ne\nf\ng\nh\n";
        let new = "a\nb\nc\nd\nE\nf\ng\nh\ni\n";
        assert_eq!(unified(old, new, 1000), "@@ -2,7 +2,8 @@\n b\n c\n d\n-e\n+E\n f\n g\n h\n+i\n");
        assert_eq!(unified("", "x\n", 1000), "@@ -0,0 +1,1 @@\n+x\n");
        assert_eq!(unified(old, old, 1000), "");
    }

    #[test]
    fn long_diffs_say_how_much_is_left_out_and_wholly_different_texts_cost_little() {
        let old: String = (0..5000).map(|line| format!("old {line}\n")).collect();
        let new: String = (0..5000).map(|line| format!("new {line}\n")).collect();
        let diff = unified(&old, &new, 2000);
        assert!(diff.len() < 2100 && diff.ends_with(" more lines @@\n"), "{diff}");
    }

    proptest! {
        #[test]
        fn a_diff_makes_the_new_text_of_the_old(
            old in prop::collection::vec("[a-c]", 0..30), new in prop::collection::vec("[a-c]", 0..30),
        ) {
            let (old, new) = (old.join("\n"), new.join("\n"));
            let diff = unified(&old, &new, usize::MAX);
            let expected: Vec<_> = new.lines().map(str::to_owned).collect();
            // Without common lines before a hunk, its first rows have no old line number to place it by.
            prop_assert_eq!(apply(&old, &diff), expected, "{}", diff);
        }
    }
}
