//! A connection's questions, from the message that brings them to the last row, within bounds.
//!
//! - What is too large is turned down before anything parses it: parser and planner recurse, and here they do so on a
//!   thread that others share.
//! - Rows go out as they are found, as many as the client wants at a time; none are gathered, and no memory is set aside
//!   for how many it says it wants.
//! - A question that the client cancels stops.
//! - The statements of a transaction see the trail at one moment; others each at their own.

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
use super::lent;
use super::prepared;
use super::told::{Told, of_query, refusal};
use meshtrail_worker::Budget;

use crate::scan::Pinned;
use crate::statement::{Bounds, check_size};
use crate::worker::Statements;

/// The service of one connection, behind the bounds.
pub(super) struct Bounded {
    pub(super) service: DfSessionService,
    pub(super) session: Arc<SessionContext>,
    pub(super) moment: Arc<Pinned>,
    pub(super) cursors: Arc<Cursors>,
    pub(super) told: Arc<Told>,
    pub(super) budget: Budget,
    pub(super) statements: Statements,
    pub(super) prepared: prepared::Prepared,
}

/// What the service keeps of a prepared statement.
type Prepared = (String, Option<(Statement, LogicalPlan)>);

fn check(sql: &str) -> PgWireResult<()> {
    check_size(sql, Bounds::ON_A_SHARED_THREAD).map_err(|error| Told::refused(error, sql))
}

impl Bounded {
    /// A statement begins: outside a transaction it sees what is there now.
    async fn begins<C: ClientInfo>(&self, client: &C) {
        if client.transaction_status() == TransactionStatus::Idle {
            self.moment.forget().await;
        }
    }

    /// A transaction ends, and with it all that was open in it.
    async fn ends<C: ClientPortalStore>(&self, client: &C)
    where
        C::PortalStore: PortalStore,
    {
        client.portal_store().clear_portals();
        self.cursors.clear();
        self.moment.forget().await;
    }

    /// Answers with no rows; rows are given back.
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
                self.ends(client).await;
            }
            Response::Error(error) => return Err(PgWireError::UserError(error)),
            Response::Query(_) | Response::CopyIn(_) | Response::CopyOut(_) | Response::CopyBoth(_) => {
                return Err(refusal("0A000", "nothing is copied over this connection"));
            }
        }
        Ok(())
    }

    /// Runs a portal, or goes on with it, for at most `most` rows; 0 for all.
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
            self.begins(client).await;
            let response = self.begin(client, portal, most).await;
            let guards = self.statements.take_current();
            match response? {
                Response::Query(rows) => {
                    let time = lent::time(client, &self.budget);
                    *state = PortalExecutionState::Suspended(lent::lend(rows, time, None, guards.into()));
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

/// What the handlers below do. Each is a function of one lifetime: for a future of several, the compiler proves anew at
/// every use that it may be sent, which took it half a minute.
impl Bounded {
    async fn ask_simply<'a, C>(&'a self, client: &'a mut C, query: &'a str) -> PgWireResult<Vec<Response>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        check(query)?;
        if let Some(name) = prepared::deallocated(query) {
            self.prepared.remove(&name);
            client.portal_store().rm_statement(&name);
            return Ok(vec![Response::Execution(Tag::new("DEALLOCATE"))]);
        }
        self.begins(client).await;
        let responses = match SimpleQueryHandler::do_query(&self.service, client, query).await {
            Ok(responses) => responses,
            Err(error) => {
                let error = self.told.located(error, query, &self.session).await;
                drop(self.statements.take_current());
                return Err(error);
            }
        };
        let guards: Arc<[_]> = self.statements.take_current().into();
        if responses.iter().any(|response| matches!(response, Response::TransactionEnd(_))) {
            self.ends(client).await;
        }
        let time = lent::time(client, &self.budget);
        // The last that is waited for: whoever called this waits for the cancelling that this ends.
        let cancelled = lent::cancelled(client).await;
        let lend = |response| match response {
            Response::Query(rows) => {
                Response::Query(lent::lend(rows, time, cancelled.clone(), guards.clone()))
            }
            other => other,
        };
        Ok(responses.into_iter().map(lend).collect())
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
        // Planning takes time as well: it folds constants.
        let guard = self.statements.begin(None, lent::time(client, &self.budget)).await.map_err(of_query)?;
        let parsed = match self.service.on_parse(client, message).await {
            Ok(()) => Ok(()),
            Err(error) => {
                self.prepared.remove(&name);
                Err(self.told.located(error, &sql, &self.session).await)
            }
        };
        drop(guard);
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
        match name.and_then(|name| self.cursors.described(name)) {
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
            // Empty, or not there at all.
            return self._on_execute(client, message).await;
        };
        let most = usize::try_from(message.max_rows).unwrap_or(0);
        let outcome = match lent::cancelled(client).await {
            Some(cancelled) => match select(self.execute(client, &portal, most).boxed(), cancelled).await {
                Either::Left((outcome, _)) => outcome,
                Either::Right(_) => Err(PgWireError::QueryCanceled),
            },
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
        // Outside a transaction, this is where one ends.
        if status == TransactionStatus::Idle {
            self.ends(client).await;
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
impl SimpleQueryHandler for Bounded {
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
        Box::pin(self.ask_simply(client, query))
    }
}

#[async_trait]
impl ExtendedQueryHandler for Bounded {
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
