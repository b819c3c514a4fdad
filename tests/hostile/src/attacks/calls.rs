//! Calls that cost the server more than the caller, or that it mustn't serve.

use super::unread::{hold_elections, leaders};
use super::{Attack, PLAIN, Report, Target, client, end, sleep_until};
use crate::wire::{DATA, END_STREAM, connect, frame, grpc};
use futures::future::try_join_all;
use leasehold_harness::stream_bound;
use leasehold_proto::v1::{
    CampaignRequest, KeepAliveItem, KeepAliveRequest, ListElectionsRequest, VerifyTokenRequest, verify_token_request,
};
use std::time::{Duration, Instant};

const LIST: &str = "/leasehold.v1.ElectionService/ListElections";

pub(super) const SAME_TICKET: Attack = Attack {
    name: "same-ticket",
    what: "one ticket 1,000 times in one KeepAlive with task tokens, again and again, on 8 connections",
    run: |target, time| {
        Box::pin(async move {
            let ticket = leaders(target, 1).await?.remove(0);
            let items = vec![KeepAliveItem { ticket, want_task_token: true }; 1000];
            keep_alive(target, time, 8, items).await
        })
    },
    ..PLAIN
};

pub(super) const TASK_TOKENS: Attack = Attack {
    name: "task-tokens",
    what: "1,000 leaders in one KeepAlive with task tokens, again and again, on 8 connections",
    is_refused: false,
    run: |target, time| {
        Box::pin(async move {
            let tickets = leaders(target, 1000).await?;
            let items = tickets.into_iter().map(|ticket| KeepAliveItem { ticket, want_task_token: true });
            keep_alive(target, time, 8, items.collect()).await
        })
    },
    ..PLAIN
};

pub(super) const LISTS: Attack = Attack {
    name: "lists",
    what: "pages of 1,000 elections, 800 at a time on 8 connections, whose answers are read",
    is_refused: false,
    prepare: |target| Box::pin(hold_elections(target, 1000, 512)),
    run: |target, time| {
        Box::pin(async move {
            let end = end(time);
            let one = || async move {
                let client = client(target).await?;
                let calls = (0..100).map(|_| {
                    let mut client = client.clone();
                    async move {
                        let mut pages = 0;
                        while Instant::now() < end {
                            let request = ListElectionsRequest { page_size: 1000, ..Default::default() };
                            pages += u64::from(client.list_elections(request).await.is_ok());
                        }
                        anyhow::Ok(pages)
                    }
                });
                try_join_all(calls).await
            };
            let pages = try_join_all((0..8).map(|_| one())).await?;
            let mut report = Report::default();
            report.say(format!("{} pages", pages.iter().flatten().sum::<u64>()));
            Ok(report)
        })
    },
    ..PLAIN
};

pub(super) const BURSTS: Attack = Attack {
    name: "bursts",
    what: "2,000 candidacies that are tries, at once on 4 connections, and again when they are answered",
    is_refused: false,
    run: |target, time| Box::pin(bursts(target, time)),
    ..PLAIN
};

pub(super) const CONTENT_TYPES: Attack = Attack {
    name: "content-types",
    what: "calls with content types that aren't gRPC's: none of them may be served",
    run: |target, time| {
        Box::pin(async move {
            let end = end(time);
            let (mut report, mut calls) = (Report::default(), 0);
            let types = ["text/plain", "application/json", "application/grpc-web", "application/grpcweb", ""];
            while Instant::now() < end {
                let (mut writer, reader) = connect(target.grpc, 65_535).await?;
                let heard = reader.listen();
                for content_type in types {
                    let body = grpc(&ListElectionsRequest::default());
                    let frames = writer.request(LIST, content_type, &body);
                    writer.send(&frames).await?;
                    calls += 1;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
                anyhow::ensure!(heard.answered() == 0, "a call that isn't gRPC was served");
                report.refused += heard.refused();
            }
            report.say(format!("{calls} calls"));
            Ok(report)
        })
    },
    ..PLAIN
};

pub(super) const RUBBISH: Attack = Attack {
    name: "rubbish",
    what: "messages that can't be decoded, and forged tickets and task tokens",
    run: |target, time| Box::pin(rubbish(target, time)),
    ..PLAIN
};

pub(super) const SLOW_BODIES: Attack = Attack {
    name: "slow-bodies",
    what: "16,384 calls on 4 connections whose messages never come",
    is_refused: false,
    run: |target, time| {
        Box::pin(async move {
            let end = end(time);
            let mut open = Vec::new();
            for _ in 0..4 {
                let (mut writer, reader) = connect(target.grpc, 0).await?;
                let heard = reader.listen();
                for _ in 0..4096 {
                    let (_, bytes) = writer.headers(LIST, "application/grpc", 0);
                    writer.send(&bytes).await?;
                }
                open.push((writer, heard));
            }
            sleep_until(end).await;
            let refused = open.iter().map(|(_, heard)| heard.refused()).sum();
            Ok(Report { refused, ..Report::default() })
        })
    },
    ..PLAIN
};

async fn bursts(target: Target, time: Duration) -> anyhow::Result<Report> {
    let end = end(time);
    let one = || async move {
        let (mut writer, reader) = connect(target.grpc, 65_535).await?;
        let heard = reader.listen();
        writer.more(0, 0x3fff_0000).await?;
        let mut calls = 0;
        while Instant::now() < end {
            let mut frames = Vec::new();
            // The first one leads to the end; the others can't be granted, and end at once.
            for _ in 0..500 {
                let message = CampaignRequest { no_wait: true, ..stream_bound("stranger/queue", "stranger") };
                frames.extend(writer.call("/leasehold.v1.ElectionService/Campaign", &message));
                calls += 1;
            }
            if !heard.allows(writer.data, end).await || writer.send(&frames).await.is_err() {
                break;
            }
            heard.has_heard_of(calls, end).await;
        }
        anyhow::Ok((calls, heard.refused()))
    };
    let counts = try_join_all((0..4).map(|_| one())).await?;
    let mut report = Report { refused: counts.iter().map(|(_, refused)| refused).sum(), ..Report::default() };
    report.say(format!("{} candidacies", counts.iter().map(|(calls, _)| calls).sum::<u64>()));
    Ok(report)
}

/// The same KeepAlive again and again, on so many connections.
async fn keep_alive(
    target: Target,
    time: Duration,
    connections: usize,
    items: Vec<KeepAliveItem>,
) -> anyhow::Result<Report> {
    let end = end(time);
    let one = || {
        let items = items.clone();
        async move {
            let mut client = client(target).await?.max_decoding_message_size(64 << 20);
            let (mut answered, mut refused) = (0, 0);
            while Instant::now() < end {
                match client.keep_alive(KeepAliveRequest { items: items.clone() }).await {
                    Ok(_) => answered += 1,
                    Err(_) => refused += 1,
                }
            }
            anyhow::Ok((answered, refused))
        }
    };
    let counts = try_join_all((0..connections).map(|_| one())).await?;
    let mut report = Report { refused: counts.iter().map(|(_, refused)| refused).sum(), ..Report::default() };
    report.say(format!("{} calls answered", counts.iter().map(|(answered, _)| answered).sum::<u64>()));
    Ok(report)
}

async fn rubbish(target: Target, time: Duration) -> anyhow::Result<Report> {
    let end = end(time);
    let ticket = leaders(target, 1).await?.remove(0);
    let mut report = Report::default();
    let mut number = 0_usize;
    while Instant::now() < end {
        let mut client = client(target).await?;
        for _ in 0..100 {
            number += 1;
            let mut forged = ticket.clone();
            let at = number % forged.len();
            forged[at] ^= 1 << (number % 8);
            let items = vec![KeepAliveItem { ticket: forged, want_task_token: true }];
            let answer = client.keep_alive(KeepAliveRequest { items }).await?.into_inner();
            anyhow::ensure!(answer.results[0].ticket.is_empty(), "a forged ticket was taken: byte {at}");
            let token = Some(verify_token_request::Token::TaskToken(format!("eyJhbGciOiJub25lIn0.e30.{number}")));
            let answer = client.verify_token(VerifyTokenRequest { election: "honest/leader".into(), token }).await?;
            anyhow::ensure!(!answer.into_inner().valid, "a forged task token was taken");
            report.refused += 2;
        }
        let (mut writer, reader) = connect(target.grpc, 65_535).await?;
        let heard = reader.listen();
        for length in 0..50_u8 {
            let (stream, mut bytes) = writer.headers(LIST, "application/grpc", 0);
            let body = [&[0, 0, 0, 0, length][..], &vec![0xff; usize::from(length)]].concat();
            bytes.extend(frame(DATA, END_STREAM, stream, &body));
            writer.send(&bytes).await?;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        report.refused += heard.refused();
    }
    Ok(report)
}
