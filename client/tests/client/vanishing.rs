//! A network that swallows the packets of the connections it has, and lets new ones through: a
//! firewall that forgot.

use crate::puppet::{Puppet, leading};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Passes connections on to the service; those older than the newest generation go nowhere, without
/// being closed.
async fn proxy(service: SocketAddr, generation: watch::Receiver<u32>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let mut generation = generation.clone();
            tokio::spawn(async move {
                generation.mark_unchanged();
                let mut far = TcpStream::connect(service).await.unwrap();
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                    _ = generation.changed() => std::future::pending().await,
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn a_lead_survives_a_connection_whose_packets_vanish() {
    let ttl = Duration::from_secs(2);
    let (cut, generation) = watch::channel(0);
    let mut puppet = Puppet::behind(|service| proxy(service, generation)).await;
    let (leadership, _stream) = puppet.lead(ttl).await;
    for _ in 0..2 {
        cut.send_modify(|generation| *generation += 1);
        let deadline = leadership.deadline();
        // No ping has found out by then: it takes 10 s to be sent and 5 s to fail.
        while leadership.deadline() <= deadline {
            puppet.keep_alive().await.answer(leading("over a new connection"));
            tokio::time::sleep(ttl / 20).await;
        }
        assert!(leadership.is_leading());
    }
    drop(leadership);
    // The connection of the calls vanished as well.
    assert_eq!(puppet.resign().await.request.ticket, b"over a new connection");
}
