//! The tokens of `server/src/identity/tests/hostile.rs`, as far as they are text: what somebody
//! made up to be taken for somebody else.

use super::{CLUSTER, HEADER, ISSUES, PROVIDER, sealed};
use ring::hmac;
use serde_json::{Value, json};

/// Headers before claims that are good.
pub(super) fn headers() -> Vec<String> {
    let mut headers: Vec<Value> = vec![
        json!({"alg": "none"}),
        json!({"alg": "None", "kid": "k"}),
        json!({"kid": "k"}),
        json!({"alg": ["EdDSA"], "kid": "k"}),
        json!({"alg": "HS256", "kid": "k"}),
        json!({"alg": "ES256", "kid": "k"}),
        json!({"alg": "EdDSA", "kid": "../../dev/null"}),
        json!({"alg": "EdDSA", "kid": ""}),
        json!({"alg": "EdDSA", "kid": 7}),
        json!({"alg": "EdDSA"}),
        json!({"alg": "EdDSA", "kid": "k", "crit": ["b64"], "b64": false}),
    ];
    headers.push(json!({"alg": "EdDSA", "kid": "k", "jku": "https://evil.example", "jwk": {"kty": "OKP"}}));
    let twice = HEADER.replacen('{', r#"{"alg":"none","#, 1);
    headers.iter().map(Value::to_string).chain([twice, HEADER.to_owned(), "[1]".to_owned()]).collect()
}

/// Claims behind a header and a signature that are good, and whether a cluster says so.
pub(super) fn claims() -> Vec<(bool, String)> {
    let base: Value = serde_json::from_str(CLUSTER).expect("these are claims");
    let with = |name: &str, value: Value| {
        let mut claims = base.clone();
        claims[name] = value;
        claims.to_string()
    };
    let pod = |pod: Value| with("kubernetes.io", json!({"pod": pod}));
    let mut all = vec![
        with("iss", json!("https://issuer/")),
        with("iss", json!(["https://issuer"])),
        with("aud", json!(["https://kubernetes.default.svc"])),
        with("aud", json!("leasehold2")),
        with("aud", json!({"leasehold": true})),
        with("aud", json!([["leasehold"]])),
        with("exp", json!("1900000000")),
        with("exp", Value::Null),
        with("exp", json!(-1)),
        with("exp", json!(1e300)),
        with("exp", json!(1_799_999_990)),
        with("nbf", json!("0")),
        with("nbf", json!(1_800_000_011)),
        with("x", json!("?".repeat(9))),
        pod(json!({"name": "a"})),
        pod(json!({"name": "a", "uid": ""})),
        pod(json!({"name": "a", "uid": "a b"})),
        pod(json!("a")),
        CLUSTER.replacen('{', r#"{"iss":"https://evil.example","#, 1),
        "[1]".to_owned(),
        "{".to_owned(),
        format!("{{\"a\":{}", "[".repeat(4000)),
    ];
    let account = "system:serviceaccount:";
    let subjects = ["a:", "a:b:c", "*:worker", "a/b:worker", "{name}:worker"].map(|end| format!("{account}{end}"));
    all.extend(subjects.iter().map(|sub| with("sub", json!(sub))));
    all.extend([json!(0), json!("system:admin"), json!("a\nb"), json!("a".repeat(300))].map(|sub| with("sub", sub)));
    let of_provider = ["a\nb", "a#b", "system:serviceaccount:a:b", ""]
        .map(|sub| PROVIDER.replace("\"ann\"", &json!(sub).to_string()));
    all.into_iter().map(|claims| (true, claims)).chain(of_provider.map(|claims| (false, claims))).collect()
}

/// Whole tokens that nobody with the key has signed.
pub(super) fn tokens() -> Vec<String> {
    let unsigned = sealed(br#"{"alg":"none"}"#, CLUSTER.as_bytes(), |_| Vec::new());
    let shared = sealed(br#"{"alg":"HS256","kid":"k"}"#, CLUSTER.as_bytes(), |message| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, ISSUES.jwks.as_bytes());
        hmac::sign(&key, message).as_ref().to_vec()
    });
    let (message, _) = unsigned.rsplit_once('.').expect("it has three parts");
    let forms = [message.to_owned(), format!("{unsigned}="), format!("{message} ."), format!("{unsigned}.")];
    let others = ["..", "a.b.c.d.e"].map(str::to_owned);
    [unsigned.clone(), shared].into_iter().chain(forms).chain(others).collect()
}
