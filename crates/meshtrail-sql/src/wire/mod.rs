//! The Postgres wire: psql, psycopg and whatever else speaks it ask the same tables.
//!
//! - Nobody is let in without a password, which is a token; a password travels in the clear only over TLS, loopback or
//!   the mesh's own encryption, which the configuration sees to.
//! - Reading only: `gate` turns down every statement that is not a question, and tells the [`Door`] of every question
//!   before it runs.
//! - At most [`Wire::most`] connections at once; one more is told so and closed. Every plan is held to the engine's budget.
//!
//! Whose token it is, and where questions are written down, is the [`Door`]'s business.

mod bounded;
mod cursors;
mod gate;
mod lent;
mod startup;
mod told;

use std::net::SocketAddr;
use std::sync::Arc;

use datafusion::prelude::SessionContext;
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::context::EmptyContextProvider;
use datafusion_postgres::datafusion_pg_catalog::setup_pg_catalog;
use datafusion_postgres::hooks::set_show::SetShowHook;
use datafusion_postgres::hooks::transactions::TransactionStatementHook;
use datafusion_postgres::pgwire::api::cancel::{CancelHandler, DefaultCancelHandler};
use datafusion_postgres::pgwire::api::query::{ExtendedQueryHandler, SimpleQueryHandler};
use datafusion_postgres::pgwire::api::{ConnectionManager, ErrorHandler, PgWireServerHandlers};
use datafusion_postgres::pgwire::tokio::{TlsAcceptor, process_socket};
use datafusion_postgres::{DfSessionService, QueryHook};
use futures::future::BoxFuture;
use meshtrail_listen::{Bound, accept};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::scan::Pinned;
use crate::{Budget, CATALOG, Engine, QueryError};

/// Connections beside those that are served: they are told that there are too many. What comes beyond them waits.
const SPARE_CONNECTIONS: usize = 32;

/// Who is let in, and where what they ask is written down.
pub trait Door: Send + Sync + 'static {
    /// The guest that `password` belongs to.
    fn admit(&self, user: &str, password: &str, peer: SocketAddr) -> Result<Arc<dyn Guest>, Refused>;
}

/// Somebody who was let in.
pub trait Guest: Send + Sync + 'static {
    /// Writes down what they ask; the question does not run before this is durable, nor if it fails.
    fn asks<'a>(&'a self, sql: &'a str) -> BoxFuture<'a, Result<(), String>>;
}

/// Nobody's password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Refused {
    /// What the client is told.
    pub reason: String,
}

/// Tables, over the Postgres wire.
pub struct Wire {
    session: SessionContext,
    budget: Budget,
    told: Arc<told::Told>,
    door: Arc<dyn Door>,
    tls: Option<TlsAcceptor>,
    connections: Arc<Semaphore>,
    most: usize,
    cancel: Arc<DefaultCancelHandler>,
    manager: Arc<ConnectionManager>,
}

/// Why the wire can't be served.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// There is no session to ask by.
    #[error("the Postgres wire has no session")]
    Session(#[from] QueryError),
    /// What clients ask about tables has no answer.
    #[error("the Postgres catalog can't be set up")]
    Catalog(#[source] Box<datafusion::error::DataFusionError>),
}

impl Wire {
    /// The tables of `engine`, to guests whom `door` lets in; with TLS where there is an acceptor.
    pub fn new(
        engine: &Engine,
        door: Arc<dyn Door>,
        tls: Option<TlsAcceptor>,
        most: usize,
    ) -> Result<Wire, WireError> {
        let budget = engine.budget().clone();
        let session = engine.session(&budget)?;
        let told = Arc::new(told::Told::new(engine.tables().map(str::to_owned).collect()));
        setup_pg_catalog(&session, CATALOG, EmptyContextProvider).map_err(WireError::Catalog)?;
        let manager = Arc::new(ConnectionManager::new());
        Ok(Wire {
            session,
            budget,
            told,
            door,
            tls,
            connections: Arc::new(Semaphore::new(most)),
            most,
            cancel: Arc::new(DefaultCancelHandler::new(manager.clone())),
            manager,
        })
    }

    /// How many connections are served at once.
    pub fn most(&self) -> usize {
        self.most
    }

    /// Serves `listener` until `stop`; open connections end with it.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, stop: CancellationToken) {
        let tasks = TaskTracker::new();
        let serve = |socket, peer| {
            let (wire, stop) = (self.clone(), stop.clone());
            async move {
                stop.run_until_cancelled(wire.connection(socket, peer)).await;
            }
        };
        let bound = Bound::Waits(self.most + SPARE_CONNECTIONS);
        stop.run_until_cancelled(accept(listener, bound, &tasks, serve)).await;
        tasks.close();
        tasks.wait().await;
    }

    async fn connection(&self, socket: TcpStream, peer: SocketAddr) {
        let place = self.connections.clone().try_acquire_owned().ok();
        let startup = startup::Startup::new(self.door.clone(), self.manager.clone(), peer, place.is_none());
        let guest = startup.guest();
        let connection = Connection {
            startup: Arc::new(startup),
            service: Arc::new(self.service(guest)),
            cancel: self.cancel.clone(),
            told: self.told.clone(),
        };
        if let Err(error) = process_socket(socket, self.tls.clone(), Arc::new(connection)).await {
            tracing::debug!(%peer, error = &error as &dyn std::error::Error, "a Postgres connection broke");
        }
        drop(place);
    }

    /// What answers one connection: the same tables, at moments of its own.
    fn service(&self, guest: startup::Seat) -> bounded::Bounded {
        let moment = Arc::new(Pinned::default());
        let mut state = self.session.state();
        state.config_mut().set_extension(moment.clone());
        let session = Arc::new(SessionContext::new_with_state(state));
        let cursors = Arc::new(cursors::Cursors::default());
        let gate = gate::Gate { guest, cursors: cursors.clone(), budget: self.budget.clone() };
        let hooks: Vec<Arc<dyn QueryHook>> =
            vec![Arc::new(gate), Arc::new(SetShowHook), Arc::new(TransactionStatementHook)];
        bounded::Bounded {
            service: DfSessionService::new_with_hooks(session.clone(), hooks),
            session,
            moment,
            cursors,
            told: self.told.clone(),
            budget: self.budget.clone(),
        }
    }
}

/// What one connection is answered by.
struct Connection {
    startup: Arc<startup::Startup>,
    service: Arc<bounded::Bounded>,
    cancel: Arc<DefaultCancelHandler>,
    told: Arc<told::Told>,
}

impl PgWireServerHandlers for Connection {
    fn startup_handler(&self) -> Arc<impl datafusion_postgres::pgwire::api::auth::StartupHandler> {
        self.startup.clone()
    }

    fn simple_query_handler(&self) -> Arc<impl SimpleQueryHandler> {
        self.service.clone()
    }

    fn extended_query_handler(&self) -> Arc<impl ExtendedQueryHandler> {
        self.service.clone()
    }

    fn error_handler(&self) -> Arc<impl ErrorHandler> {
        self.told.clone()
    }

    fn cancel_handler(&self) -> Arc<impl CancelHandler> {
        self.cancel.clone()
    }
}
