//! The subject of a client certificate. Whether it is to be believed is decided by whoever checks
//! its chain: TLS.

use leasehold_core::{BadWord, Subject};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

/// Why a certificate names nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadCertificate {
    /// Not a certificate.
    #[error("the client certificate can't be read: {0}")]
    Unreadable(String),
    /// Which of them calls?
    #[error("the client certificate has {0} SPIFFE IDs; it must have one, or none")]
    SeveralIds(usize),
    /// It has none of the three.
    #[error("the client certificate names nobody: it has no SPIFFE ID, no DNS name and no common name")]
    Nameless,
    /// The name can't be one.
    #[error("the name in the client certificate can't be used: {0}")]
    BadName(#[from] BadWord),
}

/// The subject of a certificate (DER): its SPIFFE ID, or else `dns:` and its first DNS name, or
/// else `cn:` and its common name.
///
/// # Errors
/// [`BadCertificate`].
pub(crate) fn subject_of_certificate(der: &[u8]) -> Result<Subject, BadCertificate> {
    let unreadable = |error: &dyn ToString| BadCertificate::Unreadable(error.to_string());
    let (rest, certificate) = X509Certificate::from_der(der).map_err(|error| unreadable(&error))?;
    if !rest.is_empty() {
        return Err(BadCertificate::Unreadable(format!("{} bytes follow it", rest.len())));
    }
    let names = certificate.subject_alternative_name().map_err(|error| unreadable(&error))?;
    let names = names.map(|names| names.value.general_names.as_slice()).unwrap_or_default();
    let ids = names.iter().filter_map(|name| match name {
        // A scheme may be written in any case; an ID that isn't in lower case is another subject.
        GeneralName::URI(id) if id.get(..9).is_some_and(|scheme| scheme.eq_ignore_ascii_case("spiffe://")) => Some(*id),
        _ => None,
    });
    let ids: Vec<&str> = ids.collect();
    match ids[..] {
        [] => {}
        [id] => return Ok(Subject::new(&format!("spiffe://{}", &id[9..]))?),
        _ => return Err(BadCertificate::SeveralIds(ids.len())),
    }
    let dns = names.iter().find_map(|name| if let GeneralName::DNSName(name) = name { Some(*name) } else { None });
    if let Some(name) = dns {
        return Ok(Subject::new(&format!("dns:{}", name.to_ascii_lowercase()))?);
    }
    // The last one is the most specific.
    let common = certificate.subject().iter_common_name().last().and_then(|name| name.as_str().ok());
    match common.filter(|name| !name.is_empty()) {
        Some(name) => Ok(Subject::new(&format!("cn:{name}"))?),
        None => Err(BadCertificate::Nameless),
    }
}
