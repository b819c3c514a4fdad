//! The worker's own deadline: never later than the last accepted KeepAlive allows, whatever else
//! happens.

use crate::puppet::{LEADS, Puppet, TENURE, answer, elected, enrolled, leading, resigned, state, waiting};
use leasehold::proto::CandidacyState;
use leasehold::{Error, Lost, Standing};
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

const TTL: Duration = Duration::from_millis(800);

#[tokio::test]
async fn a_service_that_takes_keep_alives_and_never_answers_costs_the_lead_at_the_deadline() {
    let mut puppet = Puppet::start().await;
    let before = Instant::now();
    let (leadership, _stream) = puppet.lead(TTL).await;
    let after = Instant::now();
    let lost = leadership.lost();
    let mut hung = Vec::new();
    let lost = timeout(Duration::from_secs(5), async {
        tokio::pin!(lost);
        loop {
            tokio::select! {
                lost = &mut lost => return lost,
                call = puppet.keep_alive() => hung.push(call),
            }
        }
    });
    assert_eq!(lost.await.unwrap(), Lost::Deadline);
    let (earliest, latest) = (before + TTL, after + TTL + Duration::from_millis(600));
    assert!(Instant::now() >= earliest && Instant::now() <= latest, "lost at {:?} of {TTL:?}", before.elapsed());
    assert!(hung.len() >= 2, "it was tried {} times", hung.len());
    assert!(!leadership.is_leading());
    assert_eq!(leadership.remaining(), Duration::ZERO);

    puppet.forget_keep_alives();
    sleep(TTL / 2).await;
    assert_eq!(puppet.forget_keep_alives(), 0, "it would keep others waiting");
    assert!(matches!(leadership.proclaim("x").await, Err(Error::Ended { .. })));
    drop(leadership);
    puppet.resign().await.answer(resigned());
}

#[tokio::test]
async fn a_keep_alive_that_hangs_is_sent_again_in_time() {
    let mut puppet = Puppet::start().await;
    let (leadership, _stream) = puppet.lead(TTL * 3).await;
    for _ in 0..2 {
        let _hung = puppet.keep_alive().await;
        let second = puppet.keep_alive().await;
        second.answer(leading("t"));
    }
    assert!(leadership.is_leading());
}

#[tokio::test]
async fn the_deadline_counts_from_before_the_send() {
    let mut puppet = Puppet::start().await;
    let (leadership, _stream) = puppet.lead(TTL).await;
    let call = puppet.keep_alive().await;
    let arrived = Instant::now();
    sleep(TTL / 8).await;
    call.answer(leading("t"));
    let first = leadership.deadline();
    while leadership.deadline() < first + TTL / 8 {
        sleep(Duration::from_millis(2)).await;
    }
    assert!(leadership.deadline() <= arrived + TTL, "the time of the answer doesn't count");
}

#[tokio::test]
async fn an_answer_of_a_lower_tenure_extends_nothing() {
    let mut puppet = Puppet::start().await;
    let (leadership, _stream) = puppet.lead(TTL).await;
    let lost = leadership.lost();
    tokio::pin!(lost);
    let lost = timeout(TTL * 4, async {
        loop {
            tokio::select! {
                lost = &mut lost => return lost,
                call = puppet.keep_alive() => {
                    let mut stale = leading("from a replica that was replaced");
                    stale.tenure = TENURE - 1;
                    call.answer(stale);
                }
            }
        }
    });
    assert_eq!(lost.await, Ok(Lost::Deadline));
    drop(leadership);
    let resign = puppet.resign().await;
    assert_eq!(resign.request.ticket, b"elected", "the ticket of the stale answer isn't used either");
    resign.answer(resigned());
}

#[tokio::test]
async fn answers_of_a_lower_tenure_are_refused_in_all_calls_of_a_client() {
    let mut puppet = Puppet::start().await;
    let other = puppet.client.clone();
    assert!(other.get("e").await.is_ok(), "nothing higher was seen");
    let (_leadership, _stream) = puppet.lead(TTL).await;
    assert_eq!(other.get("e").await, Err(Error::Outdated { tenure: TENURE - 1, newest: TENURE }));
}

#[tokio::test]
async fn elected_after_the_deadline_is_no_lead_until_a_keep_alive_confirms_it() {
    let mut puppet = Puppet::start().await;
    let campaign = tokio::spawn(puppet.client.campaign("e").ttl(TTL).enroll());
    let stream = puppet.campaign().await;
    stream.send(enrolled("enrolled")).await;
    stream.send(waiting(1)).await;
    let candidacy = campaign.await.unwrap().unwrap();
    assert_eq!(candidacy.standing(), Standing::Waiting { ahead: Some(1), settling: None, hold: None });
    let deadline = Instant::now() + TTL;
    while Instant::now() < deadline {
        let _ = timeout(TTL / 4, puppet.keep_alive()).await; // dropped: UNAVAILABLE
    }
    stream.send(elected("elected")).await;
    let mut leading_now = tokio::spawn(candidacy.elected());
    assert!(timeout(TTL / 4, &mut leading_now).await.is_err(), "its own deadline has passed");
    let mut arrived = Instant::now();
    while !leading_now.is_finished() {
        // The KeepAlives that were sent while none was answered have been given up since.
        if let Ok(call) = timeout(TTL / 8, puppet.keep_alive()).await {
            arrived = Instant::now();
            call.answer(leading("kept"));
        }
    }
    let leadership = leading_now.await.unwrap().unwrap();
    assert!(leadership.deadline() <= arrived + TTL && leadership.deadline() > arrived);
}

#[tokio::test]
async fn waiting_of_a_lower_version_than_the_lead_says_nothing() {
    let ttl = Duration::from_secs(2);
    let mut puppet = Puppet::start().await;
    let campaign = tokio::spawn(puppet.client.campaign("e").ttl(ttl).into_future());
    let stream = puppet.campaign().await;
    stream.send(enrolled("enrolled")).await;
    stream.send(waiting(1)).await;
    let crossing = puppet.keep_alive().await;
    stream.send(elected("elected")).await;
    let leadership = campaign.await.unwrap().unwrap();
    let deadline = leadership.deadline();
    crossing.answer(answer(state(CandidacyState::Waiting, "older")));
    stream.send(waiting(1)).await;
    let next = puppet.keep_alive().await;
    assert_eq!(next.request.items[0].ticket, b"elected", "the newest ticket");
    assert!(leadership.is_leading());
    assert!(leadership.deadline() <= deadline + Duration::from_millis(1), "and no deadline of it");
    next.answer(leading("t"));
}

#[tokio::test]
async fn waiting_or_a_word_that_nobody_knows_ends_a_lead() {
    for word in [CandidacyState::Waiting.into(), CandidacyState::Unspecified.into(), 99] {
        let mut puppet = Puppet::start().await;
        let (leadership, _stream) = puppet.lead(TTL).await;
        let deadline = leadership.deadline();
        let mut demoted = state(CandidacyState::Waiting, "demoted");
        (demoted.state, demoted.version) = (word, LEADS);
        puppet.keep_alive().await.answer(answer(demoted));
        assert!(matches!(leadership.lost().await, Lost::Ended { .. }));
        assert!(Instant::now() < deadline, "not only at the deadline");
        let resign = puppet.resign().await;
        assert_eq!(resign.request.ticket, b"demoted", "or it would queue behind itself");
        resign.answer(resigned());
    }
}

#[tokio::test]
async fn waiting_on_the_stream_ends_a_lead() {
    let mut puppet = Puppet::start().await;
    let (leadership, stream) = puppet.lead(TTL).await;
    let deadline = leadership.deadline();
    let mut demoted = waiting(1);
    demoted.version = LEADS + 1;
    stream.send(demoted).await;
    assert!(matches!(leadership.lost().await, Lost::Ended { .. }));
    assert!(Instant::now() < deadline, "not only at the deadline");
    puppet.resign().await.answer(resigned());
}

#[tokio::test]
async fn a_lead_that_nobody_was_told_of_goes_back_to_waiting() {
    let mut puppet = Puppet::start().await;
    let campaign = tokio::spawn(puppet.client.campaign("e").ttl(TTL).enroll());
    let stream = puppet.campaign().await;
    stream.send(enrolled("enrolled")).await;
    stream.send(elected("elected")).await;
    let candidacy = campaign.await.unwrap().unwrap();
    while candidacy.standing() != Standing::Leading {
        sleep(TTL / 100).await;
    }
    let mut demoted = state(CandidacyState::Waiting, "demoted");
    demoted.version = LEADS + 1;
    puppet.keep_alive().await.answer(answer(demoted));
    while candidacy.standing() == Standing::Leading {
        sleep(TTL / 100).await;
    }
    stream.send(elected("late")).await;
    let mut elected_again = tokio::spawn(candidacy.elected());
    assert!(timeout(TTL / 4, &mut elected_again).await.is_err(), "what was on its way is older");
    let mut again = leading("again");
    (again.results[0].version, again.results[0].fencing_token) = (LEADS + 2, LEADS + 2);
    let next = puppet.keep_alive().await;
    assert_eq!(next.request.items[0].ticket, b"demoted");
    next.answer(again);
    assert_eq!(elected_again.await.unwrap().unwrap().fencing_token(), LEADS + 2);
}

/// A process that is stopped looks like this to its tasks: none runs for a while.
#[tokio::test(flavor = "current_thread")]
async fn a_guarded_future_isnt_polled_once_the_deadline_has_passed() {
    let mut puppet = Puppet::start().await;
    let (leadership, _stream) = puppet.lead(TTL).await;
    let mut late = 0;
    let work = async {
        let work = std::future::poll_fn(|context| {
            late += u32::from(!leadership.is_leading());
            context.waker().wake_by_ref();
            std::task::Poll::<()>::Pending
        });
        tokio::join!(work, async {
            sleep(TTL / 10).await;
            std::thread::sleep(TTL);
        });
    };
    assert_eq!(leadership.guard(work).await, Err(Lost::Deadline));
    assert!(late <= 1, "polled {late} times too often: only the poll in which the pause fell may have been late");
}
