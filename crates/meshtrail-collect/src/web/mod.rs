//! Asking an HTTP API that may be slow, wrong, large or away.
//!
//! - An answer is bounded in bytes and in time: to connect, between two bytes, and as a whole.
//! - Nothing is followed elsewhere: a redirect would carry the secret to another host.
//! - The other side's clock is read off each answer's `Date`, and told as a difference from ours.
//!
//! What an answer means is not known here.

mod error;
mod pace;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use http::{HeaderMap, Method, StatusCode, header};
use meshtrail_event::Timestamp;
use reqwest::Url;

pub(crate) use error::WebError;
pub(crate) use pace::Pace;

use crate::config::Secret;

/// The longest body of an error that is read.
const MAX_REFUSAL: usize = 64 << 10;

/// A clock that was not told yet.
const UNTOLD: i64 = i64::MIN;

/// How long an answer may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// To connect.
    pub(crate) connect: Duration,
    /// Between two reads.
    pub(crate) silence: Duration,
    /// From the question to the last byte.
    pub(crate) whole: Duration,
}

impl Default for Times {
    fn default() -> Self {
        let second = Duration::from_secs(1);
        Self { connect: 10 * second, silence: 60 * second, whole: 600 * second }
    }
}

/// One API.
pub(crate) struct Web {
    client: reqwest::Client,
    base: Url,
    whole: Duration,
    /// Where more certificates were read from.
    ca: Option<PathBuf>,
    /// Their clock minus ours, in milliseconds; [`UNTOLD`] before they told it.
    skew: AtomicI64,
}

/// One question.
#[derive(Debug, Clone)]
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    /// Parts of the path, encoded as they are put together.
    pub(crate) path: &'a [&'a str],
    pub(crate) query: &'a [(&'a str, &'a str)],
    pub(crate) accept: Option<&'static str>,
    pub(crate) bearer: Option<&'a Secret>,
    pub(crate) form: Option<&'a [(&'a str, &'a str)]>,
    /// The most bytes of the answer.
    pub(crate) most: usize,
}

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Web {
    /// The API at `base`; `ca` holds more certificates to check its own with.
    pub(crate) fn new(base: &Url, times: Times, ca: Option<&Path>) -> Result<Self, WebError> {
        let built = match ca.map(certificates).transpose()? {
            None => builder(base, times).build(),
            Some(certificates) => {
                let merged = builder(base, times).tls_certs_merge(certificates.clone()).build();
                // On a machine without authorities of its own, the named ones are all there are.
                merged.or_else(|_| builder(base, times).tls_certs_only(certificates).build())
            }
        };
        let client = built.map_err(|source| WebError::Client { source })?;
        let ca = ca.map(Path::to_owned);
        Ok(Self { client, base: base.clone(), whole: times.whole, ca, skew: AtomicI64::new(UNTOLD) })
    }

    /// Asks, and reads the whole answer, whatever its status.
    pub(crate) async fn ask(&self, ask: &Ask<'_>) -> Result<Answer, WebError> {
        let asking = self.asked(ask);
        match tokio::time::timeout(self.whole, asking).await {
            Ok(answer) => answer,
            Err(_) => Err(WebError::Slow { host: self.host(), waited: self.whole }),
        }
    }

    async fn asked(&self, ask: &Ask<'_>) -> Result<Answer, WebError> {
        let mut request = self.client.request(ask.method.clone(), self.address(ask));
        if let Some(accept) = ask.accept {
            request = request.header(header::ACCEPT, accept);
        }
        if let Some(secret) = ask.bearer {
            request = request.bearer_auth(secret.reveal());
        }
        if let Some(form) = ask.form {
            request = request.form(form);
        }
        let response = request.send().await.map_err(|source| self.failed(source))?;
        let (status, headers) = (response.status(), response.headers().clone());
        self.note_clock(&headers, Timestamp::now());
        let most = if status.is_success() { ask.most } else { MAX_REFUSAL };
        let mut body = Vec::new();
        let mut parts = response.bytes_stream();
        while let Some(part) = parts.next().await {
            let part = part.map_err(|source| self.failed(source))?;
            if body.len() + part.len() > most {
                if status.is_success() {
                    return Err(WebError::TooLarge { host: self.host(), most });
                }
                break;
            }
            body.extend_from_slice(&part);
        }
        Ok(Answer { status, headers, body: body.into() })
    }

    fn address(&self, ask: &Ask<'_>) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(ask.path);
        }
        if !ask.query.is_empty() {
            url.query_pairs_mut().extend_pairs(ask.query);
        }
        url
    }

    fn host(&self) -> String {
        self.base.host_str().unwrap_or_default().to_owned()
    }

    fn failed(&self, source: reqwest::Error) -> WebError {
        let source = source.without_url();
        if source.is_timeout() {
            return WebError::Silent { host: self.host(), source };
        }
        if let Some(why) = distrust(&source) {
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
        // A date has whole seconds: what is less than two apart is the same.
        let skew = (theirs.as_nanos() - now.as_nanos()) / 1_000_000;
        let skew = if skew.abs() < 2_000 { 0 } else { skew };
        let before = self.skew.swap(skew, Ordering::Relaxed);
        let before = if before == UNTOLD { 0 } else { before };
        if skew.abs() > 60_000 && (before - skew).abs() > 60_000 {
            let seconds = skew.abs() / 1_000;
            let which = if skew > 0 { "behind" } else { "ahead of" };
            tracing::warn!(host = self.host(), "this machine's clock is {seconds} s {which} the API's");
        }
    }

    /// How far their clock is ahead of ours, in milliseconds, where they told it; less than two seconds are none.
    pub(crate) fn skew(&self) -> Option<i64> {
        Some(self.skew.load(Ordering::Relaxed)).filter(|skew| *skew != UNTOLD)
    }

    /// What their clock shows when ours shows `now`.
    pub(crate) fn their_time(&self, now: Timestamp) -> Timestamp {
        let skew = self.skew().unwrap_or_default();
        Timestamp::from_nanos(now.as_nanos().saturating_add(skew.saturating_mul(1_000_000)))
    }
}

/// A client for `base`, but for certificates of its own. Plain HTTP needs none: a machine without any must still be able
/// to ask there.
fn builder(base: &Url, times: Times) -> reqwest::ClientBuilder {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("meshtrail/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(times.connect)
        .read_timeout(times.silence)
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

/// Why the other side's certificate is not trusted, where that is what failed.
fn distrust(error: &reqwest::Error) -> Option<&rustls::CertificateError> {
    let mut cause: &(dyn std::error::Error + 'static) = error;
    loop {
        if let Some(rustls::Error::InvalidCertificate(why)) = cause.downcast_ref() {
            return Some(why);
        }
        // An error of the system that wraps another does not give that as its source.
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

impl Answer {
    /// How long to wait before asking again, where the answer says so.
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
        let said = |text: &'static str| {
            let headers = HeaderMap::from_iter([(header::RETRY_AFTER, http::HeaderValue::from_static(text))]);
            Answer { status: StatusCode::TOO_MANY_REQUESTS, headers, body: Bytes::new() }.retry_after(now)
        };
        assert_eq!(said("3600"), Some(Duration::from_secs(3_600)));
        assert_eq!(
            said("Sat, 21 Nov 2026 12:00:00 GMT"),
            Some(Duration::from_secs(1_795_262_400 - 1_795_262_000))
        );
        assert_eq!(said("soon"), None);
    }

    #[test]
    fn paths_are_put_together_and_cannot_leave_the_api() {
        let _already_there = rustls::crypto::ring::default_provider().install_default();
        let web = Web::new(&"https://h.example/base/".parse().unwrap(), Times::default(), None).unwrap();
        let ask = Ask {
            method: Method::GET,
            path: &["api", "v2", "tailnet", "a b/../c", "acl"],
            query: &[("start", "2026-11-20T00:00:00Z"), ("q", "a&b")],
            accept: None,
            bearer: None,
            form: None,
            most: 1,
        };
        let url = web.address(&ask).to_string();
        assert_eq!(
            url,
            "https://h.example/base/api/v2/tailnet/a%20b%2F..%2Fc/acl?start=2026-11-20T00%3A00%3A00Z&q=a%26b"
        );
    }
}
