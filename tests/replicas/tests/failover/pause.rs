//! SIGSTOP of the active replica for longer than its Lease, then SIGCONT.

use crate::{SLACK, START};
use anyhow::{Context as _, ensure};
use leasehold_harness::{Campaign, ElectionClient, Observer, leased, refusal};
use leasehold_proto::v1::{
    GetElectionRequest, GetStatusRequest, KeepAliveItem, KeepAliveRequest, ObserveRequest, ProclaimRequest,
    ResignRequest, Role,
};
use leasehold_replica_tests::{Conduct, Group, Terms, Witness};
use std::time::Duration;
use tonic::{Code, Status};

const LEASE: Duration = Duration::from_secs(4);
const TTL: Duration = Duration::from_secs(6);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_was_paused_answers_nothing_as_active() -> anyhow::Result<()> {
    let group = Group::builder().quick().start().await?;
    let first = group.settled(START).await?;
    let watched = Terms::watch(&group)?;
    let mut witness = Witness::start(group.endpoints()).await?;
    witness.pair("jobs/kept", TTL, Conduct::Keeps, START).await?;
    witness.pair("jobs/passed", TTL, Conduct::Passes(Duration::from_millis(200)), START).await?;
    let server = &group.replicas[first].server;
    let mut client = server.elections().await?;
    let mut leader = Campaign::open(&mut client, leased("raw/paused", "leader", 6_000)).await?;
    leader.elected().await?;
    let mut waiter = Campaign::open(&mut client, leased("raw/paused", "waiter", 6_000)).await?;
    waiter.waiting().await?;
    let mut news = Observer::open(&mut client, ObserveRequest::default()).await?;
    news.synced().await?;
    let old = leader.tenure;
    let mut admin = server.admin().await?;

    server.process().sigstop().await?;
    // The system takes them from the network meanwhile: the replica finds them when it wakes up.
    let late = Late::send(&client, &leader.ticket);
    let second = group.active(LEASE + SLACK * 2).await?;
    ensure!(second != first);
    let new = group.replicas[second].status().await?.tenure;
    tokio::time::sleep(LEASE / 2).await;
    let asked = tokio::spawn(async move { admin.get_status(GetStatusRequest {}).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.process().sigcont()?;

    let status = asked.await??.into_inner();
    assert_eq!((status.role(), status.tenure), (Role::Standby, 0), "{status:?}");
    for (what, answer) in late.answers().await? {
        match answer {
            // It may have learned already who is active, and handed the call on.
            Ok(tenure) => ensure!(tenure == new, "{what} was answered in tenure {tenure}"),
            // Calls are handed on over several connections: the Resign may be there first.
            Err(status) if what != "Resign" && refusal(&status).reason == "ENDED" => {}
            Err(status) => assert_gone(&what, &status)?,
        }
    }
    for (what, stream) in [("the leader's stream", &mut leader), ("the waiter's stream", &mut waiter)] {
        assert_gone(what, &stream.failure().await?)?;
        ensure!(stream.tenure == old, "{what} goes on in tenure {}", stream.tenure);
    }
    assert_gone("the news", &news.failure().await?)?;
    tokio::time::sleep(TTL).await;
    let passed = witness.led_since("jobs/passed", std::time::Instant::now(), SLACK).await?;
    ensure!(passed.token > new);
    witness.finish().await?;
    let terms = watched.finish().await?;
    assert_eq!(terms.iter().map(|term| term.tenure).collect::<Vec<_>>(), [old, new]);
    Ok(())
}

fn assert_gone(what: &str, status: &Status) -> anyhow::Result<()> {
    ensure!(status.code() == Code::Unavailable, "{what}: {status:?}");
    ensure!(["NOT_ACTIVE", "ACTIVE_UNREACHABLE"].contains(&refusal(status).reason.as_str()), "{what}: {status:?}");
    Ok(())
}

/// Calls that a replica gets while it is paused: the tenures of their answers.
struct Late(Vec<(String, tokio::task::JoinHandle<Result<u64, Status>>)>);

impl Late {
    fn send(client: &ElectionClient, ticket: &[u8]) -> Self {
        let (ticket, mut calls) = (ticket.to_vec(), Vec::new());
        let (mut one, items) = (client.clone(), vec![KeepAliveItem { ticket: ticket.clone(), want_task_token: true }]);
        let call = async move { Ok(one.keep_alive(KeepAliveRequest { items }).await?.into_inner().tenure) };
        calls.push(("KeepAlive".to_owned(), tokio::spawn(call)));
        let (mut one, election) = (client.clone(), "raw/paused".to_owned());
        let call = async move { Ok(one.get_election(GetElectionRequest { election }).await?.into_inner().tenure) };
        calls.push(("GetElection".to_owned(), tokio::spawn(call)));
        let (mut one, request) = (client.clone(), ProclaimRequest { ticket: ticket.clone(), value: "late".to_owned() });
        let call = async move { Ok(one.proclaim(request).await?.into_inner().tenure) };
        calls.push(("Proclaim".to_owned(), tokio::spawn(call)));
        let (mut one, request) = (client.clone(), ResignRequest { ticket });
        let call = async move { Ok(one.resign(request).await?.into_inner().tenure) };
        calls.push(("Resign".to_owned(), tokio::spawn(call)));
        let mut one = client.clone();
        let call = async move {
            let campaign = Campaign::open(&mut one, leased("raw/paused", "late", 6_000)).await?;
            Ok(campaign.tenure)
        };
        calls.push(("Campaign".to_owned(), tokio::spawn(call)));
        Self(calls)
    }

    async fn answers(self) -> anyhow::Result<Vec<(String, Result<u64, Status>)>> {
        let mut answers = Vec::new();
        for (what, call) in self.0 {
            let answer =
                tokio::time::timeout(START, call).await.with_context(|| format!("{what} isn't answered"))??;
            answers.push((what, answer));
        }
        Ok(answers)
    }
}
