//! The HTTP client for a server.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use futures::StreamExt;
use http::{Method, StatusCode};
use reqwest::Url;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::api::{Answer, parse_error};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a response may pause; the stream of a live session sends something at least this often.
const READ_TIMEOUT: Duration = Duration::from_secs(90);

/// One server and the token for it.
#[derive(Clone)]
pub(crate) struct Remote {
    base: Url,
    token: Option<String>,
    client: reqwest::Client,
}

impl Remote {
    pub(crate) fn new(url: &str, token: Option<String>) -> Result<Remote> {
        let base = Url::parse(url)
            .map_err(|_| anyhow!("--server {url:?} is no address such as http://127.0.0.1:7411"))?;
        if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() {
            bail!("--server {url:?} is no address such as http://127.0.0.1:7411");
        }
        Ok(Remote { client: client(&base)?, base, token })
    }

    /// The base URL.
    pub(crate) fn address(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// Sends a request and returns the response; an error status is returned as an error.
    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> Result<Answer> {
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.header(http::header::CONTENT_TYPE, "application/json").body(body);
        }
        self.answer(request).await
    }

    /// Posts the bytes of a recording as a stream.
    pub(crate) async fn upload(&self, path: &str, bytes: reqwest::Body) -> Result<Answer> {
        let request = self.request(Method::POST, path);
        self.answer(request.header(http::header::CONTENT_TYPE, "application/x-asciicast").body(bytes)).await
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.address()));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> Result<Answer> {
        let response = request
            .send()
            .await
            .with_context(|| format!("no answer from {}; is the server running there?", self.address()))?;
        let status = response.status();
        let lost = "the connection to the server was lost";
        let answer = Answer { body: response.bytes_stream().map(move |part| part.context(lost)).boxed() };
        if status.is_success() { Ok(answer) } else { Err(read_error(status, answer).await) }
    }

    /// Posts `body` and parses the response as JSON.
    pub(crate) async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        let answer = self.send(Method::POST, path, Some(serde_json::to_vec(body)?)).await?.read_all().await?;
        serde_json::from_slice(&answer)
            .with_context(|| format!("the answer to {path} is not what was expected"))
    }
}

/// Reads an error response.
async fn read_error(status: StatusCode, answer: Answer) -> anyhow::Error {
    match answer.read_all().await {
        Ok(body) => parse_error(status, &body).into(),
        Err(error) => error,
    }
}

/// Plain HTTP needs no certificates: a machine without any must still be able to reach its own server.
fn client(base: &Url) -> Result<reqwest::Client> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("meshtrail/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none());
    if is_loopback(base) {
        builder = builder.no_proxy();
    }
    if base.scheme() == "http" {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let none = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        builder = builder.tls_backend_preconfigured(none);
    }
    builder.build().context(
        "no certificate authorities were found on this machine, which https needs; install ca-certificates, or set SSL_CERT_FILE",
    )
}

fn is_loopback(base: &Url) -> bool {
    let host = base.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}
