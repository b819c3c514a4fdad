//! Several endpoints: which one is used, and that one which doesn't answer costs nothing.

use crate::proxy::{Mode, Proxy};
use crate::puppet::{Puppet, TENURE, elected, enrolled, leading, refusal, resigned};
use leasehold::{Client, Error, Leadership, Lost};
use std::future::IntoFuture as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

/// The longest time until the next endpoint is tried, with some for a busy machine.
const QUICKLY: Duration = Duration::from_millis(300);

fn list(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(|address| format!("http://{address}")).collect::<Vec<_>>().join(", ")
}

fn closed() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A puppet and three ways to it; its client knows all three.
async fn three_ways() -> (Puppet, [Proxy; 3]) {
    let mut puppet = Puppet::start().await;
    let mut ways = Vec::new();
    for _ in 0..3 {
        ways.push(Proxy::start(puppet.address, Mode::Pass).await);
    }
    let ways: [Proxy; 3] = ways.try_into().unwrap();
    puppet.client = Client::connect_lazy(list(&ways.each_ref().map(|way| way.address))).unwrap();
    (puppet, ways)
}

/// Two puppets; the client of the first knows both, in this order.
async fn two() -> (Puppet, Puppet) {
    let (mut first, second) = (Puppet::start().await, Puppet::start().await);
    first.client = Client::connect(list(&[first.address, second.address])).await.unwrap();
    (first, second)
}

/// Answers KeepAlives for this time. The lead must last.
async fn keep(puppet: &mut Puppet, leadership: &Leadership, time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        if let Ok(call) = timeout(Duration::from_millis(20), puppet.keep_alive()).await {
            call.answer(leading("kept"));
        }
        assert!(leadership.is_leading(), "lost {:?} before the end", end - Instant::now());
    }
}

#[tokio::test]
async fn the_first_endpoint_that_answers_is_used() {
    let hanging = Proxy::start(closed(), Mode::Swallow).await;
    let (mut puppet, other) = (Puppet::start().await, Puppet::start().await);
    let before = Instant::now();
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addresses = [closed(), silent.local_addr().unwrap(), hanging.address, puppet.address, other.address];
    puppet.client = Client::connect(list(&addresses)).await.unwrap();
    assert!(before.elapsed() < Duration::from_secs(2), "{:?}", before.elapsed());
    let (leadership, _stream) = puppet.lead(Duration::from_secs(2)).await;
    puppet.keep_alive().await.answer(leading("kept"));
    assert!(leadership.is_leading());
}

#[tokio::test]
async fn if_nobody_answers_every_endpoint_is_told() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addresses = [closed(), silent.local_addr().unwrap()];
    let before = Instant::now();
    let error = Client::connect(list(&addresses)).await.unwrap_err();
    assert!(before.elapsed() < Duration::from_secs(3), "{:?}", before.elapsed());
    let Error::Unreachable { detail } = &error else { panic!("{error:?}") };
    assert!(addresses.iter().all(|address| detail.contains(&format!("http://{address}"))), "{detail}");
}

#[tokio::test]
async fn an_endpoint_that_goes_silent_costs_no_lead() {
    let ttl = Duration::from_secs(2);
    let (mut puppet, ways) = three_ways().await;
    let (leadership, _stream) = puppet.lead(ttl).await;
    keep(&mut puppet, &leadership, ttl / 3).await;
    ways[0].set(Mode::Swallow);
    keep(&mut puppet, &leadership, ttl * 3 / 2).await;
    assert!(ways[1].taken() > 0, "the next one is used");
    // The replica in use goes silent, and the next one is dead already.
    ways[2].set(Mode::Cut);
    ways[0].set(Mode::Pass);
    ways[1].set(Mode::Swallow);
    keep(&mut puppet, &leadership, ttl * 3 / 2).await;
}

#[tokio::test]
async fn a_lead_that_was_won_past_a_silent_endpoint_is_kept_past_it() {
    let (mut puppet, ways) = three_ways().await;
    ways[0].set(Mode::Swallow);
    let (leadership, _stream) = puppet.lead(Duration::from_secs(2)).await;
    let before = ways[0].taken();
    keep(&mut puppet, &leadership, Duration::from_secs(2)).await;
    assert_eq!(ways[0].taken(), before, "KeepAlives begin where the Campaign was answered");
}

#[tokio::test]
async fn a_replica_that_isnt_active_is_left_for_the_next_one() {
    for reason in ["NOT_ACTIVE", "SHUTTING_DOWN"] {
        let (mut first, mut second) = two().await;
        let campaign = tokio::spawn(first.client.campaign("e").ttl(Duration::from_secs(2)).into_future());
        first.campaign().await.fail(refusal(reason)).await;
        let refused = Instant::now();
        let stream = second.campaign().await;
        assert!(refused.elapsed() < QUICKLY, "{:?}", refused.elapsed());
        stream.send(enrolled("enrolled")).await;
        stream.send(elected("elected")).await;
        let leadership = campaign.await.unwrap().unwrap();

        second.keep_alive().await.fail(refusal(reason));
        let refused = Instant::now();
        let call = first.keep_alive().await;
        assert!(refused.elapsed() < QUICKLY, "{:?}", refused.elapsed());
        assert_eq!(call.request.items[0].ticket, b"elected");
        call.answer(leading("kept"));
        first.keep_alive().await.answer(leading("kept on"));
        sleep(Duration::from_millis(100)).await;
        assert!(leadership.is_leading());
        // The calls still go where they were answered.
        drop(leadership);
        assert_eq!(second.resign().await.request.ticket, b"kept on");
    }
}

#[tokio::test]
async fn replicas_of_which_none_is_active_arent_hammered() {
    let (mut first, mut second) = two().await;
    let _campaign = tokio::spawn(first.client.campaign("e").into_future());
    let mut refused = [0; 2];
    let end = sleep(Duration::from_secs(3));
    tokio::pin!(end);
    loop {
        let (stream, index) = tokio::select! {
            () = &mut end => break,
            stream = first.campaign() => (stream, 0),
            stream = second.campaign() => (stream, 1),
        };
        refused[index] += 1;
        stream.fail(refusal("NOT_ACTIVE")).await;
    }
    assert!(refused.iter().all(|count| (3..=8).contains(count)), "{refused:?}");
}

#[tokio::test]
async fn a_replica_that_was_replaced_is_heard_on_no_endpoint() {
    let ttl = Duration::from_secs(2);
    let (mut first, mut second) = two().await;
    let (leadership, stream) = first.lead(ttl).await;
    let deadline = leadership.deadline();
    first.keep_alive().await.fail(refusal("NOT_ACTIVE"));
    // The next endpoint is that of a replica which was paused, and believes in an earlier tenure.
    let mut stale = leading("from a replica that was replaced");
    stale.tenure = TENURE - 1;
    second.keep_alive().await.answer(stale);
    let answered = Instant::now();
    let call = first.keep_alive().await;
    assert!(answered.elapsed() < QUICKLY, "it isn't asked again: {:?}", answered.elapsed());
    assert_eq!(call.request.items[0].ticket, b"elected");
    assert!(leadership.deadline() <= deadline + Duration::from_millis(1), "it extends nothing");
    call.answer(leading("kept"));
    sleep(Duration::from_millis(100)).await;

    // The stream is opened at the second replica as well.
    stream.fail(refusal("NOT_ACTIVE")).await;
    let stale = second.campaign().await;
    let mut event = elected("stale");
    event.tenure = TENURE - 1;
    stale.send(event).await;
    let again = first.campaign().await;
    assert_eq!(again.request.ticket, b"kept");
    again.send(elected("reopened")).await;
    sleep(Duration::from_millis(100)).await;
    assert!(leadership.is_leading());
    let lost = leadership.lost();
    drop(leadership);
    assert_eq!(lost.await, Lost::Resigned);
    let resign = first.resign().await;
    assert_eq!(resign.request.ticket, b"reopened");
    resign.answer(resigned());
}

#[tokio::test]
async fn a_stream_that_a_standby_ends_is_opened_again_where_it_was() {
    let (mut first, _second) = two().await;
    let (_leadership, stream) = first.lead(Duration::from_secs(2)).await;
    stream.fail(tonic::Status::unavailable("the active replica changed")).await;
    assert_eq!(first.campaign().await.request.ticket, b"elected");
}
