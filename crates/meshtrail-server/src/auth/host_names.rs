//! The host names under which this server answers browsers, and the checks of `Host` and `Origin`.
//!
//! DNS rebinding: a web page elsewhere can point its own name at this server's address and let a visitor's
//! browser send requests. Such a request carries the foreign name in `Host` and is refused: browsers are
//! served only under an IP address, `localhost` and the names in the configuration. Requests with an API
//! token are served under any name, since no page can make a browser send one.

use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use http::{HeaderMap, Method, header};

/// The allowed names besides addresses and `localhost`.
#[derive(Debug, Clone, Default)]
pub struct HostNames(Vec<String>);

impl HostNames {
    /// Allows these names as well.
    pub fn new(names: impl IntoIterator<Item = String>) -> HostNames {
        HostNames(names.into_iter().map(|name| name.trim_end_matches('.').to_lowercase()).collect())
    }

    /// Whether a browser may use `host`, with or without a port.
    pub fn allows(&self, host: &str) -> bool {
        let bare = without_port(host).trim_end_matches('.').to_lowercase();
        bare == "localhost"
            || bare.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok()
            || self.0.contains(&bare)
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    }
}

/// The host a request was sent to: `Host`, or the authority of an HTTP/2 request.
pub fn host_of<'a>(headers: &'a HeaderMap, uri: &'a http::Uri) -> Option<&'a str> {
    match headers.get(header::HOST) {
        Some(value) => value.to_str().ok(),
        None => uri.authority().map(http::uri::Authority::as_str),
    }
}

/// Why a request's host is ambiguous; RFC 9112 requires that such a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AmbiguousHost {
    /// Proxies may have used another value than this server would.
    #[error("the request names its host twice")]
    Twice,
    /// HTTP/1.1 requires `Host`.
    #[error("a request of HTTP/1.1 must say which host it is for")]
    Missing,
}

/// Checks that a request names its host exactly once.
pub fn check_host<B>(request: &http::Request<B>) -> Result<(), AmbiguousHost> {
    let named = request.headers().get_all(header::HOST).iter().count();
    let by_network = request.extensions().get::<ConnectInfo<SocketAddr>>().is_some();
    match (named, request.version()) {
        (2.., _) => Err(AmbiguousHost::Twice),
        // A command that reads the store's files in this process sends requests without a host.
        (0, http::Version::HTTP_11) if by_network => Err(AmbiguousHost::Missing),
        _ => Ok(()),
    }
}

/// Why a browser's request is refused by its origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    #[error("this request comes from another site's page")]
    OtherSite,
    /// A request that changes something has no `Origin`; current browsers always send it.
    #[error("a request that changes something and rests on a cookie must carry the Origin header")]
    NoOrigin,
}

/// Checks that a request that changes something comes from this server's own pages.
pub fn check_origin(method: &Method, headers: &HeaderMap, host: &str) -> Result<(), OriginError> {
    if method.is_safe() {
        return Ok(());
    }
    let site = headers.get("sec-fetch-site").and_then(|value| value.to_str().ok());
    if site.is_some_and(|site| site != "same-origin" && site != "none") {
        return Err(OriginError::OtherSite);
    }
    let origin = headers.get(header::ORIGIN).ok_or(OriginError::NoOrigin)?;
    let is_own = origin
        .to_str()
        .ok()
        .and_then(|text| text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")))
        .is_some_and(|authority| authority.eq_ignore_ascii_case(host));
    if is_own { Ok(()) } else { Err(OriginError::OtherSite) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_localhost_and_configured_names_are_served_and_no_others() {
        let names = HostNames::new(["Audit.tail.example.".to_owned()]);
        for host in [
            "127.0.0.1:7411",
            "[::1]:7411",
            "[fd7a::7]",
            "localhost",
            "localhost:1",
            "audit.tail.example:7411",
        ] {
            assert!(names.allows(host), "{host}");
        }
        for host in ["evil.example:7411", "localhost.evil.example", "", "audit.tail.example.evil"] {
            assert!(!names.allows(host), "{host}");
        }
    }

    #[test]
    fn a_request_names_its_host_once() {
        let check = |hosts: &[&str], version, by_network: bool| {
            let mut request = http::Request::builder().version(version);
            for host in hosts {
                request = request.header(header::HOST, *host);
            }
            if by_network {
                request = request.extension(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 1))));
            }
            check_host(&request.body(()).unwrap())
        };
        let (http_1, http_2) = (http::Version::HTTP_11, http::Version::HTTP_2);
        assert_eq!(check(&["a"], http_1, true), Ok(()));
        assert_eq!(check(&["a", "a"], http_1, true), Err(AmbiguousHost::Twice));
        assert_eq!(check(&["a", "b"], http_2, true), Err(AmbiguousHost::Twice));
        assert_eq!(check(&[], http_1, true), Err(AmbiguousHost::Missing));
        assert_eq!(check(&[], http_2, true), Ok(()), "it is in the authority");
        assert_eq!(check(&[], http_1, false), Ok(()));
    }

    #[test]
    fn only_the_servers_own_pages_may_change_anything() {
        let headers = |pairs: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(*name, value.parse().unwrap());
            }
            headers
        };
        let check = |pairs: &[(&'static str, &str)]| check_origin(&Method::POST, &headers(pairs), "a:1");
        assert_eq!(check(&[("origin", "http://a:1")]), Ok(()));
        assert_eq!(check(&[("origin", "http://b:1")]), Err(OriginError::OtherSite));
        assert_eq!(check(&[("origin", "null")]), Err(OriginError::OtherSite));
        assert_eq!(check(&[]), Err(OriginError::NoOrigin));
        assert_eq!(
            check(&[("origin", "http://a:1"), ("sec-fetch-site", "cross-site")]),
            Err(OriginError::OtherSite)
        );
        assert_eq!(check_origin(&Method::GET, &HeaderMap::new(), "a:1"), Ok(()));
    }
}
