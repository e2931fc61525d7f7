//! The location of a store: a folder, or a bucket with a prefix.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::error::LocationError;

/// A store's location, written `DIR` or `s3://bucket/prefix`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreLocation {
    /// A local folder.
    Folder(PathBuf),
    /// A bucket; credentials and endpoint come from the `AWS_*` environment.
    Bucket {
        /// The bucket's name.
        bucket: String,
        /// The prefix of every key, without slashes at either end; may be empty.
        prefix: String,
    },
}

impl FromStr for StoreLocation {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, LocationError> {
        if let Some(rest) = text.strip_prefix("s3://") {
            return bucket(text, rest);
        }
        if let Some((scheme, _)) = text.split_once("://") {
            return Err(LocationError::Scheme { scheme: scheme.chars().take(32).collect() });
        }
        if text.is_empty() {
            return Err(LocationError::Empty);
        }
        Ok(Self::Folder(PathBuf::from(text)))
    }
}

fn bucket(text: &str, rest: &str) -> Result<StoreLocation, LocationError> {
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let named = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    if bucket.is_empty() || !bucket.bytes().all(named) {
        return Err(LocationError::Bucket { location: text.chars().take(200).collect() });
    }
    let prefix = prefix.trim_matches('/');
    if !prefix.is_empty() {
        super::Key::new(prefix).map_err(|source| LocationError::Prefix { source })?;
    }
    Ok(StoreLocation::Bucket { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
}

impl fmt::Display for StoreLocation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => write!(out, "{}", path.display()),
            Self::Bucket { bucket, prefix } if prefix.is_empty() => write!(out, "s3://{bucket}"),
            Self::Bucket { bucket, prefix } => write!(out, "s3://{bucket}/{prefix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_reads_back_as_it_was_written() {
        for text in ["./meshtrail-data", "/var/lib/meshtrail", "s3://audit", "s3://audit/mesh/eu"] {
            assert_eq!(text.parse::<StoreLocation>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn other_schemes_and_nameless_buckets_are_refused() {
        for text in ["gs://audit", "s3://", "s3:///prefix", "", "s3://audit/../other"] {
            assert!(text.parse::<StoreLocation>().is_err(), "{text}");
        }
    }
}
