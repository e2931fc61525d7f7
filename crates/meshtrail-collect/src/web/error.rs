//! Errors of HTTP requests.

use std::path::PathBuf;
use std::time::Duration;

/// Why there is no complete response from an API.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WebError {
    #[error(
        "no certificate authorities were found on this machine, which https needs; install ca-certificates, or set SSL_CERT_FILE"
    )]
    Client { source: reqwest::Error },
    #[error("the certificates in {} can't be used: {reason}", path.display())]
    Certificates { path: PathBuf, reason: String },
    #[error("{host} can't be reached: {}", innermost(source))]
    Unreachable { host: String, source: reqwest::Error },
    #[error("the certificate of {host} is not trusted ({}): {advice}", innermost(source))]
    Untrusted { host: String, advice: String, source: reqwest::Error },
    #[error("{host} went silent in the middle of an answer, or before it")]
    Silent { host: String, source: reqwest::Error },
    #[error("{host} did not finish its answer within {} s", waited.as_secs())]
    Slow { host: String, waited: Duration },
    #[error("the answer of {host} broke off: {}", innermost(source))]
    Broken { host: String, source: reqwest::Error },
    #[error("the answer of {host} is longer than {most} bytes")]
    TooLarge { host: String, most: usize },
}

/// The innermost cause: the layers above it only repeat that something failed.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
