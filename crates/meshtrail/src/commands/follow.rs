//! `events query --follow`.
//!
//! - Each event is printed once, in the order of the trail, even if the server restarts meanwhile: following resumes
//!   after the last event that was received.
//! - Ctrl-C ends it, with exit status 0.

use std::time::Duration;

use anyhow::{Result, bail};
use futures::StreamExt;
use http::Method;
use meshtrail_event::Event;
use meshtrail_event::text::visible;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::signal::unix::{SignalKind, signal};
use unicode_width::UnicodeWidthStr;

use super::events::row;
use crate::api::{Answer, ApiError, path};
use crate::args::EventsQuery;
use crate::output::{print_line, print_note, terminal_width, truncate};
use crate::remote::Remote;

/// The most existing events that are shown first.
const MAX_EXISTING: usize = 1000;

/// How long to wait before reconnecting to the server.
const RETRY_DELAY: Duration = Duration::from_secs(2);

/// The longest accepted line of the stream, in bytes: a leaf and its framing.
const MAX_LINE: usize = 1 << 20;

#[derive(Debug, Deserialize)]
struct Page {
    events: Vec<Box<RawValue>>,
    indexes: Vec<u64>,
}

/// Prints the newest events that match a filter, then new ones as they come.
pub(crate) async fn follow(query: EventsQuery) -> Result<()> {
    let api = crate::api::Api::open_server(&query.api.source, "following events").await?;
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut follower = Follower { api, filter: query.filter, json: query.api.json, last: None };
    tokio::select! {
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
        result = follower.run(query.limit.min(MAX_EXISTING)) => result,
    }
}

struct Follower {
    api: Remote,
    filter: Option<String>,
    json: bool,
    /// The index of the last event that the server has read.
    last: Option<u64>,
}

impl Follower {
    async fn run(&mut self, before: usize) -> Result<()> {
        if before > 0 {
            self.show_existing(before).await?;
        }
        loop {
            match self.stream().await {
                // The request itself is refused: a retry would be refused as well.
                Err(error) if error.is::<ApiError>() => return Err(error),
                Err(error) if crate::output::is_closed_pipe(&error) => return Err(error),
                Err(error) => print_note(&format!("{error:#}; trying again")),
                Ok(()) => print_note("the server ended the answer; trying again"),
            }
            tokio::time::sleep(RETRY_DELAY).await;
        }
    }

    /// Prints existing events, the newest last.
    async fn show_existing(&mut self, limit: usize) -> Result<()> {
        let parameters = [("q", self.filter.clone()), ("limit", Some(limit.to_string()))];
        let answer =
            self.api.send(Method::GET, &path("/api/v1/events", &parameters), None).await?.read_all().await?;
        let page: Page = serde_json::from_slice(&answer)?;
        for leaf in page.events.iter().rev() {
            self.show(leaf.get())?;
        }
        self.last = page.indexes.first().copied();
        Ok(())
    }

    async fn stream(&mut self) -> Result<()> {
        let parameters = [("q", self.filter.clone()), ("after", self.last.map(|last| last.to_string()))];
        let mut answer =
            self.api.send(Method::GET, &path("/api/v1/events/follow", &parameters), None).await?;
        let (mut frame, mut rest) = (SseFrame::default(), Vec::new());
        while let Some(text) = next_line(&mut answer, &mut rest).await? {
            let Some((kind, data)) = frame.push_line(&text) else { continue };
            if kind == "broken" {
                bail!("the server could not read on: {}", visible(&data));
            }
            if kind.is_empty() {
                self.show(&data)?;
            }
            self.last = frame.id.or(self.last);
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

/// The lines between two blank lines of a stream of server-sent events.
#[derive(Default)]
struct SseFrame {
    kind: String,
    data: Option<String>,
    id: Option<u64>,
}

impl SseFrame {
    /// Adds one line; a blank line ends the frame and returns its kind and data.
    fn push_line(&mut self, text: &str) -> Option<(String, String)> {
        if text.is_empty() {
            let kind = std::mem::take(&mut self.kind);
            return self.data.take().map(|data| (kind, data));
        }
        let (name, value) = text.split_once(':').unwrap_or((text, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => value.clone_into(&mut self.kind),
            "data" => self.data = Some(value.to_owned()),
            "id" => self.id = value.parse().ok(),
            _ => {}
        }
        None
    }
}

/// The next line of an answer, without its end; none at the end.
async fn next_line(answer: &mut Answer, rest: &mut Vec<u8>) -> Result<Option<String>> {
    loop {
        if let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let mut line: Vec<u8> = rest.drain(..=end).collect();
            line.pop();
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            return Ok(Some(String::from_utf8(line)?));
        }
        if rest.len() > MAX_LINE {
            bail!("the server sent a line of more than {MAX_LINE} bytes");
        }
        match answer.body.next().await {
            Some(part) => rest.extend_from_slice(&part?),
            None => return Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_whole_at_its_blank_line() {
        let mut frame = SseFrame::default();
        let lines =
            ["id: 7", "data: {\"a\":1}", "", ": still there", "", "event: at", "id: 9", "data: 9", ""];
        let taken: Vec<_> = lines.iter().filter_map(|text| frame.push_line(text)).collect();
        let of = |kind: &str, data: &str| (kind.to_owned(), data.to_owned());
        assert_eq!(taken, [of("", "{\"a\":1}"), of("at", "9")]);
        assert_eq!(frame.id, Some(9));
    }

    #[test]
    fn columns_of_a_stream_begin_at_the_same_place() {
        let cells = |who: &str| ["t", "ssh.login", "denied", who, "db", "a.1.7"].map(str::to_owned);
        let (one, other) = (format_row(&cells("al"), None), format_row(&cells("שלום"), None));
        assert_eq!(one.find("db"), other.find("db").map(|at| at - 4), "the same columns, more bytes");
        assert!(format_row(&cells("al"), Some(20)).width() <= 20);
    }
}
