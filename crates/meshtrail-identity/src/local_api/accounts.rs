//! Brings the LocalAPI's answers into the one shape of every provider.

use super::shapes::{Node, Status, StatusPeer, UserProfile, WhoIs, address};
use crate::subject::{Owner, Subject, group_name, said};

impl WhoIs {
    /// The device and its owner. A tagged device has no owner, whatever profile stands beside it.
    pub fn subject(&self) -> Subject {
        let Node { stable_id, name, tags, addresses, hostinfo } = &self.node;
        Subject {
            name: said(name.trim_end_matches('.')),
            stable_id: said(stable_id),
            addresses: addresses.iter().filter_map(|text| address(text)).collect(),
            os: said(&hostinfo.os),
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

    fn subject(&self, peer: &StatusPeer) -> Subject {
        let profile = self.user.get(&peer.user_id.to_string());
        Subject {
            name: said(peer.dns_name.trim_end_matches('.')),
            stable_id: said(&peer.id),
            addresses: peer.tailscale_ips.clone(),
            os: said(&peer.os),
            owner: if peer.tags.is_empty() { profile.and_then(owner) } else { None },
            tags: peer.tags.iter().cloned().collect(),
        }
    }
}

fn owner(profile: &UserProfile) -> Option<Owner> {
    // The pseudo-user of tagged devices is nobody, also where an answer forgot the tags.
    let login = said(&profile.login_name).filter(|login| login != "tagged-devices")?;
    Some(Owner {
        id: (profile.id != 0).then(|| profile.id.to_string()),
        login,
        display_name: said(&profile.display_name),
        groups: profile
            .groups
            .iter()
            .filter_map(|group| said(group))
            .map(|group| group_name(&group))
            .collect(),
    })
}
