//! The startup of a connection whose client the server has already authenticated.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion_postgres::pgwire::api::auth::{
    DefaultServerParameterProvider, StartupHandler, finish_authentication, protocol_negotiation,
    save_startup_parameters_to_metadata,
};
use datafusion_postgres::pgwire::api::{ClientInfo, ConnectionGuard, ConnectionHandle, ConnectionManager};
use datafusion_postgres::pgwire::error::{PgWireError, PgWireResult};
use datafusion_postgres::pgwire::messages::startup::SecretKey;
use datafusion_postgres::pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};
use futures::Sink;

/// The version that is reported to programs which decide by it what the server supports.
const SERVER_VERSION: &str = "16.6 (Meshtrail)";

pub(super) struct Startup {
    manager: Arc<ConnectionManager>,
    key: (i32, SecretKey),
    parameters: DefaultServerParameterProvider,
}

impl Startup {
    /// `key` is the connection's cancel key.
    pub(super) fn new(manager: Arc<ConnectionManager>, key: (i32, SecretKey)) -> Startup {
        let mut parameters = DefaultServerParameterProvider::default();
        parameters.server_version = SERVER_VERSION.to_owned();
        parameters.default_transaction_read_only = true;
        parameters.is_superuser = false;
        parameters.time_zone = "UTC".to_owned();
        Startup { manager, key, parameters }
    }
}

#[async_trait]
impl StartupHandler for Startup {
    async fn on_startup<C>(&self, client: &mut C, message: PgWireFrontendMessage) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        if let PgWireFrontendMessage::Startup(ref startup) = message {
            protocol_negotiation(client, startup).await?;
            save_startup_parameters_to_metadata(client, startup);
            let (process, secret) = self.key.clone();
            client.set_pid_and_secret_key(process, secret.clone());
            let (handle, guard) = self.manager.register(process, secret);
            client.session_extensions().insert::<Arc<ConnectionHandle>>(handle);
            client.session_extensions().insert::<ConnectionGuard>(guard);
            finish_authentication(client, &self.parameters).await?;
        }
        Ok(())
    }
}
