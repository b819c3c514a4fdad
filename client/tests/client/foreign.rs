//! Answers that aren't Leasehold's: a proxy's page, another program. None of them is believed, and
//! the next endpoint is asked.

use crate::page::Page;
use crate::puppet::{Puppet, TENURE, elected, enrolled, leading};
use futures::StreamExt as _;
use leasehold::proto::observe_response::Event;
use leasehold::proto::{ObserveResponse, Synced};
use leasehold::{Client, Error, Observed, Selection, Token};
use std::future::IntoFuture as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::timeout;
use tonic::Status;

const SOON: Duration = Duration::from_secs(5);

/// Why there is no connection to this endpoint.
async fn refused(address: SocketAddr) -> String {
    match Client::connect(address.to_string()).await.unwrap_err() {
        Error::Unreachable { detail } => detail,
        other => panic!("{other:?}"),
    }
}

/// A server that says this to every client.
fn stranger(says: &'static [u8]) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.write_all(says);
            open.push(stream);
        }
    });
    address
}

#[tokio::test]
async fn a_proxys_page_is_a_service_that_is_away_for_a_while() {
    for (status, name) in [
        (502, "502 Bad Gateway"),
        (503, "503 Service Unavailable"),
        (504, "504 Gateway Timeout"),
        (429, "429 Too Many"),
    ] {
        let page = Page::start(status);
        let said = refused(page.address).await;
        assert!(said.starts_with(&format!("a proxy at {} answered {name}", page.address)), "{said}");
        let client = Client::connect_lazy(page.address.to_string()).unwrap();
        for error in [client.get("e").await.unwrap_err(), client.verify("e", Token::Fencing(1)).await.unwrap_err()] {
            assert!(error.is_temporary(), "{error:?}");
            assert!(matches!(&error, Error::Unreachable { detail } if detail.contains(name)), "{error:?}");
        }
    }
}

#[tokio::test]
async fn of_a_page_and_a_service_the_service_is_used() {
    let (page, puppet) = (Page::start(502), Puppet::start().await);
    let both = format!("{},{}", page.address, puppet.address);
    assert!(Client::connect(&both).await.is_ok());
    // Without a connection that was tried before.
    let client = Client::connect_lazy(both).unwrap();
    let failed = client.status().await.unwrap_err();
    assert!(failed.is_temporary(), "{failed:?}");
    assert!(client.status().await.is_ok(), "the next endpoint");
}

#[tokio::test]
async fn a_leader_finds_its_way_past_a_page() {
    let (page, mut puppet) = (Page::start(503), Puppet::start().await);
    let client = Client::connect_lazy(format!("{},{}", page.address, puppet.address)).unwrap();
    let campaign = tokio::spawn(client.campaign("e").ttl(Duration::from_secs(2)).into_future());
    let stream = puppet.campaign().await;
    stream.send(enrolled("enrolled")).await;
    stream.send(elected("elected")).await;
    let leadership = campaign.await.unwrap().unwrap();
    puppet.keep_alive().await.answer(leading("kept"));
    assert!(leadership.is_leading());
}

#[tokio::test]
async fn an_observer_goes_on_behind_a_page() {
    let (page, mut puppet) = (Page::start(502), Puppet::start().await);
    let client = Client::connect_lazy(format!("{},{}", page.address, puppet.address)).unwrap();
    let mut news = client.observe(Selection::all());
    let first = timeout(SOON, news.next()).await.unwrap();
    assert!(
        matches!(&first, Some(Ok(Observed::Reconnecting { error, .. })) if error.to_string().contains("502")),
        "{first:?}"
    );
    let next = tokio::spawn(async move { news.next().await });
    let stream = puppet.observe().await;
    stream.send(ObserveResponse { tenure: TENURE, event: Some(Event::Synced(Synced { revision: 7 })) }).await;
    assert_eq!(next.await.unwrap(), Some(Ok(Observed::Synced { revision: 7 })));
}

/// The codes that stop a client if Leasehold itself says them, and only then.
const CODES: [u8; 5] = [3, 7, 8, 9, 16];

#[tokio::test]
async fn a_refusal_without_our_details_is_named_and_the_next_endpoint_asked_whatever_its_code() {
    let puppet = Puppet::start().await;
    for code in CODES {
        let other = Page::refusing(code).address;
        let said = refused(other).await;
        let what = format!("something answers at http://{other}, but not Leasehold's gRPC (default port 7400): ");
        assert!(said.starts_with(&format!("{what}gRPC status {code} (")), "{said}");
        assert!(said.ends_with("): upstream connect error"), "{said}");
        let both = format!("{other},{}", puppet.address);
        assert!(Client::connect(&both).await.is_ok(), "{code}");
        let client = Client::connect_lazy(both).unwrap();
        assert!(client.status().await.unwrap_err().is_temporary(), "{code}");
        assert!(client.status().await.is_ok(), "{code}: the next endpoint");
    }
}

#[tokio::test]
async fn an_observer_goes_on_behind_a_refusal_without_our_details() {
    let (other, mut puppet) = (Page::refusing(8), Puppet::start().await);
    let client = Client::connect_lazy(format!("{},{}", other.address, puppet.address)).unwrap();
    let mut news = client.observe(Selection::all());
    let first = timeout(SOON, news.next()).await.unwrap();
    assert!(matches!(&first, Some(Ok(Observed::Reconnecting { .. }))), "{first:?}");
    let _news = tokio::spawn(async move { news.next().await });
    puppet.observe().await;
}

#[tokio::test]
async fn a_leader_and_an_observer_leave_whoever_refuses_them_without_our_details() {
    let (mut first, mut second) = (Puppet::start().await, Puppet::start().await);
    let client = Client::connect(format!("{},{}", first.address, second.address)).await.unwrap();
    let campaign = tokio::spawn(client.campaign("e").ttl(Duration::from_secs(3)).into_future());
    let stream = first.campaign().await;
    stream.send(enrolled("enrolled")).await;
    stream.send(elected("elected")).await;
    let leadership = campaign.await.unwrap().unwrap();
    let mut news = client.observe(Selection::all());
    let _news = tokio::spawn(async move { while news.next().await.is_some() {} });
    // After its headers: the observer has taken it for the service.
    first.observe().await.fail(Status::permission_denied("not you")).await;
    second.observe().await;
    first.keep_alive().await.fail(Status::unauthenticated("who are you?"));
    second.keep_alive().await.answer(leading("kept"));
    assert!(leadership.is_leading());
}

#[tokio::test]
async fn another_program_is_named_for_what_it_is() {
    let http: &[u8] = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n";
    for (says, who) in [(http, "it speaks HTTP/1"), (b"SSH-2.0-x\r\n", "it doesn't speak HTTP/2")] {
        let address = stranger(says);
        let expected =
            format!("something answers at http://{address}, but not Leasehold's gRPC (default port 7400): {who}");
        assert_eq!(refused(address).await, expected);
    }
    let address = stranger(b"\x15\x03\x01\0\x02\x02\x46");
    let expected = format!("{address} speaks TLS, and was asked in plain text: give it as https://{address}");
    assert_eq!(refused(address).await, expected);
    let page = Page::start(404);
    let said = refused(page.address).await;
    assert!(said.contains("but not Leasehold's gRPC") && said.contains("404 Not Found with text/html"), "{said}");
}

#[tokio::test]
async fn another_grpc_service_is_named_for_what_it_is() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    let routes = tonic::service::Routes::default();
    tokio::spawn(tonic::transport::Server::builder().add_routes(routes).serve_with_incoming(incoming));
    let said = refused(address).await;
    assert!(said.contains("but not Leasehold's gRPC"), "{said}");
    assert!(said.ends_with("it doesn't know /leasehold.v1.AdminService/GetStatus"), "{said}");
    let puppet = Puppet::start().await;
    assert!(Client::connect(format!("{address},{}", puppet.address)).await.is_ok());
}
