//! One-time sign-in links for whoever can read this machine's terminal.
//!
//! A link works once, for fifteen minutes, from a loopback address. At most 16 wait at a time; a
//! new one pushes the oldest out. None survives a restart.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::secret::{NoRandomness, Secret, SecretHash};

/// How long a link can be used.
pub const LINK_LIFETIME: Duration = Duration::from_secs(15 * 60);

const MAX_LINKS: usize = 16;

/// The links that have not been used yet.
#[derive(Debug, Default)]
pub struct Links {
    /// Guards the open links, oldest first; never held across an await.
    open: Mutex<Vec<(SecretHash, Instant)>>,
}

impl Links {
    /// Makes a link that is good until [`LINK_LIFETIME`] after `now`.
    pub fn make(&self, now: Instant) -> Result<Secret, NoRandomness> {
        let secret = Secret::plain()?;
        let mut open = self.lock();
        open.retain(|(_, expires)| *expires > now);
        if open.len() >= MAX_LINKS {
            open.remove(0);
        }
        open.push((secret.hash(), now + LINK_LIFETIME));
        Ok(secret)
    }

    /// Uses a link up; true when it was open.
    pub fn redeem(&self, secret: &Secret, now: Instant) -> bool {
        let hash = secret.hash();
        let mut open = self.lock();
        open.retain(|(_, expires)| *expires > now);
        let before = open.len();
        open.retain(|(kept, _)| *kept != hash);
        open.len() < before
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(SecretHash, Instant)>> {
        self.open.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_works_once_and_not_after_fifteen_minutes() {
        let (links, now) = (Links::default(), Instant::now());
        let link = links.make(now).unwrap();
        assert!(!links.redeem(&Secret::presented("guess"), now));
        assert!(links.redeem(&link, now));
        assert!(!links.redeem(&link, now));
        let late = links.make(now).unwrap();
        assert!(!links.redeem(&late, now + LINK_LIFETIME));
    }

    #[test]
    fn links_that_nobody_uses_do_not_pile_up() {
        let (links, now) = (Links::default(), Instant::now());
        let first = links.make(now).unwrap();
        for _ in 0..MAX_LINKS {
            links.make(now).unwrap();
        }
        assert!(!links.redeem(&first, now));
        assert_eq!(links.lock().len(), MAX_LINKS);
    }
}
