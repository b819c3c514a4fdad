//! An old ticket: a worker that was paused past its TTL comes back after its election went to
//! another and the replica is gone.

use crate::{SLACK, START};
use anyhow::{Context as _, ensure};
use leasehold_harness::{Campaign, Keeper, Process, Profile, binary, keep_alive, leased, refusal, token_in};
use leasehold_proto::v1::{CandidacyState, EndReason, ProclaimRequest, ResignRequest};
use leasehold_replica_tests::{Conduct, Group, Witness};
use std::time::Duration;
use tokio::process::Command;
use tonic::Code;

const LEASE: Duration = Duration::from_secs(4);
const KEEP: Duration = Duration::from_millis(1500);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_that_another_has_outlived_is_refused_by_the_next_replica() -> anyhow::Result<()> {
    let mut group = Group::builder().quick().start().await?;
    let first = group.settled(START).await?;
    let mut witness = Witness::start(group.endpoints()).await?;
    let (worker, old) = paused_worker(&group).await?;
    let mut client = group.replicas[group.others(first)[0]].server.elections().await?;
    let mut former = Campaign::open(&mut client, leased("raw/old", "former", 1_000)).await?;
    let former_token = former.elected().await?.fencing_token;
    let mut heir = Campaign::open(&mut client, leased("raw/old", "heir", 6_000)).await?;
    let keeper = Keeper::start(&client, &[&heir], KEEP);
    let token = heir.elected().await?.fencing_token;
    ensure!(token > former_token);
    // The worker in its process was paused for longer than its TTL as well.
    let heir_of_process =
        witness.pair("jobs/paused", Duration::from_secs(6), Conduct::Keeps, START).await.context("it expires")?;
    ensure!(heir_of_process.token > old);
    tokio::time::sleep(KEEP).await;

    group.replicas[first].server.kill9().await?;
    let second = group.active(LEASE + SLACK).await?;
    worker.sigcont()?;
    let mut client = group.replicas[second].server.elections().await?;
    let result = keep_alive(&mut client, &former.ticket).await?;
    assert_eq!((result.state(), result.end_reason()), (CandidacyState::Ended, EndReason::Expired), "{result:?}");
    let ended = Campaign::open_ended(&mut client, former.ticket.clone()).await?;
    assert_eq!(ended.reason(), EndReason::Expired, "{ended:?}");
    let request = ProclaimRequest { ticket: former.ticket.clone(), value: "late".to_owned() };
    let refused = refusal(&client.proclaim(request).await.expect_err("it doesn't lead"));
    assert_eq!((refused.code, refused.reason.as_str()), (Code::FailedPrecondition, "ENDED"));
    assert_eq!(refused.metadata["end_reason"], "EXPIRED");
    let resigned = client.resign(ResignRequest { ticket: former.ticket }).await?.into_inner();
    ensure!(resigned.already_ended && !resigned.was_leading, "{resigned:?}");
    // Nothing of that has touched whoever leads.
    let result = keeper.answered_after(0, heir.tenure).await?;
    assert_eq!((result.state(), result.fencing_token), (CandidacyState::Leading, token), "{result:?}");

    let over = worker.wait_for_line(|line| line.contains("is over"), START).await?;
    println!("the worker that was paused says: {}", over.text);
    group.settled(LEASE * 3).await?;
    let record = witness.finish().await?;
    record.kept(&heir_of_process)?;
    Ok(())
}

/// A worker in a process of its own that leads and is paused at once, and its token.
async fn paused_worker(group: &Group) -> anyhow::Result<(Process, u64)> {
    let mut command = Command::new(binary("leasehold-cli", "leasehold", Profile::Same)?);
    command.args(["--endpoint", &group.endpoints(), "campaign", "jobs/paused", "--name", "paused", "--ttl", "2s"]);
    let worker = Process::spawn("leasehold", command)?;
    let line = worker.wait_for_line(|line| line.contains("leads jobs/paused"), START).await?;
    worker.sigstop().await?;
    Ok((worker, token_in(&line.text.replace("token ", "token="))?))
}
