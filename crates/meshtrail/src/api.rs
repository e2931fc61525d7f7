//! Where the commands' requests go.
//!
//! Requests go over HTTP to a running server, or to the same routes in this process over a store that is
//! opened read-only. [`Api::open`] decides which.

use anyhow::{Result, anyhow, bail};
use axum::Router;
use axum::body::Body;
use http::header::CONTENT_TYPE;
use meshtrail_api::client::{Answer, Client, ClientError, Refusal};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::args::ApiSource;
use crate::local;

/// The chunk size of uploads, in bytes.
const UPLOAD_CHUNK: usize = 256 << 10;

/// The media type of uploads.
const ASCIICAST: &str = "application/x-asciicast";

/// Where requests go.
pub(crate) enum Api {
    /// A server.
    Remote(Client),
    /// The routes in this process, over a store that it reads itself.
    Direct(Box<Router>),
}

/// The error that the API answered, if `error` is one.
pub(crate) fn refusal(error: &anyhow::Error) -> Option<&Refusal> {
    match error.downcast_ref::<ClientError>()? {
        ClientError::Refused(refusal) => Some(refusal),
        _ => None,
    }
}

/// A client of the server that `--server` names.
fn named_client(url: &str, token: Option<String>) -> Result<Client> {
    Client::new(url, token).map_err(|error| match error {
        ClientError::Address { .. } => anyhow!("--server {error}"),
        error => error.into(),
    })
}

impl Api {
    /// Opens the named server, the named store, the server that runs on this machine, or the store on this
    /// machine.
    pub(crate) async fn open(source: &ApiSource) -> Result<Api> {
        if let Some(url) = source.named_server() {
            let token = source.token.clone().ok_or_else(|| {
                anyhow!("a token is needed for {url}: set MESHTRAIL_TOKEN or give --token (an admin makes one with `meshtrail tokens create`)")
            })?;
            return Ok(Api::Remote(named_client(url, Some(token))?));
        }
        if let Some(running) = local::running_server(source).await? {
            return Ok(Api::Remote(running));
        }
        Ok(Api::Direct(Box::new(local::open_store(source).await?)))
    }

    /// Like [`Api::open`], for requests that only a running server can handle.
    pub(crate) async fn open_server(source: &ApiSource, what: &str) -> Result<Client> {
        match Api::open_remote(source).await? {
            Some(remote) => Ok(remote),
            None => bail!(
                "{what} needs a running server, and none was found on this machine; start `meshtrail serve`, or name one with --server URL --token TOKEN"
            ),
        }
    }

    async fn open_remote(source: &ApiSource) -> Result<Option<Client>> {
        match source.named_server() {
            Some(url) => Ok(Some(named_client(url, source.token.clone())?)),
            None => local::running_server(source).await,
        }
    }

    /// Sends a GET; the response body is a stream.
    pub(crate) async fn get(&self, path: &str) -> Result<Answer> {
        match self {
            Api::Remote(remote) => Ok(remote.get(path).await?),
            Api::Direct(router) => direct(router, http::Request::get(path).body(Body::empty())?).await,
        }
    }

    /// Posts `body` as JSON; the response body is a stream.
    pub(crate) async fn post(&self, path: &str, body: &impl Serialize) -> Result<Answer> {
        let body = serde_json::to_vec(body)?;
        match self {
            Api::Remote(remote) => Ok(remote.send(http::Method::POST, path, Some(body)).await?),
            Api::Direct(router) => {
                let request = http::Request::post(path).header(CONTENT_TYPE, "application/json");
                direct(router, request.body(Body::from(body))?).await
            }
        }
    }

    /// Posts a file's bytes and reads the whole response.
    pub(crate) async fn upload(&self, path: &str, file: &std::path::Path) -> Result<Vec<u8>> {
        let file = tokio::fs::File::open(file).await?;
        let bytes = tokio_util::io::ReaderStream::with_capacity(file, UPLOAD_CHUNK);
        let answer = match self {
            Api::Remote(remote) => {
                let body = meshtrail_api::client::Body::wrap_stream(bytes);
                remote.upload(path, ASCIICAST, body).await?
            }
            Api::Direct(router) => {
                direct(router, http::Request::post(path).body(Body::from_stream(bytes))?).await?
            }
        };
        Ok(answer.read_all().await?)
    }

    /// Sends a GET and reads the whole response.
    pub(crate) async fn get_bytes(&self, path: &str) -> Result<Vec<u8>> {
        Ok(self.get(path).await?.read_all().await?)
    }

    /// Sends a GET and parses the response as JSON.
    pub(crate) async fn get_json<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        Ok(self.get(path).await?.read_json(path).await?)
    }
}

async fn direct(router: &Router, request: http::Request<Body>) -> Result<Answer> {
    use tower::ServiceExt as _;
    let response = router.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
    let (status, body) = (response.status(), response.into_body().into_data_stream());
    let answer = Answer::from_parts(status, body, "the store could not be read to the end").await;
    answer.map_err(|error| match error {
        // Without a server there is no log that contains the id.
        ClientError::Refused(refusal) => ClientError::Refused(Refusal { id: None, ..refusal }).into(),
        error => error.into(),
    })
}
