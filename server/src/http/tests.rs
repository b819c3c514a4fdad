//! Tests of the HTTP port, over real sockets.

use super::port::{BUFFER_BYTES, HttpLimits, LIMITS, serve_within};
use super::*;
use crate::net::TcpStream;
use leasehold_core::Time;
use serde_json::json;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;
use tokio::time::timeout;

struct HttpServer {
    address: SocketAddr,
    health: watch::Sender<Health>,
    metrics: Arc<Metrics>,
    beat: Arc<Beat>,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

async fn start() -> HttpServer {
    start_within(LIMITS).await
}

async fn start_within(limits: HttpLimits) -> HttpServer {
    start_with(limits, None).await
}

async fn start_with(limits: HttpLimits, bearer: Option<Bearer>) -> HttpServer {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (health, receiver) = watch::channel(Health::Starting);
    let metrics = Arc::new(Metrics::new());
    let jwks = json!({"keys": [{"kty": "OKP"}]});
    let beat = Arc::new(Beat::new(clock::now()));
    let (metrics_too, beat_too) = (Arc::clone(&metrics), Arc::clone(&beat));
    let state = HttpState { health: receiver, metrics: metrics_too, jwks, beat: beat_too, ca: None, bearer };
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(serve_within(limits, listener, state, shutdown.clone()));
    HttpServer { address, health, metrics, beat, shutdown, task }
}

/// Sends these bytes and reads until the server closes.
async fn send(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    timeout(Duration::from_secs(5), stream.read_to_string(&mut text)).await.unwrap().unwrap();
    text
}

/// Status, headers in lower case, body.
async fn fetch(address: SocketAddr, path: &str) -> (u16, String, String) {
    let text = send(address, &format!("GET {path} HTTP/1.1\r\nhost: leasehold\r\n\r\n")).await;
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_lowercase(), body.to_owned())
}

#[tokio::test]
async fn readiness_follows_health_and_liveness_the_loop() {
    let server = start().await;
    for (health, ready, says) in [
        (Health::Starting, 503, "starting\n"),
        (Health::Ready, 200, "ok\n"),
        (Health::NotReady("the store can't be written".into()), 503, "the store can't be written\n"),
        (Health::Ready, 200, "ok\n"),
        (Health::Stopping, 503, "stopping\n"),
    ] {
        server.health.send_replace(health);
        let (status, _, body) = fetch(server.address, "/readyz").await;
        assert_eq!((status, body.as_str()), (ready, says));
        assert_eq!(fetch(server.address, "/healthz").await.0, 200);
    }
    drop(server.health);
    assert_eq!(fetch(server.address, "/healthz").await.0, 200, "a loop that ended in good order");
}

#[tokio::test]
async fn a_loop_that_hangs_is_seen() {
    let server = start().await;
    server.health.send_replace(Health::Ready);
    server.beat.mark(Time(clock::now().0.saturating_sub(Beat::HANGS.0 + 1)));
    for path in ["/healthz", "/readyz"] {
        let (status, _, body) = fetch(server.address, path).await;
        assert_eq!((status, body.as_str()), (503, "the loop hangs: restart this process\n"));
    }
    server.beat.mark(clock::now());
    assert_eq!(fetch(server.address, "/healthz").await.0, 200);
}

#[tokio::test]
async fn probes_are_answered_while_the_keys_arent_there() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let waiting = tokio::spawn(serve_while_waiting(listener));
    assert_eq!(fetch(address, "/healthz").await.0, 200);
    let (status, _, body) = fetch(address, "/readyz").await;
    assert_eq!((status, body.as_str()), (503, "waiting for the API server, to read the keys\n"));
    waiting.abort();
}

#[tokio::test]
async fn a_loop_that_died_is_seen() {
    let HttpServer { address, health, .. } = start().await;
    health.send_replace(Health::Ready);
    drop(health);
    let (status, _, body) = fetch(address, "/healthz").await;
    assert_eq!((status, body.as_str()), (503, "the loop has ended: restart this process\n"));
    assert_eq!(fetch(address, "/readyz").await.0, 503);
}

#[tokio::test]
async fn metrics_and_keys_have_their_types() {
    let server = start().await;
    server.metrics.grants.inc();
    let (status, head, body) = fetch(server.address, "/metrics").await;
    assert_eq!(status, 200);
    assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"), "{head}");
    assert!(body.contains("leasehold_grants_total 1\n"), "{body}");

    let (status, head, body) = fetch(server.address, "/.well-known/jwks.json").await;
    assert_eq!((status, body.as_str()), (200, r#"{"keys":[{"kty":"OKP"}]}"#));
    assert!(head.contains("content-type: application/json") && head.contains("max-age=300"), "{head}");

    let (status, _, body) = fetch(server.address, "/").await;
    assert!(status == 200 && body.contains("/.well-known/jwks.json"), "{body}");
    assert_eq!(fetch(server.address, "/nothing").await.0, 404);
    assert!(send(server.address, "POST /metrics HTTP/1.1\r\nhost: a\r\n\r\n").await.starts_with("HTTP/1.1 405"));
}

#[tokio::test]
async fn what_isnt_http_gets_an_answer_and_an_end() {
    let server = start().await;
    assert!(send(server.address, "\0\0nonsense\r\n\r\n").await.starts_with("HTTP/1.1 400"));
    let huge = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "x".repeat(BUFFER_BYTES));
    assert!(send(server.address, &huge).await.starts_with("HTTP/1.1 431"));
}

/// Until the server has closed it; what came before.
async fn closed(mut stream: TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    let _ = timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await.expect("the server closes it");
    rest
}

#[tokio::test]
async fn clients_that_send_no_request_are_cut_after_a_moment() {
    let server = start_within(HttpLimits { head: Duration::from_millis(200), ..LIMITS }).await;
    for words in ["", "GET /healthz HTTP/1.1\r\nhost: a\r\n"] {
        let mut silent = TcpStream::connect(server.address).await.unwrap();
        silent.write_all(words.as_bytes()).await.unwrap();
        assert!(closed(silent).await.is_empty(), "{words:?}");
    }
}

#[tokio::test]
async fn clients_that_send_no_request_take_nobodys_place() {
    let patient = Duration::from_secs(600);
    let server = start_within(HttpLimits { head: patient, newcomers: 3, ..LIMITS }).await;
    let mut silent = Vec::new();
    for _ in 0..10 {
        silent.push(TcpStream::connect(server.address).await.unwrap());
        assert_eq!(fetch(server.address, "/healthz").await.0, 200);
    }
    // The oldest ones have made room for those that came later.
    let oldest = silent.remove(0);
    assert!(closed(oldest).await.is_empty());
}

#[tokio::test]
async fn probes_have_places_that_others_cant_take() {
    let server = start_within(HttpLimits { others: 0, ..LIMITS }).await;
    let (status, _, body) = fetch(server.address, "/metrics").await;
    assert_eq!((status, body.as_str()), (503, "too many requests at once; try again\n"));
    assert_eq!(fetch(server.address, "/healthz").await.2, "ok\n");
    assert_eq!(fetch(server.address, "/readyz").await.2, "starting\n");
    let server = start_within(HttpLimits { probes: 0, others: 1, ..LIMITS }).await;
    for _ in 0..3 {
        assert_eq!(fetch(server.address, "/metrics").await.0, 200, "a place is given back");
    }
}

#[tokio::test]
async fn it_stops_within_seconds_whoever_is_connected() {
    let server = start().await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    silent.write_all(b"GET /hea").await.unwrap();
    assert_eq!(fetch(server.address, "/healthz").await.0, 200);
    server.shutdown.cancel();
    timeout(Duration::from_secs(3), server.task).await.unwrap().unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
    let mut rest = Vec::new();
    let _ = timeout(Duration::from_secs(3), silent.read_to_end(&mut rest)).await.expect("the server closes it");
}

#[tokio::test]
async fn metrics_are_for_whoever_has_the_token() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let server = start_with(LIMITS, Some(Bearer::new(file.clone()))).await;
    let ask = async |path: &str, header: &str| {
        let text = send(server.address, &format!("GET {path} HTTP/1.1\r\nhost: leasehold\r\n{header}\r\n")).await;
        text.split(' ').nth(1).unwrap().parse::<u16>().unwrap()
    };
    assert_eq!(ask("/metrics", "authorization: Bearer s3cret\r\n").await, 503);
    for (token, header, status) in [
        ("s3cret\n", "authorization: Bearer s3cret\r\n", 200),
        ("s3cret", "Authorization: bearer s3cret\r\n", 200),
        ("s3cret", "authorization: Basic s3cret\r\n", 401),
        ("s3cret", "authorization: Bearer s3cre\r\n", 401),
        ("s3cret", "", 401),
        ("another", "authorization: Bearer s3cret\r\n", 401),
        ("\n", "authorization: Bearer \r\n", 503),
    ] {
        std::fs::write(&file, token).unwrap();
        assert_eq!(ask("/metrics", header).await, status, "{header:?} for {token:?}");
    }
    for open in ["/healthz", "/readyz", "/ca.crt", "/.well-known/jwks.json"] {
        assert_ne!(ask(open, "").await, 401);
    }
}
