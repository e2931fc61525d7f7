//! A bucket of another program: its objects are listed and read under any names, and nothing is written.

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use meshtrail_event::Timestamp;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt};

use super::super::StoreLocation;
use super::super::error::{LocationError, StoreError};
use super::{allows_http, bucket_endpoint, client_options, retries};

/// Another program's bucket, below a prefix.
#[derive(Debug, Clone)]
pub struct ForeignBucket {
    client: AmazonS3,
    name: String,
    prefix: Option<Path>,
}

/// An object in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignObject {
    /// Its whole key.
    pub key: String,
    /// Its length in bytes.
    pub size: u64,
    /// When it was last modified.
    pub modified: Option<Timestamp>,
}

/// Why a bucket can't be read.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ForeignError {
    #[error("{text:?} is no place such as s3://bucket/prefix")]
    Place { text: String, source: Option<LocationError> },
    #[error(transparent)]
    Settings(#[from] StoreError),
    #[error("failed to read {what} of {bucket}")]
    Read { bucket: String, what: String, source: Box<dyn std::error::Error + Send + Sync> },
}

impl ForeignBucket {
    /// The bucket at `s3://bucket/prefix`; credentials and endpoint come from the `AWS_*` environment.
    pub fn open(text: &str) -> Result<ForeignBucket, ForeignError> {
        let place = |source| ForeignError::Place { text: text.chars().take(200).collect(), source };
        let rest = text.strip_prefix("s3://").ok_or_else(|| place(None))?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_matches('/');
        // The bucket's name has the same form everywhere; a foreign prefix may have any form.
        let named = format!("s3://{bucket}").parse::<StoreLocation>();
        named.map(drop).map_err(|source| place(Some(source)))?;
        let builder = AmazonS3Builder::from_env().with_bucket_name(bucket);
        let endpoint = bucket_endpoint(&builder, bucket);
        if endpoint.starts_with("http://") && !allows_http(&builder) {
            return Err(StoreError::PlainHttp { endpoint }.into());
        }
        let options = client_options(&builder);
        let client = builder.with_client_options(options).with_retry(retries()).build();
        let unusable =
            |source: Error| StoreError::Settings { store: text.to_owned(), source: Box::new(source) };
        let prefix = (!prefix.is_empty()).then(|| Path::from(prefix));
        Ok(ForeignBucket { client: client.map_err(unusable)?, name: format!("s3://{bucket}"), prefix })
    }

    /// `s3://bucket`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Lists every object below the prefix, by key.
    pub fn list(&self) -> BoxStream<'_, Result<ForeignObject, ForeignError>> {
        let listed = self.client.list(self.prefix.as_ref());
        let objects = listed.map_ok(|meta| ForeignObject {
            key: meta.location.to_string(),
            size: meta.size,
            modified: Timestamp::from_seconds(meta.last_modified.timestamp()),
        });
        objects.map_err(|error| self.failed("the list of objects", error)).boxed()
    }

    /// Streams an object's bytes.
    pub async fn read(
        &self,
        key: &str,
    ) -> Result<BoxStream<'static, Result<Bytes, ForeignError>>, ForeignError> {
        let path = Path::parse(key).map_err(|error| self.failed(key, error.into()))?;
        let found = self.client.get(&path).await.map_err(|error| self.failed(key, error))?;
        let (bucket, key) = (self.clone(), key.to_owned());
        Ok(found.into_stream().map_err(move |error| bucket.failed(&key, error)).boxed())
    }

    fn failed(&self, what: &str, source: Error) -> ForeignError {
        ForeignError::Read { bucket: self.name.clone(), what: what.to_owned(), source: Box::new(source) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_bucket_is_said_to_be_none() {
        for text in ["", "recordings", "http://x/y", "s3://", "s3:///x", "s3://a b/x"] {
            assert!(matches!(ForeignBucket::open(text), Err(ForeignError::Place { .. })), "{text}");
        }
    }
}
