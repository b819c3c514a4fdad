//! What the workers in Python, Go and Node make of each word of the service: a puppet says it, and
//! they never lead wrongly.

use anyhow::{Context as _, ensure};
use leasehold_harness::{Foreign, Language, Line, PATIENCE, Puppet, Stranger, Stream, Worker, event, kept, token_in};
use leasehold_proto::v1::campaign_response::Event;
use leasehold_proto::v1::{self, CampaignResponse, CandidacyState, Draining, Elected, Ended, Enrolled};
use std::collections::HashMap;
use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

const TTL: Duration = Duration::from_secs(3);
const TENURE: u64 = 70;
/// The version of a candidacy that waits, and of the same one when it leads: that is its fencing
/// token.
const WAITS: u64 = 90;
const LEADS: u64 = 100;
/// A worker looks, and then does a step: so long after the look the step may be told.
const GRACE: Duration = Duration::from_millis(300);

fn enrolled(ticket: &str) -> CampaignResponse {
    let (ticket, ttl) = (ticket.into(), TTL.try_into().ok());
    event(TENURE, WAITS, Event::Enrolled(Enrolled { ticket, enrolment: WAITS, ttl, ..Enrolled::default() }))
}

fn elected(version: u64, ticket: &str) -> CampaignResponse {
    let ticket = ticket.into();
    event(TENURE, version, Event::Elected(Elected { fencing_token: version, ticket, ..Elected::default() }))
}

fn waiting(version: u64) -> CampaignResponse {
    event(TENURE, version, Event::Waiting(v1::Waiting { ahead: 1, ..v1::Waiting::default() }))
}

fn leading(ticket: &str) -> v1::KeepAliveResponse {
    kept(TENURE, LEADS, CandidacyState::Leading, ticket, TTL)
}

/// What answers in the place of the service, and isn't it.
const FOREIGN: [Foreign; 7] = [
    Foreign::Grpc(Code::PermissionDenied),
    Foreign::Grpc(Code::ResourceExhausted),
    Foreign::Grpc(Code::Unimplemented),
    Foreign::Grpc(Code::Aborted),
    Foreign::Grpc(Code::Ok),
    Foreign::Page(404),
    Foreign::Page(200),
];

/// A refusal by the service itself.
fn refusal(code: Code, reason: &str) -> Status {
    let details = ErrorDetails::with_error_info(reason, "leasehold", HashMap::new());
    Status::with_error_details(code, "the service says so", details)
}

/// A worker, and the service that it believes in.
struct Scene {
    puppet: Puppet,
    worker: Worker,
}

impl Scene {
    async fn start(language: Language, ttl: Duration) -> anyhow::Result<Self> {
        Self::behind("", language, ttl).await
    }

    /// With other endpoints before the puppet's.
    async fn behind(others: &str, language: Language, ttl: Duration) -> anyhow::Result<Self> {
        let puppet = Puppet::start().await?;
        let endpoint = format!("{others}http://{}", puppet.address);
        let worker = Worker::start_at(language, &endpoint, "words", "me", ttl, |_| {})?;
        Ok(Self { puppet, worker })
    }

    /// A worker that leads and works, with ticket "elected" or a later one, and its stream.
    async fn leading(language: Language) -> anyhow::Result<(Self, Stream)> {
        let mut scene = Self::start(language, TTL).await?;
        let stream = scene.lead().await?;
        Ok((scene, stream))
    }

    async fn lead(&mut self) -> anyhow::Result<Stream> {
        let stream = self.puppet.campaign(PATIENCE).await?;
        stream.send(enrolled("enrolled")).await;
        stream.send(elected(LEADS, "elected")).await;
        self.puppet.keep(TTL / 2, &leading("elected")).await;
        self.worker.says("task step token=100", PATIENCE).await?;
        Ok(stream)
    }

    /// A line that comes after the first `from`, while the puppet answers KeepAlives so.
    async fn says(&mut self, from: usize, fact: &str, result: &v1::KeepAliveResponse) -> anyhow::Result<Line> {
        let line = self.worker.process.wait_for_line_from(from, |line| line.starts_with(fact), PATIENCE);
        tokio::select! {
            line = line => line,
            () = self.puppet.keep(PATIENCE * 2, result) => anyhow::bail!("the worker never said {fact:?}"),
        }
    }

    fn lines(&self) -> usize {
        self.worker.process.lines().len()
    }

    /// The lines after the first `from` that show that it worked, or lost the lead.
    fn facts(&self, from: usize, fact: &str) -> Vec<Line> {
        self.worker.process.lines().into_iter().skip(from).filter(|line| line.text.starts_with(fact)).collect()
    }

    /// It hasn't worked since that line.
    fn assert_idle_since(&self, lost: &Line) -> anyhow::Result<()> {
        let steps = self.facts(lost.index, "task step");
        let late = steps.iter().find(|step| step.at > lost.at + GRACE);
        ensure!(late.is_none(), "it worked on: {}", self.worker.process.stdout());
        Ok(())
    }

    async fn stop(mut self) -> anyhow::Result<()> {
        self.worker.process.kill9().await.map(|_| ())
    }
}

/// Runs a case with each language, all at a time.
async fn in_each_language<F, W>(case: F) -> anyhow::Result<()>
where
    F: Fn(Language) -> W,
    W: Future<Output = anyhow::Result<()>>,
{
    let run = async |language| case(language).await.with_context(|| format!("in {language:?}"));
    tokio::try_join!(run(Language::Python), run(Language::Go), run(Language::Node))?;
    Ok(())
}

#[tokio::test]
async fn a_leader_that_is_told_waiting_doesnt_lead() -> anyhow::Result<()> {
    in_each_language(async |language| {
        for state in [CandidacyState::Waiting as i32, CandidacyState::Unspecified as i32, 99] {
            let (mut scene, stream) = Scene::leading(language).await?;
            let from = scene.lines();
            let mut told = kept(TENURE, LEADS, CandidacyState::Waiting, "demoted", TTL);
            told.results[0].state = state;
            let lost = scene.says(from, "lost reason=", &told).await?;
            scene.puppet.keep(TTL * 2, &told).await;
            scene.assert_idle_since(&lost)?;
            ensure!(lost.text != "lost reason=DEADLINE", "it leads on until its deadline");
            // It waits, and may lead again.
            let again = kept(TENURE, LEADS + 5, CandidacyState::Leading, "again", TTL);
            let step = scene.says(lost.index, "task step", &again).await?;
            assert_eq!(token_in(&step.text)?, LEADS + 5, "{language:?} {state}");
            drop(stream);
            scene.stop().await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_leader_that_hears_waiting_on_its_stream_doesnt_lead() -> anyhow::Result<()> {
    in_each_language(async |language| {
        let (mut scene, stream) = Scene::leading(language).await?;
        let from = scene.lines();
        stream.send(waiting(LEADS + 1)).await;
        let waits = kept(TENURE, LEADS + 1, CandidacyState::Waiting, "demoted", TTL);
        let lost = scene.says(from, "lost reason=WAITING", &waits).await?;
        // What was on its way is older.
        stream.send(elected(LEADS, "late")).await;
        scene.puppet.keep(TTL, &waits).await;
        scene.assert_idle_since(&lost)?;
        stream.send(elected(LEADS + 2, "again")).await;
        let step = scene.says(lost.index, "task step", &waits).await?;
        assert_eq!(token_in(&step.text)?, LEADS + 2);
        scene.stop().await
    })
    .await
}

#[tokio::test]
async fn a_late_waiting_that_crosses_elected_is_dropped() -> anyhow::Result<()> {
    in_each_language(async |language| {
        // Long enough that the KeepAlive which crosses isn't given up.
        let ttl = TTL * 5;
        let mut scene = Scene::start(language, ttl).await?;
        let stream = scene.puppet.campaign(PATIENCE).await?;
        stream.send(enrolled("enrolled")).await;
        let crossing = scene.puppet.keep_alive(PATIENCE).await?;
        assert_eq!(crossing.request.items[0].ticket, b"enrolled");
        stream.send(elected(LEADS, "elected")).await;
        scene.worker.says("elected token=100", PATIENCE).await?;
        crossing.answer(kept(TENURE, WAITS, CandidacyState::Waiting, "older", ttl));
        for _ in 0..2 {
            let call = scene.puppet.keep_alive(PATIENCE).await?;
            assert_eq!(call.request.items[0].ticket, b"elected", "{language:?}");
            call.answer(kept(TENURE, LEADS, CandidacyState::Leading, "elected", ttl));
        }
        ensure!(scene.facts(0, "lost").is_empty(), "{}", scene.worker.process.stdout());
        scene.stop().await
    })
    .await
}

#[tokio::test]
async fn a_leader_that_is_answered_from_below_loses_its_lead_and_fills_no_queue() -> anyhow::Result<()> {
    in_each_language(async |language| {
        let (mut scene, stream) = Scene::leading(language).await?;
        let from = scene.lines();
        drop(stream);
        let below = kept(TENURE - 1, LEADS + 50, CandidacyState::Leading, "from below", TTL);
        let lost = scene.says(from, "lost reason=DEADLINE", &below).await?;
        scene.says(from, "below why=", &below).await?;
        scene.puppet.campaigns();
        scene.puppet.keep(TTL * 2, &below).await;
        scene.assert_idle_since(&lost)?;
        let entered = scene.puppet.campaigns();
        ensure!(entered.len() < 3, "it opened {} streams in two ttls", entered.len());
        ensure!(entered.iter().all(|stream| !stream.request.ticket.is_empty()), "it entered again");
        let call = scene.puppet.keep_alive(PATIENCE).await?;
        assert_eq!(call.request.items[0].ticket, b"elected", "what shows the service which numbers there were");
        // The service has begun above.
        let over = kept(TENURE + 1, 0, CandidacyState::Ended, "", TTL);
        call.answer(over.clone());
        scene.says(from, "ended reason=EXPIRED", &over).await?;
        let stream = scene.puppet.campaign(PATIENCE).await?;
        ensure!(stream.request.ticket.is_empty(), "the candidacy was over");
        scene.worker.says("reachable", PATIENCE).await?;
        scene.stop().await
    })
    .await
}

#[tokio::test]
async fn a_worker_that_enters_below_gives_back_what_it_gets_and_shows_a_ticket_from_above() -> anyhow::Result<()> {
    in_each_language(async |language| {
        let (mut scene, _first) = Scene::leading(language).await?;
        let over = kept(TENURE, 0, CandidacyState::Ended, "", TTL);
        scene.says(0, "lost reason=EXPIRED", &over).await?;
        let end = tokio::time::Instant::now() + TTL * 3;
        let mut tries = 0;
        while let Ok(stream) = scene.puppet.campaign(end - tokio::time::Instant::now()).await {
            tries += 1;
            let mut below = enrolled("from below");
            (below.tenure, below.version) = (TENURE - 1, LEADS + 50);
            stream.send(below).await;
            let mut granted = elected(LEADS + 50, "from below");
            granted.tenure = TENURE - 1;
            stream.send(granted).await;
            tokio::time::sleep(GRACE).await;
        }
        ensure!(tries < 10, "{tries} candidacies in three ttls");
        let resigned = scene.puppet.resigned();
        ensure!(resigned.iter().any(|ticket| ticket == b"from below"), "it left its candidacies in the queue");
        ensure!(resigned.iter().any(|ticket| ticket == b"elected"), "it showed no ticket from above");
        ensure!(scene.facts(0, &format!("elected token={}", LEADS + 50)).is_empty(), "it led from below");
        scene.worker.says("below why=", PATIENCE).await?;
        scene.stop().await
    })
    .await
}

#[tokio::test]
async fn a_stream_that_somebody_else_opened_isnt_taken_back() -> anyhow::Result<()> {
    in_each_language(async |language| {
        let (mut scene, stream) = Scene::leading(language).await?;
        stream.cut(refusal(Code::Aborted, "SUPERSEDED")).await;
        scene.puppet.keep(TTL * 2, &leading("elected")).await;
        ensure!(scene.puppet.campaigns().is_empty(), "it was opened again");
        ensure!(scene.facts(0, "lost").is_empty(), "its KeepAlives go on: {}", scene.worker.process.stdout());
        scene.stop().await
    })
    .await
}

#[tokio::test]
async fn a_status_that_cuts_the_stream_is_no_end() -> anyhow::Result<()> {
    in_each_language(async |language| {
        let (mut scene, mut stream) = Scene::leading(language).await?;
        for status in [
            Status::deadline_exceeded("an interceptor's"),
            Status::resource_exhausted("it was read too slowly"),
            Status::permission_denied("a proxy"),
            Status::internal("a bug"),
        ] {
            stream.cut(status).await;
            stream = tokio::select! {
                stream = scene.puppet.campaign(PATIENCE) => stream?,
            };
            assert_eq!(stream.request.ticket, b"elected");
            stream.send(elected(LEADS, "elected")).await;
            scene.puppet.keep(TTL / 2, &leading("elected")).await;
        }
        ensure!(scene.facts(0, "lost").is_empty(), "{}", scene.worker.process.stdout());
        scene.stop().await
    })
    .await
}

#[tokio::test]
async fn an_answer_that_isnt_the_services_leads_to_the_next_endpoint() -> anyhow::Result<()> {
    in_each_language(async |language| {
        for answer in FOREIGN {
            let stranger = Stranger::start(answer).await?;
            let mut scene = Scene::behind(&format!("{},", stranger.address), language, TTL).await?;
            let _stream = scene.lead().await.with_context(|| format!("{answer:?}"))?;
            // A replica that goes sends the leader on to the stranger.
            let before = stranger.calls();
            drop(scene.puppet.keep_alive(PATIENCE).await?);
            scene.puppet.keep(TTL + GRACE, &leading("elected")).await;
            ensure!(stranger.calls() > before, "{answer:?}: the stranger wasn't asked again");
            let (lines, told) = (scene.lines(), leading("elected"));
            scene.says(lines, "task step token=100", &told).await?;
            ensure!(scene.facts(0, "lost").is_empty(), "{answer:?}: {}", scene.worker.process.stdout());
            scene.stop().await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_worker_whose_only_endpoint_isnt_the_service_says_so_and_goes_on_trying() -> anyhow::Result<()> {
    in_each_language(async |language| {
        for answer in FOREIGN {
            let stranger = Stranger::start(answer).await?;
            let mut worker = Worker::start_at(language, &stranger.address.to_string(), "words", "me", TTL, |_| {})?;
            let line = worker.says("", PATIENCE).await?;
            ensure!(line.text.starts_with("unreachable why="), "{answer:?}: {}", line.text);
            let before = stranger.calls();
            tokio::time::sleep(Duration::from_secs(2)).await;
            let tries = stranger.calls() - before;
            ensure!((1..15).contains(&tries), "{answer:?}: {tries} tries in two seconds");
            assert_eq!(worker.process.lines().len(), 1, "{answer:?}: {}", worker.process.stdout());
            worker.process.kill9().await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_refusal_by_the_service_ends_a_worker_that_hasnt_entered() -> anyhow::Result<()> {
    in_each_language(async |language| {
        let mut scene = Scene::start(language, TTL).await?;
        scene.puppet.campaign(PATIENCE).await?.cut(refusal(Code::InvalidArgument, "INVALID_TTL")).await;
        let ending = scene.worker.process.wait(PATIENCE).await?;
        assert_eq!(ending.status.code(), Some(1));
        let said: Vec<_> = ending.stdout.lines().collect();
        ensure!(said[0].starts_with("refused why=") && said[0].ends_with(": the service says so"), "{said:?}");
        assert_eq!(said[1..], ["ended reason=FATAL"]);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_entry_whose_answer_was_lost_is_repeated_by_its_name() -> anyhow::Result<()> {
    in_each_language(async |language| {
        let mut scene = Scene::start(language, TTL).await?;
        let first = scene.puppet.campaign(PATIENCE).await?;
        let attempt = first.request.attempt.clone();
        ensure!((20..=64).contains(&attempt.len()), "{attempt:?}");
        first.cut(Status::unavailable("lost")).await;
        let second = scene.puppet.campaign(PATIENCE).await?;
        assert_eq!(second.request.attempt, attempt);
        second.send(enrolled("enrolled")).await;
        // An end for a reason that is younger than the worker.
        second.send(event(TENURE, 0, Event::Ended(Ended { reason: 99, ..Ended::default() }))).await;
        scene.worker.says("ended reason=99", PATIENCE).await?;
        let next = scene.puppet.campaign(PATIENCE).await?;
        ensure!(next.request.attempt != attempt && !next.request.attempt.is_empty(), "another entry has another name");
        scene.stop().await
    })
    .await
}

#[tokio::test]
async fn a_worker_resigns_before_it_enters_again() -> anyhow::Result<()> {
    in_each_language(async |language| {
        let (mut scene, stream) = Scene::leading(language).await?;
        stream
            .send(event(TENURE, LEADS + 1, Event::Draining(Draining { fencing_token: LEADS, remaining: None })))
            .await;
        let resign = scene.puppet.resign(PATIENCE).await?;
        assert_eq!(resign.request.ticket, b"elected");
        ensure!(scene.puppet.campaigns().is_empty(), "it queues behind itself");
        resign.answer(v1::ResignResponse { tenure: TENURE, was_leading: true, already_ended: false });
        let next = scene.puppet.campaign(PATIENCE).await?;
        ensure!(next.request.ticket.is_empty());
        ensure!(scene.facts(0, "lost reason=DRAINING").len() == 1, "{}", scene.worker.process.stdout());
        scene.stop().await
    })
    .await
}
