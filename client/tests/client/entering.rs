//! Entering an election: lost replies, outages while waiting, tries, and futures that are dropped.

use crate::puppet::{Puppet, TENURE, answer, elected, ended, enrolled, leading, resigned, state, waiting};
use leasehold::proto::{CandidacyState, EndReason};
use leasehold::{Client, Error};
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};
use tonic::Status;

const TTL: Duration = Duration::from_millis(800);

#[tokio::test]
async fn a_first_reply_that_is_lost_is_asked_for_again_by_the_same_name() {
    let mut puppet = Puppet::start().await;
    let hold = Duration::from_secs(60);
    let campaign = puppet.client.campaign("e").candidate("c").value("v").ttl(TTL).hold(hold).replace_former();
    let campaign = tokio::spawn(campaign.into_future());
    let first = puppet.campaign().await;
    let attempt = first.request.attempt.clone();
    assert_eq!(attempt.len(), 32, "{attempt}");
    first.fail(Status::unavailable("lost")).await;
    let second = puppet.campaign().await;
    assert_eq!(second.request.attempt, attempt);
    drop(second);
    let stream = puppet.campaign().await;
    let request = &stream.request;
    assert_eq!((&request.attempt, request.hold.map(Duration::try_from)), (&attempt, Some(Ok(hold))));
    assert_eq!((request.election.as_str(), request.candidate.as_str(), request.value.as_str()), ("e", "c", "v"));
    assert!(request.replace_former && request.ticket.is_empty());
    assert_eq!(Duration::try_from(request.ttl.unwrap()), Ok(TTL));
    stream.send(enrolled("enrolled")).await;
    stream.send(elected("elected")).await;
    let leadership = campaign.await.unwrap().unwrap();
    assert_eq!((leadership.fencing_token(), leadership.tenure()), (100, TENURE));
}

#[tokio::test]
async fn a_candidacy_of_a_lower_tenure_isnt_believed() {
    let mut puppet = Puppet::start().await;
    let (_leadership, _stream) = puppet.lead(Duration::from_secs(10)).await;
    let second = tokio::spawn(puppet.client.campaign("other").into_future());
    puppet.get_in(TENURE);
    let stale = puppet.campaign().await;
    for mut response in [enrolled("stale"), elected("stale")] {
        response.tenure = TENURE - 1;
        stale.send(response).await;
    }
    let stream = puppet.campaign().await;
    assert!(!second.is_finished());
    assert!(stream.request.ticket.is_empty());
    stream.send(enrolled("enrolled")).await;
    stream.send(elected("elected")).await;
    assert!(second.await.unwrap().unwrap().is_leading());
}

#[tokio::test]
async fn an_outage_that_ends_a_waiting_candidacy_is_survived_by_entering_again() {
    let mut puppet = Puppet::start().await;
    let campaign = puppet.client.campaign("e").ttl(TTL).replace_former();
    let campaign = tokio::spawn(campaign.into_future());
    let stream = puppet.campaign().await;
    let first = stream.request.attempt.clone();
    stream.send(enrolled("first")).await;
    stream.send(waiting(1)).await;
    let mut over = state(CandidacyState::Ended, "");
    over.end_reason = EndReason::Expired.into();
    puppet.keep_alive().await.answer(answer(over));

    let stream = puppet.campaign().await;
    assert!(stream.request.ticket.is_empty(), "the old ticket is never used again");
    assert!(!stream.request.replace_former, "a successor may have come meanwhile");
    assert_ne!(stream.request.attempt, first, "another entry");
    stream.send(enrolled("second")).await;
    stream.send(waiting(0)).await;
    puppet.keep_alive().await.answer(answer(state(CandidacyState::Refused, "")));

    let stream = puppet.campaign().await;
    stream.send(enrolled("third")).await;
    stream.send(elected("third")).await;
    assert!(campaign.await.unwrap().unwrap().is_leading());
}

#[tokio::test]
async fn a_candidacy_that_somebody_ended_isnt_entered_again() {
    for reason in [EndReason::Replaced, EndReason::SteppedDown] {
        let mut puppet = Puppet::start().await;
        let campaign = tokio::spawn(puppet.client.campaign("e").ttl(TTL).into_future());
        let stream = puppet.campaign().await;
        stream.send(enrolled("enrolled")).await;
        stream.send(waiting(1)).await;
        stream.send(ended(reason)).await;
        let error = campaign.await.unwrap().unwrap_err();
        assert!(matches!(error, Error::Ended { reason: why, .. } if why == reason.into()), "{error:?}");
    }
}

#[tokio::test]
async fn a_try_says_not_granted_whether_it_was_enrolled_or_not() {
    let mut puppet = Puppet::start().await;
    for first in [Some(enrolled("enrolled")), None] {
        let campaign = tokio::spawn(puppet.client.campaign("e").ttl(TTL).no_wait().into_future());
        let stream = puppet.campaign().await;
        assert!(stream.request.no_wait);
        if let Some(first) = first {
            stream.send(first).await;
        }
        stream.send(ended(EndReason::NotGranted)).await;
        let error = campaign.await.unwrap().unwrap_err();
        assert!(matches!(&error, Error::NotGranted { detail } if detail == "the test says so"), "{error:?}");
    }
}

#[tokio::test]
async fn a_try_ends_by_itself_when_the_service_doesnt_end_it() {
    let mut puppet = Puppet::start().await;
    let max_wait = Duration::from_millis(300);
    let started = Instant::now();
    let campaign = tokio::spawn(puppet.client.campaign("e").max_wait(max_wait).into_future());
    let stream = puppet.campaign().await;
    let asked = Duration::try_from(stream.request.max_wait.unwrap()).unwrap();
    assert!(asked <= max_wait && asked > max_wait / 2, "{asked:?} of {max_wait:?}");
    assert_eq!(asked.subsec_nanos() % 1_000_000, 0, "the service takes whole milliseconds only");
    stream.send(enrolled("enrolled")).await;
    stream.send(waiting(1)).await;
    assert!(matches!(campaign.await.unwrap(), Err(Error::NotGranted { .. })));
    assert!(started.elapsed() >= max_wait && started.elapsed() < Duration::from_secs(3));
    puppet.resign().await.answer(resigned());
}

#[tokio::test]
async fn a_future_that_is_dropped_while_waiting_resigns() {
    let mut puppet = Puppet::start().await;
    let campaign = tokio::spawn(puppet.client.campaign("e").ttl(TTL).into_future());
    let stream = puppet.campaign().await;
    stream.send(enrolled("enrolled")).await;
    stream.send(waiting(1)).await;
    puppet.keep_alive().await.answer(answer(state(CandidacyState::Waiting, "kept")));
    let _second = puppet.keep_alive().await;
    campaign.abort();
    let resign = puppet.resign().await;
    assert_eq!(resign.request.ticket, b"kept");
    resign.answer(resigned());
}

#[tokio::test]
async fn a_future_that_is_dropped_before_the_first_answer_resigns_what_comes() {
    let mut puppet = Puppet::start().await;
    let campaign = tokio::spawn(puppet.client.campaign("e").ttl(TTL).into_future());
    let stream = puppet.campaign().await;
    campaign.abort();
    sleep(TTL / 4).await;
    stream.send(enrolled("enrolled late")).await;
    let resign = puppet.resign().await;
    assert_eq!(resign.request.ticket, b"enrolled late");
    resign.answer(resigned());
}

#[tokio::test]
async fn nobody_there_is_unreachable_after_the_patience_it_was_given() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = Client::connect(&endpoint).await.unwrap_err();
    assert!(matches!(&error, Error::Unreachable { detail } if detail.contains("refused")), "{error}");
    let started = Instant::now();
    let client = Client::connect_lazy(&endpoint).unwrap();
    let error = client.campaign("e").patience(Duration::from_millis(300)).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert!(started.elapsed() >= Duration::from_millis(300) && started.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn what_cant_be_sent_is_refused_here() {
    let client = Client::connect_lazy("http://127.0.0.1:1").unwrap();
    for ttl in [Duration::ZERO, Duration::from_micros(1500), Duration::MAX] {
        let error = client.campaign("e").ttl(ttl).await.unwrap_err();
        assert!(matches!(&error, Error::Invalid { what: "the ttl", .. }), "{ttl:?}: {error:?}");
    }
    for hold in [Duration::from_micros(1500), Duration::from_secs(24 * 60 * 60 + 1)] {
        let error = client.campaign("e").hold(hold).await.unwrap_err();
        assert!(matches!(&error, Error::Invalid { what: "the hold", .. }), "{hold:?}: {error:?}");
    }
    for endpoint in ["127.0.0.1:99999", "ftp://127.0.0.1:7400", "http://", "not a url"] {
        let error = Client::connect_lazy(endpoint).unwrap_err();
        assert!(matches!(&error, Error::Invalid { what: "the endpoint", .. }), "{endpoint}: {error:?}");
    }
}

#[tokio::test]
async fn a_silent_service_is_unreachable() {
    let puppet = Puppet::start().await;
    let call = puppet.client.verify("e", leasehold::Token::Fencing(1));
    let answer = timeout(Duration::from_secs(7), call).await.unwrap();
    assert!(matches!(answer, Err(Error::Unreachable { .. })), "{answer:?}");
}

#[tokio::test]
async fn a_lead_that_the_keep_alive_tells_first_needs_no_stream() {
    let mut puppet = Puppet::start().await;
    let campaign = tokio::spawn(puppet.client.campaign("e").ttl(TTL).into_future());
    let stream = puppet.campaign().await;
    stream.send(enrolled("enrolled")).await;
    stream.send(waiting(1)).await;
    drop(stream);
    let _never_answered = puppet.campaign().await;
    puppet.keep_alive().await.answer(leading("kept"));
    let leadership = campaign.await.unwrap().unwrap();
    assert_eq!((leadership.fencing_token(), leadership.task_token().as_str()), (100, "task token of kept"));
}
