//! Converts the LocalAPI's responses to the common form of all providers.

use meshtrail_event::{DeviceState, UserState};

use super::shapes::{Node, Status, StatusPeer, UserProfile, WhoIs, address};
use crate::subject::{Owner, Subject, group_name, non_empty};

impl WhoIs {
    /// The device and its owner. A tagged device has no owner, whatever the user profile is.
    pub fn subject(&self) -> Subject {
        let Node { stable_id, name, tags, addresses, hostinfo } = &self.node;
        Subject {
            name: non_empty(name.trim_end_matches('.')),
            stable_id: non_empty(stable_id),
            addresses: addresses.iter().filter_map(|text| address(text)).collect(),
            os: non_empty(&hostinfo.os),
            owner: if tags.is_empty() { owner(&self.user_profile) } else { None },
            tags: tags.iter().cloned().collect(),
        }
    }
}

impl Status {
    /// This node and its peers.
    pub fn subjects(&self) -> impl Iterator<Item = Subject> {
        self.this.iter().chain(self.peer.values()).map(|peer| self.subject(peer))
    }

    /// This node and its peers for a snapshot. Peers that this node may not talk to are missing, and so are properties of
    /// shared devices that this node does not receive.
    pub fn devices(&self) -> Vec<DeviceState> {
        let peers = self.this.iter().chain(self.peer.values());
        peers.filter(|peer| !peer.id.is_empty()).map(|peer| self.device(peer)).collect()
    }

    /// The owners of the devices in this node's netmap.
    pub fn users(&self) -> Vec<UserState> {
        let people = self.user.values().filter_map(owner);
        let state = |owner: Owner| UserState {
            id: owner.id.unwrap_or_default(),
            login: owner.login,
            name: owner.display_name,
            groups: owner.groups,
            ..UserState::default()
        };
        people.map(state).collect()
    }

    fn device(&self, peer: &StatusPeer) -> DeviceState {
        let subject = self.subject(peer);
        let own = |prefix: &&String| address(prefix).is_some_and(|ip| subject.addresses.contains(&ip));
        let routes = peer.allowed_ips.iter().filter(|prefix| !own(prefix)).cloned().collect();
        let suffix = self.current_tailnet.magic_dns_suffix.trim_matches('.').to_lowercase();
        let name = subject.name.as_deref().map(str::to_lowercase);
        let external = name.filter(|name| !suffix.is_empty() && !name.ends_with(&format!(".{suffix}")));
        DeviceState {
            addresses: subject.addresses.clone(),
            created: peer.created.parse().ok(),
            enabled_routes: routes,
            expired: peer.expired,
            expires: peer.key_expiry.parse().ok(),
            external: external.map(|_| true),
            hostname: non_empty(&peer.host_name),
            id: peer.id.clone(),
            name: subject.name,
            node_key: non_empty(&peer.public_key),
            online: peer.online,
            os: subject.os,
            owner: subject.owner.map(|owner| owner.login),
            tags: subject.tags,
            ..DeviceState::default()
        }
    }

    fn subject(&self, peer: &StatusPeer) -> Subject {
        let profile = self.user.get(&peer.user_id.to_string());
        Subject {
            name: non_empty(peer.dns_name.trim_end_matches('.')),
            stable_id: non_empty(&peer.id),
            addresses: peer.tailscale_ips.clone(),
            os: non_empty(&peer.os),
            owner: if peer.tags.is_empty() { profile.and_then(owner) } else { None },
            tags: peer.tags.iter().cloned().collect(),
        }
    }
}

fn owner(profile: &UserProfile) -> Option<Owner> {
    // The pseudo-user of tagged devices is no owner, even if a response lacks the tags.
    let login = non_empty(&profile.login_name).filter(|login| login != "tagged-devices")?;
    Some(Owner {
        id: (profile.id != 0).then(|| profile.id.to_string()),
        login,
        display_name: non_empty(&profile.display_name),
        groups: profile
            .groups
            .iter()
            .filter_map(|group| non_empty(group))
            .map(|group| group_name(&group))
            .collect(),
    })
}
