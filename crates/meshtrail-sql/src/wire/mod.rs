//! The Postgres wire: psql, psycopg and whatever else speaks it ask the same tables.
//!
//! - Whoever is here was let in by the server, which hands over the startup message and what comes after it.
//! - Reading only: `gate` turns down every statement that is not a question, and has the server write down every question
//!   before it runs.
//! - Every plan is held to the engine's budget, and each statement to its time: see [`crate::worker`].

mod bounded;
mod cursors;
mod gate;
mod lent;
mod prepared;
mod startup;
mod told;

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

use crate::scan::Pinned;
use crate::worker::Statements;
use crate::{CATALOG, Engine};

/// Tables, to one client of the Postgres wire.
pub(crate) struct Wire {
    session: SessionContext,
    budget: Budget,
    told: Arc<told::Told>,
    statements: Statements,
    manager: Arc<ConnectionManager>,
    key: (i32, SecretKey),
}

impl Wire {
    /// The tables of `engine`, to the client that `connect` tells of.
    pub(crate) fn new(
        engine: &Engine,
        statements: Statements,
        connect: &Connect,
    ) -> Result<Wire, QueryError> {
        let budget = connect.budget.clone();
        let session = engine.session(&budget)?;
        let told = Arc::new(told::Told::new(engine.tables().map(str::to_owned).collect()));
        setup_pg_catalog(&session, CATALOG, EmptyContextProvider)
            .map_err(|error| crate::error::of(&error, None))?;
        let key = (connect.process, SecretKey::I32(connect.secret));
        Ok(Wire { session, budget, told, statements, manager: Arc::new(ConnectionManager::new()), key })
    }

    /// What ends the statement that runs.
    pub(crate) fn canceller(&self) -> impl Fn() -> BoxFuture<'static, ()> + Send + Sync + 'static {
        let (manager, (process, secret)) = (self.manager.clone(), self.key.clone());
        move || {
            let (manager, secret) = (manager.clone(), secret.clone());
            // Whether there was something to cancel is not told to whoever asked.
            async move {
                let _was_running = manager.cancel(process, &secret).await;
            }
            .boxed()
        }
    }

    /// Serves the client until it goes.
    pub(crate) async fn serve(&self, socket: UnixStream) -> io::Result<()> {
        let connection = Connection {
            startup: Arc::new(startup::Startup::new(self.manager.clone(), self.key.clone())),
            service: Arc::new(self.service()),
            cancel: Arc::new(DefaultCancelHandler::new(self.manager.clone())),
            told: self.told.clone(),
        };
        process_socket_unix(socket, Arc::new(connection)).await
    }

    /// What answers one connection: the same tables, at moments of its own.
    fn service(&self) -> bounded::Bounded {
        let moment = Arc::new(Pinned::default());
        let mut state = self.session.state();
        state.config_mut().set_extension(moment.clone());
        let session = Arc::new(SessionContext::new_with_state(state));
        let cursors = Arc::new(cursors::Cursors::default());
        let gate = gate::Gate {
            statements: self.statements.clone(),
            cursors: cursors.clone(),
            budget: self.budget.clone(),
        };
        let hooks: Vec<Arc<dyn QueryHook>> =
            vec![Arc::new(gate), Arc::new(SetShowHook), Arc::new(TransactionStatementHook)];
        bounded::Bounded {
            service: DfSessionService::new_with_hooks(session.clone(), hooks),
            session,
            moment,
            cursors,
            told: self.told.clone(),
            budget: self.budget.clone(),
            statements: self.statements.clone(),
            prepared: prepared::Prepared::default(),
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
