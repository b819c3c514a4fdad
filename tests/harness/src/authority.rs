//! An authority of certificates, and files that it has signed.

use anyhow::Context as _;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType, date_time_ymd};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// An authority with a folder of its own for what it signs.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: TempDir,
}

/// A certificate and its key, in PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Authority {
    /// Makes one of this name.
    ///
    /// # Errors
    ///
    /// When the file can't be written.
    pub fn new(name: &str) -> anyhow::Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let dir = tempfile::tempdir().context("no temporary folder")?;
        std::fs::write(dir.path().join("ca.crt"), issuer.pem())?;
        Ok(Self { issuer, dir })
    }

    /// Where its files are.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Its own certificate.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.crt")
    }

    /// Signs for these names, addresses and URIs, into files that begin so. The common name is the
    /// beginning of the files.
    ///
    /// # Errors
    ///
    /// When a name can't be one, or a file can't be written.
    pub fn issue(&self, stem: &str, names: &[&str]) -> anyhow::Result<Files> {
        self.issue_between(stem, names, 2020, 2120)
    }

    /// The same, good from the first day of one year to that of another.
    ///
    /// # Errors
    ///
    /// As for [`issue`](Self::issue).
    pub fn issue_between(&self, stem: &str, names: &[&str], from: i32, to: i32) -> anyhow::Result<Files> {
        let key = KeyPair::generate()?;
        let (uris, names): (Vec<&str>, Vec<&str>) = names.iter().partition(|name| name.contains("://"));
        let mut params = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        for uri in uris {
            params.subject_alt_names.push(SanType::URI(uri.try_into()?));
        }
        params.distinguished_name.push(DnType::CommonName, stem);
        (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
        let cert = params.signed_by(&key, &self.issuer)?;
        let file = |end| self.dir.path().join(format!("{stem}.{end}"));
        let files = Files { cert: file("crt"), key: file("key") };
        std::fs::write(&files.cert, cert.pem())?;
        std::fs::write(&files.key, key.serialize_pem())?;
        Ok(files)
    }
}
