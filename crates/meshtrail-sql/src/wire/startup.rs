//! Letting somebody in: a password is asked for, and nothing else is answered before it was right.

use std::fmt::Debug;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use datafusion_postgres::pgwire::api::auth::{
    DefaultServerParameterProvider, LoginInfo, StartupHandler, finish_authentication, protocol_negotiation,
    save_startup_parameters_to_metadata,
};
use datafusion_postgres::pgwire::api::{
    ClientInfo, ConnectionGuard, ConnectionHandle, ConnectionManager, PgWireConnectionState,
    PidSecretKeyGenerator, RandomPidSecretKeyGenerator,
};
use datafusion_postgres::pgwire::error::{ErrorInfo, PgWireError, PgWireResult};
use datafusion_postgres::pgwire::messages::startup::Authentication;
use datafusion_postgres::pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};
use futures::{Sink, SinkExt};

use super::{Door, Guest};

/// The guest of a connection, once there is one.
pub(super) type Seat = Arc<OnceLock<Arc<dyn Guest>>>;

/// What programs that look at the version take for a server they know.
const SERVER_VERSION: &str = "16.6 (Meshtrail)";

pub(super) struct Startup {
    door: Arc<dyn Door>,
    manager: Arc<ConnectionManager>,
    peer: SocketAddr,
    is_full: bool,
    seat: Seat,
    parameters: DefaultServerParameterProvider,
}

impl Startup {
    pub(super) fn new(
        door: Arc<dyn Door>,
        manager: Arc<ConnectionManager>,
        peer: SocketAddr,
        is_full: bool,
    ) -> Startup {
        let mut parameters = DefaultServerParameterProvider::default();
        parameters.server_version = SERVER_VERSION.to_owned();
        parameters.default_transaction_read_only = true;
        parameters.is_superuser = false;
        parameters.time_zone = "UTC".to_owned();
        Startup { door, manager, peer, is_full, seat: Seat::default(), parameters }
    }

    pub(super) fn guest(&self) -> Seat {
        self.seat.clone()
    }

    fn admit<C: ClientInfo>(&self, client: &C, password: &str) -> PgWireResult<()> {
        let login = LoginInfo::from_client_info(client);
        let user = login.user().unwrap_or_default();
        match self.door.admit(user, password, self.peer) {
            Ok(guest) => self.seat.set(guest).map_err(|_| fatal("08P01", "already signed in".to_owned())),
            Err(refused) => {
                tracing::info!(peer = %self.peer, reason = refused.reason, "a Postgres sign-in was refused");
                Err(fatal("28P01", refused.reason))
            }
        }
    }
}

fn fatal(code: &str, message: String) -> PgWireError {
    PgWireError::UserError(Box::new(ErrorInfo::new("FATAL".to_owned(), code.to_owned(), message)))
}

#[async_trait]
impl StartupHandler for Startup {
    async fn on_startup<C>(&self, client: &mut C, message: PgWireFrontendMessage) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        match message {
            PgWireFrontendMessage::Startup(ref startup) => {
                if self.is_full {
                    return Err(fatal("53300", "too many connections: try again later".to_owned()));
                }
                protocol_negotiation(client, startup).await?;
                save_startup_parameters_to_metadata(client, startup);
                client.set_state(PgWireConnectionState::AuthenticationInProgress);
                let ask = PgWireBackendMessage::Authentication(Authentication::CleartextPassword);
                client.send(ask).await?;
            }
            PgWireFrontendMessage::PasswordMessageFamily(password) => {
                let password = password.into_password()?;
                self.admit(client, &password.password)?;
                let (pid, secret) = RandomPidSecretKeyGenerator::default().generate(client);
                client.set_pid_and_secret_key(pid, secret.clone());
                let (handle, guard) = self.manager.register(pid, secret);
                client.session_extensions().insert::<Arc<ConnectionHandle>>(handle);
                client.session_extensions().insert::<ConnectionGuard>(guard);
                finish_authentication(client, &self.parameters).await?;
            }
            _ => {}
        }
        Ok(())
    }
}
