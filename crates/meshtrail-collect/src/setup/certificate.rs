//! Issues a certificate for one name, from a CA that is constrained to this name.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, NameConstraints, date_time_ymd,
};

use super::DAYS;

/// Why no certificate could be issued.
#[derive(Debug, thiserror::Error)]
#[error("the certificate could not be made")]
pub struct CertificateError(#[from] rcgen::Error);

/// A certificate chain, its key and its CA, as PEM.
pub(super) struct Certificates {
    /// The certificate, followed by its CA.
    pub(super) chain: String,
    pub(super) key: String,
    pub(super) ca: String,
}

pub(super) fn issue(host: &str, now: i64) -> Result<Certificates, CertificateError> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, format!("Meshtrail, for {host} only"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName(host.to_owned())],
        excluded_subtrees: Vec::new(),
    });
    set_validity(&mut params, now);
    let ca_key = KeyPair::generate()?;
    let ca = params.self_signed(&ca_key)?;
    let issuer = Issuer::new(params, ca_key);

    let mut params = CertificateParams::new(vec![host.to_owned()])?;
    params.distinguished_name.push(DnType::CommonName, host);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    set_validity(&mut params, now);
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &issuer)?;
    Ok(Certificates {
        chain: format!("{}{}", certificate.pem(), ca.pem()),
        key: key.serialize_pem(),
        ca: ca.pem(),
    })
}

/// Valid for [`DAYS`] from the day before, for clients whose clocks are behind.
fn set_validity(params: &mut CertificateParams, now: i64) {
    let day = |days: i64| {
        let seconds = (now + days * 86_400).max(0);
        let at = meshtrail_event::Timestamp::from_seconds(seconds).unwrap_or_default();
        let (year, month, day) = at.date();
        date_time_ymd(i32::from(year), month, day)
    };
    (params.not_before, params.not_after) = (day(-1), day(DAYS - 1));
}
