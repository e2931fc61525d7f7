//! The table of signed-in browsers.
//!
//! The cookie is a random value; the table holds its hash, its principal and role, and when it expires. At most
//! [`MAX_SIGN_INS`] browsers are signed in: one more evicts the one that would expire first. A restart signs
//! everyone out.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::secret::{NoRandomness, Secret, SecretHash};
use super::{Principal, Role};

pub const SIGN_IN_LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);

pub const MAX_SIGN_INS: usize = 4096;

#[derive(Debug)]
struct SignIn {
    hash: SecretHash,
    who: Principal,
    role: Role,
    expires: Instant,
}

/// Every signed-in browser, in order of expiry.
#[derive(Debug)]
pub struct SignIns {
    /// The cookie's name. Browsers send a cookie to every port of a host: with the port in its name, one server does
    /// not overwrite another's.
    cookie: String,
    /// Guards the table; never held across an await.
    table: Mutex<Vec<SignIn>>,
}

impl Default for SignIns {
    /// A table for a process that serves no browser.
    fn default() -> SignIns {
        SignIns::for_port(0)
    }
}

impl SignIns {
    /// An empty table for the server on this port.
    pub fn for_port(port: u16) -> SignIns {
        SignIns { cookie: format!("meshtrail-{port}"), table: Mutex::default() }
    }

    /// The `Set-Cookie` value that signs a browser in.
    pub fn set_cookie(&self, secret: &Secret) -> String {
        let (name, seconds) = (&self.cookie, SIGN_IN_LIFETIME.as_secs());
        format!("{name}={}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}", secret.reveal())
    }

    /// The `Set-Cookie` value that removes the cookie.
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
            .map(|(_, value)| Secret::from_text(value))
    }

    /// Signs a browser in and returns the cookie's value.
    pub fn open(&self, who: Principal, role: Role, now: Instant) -> Result<Secret, NoRandomness> {
        let secret = Secret::random()?;
        let mut table = self.lock();
        table.retain(|entry| entry.expires > now);
        if table.len() >= MAX_SIGN_INS {
            table.remove(0);
        }
        table.push(SignIn { hash: secret.hash(), who, role, expires: now + SIGN_IN_LIFETIME });
        Ok(secret)
    }

    /// The principal and role of a cookie, unless it has expired.
    pub fn find(&self, secret: &Secret, now: Instant) -> Option<(Principal, Role)> {
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

    /// Signs out every browser that signed in with the token `id`.
    pub fn close_token(&self, id: &str) {
        self.lock().retain(|entry| !matches!(&entry.who, Principal::Token { id: other, .. } if other == id));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<SignIn>> {
        self.table.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(id: &str) -> Principal {
        Principal::Token { id: id.to_owned(), name: id.to_owned() }
    }

    #[test]
    fn a_sign_in_ends_by_time_by_sign_out_and_with_its_token() {
        let (table, now) = (SignIns::default(), Instant::now());
        let local = table.open(Principal::Local, Role::Admin, now).unwrap();
        let one = table.open(token("t1"), Role::Viewer, now).unwrap();
        let two = table.open(token("t2"), Role::Viewer, now).unwrap();
        assert_eq!(table.find(&local, now), Some((Principal::Local, Role::Admin)));
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
        let (one, other) = (SignIns::for_port(7411), SignIns::for_port(7412));
        assert_eq!(one.cookie_of(&headers).unwrap().reveal(), "xyz");
        assert_eq!(other.cookie_of(&headers).unwrap().reveal(), "abc");
        assert!(one.set_cookie(&Secret::from_text("xyz")).starts_with("meshtrail-7411=xyz; "));
    }
}
