//! Browsers that are signed in.
//!
//! The cookie is a random value; the table keeps its hash, whose it is and until when. At most
//! [`MAX_SIGNED_IN`] browsers are kept: one more pushes out the one that would expire first. A restart signs
//! everyone out.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::secret::{NoRandomness, Secret, SecretHash};
use super::{Holder, Role};

/// How long a sign-in lasts.
pub const SIGN_IN_LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);

/// How many browsers can be signed in at a time.
pub const MAX_SIGNED_IN: usize = 4096;

#[derive(Debug)]
struct SignedIn {
    hash: SecretHash,
    who: Holder,
    role: Role,
    expires: Instant,
}

/// Every browser that is signed in, in the order in which they expire.
#[derive(Debug)]
pub struct SignIns {
    /// The cookie's name. Browsers send a cookie to every port of a host: by the port in its name, one server does not
    /// overwrite another's.
    cookie: String,
    /// Guards the table; never held across an await.
    table: Mutex<Vec<SignedIn>>,
}

impl Default for SignIns {
    /// Where no browser comes.
    fn default() -> SignIns {
        SignIns::of_port(0)
    }
}

impl SignIns {
    /// Nobody is signed in yet at the server of this port.
    pub fn of_port(port: u16) -> SignIns {
        SignIns { cookie: format!("meshtrail-{port}"), table: Mutex::default() }
    }

    /// The `Set-Cookie` value that signs a browser in.
    pub fn set_cookie(&self, secret: &Secret) -> String {
        let (name, seconds) = (&self.cookie, SIGN_IN_LIFETIME.as_secs());
        format!("{name}={}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}", secret.reveal())
    }

    /// The `Set-Cookie` value that takes the cookie away.
    pub fn clear_cookie(&self) -> String {
        format!("{}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0", self.cookie)
    }

    /// The cookie's value in a request's headers.
    pub fn cookie_of(&self, headers: &http::HeaderMap) -> Option<Secret> {
        headers
            .get_all(http::header::COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .find(|(name, value)| *name == self.cookie && !value.is_empty())
            .map(|(_, value)| Secret::presented(value))
    }

    /// Signs a browser in and returns the cookie's value.
    pub fn open(&self, who: Holder, role: Role, now: Instant) -> Result<Secret, NoRandomness> {
        let secret = Secret::plain()?;
        let mut table = self.lock();
        table.retain(|entry| entry.expires > now);
        if table.len() >= MAX_SIGNED_IN {
            table.remove(0);
        }
        table.push(SignedIn { hash: secret.hash(), who, role, expires: now + SIGN_IN_LIFETIME });
        Ok(secret)
    }

    /// Whose cookie this is, unless it expired.
    pub fn find(&self, secret: &Secret, now: Instant) -> Option<(Holder, Role)> {
        let hash = secret.hash();
        let table = self.lock();
        let entry = table.iter().find(|entry| entry.hash == hash)?;
        (entry.expires > now).then(|| (entry.who.clone(), entry.role))
    }

    /// Signs a browser out.
    pub fn close(&self, secret: &Secret) {
        let hash = secret.hash();
        self.lock().retain(|entry| entry.hash != hash);
    }

    /// Signs out every browser that came in with the token `id`.
    pub fn close_token(&self, id: &str) {
        self.lock().retain(|entry| !matches!(&entry.who, Holder::Token { id: held, .. } if held == id));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<SignedIn>> {
        self.table.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(id: &str) -> Holder {
        Holder::Token { id: id.to_owned(), name: id.to_owned() }
    }

    #[test]
    fn a_sign_in_ends_by_time_by_sign_out_and_with_its_token() {
        let (table, now) = (SignIns::default(), Instant::now());
        let local = table.open(Holder::Local, Role::Admin, now).unwrap();
        let one = table.open(token("t1"), Role::Viewer, now).unwrap();
        let two = table.open(token("t2"), Role::Viewer, now).unwrap();
        assert_eq!(table.find(&local, now), Some((Holder::Local, Role::Admin)));
        table.close_token("t1");
        assert_eq!(table.find(&one, now), None);
        table.close(&local);
        assert_eq!(table.find(&local, now), None);
        assert!(table.find(&two, now).is_some());
        assert_eq!(table.find(&two, now + SIGN_IN_LIFETIME), None);
    }

    #[test]
    fn the_cookie_is_found_among_others_and_not_another_ports() {
        let mut headers = http::HeaderMap::new();
        headers.append(http::header::COOKIE, "a=1; meshtrail-7411=; meshtrail-7412=abc".parse().unwrap());
        headers.append(http::header::COOKIE, "b=2; meshtrail-7411=xyz; c=3".parse().unwrap());
        let (one, other) = (SignIns::of_port(7411), SignIns::of_port(7412));
        assert_eq!(one.cookie_of(&headers).unwrap().reveal(), "xyz");
        assert_eq!(other.cookie_of(&headers).unwrap().reveal(), "abc");
        assert!(one.set_cookie(&Secret::presented("xyz")).starts_with("meshtrail-7411=xyz; "));
    }
}
