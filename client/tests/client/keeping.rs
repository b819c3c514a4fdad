//! Keeping a leadership: streams that break, tickets that cross, draining, resigning.

use crate::puppet::{Puppet, TENURE, answer, elected, enrolled, event, leading, resigned, state};
use futures::StreamExt as _;
use leasehold::Lost;
use leasehold::proto::campaign_response::Event;
use leasehold::proto::{CandidacyState, Draining, EndReason, ProclaimResponse};
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::timeout;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

const TTL: Duration = Duration::from_millis(800);

#[tokio::test]
async fn a_stream_that_breaks_is_opened_again_with_the_latest_ticket() {
    let mut puppet = Puppet::start().await;
    let (leadership, stream) = puppet.lead(Duration::from_secs(2)).await;
    puppet.keep_alive().await.answer(leading("kept"));
    let second = puppet.keep_alive().await;
    stream.fail(Status::unavailable("the service stops")).await;
    let again = puppet.campaign().await;
    assert_eq!(again.request.ticket, b"kept");
    let deadline = leadership.deadline();
    again.send(enrolled("older")).await;
    again.send(elected("reopened")).await;
    drop(second);
    let next = puppet.keep_alive().await;
    assert_eq!(next.request.items[0].ticket, b"reopened");
    assert!(leadership.deadline() <= deadline + Duration::from_millis(1), "opening it again extends nothing");
    next.answer(leading("t"));
}

#[tokio::test]
async fn a_stream_that_cant_be_opened_does_no_harm_while_keep_alives_succeed() {
    let mut puppet = Puppet::start().await;
    let (leadership, stream) = puppet.lead(TTL).await;
    drop(stream);
    let refused = puppet.refuse_streams_for(TTL * 3).await;
    assert!(leadership.is_leading());
    assert!((3..15).contains(&refused), "{refused} tries in {:?}: with growing delays", TTL * 3);
}

#[tokio::test]
async fn a_stream_that_somebody_else_reads_isnt_taken_back() {
    let mut puppet = Puppet::start().await;
    let (leadership, stream) = puppet.lead(TTL).await;
    let details = ErrorDetails::with_error_info("SUPERSEDED", "leasehold", HashMap::new());
    stream.fail(Status::with_error_details(Code::Aborted, "opened elsewhere", details)).await;
    assert_eq!(puppet.refuse_streams_for(TTL * 3).await, 0);
    assert!(leadership.is_leading(), "its KeepAlives go on");
    let mut over = state(CandidacyState::Ended, "");
    over.end_reason = EndReason::Overtaken.into();
    puppet.keep_alive().await.answer(answer(over));
    assert!(matches!(leadership.lost().await, Lost::Ended { .. }), "and tell what the stream would");
}

#[tokio::test]
async fn a_stream_that_is_cut_by_a_deadline_is_opened_again() {
    let mut puppet = Puppet::start().await;
    let (leadership, stream) = puppet.lead(TTL).await;
    stream.fail(Status::deadline_exceeded("an interceptor's")).await;
    assert_eq!(puppet.campaign().await.request.ticket, b"elected");
    assert!(leadership.is_leading());
}

#[tokio::test]
async fn a_ticket_that_crosses_a_proclamation_doesnt_undo_it() {
    let mut puppet = Puppet::start().await;
    let (leadership, _stream) = puppet.lead(Duration::from_secs(2)).await;
    let crossing = puppet.keep_alive().await;
    let proclaim = async {
        let call = puppet.proclaim().await;
        assert_eq!((call.request.value.as_str(), call.request.ticket.as_slice()), ("new", b"elected".as_slice()));
        let ticket = "with the value".into();
        call.answer(ProclaimResponse { tenure: TENURE, revision: 120, ticket, version: 120 });
    };
    let (proclaimed, ()) = tokio::join!(leadership.proclaim("new"), proclaim);
    proclaimed.unwrap();
    crossing.answer(leading("without the value"));
    let next = puppet.keep_alive().await;
    assert_eq!(next.request.items[0].ticket, b"with the value");
    let mut kept = leading("newer");
    kept.results[0].version = 120;
    next.answer(kept);
    assert_eq!(puppet.keep_alive().await.request.items[0].ticket, b"newer", "of the same version");
}

#[tokio::test]
async fn whoever_waits_for_a_proclamation_hears_of_the_end() {
    let mut puppet = Puppet::start().await;
    let (leadership, _stream) = puppet.lead(TTL).await;
    let (proclaimed, _call) = tokio::join!(leadership.proclaim("new"), puppet.proclaim());
    assert!(
        matches!(proclaimed, Err(leasehold::Error::Ended { reason: leasehold::EndReason::Expired, .. })),
        "{proclaimed:?}"
    );
}

#[tokio::test]
async fn draining_is_told_and_the_deadline_stays() {
    let mut puppet = Puppet::start().await;
    let (leadership, stream) = puppet.lead(TTL).await;
    let deadline = leadership.deadline();
    assert!(timeout(TTL / 10, leadership.draining()).await.is_err());
    stream.send(event(Event::Draining(Draining { fencing_token: 100, remaining: None }))).await;
    leadership.draining().await;
    assert!(leadership.is_leading(), "it has time to finish");
    let mut draining = state(CandidacyState::Draining, "drains");
    draining.fencing_token = 100;
    puppet.keep_alive().await.answer(answer(draining));
    assert_eq!(leadership.lost().await, Lost::Deadline);
    assert!(leadership.deadline() <= deadline + Duration::from_millis(1));
}

#[tokio::test]
async fn a_leader_that_the_service_ended_is_told_why() {
    let mut puppet = Puppet::start().await;
    let (leadership, _stream) = puppet.lead(TTL).await;
    let mut over = state(CandidacyState::Ended, "");
    (over.end_reason, over.detail) = (EndReason::Overtaken.into(), "another one leads".to_owned());
    puppet.keep_alive().await.answer(answer(over));
    let lost = Lost::Ended { reason: EndReason::Overtaken.into(), detail: "another one leads".to_owned() };
    assert_eq!(leadership.lost().await, lost);
    assert_eq!(leadership.guard(async { unreachable!("it isn't leading") }).await, Err::<(), _>(lost));
    assert!(leadership.resign().await.is_ok(), "there is nothing to resign");
}

#[tokio::test]
async fn resigning_ends_the_lead_before_the_answer_and_is_tried_again() {
    let mut puppet = Puppet::start().await;
    let (leadership, _stream) = puppet.lead(TTL).await;
    let (lost, election) = (leadership.lost(), leadership.election().to_owned());
    let resign = tokio::spawn(leadership.resign());
    let first = puppet.resign().await;
    assert_eq!((first.request.ticket.as_slice(), election.as_str()), (b"elected".as_slice(), "e"));
    assert_eq!(lost.await, Lost::Resigned);
    drop(first);
    let second = puppet.resign().await;
    assert_eq!(second.request.ticket, b"elected");
    puppet.forget_keep_alives();
    assert!(!resign.is_finished());
    second.answer(resigned());
    resign.await.unwrap().unwrap();
    assert_eq!(puppet.forget_keep_alives(), 0, "the ticket isn't used again");
}

#[tokio::test]
async fn a_guard_that_is_dropped_resigns() {
    let mut puppet = Puppet::start().await;
    let (leadership, _stream) = puppet.lead(TTL).await;
    let lost = leadership.lost();
    drop(leadership);
    assert_eq!(lost.await, Lost::Resigned);
    puppet.resign().await.answer(resigned());
}

#[tokio::test]
async fn task_tokens_are_kept_fresh() {
    let mut puppet = Puppet::start().await;
    let (leadership, _stream) = puppet.lead(TTL).await;
    let mut tokens = leadership.task_tokens();
    assert_eq!(tokens.next().await.as_deref(), Some("task token of elected"));
    let call = puppet.keep_alive().await;
    assert!(call.request.items[0].want_task_token);
    call.answer(leading("a"));
    assert_eq!(tokens.next().await.as_deref(), Some("task token of a"));
    assert_eq!(leadership.task_token(), "task token of a");
    drop(leadership);
    assert_eq!(tokens.next().await, None);
}
