//! Observe by raw gRPC: snapshot, changes in order, resuming, what matches.

use anyhow::{Context as _, ensure};
use leasehold_harness::{AdminClient, Campaign, Observer, Seen, Server, assert_refused, leased, seen};
use leasehold_proto::v1::observe_response::Event;
use leasehold_proto::v1::{ChangeReason, ElectionChange, GetStatusRequest, ObserveRequest};
use std::time::Duration;
use tonic::Code;

const TTL_MS: u32 = 15_000;

fn of(leader: Option<&str>, reason: ChangeReason) -> Seen {
    Seen { leader: leader.map(str::to_owned), reason }
}

fn after(election: &str, revision: u64) -> ObserveRequest {
    ObserveRequest { elections: vec![election.to_owned()], after_revision: revision, ..Default::default() }
}

fn assert_in_order(changes: &[ElectionChange]) {
    assert!(changes.windows(2).all(|pair| pair[0].revision < pair[1].revision), "{changes:#?}");
    assert!(changes.iter().all(|change| !change.missed_changes), "{changes:#?}");
}

async fn next(observer: &mut Observer, number: usize) -> anyhow::Result<Vec<ElectionChange>> {
    let mut changes = Vec::new();
    while changes.len() < number {
        changes.push(observer.change().await?);
    }
    Ok(changes)
}

#[tokio::test]
async fn an_observer_sees_the_snapshot_and_then_each_change_with_its_reason() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let mut client = server.elections().await?;
    let mut early = Observer::of(&mut client, "jobs/watched").await?;
    let (snapshot, _) = early.synced().await?;
    assert_eq!(snapshot.iter().map(seen).collect::<Vec<_>>(), [of(None, ChangeReason::Unspecified)]);
    let mut a = Campaign::open(&mut client, leased("jobs/watched", "a", TTL_MS)).await?;
    let token = a.elected().await?.fencing_token;
    let mut b = Campaign::open(&mut client, leased("jobs/watched", "b", TTL_MS)).await?;
    let mut late = Observer::of(&mut client, "jobs/watched").await?;
    let (snapshot, revision) = late.synced().await?;
    let [change] = &snapshot[..] else { panic!("one election matches: {snapshot:?}") };
    let leader = change.leader.as_ref().context("it is led")?;
    assert_eq!((leader.fencing_token, leader.leased, leader.draining), (token, true, false));
    ensure!(change.election == "jobs/watched" && change.revision <= revision);

    a.proclaim(&mut client, "here").await?;
    a.resign(&mut client).await?;
    b.elected().await?;
    b.resign(&mut client).await?;
    let expected = [
        of(Some("a"), ChangeReason::Elected),
        of(Some("a"), ChangeReason::Proclaimed),
        of(None, ChangeReason::Resigned),
        of(Some("b"), ChangeReason::Elected),
        of(None, ChangeReason::Resigned),
    ];
    let changes = next(&mut early, 5).await?;
    assert_eq!(changes.iter().map(seen).collect::<Vec<_>>(), expected);
    assert_in_order(&changes);
    assert_eq!(changes[1].leader.as_ref().context("it is led")?.value, "here");
    let changes = next(&mut late, 4).await?;
    assert_eq!(changes.iter().map(seen).collect::<Vec<_>>(), expected[1..]);
    ensure!(changes[0].revision > revision && late.tenure == a.tenure);
    Ok(())
}

#[tokio::test]
async fn an_observer_resumes_where_it_was() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let mut client = server.elections().await?;
    let mut a = Campaign::open(&mut client, leased("jobs/resume", "a", TTL_MS)).await?;
    a.elected().await?;
    let mut observer = Observer::of(&mut client, "jobs/resume").await?;
    let (_, known) = observer.synced().await?;
    drop(observer);
    let mut b = Campaign::open(&mut client, leased("jobs/resume", "b", TTL_MS)).await?;
    a.resign(&mut client).await?;
    b.elected().await?;

    let mut observer = Observer::open(&mut client, after("jobs/resume", known)).await?;
    let (missed, newest) = observer.synced().await?;
    let expected = [of(None, ChangeReason::Resigned), of(Some("b"), ChangeReason::Elected)];
    assert_eq!(missed.iter().map(seen).collect::<Vec<_>>(), expected);
    assert_in_order(&missed);
    let mut observer = Observer::open(&mut client, after("jobs/resume", newest)).await?;
    assert_eq!(observer.synced().await?.0, [], "nothing has changed since");
    b.resign(&mut client).await?;
    assert_eq!(seen(&observer.change().await?), of(None, ChangeReason::Resigned));
    Ok(())
}

#[tokio::test]
async fn an_observer_whose_revision_is_not_known_starts_over() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let mut client = server.elections().await?;
    let mut a = Campaign::open(&mut client, leased("jobs/reset", "a", TTL_MS)).await?;
    let token = a.elected().await?.fencing_token;
    // From long before this tenure, and from a future that hasn't happened.
    for revision in [1, token + 1_000_000_000] {
        let mut observer = Observer::open(&mut client, after("jobs/reset", revision)).await?;
        let Some(Event::Resync(resync)) = observer.next().await? else { panic!("Resync is due") };
        assert!(!resync.detail.is_empty());
        let (snapshot, synced) = observer.synced().await?;
        assert_eq!(snapshot.iter().map(seen).collect::<Vec<_>>(), [of(Some("a"), ChangeReason::Elected)]);
        ensure!(synced >= token && synced < token + 1_000_000_000, "{synced}");
    }
    Ok(())
}

#[tokio::test]
async fn an_observer_sees_only_what_it_asked_for() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let mut client = server.elections().await?;
    let prefix = ObserveRequest { prefix: "billing/".to_owned(), ..Default::default() };
    let named = ObserveRequest { elections: vec!["ops/a".to_owned(), "none".to_owned()], ..Default::default() };
    let mut by_prefix = Observer::open(&mut client, prefix.clone()).await?;
    let mut by_name = Observer::open(&mut client, named.clone()).await?;
    let mut all = Observer::open(&mut client, ObserveRequest::default()).await?;
    for observer in [&mut by_prefix, &mut by_name, &mut all] {
        assert_eq!(led(&observer.synced().await?.0), [""; 0]);
    }
    let mut open = Vec::new();
    for election in ["billing/a", "billing", "billings/a", "ops/a", "billing/b/c"] {
        let mut campaign = Campaign::open(&mut client, leased(election, "x", TTL_MS)).await?;
        campaign.elected().await?;
        open.push(campaign);
    }
    let names = |changes: &[ElectionChange]| changes.iter().map(|change| change.election.clone()).collect::<Vec<_>>();
    let last = |change: &ElectionChange| change.election == "billing/b/c";
    assert_eq!(names(&by_prefix.changes_until(last).await?.0), ["billing/a", "billing/b/c"]);
    let everything = names(&all.changes_until(last).await?.0);
    assert_eq!(everything, ["billing/a", "billing", "billings/a", "ops/a", "billing/b/c"]);
    assert_eq!(by_name.change().await?.election, "ops/a");
    // The same in a snapshot.
    assert_eq!(led(&Observer::open(&mut client, prefix).await?.synced().await?.0), ["billing/a", "billing/b/c"]);
    let (snapshot, _) = Observer::open(&mut client, named).await?.synced().await?;
    assert_eq!((led(&snapshot), snapshot.len()), (vec!["ops/a"], 2), "the vacant one is named as well");
    Ok(())
}

/// The elections of a snapshot that have a leader, in the order of names.
fn led(snapshot: &[ElectionChange]) -> Vec<&str> {
    let led = snapshot.iter().filter(|change| change.leader.is_some());
    let mut names: Vec<&str> = led.map(|change| change.election.as_str()).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn a_request_that_asks_for_too_much_is_refused() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let mut client = server.elections().await?;
    let names = |number: usize| (0..number).map(|index| format!("jobs/{index}")).collect::<Vec<_>>();
    let request = ObserveRequest { elections: names(101), ..Default::default() };
    let status = Observer::open(&mut client, request).await.expect_err("it names 101 elections");
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("101") && status.message().contains("100"), "{status:?}");
    Observer::open(&mut client, ObserveRequest { elections: names(100), ..Default::default() }).await?.synced().await?;
    let both = ObserveRequest { elections: names(1), prefix: "jobs/".to_owned(), ..Default::default() };
    let status = Observer::open(&mut client, both).await.expect_err("it asks for both");
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("prefix"), "{status:?}");
    let wrong = ObserveRequest { elections: vec!["a//b".to_owned()], ..Default::default() };
    let status = Observer::open(&mut client, wrong).await.expect_err("it isn't a name");
    assert_refused(&status, Code::InvalidArgument, "INVALID_NAME", &["a//b"]);
    Ok(())
}

#[tokio::test]
async fn observers_that_leave_are_forgotten() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let (mut client, mut admin) = (server.elections().await?, server.admin().await?);
    let mut open = Vec::new();
    for _ in 0..20 {
        let mut observer = Observer::of(&mut client, "jobs/left").await?;
        observer.synced().await?;
        open.push(observer);
    }
    assert_eq!(observers(&mut admin).await?, 20);
    open.truncate(5);
    let left = tokio::time::timeout(Duration::from_secs(10), async {
        while observers(&mut admin).await? != 5 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        anyhow::Ok(())
    });
    left.await.context("observers that left are still counted")?
}

async fn observers(admin: &mut AdminClient) -> anyhow::Result<u64> {
    Ok(admin.get_status(GetStatusRequest {}).await?.into_inner().observers)
}
