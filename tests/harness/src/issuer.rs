//! Whoever issues tokens to callers: a Kubernetes cluster, as far as a server asks it for its keys,
//! or an OpenID provider with its keys in a file, or below its URL.

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tonic::Request;

/// What tokens are meant for, unless a server is told otherwise.
const AUDIENCE: &str = "leasehold";
/// How long they are good for, in seconds.
const LASTS: u64 = 3600;

/// Signs tokens.
#[derive(Debug)]
pub struct Issuer {
    /// Its `iss`.
    pub name: String,
    key: Ed25519KeyPair,
    kid: String,
    folder: TempDir,
}

/// A cluster: an issuer, and an API server that publishes its keys and nothing else.
#[derive(Debug)]
pub struct Cluster {
    issuer: Issuer,
    folder: TempDir,
    publisher: Publisher,
}

/// An OpenID provider that publishes its keys below its URL.
#[derive(Debug)]
pub struct Provider {
    issuer: Issuer,
    publisher: Publisher,
}

/// An HTTP server with two pages: what an issuer says of itself, and its keys.
#[derive(Debug)]
struct Publisher {
    address: SocketAddr,
    pages: Arc<Mutex<Pages>>,
    serves: Option<JoinHandle<()>>,
}

#[derive(Clone, Debug)]
struct Pages {
    discovery: String,
    jwks: String,
}

impl Issuer {
    /// An OpenID provider of this name.
    ///
    /// # Errors
    ///
    /// When there is no temporary folder.
    pub fn new(name: &str) -> anyhow::Result<Self> {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).ok().context("no random source")?;
        let key = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).ok().context("a new key is one")?;
        let kid = URL_SAFE_NO_PAD.encode(&key.public_key().as_ref()[..6]);
        let issuer = Self { name: name.to_owned(), key, kid, folder: tempfile::tempdir()? };
        std::fs::write(issuer.keys_file(), issuer.jwks())?;
        Ok(issuer)
    }

    /// The value of `--oidc` with which a server accepts its tokens.
    #[must_use]
    pub fn flag(&self) -> String {
        format!("issuer={},keys={}", self.name, self.keys_file().display())
    }

    /// A token of this subject.
    #[must_use]
    pub fn token(&self, sub: &str) -> String {
        self.sign(&json!({"iss": self.name, "aud": AUDIENCE, "sub": sub, "exp": now() + LASTS}))
    }

    /// A token that says this.
    #[must_use]
    pub fn sign(&self, claims: &Value) -> String {
        let header = json!({"alg": "EdDSA", "kid": self.kid}).to_string();
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims.to_string()));
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(self.key.sign(message.as_bytes())))
    }

    /// The file with its public keys, as a JWK set.
    #[must_use]
    pub fn keys_file(&self) -> PathBuf {
        self.folder.path().join("jwks.json")
    }

    fn jwks(&self) -> String {
        let x = URL_SAFE_NO_PAD.encode(self.key.public_key());
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": self.kid, "x": x}]}).to_string()
    }
}

impl Cluster {
    /// Starts its API server.
    ///
    /// # Errors
    ///
    /// When there is no free port.
    pub async fn start() -> anyhow::Result<Self> {
        let issuer = Issuer::new("https://kubernetes.default.svc.cluster.local")?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        // Pods may not reach what a cluster names.
        let publisher = Publisher::start(listener, &issuer, "https://elsewhere.invalid/jwks")?;
        Ok(Self { issuer, folder: tempfile::tempdir()?, publisher })
    }

    /// The API server is gone, as far as others can tell.
    pub fn stop(&mut self) {
        self.publisher.stop();
    }

    /// Other keys sign from now on, and are published beside no others.
    ///
    /// # Errors
    ///
    /// As [`Issuer::new`].
    pub fn rotate(&mut self) -> anyhow::Result<()> {
        self.issuer = Issuer::new(&self.issuer.name)?;
        self.publisher.publish(&self.issuer);
        Ok(())
    }

    /// The kubeconfig with which a server finds it.
    ///
    /// # Errors
    ///
    /// When it can't be written.
    pub fn kubeconfig(&self) -> anyhow::Result<String> {
        let path = self.folder.path().join("kubeconfig");
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "it",
            "clusters": [{"name": "it", "cluster": {"server": format!("http://{}", self.publisher.address)}}],
            "users": [{"name": "it", "user": {}}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        });
        std::fs::write(&path, config.to_string())?;
        Ok(path.display().to_string())
    }

    /// The token of a service account in no pod.
    #[must_use]
    pub fn unbound(&self, namespace: &str, name: &str) -> String {
        self.issuer.sign(&self.claims(namespace, name))
    }

    /// The token of a service account in the pod of this uid.
    #[must_use]
    pub fn bound(&self, namespace: &str, name: &str, pod: &str) -> String {
        let mut claims = self.claims(namespace, name);
        claims["kubernetes.io"] = json!({"namespace": namespace, "pod": {"name": "worker-0", "uid": pod}});
        self.issuer.sign(&claims)
    }

    fn claims(&self, namespace: &str, name: &str) -> Value {
        let sub = format!("system:serviceaccount:{namespace}:{name}");
        json!({"iss": self.issuer.name, "aud": [AUDIENCE], "sub": sub, "nbf": now(), "exp": now() + LASTS})
    }
}

impl Provider {
    /// Starts its HTTP server.
    ///
    /// # Errors
    ///
    /// When there is no free port.
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let issuer = Issuer::new(&format!("http://{}/realms/ops", listener.local_addr()?))?;
        let keys = format!("{}/keys", issuer.name);
        Ok(Self { publisher: Publisher::start(listener, &issuer, &keys)?, issuer })
    }

    /// The value of `--oidc` with which a server asks it for its keys.
    #[must_use]
    pub fn flag(&self) -> String {
        format!("issuer={}", self.issuer.name)
    }

    /// The subject that a server makes of its `sub`.
    #[must_use]
    pub fn subject(&self, sub: &str) -> String {
        format!("oidc:{}#{sub}", self.issuer.name)
    }

    /// A token of this subject.
    #[must_use]
    pub fn token(&self, sub: &str) -> String {
        self.issuer.token(sub)
    }

    /// Other keys sign from now on, and are published beside no others.
    ///
    /// # Errors
    ///
    /// As [`Issuer::new`].
    pub fn rotate(&mut self) -> anyhow::Result<()> {
        self.issuer = Issuer::new(&self.issuer.name)?;
        self.publisher.publish(&self.issuer);
        Ok(())
    }

    /// Its HTTP server is gone.
    pub fn stop(&mut self) {
        self.publisher.stop();
    }

    /// Its HTTP server is back, where it was.
    ///
    /// # Errors
    ///
    /// When the port is taken.
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        self.publisher.listen(TcpListener::bind(self.publisher.address).await?);
        Ok(())
    }
}

impl Publisher {
    fn start(listener: TcpListener, issuer: &Issuer, jwks_uri: &str) -> anyhow::Result<Self> {
        let discovery = json!({"issuer": issuer.name, "jwks_uri": jwks_uri}).to_string();
        let pages = Arc::new(Mutex::new(Pages { discovery, jwks: issuer.jwks() }));
        let mut publisher = Self { address: listener.local_addr()?, pages, serves: None };
        publisher.listen(listener);
        Ok(publisher)
    }

    fn listen(&mut self, listener: TcpListener) {
        self.serves = Some(tokio::spawn(serve(listener, Arc::clone(&self.pages))));
    }

    fn stop(&mut self) {
        self.serves.take().into_iter().for_each(|serves| serves.abort());
    }

    fn publish(&self, issuer: &Issuer) {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner).jwks = issuer.jwks();
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A call that shows this token.
pub fn by<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let bearer = format!("Bearer {token}").parse().expect("a token is ASCII");
    request.metadata_mut().insert("authorization", bearer);
    request
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

async fn serve(listener: TcpListener, pages: Arc<Mutex<Pages>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let pages = pages.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // Whoever breaks the connection asks again.
        let _ = answer(stream, pages).await;
    }
}

/// One request a connection.
async fn answer(stream: TcpStream, pages: Pages) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut request = String::new();
    stream.read_line(&mut request).await?;
    let mut line = String::from("-");
    while !line.trim_end().is_empty() {
        line.clear();
        stream.read_line(&mut line).await?;
    }
    let (status, body) = match request.split(' ').nth(1) {
        Some("/openid/v1/jwks" | "/realms/ops/keys") => ("200 OK", pages.jwks),
        Some("/.well-known/openid-configuration" | "/realms/ops/.well-known/openid-configuration") => {
            ("200 OK", pages.discovery)
        }
        _ => ("404 Not Found", String::new()),
    };
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n");
    stream.write_all(format!("{head}Connection: close\r\n\r\n{body}").as_bytes()).await?;
    stream.shutdown().await
}
