//! Following who leads over streams that break.

use crate::proxy::{Mode, Proxy};
use crate::puppet::{Puppet, TENURE, refusal_of};
use futures::StreamExt as _;
use leasehold::proto::observe_response::Event;
use leasehold::proto::{ElectionChange, Leader, ObserveResponse, Progress, Resync, Settling, Synced};
use leasehold::{Client, Error, Observation, Observed, Selection};
use std::time::{Duration, Instant};
use tokio::time::timeout;
use tonic::{Code, Status};

fn event(event: Event) -> ObserveResponse {
    ObserveResponse { tenure: TENURE, event: Some(event) }
}

fn led(election: &str, revision: u64) -> ObserveResponse {
    let leader = Some(Leader { candidate: "c".to_owned(), fencing_token: revision, ..Leader::default() });
    event(Event::Change(ElectionChange {
        election: election.to_owned(),
        revision,
        leader,
        ..ElectionChange::default()
    }))
}

fn synced(revision: u64) -> ObserveResponse {
    event(Event::Synced(Synced { revision }))
}

/// The next event, short: `a=10`, `a=-`, `synced 12`, `reconnecting`.
async fn next(news: &mut Observation) -> String {
    match timeout(Duration::from_secs(5), news.next()).await.unwrap().unwrap().unwrap() {
        Observed::Change(leasehold::ElectionChange { election, leader: Some(leader), .. }) => {
            format!("{election}={}", leader.fencing_token)
        }
        Observed::Change(change) => format!("{}=-", change.election),
        Observed::Synced { revision } => format!("synced {revision}"),
        Observed::Reconnecting { .. } => "reconnecting".to_owned(),
        Observed::Settling { remaining } => format!("settling {remaining:?}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_stream_that_breaks_is_resumed_after_the_last_change() {
    let mut puppet = Puppet::start().await;
    let mut news = puppet.client.observe(Selection::prefix("billing/"));
    let first = tokio::spawn(async move { (next(&mut news).await, news) });
    let stream = puppet.observe().await;
    assert_eq!((stream.request.prefix.as_str(), stream.request.after_revision), ("billing/", 0));
    for response in [led("billing/a", 10), synced(11), led("billing/b", 12)] {
        stream.send(response).await;
    }
    let (event, mut news) = first.await.unwrap();
    assert_eq!(event, "billing/a=10");
    assert_eq!(next(&mut news).await, "synced 11");
    assert_eq!(next(&mut news).await, "billing/b=12");
    drop(stream);
    assert_eq!(next(&mut news).await, "reconnecting");
    let third = tokio::spawn(async move { (next(&mut news).await, news) });
    let stream = puppet.observe().await;
    assert_eq!(stream.request.after_revision, 12);
    stream.send(led("billing/a", 14)).await;
    assert_eq!(third.await.unwrap().0, "billing/a=14");
}

#[tokio::test]
async fn a_service_that_stops_in_good_order_is_resumed_after_its_last_word() {
    let mut puppet = Puppet::start().await;
    let mut news = puppet.client.observe(Selection::all());
    let first = tokio::spawn(async move { (next(&mut news).await, news) });
    let stream = puppet.observe().await;
    let remaining = Some(prost_types::Duration { seconds: 3, nanos: 0 });
    stream.send(event(Event::Settling(Settling { remaining }))).await;
    let (settling, mut news) = first.await.unwrap();
    assert_eq!(settling, "settling 3s");
    for response in [event(Event::Progress(Progress { revision: 0 })), led("a", 10), synced(12)] {
        stream.send(response).await;
    }
    stream.send(event(Event::Progress(Progress { revision: 40 }))).await;
    assert_eq!([next(&mut news).await, next(&mut news).await], ["a=10", "synced 12"]);
    stream.fail(Status::unavailable("the replica stops")).await;
    assert_eq!(next(&mut news).await, "reconnecting");
    let third = tokio::spawn(async move { next(&mut news).await });
    let stream = puppet.observe().await;
    assert_eq!(stream.request.after_revision, 40);
    stream.send(led("b", 41)).await;
    assert_eq!(third.await.unwrap(), "b=41");
}

#[tokio::test]
async fn after_a_resync_who_isnt_named_before_synced_is_vacant() {
    let mut puppet = Puppet::start().await;
    let mut news = puppet.client.observe(Selection::elections(["a", "b"]));
    let first = tokio::spawn(async move { (next(&mut news).await, news) });
    let stream = puppet.observe().await;
    let resync = event(Event::Resync(Resync { detail: "restarted".to_owned() }));
    for response in [led("a", 10), led("b", 11), synced(12), resync, led("b", 11), synced(20), led("a", 21)] {
        stream.send(response).await;
    }
    let (event, mut news) = first.await.unwrap();
    let mut events = vec![event];
    while events.last().is_some_and(|event| event != "a=21") {
        events.push(next(&mut news).await);
    }
    assert_eq!(events, ["a=10", "b=11", "synced 12", "a=-", "synced 20", "a=21"]);
}

/// The delay after a stream that broke.
async fn reconnecting(news: &mut Observation) -> Duration {
    loop {
        if let Observed::Reconnecting { delay, .. } =
            timeout(Duration::from_secs(10), news.next()).await.unwrap().unwrap().unwrap()
        {
            return delay;
        }
    }
}

#[tokio::test]
async fn after_a_success_the_delays_begin_anew() {
    const FIRST: Duration = Duration::from_millis(100);
    let mut puppet = Puppet::start().await;
    let mut news = puppet.client.observe(Selection::all());
    let delays = tokio::spawn(async move {
        let mut delays = Vec::new();
        for _ in 0..10 {
            delays.push(reconnecting(&mut news).await);
        }
        delays
    });
    // A stream that was synced is a success, however short it was.
    for _ in 0..5 {
        puppet.observe().await.send(synced(11)).await;
    }
    // So is a stream that a proxy has cut after a while, though nothing was told.
    for _ in 0..2 {
        let stream = puppet.observe().await;
        tokio::time::sleep(Duration::from_millis(1100)).await;
        drop(stream);
    }
    // These aren't.
    for _ in 0..3 {
        puppet.observe().await.fail(Status::unavailable("not now")).await;
    }
    let delays = delays.await.unwrap();
    assert!(delays[..7].iter().all(|delay| *delay <= FIRST), "{delays:?}");
    assert!(delays[9] >= FIRST * 2, "{delays:?}");
}

#[tokio::test]
async fn an_endpoint_that_freezes_is_noticed_in_5_s_and_left() {
    let mut puppet = Puppet::start().await;
    let frozen = Proxy::start(puppet.address, Mode::Pass).await;
    let other = Proxy::start(puppet.address, Mode::Pass).await;
    let endpoints = format!("{},{}", frozen.address, other.address);
    let mut news = Client::connect_lazy(endpoints).unwrap().observe(Selection::all());
    let first = tokio::spawn(async move { (next(&mut news).await, news) });
    let stream = puppet.observe().await;
    stream.send(synced(11)).await;
    let (event, mut news) = first.await.unwrap();
    assert_eq!(event, "synced 11");
    // Pings have been going to and fro for a while.
    assert!(timeout(Duration::from_secs(3), news.next()).await.is_err());
    frozen.set(Mode::Swallow);
    let since = Instant::now();
    reconnecting(&mut news).await;
    assert!(since.elapsed() < Duration::from_millis(5500), "noticed after {:?}", since.elapsed());
    let (_, taken) = (tokio::spawn(async move { news.next().await }), frozen.taken());
    puppet.observe().await;
    assert!(since.elapsed() < Duration::from_millis(6500), "went on after {:?}", since.elapsed());
    assert_eq!((frozen.taken(), other.taken()), (taken, 1), "by the other way");
}

#[tokio::test]
async fn news_of_a_lower_tenure_are_dropped_with_their_stream() {
    let mut puppet = Puppet::start().await;
    let mut news = puppet.client.observe(Selection::all());
    let events = tokio::spawn(async move { [next(&mut news).await, next(&mut news).await, next(&mut news).await] });
    let stream = puppet.observe().await;
    stream.send(led("a", 10)).await;
    let mut stale = led("a", 9);
    stale.tenure = TENURE - 1;
    stream.send(stale).await;
    let again = puppet.observe().await;
    assert_eq!(again.request.after_revision, 0, "it was never synced");
    again.send(led("a", 10)).await;
    again.send(led("a", 15)).await;
    assert_eq!(events.await.unwrap(), ["a=10", "reconnecting", "a=15"]);
}

#[tokio::test]
async fn an_error_that_would_come_again_ends_the_stream() {
    let mut puppet = Puppet::start().await;
    let mut news = puppet.client.observe(Selection::election("no such name?"));
    let all = tokio::spawn(async move { (news.next().await, news.next().await) });
    puppet.observe().await.fail(refusal_of(Code::InvalidArgument, "INVALID_NAME")).await;
    let (error, end) = all.await.unwrap();
    assert!(matches!(&error, Some(Err(Error::Refused { message, .. })) if message == "the test says so"), "{error:?}");
    assert!(end.is_none());
}

#[tokio::test]
async fn to_observe_no_election_is_an_error_and_not_to_observe_all() {
    let puppet = Puppet::start().await;
    let mut news = puppet.client.observe(Selection::elections(Vec::<String>::new()));
    let error = news.next().await;
    assert!(matches!(&error, Some(Err(Error::Invalid { what: "the selection", .. }))), "{error:?}");
    assert_eq!(news.next().await, None);
}
