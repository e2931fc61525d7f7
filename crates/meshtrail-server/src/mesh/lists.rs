//! The lists of people and devices as of a moment, filtered by text in the columns shown.

use meshtrail_api::directory::{DeviceView, ListQuery, PersonView};
use meshtrail_event::Timestamp;
use meshtrail_identity::{DeviceAsOf, History, PersonAsOf};

use crate::problem::Problem;
use crate::state::AppState;

/// The rows of a list.
pub(crate) struct DirectoryList<T> {
    pub(crate) rows: Vec<T>,
    /// How many the directory ever knew, whatever the query selects.
    pub(crate) known: usize,
}

/// A row of the list of people.
pub(crate) struct ListedPerson {
    pub(crate) person: PersonView,
    /// Number of devices they own.
    pub(crate) devices: usize,
}

/// The people that `query` selects, sorted by login.
pub(crate) fn list_people(
    state: &AppState,
    query: &ListQuery,
    now: Timestamp,
) -> Result<DirectoryList<ListedPerson>, Problem> {
    let at = parse_moment(query.at.as_deref(), now)?;
    let (show, text) = (query.show.as_deref().unwrap_or_default(), search_text(query.q.as_deref()));
    if !["", "inactive", "gone", "doubt"].contains(&show) {
        return Err(Problem::bad_request("show", "people can be shown by inactive, gone and doubt"));
    }
    let history = state.history();
    let mut people: Vec<PersonView> = history.people(at).iter().map(person_view).collect();
    if show == "gone" {
        people = history.logins().iter().filter_map(|login| gone_person(state, login, at)).collect();
    }
    let known = history.logins().len();
    people.retain(|person| matches_person(person, show, &text));
    people.iter_mut().for_each(|person| add_person_presence(history, person, at));
    people.sort_by_key(|person| person.state.login.to_lowercase());
    let rows = people.into_iter().map(|person| {
        let devices = history.devices_by_owner(&person.state.login, at).len();
        ListedPerson { person, devices }
    });
    Ok(DirectoryList { rows: rows.collect(), known })
}

/// The devices that `query` selects, sorted by name.
pub(crate) fn list_devices(
    state: &AppState,
    query: &ListQuery,
    now: Timestamp,
) -> Result<DirectoryList<DeviceView>, Problem> {
    const SHOWN: [&str; 8] = ["", "tagged", "owned", "routes", "unauthorized", "expired", "gone", "doubt"];
    let at = parse_moment(query.at.as_deref(), now)?;
    let (show, text) = (query.show.as_deref().unwrap_or_default(), search_text(query.q.as_deref()));
    if !SHOWN.contains(&show) {
        return Err(Problem::bad_request(
            "show",
            format!("devices can be shown by {}", SHOWN[1..].join(", ")),
        ));
    }
    let history = state.history();
    let ids = history.device_ids();
    let mut rows: Vec<DeviceView> = match show {
        "gone" => ids.iter().filter_map(|id| gone_device(state, id, at)).collect(),
        _ => history.devices(at).iter().map(device_view).collect(),
    };
    rows.retain(|device| matches_device(device, show, &text, at));
    rows.iter_mut().for_each(|device| add_device_presence(history, device, at));
    rows.sort_by_cached_key(|device| device.state.name.as_deref().unwrap_or(&device.state.id).to_lowercase());
    Ok(DirectoryList { rows, known: ids.len() })
}

/// The text to search for, trimmed and in lower case.
fn search_text(text: Option<&str>) -> String {
    text.unwrap_or_default().trim().to_lowercase()
}

/// The moment that a list describes: `at`, or now where it is absent or blank.
fn parse_moment(at: Option<&str>, now: Timestamp) -> Result<Timestamp, Problem> {
    match at.map(str::trim).filter(|at| !at.is_empty()) {
        None => Ok(now),
        Some(at) => at
            .parse()
            .map_err(|_| Problem::bad_request("at", "write a moment as 2026-11-20T14:02:11Z, with its zone")),
    }
}

fn matches_person(person: &PersonView, show: &str, text: &str) -> bool {
    let state = &person.state;
    let shown = match show {
        "inactive" => state.status.as_deref().is_some_and(|status| !matches!(status, "active" | "idle")),
        "doubt" => person.conflict.is_some(),
        _ => true,
    };
    let texts =
        [Some(state.login.as_str()), state.name.as_deref(), state.role.as_deref(), state.status.as_deref()];
    shown && any_contains(texts.into_iter().flatten().chain(state.groups.iter().map(String::as_str)), text)
}

fn matches_device(device: &DeviceView, show: &str, text: &str, at: Timestamp) -> bool {
    let state = &device.state;
    let shown = match show {
        "tagged" => !state.tags.is_empty(),
        "owned" => state.tags.is_empty() && state.owner.is_some(),
        "routes" => !state.enabled_routes.is_empty() || !state.advertised_routes.is_empty(),
        "unauthorized" => state.authorized == Some(false),
        "expired" => {
            let past = state.expires.is_some_and(|expires| expires < at);
            state.expired == Some(true) || past && state.key_expiry_disabled != Some(true)
        }
        "doubt" => device.conflict.is_some(),
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
    shown && any_contains(texts.into_iter().flatten().chain(lists), text)
}

/// Whether one of the texts contains `search`, which is in lower case; the case of the texts does not matter.
fn any_contains<'a>(texts: impl IntoIterator<Item = &'a str>, search: &str) -> bool {
    search.is_empty() || texts.into_iter().any(|text| text.to_lowercase().contains(search))
}

fn gone_person(state: &AppState, login: &str, at: Timestamp) -> Option<PersonView> {
    if state.history().person(login, at).is_some() {
        return None;
    }
    super::profiles::last_known_person(state.history(), login, at)
}

fn gone_device(state: &AppState, id: &str, at: Timestamp) -> Option<DeviceView> {
    if state.history().device(id, at).is_some() {
        return None;
    }
    super::profiles::last_known_device(state.history(), id, at)
}

/// The view of a person, without presence.
pub(super) fn person_view(known: &PersonAsOf) -> PersonView {
    PersonView {
        state: known.facts.state(),
        by: known.provider.to_string(),
        as_of: known.as_of,
        seen_as_of: None,
        gone: None,
        conflict: None,
    }
}

/// The view of a device, without presence.
pub(super) fn device_view(known: &DeviceAsOf) -> DeviceView {
    DeviceView {
        state: known.facts().state(),
        by: known.provider.to_string(),
        as_of: known.as_of,
        seen_as_of: None,
        gone: None,
        conflict: known.conflict.as_deref().map(str::to_owned),
    }
}

/// Sets `last_seen` and `online` of a person, and the moment they are of.
pub(super) fn add_person_presence(history: &History, person: &mut PersonView, at: Timestamp) {
    let Some(presence) = history.person_presence(&person.state.login, at) else { return };
    (person.state.last_seen, person.state.online) = (presence.last_seen, presence.online);
    person.seen_as_of = Some(presence.as_of);
}

/// Sets `last_seen` and `online` of a device, and the moment they are of.
pub(super) fn add_device_presence(history: &History, device: &mut DeviceView, at: Timestamp) {
    let Some(presence) = history.device_presence(&device.state.id, at) else { return };
    (device.state.last_seen, device.state.online) = (presence.last_seen, presence.online);
    device.seen_as_of = Some(presence.as_of);
}

#[cfg(test)]
mod tests {
    use meshtrail_identity::DeviceState;

    use super::*;

    fn view(state: DeviceState) -> DeviceView {
        let as_of = Timestamp::from_nanos(5);
        DeviceView { state, by: "headscale".to_owned(), as_of, seen_as_of: None, gone: None, conflict: None }
    }

    #[test]
    fn a_device_is_found_by_any_part_of_what_is_shown() {
        let device = view(DeviceState {
            id: "n7".to_owned(),
            name: Some("Web-1.tail.example".to_owned()),
            tags: ["tag:prod".to_owned()].into(),
            addresses: vec!["100.64.0.7".parse().unwrap()],
            ..DeviceState::default()
        });
        for text in ["", "web-1", "prod", "64.0.7", "n7"] {
            assert!(matches_device(&device, "tagged", text, Timestamp::from_nanos(9)), "{text}");
        }
        assert!(!matches_device(&device, "", "db-1", Timestamp::from_nanos(9)));
        assert!(!matches_device(&device, "owned", "", Timestamp::from_nanos(9)));
    }

    #[test]
    fn a_key_past_its_time_counts_as_expired_unless_it_never_expires() {
        let expires = Some(Timestamp::from_nanos(5));
        let mut device = view(DeviceState { id: "n7".to_owned(), expires, ..DeviceState::default() });
        assert!(matches_device(&device, "expired", "", Timestamp::from_nanos(9)));
        device.state.key_expiry_disabled = Some(true);
        assert!(!matches_device(&device, "expired", "", Timestamp::from_nanos(9)));
    }

    #[test]
    fn a_moment_without_its_zone_is_refused() {
        let now = Timestamp::from_nanos(9);
        assert_eq!(parse_moment(None, now).unwrap(), now);
        assert!(parse_moment(Some("2026-11-20T14:02:11Z"), now).is_ok());
        assert_eq!(parse_moment(Some("yesterday"), now).unwrap_err().field.as_deref(), Some("at"));
    }
}
