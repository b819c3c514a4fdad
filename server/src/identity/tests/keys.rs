//! Keys that change, and keys that can't be read.

use super::*;

#[tokio::test]
async fn new_keys_are_read_when_a_token_names_them_but_not_too_often() {
    let door = TwoIssuers::new().await;
    let file = door.folder.path().join("cluster");
    let rotated = Signers::new();
    let token = rotated.token("ES256", &json!({"alg": "ES256", "kid": "p256-2"}), &projected());
    // They were read a moment ago. So the token may be good, and its sender tries again.
    let refused = door.ask(&token).await.unwrap_err();
    assert!(refused.contains("its keys were read a moment ago; try again"), "{refused}");

    write(&file, &rotated.jwks("-2"));
    door.authenticators.forget_when_keys_were_read().await;
    assert_eq!(door.ask(&token).await.unwrap().subject.as_str(), "system:serviceaccount:team-a:worker");
    // And once they were read, a key that isn't among them is no key.
    door.authenticators.forget_when_keys_were_read().await;
    let refused = door.ask(&door.cluster.good(&projected())).await.unwrap_err();
    assert!(refused.contains("has no key \"p256\""), "{refused}");
}

#[tokio::test]
async fn tokens_that_were_checked_with_old_keys_are_checked_anew() {
    let door = TwoIssuers::new().await;
    let token = door.cluster.good(&projected());
    assert!(door.ask(&token).await.is_ok() && door.ask(&token).await.is_ok());
    write(&door.folder.path().join("cluster"), &Signers::new().jwks(""));
    assert!(door.ask(&token).await.is_ok(), "the keys weren't read yet");
    door.authenticators.read_keys().await.unwrap();
    let refused = door.ask(&token).await.unwrap_err();
    assert!(refused.contains("its signature is wrong"), "{refused}");
}

#[tokio::test]
async fn callers_stay_known_while_keys_cant_be_read() {
    let door = TwoIssuers::new().await;
    let file = door.folder.path().join("cluster");
    for broken in [None, Some("{"), Some("{\"keys\":[]}"), Some("{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"}]}")] {
        match broken {
            None => std::fs::remove_file(&file).unwrap(),
            Some(text) => std::fs::write(&file, text).unwrap(),
        }
        assert!(door.authenticators.read_keys().await.is_err(), "{broken:?}");
        // A token that nobody has seen yet.
        let claims = with(projected(), "jti", json!(broken));
        assert!(door.ask(&door.cluster.good(&claims)).await.is_ok(), "{broken:?}");
    }
    let named = door.cluster.token("ES256", &json!({"alg": "ES256", "kid": "p256-2"}), &projected());
    door.authenticators.forget_when_keys_were_read().await;
    let refused = door.ask(&named).await.unwrap_err();
    assert!(
        refused.contains("its keys can't be read: none of the 1 keys") && refused.ends_with("try again"),
        "{refused}"
    );
}

#[tokio::test]
async fn before_the_first_read_nobody_is_refused_for_good() {
    let rules = IssuerRules { issuer: String::new(), audience: "leasehold".to_owned(), kind: IssuerKind::Kubernetes };
    let source = KeySource::File("/nowhere/keys".into());
    let authenticators = Authenticators::new().with_issuer(rules, source);
    let token = format!("Bearer {}", Signers::new().good(&projected()));
    let shown = Shown { authorization: Some(token.as_bytes()), certificate: None };
    let refused = authenticators.authenticate(shown, NOW).await.unwrap_err();
    assert!(matches!(refused, Unauthenticated::Token(BadToken::KeysUnknown(_))), "{refused}");
}
