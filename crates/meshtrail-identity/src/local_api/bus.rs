//! tailscaled's bus as a bell: it rings when something about the node or its peers changed, and the status says what.
//!
//! What the bus tells is not kept, however long it is: a message is as large as the tailnet, and differs between
//! versions of tailscaled. The status has one form and is asked for after the bell.
//!
//! Source of the protocol: tailscale `ipn/localapi` (`watch-ipn-bus`), `ipn.NotifyWatchOpt`.

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

use super::{LocalApi, LocalApiError};

/// Peer changes (4096), and the status to begin with (16384); what an older tailscaled does not know it ignores.
const WATCH: &str = "/localapi/v0/watch-ipn-bus?mask=20480";

const QUESTION: &str = "watch-ipn-bus";

/// An open bus.
pub struct Bus {
    body: Incoming,
    connection: JoinHandle<()>,
}

impl Drop for Bus {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl LocalApi {
    /// Opens the bus, within the timeout.
    pub async fn bus(&self) -> Result<Bus, LocalApiError> {
        let late = |_elapsed| LocalApiError::Timeout { question: QUESTION, after: self.timeout };
        tokio::time::timeout(self.timeout, self.open_bus()).await.map_err(late)?
    }

    async fn open_bus(&self) -> Result<Bus, LocalApiError> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|source| LocalApiError::Connect { socket: self.socket.clone(), source })?;
        let transport = |source| LocalApiError::Transport { question: QUESTION, source };
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(transport)?;
        // Its error reaches whoever reads the body as well.
        let connection = tokio::spawn(async move { drop(connection.await) });
        let request = Request::get(WATCH)
            .header(header::HOST, "local-tailscaled.sock")
            .body(Empty::<Bytes>::new())
            .expect("the path and the header are constants");
        let answer = sender.send_request(request).await;
        let response = match answer {
            Ok(response) => response,
            Err(source) => {
                connection.abort();
                return Err(transport(source));
            }
        };
        let (status, body) = (response.status(), response.into_body());
        let bus = Bus { body, connection };
        if status == StatusCode::OK {
            return Ok(bus);
        }
        Err(LocalApiError::Refused { question: QUESTION, status, text: String::new() })
    }
}

impl Bus {
    /// Waits until something changed. After an error the bus is of no more use.
    pub async fn rings(&mut self) -> Result<(), LocalApiError> {
        loop {
            let frame = self.body.frame().await;
            let ended = || LocalApiError::Body { question: QUESTION, source: "it ended".into() };
            let frame = frame.ok_or_else(ended)?;
            let frame = frame.map_err(|source| LocalApiError::Transport { question: QUESTION, source })?;
            if frame.data_ref().is_some_and(|data| data.contains(&b'\n')) {
                return Ok(());
            }
        }
    }
}

impl std::fmt::Debug for Bus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bus").finish_non_exhaustive()
    }
}
