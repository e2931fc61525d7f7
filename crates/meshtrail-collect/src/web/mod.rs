//! A client for HTTP APIs that may be slow, wrong, huge or unreachable.
//!
//! - A response is bounded in bytes and in time: to connect, between two reads, and as a whole.
//! - Redirects are not followed: they would carry the secret to another host.
//! - The server's clock is read from each response's `Date` header, and kept as its difference from ours.
//!
//! What a response means is not known here.

mod backoff;
mod error;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use http::{HeaderMap, Method, StatusCode, header};
use meshtrail_event::Timestamp;
use reqwest::Url;

pub(crate) use backoff::Backoff;
pub(crate) use error::WebError;

use crate::config::Secret;

/// The most bytes that are read of an error's body.
const MAX_REFUSAL: usize = 64 << 10;

/// The skew of a clock that is not known yet.
const UNKNOWN_SKEW: i64 = i64::MIN;

/// Timeouts of one request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    /// To connect.
    pub(crate) connect: Duration,
    /// Between two reads.
    pub(crate) read: Duration,
    /// From sending the request to the last byte of the response.
    pub(crate) total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let second = Duration::from_secs(1);
        Self { connect: 10 * second, read: 60 * second, total: 600 * second }
    }
}

/// Client of one API.
pub(crate) struct ApiClient {
    client: reqwest::Client,
    base: Url,
    total: Duration,
    /// The file with additional CA certificates.
    ca: Option<PathBuf>,
    /// The server's clock minus ours, in milliseconds; [`UNKNOWN_SKEW`] before the first response.
    skew: AtomicI64,
}

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct ApiRequest<'a> {
    pub(crate) method: Method,
    /// Segments of the path, not percent-encoded yet.
    pub(crate) path: &'a [&'a str],
    pub(crate) query: &'a [(&'a str, &'a str)],
    pub(crate) accept: Option<&'static str>,
    pub(crate) bearer: Option<&'a Secret>,
    pub(crate) form: Option<&'a [(&'a str, &'a str)]>,
    /// The most bytes of the response's body.
    pub(crate) most: usize,
}

/// A complete response.
#[derive(Debug, Clone)]
pub(crate) struct ApiResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl ApiClient {
    /// A client of the API at `base`; `ca` is a file with CA certificates that are trusted besides the system's.
    pub(crate) fn new(base: &Url, timeouts: Timeouts, ca: Option<&Path>) -> Result<Self, WebError> {
        let built = match ca.map(certificates).transpose()? {
            None => client_builder(base, timeouts).build(),
            Some(certificates) => {
                let merged = client_builder(base, timeouts).tls_certs_merge(certificates.clone()).build();
                // On a machine without CA certificates, those in the file are the only ones.
                merged.or_else(|_| client_builder(base, timeouts).tls_certs_only(certificates).build())
            }
        };
        let client = built.map_err(|source| WebError::Client { source })?;
        let ca = ca.map(Path::to_owned);
        Ok(Self { client, base: base.clone(), total: timeouts.total, ca, skew: AtomicI64::new(UNKNOWN_SKEW) })
    }

    /// Sends a request and reads the whole response, whatever its status.
    pub(crate) async fn send(&self, request: &ApiRequest<'_>) -> Result<ApiResponse, WebError> {
        let exchange = self.exchange(request);
        match tokio::time::timeout(self.total, exchange).await {
            Ok(response) => response,
            Err(_) => Err(WebError::Slow { host: self.host(), waited: self.total }),
        }
    }

    async fn exchange(&self, request: &ApiRequest<'_>) -> Result<ApiResponse, WebError> {
        let mut builder = self.client.request(request.method.clone(), self.address(request));
        if let Some(accept) = request.accept {
            builder = builder.header(header::ACCEPT, accept);
        }
        if let Some(secret) = request.bearer {
            builder = builder.bearer_auth(secret.reveal());
        }
        if let Some(form) = request.form {
            builder = builder.form(form);
        }
        let response = builder.send().await.map_err(|source| self.classify(source))?;
        let (status, headers) = (response.status(), response.headers().clone());
        self.note_clock(&headers, Timestamp::now());
        let most = if status.is_success() { request.most } else { MAX_REFUSAL };
        let mut body = Vec::new();
        let mut parts = response.bytes_stream();
        while let Some(part) = parts.next().await {
            let part = part.map_err(|source| self.classify(source))?;
            if body.len() + part.len() > most {
                if status.is_success() {
                    return Err(WebError::TooLarge { host: self.host(), most });
                }
                break;
            }
            body.extend_from_slice(&part);
        }
        Ok(ApiResponse { status, headers, body: body.into() })
    }

    fn address(&self, request: &ApiRequest<'_>) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(request.path);
        }
        if !request.query.is_empty() {
            url.query_pairs_mut().extend_pairs(request.query);
        }
        url
    }

    fn host(&self) -> String {
        self.base.host_str().unwrap_or_default().to_owned()
    }

    fn classify(&self, source: reqwest::Error) -> WebError {
        let source = source.without_url();
        if source.is_timeout() {
            return WebError::Silent { host: self.host(), source };
        }
        if let Some(why) = certificate_error(&source) {
            let advice = advice(why, self.ca.as_deref());
            return WebError::Untrusted { host: self.host(), advice, source };
        }
        if source.is_connect() {
            return WebError::Unreachable { host: self.host(), source };
        }
        WebError::Broken { host: self.host(), source }
    }

    fn note_clock(&self, headers: &HeaderMap, now: Timestamp) {
        let Some(theirs) = headers.get(header::DATE).and_then(|date| http_date(date.to_str().ok()?)) else {
            return;
        };
        // The header has a resolution of one second: differences below two seconds count as none.
        let skew = (theirs.as_nanos() - now.as_nanos()) / 1_000_000;
        let skew = if skew.abs() < 2_000 { 0 } else { skew };
        let before = self.skew.swap(skew, Ordering::Relaxed);
        let before = if before == UNKNOWN_SKEW { 0 } else { before };
        if skew.abs() > 60_000 && (before - skew).abs() > 60_000 {
            let seconds = skew.abs() / 1_000;
            let which = if skew > 0 { "behind" } else { "ahead of" };
            tracing::warn!(host = self.host(), "this machine's clock is {seconds} s {which} the API's");
        }
    }

    /// How far the server's clock is ahead of ours, in milliseconds, once it is known; less than two seconds count as 0.
    pub(crate) fn skew(&self) -> Option<i64> {
        Some(self.skew.load(Ordering::Relaxed)).filter(|skew| *skew != UNKNOWN_SKEW)
    }

    /// The server's time when ours is `now`.
    pub(crate) fn their_time(&self, now: Timestamp) -> Timestamp {
        let skew = self.skew().unwrap_or_default();
        Timestamp::from_nanos(now.as_nanos().saturating_add(skew.saturating_mul(1_000_000)))
    }
}

/// The client's settings except for additional certificates. Plain HTTP needs no certificates at all: a machine without
/// any must still be able to use it.
fn client_builder(base: &Url, timeouts: Timeouts) -> reqwest::ClientBuilder {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("meshtrail/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(timeouts.connect)
        .read_timeout(timeouts.read)
        .pool_idle_timeout(Duration::from_secs(90));
    let host = base.host_str().unwrap_or_default().trim_matches(['[', ']']);
    if host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback()) {
        builder = builder.no_proxy();
    }
    if base.scheme() == "http" {
        builder = builder.tls_certs_only(std::iter::empty::<reqwest::Certificate>());
    }
    builder
}

/// Why the server's certificate is not trusted, if that is the cause of `error`.
fn certificate_error(error: &reqwest::Error) -> Option<&rustls::CertificateError> {
    let mut cause: &(dyn std::error::Error + 'static) = error;
    loop {
        if let Some(rustls::Error::InvalidCertificate(why)) = cause.downcast_ref() {
            return Some(why);
        }
        // An `io::Error` does not return the error that it wraps as its source.
        let wrapped = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        cause = match wrapped {
            Some(wrapped) => wrapped,
            None => cause.source()?,
        };
    }
}

/// What to do about a certificate that is not trusted.
fn advice(why: &rustls::CertificateError, ca: Option<&Path>) -> String {
    use rustls::CertificateError as Why;
    match (why, ca) {
        (Why::Expired | Why::ExpiredContext { .. }, _) => {
            "it is expired, or this machine's clock is wrong".to_owned()
        }
        (Why::NotValidYet | Why::NotValidYetContext { .. }, _) => {
            "it does not hold yet, or this machine's clock is wrong".to_owned()
        }
        (Why::NotValidForName | Why::NotValidForNameContext { .. }, _) => {
            "it is for another name: ask by the name that stands in it".to_owned()
        }
        (_, None) => {
            "no authority that this machine knows signed it: name a file with the PEM certificate of the \
                      one that did as ca_file"
                .to_owned()
        }
        (_, Some(ca)) => format!(
            "neither an authority that this machine knows nor one in {} (ca_file) signed it: put the PEM certificate \
             of the one that did there",
            ca.display()
        ),
    }
}

/// The certificates in a PEM file.
fn certificates(path: &Path) -> Result<Vec<reqwest::Certificate>, WebError> {
    let failed = |reason: String| WebError::Certificates { path: path.to_owned(), reason };
    let pem = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    let found = reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| failed(error.to_string()))?;
    if found.is_empty() { Err(failed("it holds no PEM certificate".to_owned())) } else { Ok(found) }
}

impl ApiResponse {
    /// The wait that the `Retry-After` header asks for.
    pub(crate) fn retry_after(&self, now: Timestamp) -> Option<Duration> {
        let text = self.headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
        if let Ok(seconds) = text.parse() {
            return Some(Duration::from_secs(seconds));
        }
        http_date(text).map(|until| until.since(now))
    }

    /// The entity tag.
    pub(crate) fn etag(&self) -> Option<String> {
        Some(self.headers.get(header::ETAG)?.to_str().ok()?.to_owned())
    }

    /// The media type, without parameters.
    pub(crate) fn media_type(&self) -> &str {
        let value = self.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().split(';').next().unwrap_or_default().trim()
    }
}

/// An HTTP date: `Sat, 21 Nov 2026 11:52:58 GMT`.
fn http_date(text: &str) -> Option<Timestamp> {
    let parsed = jiff::fmt::rfc2822::parse(text).ok()?;
    Timestamp::from_seconds(parsed.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_as_seconds_and_as_a_date() {
        let now = Timestamp::from_seconds(1_795_262_000).unwrap();
        let wait_of = |text: &'static str| {
            let headers = HeaderMap::from_iter([(header::RETRY_AFTER, http::HeaderValue::from_static(text))]);
            ApiResponse { status: StatusCode::TOO_MANY_REQUESTS, headers, body: Bytes::new() }
                .retry_after(now)
        };
        assert_eq!(wait_of("3600"), Some(Duration::from_secs(3_600)));
        assert_eq!(
            wait_of("Sat, 21 Nov 2026 12:00:00 GMT"),
            Some(Duration::from_secs(1_795_262_400 - 1_795_262_000))
        );
        assert_eq!(wait_of("soon"), None);
    }

    #[test]
    fn paths_are_put_together_and_cannot_leave_the_api() {
        let _already_there = rustls::crypto::ring::default_provider().install_default();
        let client =
            ApiClient::new(&"https://h.example/base/".parse().unwrap(), Timeouts::default(), None).unwrap();
        let request = ApiRequest {
            method: Method::GET,
            path: &["api", "v2", "tailnet", "a b/../c", "acl"],
            query: &[("start", "2026-11-20T00:00:00Z"), ("q", "a&b")],
            accept: None,
            bearer: None,
            form: None,
            most: 1,
        };
        let url = client.address(&request).to_string();
        assert_eq!(
            url,
            "https://h.example/base/api/v2/tailnet/a%20b%2F..%2Fc/acl?start=2026-11-20T00%3A00%3A00Z&q=a%26b"
        );
    }
}
