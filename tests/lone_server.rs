//! A lone server whose machine or disk lets it down: while it has its lock and its folder is the
//! same, nobody else can be active.

use anyhow::{Context as _, ensure};
use leasehold_harness::{
    Campaign, Keeper, Observer, PATIENCE, Server, ServerBuilder, assert_refused, http_get, leased, stream_bound,
};
use leasehold_proto::v1::{CandidacyState, EndReason, GetStatusRequest, GetStatusResponse, ObserveRequest, Role};
use std::time::{Duration, Instant};
use tonic::Code;

const KEEP: Duration = Duration::from_millis(300);
/// The right lapses 2.7 s after the last write that was confirmed.
const LAPSES: Duration = Duration::from_millis(2_700);

async fn status(server: &Server) -> anyhow::Result<GetStatusResponse> {
    Ok(server.admin().await?.get_status(GetStatusRequest {}).await?.into_inner())
}

async fn metric(server: &Server, name: &str) -> anyhow::Result<f64> {
    let metrics = http_get(&format!("{}/metrics", server.http())).await?.body;
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(line.with_context(|| format!("no {name} in\n{metrics}"))?.parse()?)
}

/// Its tenure ended, every stream broke, and nothing was granted for the longest TTL.
#[tokio::test]
async fn it_goes_on_where_it_was_after_it_stood_still() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let mut client = server.elections().await?;
    let tenure = status(&server).await?.tenure;
    let mut leader = Campaign::open(&mut client, leased("jobs/long", "leader", 15_000)).await?;
    let token = leader.elected().await?.fencing_token;
    let mut bound = Campaign::open(&mut client, stream_bound("jobs/bound", "leader")).await?;
    bound.elected().await?;
    // Both of these are over when it goes on, and the third isn't.
    let mut short = Campaign::open(&mut client, leased("jobs/short", "first", 1_000)).await?;
    short.elected().await?;
    let mut second = Campaign::open(&mut client, leased("jobs/short", "second", 1_000)).await?;
    let mut third = Campaign::open(&mut client, leased("jobs/short", "third", 15_000)).await?;
    let mut observer = Observer::open(&mut client, ObserveRequest::default()).await?;
    observer.synced().await?;

    server.process().sigstop().await?;
    tokio::time::sleep(LAPSES + Duration::from_secs(2)).await;
    // What comes while it stands still is answered when it goes on.
    let waits = tokio::spawn({
        let mut client = client.clone();
        async move { Campaign::open(&mut client, leased("jobs/new", "new", 5_000)).await }
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    server.process().sigcont()?;

    let mut new = tokio::time::timeout(PATIENCE, waits).await???;
    new.elected().await?;
    let now = status(&server).await?;
    ensure!((now.tenure, now.settling, now.role()) == (tenure, None, Role::Active), "{now:?}");
    let kept = leader.keep_alive(&mut client).await?;
    assert_eq!((kept.state(), kept.fencing_token), (CandidacyState::Leading, token));
    for over in [&mut short, &mut second] {
        assert_eq!(over.ended().await?.reason(), EndReason::Expired);
    }
    third.elected().await?;
    leader.quiet_for(KEEP).await?;
    bound.quiet_for(KEEP).await?;
    ensure!(observer.tenure == tenure, "the observer reads on");
    server.process().wait_for_error("goes on where it was", PATIENCE).await?;
    Ok(())
}

/// A server whose files can be kept from growing: as on a full disk, nothing can be written then.
fn on_a_disk() -> ServerBuilder {
    Server::builder().arg("--max-ttl").arg("4s").signals_ignored("XFSZ")
}

/// The tenure ended after 2.7 s, every leader was lost at its deadline, and nothing was granted
/// then.
#[tokio::test]
async fn on_a_full_disk_leaders_stay_and_grants_go_on() -> anyhow::Result<()> {
    let mut server = on_a_disk().start().await?;
    let mut client = server.elections().await?;
    let tenure = status(&server).await?.tenure;
    let mut leader = Campaign::open(&mut client, leased("jobs/full", "leader", 4_000)).await?;
    let token = leader.elected().await?.fencing_token;
    let second = Campaign::open(&mut client, leased("jobs/full", "second", 4_000)).await?;
    let keeper = Keeper::start(&client, &[&leader, &second], KEEP);
    server.process().limit_file_size(Some(0))?;
    let since = Instant::now();
    let said = server.process().wait_for_error("can't store the record", PATIENCE).await?;
    ensure!(said.contains("leaders stay") && said.contains("state.json.new"), "{said}");
    // For longer than the right lasts and any TTL.
    while since.elapsed() < LAPSES + Duration::from_secs(4) {
        let mut new = Campaign::open(&mut client, leased("jobs/new", "new", 4_000)).await?;
        ensure!(new.elected().await?.fencing_token > token);
        new.resign(&mut client).await?;
        leader.quiet_for(Duration::from_secs(1)).await?;
    }
    let now = status(&server).await?;
    ensure!((now.tenure, now.leaders, now.candidacies) == (tenure, 1, 2), "{now:?}");
    ensure!(metric(&server, "leasehold_record_age_seconds").await? > 4.0);
    let lines = server.process().stderr().matches("can't store the record").count();
    ensure!(lines == 1, "one line a minute, not {lines}");

    // It is killed, and started where there is room. Its record says that its tenure ended 6 s ago.
    drop(keeper);
    let kept = leader.keep_alive(&mut client).await?;
    assert_eq!((kept.state(), kept.fencing_token), (CandidacyState::Leading, token));
    server.kill9().await?;
    server.restart().await?;
    let kept = leader.keep_alive(&mut client).await?;
    assert_eq!((kept.state(), kept.fencing_token), (CandidacyState::Leading, token), "{kept:?}");
    Ok(())
}

#[tokio::test]
async fn when_the_disk_has_room_again_the_record_is_stored() -> anyhow::Result<()> {
    let server = on_a_disk().start().await?;
    let steady = server.data_dir().join("steady");
    ensure!(steady.exists());
    server.process().limit_file_size(Some(0))?;
    server.process().wait_for_error("can't store the record", PATIENCE).await?;
    ensure!(!steady.exists(), "whoever comes next must not believe the record");
    server.process().limit_file_size(None)?;
    server.process().wait_for_error("the record is stored again", PATIENCE).await?;
    ensure!(steady.exists());
    ensure!(metric(&server, "leasehold_record_age_seconds").await? < 2.5);
    Ok(())
}

/// Another server is started where the folder of a first one was. What the first one knows is worth
/// nothing from then on.
#[tokio::test]
async fn whose_folder_was_replaced_serves_nobody() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let place = folder.path().join("data");
    let first = Server::builder().data_dir(&place).start().await?;
    let mut client = first.elections().await?;
    let mut leader = Campaign::open(&mut client, stream_bound("jobs/moved", "leader")).await?;
    leader.elected().await?;
    std::fs::rename(&place, folder.path().join("elsewhere"))?;
    let second = Server::builder().data_dir(&place).start().await?;
    let failed = leader.failure().await?;
    assert_refused(&failed, Code::Unavailable, "NOT_ACTIVE", &[]);
    first.process().wait_for_error("isn't this server's any more", PATIENCE).await?;
    let refused = Campaign::open(&mut client, leased("jobs/moved", "x", 5_000)).await.expect_err("it isn't active");
    assert_refused(&refused, Code::Unavailable, "NOT_ACTIVE", &[]);
    ensure!(http_get(&format!("{}/readyz", first.http())).await?.status == 503);
    Campaign::open(&mut second.elections().await?, leased("jobs/moved", "x", 5_000)).await?.elected().await?;
    // Its folder still is where it was moved, and nobody else may use it.
    let third = Server::builder().data_dir(folder.path().join("elsewhere")).run_to_end().await?;
    ensure!(third.stderr.contains("another leasehold-server"), "{}", third.stderr);
    Ok(())
}

/// The folder is replaced while the server stands still: what it says when it goes on must not come
/// before it has looked.
#[tokio::test]
async fn whose_folder_was_replaced_while_it_stood_still_says_nothing_more() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let place = folder.path().join("data");
    let first = Server::builder().data_dir(&place).start().await?;
    let mut client = first.elections().await?;
    let mut leader = Campaign::open(&mut client, stream_bound("jobs/moved", "leader")).await?;
    leader.elected().await?;
    first.process().sigstop().await?;
    std::fs::rename(&place, folder.path().join("elsewhere"))?;
    let second = Server::builder().data_dir(&place).start().await?;
    Campaign::open(&mut second.elections().await?, leased("jobs/moved", "x", 5_000)).await?.elected().await?;
    tokio::time::sleep(LAPSES).await;
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let mut client = client.clone();
            tokio::spawn(async move { Campaign::open(&mut client, leased("jobs/other", "x", 5_000)).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(200)).await;
    first.process().sigcont()?;
    for call in calls {
        let refused = tokio::time::timeout(PATIENCE, call).await??;
        assert_refused(&refused.expect_err("it isn't active"), Code::Unavailable, "NOT_ACTIVE", &[]);
    }
    assert_refused(&leader.failure().await?, Code::Unavailable, "NOT_ACTIVE", &[]);
    Ok(())
}
