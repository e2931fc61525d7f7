//! Events: query, show and send.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use meshtrail_api::events::{EventsAnswer, EventsQuery, Order, Taken};
use meshtrail_collect::sources::Sources;
use meshtrail_event::text::shorten;
use meshtrail_event::{Event, EventId};
use meshtrail_query::{Filter, PageRequest, Start};
use meshtrail_trail::{ReadError, Trail};
use serde_json::value::RawValue;

use crate::auth::Caller;
use crate::cursor;
use crate::directory::LateIdentities;
use crate::extract::{ValidQuery, bad_body, parse_field};
use crate::problem::Problem;

pub mod complete;
pub mod counts;
pub mod follow;
mod intake;

/// The default number of events on a page.
const PAGE: usize = 100;

/// The most events on a page.
pub const MAX_PAGE: usize = 1000;

/// How long computing a page may take, about.
const BUDGET: Duration = Duration::from_secs(3);

/// A page of events, for the console and the API.
pub(crate) struct EventsPage {
    /// Index and leaf.
    pub(crate) rows: Vec<(u64, Bytes)>,
    /// The cursor of the next page.
    pub(crate) next: Option<String>,
}

/// Lists the events that a filter lets through.
#[utoipa::path(get, path = "/api/v1/events", tag = "events", params(EventsQuery),
    responses((status = 200, body = EventsAnswer)))]
pub(crate) async fn list(
    State(trail): State<Trail>,
    State(late): State<LateIdentities>,
    ValidQuery(query): ValidQuery<EventsQuery>,
) -> Result<Json<EventsAnswer>, Problem> {
    let page = page(&trail, &late, &query).await?;
    let learned = page.rows.iter().filter_map(|(_, leaf)| late.get_by_leaf(leaf));
    let mut answer = EventsAnswer {
        events: Vec::new(),
        indexes: Vec::new(),
        positions: Vec::new(),
        learned: learned.map(|(id, late)| (id.to_string(), Arc::unwrap_or_clone(late))).collect(),
        next: page.next,
    };
    for (index, leaf) in page.rows {
        let text = String::from_utf8(leaf.into()).ok().and_then(|text| RawValue::from_string(text).ok());
        let leaf = text.ok_or_else(|| {
            Problem::internal(format!("the event at index {index} is not JSON; run `meshtrail verify --all`"))
        })?;
        answer.events.push(leaf);
        answer.indexes.push(index);
        answer.positions.push(trail.position(index));
    }
    Ok(Json(answer))
}

/// Parses a filter; the problem says what is wrong with it.
pub(crate) fn parse_filter(text: Option<&str>) -> Result<Filter, Problem> {
    Filter::parse(text.unwrap_or_default()).map_err(|error| Problem::bad_request("q", error.to_string()))
}

/// The limit of a request: `default` if it has none; the problem names the bounds.
pub(crate) fn check_limit(requested: Option<usize>, default: usize, max: usize) -> Result<usize, Problem> {
    match requested {
        None => Ok(default),
        Some(limit) if (1..=max).contains(&limit) => Ok(limit),
        Some(_) => Err(Problem::bad_request("limit", format!("ask for 1 to {max}"))),
    }
}

/// One event, byte for byte as it is proven.
#[utoipa::path(get, path = "/api/v1/events/{id}", tag = "events", params(("id" = String, Path)),
    responses((status = 200, description = "The leaf: RFC 8785 canonical JSON",
        body = meshtrail_api::schema::Event)))]
pub(crate) async fn show(State(trail): State<Trail>, Path(id): Path<String>) -> Result<Response, Problem> {
    let id: EventId = parse_field("id", &id)?;
    let (index, leaf) = leaf(&trail, &id).await?;
    let (index, position) = (index.to_string(), trail.position(index).to_string());
    Ok((
        [
            (header::CONTENT_TYPE, "application/json"),
            (header::HeaderName::from_static("meshtrail-index"), &index),
            (header::HeaderName::from_static("meshtrail-position"), &position),
        ],
        leaf,
    )
        .into_response())
}

/// An event's index and leaf by its id.
pub(crate) async fn leaf(trail: &Trail, id: &EventId) -> Result<(u64, Bytes), Problem> {
    let index = index_of(trail, id).await?;
    Ok((index, leaf_at(trail, index).await?))
}

/// The leaf at an index.
pub(crate) async fn leaf_at(trail: &Trail, index: u64) -> Result<Bytes, Problem> {
    if index >= trail.size() {
        return Err(Problem::not_found(format!("the trail has {} events, none at {index}", trail.size())));
    }
    trail.leaf(index).await.map_err(|error| match &error {
        ReadError::Beyond { .. } | ReadError::Retired { .. } => Problem::not_found(error.to_string()),
        _ => unreadable(&error),
    })
}

/// The index of an event in the trail.
pub(crate) async fn index_of(trail: &Trail, id: &EventId) -> Result<u64, Problem> {
    match trail.find(id).await {
        Ok(Some(index)) => Ok(index),
        Ok(None) => {
            let shown = shorten(&id.to_string(), 160);
            Err(Problem::not_found(format!("there is no event {shown} in this trail")))
        }
        Err(error) => Err(unreadable(&error)),
    }
}

/// The id of the event at an index.
pub(crate) async fn id_at(trail: &Trail, index: u64) -> Result<EventId, Problem> {
    let leaf = leaf_at(trail, index).await?;
    let event = Event::from_json(&leaf).map_err(|error| unreadable(&error))?;
    Ok(event.id)
}

/// The problem for a trail that can't be read.
pub(crate) fn unreadable(error: &dyn std::error::Error) -> Problem {
    Problem::unavailable("the trail can't be read here; `meshtrail verify --all` tells what is wrong")
        .because(error)
}

/// Takes events from a sender: a JSON array, or one event per line. Durable when answered; sending again is safe.
#[utoipa::path(post, path = "/api/v1/events", tag = "events", request_body(content = Vec<Object>),
    responses((status = 200, body = Taken)))]
pub(crate) async fn send(
    State(trail): State<Trail>,
    State(sources): State<Sources>,
    caller: Caller,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Taken>), Problem> {
    let body = body.map_err(|rejection| bad_body(&rejection))?;
    let events = intake::parse(&headers, &body, &caller.who, trail.name().as_str())?;
    let count = events.len();
    let accepted = intake::append(&trail, &sources, events).await?;
    Ok((StatusCode::OK, Json(Taken { accepted, duplicates: count - accepted })))
}

/// A page of events, for the console and the API.
pub(crate) async fn page(
    trail: &Trail,
    late: &LateIdentities,
    query: &EventsQuery,
) -> Result<EventsPage, Problem> {
    let filter = parse_filter(query.q.as_deref())?;
    let limit = check_limit(query.limit, PAGE, MAX_PAGE)?;
    let order = query.order.unwrap_or_default();
    let question = format!("events {order:?} {filter}");
    let start = match &query.cursor {
        Some(text) => {
            let text = cursor::read(&question, text)?;
            let cursor = meshtrail_query::Cursor::read(&text, trail.name());
            Start::After(cursor.map_err(|error| Problem::bad_request("cursor", error.to_string()))?)
        }
        None => Start::Fresh(match order {
            Order::Newest => meshtrail_query::Order::Newest,
            Order::Oldest => meshtrail_query::Order::Oldest,
        }),
    };
    let ask = PageRequest { start, limit, budget: BUDGET };
    let page = meshtrail_query::query_with(trail, &filter, &ask, late.knowledge())
        .await
        .map_err(|error| unreadable(&error))?;
    let next = page.next.map(|next| cursor::write(&question, &next.write(trail.name())));
    Ok(EventsPage { rows: page.items, next })
}
