//! JSON shapes of the LocalAPI's responses, parsed leniently: missing, null and unknown members are accepted.

use std::collections::HashMap;
use std::net::IpAddr;

use serde::{Deserialize, Deserializer};

/// The response to WhoIs.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct WhoIs {
    /// The device.
    pub node: Node,
    /// Its owner; for a tagged device a pseudo-user, so check the tags first.
    #[serde(default, deserialize_with = "or_default")]
    pub user_profile: UserProfile,
}

/// A device as WhoIs describes it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Node {
    /// The stable id: it survives renames and key changes, and is opaque.
    #[serde(rename = "StableID", default, deserialize_with = "or_default")]
    pub stable_id: String,
    /// The full name, with a trailing dot.
    #[serde(default, deserialize_with = "or_default")]
    pub name: String,
    /// The tags of a device that belongs to no person.
    #[serde(default, deserialize_with = "or_default")]
    pub tags: Vec<String>,
    /// Its addresses, as prefixes of full length.
    #[serde(default, deserialize_with = "or_default")]
    pub addresses: Vec<String>,
    /// Self-reported information.
    #[serde(default, deserialize_with = "or_default")]
    pub hostinfo: Hostinfo,
}

/// Self-reported information of a device.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Hostinfo {
    /// Its operating system.
    #[serde(rename = "OS", default, deserialize_with = "or_default")]
    pub os: String,
}

/// A person of the tailnet, or the pseudo-user of tagged devices.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UserProfile {
    /// The control plane's id.
    #[serde(rename = "ID", default, deserialize_with = "or_default")]
    pub id: i64,
    /// The name that the person signs in with.
    #[serde(default, deserialize_with = "or_default")]
    pub login_name: String,
    /// Display name.
    #[serde(default, deserialize_with = "or_default")]
    pub display_name: String,
    /// The groups that the control server reports, if it does.
    #[serde(default, deserialize_with = "or_default")]
    pub groups: Vec<String>,
}

/// This node, its tailnet and its peers.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Status {
    /// The node's state; only `Running` has usable addresses.
    #[serde(default)]
    pub backend_state: BackendState,
    /// Whether the node has a network interface; if not, tailscaled forwards connections to loopback.
    #[serde(rename = "TUN", default, deserialize_with = "or_default")]
    pub tun: bool,
    /// The node's own addresses.
    #[serde(rename = "TailscaleIPs", default, deserialize_with = "addresses")]
    pub tailscale_ips: Vec<IpAddr>,
    /// The node itself.
    #[serde(rename = "Self", default)]
    pub this: Option<StatusPeer>,
    /// Its peers by node key, unless they were skipped.
    #[serde(default, deserialize_with = "or_default")]
    pub peer: HashMap<String, StatusPeer>,
    /// The people, by id as decimal text.
    #[serde(default, deserialize_with = "or_default")]
    pub user: HashMap<String, UserProfile>,
    /// The tailnet the node is in.
    #[serde(default, deserialize_with = "or_default")]
    pub current_tailnet: CurrentTailnet,
}

/// The tailnet a node is in.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CurrentTailnet {
    /// The suffix of its devices' names.
    #[serde(rename = "MagicDNSSuffix", default, deserialize_with = "or_default")]
    pub magic_dns_suffix: String,
}

/// A device as the status lists it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StatusPeer {
    /// The stable id.
    #[serde(rename = "ID", default, deserialize_with = "or_default")]
    pub id: String,
    /// The full name, with a trailing dot.
    #[serde(rename = "DNSName", default, deserialize_with = "or_default")]
    pub dns_name: String,
    /// The operating system.
    #[serde(rename = "OS", default, deserialize_with = "or_default")]
    pub os: String,
    /// Its owner: a key of [`Status::user`].
    #[serde(rename = "UserID", default, deserialize_with = "or_default")]
    pub user_id: i64,
    /// Its addresses.
    #[serde(rename = "TailscaleIPs", default, deserialize_with = "addresses")]
    pub tailscale_ips: Vec<IpAddr>,
    /// Its tags.
    #[serde(default, deserialize_with = "or_default")]
    pub tags: Vec<String>,
    /// The host name of its operating system.
    #[serde(default, deserialize_with = "or_default")]
    pub host_name: String,
    /// The prefixes routed to it: its own addresses and enabled routes, as CIDR.
    #[serde(rename = "AllowedIPs", default, deserialize_with = "or_default")]
    pub allowed_ips: Vec<String>,
    /// The node key.
    #[serde(default, deserialize_with = "or_default")]
    pub public_key: String,
    /// Whether it is connected to the control plane.
    #[serde(default)]
    pub online: Option<bool>,
    /// Whether its node key is expired.
    #[serde(default)]
    pub expired: Option<bool>,
    /// When its node key expires; ignored if it is not a time.
    #[serde(default, deserialize_with = "or_default")]
    pub key_expiry: String,
    /// When it joined; ignored if it is not a time.
    #[serde(default, deserialize_with = "or_default")]
    pub created: String,
}

/// The state of a tailscaled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum BackendState {
    /// Not started.
    #[default]
    NoState,
    /// Waiting for a sign-in.
    NeedsLogin,
    /// Waiting for an administrator's approval.
    NeedsMachineAuth,
    /// Switched off by its user.
    Stopped,
    /// Starting.
    Starting,
    /// Connected to its tailnet.
    Running,
    /// An unknown state; treated as not running.
    #[serde(other)]
    Unknown,
}

fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// Addresses with or without a prefix length; invalid ones are left out.
fn addresses<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<IpAddr>, D::Error> {
    let texts: Vec<String> = or_default(from)?;
    Ok(texts.iter().filter_map(|text| address(text)).collect())
}

/// Parses one address, with or without a full prefix length.
pub(crate) fn address(text: &str) -> Option<IpAddr> {
    let Some((address, length)) = text.split_once('/') else { return text.parse().ok() };
    let address: IpAddr = address.parse().ok()?;
    let full = if address.is_ipv4() { "32" } else { "128" };
    (length == full).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_with_nulls_and_unknown_members_reads() {
        let text = r#"{"BackendState":"Moonwalking","TUN":false,"TailscaleIPs":null,"Self":null,"Peer":null,
            "User":null,"Health":[],"Later":{"a":1}}"#;
        let status: Status = serde_json::from_str(text).unwrap();
        assert_eq!(status.backend_state, BackendState::Unknown);
        assert!(status.tailscale_ips.is_empty() && status.peer.is_empty() && status.this.is_none());
    }

    #[test]
    fn an_answer_without_a_node_is_not_an_answer() {
        assert!(
            serde_json::from_str::<WhoIs>(r#"{"UserProfile":{"LoginName":"alice@example.com"}}"#).is_err()
        );
        assert!(serde_json::from_str::<WhoIs>(r#"{"Node":null}"#).is_err());
    }

    #[test]
    fn only_prefixes_of_full_length_are_addresses() {
        assert_eq!(address("100.64.0.7/32"), "100.64.0.7".parse().ok());
        assert_eq!(address("fd7a::7/128"), "fd7a::7".parse().ok());
        assert_eq!(address("10.0.0.0/24"), None);
        assert_eq!(address("fd7a::7/32"), None);
        assert_eq!(address("nonsense"), None);
    }
}
