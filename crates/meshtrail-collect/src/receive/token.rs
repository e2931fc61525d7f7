//! The secret that a receiver's senders present; it is read again when its file changes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::config::{Secret, SecretError, SecretPlace};

/// The secret is read again if it was read longer ago than this.
const REREAD_AFTER: Duration = Duration::from_secs(5);

/// A receiver's secret; cheap to clone.
#[derive(Clone)]
pub(crate) struct Token(Arc<Inner>);

struct Inner {
    place: SecretPlace,
    /// The last secret that could be read, and the time of the last attempt.
    read: Mutex<(Secret, Instant)>,
}

impl Token {
    pub(crate) fn open(place: SecretPlace) -> Result<Self, SecretError> {
        if let Some(exposure) = place.exposure() {
            tracing::warn!("{exposure}");
        }
        let read = Mutex::new((place.read()?, Instant::now()));
        Ok(Self(Arc::new(Inner { place, read })))
    }

    /// Whether `candidate` is the secret, in constant time.
    pub(crate) fn matches(&self, candidate: &str) -> bool {
        let (candidate, own) = (Sha256::digest(candidate), Sha256::digest(self.secret().reveal()));
        candidate.as_slice().ct_eq(own.as_slice()).into()
    }

    /// The current secret; while its file can't be read, the last one.
    pub(crate) fn secret(&self) -> Secret {
        let mut read = self.0.read.lock().unwrap_or_else(PoisonError::into_inner);
        if read.1.elapsed() > REREAD_AFTER {
            match self.0.place.read() {
                Ok(secret) => *read = (secret, Instant::now()),
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "a receiver's secret can't be read anew"
                    );
                    read.1 = Instant::now();
                }
            }
        }
        read.0.clone()
    }
}
