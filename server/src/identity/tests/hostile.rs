//! Tokens that somebody made up to be taken for somebody else.

use super::*;
use proptest::prelude::*;

/// What each is, the token, and a part of the refusal.
type Hostile = (&'static str, String, &'static str);

const BAD_HEADER: &str = "its header isn't one";
const WRONG: &str = "its signature is wrong";
const NO_JWT: &str = "isn't a JWT";

/// A token of these texts, whatever they are.
fn raw(header: &str, claims: &str, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(sign(message.as_bytes())))
}

/// Signs with a secret that isn't one.
fn hmac(secret: Vec<u8>) -> impl Fn(&[u8]) -> Vec<u8> {
    move |message| {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &secret);
        ring::hmac::sign(&key, message).as_ref().to_vec()
    }
}

/// Algorithms and keys that aren't the ones of the issuer.
fn by_header(cluster: &Signers) -> Vec<Hostile> {
    let (stranger, claims) = (Signers::new(), projected());
    let text = claims.to_string();
    let unsigned = |header: Value| format!("{}.", unsigned(&header, &claims));
    let signed = |header: &str| raw(header, &text, |message| cluster.sign("ES256", message));
    let es256 = |signers: &Signers, header: Value| signers.token("ES256", &header, &claims);
    let rs256 = |kid: &str| cluster.token("RS256", &json!({"alg": "RS256", "kid": kid}), &claims);
    let hs256 = |kid: &str, secret: Vec<u8>| raw(&json!({"alg": "HS256", "kid": kid}).to_string(), &text, hmac(secret));
    let jwks = cluster.jwks("").to_string().into_bytes();
    let (evil, jwk) = ("https://evil.example", stranger.jwks("")["keys"][2].clone());
    let own_key = json!({"alg": "ES256", "kid": "p256", "jwk": jwk, "jku": evil});
    let crit = json!({"alg": "ES256", "kid": "p256", "crit": ["b64"], "b64": false});
    vec![
        ("alg none", unsigned(json!({"alg": "none"})), BAD_HEADER),
        ("alg None with a kid", unsigned(json!({"alg": "None", "kid": "p256"})), BAD_HEADER),
        ("no alg", unsigned(json!({"kid": "p256"})), BAD_HEADER),
        ("alg of a wrong type", signed(r#"{"alg":["ES256"],"kid":"p256"}"#), BAD_HEADER),
        ("HS256 with the modulus", hs256("rsa", cluster.modulus()), "its algorithm"),
        ("HS256 with all that is public", hs256("p256", jwks), "its algorithm"),
        ("HS256 with a shared secret of the set", hs256("oct", SHARED_SECRET.to_vec()), "may have a new key"),
        ("signed by a stranger", stranger.good(&claims), WRONG),
        ("a stranger's key in the header", es256(&stranger, own_key), WRONG),
        ("kid of a file", es256(&stranger, json!({"alg": "ES256", "kid": "../../dev/null"})), "may have a new key"),
        ("kid that is empty", es256(&stranger, json!({"alg": "ES256", "kid": ""})), "may have a new key"),
        ("kid of a wrong type", signed(r#"{"alg":"ES256","kid":7}"#), BAD_HEADER),
        ("no kid", es256(cluster, json!({"alg": "ES256"})), "names no key"),
        ("key for encryption", rs256("enc"), "may have a new key"),
        ("key of 1024 bits", rs256("short"), "may have a new key"),
        ("crit", es256(cluster, crit), "crit"),
    ]
}

/// Who says so, and about whom.
fn by_issuer(TwoIssuers { cluster, provider, .. }: &TwoIssuers) -> Vec<Hostile> {
    let issuer = |issuer: Value| cluster.good(&with(projected(), "iss", issuer));
    let es256 = |kid: &str, claims: &Value| provider.token("ES256", &json!({"alg": "ES256", "kid": kid}), claims);
    let twice = projected().to_string().replacen('{', r#"{"iss":"https://evil.example","#, 1);
    let sub = |sub: &str| es256("p256-p", &with(of_provider(), "sub", json!(sub)));
    vec![
        ("another issuer's key", es256("p256-p", &projected()), "may have a new key"),
        ("another issuer's tongue", es256("p256", &projected()), WRONG),
        ("claims of the provider, by the cluster", cluster.good(&of_provider()), "may have a new key"),
        ("an issuer that nobody knows", issuer(json!("https://evil.example")), "isn't one that"),
        ("an issuer with a slash", issuer(json!(format!("{CLUSTER}/"))), "isn't one that"),
        ("a list of issuers", issuer(json!([CLUSTER])), NO_JWT),
        ("no issuer", cluster.good(&without(projected(), "iss")), NO_JWT),
        (
            "two issuers",
            raw(r#"{"alg":"ES256","kid":"p256"}"#, &twice, |message| cluster.sign("ES256", message)),
            NO_JWT,
        ),
        ("control characters", sub("a\nb"), "control characters"),
        ("a subject without end", sub(&"a".repeat(300)), "at most 256"),
    ]
}

/// What the cluster would never say.
fn by_claims(cluster: &Signers) -> Vec<Hostile> {
    let (meant, date, due, uid) = ("isn't meant for this", "isn't a date", "is due", "the uid of its pod");
    let pod = |pod: Value| json!({"pod": pod});
    let changed = [
        ("for the API server", "aud", json!(["https://kubernetes.default.svc"]), meant),
        ("audience nearly", "aud", json!("leasehold2"), meant),
        ("audience of a wrong type", "aud", json!({"leasehold": true}), meant),
        ("audience in a list in a list", "aud", json!([["leasehold"]]), meant),
        ("exp as a text", "exp", json!("1900000000"), date),
        ("exp null", "exp", Value::Null, date),
        ("exp below zero", "exp", json!(-1), date),
        ("exp beyond all dates", "exp", json!(1e300), date),
        ("exp long ago", "exp", json!(NOW - 10), "expired 10 s ago"),
        ("nbf as a text", "nbf", json!("0"), date),
        ("nbf to come", "nbf", json!(NOW + 11), "isn't good before"),
        ("sub as a number", "sub", json!(0), "has no sub"),
        ("a user", "sub", json!("system:admin"), due),
        ("no name", "sub", json!("system:serviceaccount:team-a:"), due),
        ("a name of two parts", "sub", json!("system:serviceaccount:a:b:c"), due),
        ("a star", "sub", json!("system:serviceaccount:*:worker"), due),
        ("a slash", "sub", json!("system:serviceaccount:a/b:worker"), due),
        ("a brace", "sub", json!("system:serviceaccount:{name}:worker"), due),
        ("a pod without uid", "kubernetes.io", pod(json!({"name": "a"})), uid),
        ("a pod with an empty uid", "kubernetes.io", pod(json!({"name": "a", "uid": ""})), uid),
        ("a pod with a space in its uid", "kubernetes.io", pod(json!({"name": "a", "uid": "a b"})), uid),
        ("a pod that is a text", "kubernetes.io", pod(json!("a")), "the name of its pod"),
    ];
    let changed = changed.map(|(what, name, value, says)| (what, cluster.good(&with(projected(), name, value)), says));
    let left_out =
        [("no audience", "aud", "it has none"), ("no exp", "exp", "has no exp"), ("no sub", "sub", "has no sub")];
    let left_out = left_out.map(|(what, name, says)| (what, cluster.good(&without(projected(), name)), says));
    changed.into_iter().chain(left_out).collect()
}

/// What isn't written as a token is.
fn by_form(cluster: &Signers) -> Vec<Hostile> {
    let header = r#"{"alg":"ES256","kid":"p256"}"#;
    let sign = |message: &[u8]| cluster.sign("ES256", message);
    let good = cluster.good(&projected());
    let (message, signature) = good.rsplit_once('.').unwrap();
    let slashes = STANDARD.encode(with(projected(), "x", json!("?".repeat(9))).to_string());
    assert!(slashes.contains('/'));
    let other_alphabet = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), slashes.trim_end_matches('='));
    let other_alphabet = format!("{other_alphabet}.{}", URL_SAFE_NO_PAD.encode(sign(other_alphabet.as_bytes())));
    let bottomless = format!("{{\"a\":{}", "[".repeat(4000));
    vec![
        ("no signature", format!("{message}."), WRONG),
        ("no third part", message.to_owned(), NO_JWT),
        ("a fourth part", format!("{good}.{signature}"), NO_JWT),
        ("padded", format!("{good}="), "can't be read"),
        ("base64 of another alphabet", other_alphabet, NO_JWT),
        ("white space", format!("{message} .{signature}"), NO_JWT),
        ("claims that aren't an object", raw(header, "[1]", sign), NO_JWT),
        ("claims that aren't JSON", raw(header, "{", sign), NO_JWT),
        ("JSON without bottom", raw(header, &bottomless, sign), NO_JWT),
        ("megabytes", cluster.good(&with(projected(), "x", json!("x".repeat(2 << 20)))), "none is longer than 12288"),
        ("one byte too long", "a".repeat(MAX_TOKEN_BYTES + 1), "it has 12289 bytes"),
        ("dots", "..".to_owned(), NO_JWT),
        ("five parts, like an encrypted one", "a.b.c.d.e".to_owned(), NO_JWT),
    ]
}

#[tokio::test]
async fn no_hostile_token_is_accepted() {
    let door = TwoIssuers::new().await;
    let tables = [by_header(&door.cluster), by_issuer(&door), by_claims(&door.cluster), by_form(&door.cluster)];
    for (what, token, says) in tables.concat() {
        let refused = door.ask(&token).await.expect_err(what);
        assert!(refused.contains(says), "{what}: {refused}");
        assert!(refused.len() < 1000, "{what}: the refusal is long: {}", refused.len());
    }
    assert!(door.ask(&door.cluster.good(&projected())).await.is_ok());
}

#[tokio::test]
async fn authorization_is_a_bearer_token_or_nothing() {
    let door = TwoIssuers::new().await;
    let token = door.cluster.good(&projected());
    for (authorization, good) in [
        (format!("Bearer {token}"), true),
        (format!("bearer {token}"), true),
        (format!("BEARER  {token} "), true),
        (token.clone(), false),
        (format!("Basic {token}"), false),
        (format!("Bearer{token}"), false),
        (format!("Bearer {token}, Bearer {token}"), false),
        ("Bearer ".to_owned(), false),
        (String::new(), false),
        ("Bearer \u{fffd}".to_owned(), false),
    ] {
        let shown = Shown { authorization: Some(authorization.as_bytes()), certificate: None, last: None };
        assert_eq!(door.authenticators.authenticate(shown, NOW).await.is_ok(), good, "{authorization}");
    }
    let refused = door.authenticators.authenticate(Shown::default(), NOW).await.unwrap_err();
    assert!(refused.to_string().contains("send a token"), "{refused}");
    let not_utf8 = Shown { authorization: Some(b"Bearer \xff"), certificate: None, last: None };
    assert!(door.authenticators.authenticate(not_utf8, NOW).await.is_err());
}

proptest! {
    /// Whoever changes anything about a good token has none.
    #[test]
    fn a_changed_token_is_none(at in any::<prop::sample::Index>(), to in "[A-Za-z0-9._=-]") {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let door = TwoIssuers::new().await;
            let good = door.cluster.token("RS256", &json!({"alg": "RS256", "kid": "rsa"}), &projected());
            let at = at.index(good.len());
            let mut changed = good.clone();
            changed.replace_range(at..=at, &to);
            prop_assert_eq!(door.ask(&changed).await.is_ok(), changed == good, "{} to {}", at, to);
            Ok(())
        })?;
    }
}
