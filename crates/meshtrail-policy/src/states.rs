//! A directory from the states that events carry.

use std::collections::BTreeSet;

use meshtrail_event::{DeviceState, Timestamp, UserState};

use crate::directory::{AttributeValue, Attributes, Device, Directory, Hindrance, Membership, Person};

impl Directory {
    /// The people and devices of these states, as of a moment: keys that expired by then have expired. Domains of the
    /// tailnet are not in states; callers that know them set them.
    pub fn from_states<'s>(
        users: impl IntoIterator<Item = &'s UserState>,
        devices: impl IntoIterator<Item = &'s DeviceState>,
        at: Timestamp,
    ) -> Self {
        let (mut people, mut suspended) = (Vec::new(), BTreeSet::new());
        for user in users {
            if user.status.as_deref() == Some("suspended") {
                suspended.insert(user.login.as_str());
            }
            people.push(person(user));
        }
        let devices = devices.into_iter().map(|state| {
            let mut device = device(state, at);
            let is_suspended = device.person().is_some_and(|owner| suspended.contains(owner));
            device.hindrance = device.hindrance.or(is_suspended.then_some(Hindrance::OwnerSuspended));
            device
        });
        Self { domains: BTreeSet::new(), people, devices: devices.collect() }
    }
}

/// Groups with a domain are an identity provider's; those of the policy are in the policy. A role that is not known here
/// stays open.
fn person(user: &UserState) -> Person {
    let synced: BTreeSet<String> = user.groups.iter().filter(|group| group.contains('@')).cloned().collect();
    Person {
        login: user.login.clone(),
        other_names: Vec::new(),
        membership: if user.of_type.as_deref() == Some("shared") {
            Membership::Shared
        } else {
            Membership::Member
        },
        role: user.role.as_deref().and_then(|role| role.parse().ok()),
        synced_groups: (!synced.is_empty()).then_some(synced),
    }
}

/// Routes that are not networks are left out: they lead nowhere.
fn device(state: &DeviceState, at: Timestamp) -> Device {
    let routes = |texts: &BTreeSet<String>| texts.iter().filter_map(|text| text.parse().ok()).collect();
    let is_past = state.expired == Some(true) || state.expires.is_some_and(|expires| expires <= at);
    let has_expired = is_past && state.key_expiry_disabled != Some(true);
    let hindrance = match state.authorized {
        Some(false) => Some(Hindrance::NotAuthorised),
        _ => has_expired.then_some(Hindrance::Expired),
    };
    Device {
        id: state.id.clone(),
        name: state.name.clone().or_else(|| state.hostname.clone()).unwrap_or_else(|| state.id.clone()),
        addresses: state.addresses.clone(),
        owner: state.owner.clone(),
        tags: state.tags.clone(),
        routes: routes(&state.enabled_routes),
        advertised_routes: routes(&state.advertised_routes),
        external: state.external == Some(true),
        hindrance,
        blocks_incoming: state.blocks_incoming == Some(true),
        attributes: attributes(state),
    }
}

/// The attributes that the state tells; the control plane has more.
fn attributes(state: &DeviceState) -> Attributes {
    let system = state.os.as_ref().map(|os| ("node:os", os.to_ascii_lowercase()));
    // The version as postures compare it, without the commit behind it: 1.102.5-t0123456.
    let version = state.client_version.as_ref().and_then(|version| version.split('-').next());
    let version = version.map(|version| ("node:tsVersion", version.to_owned()));
    let values = system.into_iter().chain(version);
    let values = values.map(|(key, value)| (key.to_owned(), AttributeValue::Text(value))).collect();
    Attributes { values, complete: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::Role;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds).unwrap()
    }

    #[test]
    fn states_become_people_and_devices_with_what_holds_at_the_moment() {
        let users = [
            UserState {
                login: "ana@example.com".to_owned(),
                role: Some("it-admin".to_owned()),
                groups: ["group:ops".to_owned(), "group:sec@example.com".to_owned()].into(),
                ..UserState::default()
            },
            UserState {
                login: "bo@example.com".to_owned(),
                status: Some("suspended".to_owned()),
                of_type: Some("member".to_owned()),
                role: Some("wizard".to_owned()),
                ..UserState::default()
            },
            UserState {
                login: "vic@partner.example".to_owned(),
                of_type: Some("shared".to_owned()),
                ..UserState::default()
            },
        ];
        let device = |id: &str, owner: &str| DeviceState {
            id: id.to_owned(),
            owner: Some(format!("{owner}@example.com")),
            ..DeviceState::default()
        };
        let devices = [
            DeviceState {
                os: Some("macOS".to_owned()),
                client_version: Some("1.102.5-tabc".to_owned()),
                enabled_routes: ["10.0.0.0/8".to_owned(), "nonsense".to_owned()].into(),
                expires: Some(at(100)),
                ..device("n1", "ana")
            },
            device("n2", "bo"),
            DeviceState { authorized: Some(false), ..device("n3", "ana") },
        ];
        let now = Directory::from_states(&users, &devices, at(99));
        let later = Directory::from_states(&users, &devices, at(100));

        assert_eq!(now.people[0].role, Some(Role::ItAdmin));
        assert_eq!(now.people[0].synced_groups, Some(["group:sec@example.com".to_owned()].into()));
        assert_eq!((now.people[1].role, now.people[1].synced_groups.clone()), (None, None));
        assert_eq!(now.people[2].membership, Membership::Shared);
        let hindrances = |directory: &Directory| {
            directory.devices.iter().map(|device| device.hindrance).collect::<Vec<_>>()
        };
        assert_eq!(hindrances(&now), [None, Some(Hindrance::OwnerSuspended), Some(Hindrance::NotAuthorised)]);
        assert_eq!(hindrances(&later)[0], Some(Hindrance::Expired));
        assert_eq!(now.devices[0].routes.len(), 1);
        let values: Vec<_> = now.devices[0].attributes.values.values().map(ToString::to_string).collect();
        assert_eq!(values, ["'macos'", "'1.102.5'"]);
    }
}
