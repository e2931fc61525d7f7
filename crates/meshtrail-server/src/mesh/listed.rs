//! Lists of people and devices, as they are or were at a moment, narrowed by a part of what is shown.

use meshtrail_event::Timestamp;
use meshtrail_identity::{DeviceFacts, DeviceState, History, Known, KnownPerson, PersonFacts, UserState};

use super::{Told, ToldDevice, ToldPerson};
use crate::api::listing::ListQuery;
use crate::problem::Problem;
use crate::state::AppState;

/// The rows of a list.
pub(crate) struct Listed<T> {
    pub(crate) rows: Vec<T>,
    /// How many are known at all, whatever was asked for.
    pub(crate) known: usize,
}

/// A person of the list.
pub(crate) struct ListedPerson {
    pub(crate) told: ToldPerson,
    /// How many devices are theirs.
    pub(crate) devices: usize,
}

/// The people that a question asks for, by login.
pub(crate) fn people(
    state: &AppState,
    query: &ListQuery,
    now: Timestamp,
) -> Result<Listed<ListedPerson>, Problem> {
    let at = moment(query.at.as_deref(), now)?;
    let (show, text) = (query.show.as_deref().unwrap_or_default(), wanted(query.q.as_deref()));
    if !["", "inactive", "gone", "doubt"].contains(&show) {
        return Err(Problem::bad_request("show", "people can be shown by inactive, gone and doubt"));
    }
    let history = state.history();
    let mut told: Vec<ToldPerson> = history.people(at).iter().map(told_person).collect();
    if show == "gone" {
        told = history.logins().iter().filter_map(|login| gone_person(state, login, at)).collect();
    }
    let known = history.logins().len();
    told.retain(|told| fits_person(told, show, &text));
    told.iter_mut().for_each(|told| seen_person(history, told, at));
    told.sort_by_key(|told| told.state.login.to_lowercase());
    let rows = told.into_iter().map(|told| {
        let devices = history.owned_by(&told.state.login, at).len();
        ListedPerson { told, devices }
    });
    Ok(Listed { rows: rows.collect(), known })
}

/// The devices that a question asks for, by name.
pub(crate) fn devices(
    state: &AppState,
    query: &ListQuery,
    now: Timestamp,
) -> Result<Listed<ToldDevice>, Problem> {
    const SHOWN: [&str; 8] = ["", "tagged", "owned", "routes", "unauthorized", "expired", "gone", "doubt"];
    let at = moment(query.at.as_deref(), now)?;
    let (show, text) = (query.show.as_deref().unwrap_or_default(), wanted(query.q.as_deref()));
    if !SHOWN.contains(&show) {
        return Err(Problem::bad_request(
            "show",
            format!("devices can be shown by {}", SHOWN[1..].join(", ")),
        ));
    }
    let history = state.history();
    let ids = history.device_ids();
    let mut rows: Vec<ToldDevice> = match show {
        "gone" => ids.iter().filter_map(|id| gone_device(state, id, at)).collect(),
        _ => history.devices(at).iter().map(told_device).collect(),
    };
    rows.retain(|told| fits_device(told, show, &text, at));
    rows.iter_mut().for_each(|told| seen_device(history, told, at));
    rows.sort_by_cached_key(|told| told.state.name.as_deref().unwrap_or(&told.state.id).to_lowercase());
    Ok(Listed { rows, known: ids.len() })
}

fn wanted(text: Option<&str>) -> String {
    text.unwrap_or_default().trim().to_lowercase()
}

/// The moment a list is of.
pub(crate) fn moment(at: Option<&str>, now: Timestamp) -> Result<Timestamp, Problem> {
    match at.map(str::trim).filter(|at| !at.is_empty()) {
        None => Ok(now),
        Some(at) => at
            .parse()
            .map_err(|_| Problem::bad_request("at", "write a moment as 2026-11-20T14:02:11Z, with its zone")),
    }
}

fn fits_person(told: &ToldPerson, show: &str, text: &str) -> bool {
    let state = &told.state;
    let shown = match show {
        "inactive" => state.status.as_deref().is_some_and(|status| !matches!(status, "active" | "idle")),
        "doubt" => told.conflict.is_some(),
        _ => true,
    };
    let texts =
        [Some(state.login.as_str()), state.name.as_deref(), state.role.as_deref(), state.status.as_deref()];
    shown && holds(texts.into_iter().flatten().chain(state.groups.iter().map(String::as_str)), text)
}

fn fits_device(told: &ToldDevice, show: &str, text: &str, at: Timestamp) -> bool {
    let state = &told.state;
    let shown = match show {
        "tagged" => !state.tags.is_empty(),
        "owned" => state.tags.is_empty() && state.owner.is_some(),
        "routes" => !state.enabled_routes.is_empty() || !state.advertised_routes.is_empty(),
        "unauthorized" => state.authorized == Some(false),
        "expired" => {
            let past = state.expires.is_some_and(|expires| expires < at);
            state.expired == Some(true) || past && state.key_expiry_disabled != Some(true)
        }
        "doubt" => told.conflict.is_some(),
        _ => true,
    };
    let addresses: Vec<String> = state.addresses.iter().map(ToString::to_string).collect();
    let texts = [
        state.name.as_deref(),
        state.hostname.as_deref(),
        state.owner.as_deref(),
        Some(&state.id),
        state.os.as_deref(),
    ];
    let lists = state.tags.iter().chain(&addresses).chain(&state.enabled_routes).map(String::as_str);
    shown && holds(texts.into_iter().flatten().chain(lists), text)
}

/// Whether one of the texts has `wanted` in it; letter case does not matter.
fn holds<'a>(texts: impl IntoIterator<Item = &'a str>, wanted: &str) -> bool {
    wanted.is_empty() || texts.into_iter().any(|text| text.to_lowercase().contains(wanted))
}

fn gone_person(state: &AppState, login: &str, at: Timestamp) -> Option<ToldPerson> {
    if state.history().person(login, at).is_some() {
        return None;
    }
    super::lives::last_of_person(state.history(), login, at)
}

fn gone_device(state: &AppState, id: &str, at: Timestamp) -> Option<ToldDevice> {
    if state.history().device(id, at).is_some() {
        return None;
    }
    super::lives::last_of_device(state.history(), id, at)
}

/// What is known of a person, as it is shown.
pub(super) fn told_person(known: &KnownPerson) -> ToldPerson {
    Told {
        state: user_state(&known.facts),
        by: known.provider.to_string(),
        as_of: known.as_of,
        seen_as_of: None,
        gone: None,
        conflict: None,
    }
}

/// What is known of a device, as it is shown.
pub(super) fn told_device(known: &Known) -> ToldDevice {
    Told {
        state: device_state(known.facts()),
        by: known.provider.to_string(),
        as_of: known.as_of,
        seen_as_of: None,
        gone: None,
        conflict: known.conflict.as_deref().map(str::to_owned),
    }
}

/// Adds when a person was seen last, and whether they are there.
pub(super) fn seen_person(history: &History, told: &mut ToldPerson, at: Timestamp) {
    let Some(presence) = history.person_presence(&told.state.login, at) else { return };
    (told.state.last_seen, told.state.online) = (presence.last_seen, presence.online);
    told.seen_as_of = Some(presence.as_of);
}

/// Adds when a device was seen last, and whether it is there.
pub(super) fn seen_device(history: &History, told: &mut ToldDevice, at: Timestamp) {
    let Some(presence) = history.device_presence(&told.state.id, at) else { return };
    (told.state.last_seen, told.state.online) = (presence.last_seen, presence.online);
    told.seen_as_of = Some(presence.as_of);
}

fn user_state(facts: &PersonFacts) -> UserState {
    let text = |text: &Option<std::sync::Arc<str>>| text.as_deref().map(str::to_owned);
    UserState {
        created: facts.created,
        groups: facts.groups.iter().map(ToString::to_string).collect(),
        id: text(&facts.id).unwrap_or_default(),
        last_seen: None,
        login: facts.login.to_string(),
        name: text(&facts.name),
        online: None,
        role: text(&facts.role),
        status: text(&facts.status),
        of_type: text(&facts.of_type),
    }
}

pub(super) fn device_state(facts: &DeviceFacts) -> DeviceState {
    let text = |text: &Option<std::sync::Arc<str>>| text.as_deref().map(str::to_owned);
    let list = |texts: &[std::sync::Arc<str>]| texts.iter().map(ToString::to_string).collect();
    DeviceState {
        addresses: facts.addresses.to_vec(),
        advertised_routes: list(&facts.advertised_routes),
        authorized: facts.authorized,
        blocks_incoming: facts.blocks_incoming,
        client_version: text(&facts.client_version),
        created: facts.created,
        enabled_routes: list(&facts.enabled_routes),
        ephemeral: facts.ephemeral,
        expired: facts.expired,
        expires: facts.expires,
        external: facts.external,
        hostname: text(&facts.hostname),
        id: facts.id.to_string(),
        key_expiry_disabled: facts.key_expiry_disabled,
        last_seen: None,
        machine_key: text(&facts.machine_key),
        name: text(&facts.name),
        node_key: text(&facts.node_key),
        online: None,
        os: text(&facts.os),
        others: None,
        owner: text(&facts.owner),
        serial_numbers: list(&facts.serial_numbers),
        ssh_enabled: facts.ssh_enabled,
        tags: list(&facts.tags),
        tailnet_lock_error: text(&facts.tailnet_lock_error),
        withholds_posture: facts.withholds_posture,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(state: DeviceState) -> ToldDevice {
        let as_of = Timestamp::from_nanos(5);
        Told { state, by: "headscale".to_owned(), as_of, seen_as_of: None, gone: None, conflict: None }
    }

    #[test]
    fn a_device_is_found_by_any_part_of_what_is_shown() {
        let device = told(DeviceState {
            id: "n7".to_owned(),
            name: Some("Web-1.tail.example".to_owned()),
            tags: ["tag:prod".to_owned()].into(),
            addresses: vec!["100.64.0.7".parse().unwrap()],
            ..DeviceState::default()
        });
        for text in ["", "web-1", "prod", "64.0.7", "n7"] {
            assert!(fits_device(&device, "tagged", text, Timestamp::from_nanos(9)), "{text}");
        }
        assert!(!fits_device(&device, "", "db-1", Timestamp::from_nanos(9)));
        assert!(!fits_device(&device, "owned", "", Timestamp::from_nanos(9)));
    }

    #[test]
    fn a_key_past_its_time_counts_as_expired_unless_it_never_expires() {
        let expires = Some(Timestamp::from_nanos(5));
        let mut device = told(DeviceState { id: "n7".to_owned(), expires, ..DeviceState::default() });
        assert!(fits_device(&device, "expired", "", Timestamp::from_nanos(9)));
        device.state.key_expiry_disabled = Some(true);
        assert!(!fits_device(&device, "expired", "", Timestamp::from_nanos(9)));
    }

    #[test]
    fn a_moment_without_its_zone_is_refused() {
        let now = Timestamp::from_nanos(9);
        assert_eq!(moment(None, now).unwrap(), now);
        assert!(moment(Some("2026-11-20T14:02:11Z"), now).is_ok());
        assert_eq!(moment(Some("yesterday"), now).unwrap_err().field.as_deref(), Some("at"));
    }
}
