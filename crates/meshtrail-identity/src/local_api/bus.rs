//! Change notifications from tailscaled's IPN bus.
//!
//! The content of messages is ignored: it is as large as the tailnet, and differs between versions of tailscaled. The status
//! has one form and is read after a notification.
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

/// Mask: peer changes (4096), and the initial status (16384). An older tailscaled ignores unknown bits.
const WATCH: &str = "/localapi/v0/watch-ipn-bus?mask=20480";

const QUESTION: &str = "watch-ipn-bus";

/// An open connection to the bus.
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
    /// Connects to the bus, within the timeout.
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
        // An error is returned when the body is read as well.
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
    /// Waits for the next notification. After an error the bus must be dropped.
    pub async fn changed(&mut self) -> Result<(), LocalApiError> {
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
