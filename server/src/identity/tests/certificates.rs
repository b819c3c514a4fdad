//! Subjects of certificates.

use super::*;
use crate::identity::certificate::BadCertificate;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};

fn certificate(common: &str, names: Vec<SanType>) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    if !common.is_empty() {
        params.distinguished_name.push(DnType::CommonName, common);
    }
    params.subject_alt_names = names;
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

fn dns(text: &str) -> SanType {
    SanType::DnsName(text.try_into().unwrap())
}

#[test]
fn a_certificate_names_its_spiffe_id_or_its_dns_name_or_its_common_name() {
    let id = "spiffe://example.org/ns/team-a/sa/worker";
    for (common, names, subject) in [
        ("worker", vec![dns("a.example"), uri(id)], id),
        ("worker", vec![uri("SPIFFE://example.org/a")], "spiffe://example.org/a"),
        ("worker", vec![uri("https://a.example"), dns("A.Example"), dns("b.example")], "dns:a.example"),
        ("worker 1", vec![], "cn:worker 1"),
        ("system:serviceaccount:team-a:worker", vec![], "cn:system:serviceaccount:team-a:worker"),
        ("spiffe://example.org/a", vec![], "cn:spiffe://example.org/a"),
        ("", vec![dns("spiffe://x")], "dns:spiffe://x"),
    ] {
        assert_eq!(subject_of_certificate(&certificate(common, names)).unwrap().as_str(), subject);
    }
}

#[test]
fn a_certificate_that_names_nobody_is_refused() {
    let two = certificate("a", vec![uri("spiffe://a/b"), uri("spiffe://a/c")]);
    assert_eq!(subject_of_certificate(&two), Err(BadCertificate::SeveralIds(2)));
    assert_eq!(subject_of_certificate(&certificate("", vec![])), Err(BadCertificate::Nameless));
    assert_eq!(subject_of_certificate(&certificate("", vec![uri("https://a.example")])), Err(BadCertificate::Nameless));
    let long = subject_of_certificate(&certificate(&"a".repeat(300), vec![]));
    assert!(matches!(long, Err(BadCertificate::BadName(_))), "{long:?}");
    let control = subject_of_certificate(&certificate("a\nb", vec![]));
    assert!(matches!(control, Err(BadCertificate::BadName(_))), "{control:?}");

    let mut der = certificate("a", vec![]);
    der.push(0);
    assert!(matches!(subject_of_certificate(&der), Err(BadCertificate::Unreadable(_))));
    for cut in 0..der.len() - 1 {
        assert!(matches!(subject_of_certificate(&der[..cut]), Err(BadCertificate::Unreadable(_))), "{cut}");
    }
}

#[tokio::test]
async fn certificates_count_where_they_are_accepted_and_tokens_go_first() {
    let der = certificate("", vec![uri("spiffe://example.org/a")]);
    let door = TwoIssuers::new().await;
    let token = format!("Bearer {}", door.cluster.good(&projected()));
    let with_certificate = Shown { authorization: None, certificate: Some(&der), last: None };
    assert!(door.authenticators.authenticate(with_certificate, NOW).await.is_err(), "they aren't accepted");

    let both = door.authenticators.with_certificates();
    let subject = |shown| {
        let asked = both.authenticate(shown, NOW);
        async { asked.await.map(|identity| identity.subject.to_string()) }
    };
    assert_eq!(subject(with_certificate).await.unwrap(), "spiffe://example.org/a");
    let shown = Shown { authorization: Some(token.as_bytes()), ..with_certificate };
    assert_eq!(subject(shown).await.unwrap(), "system:serviceaccount:team-a:worker");
    let bad = Shown { authorization: Some(b"Bearer x"), ..with_certificate };
    assert!(subject(bad).await.is_err(), "a bad token isn't made good by a certificate");
}
