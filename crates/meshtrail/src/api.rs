//! The API client of the commands.
//!
//! Requests go over HTTP to a running server, or to the same routes in this process over a store that is
//! opened read-only. [`Api::open`] decides which.

use anyhow::{Context, Result, anyhow, bail};
use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::args::ApiSource;
use crate::local;
use crate::remote::Remote;

/// The chunk size of uploads, in bytes.
const UPLOAD_CHUNK: usize = 256 << 10;

/// The largest response that is read into memory, in bytes.
const MAX_BODY: usize = 256 << 20;

/// Where requests go.
pub(crate) enum Api {
    /// A server.
    Remote(Remote),
    /// The routes in this process, over a store that it reads itself.
    Direct(Box<Router>),
}

/// A response whose body is a stream.
pub(crate) struct Answer {
    pub(crate) body: BoxStream<'static, Result<Bytes>>,
}

/// An error response of the API.
#[derive(Debug, thiserror::Error)]
#[error("{detail}{}", location_note(field, id))]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    detail: String,
    field: Option<String>,
    id: Option<String>,
}

impl ApiError {
    /// The message, without field and request id.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }
}

fn location_note(field: &Option<String>, id: &Option<String>) -> String {
    let field = field.as_ref().map(|field| format!("in {field}"));
    let id = id.as_ref().map(|id| format!("{id} in the server's log"));
    let notes: Vec<String> = field.into_iter().chain(id).collect();
    if notes.is_empty() { String::new() } else { format!(" ({})", notes.join("; ")) }
}

impl Api {
    /// Opens the named server, the named store, the server that runs on this machine, or the store on this
    /// machine.
    pub(crate) async fn open(source: &ApiSource) -> Result<Api> {
        if let Some(url) = source.named_server() {
            let token = source.token.clone().ok_or_else(|| {
                anyhow!("a token is needed for {url}: set MESHTRAIL_TOKEN or give --token (an admin makes one with `meshtrail tokens create`)")
            })?;
            return Ok(Api::Remote(Remote::new(url, Some(token))?));
        }
        if let Some(running) = local::running_server(source).await? {
            return Ok(Api::Remote(running));
        }
        Ok(Api::Direct(Box::new(local::open_store(source).await?)))
    }

    /// Like [`Api::open`], for requests that only a running server can handle.
    pub(crate) async fn open_server(source: &ApiSource, what: &str) -> Result<Remote> {
        match Api::open_remote(source).await? {
            Some(remote) => Ok(remote),
            None => bail!(
                "{what} needs a running server, and none was found on this machine; start `meshtrail serve`, or name one with --server URL --token TOKEN"
            ),
        }
    }

    async fn open_remote(source: &ApiSource) -> Result<Option<Remote>> {
        match source.named_server() {
            Some(url) => Ok(Some(Remote::new(url, source.token.clone())?)),
            None => local::running_server(source).await,
        }
    }

    /// Sends a GET; the response body is a stream.
    pub(crate) async fn get(&self, path: &str) -> Result<Answer> {
        match self {
            Api::Remote(remote) => remote.send(Method::GET, path, None).await,
            Api::Direct(router) => direct(router, http::Request::get(path).body(Body::empty())?).await,
        }
    }

    /// Posts `body` as JSON; the response body is a stream.
    pub(crate) async fn post(&self, path: &str, body: &impl Serialize) -> Result<Answer> {
        let body = serde_json::to_vec(body)?;
        match self {
            Api::Remote(remote) => remote.send(Method::POST, path, Some(body)).await,
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
            Api::Remote(remote) => remote.upload(path, reqwest::Body::wrap_stream(bytes)).await,
            Api::Direct(router) => {
                direct(router, http::Request::post(path).body(Body::from_stream(bytes))?).await
            }
        };
        answer?.read_all().await
    }

    /// Sends a GET and reads the whole response.
    pub(crate) async fn get_bytes(&self, path: &str) -> Result<Vec<u8>> {
        self.get(path).await?.read_all().await
    }

    /// Sends a GET and parses the response as JSON.
    pub(crate) async fn get_json<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let bytes = self.get_bytes(path).await?;
        serde_json::from_slice(&bytes)
            .with_context(|| format!("the answer to {path} is not what was expected"))
    }
}

impl Answer {
    /// Reads the whole body.
    pub(crate) async fn read_all(mut self) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        while let Some(part) = self.body.next().await {
            body.extend_from_slice(&part?);
            if body.len() > MAX_BODY {
                bail!("the answer is larger than {MAX_BODY} bytes");
            }
        }
        Ok(body)
    }
}

async fn direct(router: &Router, request: http::Request<Body>) -> Result<Answer> {
    use tower::ServiceExt as _;
    let response = router.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
    let status = response.status();
    let body = response.into_body().into_data_stream();
    let answer =
        Answer { body: body.map(|part| part.context("the store could not be read to the end")).boxed() };
    if status.is_success() {
        return Ok(answer);
    }
    // Without a server there is no log that contains the id.
    Err(ApiError { id: None, ..parse_error(status, &answer.read_all().await?) }.into())
}

/// Parses an error response.
pub(crate) fn parse_error(status: StatusCode, body: &[u8]) -> ApiError {
    #[derive(serde::Deserialize)]
    struct Body {
        detail: Option<String>,
        title: Option<String>,
        field: Option<String>,
        id: Option<String>,
    }
    let shown = |text: String| meshtrail_event::text::visible(&text).into_owned();
    match serde_json::from_slice::<Body>(body) {
        Ok(body) => ApiError {
            status,
            detail: shown(body.detail.or(body.title).unwrap_or_else(|| status.to_string())),
            field: body.field.map(shown),
            id: body.id.map(shown),
        },
        Err(_) => ApiError {
            status,
            detail: format!("the server answered {status} and said no more; is it a Meshtrail server?"),
            field: None,
            id: None,
        },
    }
}

/// A path with percent-encoded query parameters; absent ones are left out.
pub(crate) fn path(base: &str, parameters: &[(&str, Option<String>)]) -> String {
    let mut whole = base.to_owned();
    for (name, value) in parameters {
        if let Some(value) = value {
            whole.push(if whole.contains('?') { '&' } else { '?' });
            whole.push_str(name);
            whole.push('=');
            whole.push_str(&encode(value));
        }
    }
    whole
}

/// Percent-encodes a text as one part of a path or query.
pub(crate) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_travels_in_an_address() {
        let path = path("/api/v1/events", &[("q", Some("a&b=ü \u{1b}".to_owned())), ("cursor", None)]);
        assert_eq!(path, "/api/v1/events?q=a%26b%3D%C3%BC%20%1B");
    }

    #[test]
    fn a_refusal_says_where_and_never_commands_the_terminal() {
        let body = br#"{"detail":"no \u001b[2J","field":"q","id":"r1-2"}"#;
        let text = parse_error(StatusCode::BAD_REQUEST, body).to_string();
        assert_eq!(text, "no ␛[2J (in q; r1-2 in the server's log)");
        assert!(parse_error(StatusCode::BAD_GATEWAY, b"<html>").to_string().contains("502"));
    }
}
