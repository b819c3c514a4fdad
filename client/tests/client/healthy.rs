//! A candidacy that hangs on a health check: who is unhealthy isn't a candidate, and a leader that
//! turns so resigns.

use crate::puppet::{Puppet, elected, enrolled, leading, resigned, waiting};
use futures::StreamExt as _;
use leasehold::{Campaign, Error, HealthCheck, Lost, Standing};
use std::future::{IntoFuture as _, pending};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};
use tokio::time::timeout;

const TTL: Duration = Duration::from_secs(2);
const INTERVAL: Duration = Duration::from_millis(50);
const TIMEOUT: Duration = Duration::from_millis(100);
/// Far less than a ttl.
const SOON: Duration = Duration::from_millis(600);

const WELL: u8 = 0;
const SICK: u8 = 1;
const HANGS: u8 = 2;

/// How the worker is.
#[derive(Clone, Default)]
struct State(Arc<AtomicU8>);

impl State {
    fn be(&self, state: u8) {
        self.0.store(state, Ordering::SeqCst);
    }

    fn tie(&self, campaign: Campaign) -> Campaign {
        let state = self.clone();
        let check = HealthCheck::new(move || {
            let state = state.0.load(Ordering::SeqCst);
            async move {
                match state {
                    WELL => Ok(()),
                    SICK => Err("it has a cold".to_owned()),
                    _ => pending().await,
                }
            }
        });
        campaign.health(check.interval(INTERVAL).timeout(TIMEOUT)).ttl(TTL)
    }
}

fn unhealthy(detail: &str) -> Lost {
    Lost::Unhealthy { detail: detail.to_owned() }
}

#[tokio::test]
async fn a_leader_that_turns_unhealthy_drops_its_work_and_resigns() {
    for (state, detail) in [(SICK, "it has a cold"), (HANGS, "no answer within 100ms")] {
        let mut puppet = Puppet::start().await;
        let health = State::default();
        let campaign = tokio::spawn(health.tie(puppet.client.campaign("e")).into_future());
        let stream = puppet.campaign().await;
        stream.send(enrolled("enrolled")).await;
        stream.send(elected("elected")).await;
        let leadership = campaign.await.unwrap().unwrap();
        assert!(timeout(INTERVAL * 4, leadership.guard(pending::<()>())).await.is_err(), "it is well");
        puppet.forget_keep_alives();
        health.be(state);
        let start = Instant::now();
        assert_eq!(leadership.guard(pending::<()>()).await, Err(unhealthy(detail)));
        assert!(start.elapsed() < SOON && !leadership.is_leading(), "{:?}", start.elapsed());
        drop(leadership);
        let resign = puppet.resign().await;
        assert_eq!(resign.request.ticket, b"elected");
        resign.answer(resigned());
        assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    }
}

#[tokio::test]
async fn while_the_guard_is_held_an_unhealthy_leader_isnt_kept_alive() {
    let mut puppet = Puppet::start().await;
    let health = State::default();
    let campaign = tokio::spawn(health.tie(puppet.client.campaign("e")).into_future());
    let stream = puppet.campaign().await;
    stream.send(enrolled("enrolled")).await;
    stream.send(elected("elected")).await;
    let leadership = campaign.await.unwrap().unwrap();
    health.be(SICK);
    assert_eq!(leadership.lost().await, unhealthy("it has a cold"));
    puppet.forget_keep_alives();
    tokio::time::sleep(TTL).await;
    assert_eq!(puppet.forget_keep_alives(), 0, "so its ttl ends, though it never lets go");
    drop(leadership);
    puppet.resign().await.answer(resigned());
}

#[tokio::test]
async fn keep_alives_dont_wait_for_a_check_that_hangs() {
    let mut puppet = Puppet::start().await;
    let ttl = Duration::from_millis(300);
    let count = AtomicU8::new(0);
    let hangs_at_second = HealthCheck::new(move || {
        let first = count.fetch_add(1, Ordering::SeqCst) == 0;
        async move { if first { Ok(()) } else { pending().await } }
    });
    let check = hangs_at_second.interval(INTERVAL).timeout(Duration::from_secs(60));
    let campaign = puppet.client.campaign("e").health(check).ttl(ttl);
    let campaign = tokio::spawn(campaign.into_future());
    let stream = puppet.campaign().await;
    stream.send(enrolled("enrolled")).await;
    stream.send(elected("elected")).await;
    let leadership = campaign.await.unwrap().unwrap();
    for ticket in ["a", "b", "c", "d", "e", "f"] {
        puppet.keep_alive().await.answer(leading(ticket));
    }
    assert!(leadership.is_leading());
}

#[tokio::test]
async fn who_is_unhealthy_enters_when_it_is_well() {
    let mut puppet = Puppet::start().await;
    let health = State::default();
    health.be(SICK);
    // It may take longer than the patience, which is for the service.
    let campaign = health.tie(puppet.client.campaign("e")).patience(INTERVAL);
    let mut enroll = tokio::spawn(campaign.enroll());
    assert!(timeout(INTERVAL * 5, &mut enroll).await.is_err());
    assert!(timeout(INTERVAL, puppet.campaign()).await.is_err(), "the service hasn't heard of it");
    health.be(WELL);
    let stream = timeout(SOON, puppet.campaign()).await.unwrap();
    stream.send(enrolled("enrolled")).await;
    stream.send(waiting(1)).await;
    assert!(enroll.await.unwrap().is_ok());
}

#[tokio::test]
async fn who_turns_unhealthy_in_the_queue_leaves_it_and_comes_back_when_it_is_well() {
    let mut puppet = Puppet::start().await;
    let health = State::default();
    let enroll = tokio::spawn(health.tie(puppet.client.campaign("e")).enroll());
    let stream = puppet.campaign().await;
    stream.send(enrolled("first")).await;
    stream.send(waiting(1)).await;
    let candidacy = enroll.await.unwrap().unwrap();
    let mut standings = Box::pin(candidacy.standings());
    assert!(matches!(standings.next().await, Some(Standing::Entering | Standing::Waiting { .. })));
    health.be(HANGS);
    let resign = timeout(SOON, puppet.resign()).await.unwrap();
    assert_eq!(resign.request.ticket, b"first");
    resign.answer(resigned());
    while standings.next().await != Some(Standing::Unhealthy) {}
    assert!(timeout(INTERVAL * 5, puppet.campaign()).await.is_err());
    health.be(WELL);
    let stream = puppet.campaign().await;
    assert!(stream.request.ticket.is_empty(), "a new candidacy, behind the others");
    stream.send(enrolled("second")).await;
    stream.send(elected("elected")).await;
    assert_eq!(standings.next().await, Some(Standing::Leading));
    assert_eq!(candidacy.elected().await.unwrap().fencing_token(), 100);
}

#[tokio::test]
async fn a_try_of_an_unhealthy_worker_ends_as_unhealthy() {
    let puppet = Puppet::start().await;
    let health = State::default();
    health.be(SICK);
    let sick = Error::Unhealthy { detail: "it has a cold".to_owned() };
    assert_eq!(health.tie(puppet.client.campaign("e")).no_wait().await.unwrap_err(), sick);
    let start = Instant::now();
    assert_eq!(health.tie(puppet.client.campaign("e")).max_wait(INTERVAL * 3).await.unwrap_err(), sick);
    assert!(start.elapsed() >= INTERVAL * 3 && start.elapsed() < TTL, "{:?}", start.elapsed());
    let check = || HealthCheck::new(|| async { Ok(()) });
    for (check, what) in [(check().interval(Duration::ZERO), "interval"), (check().timeout(Duration::ZERO), "timeout")]
    {
        let error = puppet.client.campaign("e").health(check).await.unwrap_err().to_string();
        assert_eq!(error, format!("the {what} of the health check isn't valid: it is zero"));
    }
}
