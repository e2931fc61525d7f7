//! `sources`

use anyhow::Result;
use meshtrail_api::sources::{SourceList, SourceView, UnseenView};
use serde_json::value::RawValue;

use crate::api::Api;
use crate::args::SourcesList;
use crate::output::{Fit, Table, print_line, print_note};
use crate::units::format_time;

/// Lists every source and its state.
pub(crate) async fn list(list: SourcesList) -> Result<()> {
    let server = Api::open_server(&list.api.source, "asking how sources do").await?;
    let page: SourceList<Box<RawValue>> = server.get_json("/api/v1/sources").await?;
    if list.api.json {
        return page.sources.iter().try_for_each(|source| Ok(print_line(source.get())?));
    }
    if page.sources.is_empty() {
        print_note(
            "No sources yet. docs/sources.md says how to name a Tailscale or Headscale to collect from.",
        );
        return Ok(());
    }
    let mut table = Table::new([
        ("SOURCE", Fit::Whole),
        ("STATE", Fit::Whole),
        ("LAST HEARD", Fit::Whole),
        ("LAG", Fit::Right),
        ("EVENTS", Fit::Right),
        ("PER S", Fit::Right),
        ("GAPS", Fit::Right),
        ("TROUBLE", Fit::Cut(8)),
    ]);
    for text in &page.sources {
        let source: SourceView = serde_json::from_str(text.get())?;
        table.row([
            source.name,
            source.state.to_string(),
            source.last_heard.map_or_else(|| "never".to_owned(), format_time),
            source.lag_ms.map_or_else(String::new, lag_text),
            source.events.to_string(),
            format!("{:.1}", source.rate),
            source.gaps.to_string(),
            trouble_text(source.trouble, &source.unseen),
        ]);
    }
    Ok(table.print()?)
}

/// Why a source does not work, and which parts of it are no longer visible.
fn trouble_text(trouble: Option<String>, unseen: &[UnseenView]) -> String {
    // A part that was never visible is missing from the plan, or not requested.
    let unseen = unseen.iter().filter_map(|UnseenView { part, since, reason }| {
        Some(format!("{part} not visible since {}: {reason}", format_time((*since)?)))
    });
    trouble.into_iter().chain(unseen).collect::<Vec<_>>().join("; ")
}

/// A lag in its largest whole unit.
fn lag_text(milliseconds: u64) -> String {
    match milliseconds {
        0..1_000 => format!("{milliseconds}ms"),
        1_000..120_000 => format!("{}s", milliseconds / 1_000),
        120_000..7_200_000 => format!("{}m", milliseconds / 60_000),
        7_200_000..172_800_000 => format!("{}h", milliseconds / 3_600_000),
        _ => format!("{}d", milliseconds / 86_400_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lag_is_written_so_that_it_is_read_at_a_glance() {
        let texts: Vec<String> = [7, 1_500, 60_000, 600_000, 8_000_000, 999_999_999].map(lag_text).into();
        assert_eq!(texts, ["7ms", "1s", "60s", "10m", "2h", "11d"]);
    }
}
