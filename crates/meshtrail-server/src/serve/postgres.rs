//! The Postgres wire as this server serves it: clients are holders of API tokens, and what they ask is in the trail.

use std::net::SocketAddr;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use meshtrail_event::Timestamp;
use meshtrail_listen::{Limits, Peer, bind, tls};
use meshtrail_worker::postgres::{Authenticator, Client, Port, Refused};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::StartError;
use crate::api::query::write_down;
use crate::auth::{Capability, Holder, Role, Secret, Via, Viewer};
use crate::config::PostgresSettings;
use crate::state::AppState;

/// Lets in whoever has a token that may read.
struct TokenAuthenticator(AppState);

impl Authenticator for TokenAuthenticator {
    fn authenticate(&self, user: &str, password: &str, peer: SocketAddr) -> Result<Arc<dyn Client>, Refused> {
        let refused = |reason: &str| Refused { reason: reason.to_owned() };
        let found = self.0.token_holder(&Secret::presented(password), Timestamp::now());
        let (who, role) =
            found.ok_or_else(|| refused("the password is an API token, and this is none in force"))?;
        if !role.may(Capability::Read) {
            return Err(refused(&format!("a token of the role {role} may not ask questions")));
        }
        // Whoever signs in under a name is that name: a log that says otherwise would mislead.
        if let Holder::Token { name, .. } = &who
            && name != user
        {
            return Err(refused(&format!("this token's name is {name:?}: connect with user={name}")));
        }
        Ok(Arc::new(TokenClient { state: self.0.clone(), who, role, peer }))
    }
}

struct TokenClient {
    state: AppState,
    who: Holder,
    role: Role,
    peer: SocketAddr,
}

impl Client for TokenClient {
    fn peer(&self) -> Peer {
        Peer::known(self.who.identity())
    }

    fn name(&self) -> String {
        self.who.to_string()
    }

    fn record_question<'a>(&'a self, sql: &'a str) -> BoxFuture<'a, Result<(), String>> {
        let viewer =
            Viewer { who: self.who.clone(), role: self.role, via: Via::Token, address: Some(self.peer) };
        async move {
            let written = write_down(&self.state, &viewer, "query over the Postgres wire", sql).await;
            written.map_err(|problem| problem.detail)
        }
        .boxed()
    }
}

/// The wire, bound to its port; nothing is served yet.
pub(super) struct Opened {
    listener: std::net::TcpListener,
    tls: Option<TlsAcceptor>,
    connections: usize,
}

/// Binds the port and reads the certificate, where the wire is configured.
pub(super) fn open(settings: Option<&PostgresSettings>) -> Result<Option<Opened>, StartError> {
    let Some(settings) = settings else { return Ok(None) };
    let address = settings.listen;
    let listener = bind(address).map_err(|source| StartError::Listen { address, source })?;
    let tls = settings.tls.as_ref().map(|(cert, key)| tls::acceptor(cert, key, &[])).transpose()?;
    Ok(Some(Opened { listener, tls, connections: settings.connections }))
}

impl Opened {
    /// Serves until `stop`.
    pub(super) async fn serve(self, state: AppState, limits: Limits, stop: CancellationToken) {
        let listener = match TcpListener::from_std(self.listener) {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "no Postgres wire");
                return;
            }
        };
        tracing::info!(address = ?listener.local_addr().ok(), "the Postgres wire listens");
        let workers = state.sql().clone();
        let authenticator = Arc::new(TokenAuthenticator(state));
        let port = Port::new(workers, authenticator, self.tls, (self.connections, &limits));
        Arc::new(port).serve(listener, stop).await;
    }
}
