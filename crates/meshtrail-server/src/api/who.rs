//! The device and person behind an address, a name or a login at a time.

use std::net::IpAddr;

use axum::Json;
use axum::extract::State;
use meshtrail_api::who::{WhoAnswer, WhoDevice, WhoNow, WhoPerson, WhoQuery, WhoRouted, WhoSaid, WhoTenure};
use meshtrail_event::Timestamp;
use meshtrail_identity::{DeviceAsOf, History, OriginAccount, Period, PersonAsOf, Resolver, Tenure};

use crate::directory;
use crate::extract::ValidQuery;
use crate::problem::Problem;
use crate::state::AppState;

/// Tells who was behind an address, which device had a name, or which devices were a person's, at a time.
#[utoipa::path(get, path = "/api/v1/who", tag = "directory", params(WhoQuery),
    responses((status = 200, body = WhoAnswer)))]
pub(crate) async fn who(
    State(state): State<AppState>,
    ValidQuery(query): ValidQuery<WhoQuery>,
) -> Result<Json<WhoAnswer>, Problem> {
    let at = parse_at(query.at.as_deref())?;
    load_directory(&state).await?;
    Ok(Json(match parse_lookup(&query)? {
        Lookup::Address(address) => {
            let live = if query.at.is_none() { resolve_now(state.resolver(), address).await } else { None };
            WhoAnswer { now: live, ..look_up_address(state.history(), address, at) }
        }
        Lookup::Name(name) => look_up_name(state.history(), name, at)?,
    }))
}

/// The moment that a question is about: now without one.
pub(crate) fn parse_at(at: Option<&str>) -> Result<Timestamp, Problem> {
    let now = Timestamp::now();
    let Some(text) = at.map(str::trim).filter(|at| !at.is_empty()) else { return Ok(now) };
    meshtrail_query::instant(text, now).ok_or_else(|| {
        Problem::bad_request("at", "write a time such as 2h, yesterday, 2026-11-20 or 2026-11-20T14:02Z")
    })
}

/// Loads the directory, where a store's files are read without a server: there it is not loaded before the first question.
pub(crate) async fn load_directory(state: &AppState) -> Result<(), Problem> {
    if state.local_caller().is_some() && state.history().generation() == 0 {
        let loaded = directory::load(state.history(), state.late_identities(), state.trail(), None).await;
        loaded.map_err(|error| super::events::unreadable(&error))?;
    }
    Ok(())
}

/// What to look up.
enum Lookup<'a> {
    Address(IpAddr),
    Name(&'a str),
}

fn parse_lookup(query: &WhoQuery) -> Result<Lookup<'_>, Problem> {
    match (query.address.as_deref(), query.subject.as_deref()) {
        (Some(address), None) => {
            let parsed = address.trim().parse();
            let wrong = |_| Problem::bad_request("address", "write an IP address such as 100.64.0.7");
            Ok(Lookup::Address(parsed.map_err(wrong)?))
        }
        (None, Some(subject)) if !subject.trim().is_empty() => {
            let subject = subject.trim();
            Ok(subject.parse().map_or(Lookup::Name(subject), Lookup::Address))
        }
        _ => Err(Problem::bad_request(
            "subject",
            "ask about one: an address, a device's name or id, or a login",
        )),
    }
}

fn look_up_address(history: &History, address: IpAddr, at: Timestamp) -> WhoAnswer {
    let tenures = history.tenures(address);
    let known = history.at(address, at);
    let routed = match known {
        None => history.route_to(address, at),
        Some(_) => None,
    };
    let why = known.is_none().then(|| match (&routed, tenures.is_empty()) {
        (Some(routed), _) => format!("no device of the mesh has it; it is behind {}", routed.prefix),
        (None, true) => "no device was ever told to have this address".to_owned(),
        (None, false) => "no device was known to have this address then".to_owned(),
    });
    let device = known.map(|known| {
        let holds = |tenure: &&Tenure| {
            tenure.device.facts().id == known.facts().id
                && tenure.since <= at
                && tenure.until.is_none_or(|until| until > at)
        };
        let span = tenures.iter().find(holds).map(|tenure| (tenure.since, tenure.until));
        device_view(history, &known, at, span)
    });
    WhoAnswer {
        subject: address.to_string(),
        taken_for: "address".to_owned(),
        at,
        devices: device.into_iter().collect(),
        person: None,
        now: None,
        routed: routed.map(|routed| WhoRouted {
            prefix: routed.prefix.to_string(),
            devices: routed.routers.iter().map(|known| device_view(history, known, at, None)).collect(),
        }),
        tenures: tenures.iter().map(tenure_view).collect(),
        why,
    }
}

/// Looks up a device by id, else a person by login, else devices by name.
fn look_up_name(history: &History, name: &str, at: Timestamp) -> Result<WhoAnswer, Problem> {
    let answer = |taken_for: &str, known: Vec<DeviceAsOf>, person, why| WhoAnswer {
        subject: name.to_owned(),
        taken_for: taken_for.to_owned(),
        at,
        devices: known
            .iter()
            .map(|known| device_view(history, known, at, state_span(history, known, at)))
            .collect(),
        person,
        now: None,
        routed: None,
        tenures: Vec::new(),
        why,
    };
    if let Some(known) = history.device(name, at) {
        return Ok(answer("device", vec![known], None, None));
    }
    let (person, owned) = (history.person(name, at), history.devices_by_owner(name, at));
    if person.is_some() || !owned.is_empty() {
        return Ok(answer("person", owned, person.as_ref().map(person_view), None));
    }
    let named = history.devices_by_name(name, at);
    if !named.is_empty() {
        return Ok(answer("device", named, None, None));
    }
    let gone = "was known at other times, not then";
    if !history.device_periods(name).is_empty() || !history.device_ids_by_name(name).is_empty() {
        return Ok(answer("device", Vec::new(), None, Some(format!("a device of this name or id {gone}"))));
    }
    if !history.person_periods(name).is_empty() || !history.device_ids_by_owner(name).is_empty() {
        return Ok(answer("person", Vec::new(), None, Some(format!("this person {gone}"))));
    }
    Err(Problem::not_found(
        "no device has this name or id, and no person this login, as far as was ever told",
    ))
}

/// The period in which a device had the state that it had at `at`.
fn state_span(
    history: &History,
    known: &DeviceAsOf,
    at: Timestamp,
) -> Option<(Timestamp, Option<Timestamp>)> {
    let periods = history.device_periods(&known.facts().id);
    let holds =
        |period: &&Period<DeviceAsOf>| period.since <= at && period.until.is_none_or(|until| until > at);
    periods.iter().find(holds).map(|period| (period.since, period.until))
}

/// Resolves who is behind the address now, by tailscaled or the directory file.
async fn resolve_now(resolver: &Resolver, address: IpAddr) -> Option<WhoNow> {
    let resolution = resolver.holder(address).await;
    if !resolution.is_certain() && resolution.device.is_none() {
        return None;
    }
    let identity = resolution.identity();
    let person = resolution.actor.and_then(|actor| actor.person);
    (identity.provider.as_deref() != Some("history")).then_some(WhoNow {
        device: resolution.device,
        person,
        identity,
    })
}

fn device_view(
    history: &History,
    known: &DeviceAsOf,
    at: Timestamp,
    span: Option<(Timestamp, Option<Timestamp>)>,
) -> WhoDevice {
    let (since, until) = span.map_or((None, None), |(since, until)| (Some(since), until));
    WhoDevice {
        device: known.device().clone(),
        person: known.person().cloned(),
        identity: known.identity(),
        external: known.facts().external == Some(true),
        since,
        until,
        said: history.accounts(&known.facts().id, at).iter().map(statement_view).collect(),
    }
}

fn statement_view(says: &OriginAccount) -> WhoSaid {
    WhoSaid {
        provider: says.provider.to_string(),
        as_of: says.as_of,
        name: says.facts.as_ref().and_then(|facts| facts.name.as_deref()).map(str::to_owned),
        whose: says.facts.as_ref().filter(|facts| facts.names_owner()).map(|facts| facts.owner_label()),
        gone: says.facts.is_none(),
    }
}

fn tenure_view(tenure: &Tenure) -> WhoTenure {
    let facts = tenure.device.facts();
    WhoTenure {
        id: facts.id.to_string(),
        name: facts.name.as_deref().map(str::to_owned),
        whose: facts.owner_label(),
        since: tenure.since,
        until: tenure.until,
    }
}

fn person_view(known: &PersonAsOf) -> WhoPerson {
    WhoPerson {
        person: known.facts.person(),
        role: known.facts.role.as_deref().map(str::to_owned),
        provider: known.provider.to_string(),
        as_of: known.as_of,
    }
}
