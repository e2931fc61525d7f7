//! The secret that a sender has to know, read anew when its file changes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::config::{Secret, SecretError, SecretPlace};

/// How long a secret that was read is taken for the one in its file.
const FRESH: Duration = Duration::from_secs(5);

/// A sender's secret; cheap to clone.
#[derive(Clone)]
pub(crate) struct Token(Arc<Inner>);

struct Inner {
    place: SecretPlace,
    /// The last one read, and when.
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

    /// Whether `given` is the secret; how much of it is right does not show in the time this takes.
    pub(crate) fn is(&self, given: &str) -> bool {
        let (given, own) = (Sha256::digest(given), Sha256::digest(self.secret().reveal()));
        given.as_slice().ct_eq(own.as_slice()).into()
    }

    /// The secret as it is now; the last one that could be read while its file can't be.
    pub(crate) fn secret(&self) -> Secret {
        let mut read = self.0.read.lock().unwrap_or_else(PoisonError::into_inner);
        if read.1.elapsed() > FRESH {
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
