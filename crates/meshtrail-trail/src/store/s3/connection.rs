//! Signed requests: the client's, signed again if headers are added, and those that the client has no call for.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Method, StatusCode};
use meshtrail_event::Timestamp;
use object_store::ClientOptions;
use object_store::aws::{AwsAuthorizer, AwsCredentialProvider};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse,
    HttpService, ReqwestConnector,
};

use super::super::error::{Cause, StoreError};
use super::super::{ObjectRetention, RetentionMode};
use super::RETRY_WITHIN;

const TRIES: u32 = 4;

/// Counts the attempts of one call: more than one means that an answer was lost.
#[derive(Debug, Clone, Default)]
pub(super) struct Attempts(Arc<AtomicU32>);

impl Attempts {
    pub(super) fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The retention headers of one PUT.
#[derive(Debug, Clone)]
pub(super) struct RetentionHeaders {
    mode: &'static str,
    until: String,
}

impl RetentionHeaders {
    pub(super) fn from_now(retention: ObjectRetention) -> Self {
        let mode = match retention.mode {
            RetentionMode::Governance => "GOVERNANCE",
            RetentionMode::Compliance => "COMPLIANCE",
        };
        let until = Timestamp::now().after(retention.keep).to_string();
        // Every implementation reads times in seconds.
        Self { mode, until: format!("{}Z", &until[..19]) }
    }
}

/// A connector that adds [`RetentionHeaders`] to requests which have them as an extension, and signs them again.
#[derive(Debug, Clone)]
pub(super) struct ResigningConnector {
    signer: Arc<Signer>,
}

#[derive(Debug)]
struct Signer {
    region: String,
    /// Set once the client is built, which itself needs this connector.
    credentials: OnceLock<AwsCredentialProvider>,
}

impl ResigningConnector {
    pub(super) fn new(region: String) -> Self {
        Self { signer: Arc::new(Signer { region, credentials: OnceLock::new() }) }
    }

    pub(super) fn use_credentials(&self, credentials: AwsCredentialProvider) {
        if self.signer.credentials.set(credentials).is_err() {
            tracing::debug!("credentials were set before");
        }
    }

    pub(super) fn connection(
        &self,
        endpoint: String,
        options: &ClientOptions,
    ) -> object_store::Result<Connection> {
        let client = ReqwestConnector::default().connect(options)?;
        Ok(Connection { client, endpoint, signer: self.signer.clone() })
    }
}

impl HttpConnector for ResigningConnector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let inner = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(ResigningService { inner, signer: self.signer.clone() }))
    }
}

#[derive(Debug)]
struct ResigningService {
    inner: HttpClient,
    signer: Arc<Signer>,
}

impl HttpService for ResigningService {
    fn call<'a, 'b>(&'a self, mut request: HttpRequest) -> BoxFuture<'b, Result<HttpResponse, HttpError>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(async move {
            if let Some(attempts) = request.extensions().get::<Attempts>() {
                attempts.0.fetch_add(1, Ordering::Relaxed);
            }
            if let Some(retain) = request.extensions().get::<RetentionHeaders>().cloned() {
                let until = HeaderValue::from_str(&retain.until)
                    .map_err(|error| HttpError::new(HttpErrorKind::Request, error))?;
                let headers = request.headers_mut();
                headers.insert("x-amz-object-lock-mode", HeaderValue::from_static(retain.mode));
                headers.insert("x-amz-object-lock-retain-until-date", until);
                self.signer.sign(&mut request).await?;
            }
            self.inner.execute(request).await
        })
    }
}

impl Signer {
    async fn sign(&self, request: &mut HttpRequest) -> Result<(), HttpError> {
        let provider = self.credentials.get().expect("credentials are set before the first request");
        let credential =
            provider.get_credential().await.map_err(|error| HttpError::new(HttpErrorKind::Request, error))?;
        let digest = request.headers().get("x-amz-content-sha256").map(|value| value.as_bytes().to_vec());
        let known = digest.as_deref().and_then(|text| hex::decode(text).ok());
        let signs_payload = digest.as_deref() != Some(b"UNSIGNED-PAYLOAD");
        request.headers_mut().remove(AUTHORIZATION);
        AwsAuthorizer::new(&credential, "s3", &self.region)
            .with_sign_payload(signs_payload)
            .try_authorize(request, known.as_deref())
            .map_err(|error| HttpError::new(HttpErrorKind::Request, error))
    }
}

/// Requests to the bucket itself.
#[derive(Debug)]
pub(super) struct Connection {
    client: HttpClient,
    endpoint: String,
    signer: Arc<Signer>,
}

/// Why a request to the bucket itself failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestError {
    #[error("the request could not be sent")]
    Send(#[source] Cause),
    #[error("the bucket answered {status}: {body}")]
    Status { status: StatusCode, body: String },
    #[error("the bucket's answer is not the XML it should be")]
    Xml(#[source] Cause),
}

impl RequestError {
    pub(super) fn is_locked(&self) -> bool {
        let Self::Status { status, body } = self else { return false };
        let refused = *status == StatusCode::BAD_REQUEST || *status == StatusCode::FORBIDDEN;
        refused && (body.contains("WORM") || body.contains("Object Lock") || body.contains("object lock"))
    }

    /// Whether the bucket has no such feature or configuration.
    pub(super) fn is_absent_feature(&self) -> bool {
        let Self::Status { status, body } = self else { return false };
        let not_bucket = !body.contains("NoSuchBucket");
        not_bucket && matches!(status.as_u16(), 404 | 405 | 501) || body.contains("NotImplemented")
    }

    pub(super) fn into_store_error(self, doing: &'static str, key: &str, store: &str) -> StoreError {
        let hint = match &self {
            Self::Status { body, .. }
                if body.contains("SignatureDoesNotMatch") || body.contains("InvalidAccessKeyId") =>
            {
                "the bucket refused the credentials; check AWS_ACCESS_KEY_ID and the rest"
            }
            Self::Status { status: StatusCode::FORBIDDEN, .. } => {
                "these credentials may not do that; s3:GetBucketVersioning, s3:GetBucketObjectLockConfiguration and s3:ListBucketVersions are needed"
            }
            Self::Status { status: StatusCode::NOT_FOUND, .. } => {
                "check that the bucket exists and that its name is right"
            }
            Self::Status { .. } | Self::Xml(_) => "see what the bucket says",
            Self::Send(_) => "the bucket did not answer in time; check AWS_ENDPOINT_URL and the network",
        };
        StoreError::Failed {
            doing,
            key: key.to_owned(),
            store: store.to_owned(),
            hint,
            source: Box::new(self),
        }
    }

    fn is_transient(&self) -> bool {
        match self {
            Self::Send(_) => true,
            Self::Status { status, .. } => {
                status.is_server_error() && status.as_u16() != 501 || status.as_u16() == 429
            }
            Self::Xml(_) => false,
        }
    }
}

impl Connection {
    /// Sends an idempotent request, with bounded retries.
    pub(super) async fn request(
        &self,
        method: Method,
        key: &str,
        query: &str,
    ) -> Result<Bytes, RequestError> {
        let started = Instant::now();
        let mut wait = Duration::from_millis(100);
        for left in (0..TRIES).rev() {
            match self.request_once(method.clone(), key, query).await {
                Err(error) if left > 0 && error.is_transient() && started.elapsed() < RETRY_WITHIN => {
                    tokio::time::sleep(jittered(wait)).await;
                    wait *= 3;
                }
                answered => return answered,
            }
        }
        unreachable!("the last try returns")
    }

    pub(super) async fn delete_version(&self, key: &str, version: &str) -> Result<(), RequestError> {
        let query = format!("versionId={}", escape(version, false));
        match self.request(Method::DELETE, key, &query).await {
            Err(RequestError::Status { status: StatusCode::NOT_FOUND, .. }) => Ok(()),
            answered => answered.map(|_| ()),
        }
    }

    async fn request_once(&self, method: Method, key: &str, query: &str) -> Result<Bytes, RequestError> {
        let slash = if key.is_empty() { "" } else { "/" };
        let uri = format!("{}{slash}{}?{query}", self.endpoint, escape(key, true));
        let mut request = http::Request::builder()
            .method(method)
            .uri(uri)
            .body(HttpRequestBody::empty())
            .map_err(|error| RequestError::Send(Box::new(error)))?;
        let sent = async {
            self.signer.sign(&mut request).await?;
            let response = self.client.execute(request).await?;
            let status = response.status();
            Ok((status, response.into_body().bytes().await?))
        };
        let (status, body) = sent.await.map_err(|error: HttpError| RequestError::Send(Box::new(error)))?;
        if !status.is_success() {
            let body = String::from_utf8_lossy(&body[..body.len().min(1000)]).into_owned();
            return Err(RequestError::Status { status, body });
        }
        Ok(body)
    }
}

/// Percent-encoding as signatures require it.
pub(super) fn escape(text: &str, keeps_slash: bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) || (keeps_slash && byte == b'/') {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

/// A random time between half of `wait` and `wait`, so that clients don't retry at the same time.
fn jittered(wait: Duration) -> Duration {
    let nanos = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().subsec_nanos();
    wait / 2 + wait.mul_f64(f64::from(nanos % 1000) / 2000.0)
}
