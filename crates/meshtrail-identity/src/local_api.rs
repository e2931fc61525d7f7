//! A read-only client of tailscaled's LocalAPI: the device behind an address, and the state of this node.
//!
//! - A request opens one connection to the unix socket, and ends within the timeout, including its body.
//! - A body is read up to a limit; a longer one is an error.
//! - Status 404 means "not known"; every other status but 200 is an error.
//! - Nothing is cached: an answer is as of the moment of the request.
//!
//! Reading needs no privilege.

mod bus;
mod convert;
mod shapes;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

pub use bus::Bus;
pub(crate) use shapes::address as single_address;
pub use shapes::{BackendState, CurrentTailnet, Node, Status, StatusPeer, UserProfile, WhoIs};

/// tailscaled's default socket on Linux and BSD.
pub const DEFAULT_SOCKET: &str = "/var/run/tailscale/tailscaled.sock";

/// The default timeout of a request, from connecting to the last byte of the response.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(2);

/// The most bytes of a WhoIs response. It is about one node; only its capability map may be long.
const WHOIS_LIMIT: usize = 1 << 20;

/// The most bytes of a status, which lists every peer at about a kilobyte each.
const STATUS_LIMIT: usize = 64 << 20;

/// The most bytes of an error's body, for a log line.
const ERROR_TEXT_LIMIT: usize = 300;

/// Why a request to tailscaled failed. `question` names the endpoint.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum LocalApiError {
    #[error("cannot connect to tailscaled at {}", socket.display())]
    Connect { socket: PathBuf, source: std::io::Error },
    #[error("tailscaled did not answer {question} within {} ms", after.as_millis())]
    Timeout { question: &'static str, after: Duration },
    #[error("tailscaled's answer to {question} broke off or was not HTTP")]
    Transport { question: &'static str, source: hyper::Error },
    #[error("tailscaled's answer to {question} broke off inside its body")]
    Body { question: &'static str, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("tailscaled's answer to {question} is longer than {limit} bytes")]
    TooLong { question: &'static str, limit: usize },
    /// No permission to read, or a malformed request.
    #[error("tailscaled refused {question}: {status} {text}")]
    Refused {
        question: &'static str,
        status: StatusCode,
        /// The beginning of the body, without control characters.
        text: String,
    },
    #[error("tailscaled's answer to {question} is not the JSON it should be")]
    Json { question: &'static str, source: serde_json::Error },
}

/// Whether a status lists the peers or only this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peers {
    /// With all peers in this node's netmap.
    Listed,
    /// Only this node: a short response, whatever the size of the tailnet.
    Skipped,
}

/// tailscaled's LocalAPI on one unix socket.
#[derive(Clone, Debug)]
pub struct LocalApi {
    socket: PathBuf,
    timeout: Duration,
}

impl LocalApi {
    /// The LocalAPI at `socket`, which need not exist yet.
    pub fn new(socket: impl Into<PathBuf>) -> LocalApi {
        LocalApi { socket: socket.into(), timeout: DEFAULT_TIMEOUT }
    }

    /// The same LocalAPI with another timeout.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> LocalApi {
        self.timeout = timeout;
        self
    }

    /// Path of the socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The uid that tailscaled runs as.
    pub async fn daemon_uid(&self) -> std::io::Result<u32> {
        let connected = tokio::time::timeout(self.timeout, UnixStream::connect(&self.socket)).await?;
        Ok(connected?.peer_cred()?.uid())
    }

    /// Looks up `peer`, the peer of an open TCP connection; none if tailscaled does not know it.
    ///
    /// For a Tailscale address the port is ignored. For a loopback address it identifies one of the connections that a
    /// userspace tailscaled forwards.
    pub async fn whois(&self, peer: SocketAddr) -> Result<Option<WhoIs>, LocalApiError> {
        let peer = canonical(peer);
        let path = format!("/localapi/v0/whois?proto=tcp&addr={}", escaped(&peer.to_string()));
        self.get("whois", &path, WHOIS_LIMIT).await
    }

    /// Requests this node's state, its addresses and, on request, its peers.
    pub async fn status(&self, peers: Peers) -> Result<Status, LocalApiError> {
        let path = match peers {
            Peers::Listed => "/localapi/v0/status",
            Peers::Skipped => "/localapi/v0/status?peers=false",
        };
        let found = self.get("status", path, STATUS_LIMIT).await?;
        found.ok_or_else(|| LocalApiError::Refused {
            question: "status",
            status: StatusCode::NOT_FOUND,
            text: "this tailscaled has no status to read".to_owned(),
        })
    }

    async fn get<T: DeserializeOwned>(
        &self,
        question: &'static str,
        path: &str,
        limit: usize,
    ) -> Result<Option<T>, LocalApiError> {
        let answer = tokio::time::timeout(self.timeout, self.exchange(question, path, limit))
            .await
            .map_err(|_elapsed| LocalApiError::Timeout { question, after: self.timeout })??;
        match answer {
            (StatusCode::OK, body) => serde_json::from_slice(&body)
                .map(Some)
                .map_err(|source| LocalApiError::Json { question, source }),
            (StatusCode::NOT_FOUND, _) => Ok(None),
            (status, body) => Err(LocalApiError::Refused { question, status, text: printable(&body) }),
        }
    }

    async fn exchange(
        &self,
        question: &'static str,
        path: &str,
        limit: usize,
    ) -> Result<(StatusCode, Bytes), LocalApiError> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|source| LocalApiError::Connect { socket: self.socket.clone(), source })?;
        let transport = |source| LocalApiError::Transport { question, source };
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(transport)?;
        let request = Request::get(path)
            .header(header::HOST, "local-tailscaled.sock")
            .header(header::CONNECTION, "close")
            .body(Empty::<Bytes>::new())
            .expect("the path is made of escaped parts and the headers are constants");

        // The connection is driven by this future, so that dropping it closes the socket too.
        let answer = async {
            let response = sender.send_request(request).await.map_err(transport)?;
            let status = response.status();
            let body = Limited::new(response.into_body(), limit).collect().await.map_err(|source| {
                if source.is::<LengthLimitError>() {
                    LocalApiError::TooLong { question, limit }
                } else {
                    LocalApiError::Body { question, source }
                }
            })?;
            Ok((status, body.to_bytes()))
        };
        tokio::pin!(answer, connection);
        tokio::select! {
            biased;
            answer = &mut answer => answer,
            // An error is returned by `answer` as well; after a clean end it may have buffered bytes to read.
            _ended = &mut connection => answer.await,
        }
    }
}

/// Whether `address` is in the ranges that Tailscale assigns to nodes.
pub fn is_tailnet_address(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            // 100.64.0.0/10 without 100.115.92.0/23, which ChromeOS uses for its own containers.
            a == 100 && (64..128).contains(&b) && !(b == 115 && (c == 92 || c == 93))
        }
        IpAddr::V6(v6) => v6.segments()[..3] == [0xfd7a, 0x115c, 0xa1e0],
    }
}

/// Maps an IPv4-mapped IPv6 address to IPv4.
pub(crate) fn canonical(peer: SocketAddr) -> SocketAddr {
    SocketAddr::new(peer.ip().to_canonical(), peer.port())
}

fn escaped(address: &str) -> String {
    let mut out = String::with_capacity(address.len());
    for c in address.chars() {
        match c {
            '[' => out.push_str("%5B"),
            ']' => out.push_str("%5D"),
            '%' => out.push_str("%25"),
            other => out.push(other),
        }
    }
    out
}

fn printable(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(ERROR_TEXT_LIMIT)]);
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_a_tailnet_count_as_such() {
        for inside in
            ["100.64.0.1", "100.127.255.254", "fd7a:115c:a1e0::7", "::ffff:100.64.0.1", "100.115.91.1"]
        {
            assert!(is_tailnet_address(inside.parse().unwrap()), "{inside}");
        }
        for outside in
            ["100.63.255.255", "100.128.0.1", "100.115.92.7", "127.0.0.1", "10.0.0.1", "fd7a:115c:a1e1::7"]
        {
            assert!(!is_tailnet_address(outside.parse().unwrap()), "{outside}");
        }
    }

    #[test]
    fn an_ipv6_address_with_port_is_escaped_for_the_query() {
        assert_eq!(escaped("[fd7a::7]:80"), "%5Bfd7a::7%5D:80");
    }
}
