//! One-time sign-in links, for people who can read this machine's terminal.
//!
//! A link works once, for fifteen minutes, from a loopback address. At most 16 are unused at a time; a
//! new one evicts the oldest. None survives a restart.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::secret::{NoRandomness, Secret, SecretHash};

pub const LINK_LIFETIME: Duration = Duration::from_secs(15 * 60);

const MAX_LINKS: usize = 16;

/// The unused links.
#[derive(Debug, Default)]
pub struct SignInLinks {
    /// Guards the unused links and their expiry, oldest first; never held across an await.
    unused: Mutex<Vec<(SecretHash, Instant)>>,
}

impl SignInLinks {
    /// Issues a link that expires [`LINK_LIFETIME`] after `now`.
    pub fn issue(&self, now: Instant) -> Result<Secret, NoRandomness> {
        let secret = Secret::random()?;
        let mut unused = self.lock();
        unused.retain(|(_, expires)| *expires > now);
        if unused.len() >= MAX_LINKS {
            unused.remove(0);
        }
        unused.push((secret.hash(), now + LINK_LIFETIME));
        Ok(secret)
    }

    /// Redeems a link; true if it was unused and has not expired.
    pub fn redeem(&self, secret: &Secret, now: Instant) -> bool {
        let hash = secret.hash();
        let mut unused = self.lock();
        unused.retain(|(_, expires)| *expires > now);
        let before = unused.len();
        unused.retain(|(other, _)| *other != hash);
        unused.len() < before
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(SecretHash, Instant)>> {
        self.unused.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_works_once_and_not_after_fifteen_minutes() {
        let (links, now) = (SignInLinks::default(), Instant::now());
        let link = links.issue(now).unwrap();
        assert!(!links.redeem(&Secret::from_text("guess"), now));
        assert!(links.redeem(&link, now));
        assert!(!links.redeem(&link, now));
        let late = links.issue(now).unwrap();
        assert!(!links.redeem(&late, now + LINK_LIFETIME));
    }

    #[test]
    fn links_that_nobody_uses_do_not_pile_up() {
        let (links, now) = (SignInLinks::default(), Instant::now());
        let first = links.issue(now).unwrap();
        for _ in 0..MAX_LINKS {
            links.issue(now).unwrap();
        }
        assert!(!links.redeem(&first, now));
        assert_eq!(links.lock().len(), MAX_LINKS);
    }
}
