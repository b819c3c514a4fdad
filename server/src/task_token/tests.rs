//! Tests of task tokens.

use super::*;

/// The key of RFC 8037, appendix A, in PKCS#8 version 2.
fn rfc_keys() -> Keys {
    let decode = |text| URL_SAFE_NO_PAD.decode(text).unwrap();
    let pkcs8 = [
        b"\x30\x53\x02\x01\x01\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20".to_vec(),
        decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"),
        b"\xa1\x23\x03\x21\x00".to_vec(),
        decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"),
    ];
    Keys::new(&[0; 32], pkcs8.concat()).unwrap()
}

fn tokens() -> TaskTokens {
    TaskTokens::new(&rfc_keys(), "leasehold".into())
}

fn claims() -> Claims {
    Claims {
        iss: "leasehold".into(),
        sub: "wörker \"1\"".into(),
        subject: Some("system:serviceaccount:team-a:worker".into()),
        election: "billing/nightly-report".into(),
        fence: (1 << 53) - 1,
        iat: 1_800_000_000,
        exp: 1_800_000_015,
    }
}

/// A token with this header and these claims, and a signature that is right.
fn signed(header: &str, claims: &str) -> String {
    let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = URL_SAFE_NO_PAD.encode(tokens().pair.sign(text.as_bytes()));
    format!("{text}.{signature}")
}

fn header() -> String {
    String::from_utf8(URL_SAFE_NO_PAD.decode(tokens().header).unwrap()).unwrap()
}

fn why(token: &str) -> String {
    tokens().verify(token, 1_800_000_000).unwrap_err().to_string()
}

#[test]
fn the_jwks_is_that_of_the_rfc() {
    let expected = json!({"keys": [{
        "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig",
        "kid": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    }]});
    assert_eq!(tokens().jwks(), expected);
}

#[test]
fn what_was_signed_is_verified_until_exp() {
    let token = tokens().sign(&claims());
    assert_eq!(tokens().verify(&token, 0), Ok(claims()));
    assert_eq!(tokens().verify(&token, 1_800_000_014), Ok(claims()));
    assert_eq!(
        tokens().verify(&token, 1_800_000_015),
        Err(TaskTokenError::Expired { exp: 1_800_000_015, now: 1_800_000_015, claims: Box::new(claims()) })
    );
    let late = tokens().verify(&token, 1_800_000_075).unwrap_err().to_string();
    assert!(late.starts_with("the task token expired 60 s ago, at 1800000015"), "{late}");
}

#[test]
fn fence_iat_and_exp_are_json_numbers() {
    let token = tokens().sign(&claims());
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(
        claims,
        json!({
            "iss": "leasehold", "sub": "wörker \"1\"", "subject": "system:serviceaccount:team-a:worker", "election": "billing/nightly-report",
            "fence": 9_007_199_254_740_991_u64, "iat": 1_800_000_000, "exp": 1_800_000_015,
        })
    );
}

#[test]
fn any_changed_character_is_refused() {
    let token = tokens().sign(&claims());
    for at in 0..token.len() {
        for new in [b'A', b'B', b'.', b'='] {
            let mut changed = token.clone().into_bytes();
            if std::mem::replace(&mut changed[at], new) != new {
                let changed = String::from_utf8(changed).unwrap();
                assert!(matches!(tokens().verify(&changed, 0), Err(TaskTokenError::Invalid(_))), "{changed}");
            }
        }
    }
}

#[test]
fn the_algorithm_isnt_taken_from_the_header() {
    let claims = serde_json::to_string(&claims()).unwrap();
    let says = "signed with a key or an algorithm that this service doesn't use";
    for bad in [
        header().replace("EdDSA", "none"),
        header().replace("EdDSA", "HS256"),
        header().replace("kPrK", "KPrK"),
        header().replace('{', "{ "), // the same JSON, other bytes
    ] {
        assert_ne!(bad, header());
        assert!(why(&signed(&bad, &claims)).contains(says), "{bad}");
    }
    let unsigned = format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#), URL_SAFE_NO_PAD.encode(&claims));
    assert!(why(&unsigned).contains(says));
}

#[test]
fn each_way_to_be_wrong_is_named() {
    let token = tokens().sign(&claims());
    let (start, _) = token.rsplit_once('.').unwrap();
    let other = TaskTokens::new(&Keys::generate(), "leasehold".into()).sign(&claims());
    let foreign =
        TaskTokens::new(&rfc_keys(), "elsewhere".into()).sign(&Claims { iss: "elsewhere".into(), ..claims() });
    for (bad, says) in [
        ("", "it isn't a JWT"),
        ("abc", "it isn't a JWT"),
        ("a.b", "it isn't a JWT"),
        ("a.b.c.d", "signed with a key"),
        (&other, "signed with a key"),
        (&format!("{start}.!"), "its signature isn't base64url"),
        (&format!("{token}="), "its signature isn't base64url"),
        (&format!("{start}."), "its signature is wrong"),
        (&signed(&header(), "{}"), "its claims aren't those of a task token"),
        (
            &signed(&header(), r#"{"iss":"leasehold","sub":"a","election":"e","fence":"7","iat":1,"exp":2}"#),
            "aren't those",
        ),
        (&foreign, "its issuer is \"elsewhere\", and this service is \"leasehold\""),
        (&"x".repeat(8193), "it has 8193 bytes; none is longer than 8192"),
    ] {
        let text = why(bad);
        assert!(text.starts_with("the task token isn't valid: ") && text.contains(says), "{bad}: {text}");
    }
}

#[test]
fn the_largest_token_is_accepted() {
    let issuer = "i".repeat(256);
    let tokens = TaskTokens::new(&Keys::generate(), issuer.clone());
    let largest = Claims { iss: issuer, sub: "\"".repeat(256), election: "e".repeat(256), ..claims() };
    assert_eq!(tokens.verify(&tokens.sign(&largest), 0), Ok(largest));
}

#[test]
fn debug_hides_the_key() {
    let text = format!("{:?}", tokens());
    assert!(text.contains("kPrK") && !text.contains("pair"), "{text}");
}
