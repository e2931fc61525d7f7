//! Receivers: logtail (client and flow logs), Splunk's HTTP Event Collector, Elasticsearch's `_bulk`, webhooks.
//!
//! - A sender gets a success status only once everything that it sent is durable. What it sends again counts once.
//! - Each receiver has a port of its own, bound before the server serves. An invalid request is refused with a message for
//!   its sender and affects no other.
//! - Bodies are bounded before and after decoding, and so are connections, requests and memory of each receiver; an address
//!   has a share of these. A token in the head of a request is checked before its body is read.
//! - Secrets are compared in constant time, and read again from their file within seconds.
//!
//! Today all receivers are HTTP routers: [`open`] binds an `Endpoint`, and [`Receivers::start`] serves a router on it with
//! `HttpPort`. A receiver of plain TCP (syslog) would begin in the same two functions: `open` binds its `Endpoint`, and
//! `start` gets its connections from [`meshtrail_listen::accept`] in place of `HttpPort`.

mod body;
mod body_dedup;
mod bulk;
pub mod dry_run;
mod hec;
mod logtail;
mod record;
mod store;
mod token;
mod webhook;

use std::net::SocketAddr;
use std::path::Path;

use axum::Router;
use http::Extensions;
use meshtrail_listen::{HttpPort, Peer, PortSlots, PortTimeouts, tls};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::config::ReceiversConfig;
use crate::start::{OpenError, Wiring};
use token::Token;

/// The most connections of one receiver at a time.
pub const MAX_CONNECTIONS: usize = 1024;

/// The most requests of one receiver at a time.
const MAX_REQUESTS: usize = 1024;
/// The most requests of one connection at a time.
const MAX_STREAMS: u32 = 16;

/// A bound listener of a receiver.
struct Endpoint {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
}

/// Receivers whose ports are bound.
#[derive(Default)]
pub struct Receivers {
    logtail: Option<(crate::config::LogtailConfig, Vec<Endpoint>)>,
    hec: Option<(Token, Endpoint)>,
    bulk: Option<(Token, Endpoint)>,
    webhook: Option<(Token, Endpoint)>,
}

/// What the handlers of a receiver share: the server's parts, and the memory for bodies.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) wiring: Wiring,
    pub(crate) room: body::Room,
}

impl Shared {
    fn new(port: &str, bounds: body::Bounds, wiring: &Wiring) -> Self {
        let room = body::Room::new(port, bounds, &wiring.limits);
        Self { wiring: wiring.clone(), room }
    }
}

/// The peer that a request counts for: its address, since all senders of a receiver have the same token.
pub(crate) fn sender_of(extensions: &Extensions) -> Peer {
    let address = extensions.get::<axum::extract::ConnectInfo<SocketAddr>>();
    address
        .map_or(Peer::from_ip(std::net::Ipv4Addr::UNSPECIFIED.into()), |address| Peer::from_socket(address.0))
}

/// Binds all receivers in `config`. Must be called within the runtime that will serve them.
pub fn open(config: &ReceiversConfig) -> Result<Receivers, OpenError> {
    let mut receivers = Receivers::default();
    if let Some(logtail) = &config.logtail {
        let mut endpoints = Vec::new();
        if let Some(listen) = logtail.listen {
            endpoints.push(Endpoint { listener: bind("sources.logtail.listen", listen)?, tls: None });
        }
        if let Some(tls) = &logtail.tls {
            let acceptor = acceptor("sources.logtail.tls_cert", &tls.cert, &tls.key)?;
            let listener = bind("sources.logtail.tls_listen", tls.listen)?;
            endpoints.push(Endpoint { listener, tls: Some(acceptor) });
        }
        receivers.logtail = Some((logtail.clone(), endpoints));
    }
    let guarded = |config: &Option<crate::config::ReceiverConfig>, keys: [&'static str; 3]| {
        let Some(config) = config else { return Ok(None) };
        let token =
            Token::open(config.token.clone()).map_err(|source| OpenError::Secret { key: keys[1], source })?;
        let tls = config.tls.as_ref().map(|(cert, key)| acceptor(keys[2], cert, key)).transpose()?;
        let listener = bind(keys[0], config.listen)?;
        Ok::<_, OpenError>(Some((token, Endpoint { listener, tls })))
    };
    receivers.hec =
        guarded(&config.hec, ["sources.hec.listen", "sources.hec.token_file", "sources.hec.tls_cert"])?;
    receivers.bulk =
        guarded(&config.bulk, ["sources.bulk.listen", "sources.bulk.token_file", "sources.bulk.tls_cert"])?;
    receivers.webhook = guarded(
        &config.webhook,
        ["sources.webhook.listen", "sources.webhook.token_file", "sources.webhook.tls_cert"],
    )?;
    Ok(receivers)
}

fn bind(key: &'static str, address: SocketAddr) -> Result<TcpListener, OpenError> {
    meshtrail_listen::bind(address).and_then(TcpListener::from_std).map_err(|source| OpenError::Listen {
        key,
        address,
        source,
    })
}

fn acceptor(key: &'static str, cert: &Path, private: &Path) -> Result<TlsAcceptor, OpenError> {
    tls::acceptor(cert, private, tls::HTTP).map_err(|source| OpenError::Tls { key, source })
}

impl Receivers {
    /// The listening addresses, each with its key in the configuration.
    pub fn addresses(&self) -> Vec<(&'static str, SocketAddr)> {
        let logtail = self.logtail.iter().flat_map(|(_, endpoints)| endpoints).map(|endpoint| {
            let key =
                if endpoint.tls.is_some() { "sources.logtail.tls_listen" } else { "sources.logtail.listen" };
            (key, endpoint)
        });
        let guarded = [
            ("sources.hec.listen", &self.hec),
            ("sources.bulk.listen", &self.bulk),
            ("sources.webhook.listen", &self.webhook),
        ];
        let guarded = guarded.into_iter().filter_map(|(key, endpoint)| Some((key, &endpoint.as_ref()?.1)));
        logtail
            .chain(guarded)
            .filter_map(|(key, endpoint)| Some((key, endpoint.listener.local_addr().ok()?)))
            .collect()
    }

    /// Number of receivers.
    pub fn count(&self) -> usize {
        let configured =
            [self.logtail.is_some(), self.hec.is_some(), self.bulk.is_some(), self.webhook.is_some()];
        configured.into_iter().filter(|configured| *configured).count()
    }

    /// Serves all receivers until [`Wiring::stop`], each with at most `connections` at a time.
    pub fn start(self, wiring: &Wiring, connections: usize) {
        let slots = |port: &str| PortSlots::new(port, connections, MAX_REQUESTS, MAX_STREAMS, &wiring.limits);
        if let Some((config, endpoints)) = self.logtail {
            let router = logtail::router(&Shared::new("logtail", logtail::BOUNDS, wiring), config);
            let slots = slots("logtail");
            endpoints.into_iter().for_each(|endpoint| spawn(wiring, endpoint, slots.clone(), router.clone()));
        }
        if let Some((token, endpoint)) = self.hec {
            let router = hec::router(&Shared::new("hec", hec::BOUNDS, wiring), token);
            spawn(wiring, endpoint, slots("hec"), router);
        }
        if let Some((token, endpoint)) = self.bulk {
            let router = bulk::router(&Shared::new("bulk", bulk::BOUNDS, wiring), token);
            spawn(wiring, endpoint, slots("bulk"), router);
        }
        if let Some((token, endpoint)) = self.webhook {
            let router = webhook::router(&Shared::new("webhook", webhook::BOUNDS, wiring), token);
            spawn(wiring, endpoint, slots("webhook"), router);
        }
    }
}

fn spawn(wiring: &Wiring, endpoint: Endpoint, slots: PortSlots, router: Router) {
    let Endpoint { listener, tls } = endpoint;
    let port = HttpPort { listener, tls, slots, timeouts: PortTimeouts::default() };
    wiring.tasks.spawn(port.serve(router, wiring.stop.clone()));
}
