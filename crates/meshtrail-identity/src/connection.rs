//! The way a connection came, which decides whether its peer's address says anything about who is there.
//!
//! - The mesh brings connections by its network interface, to one of the node's own addresses, or, without an interface,
//!   from loopback: tailscaled forwards them. An address of the mesh that comes by another way says nothing: any host on
//!   a network that this machine is in can give itself one.
//! - A connection from one of this machine's own addresses says which machine it is, never who: whoever can run a
//!   program here can make one.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use crate::local_api::canonical;
use crate::own_node::{Arrival, Membership};

/// Both ends of a connection that this machine accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The far end.
    pub peer: SocketAddr,
    /// Our end; none where it is not known.
    pub local: Option<SocketAddr>,
}

impl Connection {
    /// A connection of which only the far end is known.
    pub fn from_peer(peer: SocketAddr) -> Connection {
        Connection { peer, local: None }
    }

    pub(crate) fn canonical(self) -> Connection {
        Connection { peer: canonical(self.peer), local: self.local.map(canonical) }
    }
}

/// The way a connection came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// By the mesh: tailscaled knows whose the peer is.
    Mesh,
    /// From an address of this machine.
    OwnMachine,
    /// With an address of the mesh, but not by it.
    AroundTheMesh,
    /// From elsewhere.
    Elsewhere,
}

/// Decides by which way a connection came into a node of the mesh. `in_mesh` says whether an address is one that the
/// mesh gives to its nodes.
pub(crate) fn way_of(
    connection: Connection,
    node: &Membership,
    in_mesh: impl Fn(IpAddr) -> bool,
    is_own: impl Fn(IpAddr) -> bool,
) -> Way {
    let peer = connection.peer.ip();
    let by_interface = node.arrival == Arrival::Interface;
    if peer.is_loopback() {
        // tailscaled tells apart what it forwards and what a local program opened.
        return if by_interface { Way::Elsewhere } else { Way::Mesh };
    }
    if node.addresses.contains(&peer) || is_own(peer) {
        return Way::OwnMachine;
    }
    if !in_mesh(peer) {
        return Way::Elsewhere;
    }
    let to_the_node = connection.local.is_none_or(|local| node.addresses.contains(&local.ip()));
    if by_interface && to_the_node { Way::Mesh } else { Way::AroundTheMesh }
}

/// Whether `address` is one of this machine's.
pub(crate) fn is_of_this_machine(address: IpAddr) -> bool {
    // Only an address of this machine can be bound, and nothing is sent by that.
    match UdpSocket::bind((address, 0)) {
        Ok(_) if binds_foreign_addresses(address) => is_its_own_source(address),
        Ok(_) => true,
        // A link-local address can't be bound without its interface; such a one is no identity anyhow.
        Err(error) if matches!(error.kind(), ErrorKind::AddrNotAvailable | ErrorKind::InvalidInput) => false,
        Err(error) => {
            tracing::debug!(%address, %error, "can't tell whether this address is the machine's own; taken as if it were");
            true
        }
    }
}

/// Whether the system lets programs bind addresses that it does not have (`ip_nonlocal_bind`).
fn binds_foreign_addresses(like: IpAddr) -> bool {
    // Addresses for documentation, which no machine has.
    let foreign: IpAddr = match like {
        IpAddr::V4(_) => Ipv4Addr::new(192, 0, 2, 1).into(),
        IpAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    };
    UdpSocket::bind((foreign, 0)).is_ok()
}

/// Whether what is sent to `address` would be sent from `address`: so it is with a machine's own.
fn is_its_own_source(address: IpAddr) -> bool {
    let any: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // Connecting a UDP socket sends nothing: it only asks for the route.
    let source = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect((address, 9))?;
        socket.local_addr()
    });
    source.is_ok_and(|source| source.ip() == address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local_api::is_tailnet_address;

    fn way(peer: &str, local: Option<&str>, arrival: Arrival) -> Way {
        let addresses = vec!["100.64.0.9".parse().unwrap(), "fd7a:115c:a1e0::9".parse().unwrap()];
        let node = Membership { addresses, id: None, arrival };
        let address = |text: &str| SocketAddr::new(text.parse().unwrap(), 4000);
        let connection = Connection { peer: address(peer), local: local.map(address) };
        way_of(connection.canonical(), &node, is_tailnet_address, |address| {
            address == IpAddr::from([192, 168, 1, 2])
        })
    }

    #[test]
    fn with_an_interface_the_mesh_brings_its_addresses_to_the_nodes_own_and_nothing_else() {
        let arrives = |peer, local| way(peer, local, Arrival::Interface);
        assert_eq!(arrives("100.64.0.7", Some("100.64.0.9")), Way::Mesh);
        assert_eq!(arrives("::ffff:100.64.0.7", Some("::ffff:100.64.0.9")), Way::Mesh);
        assert_eq!(arrives("fd7a:115c:a1e0::7", Some("fd7a:115c:a1e0::9")), Way::Mesh);
        assert_eq!(arrives("100.64.0.7", None), Way::Mesh, "our end is not known everywhere");
        assert_eq!(arrives("100.64.0.7", Some("192.168.1.2")), Way::AroundTheMesh);
        assert_eq!(arrives("192.168.1.7", Some("192.168.1.2")), Way::Elsewhere);
        assert_eq!(arrives("127.0.0.1", Some("127.0.0.1")), Way::Elsewhere);
    }

    #[test]
    fn without_an_interface_the_mesh_comes_by_loopback_alone() {
        let arrives = |peer, local| way(peer, local, Arrival::Loopback);
        assert_eq!(arrives("127.0.0.1", Some("127.0.0.1")), Way::Mesh);
        assert_eq!(arrives("100.64.0.7", Some("192.168.1.2")), Way::AroundTheMesh);
        assert_eq!(arrives("100.64.0.7", None), Way::AroundTheMesh);
        assert_eq!(arrives("192.168.1.7", None), Way::Elsewhere);
    }

    #[test]
    fn an_address_of_the_machine_itself_is_nobodys() {
        for arrival in [Arrival::Interface, Arrival::Loopback] {
            assert_eq!(way("100.64.0.9", Some("100.64.0.9"), arrival), Way::OwnMachine);
            assert_eq!(way("::ffff:100.64.0.9", None, arrival), Way::OwnMachine);
            assert_eq!(way("192.168.1.2", None, arrival), Way::OwnMachine);
        }
    }

    #[test]
    fn this_machines_addresses_are_told_from_others() {
        assert!(is_of_this_machine(Ipv4Addr::LOCALHOST.into()));
        assert!(!is_of_this_machine("192.0.2.7".parse().unwrap()));
    }
}
