//! What answers TLS with a certificate and its key, from PEM files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// Why a certificate can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read, or holds no PEM of its sort.
    #[error("{} holds no {what} in PEM form that can be read", path.display())]
    Pem {
        /// Which file.
        path: PathBuf,
        /// A certificate, or a private key.
        what: &'static str,
        /// Why.
        source: rustls::pki_types::pem::Error,
    },
    /// There is no certificate in the file.
    #[error("{} holds no certificate", path.display())]
    Empty {
        /// Which file.
        path: PathBuf,
    },
    /// The key is not the certificate's, or of a kind that is not known.
    #[error("{} and {} do not go together", cert.display(), key.display())]
    Pair {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        source: rustls::Error,
    },
}

/// What is offered where HTTP is spoken.
pub const HTTP: &[&[u8]] = &[b"h2", b"http/1.1"];

/// Accepts TLS with this certificate chain and key, and offers the protocols that are spoken over it (ALPN): none, where
/// there is no choice.
pub fn acceptor(cert: &Path, key: &Path, protocols: &[&[u8]]) -> Result<TlsAcceptor, TlsError> {
    let pem = |path: &Path, what| {
        let path = path.to_owned();
        move |source| TlsError::Pem { path, what, source }
    };
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_file_iter(cert).and_then(Iterator::collect).map_err(pem(cert, "certificate"))?;
    if chain.is_empty() {
        return Err(TlsError::Empty { path: cert.to_owned() });
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(pem(key, "private key"))?;
    let pair = |source| TlsError::Pair { cert: cert.to_owned(), key: key.to_owned(), source };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(pair)?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(pair)?;
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(TlsAcceptor::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A certificate and its key, as files of these names.
    fn made(folder: &Path, cert: &str, key: &str) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(folder.join(cert), made.cert.pem()).unwrap();
        std::fs::write(folder.join(key), made.signing_key.serialize_pem()).unwrap();
    }

    #[test]
    fn what_can_not_be_served_says_which_file_and_why() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        made(folder.path(), "one.pem", "one.key");
        made(folder.path(), "other.pem", "other.key");
        std::fs::write(path("empty.pem"), "").unwrap();
        let told = |cert: &str, key: &str| acceptor(&path(cert), &path(key), HTTP).map(drop).unwrap_err();
        assert!(acceptor(&path("one.pem"), &path("one.key"), HTTP).is_ok());
        assert!(matches!(told("one.pem", "other.key"), TlsError::Pair { .. }));
        assert!(matches!(told("empty.pem", "one.key"), TlsError::Empty { .. }));
        assert!(matches!(told("none.pem", "one.key"), TlsError::Pem { what: "certificate", .. }));
        assert!(
            told("one.pem", "one.pem")
                .to_string()
                .ends_with("one.pem holds no private key in PEM form that can be read")
        );
    }
}
