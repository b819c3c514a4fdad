//! Keys that change, and keys that can't be read.

use super::*;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

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
    let shown = Shown { authorization: Some(token.as_bytes()), certificate: None, last: None };
    let refused = authenticators.authenticate(shown, NOW).await.unwrap_err();
    assert!(matches!(refused, Unauthenticated::Token(BadToken::KeysUnknown(_))), "{refused}");
}

/// An HTTP server that answers with a JWK set, or breaks every connection, and counts them.
struct Publisher {
    address: SocketAddr,
    jwks: Arc<std::sync::Mutex<String>>,
    is_down: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
}

impl Publisher {
    async fn start(jwks: &Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let jwks = Arc::new(std::sync::Mutex::new(jwks.to_string()));
        let (is_down, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let publisher = Self { address, jwks: Arc::clone(&jwks), is_down: Arc::clone(&is_down), asked };
        let asked = Arc::clone(&publisher.asked);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                if !is_down.load(Ordering::Relaxed) {
                    let _ = stream.read(&mut [0; 4096]).await;
                    let body = jwks.lock().unwrap().clone();
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close", body.len());
                    let _ = stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).await;
                }
                drop(stream);
                asked.fetch_add(1, Ordering::Relaxed);
            }
        });
        publisher
    }

    /// Lets so much time pass, and waits until it was asked once more.
    async fn asked_after(&self, passes: Duration) {
        let before = self.asked.load(Ordering::Relaxed);
        tokio::time::pause();
        tokio::time::advance(passes).await;
        tokio::time::resume();
        for _ in 0..3000 {
            if self.asked.load(Ordering::Relaxed) > before {
                // Whoever asked goes on with the answer.
                return tokio::time::sleep(Duration::from_millis(100)).await;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("nobody asks after {passes:?}");
    }
}

#[tokio::test]
async fn callers_stay_known_while_an_issuer_is_down_for_longer_than_a_refresh() {
    let (former, newer) = (Signers::new(), Signers::new());
    let publisher = Publisher::start(&former.jwks("")).await;
    let rules =
        IssuerRules { issuer: CLUSTER.to_owned(), audience: "leasehold".to_owned(), kind: IssuerKind::Kubernetes };
    let source = KeySource::Url(format!("http://{}/keys", publisher.address));
    let authenticators = Authenticators::new().with_issuer(rules, source);
    let ask = async |signers: &Signers, kid: &str, jti: &str| {
        let claims = with(projected(), "jti", json!(jti));
        let token = format!("Bearer {}", signers.token("ES256", &json!({"alg": "ES256", "kid": kid}), &claims));
        let shown = Shown { authorization: Some(token.as_bytes()), certificate: None, last: None };
        authenticators.authenticate(shown, NOW).await.map_err(|why| why.to_string())
    };
    authenticators.look_after();
    publisher.asked_after(Duration::ZERO).await;
    ask(&former, "p256", "seen").await.unwrap();

    publisher.is_down.store(true, Ordering::Relaxed);
    for (number, passes) in [300, 10, 10, 10].into_iter().enumerate() {
        publisher.asked_after(Duration::from_secs(passes)).await;
        ask(&former, "p256", "seen").await.unwrap();
        ask(&former, "p256", &format!("unseen {number}")).await.unwrap();
    }
    // It is back, with other keys: they are read though no token has named one.
    publisher.is_down.store(false, Ordering::Relaxed);
    *publisher.jwks.lock().unwrap() = newer.jwks("-2").to_string();
    publisher.asked_after(Duration::from_secs(10)).await;
    ask(&newer, "p256-2", "of the new key").await.unwrap();
    let refused = ask(&former, "p256", "seen").await.unwrap_err();
    assert!(refused.contains("its keys were read a moment ago"), "{refused}");
    // And the next time is after five minutes again.
    let before = publisher.asked.load(Ordering::Relaxed);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(298)).await;
    tokio::time::resume();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(publisher.asked.load(Ordering::Relaxed), before);
    publisher.asked_after(Duration::from_secs(3)).await;
}
