//! Proofs of who calls: tokens, certificates, passports, and the keys of issuers.

use crate::script::Script;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use leasehold_server::fuzzing::{certificate_subject, check_token, is_key_set, is_passport};
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

/// Bytes as a token; claims of any content behind the right signature; real tokens that are
/// damaged; bytes as a certificate, as a set of keys and as a passport.
///
/// # Panics
/// If anything is accepted that nobody signed, or that says too little; if a subject isn't one of
/// its kind.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let (kind, is_cluster) = (script.byte() % 6, script.flag());
    match kind {
        0 => {
            let token = String::from_utf8_lossy(script.rest());
            assert!(!accepts(is_cluster, &token), "bytes that nobody signed are accepted");
        }
        1 => drop(accepts(is_cluster, &signed(script.rest()))),
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
        _ => assert!(!is_passport(&ISSUES.keys, script.rest(), NOW), "bytes that no replica made are believed"),
    }
}

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
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"EdDSA","kid":"k"}"#);
    let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims));
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(ISSUES.pair.sign(message.as_bytes())))
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

/// One of each kind.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let with = |kind: u8, is_cluster: u8, rest: &[u8]| [&[kind, is_cluster], rest].concat();
    vec![
        with(0, 1, b"eyJhbGciOiJFZERTQSIsImtpZCI6ImsifQ.e30.AAAA"),
        with(1, 1, CLUSTER.as_bytes()),
        with(1, 0, PROVIDER.as_bytes()),
        with(2, 1, b"\x10\x00\x01"),
        with(3, 0, b"\x30\x82\x01\x00\x30\x81\xf0\xa0\x03\x02\x01\x02"),
        with(4, 0, ISSUES.jwks.as_bytes()),
        with(5, 0, b"CgFhGgAiACoA"),
    ]
}
