//! Tokens that somebody made up to be taken for somebody else.

use super::*;
use proptest::prelude::*;

/// What each is, the token, and a part of the refusal.
fn hostile(door: &Door) -> Vec<(&'static str, String, &'static str)> {
    let (cluster, provider) = (&door.cluster, &door.provider);
    let stranger = Signers::new();
    let header = json!({"alg": "ES256", "kid": "p256"});
    let claims = projected();
    let good = cluster.good(&claims);
    let (message, signature) = good.rsplit_once('.').unwrap();
    let raw = |header: &str, claims: &str, sign: &dyn Fn(&[u8]) -> Vec<u8>| {
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(sign(message.as_bytes())))
    };
    let hmac = |secret: Vec<u8>| {
        move |message: &[u8]| {
            let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &secret);
            ring::hmac::sign(&key, message).as_ref().to_vec()
        }
    };
    let pem_like = door.cluster.jwks("").to_string().into_bytes();
    let text = claims.to_string();
    let (bad_header, wrong) = ("its header isn't one", "its signature is wrong");
    vec![
        ("alg none", format!("{}.", unsigned(&json!({"alg": "none"}), &claims)), bad_header),
        ("alg None with a kid", format!("{}.", unsigned(&json!({"alg": "None", "kid": "p256"}), &claims)), bad_header),
        ("no alg", format!("{}.", unsigned(&json!({"kid": "p256"}), &claims)), bad_header),
        (
            "alg of a wrong type",
            raw(r#"{"alg":["ES256"],"kid":"p256"}"#, &text, &|m| cluster.sign("ES256", m)),
            bad_header,
        ),
        (
            "HS256 with the modulus",
            raw(r#"{"alg":"HS256","kid":"rsa"}"#, &text, &hmac(cluster.modulus())),
            "its algorithm",
        ),
        (
            "HS256 with all that is public",
            raw(r#"{"alg":"HS256","kid":"p256"}"#, &text, &hmac(pem_like)),
            "its algorithm",
        ),
        (
            "HS256 with a shared secret of the set",
            raw(r#"{"alg":"HS256","kid":"oct"}"#, &text, &hmac(b"a shared secret that anybody could know".to_vec())),
            "may have a new key",
        ),
        ("signed by a stranger", stranger.good(&claims), wrong),
        (
            "the stranger's key in the header",
            {
                let jwk = stranger.jwks("")["keys"][2].clone();
                stranger.token(
                    "ES256",
                    &json!({"alg": "ES256", "kid": "p256", "jwk": jwk, "jku": "https://evil.example"}),
                    &claims,
                )
            },
            wrong,
        ),
        ("kid of a file", stranger.token("ES256", &json!({"alg": "ES256", "kid": "../../dev/null"}), &claims), "key"),
        ("kid that is empty", stranger.token("ES256", &json!({"alg": "ES256", "kid": ""}), &claims), "key"),
        ("kid of a wrong type", raw(r#"{"alg":"ES256","kid":7}"#, &text, &|m| cluster.sign("ES256", m)), bad_header),
        ("no kid", cluster.token("ES256", &json!({"alg": "ES256"}), &claims), "names no key"),
        ("key for encryption", cluster.token("RS256", &json!({"alg": "RS256", "kid": "enc"}), &claims), "key"),
        ("key of 1024 bits", cluster.token("RS256", &json!({"alg": "RS256", "kid": "short"}), &claims), "key"),
        (
            "crit",
            cluster.token("ES256", &json!({"alg": "ES256", "kid": "p256", "crit": ["b64"], "b64": false}), &claims),
            "crit",
        ),
        ("another issuer's key", provider.token("ES256", &json!({"alg": "ES256", "kid": "p256-p"}), &claims), "key"),
        ("another issuer's tongue", provider.token("ES256", &header, &claims), wrong),
        ("claims of the provider, by the cluster", cluster.good(&of_provider()), "key"),
        (
            "an issuer that nobody knows",
            cluster.good(&with(projected(), "iss", json!("https://evil.example"))),
            "isn't one that",
        ),
        (
            "an issuer with a slash",
            cluster.good(&with(projected(), "iss", json!(format!("{CLUSTER}/")))),
            "isn't one that",
        ),
        ("two issuers", cluster.good(&with(projected(), "iss", json!([CLUSTER]))), "isn't a JWT"),
        ("no issuer", cluster.good(&without(projected(), "iss")), "isn't a JWT"),
        (
            "two issuers in one object",
            {
                let twice = text.replacen('{', r#"{"iss":"https://evil.example","#, 1);
                raw(&header.to_string(), &twice, &|m| cluster.sign("ES256", m))
            },
            "isn't a JWT",
        ),
        ("no audience", cluster.good(&without(projected(), "aud")), "it has none"),
        (
            "for the API server",
            cluster.good(&with(projected(), "aud", json!(["https://kubernetes.default.svc"]))),
            "isn't meant for this",
        ),
        ("audience nearly", cluster.good(&with(projected(), "aud", json!("leasehold2"))), "isn't meant for this"),
        (
            "audience of a wrong type",
            cluster.good(&with(projected(), "aud", json!({"leasehold": true}))),
            "isn't meant for this",
        ),
        (
            "audience in a list in a list",
            cluster.good(&with(projected(), "aud", json!([["leasehold"]]))),
            "isn't meant for this",
        ),
        ("no exp", cluster.good(&without(projected(), "exp")), "has no exp"),
        ("exp as a text", cluster.good(&with(projected(), "exp", json!("1900000000"))), "isn't a date"),
        ("exp null", cluster.good(&with(projected(), "exp", Value::Null)), "isn't a date"),
        ("exp below zero", cluster.good(&with(projected(), "exp", json!(-1))), "isn't a date"),
        ("exp beyond all dates", cluster.good(&with(projected(), "exp", json!(1e300))), "isn't a date"),
        ("exp long ago", cluster.good(&with(projected(), "exp", json!(NOW - 10))), "expired 10 s ago"),
        ("nbf as a text", cluster.good(&with(projected(), "nbf", json!("0"))), "isn't a date"),
        ("nbf to come", cluster.good(&with(projected(), "nbf", json!(NOW + 11))), "isn't good before"),
        ("no sub", cluster.good(&without(projected(), "sub")), "has no sub"),
        ("sub as a number", cluster.good(&with(projected(), "sub", json!(0))), "has no sub"),
        ("a user", cluster.good(&with(projected(), "sub", json!("system:admin"))), "that of a service account is due"),
        ("no name", cluster.good(&with(projected(), "sub", json!("system:serviceaccount:team-a:"))), "is due"),
        (
            "a name of two parts",
            cluster.good(&with(projected(), "sub", json!("system:serviceaccount:a:b:c"))),
            "is due",
        ),
        ("a star", cluster.good(&with(projected(), "sub", json!("system:serviceaccount:*:worker"))), "is due"),
        ("a slash", cluster.good(&with(projected(), "sub", json!("system:serviceaccount:a/b:worker"))), "is due"),
        ("a brace", cluster.good(&with(projected(), "sub", json!("system:serviceaccount:{name}:worker"))), "is due"),
        (
            "a pod without uid",
            cluster.good(&with(projected(), "kubernetes.io", json!({"pod": {"name": "a"}}))),
            "uid of its pod",
        ),
        (
            "a pod that is a text",
            cluster.good(&with(projected(), "kubernetes.io", json!({"pod": "a"}))),
            "name of its pod",
        ),
        (
            "a pod with an empty uid",
            cluster.good(&with(projected(), "kubernetes.io", json!({"pod": {"name": "a", "uid": ""}}))),
            "uid of its pod",
        ),
        (
            "control characters",
            provider.token(
                "ES256",
                &json!({"alg": "ES256", "kid": "p256-p"}),
                &with(of_provider(), "sub", json!("a\nb")),
            ),
            "control characters",
        ),
        (
            "a subject without end",
            provider.token(
                "ES256",
                &json!({"alg": "ES256", "kid": "p256-p"}),
                &with(of_provider(), "sub", json!("a".repeat(300))),
            ),
            "at most 256",
        ),
        ("no signature", format!("{message}."), wrong),
        ("no third part", message.to_owned(), "isn't a JWT"),
        ("a fourth part", format!("{good}.{signature}"), "isn't a JWT"),
        ("padded", format!("{good}="), "can't be read"),
        (
            "base64 of another alphabet",
            {
                let claims = with(projected(), "x", json!("?".repeat(9))).to_string();
                let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), STANDARD.encode(claims));
                assert!(message.contains('/'));
                let message = message.trim_end_matches('=');
                format!("{message}.{}", URL_SAFE_NO_PAD.encode(cluster.sign("ES256", message.as_bytes())))
            },
            "isn't a JWT",
        ),
        ("white space", format!("{message} .{signature}"), "isn't a JWT"),
        ("claims that aren't an object", raw(&header.to_string(), "[1]", &|m| cluster.sign("ES256", m)), "isn't a JWT"),
        ("claims that aren't JSON", raw(&header.to_string(), "{", &|m| cluster.sign("ES256", m)), "isn't a JWT"),
        (
            "JSON without bottom",
            raw(&header.to_string(), &format!("{{\"a\":{}", "[".repeat(4000)), &|m| cluster.sign("ES256", m)),
            "isn't a JWT",
        ),
        ("megabytes", cluster.good(&with(projected(), "x", json!("x".repeat(2 << 20)))), "none is longer than 12288"),
        ("one byte too long", "a".repeat(MAX_TOKEN_BYTES + 1), "it has 12289 bytes"),
        ("dots", "..".to_owned(), "isn't a JWT"),
        ("five parts, like an encrypted one", "a.b.c.d.e".to_owned(), "isn't a JWT"),
    ]
}

#[tokio::test]
async fn no_hostile_token_is_accepted() {
    let door = Door::new().await;
    for (what, token, says) in hostile(&door) {
        let refused = door.ask(&token).await.expect_err(what);
        assert!(refused.contains(says), "{what}: {refused}");
        assert!(refused.len() < 1000, "{what}: the refusal is long: {}", refused.len());
    }
    assert!(door.ask(&door.cluster.good(&projected())).await.is_ok());
}

#[tokio::test]
async fn authorization_is_a_bearer_token_or_nothing() {
    let door = Door::new().await;
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
        let shown = Shown { authorization: Some(authorization.as_bytes()), certificate: None };
        assert_eq!(door.authenticators.authenticate(shown, NOW).await.is_ok(), good, "{authorization}");
    }
    let refused = door.authenticators.authenticate(Shown::default(), NOW).await.unwrap_err();
    assert!(refused.to_string().contains("send a token"), "{refused}");
    let not_utf8 = Shown { authorization: Some(b"Bearer \xff"), certificate: None };
    assert!(door.authenticators.authenticate(not_utf8, NOW).await.is_err());
}

proptest! {
    /// Whoever changes anything about a good token has none.
    #[test]
    fn a_changed_token_is_none(at in any::<prop::sample::Index>(), to in "[A-Za-z0-9._=-]") {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let door = Door::new().await;
            let good = door.cluster.token("RS256", &json!({"alg": "RS256", "kid": "rsa"}), &projected());
            let at = at.index(good.len());
            let mut changed = good.clone();
            changed.replace_range(at..=at, &to);
            prop_assert_eq!(door.ask(&changed).await.is_ok(), changed == good, "{} to {}", at, to);
            Ok(())
        })?;
    }
}
