//! The word of a standby about the active replica: followed where that leads somewhere, and never
//! waited for.

use crate::proxy::{Mode, Proxy};
use crate::puppet::{Campaigned, Puppet, elected, event, leading, refusal, resigned};
use futures::StreamExt as _;
use leasehold::proto::campaign_response::Event;
use leasehold::proto::{Draining, ProclaimResponse, Role};
use leasehold::{Leadership, Selection};
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

const TTL: Duration = Duration::from_secs(2);
/// A KeepAlive is due each third of the ttl; with some for a busy machine.
const LONGEST_PAUSE: Duration = Duration::from_millis(900);

/// A standby, the active replica that it names, and what is between that and the client.
struct Pair {
    standby: Puppet,
    active: Puppet,
    way: Proxy,
    leadership: Leadership,
    stream: Campaigned,
}

/// A worker that leads through a standby. Nothing was named yet.
async fn pair() -> Pair {
    let (mut standby, active) = (Puppet::start().await, Puppet::start().await);
    standby.be(Role::Standby);
    let way = Proxy::start(active.address, Mode::Pass).await;
    let (leadership, stream) = standby.lead(TTL).await;
    Pair { standby, active, way, leadership, stream }
}

impl Pair {
    /// The KeepAlives go to the active replica itself.
    async fn followed() -> Self {
        let mut pair = pair().await;
        pair.standby.name_active(pair.way.address);
        pair.keep_at_standby(1).await;
        pair.active.keep_alive().await.answer(leading("kept by the active one"));
        pair
    }

    /// So many KeepAlives come to the standby, each in time.
    async fn keep_at_standby(&mut self, count: u32) {
        for _ in 0..count {
            let call = timeout(LONGEST_PAUSE, self.standby.keep_alive()).await;
            call.expect("nothing delays a KeepAlive").answer(leading("kept"));
            assert!(self.leadership.is_leading());
        }
    }
}

#[tokio::test]
async fn the_active_replica_that_is_named_is_gone_to() {
    let mut pair = Pair::followed().await;
    for _ in 0..2 {
        pair.active.keep_alive().await.answer(leading("kept by the active one"));
    }
    assert_eq!(pair.standby.forget_keep_alives(), 0);
    // The stream stays where it is.
    pair.stream.send(event(Event::Draining(Draining { fencing_token: 100, remaining: None }))).await;
    timeout(Duration::from_secs(1), pair.leadership.draining()).await.unwrap();
    // Another connection learns it from its own answers: the first call goes to the standby.
    let answer = async {
        let call = pair.standby.proclaim().await;
        call.answer(ProclaimResponse {
            tenure: crate::puppet::TENURE,
            revision: 101,
            version: 101,
            ..Default::default()
        });
    };
    let (proclaimed, ()) = tokio::join!(pair.leadership.proclaim("x"), answer);
    proclaimed.unwrap();
    sleep(Duration::from_millis(300)).await;
    drop(pair.leadership);
    pair.active.resign().await.answer(resigned());
}

#[tokio::test]
async fn it_may_be_named_by_an_error() {
    let mut pair = pair().await;
    pair.standby.name_active(pair.way.address);
    pair.standby.keep_alive().await.fail(refusal("NOT_ACTIVE"));
    let refused = Instant::now();
    while timeout(Duration::from_millis(20), pair.active.keep_alive()).await.is_err() {
        while let Ok(call) = timeout(Duration::ZERO, pair.standby.keep_alive()).await {
            call.fail(refusal("NOT_ACTIVE"));
        }
        assert!(refused.elapsed() < Duration::from_secs(1));
    }
}

#[tokio::test]
async fn an_address_where_nobody_answers_is_tried_once() {
    // The latter takes 2 s to be given up.
    for (mode, keep_alives) in [(Mode::Cut, 2), (Mode::Swallow, 5)] {
        let mut pair = pair().await;
        pair.way.set(mode);
        pair.standby.name_active(pair.way.address);
        pair.keep_at_standby(keep_alives).await;
        assert_eq!(pair.way.taken(), 1, "{mode:?}");
    }
}

#[tokio::test]
async fn a_replica_that_says_itself_that_it_isnt_active_isnt_gone_to() {
    let mut pair = pair().await;
    pair.active.be(Role::Standby);
    pair.standby.name_active(pair.way.address);
    pair.keep_at_standby(3).await;
    assert_eq!((pair.way.taken(), pair.active.forget_keep_alives()), (1, 0));
}

#[tokio::test]
async fn what_is_no_address_is_ignored() {
    let mut pair = pair().await;
    for bad in ["", "nonsense", "http://127.0.0.1:1", "127.0.0.1:99999", "0.0.0.0:7400", &"a:".repeat(200)] {
        pair.standby.name_active(bad);
        pair.keep_at_standby(1).await;
    }
    let scheme = format!("https://{}", pair.way.address);
    pair.standby.name_active(scheme);
    pair.keep_at_standby(1).await;
    sleep(TTL / 8).await;
    assert_eq!(pair.way.taken(), 0);
}

#[tokio::test]
async fn when_the_direct_connection_breaks_the_endpoint_is_used_at_once() {
    let mut pair = Pair::followed().await;
    pair.way.set(Mode::Cut);
    pair.keep_at_standby(2).await;
    let before = pair.way.taken();
    pair.way.set(Mode::Pass);
    pair.keep_at_standby(1).await;
    assert_eq!(pair.way.taken(), before, "it isn't trusted for a while");
}

#[tokio::test]
async fn when_the_direct_connection_goes_silent_the_lead_is_kept_through_the_endpoint() {
    let mut pair = Pair::followed().await;
    pair.way.set(Mode::Swallow);
    // The KeepAlive that hangs takes a sixth of the ttl.
    let call = timeout(LONGEST_PAUSE + TTL / 6, pair.standby.keep_alive()).await.unwrap();
    call.answer(leading("kept"));
    pair.keep_at_standby(1).await;
}

#[tokio::test]
async fn when_the_replica_isnt_active_any_more_the_endpoint_is_used_at_once() {
    for reason in ["NOT_ACTIVE", "SHUTTING_DOWN"] {
        let mut pair = Pair::followed().await;
        pair.active.keep_alive().await.fail(refusal(reason));
        let refused = Instant::now();
        pair.keep_at_standby(1).await;
        assert!(refused.elapsed() < Duration::from_millis(200), "{:?}", refused.elapsed());
        // The standby still names it, because it doesn't know better yet.
        pair.keep_at_standby(2).await;
        assert_eq!(pair.active.forget_keep_alives(), 0);
    }
}

#[tokio::test]
async fn a_direct_connection_to_a_replica_that_was_replaced_isnt_used_again() {
    let mut pair = Pair::followed().await;
    sleep(TTL / 20).await;
    let mut newer = elected("elected");
    newer.tenure += 1;
    pair.stream.send(newer).await;
    sleep(TTL / 20).await;
    let deadline = pair.leadership.deadline();
    pair.active.keep_alive().await.answer(leading("of a lower tenure than the stream's"));
    let call = timeout(LONGEST_PAUSE, pair.standby.keep_alive()).await.unwrap();
    assert!(pair.leadership.deadline() <= deadline + Duration::from_millis(1));
    let mut kept = leading("kept");
    kept.tenure += 1;
    call.answer(kept);
}

#[tokio::test]
async fn an_observation_stays_until_it_breaks() {
    let mut pair = pair().await;
    pair.standby.name_active(pair.way.address);
    let mut news = pair.standby.client.observe(Selection::all());
    let _events = tokio::spawn(async move { while news.next().await.is_some() {} });
    let stream = pair.standby.observe().await;
    let moved = timeout(TTL / 8, pair.active.observe()).await;
    assert!(moved.is_err(), "the stream is good where it is");
    stream.fail(tonic::Status::unavailable("the active replica changed")).await;
    pair.active.observe().await;
}
