//! An API with a certificate of a private CA.

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::{Run, Scene, now};
use crate::poll::Poller as _;
use crate::sources::SourceState;

/// A CA, and a file with its certificate.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    file: PathBuf,
}

impl Authority {
    fn new(scene: &Scene, name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let file = scene.folder.path().join(format!("{name}.pem"));
        std::fs::write(&file, params.self_signed(&key).unwrap().pem()).unwrap();
        Self { issuer: Issuer::new(params, key), file }
    }

    /// Serves the scene's API over TLS with a certificate for `name`; returns the URL.
    async fn serve_tls(&self, scene: &Scene, name: &str) -> String {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let behind = scene.api.url().trim_start_matches("http://").to_owned();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, behind) = (acceptor.clone(), behind.clone());
                tokio::spawn(async move {
                    let Ok(mut near) = acceptor.accept(stream).await else { return };
                    let mut far = TcpStream::connect(behind).await.unwrap();
                    let _cut = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                });
            }
        });
        url
    }
}

async fn run(scene: &Scene, ca: Option<&Authority>) -> Run {
    let ca = ca.map(|ca| format!(r#","ca_file":"{}""#, ca.file.display())).unwrap_or_default();
    let key = scene.key_file();
    scene.run_with(&format!(r#","api_key_file":"{}"{ca}"#, key.display())).await
}

/// The trouble that a poller reports which trusts `ca`.
async fn trouble(scene: &Scene, ca: Option<&Authority>) -> String {
    let run = run(scene, ca).await;
    run.audit().poll(now()).await;
    let trouble = run.report("tailscale.audit").trouble.unwrap();
    run.stop().await;
    trouble
}

#[tokio::test]
async fn an_authority_of_ones_own_is_trusted_by_its_file_and_another_one_is_said_with_what_to_do() {
    let mut scene = Scene::new().await;
    let (ours, other) = (Authority::new(&scene, "ours"), Authority::new(&scene, "other"));
    scene.url = Some(ours.serve_tls(&scene, "localhost").await);
    let unknown = trouble(&scene, None).await;
    assert!(unknown.contains("certificate of localhost is not trusted"), "{unknown}");
    assert!(unknown.contains("name a file") && unknown.contains("as ca_file"), "{unknown}");
    let wrong = trouble(&scene, Some(&other)).await;
    assert!(wrong.contains("other.pem (ca_file)") && wrong.contains("put the PEM certificate"), "{wrong}");

    let trusting = run(&scene, Some(&ours)).await;
    trusting.audit().poll(now()).await;
    assert_eq!(trusting.report("tailscale.audit").state, SourceState::Connected);
    trusting.stop().await;

    scene.url = Some(ours.serve_tls(&scene, "elsewhere.example").await);
    let misnamed = trouble(&scene, Some(&ours)).await;
    assert!(misnamed.contains("it is for another name"), "{misnamed}");
}
