//! Why there is no answer.

use std::path::PathBuf;
use std::time::Duration;

/// Why there is no whole answer from an API.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WebError {
    /// There is nothing to check the other side's certificate with.
    #[error(
        "no certificate authorities were found on this machine, which https needs; install ca-certificates, or set SSL_CERT_FILE"
    )]
    Client {
        /// Why.
        source: reqwest::Error,
    },
    /// The named certificates can't be used.
    #[error("the certificates in {} can't be used: {reason}", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Nobody there, or nobody who can be trusted.
    #[error("{host} can't be reached: {}", innermost(source))]
    Unreachable {
        /// Whom.
        host: String,
        /// Why.
        source: reqwest::Error,
    },
    /// The other side's certificate is not one to trust.
    #[error("the certificate of {host} is not trusted ({}): {advice}", innermost(source))]
    Untrusted {
        /// Whose.
        host: String,
        /// What to do.
        advice: String,
        /// Why.
        source: reqwest::Error,
    },
    /// Nothing came for too long.
    #[error("{host} went silent in the middle of an answer, or before it")]
    Silent {
        /// Who.
        host: String,
        /// What was waited for.
        source: reqwest::Error,
    },
    /// It took too long as a whole.
    #[error("{host} did not finish its answer within {} s", waited.as_secs())]
    Slow {
        /// Who.
        host: String,
        /// How long.
        waited: Duration,
    },
    /// The answer broke off.
    #[error("the answer of {host} broke off: {}", innermost(source))]
    Broken {
        /// Whose.
        host: String,
        /// How.
        source: reqwest::Error,
    },
    /// The answer is longer than is read.
    #[error("the answer of {host} is longer than {most} bytes")]
    TooLarge {
        /// Whose.
        host: String,
        /// How much is read.
        most: usize,
    },
}

/// The cause that says most: layers above it only repeat that something failed.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
