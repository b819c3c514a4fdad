//! Who calls, by tokens that were made here: good ones, and hostile ones.

mod certificates;
mod hostile;
mod keys;

use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use claims::{IssuerKind, IssuerRules};
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{self as schemes, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair};
use serde_json::{Value, json};
use source::KeySource;
use std::path::Path;
use tempfile::TempDir;

const CLUSTER: &str = "https://kubernetes.default.svc";
const PROVIDER: &str = "https://sso.example/realms/ops";
/// A key for HMAC that an issuer publishes by mistake.
const SHARED_SECRET: &[u8] = b"a shared secret that anybody could know";
/// The moment of all these tests.
const NOW: u64 = 1_800_000_000;

/// The private keys of an issuer, by what they sign.
pub(super) struct Signers {
    rsa: RsaKeyPair,
    p256: EcdsaKeyPair,
    p384: EcdsaKeyPair,
    ed: Ed25519KeyPair,
}

impl Signers {
    fn new() -> Self {
        // Made for this test, and good for nothing else. ring makes none.
        let rsa = STANDARD.decode(include_str!("tests/rsa-key.base64").replace('\n', "")).unwrap();
        let random = SystemRandom::new();
        let curve = |scheme| {
            let pkcs8 = EcdsaKeyPair::generate_pkcs8(scheme, &random).unwrap();
            EcdsaKeyPair::from_pkcs8(scheme, pkcs8.as_ref(), &random).unwrap()
        };
        let ed = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        Self {
            rsa: RsaKeyPair::from_der(&rsa).unwrap(),
            p256: curve(&schemes::ECDSA_P256_SHA256_FIXED_SIGNING),
            p384: curve(&schemes::ECDSA_P384_SHA384_FIXED_SIGNING),
            ed: Ed25519KeyPair::from_pkcs8(ed.as_ref()).unwrap(),
        }
    }

    fn modulus(&self) -> Vec<u8> {
        PublicKeyComponents::<Vec<u8>>::from(self.rsa.public_key()).n
    }

    /// What an issuer publishes: each key is called as its kind, with this behind it.
    fn jwks(&self, suffix: &str) -> Value {
        let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let PublicKeyComponents { n, e } = PublicKeyComponents::<Vec<u8>>::from(self.rsa.public_key());
        let curve = |pair: &EcdsaKeyPair, crv: &str, kid: &str| {
            let point = &pair.public_key().as_ref()[1..];
            let (x, y) = point.split_at(point.len() / 2);
            json!({"kty": "EC", "crv": crv, "x": b64(x), "y": b64(y), "kid": format!("{kid}{suffix}"), "use": "sig"})
        };
        json!({"keys": [
            {"kty": "RSA", "n": b64(&n), "e": b64(&e), "kid": format!("rsa{suffix}"), "use": "sig", "alg": "RS256"},
            {"kty": "RSA", "n": b64(&n), "e": b64(&e), "kid": format!("rsa-any{suffix}")},
            curve(&self.p256, "P-256", "p256"),
            curve(&self.p384, "P-384", "p384"),
            {"kty": "OKP", "crv": "Ed25519", "x": b64(self.ed.public_key().as_ref()), "kid": format!("ed{suffix}")},
            // None of these may ever check anything.
            {"kty": "oct", "k": b64(SHARED_SECRET), "kid": format!("oct{suffix}")},
            {"kty": "RSA", "n": b64(&n[..128]), "e": b64(&e), "kid": format!("short{suffix}")},
            {"kty": "RSA", "n": b64(&n), "e": b64(&e), "kid": format!("enc{suffix}"), "use": "enc"},
            {"kty": "new", "kid": "new"},
        ]})
    }

    /// The signature that an algorithm asks for.
    fn sign(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        let rsa = |padding: &'static dyn schemes::RsaEncoding| {
            let mut signature = vec![0; self.rsa.public().modulus_len()];
            self.rsa.sign(padding, &random, message, &mut signature).unwrap();
            signature
        };
        match algorithm {
            "RS256" => rsa(&schemes::RSA_PKCS1_SHA256),
            "RS384" => rsa(&schemes::RSA_PKCS1_SHA384),
            "RS512" => rsa(&schemes::RSA_PKCS1_SHA512),
            "PS256" => rsa(&schemes::RSA_PSS_SHA256),
            "PS384" => rsa(&schemes::RSA_PSS_SHA384),
            "PS512" => rsa(&schemes::RSA_PSS_SHA512),
            "ES256" => self.p256.sign(&random, message).unwrap().as_ref().to_vec(),
            "ES384" => self.p384.sign(&random, message).unwrap().as_ref().to_vec(),
            "EdDSA" => self.ed.sign(message).as_ref().to_vec(),
            other => panic!("nothing signs {other}"),
        }
    }

    /// A token with this header and these claims.
    fn token(&self, algorithm: &str, header: &Value, claims: &Value) -> String {
        let message = unsigned(header, claims);
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(self.sign(algorithm, message.as_bytes())))
    }

    /// A token as it should be.
    fn good(&self, claims: &Value) -> String {
        self.token("ES256", &json!({"alg": "ES256", "kid": "p256"}), claims)
    }
}

fn unsigned(header: &Value, claims: &Value) -> String {
    let part = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    format!("{}.{}", part(header), part(claims))
}

/// What Kubernetes writes into a projected token.
fn projected() -> Value {
    json!({
        "aud": ["leasehold"],
        "exp": NOW + 3607,
        "iat": NOW,
        "nbf": NOW,
        "iss": CLUSTER,
        "jti": "0aa0cbb6-3a2b-4a4c-9d5b-4b8d6ab3dcd9",
        "kubernetes.io": {
            "namespace": "team-a",
            "node": {"name": "node-1", "uid": "1d2c6e5f-7a0e-4c57-8a2f-3c0a7a4b9c11"},
            "pod": {"name": "worker-0", "uid": "7c8d9d7a-31f0-4f0e-a06b-5d33a3a1a9ee"},
            "serviceaccount": {"name": "worker", "uid": "94c1bd5f-2b07-4d5c-8a6e-0f9a4bb2a0cd"},
        },
        "sub": "system:serviceaccount:team-a:worker",
    })
}

/// What a provider writes.
fn of_provider() -> Value {
    json!({"iss": PROVIDER, "aud": "leasehold", "sub": "ann", "email": "ann@example", "exp": NOW + 60})
}

fn with(mut claims: Value, name: &str, value: Value) -> Value {
    claims[name] = value;
    claims
}

fn without(mut claims: Value, name: &str) -> Value {
    claims.as_object_mut().unwrap().remove(name);
    claims
}

/// A server that accepts a cluster and a provider, whose keys lie in files.
struct TwoIssuers {
    authenticators: Authenticators,
    cluster: Signers,
    provider: Signers,
    folder: TempDir,
}

impl TwoIssuers {
    async fn new() -> Self {
        Self::with_claim("sub").await
    }

    async fn with_claim(claim: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (cluster, provider) = (Signers::new(), Signers::new());
        let file = |name: &str, jwks: &Value| {
            let path = folder.path().join(name);
            write(&path, jwks);
            KeySource::File(path)
        };
        let rules =
            |issuer: &str, kind| IssuerRules { issuer: issuer.to_owned(), audience: "leasehold".to_owned(), kind };
        let authenticators = Authenticators::new()
            .with_issuer(rules(CLUSTER, IssuerKind::Kubernetes), file("cluster", &cluster.jwks("")))
            .with_issuer(
                rules(PROVIDER, IssuerKind::Oidc { claim: claim.to_owned() }),
                file("provider", &provider.jwks("-p")),
            );
        authenticators.read_keys().await.unwrap();
        Self { authenticators, cluster, provider, folder }
    }

    async fn at(&self, token: &str, now: u64) -> Result<Identity, String> {
        let authorization = format!("Bearer {token}");
        let shown = Shown { authorization: Some(authorization.as_bytes()), certificate: None, last: None };
        let identity = self.authenticators.authenticate(shown, now).await;
        identity.map(|identity| Identity::clone(&identity)).map_err(|error| error.to_string())
    }

    async fn ask(&self, token: &str) -> Result<Identity, String> {
        self.at(token, NOW).await
    }
}

fn write(path: &Path, jwks: &Value) {
    std::fs::write(path, jwks.to_string()).unwrap();
}

#[tokio::test]
async fn a_projected_token_makes_a_service_account_in_its_pod() {
    let door = TwoIssuers::new().await;
    let identity = door.ask(&door.cluster.good(&projected())).await.unwrap();
    assert_eq!(identity.subject.as_str(), "system:serviceaccount:team-a:worker");
    let pod = identity.pod.unwrap();
    assert_eq!((pod.name.as_str(), pod.uid.as_str()), ("worker-0", "7c8d9d7a-31f0-4f0e-a06b-5d33a3a1a9ee"));
    assert_eq!(identity.until, NOW + 3617);

    for unbound in
        [without(projected(), "kubernetes.io"), with(projected(), "kubernetes.io", json!({"namespace": "team-a"}))]
    {
        let identity = door.ask(&door.cluster.good(&unbound)).await.unwrap();
        assert_eq!((identity.subject.as_str(), identity.pod), ("system:serviceaccount:team-a:worker", None));
    }
}

#[tokio::test]
async fn each_way_has_subjects_of_its_own() {
    let door = TwoIssuers::new().await;
    let sign = |claims: &Value| door.provider.token("EdDSA", &json!({"alg": "EdDSA", "kid": "ed-p"}), claims);
    let pretends = with(of_provider(), "sub", json!("system:serviceaccount:team-a:worker"));
    let identity = door.ask(&sign(&pretends)).await.unwrap();
    assert_eq!(identity.subject.as_str(), "oidc:https://sso.example/realms/ops#system:serviceaccount:team-a:worker");
    // One whose pod it names is no pod of this cluster.
    let bound = with(of_provider(), "kubernetes.io", projected()["kubernetes.io"].clone());
    assert_eq!(door.ask(&sign(&bound)).await.unwrap().pod, None);

    let by_mail = TwoIssuers::with_claim("email").await;
    let token = by_mail.provider.token("ES256", &json!({"alg": "ES256", "kid": "p256-p"}), &of_provider());
    assert_eq!(by_mail.ask(&token).await.unwrap().subject.as_str(), "oidc:https://sso.example/realms/ops#ann@example");
}

#[tokio::test]
async fn every_algorithm_of_a_key_is_accepted_and_no_other() {
    let door = TwoIssuers::new().await;
    for (algorithm, kid, good) in [
        ("RS256", "rsa", true),
        ("RS384", "rsa", false),
        ("PS256", "rsa", false),
        ("RS384", "rsa-any", true),
        ("RS512", "rsa-any", true),
        ("PS256", "rsa-any", true),
        ("PS384", "rsa-any", true),
        ("PS512", "rsa-any", true),
        ("ES256", "p256", true),
        ("ES384", "p384", true),
        ("EdDSA", "ed", true),
        ("ES256", "ed", false),
        ("EdDSA", "p256", false),
    ] {
        let token = door.cluster.token(algorithm, &json!({"alg": algorithm, "kid": kid}), &projected());
        let asked = door.ask(&token).await;
        assert_eq!(asked.is_ok(), good, "{algorithm} {kid}: {asked:?}");
    }
}

#[tokio::test]
async fn dates_are_kept_with_ten_seconds_to_spare() {
    let door = TwoIssuers::new().await;
    let token = door.cluster.good(&with(with(projected(), "nbf", json!(NOW)), "exp", json!(NOW + 100)));
    for (now, good) in [(NOW - 11, false), (NOW - 10, true), (NOW + 109, true), (NOW + 110, false), (NOW + 111, false)]
    {
        assert_eq!(door.at(&token, now).await.is_ok(), good, "{now}");
    }
    let says = door.at(&token, NOW + 130).await.unwrap_err();
    assert!(says.starts_with("the token expired 30 s ago, at 1800000100"), "{says}");
    // The other way round: what was refused for its age isn't accepted from what is remembered.
    assert!(door.at(&token, NOW).await.is_ok());
    assert!(door.at(&token, NOW + 110).await.is_err());
    let fraction = door.cluster.good(&with(projected(), "exp", json!(1_800_000_000.5)));
    assert_eq!(door.ask(&fraction).await.unwrap().until, NOW + 10);
}
