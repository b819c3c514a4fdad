//! Answers and streams that nobody reads: the client's window is 0, so all of them wait in the
//! server.

use super::{Attack, PLAIN, Report, Target, client, end, longest_ttl, sleep_until};
use crate::wire::{Writer, connect};
use leasehold_harness::{Campaign, stream_bound};
use leasehold_proto::v1::{
    CampaignRequest, KeepAliveItem, KeepAliveRequest, ListElectionsRequest, ObserveRequest, ProclaimRequest,
};
use std::time::{Duration, Instant};
use tonic_health::pb::HealthCheckRequest;

/// A page of the longest.
const ELECTIONS: usize = 240;
const VALUE_BYTES: usize = 4096;
/// No attack lasts longer.
const HELD: Duration = Duration::from_secs(660);
const LIST: &str = "/leasehold.v1.ElectionService/ListElections";
const OBSERVE: &str = "/leasehold.v1.ElectionService/Observe";
const KEEP_ALIVE: &str = "/leasehold.v1.ElectionService/KeepAlive";

pub(super) const LISTS: Attack = Attack {
    name: "unread-lists",
    seconds: 14,
    what: "1,000 ListElections of 1 MiB each on one connection, whose answers aren't read",
    prepare: |target| Box::pin(elections_with_long_values(target)),
    run: |target, time| {
        Box::pin(async move {
            let message = ListElectionsRequest { page_size: 1000, ..Default::default() };
            unread(target, time, (1, 1000), |writer| writer.call(LIST, &message)).await
        })
    },
    ..PLAIN
};

pub(super) const KEEP_ALIVES: Attack = Attack {
    name: "unread-keep-alives",
    seconds: 14,
    what: "300 KeepAlives of 250 leaders each, with task tokens, whose answers aren't read",
    run: |target, time| {
        Box::pin(async move {
            let tickets = leaders(target, 250).await?;
            let item = |ticket: &Vec<u8>| KeepAliveItem { ticket: ticket.clone(), want_task_token: true };
            let message = KeepAliveRequest { items: tickets.iter().map(item).collect() };
            unread(target, time, (1, 300), |writer| writer.call(KEEP_ALIVE, &message)).await
        })
    },
    ..PLAIN
};

pub(super) const WATCHES: Attack = Attack {
    name: "unread-watches",
    what: "16,384 streams of grpc.health.v1.Health/Watch, on 4 connections",
    run: |target, time| {
        Box::pin(async move {
            let message = HealthCheckRequest::default();
            unread(target, time, (4, 4096), |writer| writer.call("/grpc.health.v1.Health/Watch", &message)).await
        })
    },
    ..PLAIN
};

pub(super) const REFLECTIONS: Attack = Attack {
    name: "unread-reflections",
    what: "2,000 streams of reflection, each of which asks for the largest file, on 4 connections",
    run: |target, time| {
        Box::pin(async move {
            use tonic_reflection::pb::v1::ServerReflectionRequest;
            use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
            let symbol = MessageRequest::FileContainingSymbol("leasehold.v1.ElectionService".to_owned());
            let message = ServerReflectionRequest { host: String::new(), message_request: Some(symbol) };
            let path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
            unread(target, time, (4, 500), |writer| {
                let (stream, mut bytes) = writer.headers(path, "application/grpc", 0);
                bytes.extend(crate::wire::frame(crate::wire::DATA, 0, stream, &crate::wire::grpc(&message)));
                bytes
            })
            .await
        })
    },
    ..PLAIN
};

pub(super) const OBSERVERS: Attack = Attack {
    name: "unread-observers",
    what: "2,000 Observe streams on 4 connections that aren't read, while values of 4 kB change",
    prepare: |target| Box::pin(elections_with_long_values(target)),
    is_refused: false,
    run: |target, time| {
        Box::pin(async move {
            let (end, changes) = (end(time), tokio::spawn(change_values(target, end(time))));
            let message = ObserveRequest::default();
            let left = end.saturating_duration_since(Instant::now());
            let mut report = unread(target, left, (4, 500), |writer| writer.call(OBSERVE, &message)).await?;
            report.say(format!("{} changes meanwhile", changes.await??));
            Ok(report)
        })
    },
    ..PLAIN
};

/// Sends so many calls on each of so many connections, and reads nothing of their answers.
async fn unread(
    target: Target,
    time: Duration,
    (connections, calls): (usize, usize),
    call: impl Fn(&mut Writer) -> Vec<u8>,
) -> anyhow::Result<Report> {
    let end = end(time);
    let mut open = Vec::new();
    let (mut sent, mut bytes) = (0, 0);
    for _ in 0..connections {
        let (mut writer, reader) = connect(target.grpc, 0).await?;
        let heard = reader.listen();
        for _ in 0..calls {
            let frames = call(&mut writer);
            if !heard.allows(writer.data, end).await || writer.send(&frames).await.is_err() {
                break;
            }
            (sent, bytes) = (sent + 1, bytes + frames.len());
        }
        open.push((writer, heard));
    }
    sleep_until(end).await;
    let refused = open.iter().map(|(_, heard)| heard.refused()).sum();
    let mut report = Report { refused, ..Report::default() };
    report.say(format!("{sent} calls on {connections} connections, in {} kB", bytes / 1000));
    Ok(report)
}

/// As many elections as fill a page with their values. They are led for as long as an attack can
/// last.
async fn elections_with_long_values(target: Target) -> anyhow::Result<()> {
    hold_elections(target, ELECTIONS, VALUE_BYTES).await
}

/// Leads so many elections with values of this length, without a lease, so that nobody has to keep
/// them alive.
pub(super) async fn hold_elections(target: Target, count: usize, value_bytes: usize) -> anyhow::Result<()> {
    let mut client = client(target).await?;
    let mut held = Vec::new();
    for number in 0..count {
        let request = CampaignRequest {
            value: "v".repeat(value_bytes),
            want_task_token: false,
            ..stream_bound(&format!("stranger/held/{number}"), "stranger")
        };
        let mut campaign = Campaign::open(&mut client, request).await?;
        campaign.elected().await?;
        held.push(campaign);
    }
    tokio::spawn(async move {
        tokio::time::sleep(HELD).await;
        drop((client, held));
    });
    Ok(())
}

/// The tickets of so many leaders, whose leases are as long as they may be.
pub(super) async fn leaders(target: Target, count: usize) -> anyhow::Result<Vec<Vec<u8>>> {
    let (mut client, ttl) = (client(target).await?, longest_ttl(target).await?);
    let mut tickets = Vec::new();
    for number in 0..count {
        let request = CampaignRequest {
            ttl: Some(ttl),
            want_task_token: false,
            ..stream_bound(&format!("stranger/{number}"), "stranger")
        };
        let mut campaign = Campaign::open(&mut client, request).await?;
        campaign.elected().await?;
        tickets.push(campaign.ticket);
    }
    Ok(tickets)
}

/// Changes one election's value after the other; how often.
async fn change_values(target: Target, end: Instant) -> anyhow::Result<usize> {
    let mut client = client(target).await?;
    let request =
        CampaignRequest { ttl: Some(longest_ttl(target).await?), ..stream_bound("stranger/loud", "stranger") };
    let mut campaign = Campaign::open(&mut client, request).await?;
    campaign.elected().await?;
    let mut changes = 0;
    while Instant::now() < end {
        let request = ProclaimRequest { ticket: campaign.ticket.clone(), value: format!("{changes:04096}") };
        client.proclaim(request).await?;
        changes += 1;
    }
    Ok(changes)
}
