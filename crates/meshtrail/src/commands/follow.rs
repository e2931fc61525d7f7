//! `events query --follow`.
//!
//! - Each event is printed once, in the order of the trail, even if the server restarts meanwhile: following resumes
//!   after the last event that was received.
//! - Ctrl-C ends it, with exit status 0.

use std::time::Duration;

use anyhow::{Result, bail};
use meshtrail_api::client::{Client, SseFrame, path};
use meshtrail_api::events::{self, EventsAnswer, FollowQuery};
use meshtrail_event::text::visible;
use meshtrail_event::{Event, RelativePosition};
use tokio::signal::unix::{SignalKind, signal};
use unicode_width::UnicodeWidthStr;

use super::events::row;
use crate::api::{Api, refusal};
use crate::args::EventsQuery;
use crate::output::{print_line, print_note, terminal_width, truncate};

/// The most existing events that are shown first.
const MAX_EXISTING: usize = 1000;

/// How long to wait before reconnecting to the server.
const RETRY_DELAY: Duration = Duration::from_secs(2);

/// The longest accepted line of the stream, in bytes: a leaf and its framing.
const MAX_LINE: usize = 1 << 20;

/// Prints the newest events that match a filter, then new ones as they come.
pub(crate) async fn follow(query: EventsQuery) -> Result<()> {
    let api = Api::open_server(&query.api.source, "following events").await?;
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut follower = Follower { api, filter: query.filter, json: query.api.json, last: None };
    tokio::select! {
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
        result = follower.run(query.limit.min(MAX_EXISTING)) => result,
    }
}

struct Follower {
    api: Client,
    filter: Option<String>,
    json: bool,
    /// The position of the last event that the server has read.
    last: Option<RelativePosition>,
}

impl Follower {
    async fn run(&mut self, before: usize) -> Result<()> {
        if before > 0 {
            self.show_existing(before).await?;
        }
        loop {
            match self.stream().await {
                // The request itself is refused: a retry would be refused as well.
                Err(error) if refusal(&error).is_some() => return Err(error),
                Err(error) if crate::output::is_closed_pipe(&error) => return Err(error),
                Err(error) => print_note(&format!("{error:#}; trying again")),
                Ok(()) => print_note("the server ended the answer; trying again"),
            }
            tokio::time::sleep(RETRY_DELAY).await;
        }
    }

    /// Prints existing events, the newest last.
    async fn show_existing(&mut self, limit: usize) -> Result<()> {
        let query = events::EventsQuery {
            q: self.filter.clone(),
            limit: Some(limit),
            ..events::EventsQuery::default()
        };
        let page: EventsAnswer = self.api.get_json(&path("/api/v1/events", &query)).await?;
        for leaf in page.events.iter().rev() {
            self.show(leaf.get())?;
        }
        self.last = page.positions.into_iter().next().map(RelativePosition::from);
        Ok(())
    }

    async fn stream(&mut self) -> Result<()> {
        let query = FollowQuery { q: self.filter.clone(), after: self.last.clone() };
        let answer = self.api.get(&path("/api/v1/events/follow", &query)).await?;
        let (mut frame, mut lines) = (SseFrame::default(), answer.lines(MAX_LINE));
        while let Some(line) = lines.next().await? {
            let Some(event) = frame.push_line(&String::from_utf8(line)?) else { continue };
            if event.kind == "broken" {
                bail!("the server could not read on: {}", visible(&event.data));
            }
            if event.kind.is_empty() {
                self.show(&event.data)?;
            }
            if let Some(last) = frame.last_id() {
                self.last = Some(last.clone());
            }
        }
        Ok(())
    }

    fn show(&self, leaf: &str) -> Result<()> {
        if self.json {
            return Ok(print_line(leaf)?);
        }
        let cells = row(&Event::from_json(leaf.as_bytes())?).map(|cell| visible(&cell).into_owned());
        Ok(print_line(&format_row(&cells, terminal_width()))?)
    }
}

/// One line per event, with fixed column positions, since later events are not known yet.
fn format_row(cells: &[String; 6], width: Option<usize>) -> String {
    const WIDTHS: [usize; 6] = [0, 24, 8, 28, 24, 0];
    let mut text = String::new();
    for (cell, min) in cells.iter().zip(WIDTHS) {
        text.push_str(cell);
        text.push_str(&" ".repeat(min.saturating_sub(cell.width()) + 2));
    }
    let text = text.trim_end();
    width.map_or_else(|| text.to_owned(), |width| truncate(text, width))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_a_stream_begin_at_the_same_place() {
        let cells = |who: &str| ["t", "ssh.login", "denied", who, "db", "a.1.7"].map(str::to_owned);
        let (one, other) = (format_row(&cells("al"), None), format_row(&cells("שלום"), None));
        assert_eq!(one.find("db"), other.find("db").map(|at| at - 4), "the same columns, more bytes");
        assert!(format_row(&cells("al"), Some(20)).width() <= 20);
    }
}
