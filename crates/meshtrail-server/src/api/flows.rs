//! Conversations between devices.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use meshtrail_api::flows::{By, ConversationView, EndView, FlowsPage, FlowsQuery, PartyView, WayView};
use meshtrail_event::Timestamp;
use meshtrail_flow::{Conversation, End, FlowQuery, Grain, Party, Way, conversations};
use meshtrail_trail::Trail;

use crate::extract::ValidQuery;
use crate::problem::Problem;

/// The default number of conversations in a response.
const DEFAULT_LIMIT: usize = 500;
/// The most conversations in a response.
const MAX_LIMIT: usize = 10_000;
/// The default time range before now.
const DEFAULT_SPAN: Duration = Duration::from_secs(3600);
/// How long computing a response may take, about.
const BUDGET: Duration = Duration::from_secs(2);

/// Who talked to whom: flows folded so that both ends' counts stand side by side.
#[utoipa::path(get, path = "/api/v1/flows", tag = "flows", params(FlowsQuery),
    responses((status = 200, body = FlowsPage)))]
pub(crate) async fn list(
    State(trail): State<Trail>,
    ValidQuery(query): ValidQuery<FlowsQuery>,
) -> Result<Json<FlowsPage>, Problem> {
    page(&trail, query).await.map(Json)
}

/// The conversations of a request, for the console and the API.
pub(crate) async fn page(trail: &Trail, query: FlowsQuery) -> Result<FlowsPage, Problem> {
    let ask = parse_request(query, Timestamp::now())?;
    let found = conversations(trail, &ask).await.map_err(|error| super::events::unreadable(&error))?;
    Ok(FlowsPage {
        conversations: found.items.into_iter().map(conversation_view).collect(),
        total: found.total,
        windows: found.events,
        left_out: found.left_out,
        since: ask.since,
        until: ask.until,
        reaches_back_to: found.reaches_back_to,
    })
}

fn parse_request(query: FlowsQuery, now: Timestamp) -> Result<FlowQuery, Problem> {
    let instant = |field: &'static str, text: &Option<String>, default: Timestamp| match text {
        None => Ok(default),
        Some(text) => meshtrail_query::instant(text, now).ok_or_else(|| {
            Problem::bad_request(field, "write a time such as 2h, 2026-11-20 or 2026-11-20T14:02Z")
        }),
    };
    let until = instant("until", &query.until, now)?;
    let since = instant("since", &query.since, until.before(DEFAULT_SPAN))?;
    if let Some(layer) = query.layer.as_deref()
        && !matches!(layer, "virtual" | "subnet" | "exit" | "physical")
    {
        return Err(Problem::bad_request("layer", "is one of virtual, subnet, exit and physical"));
    }
    if until <= since {
        return Err(Problem::bad_request("until", "must lie after since"));
    }
    Ok(FlowQuery {
        since,
        until,
        layer: query.layer,
        person: query.person,
        device: query.device,
        port: query.port,
        grain: match query.by {
            None | Some(By::Pair) => Grain::Pair,
            Some(By::Connection) => Grain::Connection,
        },
        limit: super::events::check_limit(query.limit, DEFAULT_LIMIT, MAX_LIMIT)?,
        budget: BUDGET,
    })
}

fn conversation_view(conversation: Conversation) -> ConversationView {
    ConversationView {
        a: party_view(conversation.a),
        b: party_view(conversation.b),
        layer: conversation.layer,
        proto: conversation.proto,
        by_a: end_view(conversation.by_a),
        by_b: end_view(conversation.by_b),
        a_to_b: way_view(conversation.a_to_b),
        b_to_a: way_view(conversation.b_to_a),
        first: conversation.first,
        last: conversation.last,
    }
}

fn party_view(party: Party) -> PartyView {
    let Party { key, device, name, login, tags, addresses, port } = party;
    let addresses = addresses.iter().map(ToString::to_string).collect();
    PartyView { key, device, name, login, tags, addresses, port }
}

fn end_view(end: End) -> Option<EndView> {
    let End { windows, tx_bytes, tx_packets, rx_bytes, rx_packets, undercounts } = end;
    (windows > 0).then_some(EndView { windows, tx_bytes, tx_packets, rx_bytes, rx_packets, undercounts })
}

fn way_view(way: Way) -> WayView {
    WayView { bytes: way.bytes, packets: way.packets }
}
