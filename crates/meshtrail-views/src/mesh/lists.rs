//! The lists of people and devices as of a moment, filtered by text in the columns shown.

use std::str::FromStr;

use meshtrail_api::directory::{DeviceView, PersonView};
use meshtrail_api::people::PersonListItem;
use meshtrail_event::Timestamp;
use meshtrail_identity::{DeviceAsOf, History, PersonAsOf};

/// Which rows of a list, and of which moment.
#[derive(Debug, Clone, Copy)]
pub struct ListSelection<'a, S> {
    /// The moment that the list describes.
    pub at: Timestamp,
    /// Which of them: [`PeopleShown`] or [`DevicesShown`].
    pub show: S,
    /// Only rows with this text in one of their columns, in any case and without the spaces around it; empty for all.
    pub text: &'a str,
}

/// Which people a list shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeopleShown {
    /// All in the mesh.
    All,
    /// Those whose status is neither active nor idle.
    Inactive,
    /// Those who were in the mesh before.
    Gone,
    /// Those about whom providers contradict each other.
    Doubt,
}

/// Which devices a list shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DevicesShown {
    /// All in the mesh.
    All,
    /// Those that tags own.
    Tagged,
    /// Those that a person owns.
    Owned,
    /// Those that advertise a route, or have one enabled.
    Routes,
    /// Those that nobody has approved.
    Unauthorized,
    /// Those whose key has expired.
    Expired,
    /// Those that were in the mesh before.
    Gone,
    /// Those about which providers contradict each other.
    Doubt,
}

/// A word that selects no rows of a list; it says which words do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum UnknownSelection {
    #[error("people can be shown by inactive, gone and doubt")]
    People,
    #[error("devices can be shown by tagged, owned, routes, unauthorized, expired, gone, doubt")]
    Devices,
}

impl FromStr for PeopleShown {
    type Err = UnknownSelection;

    /// Parses a word; the empty text is all of them.
    fn from_str(word: &str) -> Result<PeopleShown, UnknownSelection> {
        match word {
            "" => Ok(PeopleShown::All),
            "inactive" => Ok(PeopleShown::Inactive),
            "gone" => Ok(PeopleShown::Gone),
            "doubt" => Ok(PeopleShown::Doubt),
            _ => Err(UnknownSelection::People),
        }
    }
}

impl FromStr for DevicesShown {
    type Err = UnknownSelection;

    /// Parses a word; the empty text is all of them.
    fn from_str(word: &str) -> Result<DevicesShown, UnknownSelection> {
        match word {
            "" => Ok(DevicesShown::All),
            "tagged" => Ok(DevicesShown::Tagged),
            "owned" => Ok(DevicesShown::Owned),
            "routes" => Ok(DevicesShown::Routes),
            "unauthorized" => Ok(DevicesShown::Unauthorized),
            "expired" => Ok(DevicesShown::Expired),
            "gone" => Ok(DevicesShown::Gone),
            "doubt" => Ok(DevicesShown::Doubt),
            _ => Err(UnknownSelection::Devices),
        }
    }
}

/// The rows of a list.
pub struct DirectoryList<T> {
    /// The rows that the selection has, in the order of the list.
    pub rows: Vec<T>,
    /// How many people or devices the directory ever knew, whatever the selection.
    pub known: usize,
}

/// The people of a selection, sorted by login.
pub fn list_people(
    history: &History,
    selection: &ListSelection<'_, PeopleShown>,
) -> DirectoryList<PersonListItem> {
    let (at, show, text) = (selection.at, selection.show, search_text(selection.text));
    let logins = history.logins();
    let mut people: Vec<PersonView> = match show {
        PeopleShown::Gone => logins.iter().filter_map(|login| gone_person(history, login, at)).collect(),
        _ => history.people(at).iter().map(person_view).collect(),
    };
    people.retain(|person| matches_person(person, show, &text));
    people.iter_mut().for_each(|person| add_person_presence(history, person, at));
    people.sort_by_cached_key(|person| person.state.login.to_lowercase());
    let rows = people.into_iter().map(|person| {
        let devices = history.devices_by_owner(&person.state.login, at).len();
        PersonListItem { person, devices }
    });
    DirectoryList { rows: rows.collect(), known: logins.len() }
}

/// The devices of a selection, sorted by name.
pub fn list_devices(
    history: &History,
    selection: &ListSelection<'_, DevicesShown>,
) -> DirectoryList<DeviceView> {
    let (at, show, text) = (selection.at, selection.show, search_text(selection.text));
    let ids = history.device_ids();
    let mut rows: Vec<DeviceView> = match show {
        DevicesShown::Gone => ids.iter().filter_map(|id| gone_device(history, id, at)).collect(),
        _ => history.devices(at).iter().map(device_view).collect(),
    };
    rows.retain(|device| matches_device(device, show, &text, at));
    rows.iter_mut().for_each(|device| add_device_presence(history, device, at));
    rows.sort_by_cached_key(|device| device.state.name.as_deref().unwrap_or(&device.state.id).to_lowercase());
    DirectoryList { rows, known: ids.len() }
}

/// The text to search for, trimmed and in lower case.
fn search_text(text: &str) -> String {
    text.trim().to_lowercase()
}

fn matches_person(person: &PersonView, show: PeopleShown, text: &str) -> bool {
    let state = &person.state;
    let shown = match show {
        PeopleShown::Inactive => !state.is_active(),
        PeopleShown::Doubt => person.conflict.is_some(),
        PeopleShown::All | PeopleShown::Gone => true,
    };
    let texts =
        [Some(state.login.as_str()), state.name.as_deref(), state.role.as_deref(), state.status.as_deref()];
    shown && any_contains(texts.into_iter().flatten().chain(state.groups.iter().map(String::as_str)), text)
}

fn matches_device(device: &DeviceView, show: DevicesShown, text: &str, at: Timestamp) -> bool {
    let state = &device.state;
    let shown = match show {
        DevicesShown::Tagged => !state.tags.is_empty(),
        DevicesShown::Owned => state.tags.is_empty() && state.owner.is_some(),
        DevicesShown::Routes => !state.enabled_routes.is_empty() || !state.advertised_routes.is_empty(),
        DevicesShown::Unauthorized => state.authorized == Some(false),
        DevicesShown::Expired => {
            let past = state.expires.is_some_and(|expires| expires < at);
            state.expired == Some(true) || past && state.key_expiry_disabled != Some(true)
        }
        DevicesShown::Doubt => device.conflict.is_some(),
        DevicesShown::All | DevicesShown::Gone => true,
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

fn gone_person(history: &History, login: &str, at: Timestamp) -> Option<PersonView> {
    if history.person(login, at).is_some() {
        return None;
    }
    super::profiles::last_known_person(history, login, at)
}

fn gone_device(history: &History, id: &str, at: Timestamp) -> Option<DeviceView> {
    if history.device(id, at).is_some() {
        return None;
    }
    super::profiles::last_known_device(history, id, at)
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
    use meshtrail_event::DeviceState;

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
            assert!(matches_device(&device, DevicesShown::Tagged, text, Timestamp::from_nanos(9)), "{text}");
        }
        assert!(!matches_device(&device, DevicesShown::All, "db-1", Timestamp::from_nanos(9)));
        assert!(!matches_device(&device, DevicesShown::Owned, "", Timestamp::from_nanos(9)));
    }

    #[test]
    fn a_word_that_selects_nothing_is_answered_with_those_that_do() {
        let words = |error: UnknownSelection| {
            let text = error.to_string();
            let (_, words) = text.split_once(" by ").unwrap();
            words.replace(" and ", ", ").split(", ").map(str::to_owned).collect::<Vec<_>>()
        };
        let people = words("gome".parse::<PeopleShown>().unwrap_err());
        let devices = words("gome".parse::<DevicesShown>().unwrap_err());
        assert_eq!((people.len(), devices.len()), (3, 7));
        assert!(people.iter().all(|word| word.parse::<PeopleShown>().is_ok()));
        assert!(devices.iter().all(|word| word.parse::<DevicesShown>().is_ok()));
    }

    #[test]
    fn a_key_past_its_time_counts_as_expired_unless_it_never_expires() {
        let expires = Some(Timestamp::from_nanos(5));
        let mut device = view(DeviceState { id: "n7".to_owned(), expires, ..DeviceState::default() });
        assert!(matches_device(&device, DevicesShown::Expired, "", Timestamp::from_nanos(9)));
        device.state.key_expiry_disabled = Some(true);
        assert!(!matches_device(&device, DevicesShown::Expired, "", Timestamp::from_nanos(9)));
    }
}
