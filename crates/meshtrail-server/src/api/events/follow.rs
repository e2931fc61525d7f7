//! A stream of new events.
//!
//! - Each stream has a follower of the trail with its own position: a slow one delays nobody and misses nothing.
//! - The trail is polled a few times per second at most, however fast it grows.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use axum::response::sse::Event;
use bytes::Bytes;
use futures::stream::{self, StreamExt};
use http::HeaderMap;
use meshtrail_api::events::FollowQuery;
use meshtrail_event::Position;
use meshtrail_query::{Cursor, Filter, Order, PageRequest, Start};
use meshtrail_trail::{Follower, Trail};
use tokio_util::sync::CancellationToken;

use super::{parse_filter, unreadable};
use crate::api::sse;
use crate::directory::LateIdentities;
use crate::extract::{ValidQuery, own_index, parse_field};
use crate::problem::Problem;

/// The shortest time between two reads of the trail.
const POLL_INTERVAL: Duration = Duration::from_millis(150);

/// Events per read, and how long a read may take, about.
const BATCH: usize = 200;
const BUDGET: Duration = Duration::from_secs(2);

/// Events that a filter lets through, as they come: each `data:` is a leaf, its `id:` the position, such as
/// `main:17`. An `event: at` says how far the trail was looked through; reconnecting with the last id misses nothing.
#[utoipa::path(get, path = "/api/v1/events/follow", tag = "events", params(FollowQuery),
    responses((status = 200, body = String, content_type = "text/event-stream")))]
pub(crate) async fn follow(
    State(trail): State<Trail>,
    State(late): State<LateIdentities>,
    State(stop): State<CancellationToken>,
    headers: HeaderMap,
    ValidQuery(query): ValidQuery<FollowQuery>,
) -> Result<Response, Problem> {
    let filter = parse_filter(query.q.as_deref())?;
    let last = match headers.get("last-event-id").and_then(|value| value.to_str().ok()) {
        Some(id) => Some(("last-event-id", parse_field("last-event-id", id)?)),
        None => query.after.map(|after| ("after", after)),
    };
    let own = trail.name();
    let last = last.map(|(field, position)| own_index(field, &position, own)).transpose()?;
    let next = last.map_or_else(|| trail.size(), |last| last.saturating_add(1));
    let follower = Follower::new(trail.clone(), next, stop.clone()).with_pause(POLL_INTERVAL);
    let events = EventStream { trail, late, filter, follower, done: false };
    Ok(sse::response(stop, stream::unfold(events, EventStream::next_batch).map(stream::iter).flatten()))
}

struct EventStream {
    trail: Trail,
    late: LateIdentities,
    filter: Filter,
    follower: Follower,
    /// Whether the stream ends.
    done: bool,
}

impl EventStream {
    /// Waits for new events and returns them.
    async fn next_batch(mut self) -> Option<(Vec<Event>, EventStream)> {
        if self.done {
            return None;
        }
        self.follower.wait().await?;
        let events = self.read().await.unwrap_or_else(|problem| {
            // The client reconnects with its last id.
            self.done = true;
            vec![Event::default().event("broken").data(problem.detail)]
        });
        Some((events, self))
    }

    async fn read(&mut self) -> Result<Vec<Event>, Problem> {
        let size = self.trail.size();
        let from = Cursor::new(Order::Oldest, self.follower.position());
        let ask = PageRequest { start: Start::After(from), limit: BATCH, budget: BUDGET };
        let late = self.late.knowledge();
        let page = meshtrail_query::query_with(&self.trail, &self.filter, &ask, late)
            .await
            .map_err(|error| unreadable(&error))?;
        // Without a cursor the read reached the end of the trail, which may be beyond `size` by now.
        let past_last = page.items.last().map_or(0, |(index, _)| index + 1);
        let next = page.next.map_or(size.max(past_last), Cursor::at);
        self.follower.advance(next);
        let position = |index| self.trail.position(index);
        let leaves = page.items.into_iter();
        let mut events: Vec<Event> =
            leaves.filter_map(|(index, leaf)| leaf_event(&position(index), leaf)).collect();
        if events.is_empty() && next > 0 {
            let at = position(next - 1).to_string();
            events.push(Event::default().event("at").id(at.clone()).data(at));
        }
        Ok(events)
    }
}

/// The server-sent event of a leaf. A leaf is canonical JSON, and so one line.
fn leaf_event(position: &Position, leaf: Bytes) -> Option<Event> {
    Some(Event::default().id(position.to_string()).data(String::from_utf8(leaf.into()).ok()?))
}
