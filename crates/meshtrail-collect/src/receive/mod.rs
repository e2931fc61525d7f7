//! What is sent to us: client and flow logs, Splunk's HTTP Event Collector, Elasticsearch's `_bulk`, webhooks.
//!
//! - A sender hears yes only once everything it sent is durable. What it sends again counts once.
//! - Each receiver has a port of its own, bound before the server serves; what one sender gets wrong is said to that
//!   sender and harms no other.
//! - Bodies are bounded before and after decoding, connections and memory for each receiver too.
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
use meshtrail_listen::{HttpPort, tls};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::config::SourcesConfig;
use crate::start::{OpenError, Wiring};
use token::Token;

/// How many connections one receiver serves at a time, and how many requests on each.
const MAX_CONNECTIONS: usize = 1024;
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

/// What all receivers write to.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) wiring: Wiring,
    pub(crate) room: body::Room,
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

    /// Serves every receiver until the wiring stops.
    pub fn start(self, wiring: &Wiring) {
        let shared = Shared { wiring: wiring.clone(), room: body::Room::new() };
        if let Some((config, doors)) = self.logtail {
            let router = logtail::router(&shared, config);
            doors.into_iter().for_each(|door| spawn(wiring, door, router.clone()));
        }
        if let Some((token, door)) = self.hec {
            spawn(wiring, door, hec::router(&shared, token));
        }
        if let Some((token, door)) = self.bulk {
            spawn(wiring, door, bulk::router(&shared, token));
        }
        if let Some((token, door)) = self.webhook {
            spawn(wiring, door, webhook::router(&shared, token));
        }
    }
}

fn spawn(wiring: &Wiring, door: Door, router: Router) {
    let Door { listener, tls } = door;
    let port = HttpPort { listener, tls, connections: MAX_CONNECTIONS, streams: MAX_STREAMS };
    wiring.tasks.spawn(port.serve(router, wiring.stop.clone()));
}
