//! Proofs of who calls: tokens, certificates, passports, and the keys of issuers.

mod hostile;

use crate::script::Script;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use leasehold_server::fuzzing::{bearer_token, certificate_subject, check_token, is_key_set, is_passport};
use leasehold_server::keys::Keys;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use std::sync::LazyLock;

const ISSUER: &str = "https://issuer";
const NOW: u64 = 1_800_000_000;

struct Issuer {
    keys: Keys,
    pair: Ed25519KeyPair,
    jwks: String,
}

static ISSUES: LazyLock<Issuer> = LazyLock::new(|| {
    let keys = Keys::generate();
    let pair = keys.signing();
    let x = URL_SAFE_NO_PAD.encode(pair.public_key());
    let jwks = format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"k","x":"{x}"}}]}}"#);
    Issuer { keys, pair, jwks }
});

/// Bytes as a token; claims and headers of any content behind the right signature; real tokens that
/// are damaged; bytes as a certificate, as a set of keys, as a passport and as what a call shows.
///
/// # Panics
/// If anything is accepted that nobody signed, or that says too little; if a subject isn't one of
/// its kind.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let (kind, is_cluster) = (script.byte() % 8, script.flag());
    match kind {
        0 => {
            let token = String::from_utf8_lossy(script.rest());
            assert!(!accepts(is_cluster, &token), "bytes that nobody signed are accepted");
        }
        1 => _ = accepts(is_cluster, &signed(script.rest())),
        2 => {
            let claims = if is_cluster { CLUSTER } else { PROVIDER };
            let token = signed(claims.as_bytes());
            assert!(accepts(is_cluster, &token));
            damaged(&mut script, is_cluster, token);
        }
        3 => {
            if let Some(subject) = certificate_subject(script.rest()) {
                let kinds = ["spiffe://", "dns:", "cn:"];
                assert!(kinds.iter().any(|kind| subject.starts_with(kind)), "{subject}");
            }
        }
        4 => drop(str::from_utf8(script.rest()).map(is_key_set)),
        5 => assert!(!is_passport(&ISSUES.keys, script.rest(), NOW), "bytes that no replica made are believed"),
        6 => {
            let header = script.blob();
            let token = sealed(header, script.rest(), |message| ISSUES.pair.sign(message).as_ref().to_vec());
            let said: Option<serde_json::Value> = serde_json::from_slice(header).ok();
            // The only key needn't be named.
            let is_named = |said: &serde_json::Value| said["kid"] == "k" || said["kid"].is_null();
            let fits = said.is_some_and(|said| said["alg"] == "EdDSA" && is_named(&said));
            assert!(fits || !accepts(is_cluster, &token), "{}", header.escape_ascii());
        }
        _ => {
            if let Some(token) = bearer_token(script.rest()) {
                assert!(!token.is_empty() && token == token.trim(), "{token:?}");
                assert!(!accepts(is_cluster, token), "bytes that nobody signed are accepted");
            }
        }
    }
}

const HEADER: &str = r#"{"alg":"EdDSA","kid":"k"}"#;
const CLUSTER: &str = r#"{"iss":"https://issuer","aud":["leasehold"],"exp":1800000100,"nbf":1800000000,"sub":"system:serviceaccount:a:b","kubernetes.io":{"pod":{"name":"p","uid":"u"}}}"#;
const PROVIDER: &str = r#"{"iss":"https://issuer","aud":"leasehold","exp":1800000100,"sub":"ann"}"#;

/// Whether the token is accepted; what is accepted must say what it has to.
fn accepts(is_cluster: bool, token: &str) -> bool {
    let Some(checked) = check_token(&ISSUES.jwks, ISSUER, is_cluster, token, NOW) else { return false };
    let begins = if is_cluster { "system:serviceaccount:" } else { "oidc:https://issuer#" };
    assert!(checked.subject.starts_with(begins) && checked.until > NOW, "{checked:?}");
    assert!(checked.subject.split(':').count() == 4 || !is_cluster, "{checked:?}");
    true
}

fn signed(claims: &[u8]) -> String {
    sealed(HEADER.as_bytes(), claims, |message| ISSUES.pair.sign(message).as_ref().to_vec())
}

fn sealed(header: &[u8], claims: &[u8], sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = sign(message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Any character that is changed, added or missing is noticed.
fn damaged(script: &mut Script<'_>, is_cluster: bool, token: String) {
    let mut changed = token.clone().into_bytes();
    let at = script.number() as usize % changed.len();
    match script.byte() % 3 {
        0 => changed[at] ^= script.byte() % 128,
        1 => changed.truncate(at),
        _ => changed.insert(at, script.byte() % 128),
    }
    let changed = String::from_utf8(changed).expect("it is still ASCII");
    assert!(changed == token || !accepts(is_cluster, &changed), "a damaged token is accepted");
}

/// One of each kind, and the hostile tokens of the server's own table.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let with = |kind: u8, is_cluster: u8, rest: &[u8]| [&[kind, is_cluster], rest].concat();
    let mut seeds = vec![
        with(0, 1, b"eyJhbGciOiJFZERTQSIsImtpZCI6ImsifQ.e30.AAAA"),
        with(1, 1, CLUSTER.as_bytes()),
        with(1, 0, PROVIDER.as_bytes()),
        with(2, 1, b"\x10\x00\x01"),
        with(3, 0, b"\x30\x82\x01\x00\x30\x81\xf0\xa0\x03\x02\x01\x02"),
        with(4, 0, ISSUES.jwks.as_bytes()),
        with(5, 0, b"CgFhGgAiACoA"),
        with(7, 1, format!("Bearer {}", "e30.e30.AAAA").as_bytes()),
        with(7, 0, b"Basic \xff"),
    ];
    for (is_cluster, claims) in hostile::claims() {
        seeds.push(with(1, is_cluster.into(), claims.as_bytes()));
    }
    for header in hostile::headers() {
        let length = u16::try_from(header.len()).expect("it is short").to_be_bytes();
        seeds.push(with(6, 1, &[&length, header.as_bytes(), CLUSTER.as_bytes()].concat()));
    }
    seeds.extend(hostile::tokens().iter().map(|token| with(0, 1, token.as_bytes())));
    seeds
}
