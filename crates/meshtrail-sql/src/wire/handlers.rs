//! The handlers of one connection's messages: simple queries, and Parse, Describe, Execute, Close and Sync.
//!
//! - Statements that are too large are refused before parsing: parser and planner recurse, here on a thread with the
//!   default stack.
//! - Rows are sent as they are computed, as many as the client asks for at a time; nothing is buffered, and no memory is
//!   reserved for the number it asks for.
//! - Cancelling stops the query.
//! - All statements of a transaction read one snapshot; outside a transaction each reads its own.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::ast::Statement;
use datafusion_postgres::pgwire::api::portal::{Portal, PortalExecutionState};
use datafusion_postgres::pgwire::api::query::{
    ExtendedQueryHandler, SimpleQueryHandler, send_describe_response, send_execution_response,
    send_partial_query_response,
};
use datafusion_postgres::pgwire::api::results::{DescribePortalResponse, Response, Tag};
use datafusion_postgres::pgwire::api::store::{Entry, PortalStore};
use datafusion_postgres::pgwire::api::{ClientInfo, ClientPortalStore, DEFAULT_NAME};
use datafusion_postgres::pgwire::error::{PgWireError, PgWireResult};
use datafusion_postgres::pgwire::messages::PgWireBackendMessage;
use datafusion_postgres::pgwire::messages::extendedquery::{
    Close, CloseComplete, Describe, Execute, Parse, Sync as Synced, TARGET_TYPE_BYTE_PORTAL,
    TARGET_TYPE_BYTE_STATEMENT,
};
use datafusion_postgres::pgwire::messages::response::{EmptyQueryResponse, ReadyForQuery, TransactionStatus};
use datafusion_postgres::pgwire::types::format::FormatOptions;
use datafusion_postgres::{DfSessionService, Parser};
use futures::future::BoxFuture;
use futures::future::{Either, select};
use futures::{FutureExt, Sink, SinkExt};

use super::cursors::Cursors;
use super::deadline;
use super::errors::{ErrorMapper, from_query_error, pg_error};
use super::prepared;
use meshtrail_worker::Budget;

use crate::scan::PinnedSnapshot;
use crate::statement::{TreeLimits, check_size};
use crate::worker::StatementPermits;

/// Handles the queries of one connection, with limits around datafusion-postgres' service.
pub(super) struct QueryHandler {
    pub(super) service: DfSessionService,
    pub(super) session: Arc<SessionContext>,
    pub(super) snapshot: Arc<PinnedSnapshot>,
    pub(super) cursors: Arc<Cursors>,
    pub(super) errors: Arc<ErrorMapper>,
    pub(super) budget: Budget,
    pub(super) statements: StatementPermits,
    pub(super) prepared: prepared::PreparedStatements,
}

/// A prepared statement in the service: its SQL, and its syntax tree and plan unless it is empty.
type Prepared = (String, Option<(Statement, LogicalPlan)>);

fn check(sql: &str) -> PgWireResult<()> {
    check_size(sql, TreeLimits::ON_A_SHARED_THREAD).map_err(|error| ErrorMapper::refuse(error, sql))
}

impl QueryHandler {
    /// Starts a statement; outside a transaction it reads a new snapshot.
    async fn start_statement<C: ClientInfo>(&self, client: &C) {
        if client.transaction_status() == TransactionStatus::Idle {
            self.snapshot.release().await;
        }
    }

    /// Ends a transaction, and closes its portals and cursors.
    async fn end_transaction<C: ClientPortalStore>(&self, client: &C)
    where
        C::PortalStore: PortalStore,
    {
        client.portal_store().clear_portals();
        self.cursors.clear();
        self.snapshot.release().await;
    }

    /// Sends a response without rows.
    async fn acknowledge<C>(&self, client: &mut C, response: Response) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let status = client.transaction_status();
        match response {
            Response::EmptyQuery => {
                client.feed(PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new())).await?;
            }
            Response::Execution(tag) => send_execution_response(client, tag).await?,
            Response::TransactionStart(tag) => {
                send_execution_response(client, tag).await?;
                client.set_transaction_status(status.to_in_transaction_state());
            }
            Response::TransactionEnd(tag) => {
                send_execution_response(client, tag).await?;
                client.set_transaction_status(status.to_idle_state());
                self.end_transaction(client).await;
            }
            Response::Error(error) => return Err(PgWireError::UserError(error)),
            Response::Query(_) | Response::CopyIn(_) | Response::CopyOut(_) | Response::CopyBoth(_) => {
                return Err(pg_error("0A000", "nothing is copied over this connection"));
            }
        }
        Ok(())
    }

    /// Runs or resumes a portal for at most `most` rows; 0 for all.
    async fn execute<C>(&self, client: &mut C, portal: &Portal<Prepared>, most: usize) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let state = portal.state();
        let mut state = state.lock().await;
        if matches!(*state, PortalExecutionState::Initial) {
            self.start_statement(client).await;
            let response = self.begin(client, portal, most).await;
            let permits = self.statements.take_current();
            match response? {
                Response::Query(rows) => {
                    let time = deadline::statement_time(client, &self.budget);
                    *state = PortalExecutionState::Suspended(deadline::with_deadline(
                        rows,
                        time,
                        None,
                        permits.into(),
                    ));
                }
                other => return self.acknowledge(client, other).await,
            }
        }
        match &mut *state {
            PortalExecutionState::Suspended(rows) => {
                if !send_partial_query_response(client, rows, most).await? {
                    *state = PortalExecutionState::Finished;
                }
                Ok(())
            }
            PortalExecutionState::Initial | PortalExecutionState::Finished => {
                send_execution_response(client, Tag::new("SELECT").with_rows(0)).await
            }
        }
    }
}

/// The bodies of the trait methods below, each with one lifetime: for a future with several, the compiler proves `Send`
/// anew at every use, which took half a minute.
impl QueryHandler {
    async fn simple_query<'a, C>(&'a self, client: &'a mut C, query: &'a str) -> PgWireResult<Vec<Response>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        check(query)?;
        if let Some(name) = prepared::parse_deallocate(query) {
            self.prepared.remove(&name);
            client.portal_store().rm_statement(&name);
            return Ok(vec![Response::Execution(Tag::new("DEALLOCATE"))]);
        }
        self.start_statement(client).await;
        let responses = match SimpleQueryHandler::do_query(&self.service, client, query).await {
            Ok(responses) => responses,
            Err(error) => {
                let error = self.errors.locate(error, query, &self.session).await;
                drop(self.statements.take_current());
                return Err(error);
            }
        };
        let permits: Arc<[_]> = self.statements.take_current().into();
        if responses.iter().any(|response| matches!(response, Response::TransactionEnd(_))) {
            self.end_transaction(client).await;
        }
        let time = deadline::statement_time(client, &self.budget);
        // Awaited last: starting a query ends the cancel signal that the caller of this function waits for.
        let cancel_signal = deadline::cancel_signal(client).await;
        let limit = |response| match response {
            Response::Query(rows) => {
                Response::Query(deadline::with_deadline(rows, time, cancel_signal.clone(), permits.clone()))
            }
            other => other,
        };
        Ok(responses.into_iter().map(limit).collect())
    }

    async fn prepare<'a, C>(&'a self, client: &'a mut C, message: Parse) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        check(&message.query)?;
        let sql = message.query.clone();
        let name = message.name.clone().unwrap_or_default();
        self.prepared.add(&name, sql.len())?;
        // Planning is limited as well: it evaluates constant expressions.
        let permit = self
            .statements
            .begin(None, deadline::statement_time(client, &self.budget))
            .await
            .map_err(from_query_error)?;
        let parsed = match self.service.on_parse(client, message).await {
            Ok(()) => Ok(()),
            Err(error) => {
                self.prepared.remove(&name);
                Err(self.errors.locate(error, &sql, &self.session).await)
            }
        };
        drop(permit);
        parsed
    }

    async fn close<'a, C>(&'a self, client: &'a mut C, message: Close) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let name = message.name.as_deref().unwrap_or(DEFAULT_NAME);
        if message.target_type == TARGET_TYPE_BYTE_STATEMENT {
            self.prepared.remove(message.name.as_deref().unwrap_or_default());
            client.portal_store().rm_statement(name);
        } else {
            client.portal_store().rm_portal(name);
        }
        client.send(PgWireBackendMessage::CloseComplete(CloseComplete::new())).await?;
        Ok(())
    }

    async fn describe<'a, C>(&'a self, client: &'a mut C, message: Describe) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let name = message.name.as_deref().filter(|_| message.target_type == TARGET_TYPE_BYTE_PORTAL);
        match name.and_then(|name| self.cursors.describe(name)) {
            Some(fields) => send_describe_response(client, &DescribePortalResponse::new(fields?)).await,
            None => self._on_describe(client, message).await,
        }
    }

    async fn run<'a, C>(&'a self, client: &'a mut C, message: Execute) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let name = message.name.as_deref().unwrap_or(DEFAULT_NAME);
        let Some(Entry::Value(portal)) = client.portal_store().get_portal(name) else {
            // Empty or unknown.
            return self._on_execute(client, message).await;
        };
        let most = usize::try_from(message.max_rows).unwrap_or(0);
        let outcome = match deadline::cancel_signal(client).await {
            Some(cancel_signal) => {
                match select(self.execute(client, &portal, most).boxed(), cancel_signal).await {
                    Either::Left((outcome, _)) => outcome,
                    Either::Right(_) => Err(PgWireError::QueryCanceled),
                }
            }
            None => self.execute(client, &portal, most).await,
        };
        if outcome.is_err() {
            client.portal_store().rm_portal(name);
        }
        outcome
    }

    async fn synchronize<'a, C>(&'a self, client: &'a mut C) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let status = client.transaction_status();
        // Outside a transaction, Sync ends the implicit one.
        if status == TransactionStatus::Idle {
            self.end_transaction(client).await;
        } else {
            client.portal_store().rm_portal(DEFAULT_NAME);
        }
        client.send(PgWireBackendMessage::ReadyForQuery(ReadyForQuery::new(status))).await?;
        Ok(())
    }

    async fn begin<'a, C>(
        &'a self,
        client: &'a mut C,
        portal: &'a Portal<Prepared>,
        max_rows: usize,
    ) -> PgWireResult<Response>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let is_failed = client.transaction_status() == TransactionStatus::Error;
        match &portal.statement.statement.1 {
            Some((Statement::Fetch { name, direction, .. }, _)) if !is_failed => {
                let options = FormatOptions::from_client_metadata(client.metadata());
                let rows = self.cursors.fetch(name, direction, (&portal.result_column_format, options))?;
                Ok(Response::Query(rows))
            }
            _ => ExtendedQueryHandler::do_query(&self.service, client, portal, max_rows).await,
        }
    }
}

#[async_trait]
impl SimpleQueryHandler for QueryHandler {
    fn do_query<'life0, 'life1, 'life2, 'async_trait, C>(
        &'life0 self,
        client: &'life1 mut C,
        query: &'life2 str,
    ) -> BoxFuture<'async_trait, PgWireResult<Vec<Response>>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync + 'async_trait,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
        'life0: 'async_trait,
        'life1: 'async_trait,
        'life2: 'async_trait,
    {
        Box::pin(self.simple_query(client, query))
    }
}

#[async_trait]
impl ExtendedQueryHandler for QueryHandler {
    type Statement = Prepared;
    type QueryParser = Parser;

    fn query_parser(&self) -> Arc<Self::QueryParser> {
        self.service.query_parser()
    }

    fn on_parse<'life0, 'life1, 'async_trait, C>(
        &'life0 self,
        client: &'life1 mut C,
        message: Parse,
    ) -> BoxFuture<'async_trait, PgWireResult<()>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync + 'async_trait,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
        'life0: 'async_trait,
        'life1: 'async_trait,
    {
        Box::pin(self.prepare(client, message))
    }

    fn on_close<'life0, 'life1, 'async_trait, C>(
        &'life0 self,
        client: &'life1 mut C,
        message: Close,
    ) -> BoxFuture<'async_trait, PgWireResult<()>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync + 'async_trait,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
        'life0: 'async_trait,
        'life1: 'async_trait,
    {
        Box::pin(self.close(client, message))
    }

    fn on_describe<'life0, 'life1, 'async_trait, C>(
        &'life0 self,
        client: &'life1 mut C,
        message: Describe,
    ) -> BoxFuture<'async_trait, PgWireResult<()>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync + 'async_trait,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
        'life0: 'async_trait,
        'life1: 'async_trait,
    {
        Box::pin(self.describe(client, message))
    }

    fn on_execute<'life0, 'life1, 'async_trait, C>(
        &'life0 self,
        client: &'life1 mut C,
        message: Execute,
    ) -> BoxFuture<'async_trait, PgWireResult<()>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync + 'async_trait,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
        'life0: 'async_trait,
        'life1: 'async_trait,
    {
        Box::pin(self.run(client, message))
    }

    fn on_sync<'life0, 'life1, 'async_trait, C>(
        &'life0 self,
        client: &'life1 mut C,
        _: Synced,
    ) -> BoxFuture<'async_trait, PgWireResult<()>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync + 'async_trait,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
        'life0: 'async_trait,
        'life1: 'async_trait,
    {
        Box::pin(self.synchronize(client))
    }

    fn do_query<'life0, 'life1, 'life2, 'async_trait, C>(
        &'life0 self,
        client: &'life1 mut C,
        portal: &'life2 Portal<Prepared>,
        max_rows: usize,
    ) -> BoxFuture<'async_trait, PgWireResult<Response>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync + 'async_trait,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
        'life0: 'async_trait,
        'life1: 'async_trait,
        'life2: 'async_trait,
    {
        Box::pin(self.begin(client, portal, max_rows))
    }
}
