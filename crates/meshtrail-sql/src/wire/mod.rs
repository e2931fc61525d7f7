//! The Postgres wire protocol after the password: psql, psycopg and other clients query the same tables.
//!
//! - The server authenticates the client, then passes on the startup message and everything after it.
//! - Read-only: `statement_filter` refuses all statements but queries and session commands, and has the server record every
//!   query before it runs.
//! - The engine's budget limits every plan, and a deadline every statement: see [`crate::worker`].

mod cursors;
mod deadline;
mod errors;
mod handlers;
mod prepared;
mod startup;
mod statement_filter;

use std::io;
use std::sync::Arc;

use datafusion::prelude::SessionContext;
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::context::EmptyContextProvider;
use datafusion_postgres::datafusion_pg_catalog::setup_pg_catalog;
use datafusion_postgres::hooks::set_show::SetShowHook;
use datafusion_postgres::hooks::transactions::TransactionStatementHook;
use datafusion_postgres::pgwire::api::cancel::{CancelHandler, DefaultCancelHandler};
use datafusion_postgres::pgwire::api::query::{ExtendedQueryHandler, SimpleQueryHandler};
use datafusion_postgres::pgwire::api::{ConnectionManager, ErrorHandler, PgWireServerHandlers};
use datafusion_postgres::pgwire::messages::startup::SecretKey;
use datafusion_postgres::pgwire::tokio::process_socket_unix;
use datafusion_postgres::{DfSessionService, QueryHook};
use futures::FutureExt;
use futures::future::BoxFuture;
use meshtrail_worker::message::Connect;
use meshtrail_worker::{Budget, QueryError};
use tokio::net::UnixStream;

use crate::scan::PinnedSnapshot;
use crate::worker::StatementPermits;
use crate::{CATALOG, Engine};

/// Serves the tables to one client of the Postgres wire.
pub(crate) struct WireServer {
    session: SessionContext,
    budget: Budget,
    errors: Arc<errors::ErrorMapper>,
    statements: StatementPermits,
    manager: Arc<ConnectionManager>,
    key: (i32, SecretKey),
}

impl WireServer {
    /// Serves the tables of `engine` to the client that `connect` describes.
    pub(crate) fn new(
        engine: &Engine,
        statements: StatementPermits,
        connect: &Connect,
    ) -> Result<WireServer, QueryError> {
        let budget = connect.budget.clone();
        let session = engine.session(&budget)?;
        let errors = Arc::new(errors::ErrorMapper::new(engine.tables().map(str::to_owned).collect()));
        setup_pg_catalog(&session, CATALOG, EmptyContextProvider)
            .map_err(|error| crate::error::to_query_error(&error, None))?;
        let key = (connect.process, SecretKey::I32(connect.secret));
        Ok(WireServer {
            session,
            budget,
            errors,
            statements,
            manager: Arc::new(ConnectionManager::new()),
            key,
        })
    }

    /// A function that cancels the running statement.
    pub(crate) fn canceller(&self) -> impl Fn() -> BoxFuture<'static, ()> + Send + Sync + 'static {
        let (manager, (process, secret)) = (self.manager.clone(), self.key.clone());
        move || {
            let (manager, secret) = (manager.clone(), secret.clone());
            // The protocol does not answer cancel requests.
            async move {
                let _was_running = manager.cancel(process, &secret).await;
            }
            .boxed()
        }
    }

    /// Serves the client until it disconnects.
    pub(crate) async fn serve(&self, socket: UnixStream) -> io::Result<()> {
        let connection = Connection {
            startup: Arc::new(startup::Startup::new(self.manager.clone(), self.key.clone())),
            service: Arc::new(self.service()),
            cancel: Arc::new(DefaultCancelHandler::new(self.manager.clone())),
            errors: self.errors.clone(),
        };
        process_socket_unix(socket, Arc::new(connection)).await
    }

    /// The handler of one connection, with its own snapshots.
    fn service(&self) -> handlers::QueryHandler {
        let snapshot = Arc::new(PinnedSnapshot::default());
        let mut state = self.session.state();
        state.config_mut().set_extension(snapshot.clone());
        let session = Arc::new(SessionContext::new_with_state(state));
        let cursors = Arc::new(cursors::Cursors::default());
        let filter = statement_filter::StatementFilter {
            statements: self.statements.clone(),
            cursors: cursors.clone(),
            budget: self.budget.clone(),
        };
        let hooks: Vec<Arc<dyn QueryHook>> =
            vec![Arc::new(filter), Arc::new(SetShowHook), Arc::new(TransactionStatementHook)];
        handlers::QueryHandler {
            service: DfSessionService::new_with_hooks(session.clone(), hooks),
            session,
            snapshot,
            cursors,
            errors: self.errors.clone(),
            budget: self.budget.clone(),
            statements: self.statements.clone(),
            prepared: prepared::PreparedStatements::default(),
        }
    }
}

/// The handlers of one connection.
struct Connection {
    startup: Arc<startup::Startup>,
    service: Arc<handlers::QueryHandler>,
    cancel: Arc<DefaultCancelHandler>,
    errors: Arc<errors::ErrorMapper>,
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
        self.errors.clone()
    }

    fn cancel_handler(&self) -> Arc<impl CancelHandler> {
        self.cancel.clone()
    }
}
