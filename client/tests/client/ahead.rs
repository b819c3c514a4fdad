//! The connection for KeepAlives is up before a candidacy is entered.

use crate::proxy::{Mode, Proxy};
use crate::puppet::{Puppet, elected, enrolled, leading};
use leasehold::{Client, Error};
use std::future::IntoFuture as _;
use std::time::Duration;
use tokio::time::{sleep, timeout};

const TTL: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_leader_has_its_second_connection_before_the_first_keep_alive() {
    let mut puppet = Puppet::start().await;
    let way = Proxy::start(puppet.address, Mode::Pass).await;
    puppet.client = Client::connect(way.address.to_string()).await.unwrap();
    assert_eq!(way.taken(), 1);
    let (leadership, _stream) = puppet.lead(TTL).await;
    assert_eq!((way.taken(), puppet.forget_keep_alives()), (2, 0));
    // From now on nobody gets another connection.
    way.set(Mode::Full);
    for _ in 0..4 {
        puppet.keep_alive().await.answer(leading("kept"));
    }
    assert!(leadership.is_leading());
    assert_eq!(way.taken(), 2);
}

#[tokio::test]
async fn whoever_gets_no_second_connection_becomes_no_candidate() {
    let mut puppet = Puppet::start().await;
    let way = Proxy::start(puppet.address, Mode::Pass).await;
    puppet.client = Client::connect(way.address.to_string()).await.unwrap();
    way.set(Mode::Full);
    let campaign = puppet.client.campaign("e").ttl(TTL).patience(Duration::from_millis(300));
    let error = campaign.await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert!(timeout(Duration::from_millis(200), puppet.campaign()).await.is_err(), "nothing was entered");
    // It becomes one as soon as there is a connection for it.
    let campaign = tokio::spawn(puppet.client.campaign("e").ttl(TTL).into_future());
    sleep(Duration::from_millis(300)).await;
    way.set(Mode::Pass);
    let stream = puppet.campaign().await;
    stream.send(enrolled("enrolled")).await;
    stream.send(elected("elected")).await;
    assert!(campaign.await.unwrap().unwrap().is_leading());
}
