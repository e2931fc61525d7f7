//! The user that owns the far socket of a loopback connection.
//!
//! A userspace tailscaled knows the peer of a loopback port from which it forwards, but it knows the port only: a program of
//! another user could connect from the same port to a different address at that moment, and would be taken for the peer. The
//! system knows the user of each socket.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The system's lists of TCP sockets; an IPv6 socket may have an IPv4 address too.
const LISTS: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];

/// The user of this machine's socket that is connected from `near` to `far`; none if it is not found. Reads the list of all
/// sockets.
pub(crate) fn owner_of(near: SocketAddr, far: SocketAddr) -> Option<u32> {
    let lists = LISTS.iter().filter_map(|path| File::open(path).ok());
    lists.flat_map(|list| BufReader::new(list).lines().map_while(Result::ok)).find_map(|line| {
        let socket = Socket::parse(&line)?;
        (socket.near == near && socket.far == far).then_some(socket.user)
    })
}

/// One line of the list.
#[derive(Debug, PartialEq, Eq)]
struct Socket {
    near: SocketAddr,
    far: SocketAddr,
    user: u32,
}

impl Socket {
    /// Parses `sl near far state queues timer retransmits user …`; none for the heading.
    fn parse(line: &str) -> Option<Socket> {
        let mut parts = line.split_ascii_whitespace().skip(1);
        let (near, far) = (address(parts.next()?)?, address(parts.next()?)?);
        Some(Socket { near, far, user: parts.nth(4)?.parse().ok()? })
    }
}

/// Parses `0100007F:1F90`: 32-bit words of an address in the machine's byte order, and a port.
fn address(text: &str) -> Option<SocketAddr> {
    let (words, port) = text.split_once(':')?;
    let mut bytes = Vec::with_capacity(16);
    for at in (0..words.len()).step_by(8) {
        let word = u32::from_str_radix(words.get(at..at + 8)?, 16).ok()?;
        bytes.extend(word.to_ne_bytes());
    }
    let ip: IpAddr = match bytes.len() {
        4 => Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into(),
        16 => Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).to_canonical(),
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn a_line_of_the_list_is_read_and_its_heading_is_not() {
        let heading = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";
        assert_eq!(Socket::parse(heading), None);
        let line = "   3: 0100007F:9C41 0100007F:1CF3 01 00000000:00000000 00:00000000 00000000  1000        0 41 1 f 20";
        let found = Socket::parse(line).unwrap();
        assert_eq!(
            (found.near.to_string(), found.far.to_string()),
            ("127.0.0.1:40001".to_owned(), "127.0.0.1:7411".to_owned())
        );
        assert_eq!(found.user, 1000);
        let mapped = address("0000000000000000FFFF00000100007F:1CF3").unwrap();
        assert_eq!(mapped.to_string(), "127.0.0.1:7411");
        let loopback = address("00000000000000000000000001000000:1CF3").unwrap();
        assert_eq!(loopback.to_string(), "[::1]:7411");
        for bad in ["", "7F:1", "0100007F", "0100007F:x", "0100007F0100007F:1CF3", "é00007F:1"] {
            assert_eq!(address(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_far_end_of_a_connection_is_its_users() {
        let us = std::fs::metadata("/proc/self").unwrap().uid();
        for any in ["127.0.0.1:0", "[::1]:0"] {
            // Not every machine has IPv6.
            let Ok(listener) = TcpListener::bind(any) else { continue };
            let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (near, far) = (stream.local_addr().unwrap(), listener.local_addr().unwrap());
            assert_eq!(owner_of(near, far), Some(us));
            assert_eq!(owner_of(near, SocketAddr::new(far.ip(), 1)), None);
        }
    }
}
