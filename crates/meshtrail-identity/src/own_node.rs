//! This machine's own place in its tailnet, followed while it changes.
//!
//! tailscaled's bus rings when something changed, and the status without peers, which is short, says what. Where there
//! is no bus the status is simply asked for again and again: every few seconds while all is well, and with growing
//! pauses while tailscaled is away.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use tokio::sync::watch;

use crate::local_api::{BackendState, Bus, LocalApi, LocalApiError, Peers, Status};
use crate::subject::{said, tags_text};

/// The first pause after a failure or while the node is on its way up; doubled up to the usual one.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// How long the node is left alone while the bus is silent.
const LOOK_ANYWAY: Duration = Duration::from_secs(60);

/// What rings once often rings again at once.
const SETTLE: Duration = Duration::from_millis(100);

/// This machine as a node of its tailnet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OwnNode {
    /// tailscaled has not answered yet.
    #[default]
    Unasked,
    /// tailscaled can't be asked. The node's addresses may well still work.
    Unreachable {
        /// Why not.
        why: String,
    },
    /// tailscaled answers, but the node is not up.
    Down {
        /// Where it stands.
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
        /// Its tags, written as a list, or `no tags`.
        tags: String,
        /// How connections to it arrive.
        arrival: Arrival,
    },
}

/// How connections to a node's addresses arrive on its machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// By a network interface, which has the node's addresses.
    Interface,
    /// Forwarded to 127.0.0.1 by a userspace tailscaled; the addresses exist only inside it.
    Loopback,
}

/// What was known of the node when it was up last: enough to judge by which way a connection came.
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
    /// Where a service listens to be reached at the node's addresses; none while it is not up.
    pub fn listen_on(&self) -> Option<Vec<IpAddr>> {
        match self {
            OwnNode::Running { arrival: Arrival::Loopback, .. } => Some(vec![Ipv4Addr::LOCALHOST.into()]),
            OwnNode::Running { addresses, .. } => Some(addresses.clone()),
            _ => None,
        }
    }

    /// How the node stands in its tailnet; none while it is not up.
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
            name: said(this.dns_name.trim_end_matches('.')),
            id: said(&this.id),
            tags: tags_text(&this.tags.into_iter().collect()),
            arrival: if status.tun { Arrival::Interface } else { Arrival::Loopback },
        }
    }
}

/// What is found out of the node, for whoever wants to know.
pub(crate) struct Findings {
    /// Where it stands now.
    pub(crate) node: watch::Sender<OwnNode>,
    /// Where to listen to be reached at its addresses.
    pub(crate) listen_on: watch::Sender<Vec<IpAddr>>,
    /// How it stood in its tailnet when it was up last. An outage of tailscaled changes nothing here.
    pub(crate) membership: watch::Sender<Option<Membership>>,
}

impl Findings {
    async fn are_unwanted(&self) {
        self.node.closed().await;
        self.listen_on.closed().await;
        self.membership.closed().await;
    }
}

/// Follows the node until nobody listens to any channel any more.
pub(crate) async fn follow(local_api: LocalApi, look_every: Duration, findings: Findings) {
    let Findings { node, listen_on, membership } = &findings;
    let mut pause = FIRST_PAUSE;
    let mut bus = None;
    loop {
        if bus.is_none() {
            // Opened before the status is asked for, so that nothing happens unseen between the two.
            bus = local_api.bus().await.ok();
        }
        let now = OwnNode::from(local_api.status(Peers::Skipped).await);
        pause = match &now {
            OwnNode::Running { .. } => look_every,
            _ => (pause * 2).min(look_every),
        };
        if let Some(addresses) = now.listen_on() {
            // An outage of tailscaled changes nothing here: the sockets that are open stay good.
            listen_on.send_if_modified(|known| std::mem::replace(known, addresses.clone()) != addresses);
        }
        if let Some(member) = now.membership() {
            // Before the node itself: whoever waits for that finds this.
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
            () = next_look(&mut bus, pause, look_every) => {}
            () = findings.are_unwanted() => return,
        }
    }
}

/// Waits until the bus rings; without one that works, for `pause`.
async fn next_look(bus: &mut Option<Bus>, pause: Duration, look_every: Duration) {
    if let Some(open) = bus {
        match tokio::time::timeout(LOOK_ANYWAY.max(look_every), open.rings()).await {
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
