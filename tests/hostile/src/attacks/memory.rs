//! State that fills the server's memory.

use super::{Attack, PLAIN, Report, Target, client, end, sleep_until};
use crate::wire::connect;
use leasehold_harness::{Campaign, leased};
use leasehold_proto::v1::{CampaignRequest, ProclaimRequest};
use std::time::{Duration, Instant};
use tonic::Code;

const CAMPAIGN: &str = "/leasehold.v1.ElectionService/Campaign";
const MINUTES_MS: u32 = 900_000;

pub(super) const VALUES: Attack = Attack {
    name: "values",
    what: "40,000 candidacies with values of 4 kB, against a server that may take 192 MiB",
    server_args: &["--max-memory=192MiB"],
    costs_at_most_mib: 192,
    run: |target, time| Box::pin(values(target, time)),
    ..PLAIN
};

pub(super) const PROCLAIMED: Attack = Attack {
    name: "proclaimed",
    what: "one leader that changes its value of 4 kB as often as it can, on 8 connections",
    is_refused: false,
    run: |target, time| Box::pin(proclaimed(target, time)),
    ..PLAIN
};

async fn values(target: Target, time: Duration) -> anyhow::Result<Report> {
    let end = end(time);
    let mut open = Vec::new();
    'all: for connection in 0..10 {
        let (mut writer, reader) = connect(target.grpc, 65_535).await?;
        let heard = reader.listen();
        writer.more(0, 0x3fff_0000).await?;
        for number in 0..4000 {
            let message = CampaignRequest {
                value: "v".repeat(4096),
                ..leased(&format!("stranger/{connection}/{number}"), "stranger", MINUTES_MS)
            };
            let frames = writer.call(CAMPAIGN, &message);
            if writer.send(&frames).await.is_err() || Instant::now() > end {
                open.push((writer, heard));
                break 'all;
            }
        }
        open.push((writer, heard));
    }
    sleep_until(end).await;
    Ok(Report { refused: open.iter().map(|(_, heard)| heard.refused()).sum(), ..Report::default() })
}

async fn proclaimed(target: Target, time: Duration) -> anyhow::Result<Report> {
    let end = end(time);
    let mut first = client(target).await?;
    let mut leader = Campaign::open(&mut first, leased("stranger/loud", "stranger", MINUTES_MS)).await?;
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
