//! State that fills the server's memory.

use super::{Attack, PLAIN, Report, Target, client, end, longest_ttl, sleep_until, status};
use crate::wire::connect_from;
use leasehold_harness::{Campaign, leased, stream_bound};
use leasehold_proto::v1::{CampaignRequest, ListElectionsRequest, ProclaimRequest};
use std::time::{Duration, Instant};
use tonic::Code;

const CAMPAIGN: &str = "/leasehold.v1.ElectionService/Campaign";
/// It runs out soon after the attack, and not before its end.
const TTL_MS: u32 = 12_000;
/// This is about memory, not about bursts.
const IN_FLIGHT: u64 = 200;

pub(super) const VALUES: Attack = Attack {
    name: "values",
    shares_the_address: false,
    what: "40,000 candidacies with values of 4 kB, against a server that may take 192 MiB",
    server_args: &["--max-memory=192MiB"],
    stays_below_mib: 192,
    seconds: 8,
    run: |target, time| Box::pin(candidacies(target, time, 4096)),
    ..PLAIN
};

pub(super) const CANDIDACIES: Attack = Attack {
    name: "candidacies",
    shares_the_address: false,
    what: "40,000 candidacies with values of 16 bytes and open streams, against a server that may take 192 MiB",
    server_args: &["--max-memory=192MiB"],
    stays_below_mib: 192,
    seconds: 8,
    run: |target, time| Box::pin(candidacies(target, time, 16)),
    ..PLAIN
};

pub(super) const PROCLAIMED: Attack = Attack {
    name: "proclaimed",
    what: "one leader that changes its value of 4 kB as often as it can, on 8 connections",
    is_refused: false,
    run: |target, time| Box::pin(proclaimed(target, time)),
    ..PLAIN
};

async fn candidacies(target: Target, time: Duration, value_bytes: usize) -> anyhow::Result<Report> {
    let end = end(time);
    let mut open = Vec::new();
    'all: for connection in 0..10 {
        // From ten hosts: one alone may have half of all streams.
        let (mut writer, reader) = connect_from([127, 0, 0, 100 + connection].into(), target.grpc, 65_535).await?;
        let heard = reader.listen();
        writer.more(0, 0x3fff_0000).await?;
        for number in 0..4000_u64 {
            let message = CampaignRequest {
                value: "v".repeat(value_bytes),
                ..leased(&format!("stranger/{connection}/{number}"), "stranger", TTL_MS)
            };
            let frames = writer.call(CAMPAIGN, &message);
            let heard_of = heard.has_heard_of(number.saturating_sub(IN_FLIGHT), end).await;
            if !heard_of || !heard.allows(writer.data, end).await || writer.send(&frames).await.is_err() {
                open.push((writer, heard));
                break 'all;
            }
        }
        open.push((writer, heard));
    }
    sleep_until(end).await;
    let mut client = client(target).await?;
    let page = client.list_elections(ListElectionsRequest { page_size: 1, ..Default::default() }).await?;
    anyhow::ensure!(!page.into_inner().elections.is_empty(), "nothing is left of them");
    let held = format!("{} candidacies are held", status(target).await?.candidacies);
    Ok(Report { refused: open.iter().map(|(_, heard)| heard.refused()).sum(), figures: vec![held] })
}

async fn proclaimed(target: Target, time: Duration) -> anyhow::Result<Report> {
    let end = end(time);
    let mut first = client(target).await?;
    let request =
        CampaignRequest { ttl: Some(longest_ttl(target).await?), ..stream_bound("stranger/loud", "stranger") };
    let mut leader = Campaign::open(&mut first, request).await?;
    leader.elected().await?;
    let mut tasks = Vec::new();
    for connection in 0..8 {
        let (mut client, ticket) = (client(target).await?, leader.ticket.clone());
        tasks.push(tokio::spawn(async move {
            let (mut changes, mut refused) = (0_u64, 0_u64);
            while Instant::now() < end {
                let value = format!("{:04096}", changes * 8 + connection);
                match client.proclaim(ProclaimRequest { ticket: ticket.clone(), value }).await {
                    Ok(_) => changes += 1,
                    Err(status) if status.code() == Code::ResourceExhausted => refused += 1,
                    Err(status) => return Err(status),
                }
            }
            Ok((changes, refused))
        }));
    }
    let (mut report, mut all) = (Report::default(), 0);
    for task in tasks {
        let (changes, refused) = task.await??;
        (all, report.refused) = (all + changes, report.refused + refused);
    }
    report.say(format!("{all} changes"));
    Ok(report)
}
