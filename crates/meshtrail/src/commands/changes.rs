//! `changes`: changes in the mesh, as sentences.

use anyhow::Result;
use meshtrail_api::changes::{ChangeView, ChangesPage, ChangesQuery};
use meshtrail_api::client::path;
use meshtrail_event::text::visible;
use serde_json::value::RawValue;

use crate::api::Api;
use crate::args::Changes;
use crate::output::{print_line, print_note};

/// The page size of requests.
const PAGE: usize = 500;

/// Prints the changes by day, the newest first.
pub(crate) async fn run(args: Changes) -> Result<()> {
    let api = Api::open(&args.api.source).await?;
    let (mut cursor, mut left) = (None, args.limit);
    let mut day = String::new();
    let mut without_diff = false;
    while left > 0 {
        let query = ChangesQuery {
            q: args.filter.clone(),
            since: Some(args.since.clone()),
            until: args.until.clone(),
            severity: args.severity.as_deref().map(Into::into),
            diff: args.diff,
            limit: Some(left.min(PAGE)),
            cursor,
        };
        let page: ChangesPage<Box<RawValue>> = api.get_json(&path("/api/v1/changes", &query)).await?;
        left = left.saturating_sub(page.changes.len());
        for text in &page.changes {
            if args.api.json {
                print_line(text.get())?;
                continue;
            }
            let change: ChangeView = serde_json::from_str(text.get())?;
            let date = change.time.to_string()[..10].to_owned();
            if date != day {
                if !day.is_empty() {
                    print_line("")?;
                }
                print_line(&date)?;
                day = date;
            }
            without_diff |= change.has_diff && change.diff.is_none();
            print_change(&change)?;
        }
        if let Some(since) = page.read_since {
            print_note(&format!("There is more than was read before {since}: ask for it with --until."));
        }
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    if day.is_empty() && !args.api.json {
        print_note(&format!("Nothing changed since {}, as far as was told.", visible(&args.since)));
    }
    if without_diff && !args.api.json {
        print_note("Differences of texts are shown with --diff.");
    }
    Ok(())
}

/// The indentation of lines below the headline: the columns of time and severity.
const MARGIN: &str = "                ";

fn print_change(change: &ChangeView) -> Result<()> {
    print_line(&headline(change))?;
    // A single line repeats the summary.
    if change.lines.len() > 1 {
        for text in &change.lines {
            print_line(&format!("{MARGIN}- {}", visible(text)))?;
        }
    }
    for text in change.diff.iter().flat_map(|diff| diff.lines()) {
        print_line(&format!("{MARGIN}  {}", visible(text)))?;
    }
    Ok(())
}

/// `  14:02  high    ana@example.com changed the policy file  (audit-log, snapshot)`.
fn headline(change: &ChangeView) -> String {
    let clock = &change.time.to_string()[11..16];
    let mut text =
        format!("  {clock}  {:<7} {}", visible(change.severity.as_str()), visible(&change.summary));
    if let Some(who) = change.actor.label()
        && !change.summary.contains(&who)
    {
        text.push_str(&format!(", by {}", visible(&who)));
    }
    if change.outcome != "success" {
        text.push_str(&format!(" [{}]", visible(&change.outcome)));
    }
    if let Some(before) = change.not_before.filter(|_| change.actor.is_empty()) {
        text.push_str(&format!("  (after {}", &before.to_string()[11..16]));
        text.push_str("; ");
    } else {
        text.push_str("  (");
    }
    let mut origins: Vec<&str> =
        change.events.iter().map(|event| event.origin.as_deref().unwrap_or("event")).collect();
    origins.dedup();
    text.push_str(&visible(&origins.join(", ")));
    text.push(')');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_one_line_with_its_time_severity_and_origins() {
        let change: ChangeView = serde_json::from_str(
            r#"{"time":"2026-11-20T09:31:44Z","kind":"policy.changed","severity":"high","outcome":"success",
                "actor":{"person":{"login":"ana@example.com"}},
                "summary":"ana@example.com changed the policy file","has_diff":false,"witnesses":[
                {"origin":"audit-log","event":"a.1.7","index":7,"position":"main:7","time":"2026-11-20T09:31:44Z",
                 "kind":"policy.changed","summary":""},
                {"origin":"snapshot","event":"a.1.8","index":8,"position":"main:8","time":"2026-11-20T09:31:44Z",
                 "kind":"policy.changed","summary":""}]}"#,
        )
        .unwrap();
        assert_eq!(
            headline(&change),
            "  09:31  high    ana@example.com changed the policy file  (audit-log, snapshot)"
        );
        let change: ChangeView = serde_json::from_str(
            r#"{"time":"2026-11-20T09:31:44Z","kind":"device.changed","severity":"low","outcome":"success",
                "not_before":"2026-11-20T09:30:44Z","summary":"device a\u001b[2J was renamed to b",
                "has_diff":false,"witnesses":[
                {"origin":"headscale","event":"a.1.9","index":9,"position":"main:9","time":"2026-11-20T09:31:44Z",
                 "kind":"device.changed","summary":""}]}"#,
        )
        .unwrap();
        assert_eq!(
            headline(&change),
            "  09:31  low     device a␛[2J was renamed to b  (after 09:30; headscale)"
        );
    }
}
