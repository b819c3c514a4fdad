//! A service that has fallen back below what the client has seen of it, as after a restore: it
//! isn't believed, and its queue isn't filled.

use crate::puppet::{Puppet, TENURE, answer, elected, enrolled, leading, resigned, state, waiting};
use futures::StreamExt as _;
use leasehold::proto::{CampaignResponse, CandidacyState, KeepAliveResponse};
use leasehold::{Error, Lost, Standing};
use std::future::IntoFuture as _;
use std::time::{Duration, Instant};
use tokio::time::timeout;

const TTL: Duration = Duration::from_millis(1000);
const BELOW: u64 = TENURE - 3;
const FALLEN: Standing = Standing::Outdated { tenure: BELOW, newest: TENURE };

fn event_below(mut response: CampaignResponse) -> CampaignResponse {
    response.tenure = BELOW;
    response
}

fn below(mut response: KeepAliveResponse) -> KeepAliveResponse {
    response.tenure = BELOW;
    response
}

#[tokio::test]
async fn a_candidacy_that_is_entered_below_is_resigned_and_none_follows_before_the_service_is_up() {
    let mut puppet = Puppet::start().await;
    let (_leadership, _stream) = puppet.lead(Duration::from_secs(10)).await;
    let second = tokio::spawn(puppet.client.campaign("other").into_future());
    let stream = puppet.campaign().await;
    stream.send(event_below(enrolled("in vain"))).await;
    stream.send(event_below(elected("elected below"))).await;
    let resign = puppet.resign().await;
    assert_eq!(resign.request.ticket, b"in vain");
    let mut answer = resigned();
    answer.tenure = BELOW;
    resign.answer(answer);
    let none = timeout(Duration::from_secs(1), puppet.campaign()).await;
    assert!(none.is_err() && !second.is_finished(), "it asks first");
    puppet.get_in(TENURE);
    let stream = puppet.campaign().await;
    assert!(stream.request.ticket.is_empty());
    stream.send(enrolled("again")).await;
    stream.send(elected("elected")).await;
    assert!(second.await.unwrap().unwrap().is_leading());
}

#[tokio::test]
async fn a_waiting_candidate_leaves_a_service_that_has_fallen_back_and_comes_back_when_it_is_up() {
    let mut puppet = Puppet::start().await;
    let enroll = tokio::spawn(puppet.client.campaign("e").ttl(TTL).enroll());
    let stream = puppet.campaign().await;
    stream.send(enrolled("enrolled")).await;
    stream.send(waiting(1)).await;
    let candidacy = enroll.await.unwrap().unwrap();
    puppet.get_in(BELOW);
    let mut standings = candidacy.standings();
    assert_eq!(standings.next().await, Some(Standing::Waiting { ahead: Some(1), settling: None, hold: None }));

    // The service keeps a candidacy for the ticket, and grants it. The client doesn't listen.
    let fallen = Instant::now();
    let resign = puppet.until_resigned(|| below(leading("led below"))).await;
    assert!(fallen.elapsed() >= TTL, "not before a ttl is over: {:?}", fallen.elapsed());
    assert_eq!(resign.request.ticket, b"enrolled");
    drop(resign);
    assert_eq!(standings.next().await, Some(FALLEN));

    let none = timeout(TTL * 4, puppet.campaign()).await;
    assert!(none.is_err(), "nothing is left in the queue, nor entered");
    assert_eq!(candidacy.standing(), FALLEN);

    // A tenure above what it has seen is heard.
    puppet.get_in(TENURE + 1);
    let stream = puppet.campaign().await;
    let above = |mut response: CampaignResponse| {
        response.tenure = TENURE + 1;
        response
    };
    stream.send(above(enrolled("above"))).await;
    stream.send(above(waiting(0))).await;
    assert_eq!(standings.next().await, Some(Standing::Waiting { ahead: Some(0), settling: None, hold: None }));
}

#[tokio::test]
async fn a_leader_isnt_kept_by_answers_from_below() {
    let mut puppet = Puppet::start().await;
    let (leadership, stream) = puppet.lead(TTL).await;
    let deadline = leadership.deadline();
    drop(stream);
    let lost = tokio::select! {
        lost = leadership.lost() => lost,
        never = puppet.always(|| below(leading("led below")), || event_below(elected("elected below"))) => match never {},
    };
    assert_eq!(lost, Lost::Deadline);
    assert!(leadership.deadline() <= deadline + Duration::from_millis(1));
    assert!(!leadership.is_leading());
}

#[tokio::test]
async fn a_try_below_says_so() {
    let mut puppet = Puppet::start().await;
    let (_leadership, _stream) = puppet.lead(Duration::from_secs(10)).await;
    let campaign = puppet.client.campaign("other").patience(Duration::from_millis(200));
    let second = tokio::spawn(campaign.into_future());
    let stream = puppet.campaign().await;
    stream.send(event_below(enrolled("in vain"))).await;
    puppet.resign().await.answer(resigned());
    let error = second.await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Outdated { newest: TENURE, .. }), "{error:?}");
}

#[tokio::test]
async fn one_answer_of_the_newest_tenure_is_enough_to_go_on() {
    let mut puppet = Puppet::start().await;
    let enroll = tokio::spawn(puppet.client.campaign("e").ttl(TTL).enroll());
    let stream = puppet.campaign().await;
    stream.send(enrolled("enrolled")).await;
    stream.send(waiting(1)).await;
    let candidacy = enroll.await.unwrap().unwrap();
    let end = Instant::now() + TTL * 3;
    let mut count = 0;
    while Instant::now() < end {
        let call = puppet.keep_alive().await;
        let kept = answer(state(CandidacyState::Waiting, "kept"));
        count += 1;
        call.answer(if count % 4 == 0 { kept } else { below(kept) });
    }
    assert_eq!(candidacy.standing(), Standing::Waiting { ahead: Some(1), settling: None, hold: None });
}
