//! A store in an S3 bucket.
//!
//! - `put_new` is one conditional PUT. If its answer was lost and the retry is refused, the stored object is compared.
//! - On a bucket with versions, keys that are written once are read at their oldest version.
//! - If the bucket has Object Lock, each PUT has the policy's retention in its signed headers.
//!
//! Requests have timeouts and a few retries with jitter.

mod connection;
mod facts;
mod foreign;
mod versions;

pub use foreign::{ForeignBucket, ForeignError, ForeignObject};

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, Checksum};
use object_store::path::Path;
use object_store::{
    BackoffConfig, ClientConfigKey, ClientOptions, Error, GetOptions, ObjectStore, ObjectStoreExt,
};
use object_store::{PutMode, PutOptions, RetryConfig};

use self::connection::{Attempts, Connection, ResigningConnector, RetentionHeaders};
use self::facts::BucketFacts;
use self::versions::{KeyMatch, Version, VersionKind};
use super::error::{GetError, PutError, StoreError};
use super::{
    Entry, Key, Lifetime, StoreFacts, StoreLocation, Tampering, TamperingKind, Versioning, WritePolicy,
    is_replaceable_name,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Long enough for a segment over a slow connection.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// For requests without an object.
const CONTROL_TIMEOUT: Duration = Duration::from_secs(15);
/// No retry begins later than this after the first attempt.
const RETRY_WITHIN: Duration = Duration::from_secs(45);
const RETRIES: usize = 5;
/// First versions that are cached; beyond it they are queried again.
const MAX_FIRST_VERSIONS: usize = 65_536;

#[derive(Debug)]
pub(super) struct Bucket {
    name: String,
    client: AmazonS3,
    connection: Connection,
    prefix: String,
    policy: WritePolicy,
    facts: BucketFacts,
    /// The first version by key. It never changes: an older one can't appear.
    first_versions: Mutex<HashMap<Key, String>>,
}

impl Bucket {
    /// Opens a bucket with `settings`, such as `AmazonS3Builder::from_env()`.
    pub(super) async fn open(
        settings: AmazonS3Builder,
        bucket: &str,
        prefix: &str,
        policy: &WritePolicy,
    ) -> Result<Self, StoreError> {
        // The process may have installed a provider already, which is then used.
        if rustls::crypto::CryptoProvider::get_default().is_none()
            && rustls::crypto::ring::default_provider().install_default().is_err()
        {
            tracing::debug!("another TLS provider was installed meanwhile");
        }
        let location = StoreLocation::Bucket { bucket: bucket.to_owned(), prefix: prefix.to_owned() };
        let name = location.to_string();
        let unusable = |source: Error| StoreError::Settings { store: name.clone(), source: Box::new(source) };
        let builder = settings.with_bucket_name(bucket);
        let options = client_options(&builder);
        let endpoint = bucket_endpoint(&builder, bucket);
        if endpoint.starts_with("http://") && !allows_http(&builder) {
            return Err(StoreError::PlainHttp { endpoint });
        }
        let region =
            builder.get_config_value(&AmazonS3ConfigKey::Region).unwrap_or_else(|| String::from("us-east-1"));
        let resigning = ResigningConnector::new(region.clone());
        let client = builder
            .with_http_connector(resigning.clone())
            .with_client_options(options.clone())
            .with_retry(retries())
            .with_checksum_algorithm(Checksum::SHA256)
            .build()
            .map_err(unusable)?;
        resigning.use_credentials(client.credentials().clone());
        let connection =
            resigning.connection(endpoint, &options.with_timeout(CONTROL_TIMEOUT)).map_err(unusable)?;
        let facts = facts::query_facts(&connection)
            .await
            .map_err(|error| error.into_store_error("read", "the settings of the bucket", &name))?;
        Ok(Self {
            name,
            client,
            connection,
            prefix: prefix.to_owned(),
            policy: policy.clone(),
            facts,
            first_versions: Mutex::default(),
        })
    }

    pub(super) fn facts(&self, location: StoreLocation) -> StoreFacts {
        StoreFacts { location, versioning: self.facts.versioning, object_lock: self.facts.object_lock }
    }

    pub(super) async fn put_new(&self, key: &Key, bytes: Bytes, keep: Lifetime) -> Result<(), PutError> {
        let attempts = Attempts::default();
        let mut options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        options.extensions.insert(attempts.clone());
        if keep == Lifetime::Retained
            && self.facts.can_lock()
            && let Some(retention) = self.policy.retention
        {
            options.extensions.insert(RetentionHeaders::from_now(retention));
        }
        let put = self.client.put_opts(&self.path(key), bytes.clone().into(), options).await;
        match put {
            Ok(written) => self.check_first(key, written.version).await,
            Err(Error::AlreadyExists { .. }) if attempts.count() > 1 => self.settle(key, &bytes).await,
            Err(Error::AlreadyExists { .. }) => Err(PutError::Exists { key: key.clone() }),
            Err(error) => Err(self.failed("write", key.as_str(), error).into()),
        }
    }

    /// Resolves a lost answer: the object is ours if it has our bytes.
    async fn settle(&self, key: &Key, bytes: &Bytes) -> Result<(), PutError> {
        match self.get(key).await {
            Ok(found) if found == bytes => Ok(()),
            Ok(_) | Err(GetError::Missing { .. } | GetError::Short { .. }) => {
                Err(PutError::Exists { key: key.clone() })
            }
            Err(GetError::Store(error)) => Err(error.into()),
        }
    }

    /// Checks that what was just written is the oldest version: a put-if-absent succeeds over a delete marker.
    async fn check_first(&self, key: &Key, written: Option<String>) -> Result<(), PutError> {
        if self.facts.versioning == Versioning::Off {
            return Ok(());
        }
        let first = self.first_version(key).await?;
        match (first, written) {
            (Some(first), Some(written)) if first.id != written => {
                Err(PutError::Shadowed { key: key.clone() })
            }
            _ => Ok(()),
        }
    }

    pub(super) async fn replace(&self, key: &Key, bytes: Bytes) -> Result<(), StoreError> {
        let put = self.client.put(&self.path(key), bytes.into()).await;
        put.map(|_| ()).map_err(|error| self.failed("write", key.as_str(), error))
    }

    pub(super) async fn get(&self, key: &Key) -> Result<Bytes, GetError> {
        let options = GetOptions { version: self.counting_version(key).await?, ..GetOptions::default() };
        let got = self.client.get_opts(&self.path(key), options).await;
        let got = got.map_err(|error| self.get_failed(key, error))?;
        got.bytes().await.map_err(|error| self.get_failed(key, error))
    }

    pub(super) async fn size(&self, key: &Key) -> Result<u64, GetError> {
        let version = self.counting_version(key).await?;
        let options = GetOptions { version, head: true, ..GetOptions::default() };
        let got = self.client.get_opts(&self.path(key), options).await;
        Ok(got.map_err(|error| self.get_failed(key, error))?.meta.size)
    }

    pub(super) async fn get_ranges(&self, key: &Key, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, GetError> {
        let version = self.counting_version(key).await?;
        let parts = object_store::coalesce_ranges(
            ranges,
            |range| self.get_one_range(key, version.clone(), range),
            object_store::OBJECT_STORE_COALESCE_DEFAULT,
        );
        parts.await
    }

    async fn get_one_range(
        &self,
        key: &Key,
        version: Option<String>,
        range: Range<u64>,
    ) -> Result<Bytes, GetError> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let options = GetOptions { version, range: Some(range.clone().into()), ..GetOptions::default() };
        let got = self.client.get_opts(&self.path(key), options).await;
        let got = match got {
            Ok(got) => got,
            Err(error) => {
                // Buckets report a range past the end in different ways; the size decides.
                let size = self.size(key).await?;
                if size < range.end {
                    return Err(GetError::Short { key: key.clone(), size, end: range.end });
                }
                return Err(self.get_failed(key, error));
            }
        };
        let size = got.meta.size;
        let bytes = got.bytes().await.map_err(|error| self.get_failed(key, error))?;
        if bytes.len() as u64 != range.end - range.start {
            return Err(GetError::Short { key: key.clone(), size, end: range.end });
        }
        Ok(bytes)
    }

    pub(super) async fn list(&self, prefix: &Key) -> Result<Vec<Entry>, StoreError> {
        if self.facts.versioning != Versioning::Off {
            return self.list_first_versions(prefix).await;
        }
        let below = self.path(prefix);
        let listed: Result<Vec<_>, Error> = self.client.list(Some(&below)).try_collect().await;
        let listed = listed.map_err(|error| self.failed("list", prefix.as_str(), error))?;
        let entries = listed
            .into_iter()
            .filter_map(|meta| Some(Entry { key: self.key_of(meta.location.as_ref())?, size: meta.size }));
        let mut entries: Vec<Entry> = entries.collect();
        entries.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(entries)
    }

    /// Lists first versions, including those that a delete marker hides from a plain listing.
    async fn list_first_versions(&self, prefix: &Key) -> Result<Vec<Entry>, StoreError> {
        let listed = self.versions(&format!("{}/", self.full(prefix.as_str())), KeyMatch::Prefix).await?;
        let mut entries: Vec<Entry> = Vec::new();
        for version in listed {
            let VersionKind::Contents { size } = version.kind else { continue };
            let Some(key) = self.key_of(&version.key) else { continue };
            match entries.last_mut() {
                // The newest comes first: a later line is an older version.
                Some(last) if last.key == key && key.is_replaceable() => {}
                Some(last) if last.key == key => last.size = size,
                _ => entries.push(Entry { key, size }),
            }
        }
        entries.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(entries)
    }

    pub(super) async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        if self.facts.versioning == Versioning::Off {
            return match self.client.delete(&self.path(key)).await {
                Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(self.failed("delete", key.as_str(), error)),
            };
        }
        // A plain delete would add a delete marker, which looks like tampering.
        for version in self.versions(&self.full(key.as_str()), KeyMatch::Exact).await? {
            let deleted = self.connection.delete_version(&version.key, &version.id).await;
            deleted.map_err(|error| match error.is_locked() {
                true => StoreError::Locked { key: key.clone(), store: self.name.clone() },
                false => error.into_store_error("delete", key.as_str(), &self.name),
            })?;
        }
        self.first_versions.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
        Ok(())
    }

    pub(super) async fn audit(&self, prefix: &Key) -> Result<Vec<Tampering>, StoreError> {
        if self.facts.versioning == Versioning::Off {
            return Ok(Vec::new());
        }
        let listed = self.versions(&format!("{}/", self.full(prefix.as_str())), KeyMatch::Prefix).await?;
        Ok(listed.chunk_by(|a, b| a.key == b.key).flat_map(|versions| self.tampering(versions)).collect())
    }

    fn tampering(&self, versions: &[Version]) -> Vec<Tampering> {
        let is_contents = |version: &Version| matches!(version.kind, VersionKind::Contents { .. });
        let replaceable = versions[0].key.rsplit('/').next().is_some_and(is_replaceable_name);
        let first = versions.iter().rposition(is_contents).unwrap_or(versions.len());
        let later = versions[..first].iter().filter_map(|version| {
            let what = match version.kind {
                VersionKind::Marker => TamperingKind::DeleteMarker,
                VersionKind::Contents { .. } if replaceable => return None,
                VersionKind::Contents { .. } => TamperingKind::LaterVersion,
            };
            let key = self.key_of(&version.key).map_or_else(|| version.key.clone(), |key| key.to_string());
            Some(Tampering { key, what, version: version.id.clone(), at: version.at.clone() })
        });
        later.collect()
    }

    /// The version to read; none on a bucket without versions, and for keys that may be replaced.
    async fn counting_version(&self, key: &Key) -> Result<Option<String>, GetError> {
        if self.facts.versioning == Versioning::Off || key.is_replaceable() {
            return Ok(None);
        }
        let known = self.first_versions.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned();
        if known.is_some() {
            return Ok(known);
        }
        match self.first_version(key).await? {
            Some(first) => Ok(Some(first.id)),
            None => Err(GetError::Missing { key: key.clone(), store: self.name.clone() }),
        }
    }

    async fn first_version(&self, key: &Key) -> Result<Option<Version>, StoreError> {
        let versions = self.versions(&self.full(key.as_str()), KeyMatch::Exact).await?;
        let contents = |version: &Version| matches!(version.kind, VersionKind::Contents { .. });
        let first = versions.into_iter().rfind(contents);
        if let Some(first) = &first {
            let mut known = self.first_versions.lock().unwrap_or_else(PoisonError::into_inner);
            if known.len() >= MAX_FIRST_VERSIONS {
                known.clear();
            }
            known.insert(key.clone(), first.id.clone());
        }
        Ok(first)
    }

    async fn versions(&self, prefix: &str, which: KeyMatch) -> Result<Vec<Version>, StoreError> {
        let listed = self.connection.versions(prefix, which).await;
        listed.map_err(|error| error.into_store_error("list versions of", prefix, &self.name))
    }

    fn full(&self, key: &str) -> String {
        if self.prefix.is_empty() { key.to_owned() } else { format!("{}/{key}", self.prefix) }
    }

    fn path(&self, key: &Key) -> Path {
        Path::from(self.full(key.as_str()))
    }

    fn key_of(&self, full: &str) -> Option<Key> {
        let rest =
            if self.prefix.is_empty() { full } else { full.strip_prefix(&self.prefix)?.strip_prefix('/')? };
        Key::new(rest).ok()
    }

    fn failed(&self, doing: &'static str, key: &str, error: Error) -> StoreError {
        let hint = match &error {
            Error::PermissionDenied { .. } => "these credentials may not do that; check the bucket's policy",
            Error::Unauthenticated { .. } => {
                "the bucket refused the credentials; check AWS_ACCESS_KEY_ID and the rest"
            }
            Error::NotFound { .. } => "check that the bucket exists and that its name is right",
            _ => {
                "the bucket did not answer in time or failed, retries included; check AWS_ENDPOINT_URL and the network"
            }
        };
        StoreError::Failed {
            doing,
            key: key.to_owned(),
            store: self.name.clone(),
            hint,
            source: Box::new(error),
        }
    }

    fn get_failed(&self, key: &Key, error: Error) -> GetError {
        match error {
            Error::NotFound { .. } => GetError::Missing { key: key.clone(), store: self.name.clone() },
            error => self.failed("read", key.as_str(), error).into(),
        }
    }
}

fn allows_http(builder: &AmazonS3Builder) -> bool {
    let allows = builder.get_config_value(&AmazonS3ConfigKey::Client(ClientConfigKey::AllowHttp));
    allows.is_some_and(|value| value == "true" || value == "1")
}

fn client_options(builder: &AmazonS3Builder) -> ClientOptions {
    ClientOptions::new()
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_timeout(REQUEST_TIMEOUT)
        .with_allow_http(allows_http(builder))
}

fn retries() -> RetryConfig {
    RetryConfig { backoff: BackoffConfig::default(), max_retries: RETRIES, retry_timeout: RETRY_WITHIN }
}

/// The endpoint of the client's requests for this bucket.
fn bucket_endpoint(builder: &AmazonS3Builder, bucket: &str) -> String {
    let value = |key| builder.get_config_value(&key);
    let virtual_hosted = value(AmazonS3ConfigKey::VirtualHostedStyleRequest).is_some_and(|v| v == "true");
    let region = value(AmazonS3ConfigKey::Region).unwrap_or_else(|| String::from("us-east-1"));
    let endpoint = value(AmazonS3ConfigKey::S3Endpoint).or_else(|| value(AmazonS3ConfigKey::Endpoint));
    match (endpoint, virtual_hosted) {
        (Some(endpoint), true) => endpoint.trim_end_matches('/').to_owned(),
        (Some(endpoint), false) => format!("{}/{bucket}", endpoint.trim_end_matches('/')),
        (None, true) => format!("https://{bucket}.s3.{region}.amazonaws.com"),
        (None, false) => format!("https://s3.{region}.amazonaws.com/{bucket}"),
    }
}
