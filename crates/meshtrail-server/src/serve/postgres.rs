//! The Postgres wire protocol: clients authenticate with API tokens, and every query is in the trail.

use std::net::SocketAddr;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use meshtrail_event::{Kind, Timestamp};
use meshtrail_listen::{Limits, Peer, bind, tls};
use meshtrail_worker::postgres::{Authenticator, Client, Port, SignInRefused};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::StartError;
use crate::audit_log::Entry;
use crate::auth::{AuthMethod, Caller, Capability, Principal, Role, Secret};
use crate::config::PostgresSettings;
use crate::state::AppState;

/// Accepts tokens whose role may read.
struct TokenAuthenticator(AppState);

impl Authenticator for TokenAuthenticator {
    fn authenticate(
        &self,
        user: &str,
        password: &str,
        peer: SocketAddr,
    ) -> Result<Arc<dyn Client>, SignInRefused> {
        let refused = |reason: &str| SignInRefused { reason: reason.to_owned() };
        let principal = self.0.authenticate_token(&Secret::from_text(password), Timestamp::now());
        let (who, role) =
            principal.ok_or_else(|| refused("the password is an API token, and this is none in force"))?;
        if !role.may(Capability::Read) {
            return Err(refused(&format!("a token of the role {role} may not ask questions")));
        }
        // The user must be the token's name: logs under another name would mislead.
        if let Principal::Token { name, .. } = &who
            && name != user
        {
            return Err(refused(&format!("this token's name is {name:?}: connect with user={name}")));
        }
        Ok(Arc::new(TokenClient { state: self.0.clone(), who, role, peer }))
    }
}

struct TokenClient {
    state: AppState,
    who: Principal,
    role: Role,
    peer: SocketAddr,
}

impl Client for TokenClient {
    fn peer(&self) -> Peer {
        Peer::from_identity(self.who.identity())
    }

    fn name(&self) -> String {
        self.who.to_string()
    }

    fn record_query<'a>(&'a self, sql: &'a str) -> BoxFuture<'a, Result<(), String>> {
        let caller = Caller {
            who: self.who.clone(),
            role: self.role,
            auth_method: AuthMethod::Token,
            address: Some(self.peer),
        };
        async move {
            let entry = Entry::new(Kind::MeshtrailViewed, "query over the Postgres wire").with_query(sql);
            self.state.audit_log().write(&caller, entry).await.map_err(|problem| problem.detail)
        }
        .boxed()
    }
}

/// The bound listener; nothing is served yet.
pub(super) struct PostgresListener {
    listener: std::net::TcpListener,
    tls: Option<TlsAcceptor>,
    connections: usize,
}

/// Binds the port and reads the certificate, if `[postgres]` is configured.
pub(super) fn open(settings: Option<&PostgresSettings>) -> Result<Option<PostgresListener>, StartError> {
    let Some(settings) = settings else { return Ok(None) };
    let address = settings.listen;
    let listener = bind(address).map_err(|source| StartError::Listen { address, source })?;
    let tls = settings.tls.as_ref().map(|(cert, key)| tls::acceptor(cert, key, &[])).transpose()?;
    Ok(Some(PostgresListener { listener, tls, connections: settings.connections }))
}

impl PostgresListener {
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
