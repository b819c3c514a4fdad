//! The authorities that the replicas of one service share, and what they sign. Each replica signs
//! for itself, as all of them have the keys. No clock is read here.

use super::REPLICA_NAME;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use ring::rand::{SecureRandom, SystemRandom};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;
use time::OffsetDateTime;

/// How long a serving certificate is good. It is replaced when half of that is over.
pub(crate) const LIFE: Duration = Duration::from_secs(24 * 3600);
/// Clocks may be so far apart: certificates begin so much before they are made, and an authority
/// that signs no more is trusted for so much longer than what it has signed.
const APART: Duration = Duration::from_secs(3600);
/// How long an authority is good.
const AUTHORITY_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// All authorities that are trusted, in the order in which they sign. As JSON in the Secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Authorities(Vec<Authority>);

/// One authority: its certificate, and its key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Authority {
    name: String,
    certificate: String,
    key: String,
    /// From when on, in seconds since 1970.
    signs_from: u64,
}

/// What was signed.
pub(crate) struct Issue {
    pub(crate) certificates: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

/// For whom something is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum For<'a> {
    /// Everybody who connects by one of these names and addresses.
    Everybody(&'a [String]),
    /// Other replicas alone.
    Replicas,
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.0.iter().map(|authority| authority.name.as_str()).collect();
        write!(f, "Authorities({names:?})")
    }
}

impl Authorities {
    /// A new one, which signs from now on.
    pub(crate) fn generate(now: u64) -> Self {
        Self(vec![Authority::generate(now, now)])
    }

    /// Reads what the Secret has.
    pub(crate) fn parse(json: &[u8]) -> Result<Self, String> {
        let this: Self = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        if this.0.is_empty() {
            return Err("it has no authority".to_owned());
        }
        for authority in &this.0 {
            authority.key()?;
            super::config::authorities(authority.certificate.as_bytes())?;
        }
        Ok(this)
    }

    pub(crate) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and numbers can be written as JSON")
    }

    /// Adds an authority that signs after this time, and drops those whose last certificates have
    /// ended. With `distrust`, all others are dropped, and it signs at once.
    #[cfg(not(turmoil))]
    pub(crate) fn rotate(&mut self, now: u64, after: Duration, distrust: bool) {
        if distrust {
            self.0.clear();
        } else {
            let trusted: Vec<_> = self.trusted(now).cloned().collect();
            // One that was added and doesn't sign yet is overtaken.
            self.0 = trusted.into_iter().filter(|authority| authority.signs_from <= now).collect();
        }
        let from = if distrust { now } else { now + after.as_secs() };
        self.0.push(Authority::generate(now, from));
    }

    /// The certificates of those that are trusted, as PEM.
    pub(crate) fn bundle(&self, now: u64) -> String {
        self.trusted(now).map(|authority| authority.certificate.as_str()).collect()
    }

    /// Their names.
    pub(crate) fn names(&self, now: u64) -> BTreeSet<String> {
        self.trusted(now).map(|authority| authority.name.clone()).collect()
    }

    /// The name of the one that signs now.
    pub(crate) fn signer(&self, now: u64) -> &str {
        &self.signs(now).name
    }

    /// Signs.
    pub(crate) fn sign(&self, now: u64, whom: For<'_>) -> Result<Issue, String> {
        let signer = self.signs(now);
        let issuer = Issuer::new(authority_params(&signer.name, signer.signs_from), signer.key()?);
        let (names, usages) = match whom {
            For::Everybody(names) => (names.to_vec(), vec![ExtendedKeyUsagePurpose::ServerAuth]),
            For::Replicas => (
                vec![REPLICA_NAME.to_owned()],
                vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
            ),
        };
        let say = |error: rcgen::Error| error.to_string();
        let mut params = CertificateParams::new(names).map_err(say)?;
        params.distinguished_name.push(DnType::CommonName, "leasehold");
        params.extended_key_usages = usages;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        (params.not_before, params.not_after) = (at(now.saturating_sub(APART.as_secs())), at(now + LIFE.as_secs()));
        let key = KeyPair::generate().map_err(say)?;
        let certificate = params.signed_by(&key, &issuer).map_err(say)?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        Ok(Issue { certificates: vec![certificate.der().clone()], key })
    }

    fn signs(&self, now: u64) -> &Authority {
        let signing = self.0.iter().rfind(|authority| authority.signs_from <= now);
        // A clock that is behind.
        signing.or(self.0.first()).expect("there is one at least")
    }

    fn trusted(&self, now: u64) -> impl Iterator<Item = &Authority> {
        let longest = (LIFE + APART).as_secs();
        self.0.iter().enumerate().filter_map(move |(index, authority)| {
            let signs_until = self.0.get(index + 1).map_or(u64::MAX, |next| next.signs_from);
            (signs_until.saturating_add(longest) > now).then_some(authority)
        })
    }
}

impl Authority {
    fn generate(now: u64, signs_from: u64) -> Self {
        let mut random = [0; 4];
        SystemRandom::new().fill(&mut random).expect("the system has a random source");
        let random: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let name = format!("Leasehold {random}");
        let key = KeyPair::generate().expect("the system has a random source");
        let mut params = authority_params(&name, signs_from);
        params.not_before = at(now.saturating_sub(APART.as_secs()));
        let certificate = params.self_signed(&key).expect("these parameters were signed before");
        Self { name, certificate: certificate.pem(), key: key.serialize_pem(), signs_from }
    }

    fn key(&self) -> Result<KeyPair, String> {
        KeyPair::from_pem(&self.key).map_err(|error| format!("the key of {} is broken: {error}", self.name))
    }
}

fn authority_params(name: &str, signs_from: u64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_after = at(signs_from + AUTHORITY_LIFE.as_secs());
    params
}

/// So many seconds after 1970.
fn at(seconds: u64) -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 3600;
    const NOW: u64 = 1_800_000_000;

    fn names(authorities: &Authorities) -> Vec<String> {
        authorities.0.iter().map(|authority| authority.name.clone()).collect()
    }

    fn count(authorities: &Authorities, now: u64) -> usize {
        authorities.bundle(now).matches("BEGIN CERTIFICATE").count()
    }

    #[test]
    fn a_new_authority_is_trusted_before_it_signs_and_the_former_until_nothing_of_it_is_good() {
        let mut authorities = Authorities::generate(NOW);
        let first = authorities.signer(NOW).to_owned();
        authorities.rotate(NOW, Duration::from_secs(600), false);
        let second = names(&authorities)[1].clone();
        assert_ne!(first, second);
        let last_of_the_first = NOW + 600 + DAY + 3600;
        for (now, signer, trusted) in [
            (NOW - 9000, &first, 2),
            (NOW, &first, 2),
            (NOW + 599, &first, 2),
            (NOW + 600, &second, 2),
            (last_of_the_first - 1, &second, 2),
            (last_of_the_first, &second, 1),
            (NOW + 1000 * DAY, &second, 1),
        ] {
            assert_eq!((authorities.signer(now), count(&authorities, now)), (signer.as_str(), trusted), "at {now}");
        }
        // What is over isn't kept.
        authorities.rotate(last_of_the_first, Duration::from_secs(600), false);
        assert_eq!((names(&authorities).len(), &names(&authorities)[0]), (2, &second));
    }

    #[test]
    fn an_authority_that_never_signed_is_overtaken_and_with_distrust_only_the_newest_is_left() {
        let mut authorities = Authorities::generate(NOW);
        let first = authorities.signer(NOW).to_owned();
        for _ in 0..3 {
            authorities.rotate(NOW + 1, Duration::from_secs(600), false);
            assert_eq!((names(&authorities).len(), authorities.signer(NOW + 1)), (2, first.as_str()));
        }
        authorities.rotate(NOW + 2, Duration::from_secs(600), true);
        assert_eq!(names(&authorities), [authorities.signer(NOW + 2)]);
        assert!(!names(&authorities).contains(&first));
    }

    #[test]
    fn it_survives_json_and_keys_show_nowhere() {
        let mut authorities = Authorities::generate(NOW);
        authorities.rotate(NOW, Duration::ZERO, false);
        assert_eq!(Authorities::parse(&authorities.to_json()).unwrap(), authorities);
        assert!(!format!("{authorities:?}").contains("BEGIN"));
        for (json, says) in [("[]", "it has no authority"), ("{}", "invalid type"), ("[{}]", "missing field `name`")] {
            let error = Authorities::parse(json.as_bytes()).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
        let mut broken: serde_json::Value = serde_json::from_slice(&authorities.to_json()).unwrap();
        broken[1]["key"] = "secret".into();
        let error = Authorities::parse(broken.to_string().as_bytes()).unwrap_err();
        assert!(error.contains("is broken") && !error.contains("secret"), "{error}");
    }
}
