//! `events query --follow`.
//!
//! - Each event is written once, in the order of the trail, also when the server went away meanwhile: following goes
//!   on after the last one that came.
//! - Ctrl-C is how it ends, and no error.

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
use crate::api::{Answer, Refused, path};
use crate::args::EventsQuery;
use crate::output::{cut, line, note, terminal_width};
use crate::remote::Remote;

/// The most that is asked for of what is there already.
const MOST_BEFORE: usize = 1000;

/// How long until a server that went away is asked again.
const AGAIN: Duration = Duration::from_secs(2);

/// The longest line of the stream that is taken: a leaf and its frame.
const MAX_LINE: usize = 1 << 20;

#[derive(Debug, Deserialize)]
struct Page {
    events: Vec<Box<RawValue>>,
    indexes: Vec<u64>,
}

/// Shows the newest events that a filter lets through, then those that come.
pub(crate) async fn follow(query: EventsQuery) -> Result<()> {
    let api = crate::api::Api::open_server(&query.asking.source, "following events").await?;
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut following = Following { api, filter: query.filter, json: query.asking.json, last: None };
    tokio::select! {
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
        ended = following.run(query.limit.min(MOST_BEFORE)) => ended,
    }
}

struct Following {
    api: Remote,
    filter: Option<String>,
    json: bool,
    /// The index of the last event that was looked at.
    last: Option<u64>,
}

impl Following {
    async fn run(&mut self, before: usize) -> Result<()> {
        if before > 0 {
            self.show_before(before).await?;
        }
        loop {
            match self.stream().await {
                // The question itself is refused: asking again would be refused again.
                Err(error) if error.is::<Refused>() => return Err(error),
                Err(error) if crate::output::is_closed_pipe(&error) => return Err(error),
                Err(error) => note(&format!("{error:#}; trying again")),
                Ok(()) => note("the server ended the answer; trying again"),
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// What is there already, the newest last.
    async fn show_before(&mut self, limit: usize) -> Result<()> {
        let parameters = [("q", self.filter.clone()), ("limit", Some(limit.to_string()))];
        let answer =
            self.api.send(Method::GET, &path("/api/v1/events", &parameters), None).await?.whole().await?;
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
        let (mut frame, mut rest) = (Frame::default(), Vec::new());
        while let Some(text) = next_line(&mut answer, &mut rest).await? {
            let Some((kind, data)) = frame.take(&text) else { continue };
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
            return Ok(line(leaf)?);
        }
        let cells = row(&Event::from_json(leaf.as_bytes())?).map(|cell| visible(&cell).into_owned());
        Ok(line(&written(&cells, terminal_width()))?)
    }
}

/// One line per event: its columns begin at the same place, whatever comes later.
fn written(cells: &[String; 6], width: Option<usize>) -> String {
    const WIDTHS: [usize; 6] = [0, 24, 8, 28, 24, 0];
    let mut text = String::new();
    for (cell, least) in cells.iter().zip(WIDTHS) {
        text.push_str(cell);
        text.push_str(&" ".repeat(least.saturating_sub(cell.width()) + 2));
    }
    let text = text.trim_end();
    width.map_or_else(|| text.to_owned(), |width| cut(text, width))
}

/// What stands between two blank lines of a stream of server-sent events.
#[derive(Default)]
struct Frame {
    kind: String,
    data: Option<String>,
    id: Option<u64>,
}

impl Frame {
    /// Takes one line; a blank one ends the frame and gives its kind and data.
    fn take(&mut self, text: &str) -> Option<(String, String)> {
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
            let mut found: Vec<u8> = rest.drain(..=end).collect();
            found.pop();
            if found.last() == Some(&b'\r') {
                found.pop();
            }
            return Ok(Some(String::from_utf8(found)?));
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
        let mut frame = Frame::default();
        let lines =
            ["id: 7", "data: {\"a\":1}", "", ": still there", "", "event: at", "id: 9", "data: 9", ""];
        let taken: Vec<_> = lines.iter().filter_map(|text| frame.take(text)).collect();
        let of = |kind: &str, data: &str| (kind.to_owned(), data.to_owned());
        assert_eq!(taken, [of("", "{\"a\":1}"), of("at", "9")]);
        assert_eq!(frame.id, Some(9));
    }

    #[test]
    fn columns_of_a_stream_begin_at_the_same_place() {
        let cells = |who: &str| ["t", "ssh.login", "denied", who, "db", "a.1.7"].map(str::to_owned);
        let (one, other) = (written(&cells("al"), None), written(&cells("שלום"), None));
        assert_eq!(one.find("db"), other.find("db").map(|at| at - 4), "the same columns, more bytes");
        assert!(written(&cells("al"), Some(20)).width() <= 20);
    }
}
