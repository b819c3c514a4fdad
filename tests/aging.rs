//! Connections that get old: their streams are told, and nobody loses a lead by it.

use anyhow::{Context as _, bail, ensure};
use leasehold::{Client, Observed, Selection};
use leasehold_harness::{Campaign, Keeper, PATIENCE, Server, leased, refusal, stream_bound};
use leasehold_proto::v1::ObserveRequest;
use std::time::Duration;
use tokio_stream::StreamExt as _;
use tonic::{Code, Status};

/// Long enough for several lives of a connection.
const WHILE: Duration = Duration::from_secs(6);

async fn server() -> anyhow::Result<Server> {
    Server::builder().arg("--max-connection-age").arg("1s").start().await
}

fn assert_aged(status: &Status) {
    let refusal = refusal(status);
    assert_eq!((refusal.code, refusal.reason.as_str()), (Code::Unavailable, "CONNECTION_AGED"), "{status:?}");
}

#[tokio::test]
async fn streams_are_told_and_their_candidacies_go_on_over_a_new_connection() -> anyhow::Result<()> {
    let server = server().await?;
    let mut client = server.elections().await?;
    let mut campaign = Campaign::open(&mut client, leased("jobs/aging", "x", 15_000)).await?;
    let token = campaign.elected().await?.fencing_token;
    let mut observe = client.observe(ObserveRequest::default()).await?.into_inner();
    let told = campaign.next().await.err().context("the stream ends with a status")?;
    assert_aged(told.downcast_ref().context("it is a status")?);
    let observed = async {
        loop {
            match observe.message().await {
                Ok(Some(_)) => {}
                Ok(None) => bail!("it ends with a status"),
                Err(status) => return Ok(status),
            }
        }
    };
    assert_aged(&tokio::time::timeout(PATIENCE, observed).await.context("Observe goes on")??);
    // The channel makes a new connection by itself, as the old one takes no new calls.
    let mut again = Campaign::open(&mut client, leasehold_harness::reopened(&campaign.ticket)).await?;
    ensure!(again.elected().await?.fencing_token == token);
    Ok(())
}

#[tokio::test]
async fn a_leader_that_lives_by_its_stream_keeps_its_connection() -> anyhow::Result<()> {
    let server = server().await?;
    let mut client = server.elections().await?;
    let mut bound = Campaign::open(&mut client, stream_bound("jobs/bound", "x")).await?;
    bound.elected().await?;
    ensure!(tokio::time::timeout(WHILE, bound.next()).await.is_err(), "nothing happens on its stream");
    let mut heir = Campaign::open(&mut server.elections().await?, leased("jobs/bound", "heir", 15_000)).await?;
    ensure!(heir.waiting().await?.ahead == 1, "it leads still");
    drop(bound);
    Ok(())
}

#[tokio::test]
async fn the_rust_client_leads_and_observes_over_many_lives_of_its_connections() -> anyhow::Result<()> {
    let server = server().await?;
    let client = Client::connect(server.endpoint()).await?;
    let mut news = client.observe(Selection::election("jobs/long"));
    let leadership = client.campaign("jobs/long").ttl(Duration::from_secs(3)).await?;
    let token = leadership.fencing_token();
    let asks = tokio::spawn(async move {
        loop {
            // Each of them is answered, whatever becomes of the connection meanwhile.
            client.get("jobs/long").await?;
        }
        #[allow(unreachable_code, reason = "it names the type")]
        Ok::<(), leasehold::Error>(())
    });
    let mut leaders = Vec::new();
    let watched = async {
        while let Some(observed) = news.next().await {
            if let Observed::Change(change) = observed? {
                leaders.push(change.leader.map(|leader| leader.fencing_token));
            }
        }
        anyhow::Ok(())
    };
    _ = tokio::time::timeout(WHILE, watched).await;
    ensure!(leadership.is_leading() && leadership.fencing_token() == token);
    ensure!(!asks.is_finished(), "a call has failed: {:?}", asks.await);
    asks.abort();
    ensure!(
        leaders.iter().flatten().all(|leader| *leader == token) && leaders.iter().flatten().count() >= 1,
        "{leaders:?}"
    );
    leadership.resign().await?;
    Ok(())
}

#[tokio::test]
async fn keep_alives_go_through_whatever_the_age() -> anyhow::Result<()> {
    let server = server().await?;
    let mut client = server.elections().await?;
    let mut campaign = Campaign::open(&mut client, leased("jobs/kept", "x", 2000)).await?;
    let token = campaign.elected().await?.fencing_token;
    let keeper = Keeper::start(&client, &[&campaign], Duration::from_millis(100));
    tokio::time::sleep(WHILE).await;
    drop(keeper);
    let election =
        client.get_election(leasehold_proto::v1::GetElectionRequest { election: "jobs/kept".into() }).await?;
    let leader = election.into_inner().election.and_then(|election| election.leader).context("it is led")?;
    ensure!(leader.fencing_token == token);
    Ok(())
}
