//! A bucket's configuration: versions and Object Lock.

use http::Method;
use serde::Deserialize;

use super::connection::{Connection, RequestError};
use crate::store::{ObjectLock, Versioning};

#[derive(Debug, Clone, Copy)]
pub(super) struct BucketFacts {
    pub(super) versioning: Versioning,
    pub(super) object_lock: ObjectLock,
}

impl BucketFacts {
    pub(super) fn can_lock(self) -> bool {
        matches!(self.object_lock, ObjectLock::On { .. })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct VersioningAnswer {
    status: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct LockAnswer {
    object_lock_enabled: Option<String>,
    rule: Option<LockRule>,
}

#[derive(Deserialize)]
struct LockRule {}

pub(super) async fn query_facts(connection: &Connection) -> Result<BucketFacts, RequestError> {
    let versioning = match query_config::<VersioningAnswer>(connection, "versioning").await? {
        Some(VersioningAnswer { status: Some(status) }) if status == "Enabled" => Versioning::On,
        Some(VersioningAnswer { status: Some(_) }) => Versioning::Suspended,
        _ => Versioning::Off,
    };
    let object_lock = match query_config::<LockAnswer>(connection, "object-lock").await? {
        Some(LockAnswer { object_lock_enabled: Some(enabled), rule }) if enabled == "Enabled" => {
            ObjectLock::On { has_default: rule.is_some() }
        }
        _ => ObjectLock::Off,
    };
    Ok(BucketFacts { versioning, object_lock })
}

/// Reads the bucket's configuration `name`; none if it has no such configuration.
async fn query_config<T: for<'de> Deserialize<'de>>(
    connection: &Connection,
    name: &str,
) -> Result<Option<T>, RequestError> {
    // With an empty value, because signatures are computed over `name=`.
    let body = match connection.request(Method::GET, "", &format!("{name}=")).await {
        Ok(body) => body,
        Err(error) if error.is_absent_feature() => return Ok(None),
        Err(error) => return Err(error),
    };
    quick_xml::de::from_reader(&body[..]).map(Some).map_err(|error| RequestError::Xml(Box::new(error)))
}
