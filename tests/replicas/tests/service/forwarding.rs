//! Calls to a standby: every one is answered, by the active replica, and says who that is.

use crate::{SLACK, START};
use anyhow::{Context as _, ensure};
use leasehold_harness::{
    AdminClient, Campaign, ElectionClient, Observer, assert_refused, http_get, keep_alive, leased, milliseconds,
    refusal, reopened, stream_bound,
};
use leasehold_proto::v1::verify_token_request::Token;
use leasehold_proto::v1::{
    CampaignRequest, CandidacyState, EndReason, GetElectionRequest, GetStatusRequest, KeepAliveItem, KeepAliveRequest,
    ListElectionsRequest, ObserveRequest, ProclaimRequest, ResignRequest, Role, StepDownRequest, VerifyTokenRequest,
};
use leasehold_replica_tests::{Group, Replica};
use std::time::{Duration, Instant};
use tonic::metadata::MetadataMap;
use tonic::{Code, Request};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_answers_every_call_with_the_active_replicas_words() -> anyhow::Result<()> {
    let mut group = Group::builder().quick().start().await?;
    let active = group.settled(START).await?;
    let standby = group.others(active)[0];
    let server = &group.replicas[standby].server;
    let through = Through {
        elections: server.elections().await?,
        admin: server.admin().await?,
        address: group.replicas[active].server.address().to_string(),
        tenure: group.replicas[active].status().await?.tenure,
    };
    through.leads_and_asks().await?;
    through.is_refused().await?;
    through.keeps_deadlines().await?;
    let status = group.replicas[standby].status().await?;
    assert_eq!((status.role(), status.tenure), (Role::Standby, 0), "its own words, not forwarded");
    let named = status.active.context("it knows who is active")?;
    assert_eq!((named.address, named.tenure), (through.address.clone(), through.tenure));

    goes_straight(&group, standby).await?;
    ends_with_the_tenure(&mut group, active, standby).await
}

/// A way through a standby.
struct Through {
    elections: ElectionClient,
    admin: AdminClient,
    /// Of the active replica.
    address: String,
    tenure: u64,
}

impl Through {
    /// The metadata name the active replica.
    fn named(&self, metadata: &MetadataMap) -> anyhow::Result<()> {
        let named = metadata.get("leasehold-active").context("leasehold-active is missing")?.to_str()?;
        ensure!(named == self.address, "{named} is named");
        Ok(())
    }

    async fn leads_and_asks(&self) -> anyhow::Result<()> {
        let (mut client, election) = (self.elections.clone(), "through/all".to_owned());
        let mut news = Observer::of(&mut client, &election).await?;
        news.synced().await?;
        let opened = client.campaign(leased(&election, "one", 6_000)).await?;
        self.named(opened.metadata())?;
        drop(opened);
        let mut leader = Campaign::open(&mut client, leased("through/other", "one", 6_000)).await?;
        let token = leader.elected().await?.fencing_token;
        assert_eq!(leader.tenure, self.tenure);
        let items = vec![KeepAliveItem { ticket: leader.ticket.clone(), want_task_token: true }];
        let answer = client.keep_alive(KeepAliveRequest { items }).await?;
        self.named(answer.metadata())?;
        let answer = answer.into_inner();
        assert_eq!((answer.tenure, answer.results[0].state()), (self.tenure, CandidacyState::Leading));
        let task_token = answer.results[0].task_token.clone();
        leader.ticket.clone_from(&answer.results[0].ticket);
        let request = ProclaimRequest { ticket: leader.ticket.clone(), value: "10.0.0.7:80".to_owned() };
        let answer = client.proclaim(request).await?;
        self.named(answer.metadata())?;
        leader.ticket = answer.into_inner().ticket;

        let election = "through/other".to_owned();
        let answer = client.get_election(GetElectionRequest { election: election.clone() }).await?;
        self.named(answer.metadata())?;
        let found = answer.into_inner().election.and_then(|election| election.leader).context("it is led")?;
        assert_eq!((found.fencing_token, found.value.as_str()), (token, "10.0.0.7:80"));
        let request = ListElectionsRequest { prefix: "through/".to_owned(), ..Default::default() };
        let answer = client.list_elections(request).await?;
        self.named(answer.metadata())?;
        assert_eq!(answer.into_inner().elections.len(), 2);
        for token in [Token::FencingToken(token), Token::TaskToken(task_token)] {
            let request = VerifyTokenRequest { election: election.clone(), token: Some(token) };
            let answer = client.verify_token(request).await?;
            self.named(answer.metadata())?;
            ensure!(answer.get_ref().valid, "{answer:?}");
        }
        let mut again = Campaign::open(&mut client, reopened(&leader.ticket)).await?;
        again.elected().await?;
        let answer = self.admin.clone().step_down(StepDownRequest { election, fencing_token: token }).await?;
        self.named(answer.metadata())?;
        ensure!(again.next().await?.is_some(), "it is told to hand over");
        let answer = client.resign(ResignRequest { ticket: leader.ticket }).await?;
        self.named(answer.metadata())?;
        ensure!(answer.get_ref().was_leading);
        assert_eq!(again.ended().await?.reason(), EndReason::SteppedDown);
        let (changes, _) = news.changes_until(|change| change.leader.is_some()).await?;
        assert_eq!((changes.len(), news.tenure), (1, self.tenure));
        Ok(())
    }

    /// Errors come through with their details, and name the active replica as well.
    async fn is_refused(&self) -> anyhow::Result<()> {
        let mut client = self.elections.clone();
        let refused =
            client.campaign(leased("through/refused", "one", 999_000)).await.expect_err("its ttl is too long");
        assert_refused(&refused, Code::InvalidArgument, "INVALID_TTL", &["6 s"]);
        assert_eq!(refusal(&refused).metadata["max_ms"], "6000");
        self.named(refused.metadata())?;
        let request = ProclaimRequest { ticket: b"nonsense".to_vec(), value: String::new() };
        let refused = client.proclaim(request).await.expect_err("it is no ticket");
        assert_refused(&refused, Code::InvalidArgument, "INVALID_TICKET", &[]);
        let request = ObserveRequest { elections: vec!["a b".to_owned()], ..Default::default() };
        let refused = client.observe(request).await.expect_err("it is no name");
        assert_refused(&refused, Code::InvalidArgument, "INVALID_NAME", &[]);
        let request = StepDownRequest { election: "through/nobody".to_owned(), fencing_token: 0 };
        let refused = self.admin.clone().step_down(request).await.expect_err("it has no leader");
        assert_refused(&refused, Code::FailedPrecondition, "NO_LEADER", &[]);
        assert_eq!(refusal(&refused).metadata["election"], "through/nobody");
        self.named(refused.metadata())
    }

    /// A deadline of the caller makes a timed try, through a standby as well.
    async fn keeps_deadlines(&self) -> anyhow::Result<()> {
        let mut client = self.elections.clone();
        let mut leader = Campaign::open(&mut client, stream_bound("through/timed", "leader")).await?;
        leader.elected().await?;
        let mut request = Request::new(stream_bound("through/timed", "timed"));
        request.set_timeout(Duration::from_millis(700));
        let (asked, mut timed) = (Instant::now(), Campaign::open(&mut client, request).await?);
        match timed.ended().await {
            Ok(ended) => assert_eq!(ended.reason(), EndReason::NotGranted),
            // Either side may be the first to see that the time is over.
            Err(error) => {
                let status = error.downcast::<tonic::Status>().context("no status came")?;
                assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
            }
        }
        ensure!(asked.elapsed() >= Duration::from_millis(600), "too early: {:?}", asked.elapsed());
        ensure!(asked.elapsed() < SLACK, "too late: {:?}", asked.elapsed());
        let limited = CampaignRequest { max_wait: Some(milliseconds(300)), ..stream_bound("through/timed", "patient") };
        let ended = Campaign::open(&mut client, limited).await?.ended().await?;
        assert_eq!(ended.reason(), EndReason::NotGranted);
        Ok(())
    }
}

/// A client that is told who is active goes there, and asks the standby no more.
async fn goes_straight(group: &Group, standby: usize) -> anyhow::Result<()> {
    let replica = &group.replicas[standby];
    let before = forwarded(replica).await?;
    let client = leasehold::Client::connect(replica.server.endpoint()).await?;
    let leadership = client.campaign("through/straight").ttl(Duration::from_secs(3)).await?;
    client.get("through/straight").await?;
    // Each of its connections finds out by its own first call; the KeepAlives' after a third of the
    // ttl.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let found = forwarded(replica).await?;
    ensure!(found > before, "the first calls were forwarded");
    for _ in 0..20 {
        client.get("through/straight").await?;
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    let after = forwarded(replica).await?;
    ensure!(leadership.is_leading(), "it is kept alive");
    ensure!(after == found, "{} calls were forwarded since", after - found);
    println!("a client of one standby: {} calls forwarded, then none", found - before);
    leadership.resign().await?;
    Ok(())
}

async fn forwarded(replica: &Replica) -> anyhow::Result<u64> {
    let text = http_get(&format!("{}/metrics", replica.server.http())).await?.body;
    let line = text.lines().find_map(|line| line.strip_prefix("leasehold_forwarded_calls_total "));
    Ok(line.with_context(|| format!("the metric is missing in {text}"))?.parse()?)
}

/// Streams through a standby end when another replica is active, with a status that says so.
async fn ends_with_the_tenure(group: &mut Group, active: usize, standby: usize) -> anyhow::Result<()> {
    let mut client = group.replicas[standby].server.elections().await?;
    let mut leader = Campaign::open(&mut client, leased("through/last", "leader", 6_000)).await?;
    leader.elected().await?;
    let mut waiter = Campaign::open(&mut client, leased("through/last", "waiter", 6_000)).await?;
    waiter.waiting().await?;
    let mut news = Observer::of(&mut client, "through/last").await?;
    news.synced().await?;
    group.replicas[active].server.kill9().await?;
    for status in [leader.failure().await?, waiter.failure().await?, news.failure().await?] {
        ensure!(status.code() == Code::Unavailable, "{status:?}");
        ensure!(["ACTIVE_UNREACHABLE", "NOT_ACTIVE"].contains(&refusal(&status).reason.as_str()), "{status:?}");
    }
    // As long as nobody is active each call says so, and at once.
    let status = keep_alive(&mut client, &leader.ticket).await.expect_err("nobody is active");
    ensure!(status.code() == Code::Unavailable, "{status:?}");
    let next = group.active(Duration::from_secs(4) + SLACK).await?;
    let deadline = Instant::now() + SLACK;
    let result = loop {
        match keep_alive(&mut client, &leader.ticket).await {
            Ok(result) => break result,
            Err(status) => ensure!(Instant::now() < deadline, "{status:?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(result.state(), CandidacyState::Leading, "{result:?}");
    let mut other = group.replicas[standby].server.elections().await?;
    let again = Campaign::open(&mut other, reopened(&result.ticket)).await?;
    assert_eq!(again.tenure, group.replicas[next].status().await?.tenure);
    let mut admin = group.replicas[standby].server.admin().await?;
    let status = admin.get_status(GetStatusRequest {}).await?.into_inner();
    assert_eq!(status.role() == Role::Active, next == standby, "{status:?}");
    Ok(())
}
