//! Follows this machine's own node in its tailnet.
//!
//! When tailscaled's IPN bus reports a change, the status is read without peers, which is short. Without a bus the status is
//! polled: every few seconds while the node is up, and with growing pauses while it is not.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use tokio::sync::watch;

use crate::local_api::{BackendState, Bus, LocalApi, LocalApiError, Peers, Status};
use crate::subject::{non_empty, tags_text};

/// The first pause after a failure or while the node is starting; doubled up to the usual interval.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// The status is read at least this often, also if the bus reports no change.
const MAX_INTERVAL: Duration = Duration::from_secs(60);

/// The wait after a change, since several often come in a row.
const SETTLE: Duration = Duration::from_millis(100);

/// This machine as a node of its tailnet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OwnNode {
    /// tailscaled has not answered yet.
    #[default]
    Unasked,
    /// tailscaled can't be reached. The node's addresses may still work.
    Unreachable {
        /// The error.
        why: String,
    },
    /// tailscaled answers, but the node is not up.
    Down {
        /// Its state.
        state: BackendState,
    },
    /// The node is up.
    Running {
        /// Its addresses in the tailnet.
        addresses: Vec<IpAddr>,
        /// Its full name, without a trailing dot.
        name: Option<String>,
        /// The id that survives renames.
        id: Option<String>,
        /// Its tags as text: a list, or `no tags`.
        tags: String,
        /// How connections to it arrive.
        arrival: Arrival,
    },
}

/// How connections to a node's addresses arrive on its machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// On a network interface, which has the node's addresses.
    Interface,
    /// Forwarded to 127.0.0.1 by a userspace tailscaled; the addresses exist only inside it.
    Loopback,
}

/// The node's membership in its tailnet when it was up last: what is needed to classify a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Membership {
    /// Its addresses in the tailnet.
    pub(crate) addresses: Vec<IpAddr>,
    /// Its stable id.
    pub(crate) id: Option<String>,
    /// How connections to it arrive.
    pub(crate) arrival: Arrival,
}

impl OwnNode {
    /// The addresses on which a service must listen to be reachable at the node's addresses; none while it is not up.
    pub fn listen_on(&self) -> Option<Vec<IpAddr>> {
        match self {
            OwnNode::Running { arrival: Arrival::Loopback, .. } => Some(vec![Ipv4Addr::LOCALHOST.into()]),
            OwnNode::Running { addresses, .. } => Some(addresses.clone()),
            _ => None,
        }
    }

    /// The node's membership; none while it is not up.
    fn membership(&self) -> Option<Membership> {
        match self {
            OwnNode::Running { addresses, id, arrival, .. } => {
                Some(Membership { addresses: addresses.clone(), id: id.clone(), arrival: *arrival })
            }
            _ => None,
        }
    }
}

impl From<Result<Status, LocalApiError>> for OwnNode {
    fn from(answer: Result<Status, LocalApiError>) -> OwnNode {
        let status = match answer {
            Ok(status) => status,
            Err(error) => return OwnNode::Unreachable { why: error.to_string() },
        };
        if status.backend_state != BackendState::Running {
            return OwnNode::Down { state: status.backend_state };
        }
        let this = status.this.unwrap_or_default();
        let mut addresses = status.tailscale_ips;
        if addresses.is_empty() {
            addresses = this.tailscale_ips;
        }
        addresses.sort_unstable();
        OwnNode::Running {
            addresses,
            name: non_empty(this.dns_name.trim_end_matches('.')),
            id: non_empty(&this.id),
            tags: tags_text(&this.tags.into_iter().collect()),
            arrival: if status.tun { Arrival::Interface } else { Arrival::Loopback },
        }
    }
}

/// Channels that publish the state of the node.
pub(crate) struct NodeChannels {
    /// Its current state.
    pub(crate) node: watch::Sender<OwnNode>,
    /// The addresses to listen on.
    pub(crate) listen_on: watch::Sender<Vec<IpAddr>>,
    /// Its membership when it was up last; not changed by an outage of tailscaled.
    pub(crate) membership: watch::Sender<Option<Membership>>,
}

impl NodeChannels {
    async fn all_closed(&self) {
        self.node.closed().await;
        self.listen_on.closed().await;
        self.membership.closed().await;
    }
}

/// Follows the node until all channels have lost their receivers.
pub(crate) async fn follow(local_api: LocalApi, poll_interval: Duration, channels: NodeChannels) {
    let NodeChannels { node, listen_on, membership } = &channels;
    let mut pause = FIRST_PAUSE;
    let mut bus = None;
    loop {
        if bus.is_none() {
            // Opened before the status is read, so that no change between the two is missed.
            bus = local_api.bus().await.ok();
        }
        let now = OwnNode::from(local_api.status(Peers::Skipped).await);
        pause = match &now {
            OwnNode::Running { .. } => poll_interval,
            _ => (pause * 2).min(poll_interval),
        };
        if let Some(addresses) = now.listen_on() {
            // An outage of tailscaled changes nothing here: open sockets stay usable.
            listen_on.send_if_modified(|known| std::mem::replace(known, addresses.clone()) != addresses);
        }
        if let Some(member) = now.membership() {
            // Sent before the node itself, so that a receiver of the node finds its membership.
            membership.send_if_modified(|known| {
                let changed = known.as_ref() != Some(&member);
                *known = Some(member);
                changed
            });
        }
        node.send_if_modified(|known| {
            let changed = *known != now;
            if changed {
                tracing::info!(before = ?known, now = ?now, "own node");
                *known = now;
            }
            changed
        });
        tokio::select! {
            () = wait_for_change(&mut bus, pause, poll_interval) => {}
            () = channels.all_closed() => return,
        }
    }
}

/// Waits until the bus reports a change; without a working bus, for `pause`.
async fn wait_for_change(bus: &mut Option<Bus>, pause: Duration, poll_interval: Duration) {
    if let Some(open) = bus {
        match tokio::time::timeout(MAX_INTERVAL.max(poll_interval), open.changed()).await {
            Ok(Ok(())) => return tokio::time::sleep(SETTLE).await,
            Ok(Err(_broken)) => *bus = None,
            Err(_silent) => return,
        }
    }
    tokio::time::sleep(pause).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(status: &str) -> OwnNode {
        OwnNode::from(Ok(serde_json::from_str::<Status>(status).unwrap()))
    }

    #[test]
    fn a_node_with_an_interface_listens_on_its_addresses_and_a_userspace_one_on_loopback() {
        let status =
            r#"{"BackendState":"Running","TUN":true,"TailscaleIPs":["fd7a:115c:a1e0::9","100.64.0.9"]}"#;
        let addresses: Vec<IpAddr> =
            vec!["100.64.0.9".parse().unwrap(), "fd7a:115c:a1e0::9".parse().unwrap()];
        assert_eq!(own(status).listen_on(), Some(addresses));
        let userspace = own(&status.replace("true", "false"));
        assert_eq!(userspace.listen_on(), Some(vec![Ipv4Addr::LOCALHOST.into()]));
    }

    #[test]
    fn a_node_that_is_not_up_listens_nowhere() {
        let down = own(r#"{"BackendState":"NeedsLogin","TailscaleIPs":["100.64.0.9"]}"#);
        assert_eq!(down, OwnNode::Down { state: BackendState::NeedsLogin });
        assert_eq!(down.listen_on(), None);
    }
}
