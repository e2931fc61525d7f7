//! What is sent to us: client and flow logs, Splunk's HTTP Event Collector, Elasticsearch's `_bulk`, webhooks.
//!
//! - A sender hears yes only once everything it sent is durable. What it sends again counts once.
//! - Each receiver has a port of its own, bound before the server serves; what one sender gets wrong is said to that
//!   sender and harms no other.
//! - Bodies are bounded before and after decoding, and so are connections, requests and memory of each receiver; of
//!   these a sender's address has a share. Nothing is read before a token is checked that is in the head.
//! - Secrets are compared in constant time and read from their file anew when it changes.

mod bodies;
mod body;
mod bulk;
mod hec;
mod logtail;
pub mod reading;
mod record;
mod store;
mod token;
mod webhook;

use std::net::SocketAddr;
use std::path::Path;

use axum::Router;
use http::Extensions;
use meshtrail_listen::{HttpPort, Peer, PortPlaces, PortTimes, tls};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::config::SourcesConfig;
use crate::start::{OpenError, Wiring};
use token::Token;

/// How many connections one receiver serves at a time.
pub const MAX_CONNECTIONS: usize = 1024;

/// How many requests it answers at a time, and of these on one connection.
const MAX_REQUESTS: usize = 1024;
const MAX_STREAMS: u32 = 16;

/// A place where a receiver listens.
struct Door {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
}

/// Receivers whose ports are bound.
#[derive(Default)]
pub struct Receivers {
    logtail: Option<(crate::config::LogtailConfig, Vec<Door>)>,
    hec: Option<(Token, Door)>,
    bulk: Option<(Token, Door)>,
    webhook: Option<(Token, Door)>,
}

/// What a receiver writes to, and where its bodies find room.
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

/// Whom a request counts for: its address, since a receiver's token tells no senders apart.
pub(crate) fn sender_of(extensions: &Extensions) -> Peer {
    let address = extensions.get::<axum::extract::ConnectInfo<SocketAddr>>();
    address.map_or(Peer::of(std::net::Ipv4Addr::UNSPECIFIED.into()), |address| Peer::at(address.0))
}

/// Binds every receiver that `config` names, in the runtime that will serve them.
pub fn open(config: &SourcesConfig) -> Result<Receivers, OpenError> {
    let mut receivers = Receivers::default();
    if let Some(logtail) = &config.logtail {
        let mut doors = Vec::new();
        if let Some(listen) = logtail.listen {
            doors.push(Door { listener: bind("sources.logtail.listen", listen)?, tls: None });
        }
        if let Some(tls) = &logtail.tls {
            let acceptor = acceptor("sources.logtail.tls_cert", &tls.cert, &tls.key)?;
            let listener = bind("sources.logtail.tls_listen", tls.listen)?;
            doors.push(Door { listener, tls: Some(acceptor) });
        }
        receivers.logtail = Some((logtail.clone(), doors));
    }
    let guarded = |config: &Option<crate::config::DoorConfig>, keys: [&'static str; 3]| {
        let Some(config) = config else { return Ok(None) };
        let token =
            Token::open(config.token.clone()).map_err(|source| OpenError::Secret { key: keys[1], source })?;
        let tls = config.tls.as_ref().map(|(cert, key)| acceptor(keys[2], cert, key)).transpose()?;
        let listener = bind(keys[0], config.listen)?;
        Ok::<_, OpenError>(Some((token, Door { listener, tls })))
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
    /// Where each receiver listens, by the key of the configuration that says so.
    pub fn addresses(&self) -> Vec<(&'static str, SocketAddr)> {
        let logtail = self.logtail.iter().flat_map(|(_, doors)| doors).map(|door| {
            let key =
                if door.tls.is_some() { "sources.logtail.tls_listen" } else { "sources.logtail.listen" };
            (key, door)
        });
        let guarded = [
            ("sources.hec.listen", &self.hec),
            ("sources.bulk.listen", &self.bulk),
            ("sources.webhook.listen", &self.webhook),
        ];
        let guarded = guarded.into_iter().filter_map(|(key, door)| Some((key, &door.as_ref()?.1)));
        logtail
            .chain(guarded)
            .filter_map(|(key, door)| Some((key, door.listener.local_addr().ok()?)))
            .collect()
    }

    /// How many receivers there are.
    pub fn count(&self) -> usize {
        let there = [self.logtail.is_some(), self.hec.is_some(), self.bulk.is_some(), self.webhook.is_some()];
        there.into_iter().filter(|there| *there).count()
    }

    /// Serves every receiver until the wiring stops; each with at most `connections`.
    pub fn start(self, wiring: &Wiring, connections: usize) {
        let places =
            |port: &str| PortPlaces::new(port, connections, MAX_REQUESTS, MAX_STREAMS, &wiring.limits);
        if let Some((config, doors)) = self.logtail {
            let router = logtail::router(&Shared::new("logtail", logtail::BOUNDS, wiring), config);
            let places = places("logtail");
            doors.into_iter().for_each(|door| spawn(wiring, door, places.clone(), router.clone()));
        }
        if let Some((token, door)) = self.hec {
            let router = hec::router(&Shared::new("hec", hec::BOUNDS, wiring), token);
            spawn(wiring, door, places("hec"), router);
        }
        if let Some((token, door)) = self.bulk {
            let router = bulk::router(&Shared::new("bulk", bulk::BOUNDS, wiring), token);
            spawn(wiring, door, places("bulk"), router);
        }
        if let Some((token, door)) = self.webhook {
            let router = webhook::router(&Shared::new("webhook", webhook::BOUNDS, wiring), token);
            spawn(wiring, door, places("webhook"), router);
        }
    }
}

fn spawn(wiring: &Wiring, door: Door, places: PortPlaces, router: Router) {
    let Door { listener, tls } = door;
    let port = HttpPort { listener, tls, places, times: PortTimes::default() };
    wiring.tasks.spawn(port.serve(router, wiring.stop.clone()));
}
