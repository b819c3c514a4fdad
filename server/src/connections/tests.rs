//! Tests of the admission of connections, over real sockets.

use super::*;
use crate::ledger;
use futures::StreamExt as _;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpSocket;

type Incoming = Pin<Box<dyn Stream<Item = Connection> + Send>>;

const LIMITS: ConnectionLimits = ConnectionLimits { connections: 8, per_address: 8, newcomers: 8 };
/// A bound, not an expectation.
const PATIENCE: Duration = Duration::from_secs(20);

async fn start(limits: ConnectionLimits) -> (Incoming, SocketAddr, Arc<Metrics>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, metrics) = (listener.local_addr().unwrap(), Arc::new(Metrics::new()));
    let ledger = Ledger::new(ledger::LedgerLimits { unsent_bytes: 1, streams: 1 }, Arc::clone(&metrics));
    (Box::pin(incoming(listener, None, limits, Arc::clone(&metrics), ledger)), address, metrics)
}

async fn speak(address: SocketAddr) -> TcpStream {
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(PREFACE).await.unwrap();
    client
}

async fn next(connections: &mut Incoming) -> Connection {
    timeout(PATIENCE, connections.next()).await.expect("nobody is admitted").unwrap()
}

/// Until the server has closed it.
async fn closed(client: &mut TcpStream) {
    let read = timeout(PATIENCE, client.read(&mut [0])).await.expect("it stays open");
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
}

#[tokio::test]
async fn a_client_is_admitted_when_it_has_spoken_and_nothing_it_said_is_lost() {
    let (mut connections, address, _) = start(LIMITS).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    for piece in [&PREFACE[..1], &PREFACE[1..20], &PREFACE[20..], &[0; 9]] {
        client.write_all(piece).await.unwrap();
        client.flush().await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut connection = next(&mut connections).await;
    let mut heard = [0; PREFACE.len() + 9];
    connection.read_exact(&mut heard).await.unwrap();
    assert_eq!(heard, [PREFACE.as_slice(), &[0; 9]].concat()[..]);
}

#[tokio::test]
async fn whoever_says_nothing_or_too_little_or_something_else_is_closed() {
    let (mut connections, address, metrics) = start(LIMITS).await;
    let mut clients = Vec::new();
    for words in [&b""[..], &PREFACE[..1], &PREFACE[..23], b"GET / HTTP/1.1\r\nhost: leasehold\r\n\r\n"] {
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(words).await.unwrap();
        clients.push(client);
    }
    for client in &mut clients {
        closed(client).await;
    }
    assert!(metrics.encode().contains("leasehold_connections_closed_total{reason=\"NO_PREFACE\"} 4\n"));
    let _client = speak(address).await;
    next(&mut connections).await;
}

#[tokio::test]
async fn silent_newcomers_dont_keep_others_out() {
    let (mut connections, address, _) = start(ConnectionLimits { newcomers: 2, ..LIMITS }).await;
    let mut first = TcpStream::connect(address).await.unwrap();
    let _second = TcpStream::connect(address).await.unwrap();
    let _third = speak(address).await;
    next(&mut connections).await;
    // Sooner than its time would have been over: the third one made it leave.
    closed(&mut first).await;
}

#[tokio::test]
async fn one_address_cant_take_all_places() {
    let (mut connections, address, metrics) = start(ConnectionLimits { per_address: 2, ..LIMITS }).await;
    let mut open = Vec::new();
    for _ in 0..2 {
        let client = speak(address).await;
        open.push((client, next(&mut connections).await));
    }
    closed(&mut TcpStream::connect(address).await.unwrap()).await;
    assert!(metrics.encode().contains("leasehold_connections_closed_total{reason=\"ADDRESS_FULL\"} 1\n"));
    let elsewhere = TcpSocket::new_v4().unwrap();
    elsewhere.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut elsewhere = elsewhere.connect(address).await.unwrap();
    elsewhere.write_all(PREFACE).await.unwrap();
    next(&mut connections).await;
    open.pop();
    let _client = speak(address).await;
    next(&mut connections).await;
}

#[tokio::test]
async fn whoever_comes_when_all_places_are_taken_waits_for_one() {
    let (mut connections, address, _) = start(ConnectionLimits { connections: 1, ..LIMITS }).await;
    let _first = speak(address).await;
    let taken = next(&mut connections).await;
    let _second = speak(address).await;
    assert!(timeout(Duration::from_millis(100), connections.next()).await.is_err(), "there is no place");
    drop(taken);
    next(&mut connections).await;
}

#[tokio::test]
async fn a_connection_that_is_cut_ends_for_whoever_reads_or_writes() {
    let (mut connections, address, _) = start(LIMITS).await;
    let mut client = speak(address).await;
    let mut connection = next(&mut connections).await;
    connection.read_exact(&mut [0; PREFACE.len()]).await.unwrap();
    let peer = connection.peer().clone();
    assert_eq!(peer.address(), client.local_addr().unwrap().ip());
    let reads = tokio::spawn(async move {
        let read = connection.read(&mut [0]).await;
        (connection.write(&[0]).await, read)
    });
    tokio::task::yield_now().await;
    peer.cut();
    let (wrote, read) = timeout(PATIENCE, reads).await.unwrap().unwrap();
    assert_eq!(read.unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
    assert_eq!(wrote.unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
    closed(&mut client).await;
}

#[test]
fn places_are_shared_out_of_the_files_that_there_may_be() {
    assert_eq!(
        ConnectionLimits::below(usize::MAX, None),
        ConnectionLimits { connections: 16_384, per_address: 4096, newcomers: 1024 }
    );
    assert_eq!(
        ConnectionLimits::below(1024, None),
        ConnectionLimits { connections: 496, per_address: 124, newcomers: 128 }
    );
    assert_eq!(
        ConnectionLimits::below(64, Some(3)),
        ConnectionLimits { connections: 16, per_address: 3, newcomers: 16 }
    );
}
