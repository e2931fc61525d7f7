//! The HTTP client.
//!
//! ```no_run
//! # async fn ask() -> Result<(), meshtrail_api::client::ClientError> {
//! use meshtrail_api::client::{Client, path};
//! use meshtrail_api::sessions::{SessionsPage, SessionsQuery};
//!
//! let server = Client::new("https://audit.example.com", Some("mt_…".to_owned()))?;
//! let query = SessionsQuery { q: Some("since:24h".to_owned()), ..SessionsQuery::default() };
//! let page: SessionsPage = server.get_json(&path("/api/v1/sessions", &query)).await?;
//! # Ok(()) }
//! ```
//!
//! - An error status is an error: [`Refusal`] has what the server says.
//! - The body of an answer is a stream. One that is read whole is bounded here, the length of a line by the caller.
//! - Redirects are not followed, so that the token goes to the named server alone.
//! - Plain HTTP needs no certificates, and a server on this machine no proxy.
//!
//! Nothing is sent twice by the client itself: a caller knows what may be.

mod address;
mod answer;
mod error;
mod sse;

use std::time::Duration;

use futures::future::BoxFuture;
use http::Method;
use reqwest::Url;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use address::{encode, path};
pub use answer::{Answer, Lines};
pub use error::{ClientError, Refusal};
pub use reqwest::Body;
pub use sse::{SseEvent, SseFrame};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a response may pause; the stream of a live session sends something at least this often.
const READ_TIMEOUT: Duration = Duration::from_secs(90);

/// One server and the token for it. Clones share connections.
#[derive(Clone)]
pub struct Client {
    base: Url,
    token: Option<String>,
    http: reqwest::Client,
}

impl Client {
    /// A client of the server at `url`; no request is sent.
    ///
    /// Panics if the process has installed no crypto provider of `rustls`.
    pub fn new(url: &str, token: Option<String>) -> Result<Client, ClientError> {
        let wrong = || ClientError::Address { url: url.to_owned() };
        let base = Url::parse(url).map_err(|_| wrong())?;
        if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() {
            return Err(wrong());
        }
        Ok(Client { http: http_client(&base)?, base, token })
    }

    /// The base URL, without a slash at its end.
    fn address(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// Sends a request, with `body` as JSON; the answer's body is a stream.
    pub fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> BoxFuture<'_, Result<Answer, ClientError>> {
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.header(http::header::CONTENT_TYPE, "application/json").body(body);
        }
        self.answer(request)
    }

    /// Posts bytes of a media type.
    pub fn upload(
        &self,
        path: &str,
        media_type: &str,
        bytes: Body,
    ) -> BoxFuture<'_, Result<Answer, ClientError>> {
        let request = self.request(Method::POST, path);
        self.answer(request.header(http::header::CONTENT_TYPE, media_type).body(bytes))
    }

    /// Sends a GET; the answer's body is a stream.
    pub fn get(&self, path: &str) -> BoxFuture<'_, Result<Answer, ClientError>> {
        self.send(Method::GET, path, None)
    }

    /// Sends a GET and parses the answer.
    pub async fn get_json<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.get(path).await?.read_json(path).await
    }

    /// Posts `body` as JSON and parses the answer.
    pub async fn post_json<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(|source| ClientError::Request { source })?;
        self.send(Method::POST, path, Some(body)).await?.read_json(path).await
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.address()));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    fn answer(&self, request: reqwest::RequestBuilder) -> BoxFuture<'_, Result<Answer, ClientError>> {
        Box::pin(async move {
            let response = request
                .send()
                .await
                .map_err(|source| ClientError::NoAnswer { address: self.address().to_owned(), source })?;
            let (status, body) = (response.status(), response.bytes_stream());
            Answer::from_parts(status, body, "the connection to the server was lost").await
        })
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("address", &self.address()).finish_non_exhaustive()
    }
}

/// Plain HTTP needs no certificates: a machine without any must still be able to reach its own server.
fn http_client(base: &Url) -> Result<reqwest::Client, ClientError> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("meshtrail/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none());
    if is_loopback(base) {
        builder = builder.no_proxy();
    }
    if base.scheme() == "http" {
        builder = builder.tls_certs_only(std::iter::empty::<reqwest::Certificate>());
    }
    builder.build().map_err(|source| ClientError::Certificates { source })
}

fn is_loopback(base: &Url) -> bool {
    let host = base.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}
