//! `changes`: what changed in the mesh, as a person would tell it.

use anyhow::Result;
use meshtrail_event::text::visible;
use meshtrail_event::{Actor, Timestamp};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::api::{Api, path};
use crate::args::Changes;
use crate::output::{line, note};

/// The most that is asked for at once.
const PAGE: usize = 500;

#[derive(Debug, Deserialize)]
struct Page {
    changes: Vec<Box<RawValue>>,
    #[serde(default)]
    next: Option<String>,
    #[serde(default)]
    read_since: Option<Timestamp>,
}

/// A change as the API gives it; what is not shown here is not read.
#[derive(Debug, Deserialize)]
struct Change {
    time: Timestamp,
    #[serde(default)]
    not_before: Option<Timestamp>,
    severity: String,
    #[serde(default)]
    actor: Actor,
    outcome: String,
    summary: String,
    #[serde(default)]
    lines: Vec<String>,
    #[serde(default)]
    has_diff: bool,
    #[serde(default)]
    diff: Option<String>,
    witnesses: Vec<Witness>,
}

#[derive(Debug, Deserialize)]
struct Witness {
    #[serde(default)]
    origin: Option<String>,
}

/// Tells what changed, by day, the newest first.
pub(crate) async fn run(asked: Changes) -> Result<()> {
    let api = Api::open(&asked.asking.source).await?;
    let (mut cursor, mut left) = (None, asked.limit);
    let mut day = String::new();
    let mut without_diff = false;
    while left > 0 {
        let parameters = [
            ("q", asked.filter.clone()),
            ("since", Some(asked.since.clone())),
            ("until", asked.until.clone()),
            ("severity", asked.severity.clone()),
            ("diff", Some(asked.diff.to_string())),
            ("limit", Some(left.min(PAGE).to_string())),
            ("cursor", cursor),
        ];
        let page: Page = api.get_json(&path("/api/v1/changes", &parameters)).await?;
        left = left.saturating_sub(page.changes.len());
        for text in &page.changes {
            if asked.asking.json {
                line(text.get())?;
                continue;
            }
            let change: Change = serde_json::from_str(text.get())?;
            let date = change.time.to_string()[..10].to_owned();
            if date != day {
                if !day.is_empty() {
                    line("")?;
                }
                line(&date)?;
                day = date;
            }
            without_diff |= change.has_diff && change.diff.is_none();
            told(&change)?;
        }
        if let Some(since) = page.read_since {
            note(&format!("There is more than was read before {since}: ask for it with --until."));
        }
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    if day.is_empty() && !asked.asking.json {
        note(&format!("Nothing changed since {}, as far as was told.", visible(&asked.since)));
    }
    if without_diff && !asked.asking.json {
        note("Differences of texts are shown with --diff.");
    }
    Ok(())
}

/// Columns before the sentence: time and severity.
const MARGIN: &str = "                ";

fn told(change: &Change) -> Result<()> {
    line(&headline(change))?;
    // One sentence alone stands in the summary already.
    if change.lines.len() > 1 {
        for text in &change.lines {
            line(&format!("{MARGIN}- {}", visible(text)))?;
        }
    }
    for text in change.diff.iter().flat_map(|diff| diff.lines()) {
        line(&format!("{MARGIN}  {}", visible(text)))?;
    }
    Ok(())
}

/// `  14:02  high    ana@example.com changed the policy file  (audit-log, snapshot)`.
fn headline(change: &Change) -> String {
    let clock = &change.time.to_string()[11..16];
    let mut text = format!("  {clock}  {:<7} {}", visible(&change.severity), visible(&change.summary));
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
        change.witnesses.iter().map(|witness| witness.origin.as_deref().unwrap_or("event")).collect();
    origins.dedup();
    text.push_str(&visible(&origins.join(", ")));
    text.push(')');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_one_line_with_its_time_weight_and_witnesses() {
        let change: Change = serde_json::from_str(
            r#"{"time":"2026-11-20T09:31:44Z","severity":"high","outcome":"success",
                "actor":{"person":{"login":"ana@example.com"}},
                "summary":"ana@example.com changed the policy file",
                "witnesses":[{"origin":"audit-log"},{"origin":"snapshot"}]}"#,
        )
        .unwrap();
        assert_eq!(
            headline(&change),
            "  09:31  high    ana@example.com changed the policy file  (audit-log, snapshot)"
        );
        let change: Change = serde_json::from_str(
            r#"{"time":"2026-11-20T09:31:44Z","severity":"low","outcome":"success",
                "not_before":"2026-11-20T09:30:44Z","summary":"device a\u001b[2J was renamed to b",
                "witnesses":[{"origin":"headscale"}]}"#,
        )
        .unwrap();
        assert_eq!(
            headline(&change),
            "  09:31  low     device a␛[2J was renamed to b  (after 09:30; headscale)"
        );
    }
}
