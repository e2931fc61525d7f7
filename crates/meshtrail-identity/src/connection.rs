//! The ingress of a connection, which decides whether its peer's address identifies anybody.
//!
//! - The mesh delivers connections by its network interface, to one of the node's own addresses, or, without an interface,
//!   from loopback, where tailscaled forwards them. An address of the mesh on any other connection identifies nobody: every
//!   host on a network of this machine can take one.
//! - A connection from one of this machine's own addresses identifies the machine, but no person: every local program can
//!   open one.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use crate::local_api::canonical;
use crate::own_node::{Arrival, Membership};

/// Both ends of a connection that this machine accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The peer's address.
    pub peer: SocketAddr,
    /// This machine's address; none if it is not known.
    pub local: Option<SocketAddr>,
}

impl Connection {
    /// A connection of which only the peer is known.
    pub fn from_peer(peer: SocketAddr) -> Connection {
        Connection { peer, local: None }
    }

    pub(crate) fn canonical(self) -> Connection {
        Connection { peer: canonical(self.peer), local: self.local.map(canonical) }
    }
}

/// How a connection reached this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ingress {
    /// Delivered by the mesh: tailscaled knows the peer.
    Mesh,
    /// From an address of this machine.
    OwnMachine,
    /// From an address of the mesh, but not delivered by it.
    AroundTheMesh,
    /// From an address outside the mesh.
    Elsewhere,
}

/// The ingress of a connection to a node of the mesh. `in_mesh` is whether an address is one that the mesh assigns to its
/// nodes.
pub(crate) fn classify(
    connection: Connection,
    node: &Membership,
    in_mesh: impl Fn(IpAddr) -> bool,
    is_own: impl Fn(IpAddr) -> bool,
) -> Ingress {
    let peer = connection.peer.ip();
    let by_interface = node.arrival == Arrival::Interface;
    if peer.is_loopback() {
        // tailscaled distinguishes connections that it forwards from those of local programs.
        return if by_interface { Ingress::Elsewhere } else { Ingress::Mesh };
    }
    if node.addresses.contains(&peer) || is_own(peer) {
        return Ingress::OwnMachine;
    }
    if !in_mesh(peer) {
        return Ingress::Elsewhere;
    }
    let to_the_node = connection.local.is_none_or(|local| node.addresses.contains(&local.ip()));
    if by_interface && to_the_node { Ingress::Mesh } else { Ingress::AroundTheMesh }
}

/// Whether `address` is one of this machine's.
pub(crate) fn is_of_this_machine(address: IpAddr) -> bool {
    // Only an address of this machine can be bound. Binding sends nothing.
    match UdpSocket::bind((address, 0)) {
        Ok(_) if binds_foreign_addresses(address) => is_its_own_source(address),
        Ok(_) => true,
        // A link-local address can't be bound without its interface; it identifies nobody anyway.
        Err(error) if matches!(error.kind(), ErrorKind::AddrNotAvailable | ErrorKind::InvalidInput) => false,
        Err(error) => {
            tracing::debug!(%address, %error, "can't tell whether this address is the machine's own; taken as if it were");
            true
        }
    }
}

/// Whether the system allows binding addresses that it does not have (`ip_nonlocal_bind`).
fn binds_foreign_addresses(like: IpAddr) -> bool {
    // Addresses for documentation, which no machine has.
    let foreign: IpAddr = match like {
        IpAddr::V4(_) => Ipv4Addr::new(192, 0, 2, 1).into(),
        IpAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    };
    UdpSocket::bind((foreign, 0)).is_ok()
}

/// Whether the source address for packets to `address` is `address` itself, as for a machine's own addresses.
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

    fn ingress(peer: &str, local: Option<&str>, arrival: Arrival) -> Ingress {
        let addresses = vec!["100.64.0.9".parse().unwrap(), "fd7a:115c:a1e0::9".parse().unwrap()];
        let node = Membership { addresses, id: None, arrival };
        let address = |text: &str| SocketAddr::new(text.parse().unwrap(), 4000);
        let connection = Connection { peer: address(peer), local: local.map(address) };
        classify(connection.canonical(), &node, is_tailnet_address, |address| {
            address == IpAddr::from([192, 168, 1, 2])
        })
    }

    #[test]
    fn with_an_interface_the_mesh_brings_its_addresses_to_the_nodes_own_and_nothing_else() {
        let arrives = |peer, local| ingress(peer, local, Arrival::Interface);
        assert_eq!(arrives("100.64.0.7", Some("100.64.0.9")), Ingress::Mesh);
        assert_eq!(arrives("::ffff:100.64.0.7", Some("::ffff:100.64.0.9")), Ingress::Mesh);
        assert_eq!(arrives("fd7a:115c:a1e0::7", Some("fd7a:115c:a1e0::9")), Ingress::Mesh);
        assert_eq!(arrives("100.64.0.7", None), Ingress::Mesh, "our end is not known everywhere");
        assert_eq!(arrives("100.64.0.7", Some("192.168.1.2")), Ingress::AroundTheMesh);
        assert_eq!(arrives("192.168.1.7", Some("192.168.1.2")), Ingress::Elsewhere);
        assert_eq!(arrives("127.0.0.1", Some("127.0.0.1")), Ingress::Elsewhere);
    }

    #[test]
    fn without_an_interface_the_mesh_comes_by_loopback_alone() {
        let arrives = |peer, local| ingress(peer, local, Arrival::Loopback);
        assert_eq!(arrives("127.0.0.1", Some("127.0.0.1")), Ingress::Mesh);
        assert_eq!(arrives("100.64.0.7", Some("192.168.1.2")), Ingress::AroundTheMesh);
        assert_eq!(arrives("100.64.0.7", None), Ingress::AroundTheMesh);
        assert_eq!(arrives("192.168.1.7", None), Ingress::Elsewhere);
    }

    #[test]
    fn an_address_of_the_machine_itself_is_nobodys() {
        for arrival in [Arrival::Interface, Arrival::Loopback] {
            assert_eq!(ingress("100.64.0.9", Some("100.64.0.9"), arrival), Ingress::OwnMachine);
            assert_eq!(ingress("::ffff:100.64.0.9", None, arrival), Ingress::OwnMachine);
            assert_eq!(ingress("192.168.1.2", None, arrival), Ingress::OwnMachine);
        }
    }

    #[test]
    fn this_machines_addresses_are_told_from_others() {
        assert!(is_of_this_machine(Ipv4Addr::LOCALHOST.into()));
        assert!(!is_of_this_machine("192.0.2.7".parse().unwrap()));
    }
}
