//! Conversations between devices.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use meshtrail_event::Timestamp;
use meshtrail_flow::{Conversation, End, FlowQuery, Grain, Party, Way, conversations};
use serde::{Deserialize, Serialize};

use crate::extract::ValidQuery;
use crate::problem::Problem;
use crate::state::AppState;

/// The default number of conversations in a response.
const DEFAULT_LIMIT: usize = 500;
/// The most conversations in a response.
const MAX_LIMIT: usize = 10_000;
/// The default time range before now.
const DEFAULT_SPAN: Duration = Duration::from_secs(3600);
/// How long computing a response may take, about.
const BUDGET: Duration = Duration::from_secs(2);

/// Which conversations are asked for.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FlowsQuery {
    /// Windows that began at this time or later: `2h` ago, `2026-11-20`, `2026-11-20T14:02Z`. An hour ago if absent.
    since: Option<String>,
    /// Windows that began before this time. Now if absent.
    until: Option<String>,
    /// `virtual`, `subnet`, `exit` or `physical`.
    layer: Option<String>,
    /// With this person at either end, by login.
    person: Option<String>,
    /// With this device at either end: its id, its name, or an address.
    device: Option<String>,
    /// With this port at either end.
    port: Option<u16>,
    /// What is told apart: `pair` of devices, which is usual, or `connection`.
    by: Option<By>,
    /// How many at most, those that carried most first.
    limit: Option<usize>,
}

/// What is told apart.
#[derive(Debug, Clone, Copy, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// Each pair of devices, and layer.
    Pair,
    /// Each connection.
    Connection,
}

/// Conversations.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct FlowsPage {
    /// Those that carried most first.
    pub conversations: Vec<ConversationView>,
    /// How many there are in all.
    pub total: usize,
    /// Windows of connections that were folded.
    pub windows: u64,
    /// Windows of conversations beyond those that can be told apart.
    pub left_out: u64,
    /// From when.
    #[schema(value_type = String)]
    pub since: Timestamp,
    /// Until when.
    #[schema(value_type = String)]
    pub until: Timestamp,
    /// From when on everything was looked at, where the work took too long to look at all of it: ask for less.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub reaches_back_to: Option<Timestamp>,
}

/// Two parties, what each counted, and what went between them.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ConversationView {
    /// One party.
    pub a: PartyView,
    /// The other.
    pub b: PartyView,
    /// `virtual`, `subnet`, `exit` or `physical`.
    pub layer: String,
    /// IANA protocol number, where connections are told apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proto: Option<u64>,
    /// What the first counted; absent where it reported nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by_a: Option<EndView>,
    /// What the other counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by_b: Option<EndView>,
    /// What went from the first to the other: the larger of what one sent and the other received.
    pub a_to_b: WayView,
    /// What went from the other to the first.
    pub b_to_a: WayView,
    /// The beginning of the earliest window.
    #[schema(value_type = String)]
    pub first: Timestamp,
    /// The end of the latest window.
    #[schema(value_type = String)]
    pub last: Timestamp,
}

/// Whoever is at one end, as known then.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct PartyView {
    /// The device's id, else the address, else `outside`.
    pub key: String,
    /// The device's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The device's full name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The person it belonged to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
    /// The tags that own it in a person's place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Its addresses here.
    pub addresses: Vec<String>,
    /// Its port, where connections are told apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// What one end counted.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct EndView {
    /// Windows.
    pub windows: u64,
    /// Bytes it sent.
    pub tx_bytes: u64,
    /// Packets it sent.
    pub tx_packets: u64,
    /// Bytes it received.
    pub rx_bytes: u64,
    /// Packets it received.
    pub rx_packets: u64,
    /// It received nothing of what the other says it sent: its received counts are too low.
    pub undercounts: bool,
}

/// What went one way.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct WayView {
    /// Bytes.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
}

impl From<Party> for PartyView {
    fn from(party: Party) -> Self {
        let Party { key, device, name, login, tags, addresses, port } = party;
        let addresses = addresses.iter().map(ToString::to_string).collect();
        Self { key, device, name, login, tags, addresses, port }
    }
}

impl EndView {
    fn of(end: End) -> Option<Self> {
        let End { windows, tx_bytes, tx_packets, rx_bytes, rx_packets, undercounts } = end;
        (windows > 0).then_some(Self { windows, tx_bytes, tx_packets, rx_bytes, rx_packets, undercounts })
    }
}

impl From<Way> for WayView {
    fn from(way: Way) -> Self {
        Self { bytes: way.bytes, packets: way.packets }
    }
}

impl From<Conversation> for ConversationView {
    fn from(conversation: Conversation) -> Self {
        Self {
            a: conversation.a.into(),
            b: conversation.b.into(),
            layer: conversation.layer,
            proto: conversation.proto,
            by_a: EndView::of(conversation.by_a),
            by_b: EndView::of(conversation.by_b),
            a_to_b: conversation.a_to_b.into(),
            b_to_a: conversation.b_to_a.into(),
            first: conversation.first,
            last: conversation.last,
        }
    }
}

/// Who talked to whom: flows folded so that both ends' counts stand side by side.
#[utoipa::path(get, path = "/api/v1/flows", tag = "flows", params(FlowsQuery),
    responses((status = 200, body = FlowsPage)))]
pub(crate) async fn list(
    State(state): State<AppState>,
    ValidQuery(query): ValidQuery<FlowsQuery>,
) -> Result<Json<FlowsPage>, Problem> {
    page(&state, query).await.map(Json)
}

/// The conversations of a request, for the console and the API.
pub(crate) async fn page(state: &AppState, query: FlowsQuery) -> Result<FlowsPage, Problem> {
    let ask = parse_request(query, Timestamp::now())?;
    let found =
        conversations(state.trail(), &ask).await.map_err(|error| super::events::unreadable(&error))?;
    Ok(FlowsPage {
        conversations: found.items.into_iter().map(ConversationView::from).collect(),
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
