//! GetElection, ListElections and GetStatus by raw gRPC.

use anyhow::{Context as _, ensure};
use leasehold_harness::{Campaign, ElectionClient, Server, leased, milliseconds, stream_bound};
use leasehold_proto::v1::{
    ChangeReason, Election, GetElectionRequest, GetStatusRequest, Leadership, ListElectionsRequest,
    ListElectionsResponse, Role,
};
use tonic::Code;

async fn get(client: &mut ElectionClient, election: &str) -> anyhow::Result<Election> {
    let answer = client.get_election(GetElectionRequest { election: election.to_owned() }).await?.into_inner();
    ensure!(answer.tenure > 0, "each response names its tenure");
    answer.election.context("it is always set")
}

async fn list(
    client: &mut ElectionClient,
    prefix: &str,
    page_size: u32,
    page_token: &str,
) -> anyhow::Result<ListElectionsResponse> {
    let (prefix, page_token) = (prefix.to_owned(), page_token.to_owned());
    let answer = client.list_elections(ListElectionsRequest { prefix, page_size, page_token }).await?.into_inner();
    ensure!(answer.tenure > 0, "each response names its tenure");
    Ok(answer)
}

#[tokio::test]
async fn an_election_is_told_as_it_is() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let mut client = server.elections().await?;
    let nobody = get(&mut client, "jobs/one").await?;
    assert_eq!((nobody.name.as_str(), nobody.leadership()), ("jobs/one", Leadership::Vacant));
    assert_eq!((nobody.revision, nobody.reason(), nobody.leader), (0, ChangeReason::Unspecified, None));

    let mut leader = Campaign::open(&mut client, stream_bound("jobs/one", "leader")).await?;
    let token = leader.elected().await?.fencing_token;
    let mut waiters = Vec::new();
    for name in ["b", "c"] {
        waiters.push(Campaign::open(&mut client, leased("jobs/one", name, 15_000)).await?);
    }
    let led = get(&mut client, "jobs/one").await?;
    assert_eq!((led.leadership(), led.reason(), led.waiting), (Leadership::Led, ChangeReason::Elected, 2));
    let told = led.leader.context("it is led")?;
    assert_eq!((told.candidate.as_str(), told.fencing_token, told.leased), ("leader", token, false));
    ensure!(led.revision >= token);
    Ok(())
}

#[tokio::test]
async fn a_list_is_complete_in_order_and_in_pages() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let mut client = server.elections().await?;
    let mut expected: Vec<String> = (0..25).map(|index| format!("list/{}", index * 7 % 25)).collect();
    let mut open = Vec::new();
    for election in expected.iter().map(String::as_str).chain(["aaa", "zzz"]) {
        let mut campaign = Campaign::open(&mut client, leased(election, "x", 15_000)).await?;
        campaign.elected().await?;
        open.push(campaign);
    }
    expected.sort_unstable();
    for page_size in [1, 7, 25, 26, 1_000, 0] {
        let mut listed = Vec::new();
        let mut token = String::new();
        loop {
            let page = list(&mut client, "list/", page_size, &token).await?;
            let size = if page_size == 0 { 100 } else { page_size as usize };
            ensure!(page.elections.len() <= size, "a page of {page_size} has {}", page.elections.len());
            listed.extend(page.elections.into_iter().map(|election| election.name));
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(listed, expected, "in pages of {page_size}");
    }
    assert_eq!(list(&mut client, "", 0, "").await?.elections.len(), 27);
    assert_eq!(list(&mut client, "none/", 0, "").await?.elections, []);
    // An election that nobody is in any more isn't listed.
    open[0].resign(&mut client).await?;
    assert_eq!(list(&mut client, "list/", 0, "").await?.elections.len(), 24);
    Ok(())
}

#[tokio::test]
async fn a_list_that_asks_for_nonsense_is_refused() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let mut client = server.elections().await?;
    let error = list(&mut client, "", 1_001, "").await.expect_err("a page has at most 1000");
    let status = error.downcast_ref::<tonic::Status>().context("a status")?;
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("1001") && status.message().contains("1000"), "{status:?}");
    let error = list(&mut client, "", 10, "\u{1}nonsense").await.expect_err("the server didn't make this token");
    let status = error.downcast_ref::<tonic::Status>().context("a status")?;
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("page_token"), "{status:?}");
    Ok(())
}

#[tokio::test]
async fn the_status_counts_what_is_there() -> anyhow::Result<()> {
    let server = Server::builder().arg("--max-ttl").arg("20s").start().await?;
    let (mut client, mut admin) = (server.elections().await?, server.admin().await?);
    let mut open = Vec::new();
    for (election, name) in [("jobs/a", "x"), ("jobs/a", "y"), ("jobs/b", "x")] {
        open.push(Campaign::open(&mut client, leased(election, name, 20_000)).await?);
    }
    let status = admin.get_status(GetStatusRequest {}).await?.into_inner();
    assert_eq!((status.role(), status.tenure), (Role::Active, open[0].tenure));
    assert_eq!((status.elections, status.candidacies, status.leaders, status.observers), (2, 3, 2, 0));
    assert_eq!((status.settling, status.max_ttl), (None, Some(milliseconds(20_000))));
    assert_eq!(status.version, env!("CARGO_PKG_VERSION"));
    ensure!(status.revision > status.tenure && status.tenure_age.is_some(), "{status:?}");
    let output = server.process().stdout();
    assert!(output.contains(&status.version), "{output}");
    Ok(())
}
