//! TLS acceptors with a certificate and its key from PEM files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// Why an acceptor can't be created.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum TlsError {
    #[error("{} holds no {what} in PEM form that can be read", path.display())]
    Pem { path: PathBuf, what: &'static str, source: rustls::pki_types::pem::Error },
    #[error("{} holds no certificate", path.display())]
    Empty { path: PathBuf },
    /// The key does not belong to the certificate, or is of an unsupported kind.
    #[error("{} and {} do not go together", cert.display(), key.display())]
    Pair { cert: PathBuf, key: PathBuf, source: rustls::Error },
}

/// The protocols that are offered (ALPN) for HTTP.
pub const HTTP: &[&[u8]] = &[b"h2", b"http/1.1"];

/// Creates an acceptor with this certificate chain and key, which offers `protocols` (ALPN); empty if there is no choice.
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

    /// Creates a certificate and its key in files of these names.
    fn write_certificate(folder: &Path, cert: &str, key: &str) {
        let certificate = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(folder.join(cert), certificate.cert.pem()).unwrap();
        std::fs::write(folder.join(key), certificate.signing_key.serialize_pem()).unwrap();
    }

    #[test]
    fn what_can_not_be_served_says_which_file_and_why() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        write_certificate(folder.path(), "one.pem", "one.key");
        write_certificate(folder.path(), "other.pem", "other.key");
        std::fs::write(path("empty.pem"), "").unwrap();
        let error = |cert: &str, key: &str| acceptor(&path(cert), &path(key), HTTP).map(drop).unwrap_err();
        assert!(acceptor(&path("one.pem"), &path("one.key"), HTTP).is_ok());
        assert!(matches!(error("one.pem", "other.key"), TlsError::Pair { .. }));
        assert!(matches!(error("empty.pem", "one.key"), TlsError::Empty { .. }));
        assert!(matches!(error("none.pem", "one.key"), TlsError::Pem { what: "certificate", .. }));
        assert!(
            error("one.pem", "one.pem")
                .to_string()
                .ends_with("one.pem holds no private key in PEM form that can be read")
        );
    }
}
