//! Bad input by raw gRPC: each with its code, its reason and what its text says.

use leasehold_harness::{
    Campaign, ElectionClient, Server, assert_refused, keep_alive, leased, milliseconds, refusal, reopened, stream_bound,
};
use leasehold_proto::v1::verify_token_request::Token;
use leasehold_proto::v1::{
    CampaignRequest, CandidacyState, GetElectionRequest, KeepAliveItem, KeepAliveRequest, ListElectionsRequest,
    ProclaimRequest, ResignRequest, StepDownRequest, VerifyTokenRequest,
};
use tonic::{Code, Status};

/// Campaigns, and expects to be refused.
async fn refused(client: &mut ElectionClient, request: CampaignRequest) -> Status {
    let description = format!("{:.200}", format!("{request:?}"));
    Campaign::open(client, request).await.map(|_| ()).expect_err(&description)
}

#[tokio::test]
async fn names_of_elections() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let mut client = server.elections().await?;
    let long = "e".repeat(257);
    let cases: [(&str, &[&str]); 11] = [
        ("", &["the election name is empty", "1 to 256 bytes"]),
        (&long, &["the election name has 257 bytes", "at most 256"]),
        ("a b", &["' ' at byte 1", "ASCII letters, digits and . _ - /"]),
        ("a\tb", &["'\\t' at byte 1", "ASCII letters"]),
        ("naïve", &["'ï' at byte 2", "ASCII letters"]),
        ("jobs/*", &["'*' at byte 5", "ASCII letters"]),
        ("a\0b", &["'\\0' at byte 1", "ASCII letters"]),
        ("/", &["\"/\" has an empty part"]),
        ("/a", &["\"/a\" has an empty part"]),
        ("a/", &["\"a/\" has an empty part"]),
        ("a//b", &["\"a//b\" has an empty part", "write it like"]),
    ];
    for (name, parts) in cases {
        let status = refused(&mut client, leased(name, "x", 5_000)).await;
        assert_refused(&status, Code::InvalidArgument, "INVALID_NAME", parts);
        let request = GetElectionRequest { election: name.to_owned() };
        let status = client.get_election(request).await.expect_err("it isn't a name");
        assert_refused(&status, Code::InvalidArgument, "INVALID_NAME", parts);
        let request = StepDownRequest { election: name.to_owned(), fencing_token: 0 };
        let status = server.admin().await?.step_down(request).await.expect_err("it isn't a name");
        assert_refused(&status, Code::InvalidArgument, "INVALID_NAME", parts);
    }
    for name in [&"e".repeat(256), "A-Z.0_9/x", "..", "-"] {
        Campaign::open(&mut client, leased(name, "x", 5_000)).await?.elected().await?;
    }
    Ok(())
}

#[tokio::test]
async fn names_of_candidates() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let mut client = server.elections().await?;
    let (long, wide) = ("c".repeat(257), "é".repeat(129));
    let cases: [(&str, &[&str]); 5] = [
        ("", &["candidate", "empty"]),
        (&long, &["candidate", "257", "256"]),
        (&wide, &["candidate", "258", "256"]),
        ("a\nb", &["candidate", "control"]),
        ("a\u{85}b", &["candidate", "control"]),
    ];
    for (name, parts) in cases {
        let status = refused(&mut client, leased("jobs/names", name, 5_000)).await;
        assert_refused(&status, Code::InvalidArgument, "INVALID_NAME", parts);
    }
    for name in ["é".repeat(128), "worker 7 (düne) ✓".to_owned()] {
        Campaign::open(&mut client, leased("jobs/names", &name, 5_000)).await?;
    }
    Ok(())
}

#[tokio::test]
async fn ttl() -> anyhow::Result<()> {
    let server = Server::builder().arg("--max-ttl").arg("7s").start().await?;
    let mut client = server.elections().await?;
    let with = |seconds: i64, nanos: i32| CampaignRequest {
        ttl: Some(prost_types::Duration { seconds, nanos }),
        ..stream_bound("jobs/ttl", "x")
    };
    let (short, long) = (&["999 ms", "1 s to 7 s"], &["7001 ms", "1 s to 7 s", "max_ttl"]);
    let out_of_range: [(CampaignRequest, &[&str]); 3] =
        [(with(0, 999_000_000), short), (with(7, 1_000_000), long), (with(0, 0), &["1 s to 7 s"])];
    for (request, parts) in out_of_range {
        let status = refused(&mut client, request).await;
        assert_refused(&status, Code::InvalidArgument, "INVALID_TTL", parts);
    }
    let malformed = [
        (-5, 0, "ttl is -5s: it must not be negative"),
        (-5, 1, "it must not be negative"),
        (5, -1, "it must not be negative"),
        (i64::MIN, -999_999_999, "it must not be negative"),
        (5, 1_000_000_000, "that isn't a duration"),
        (i64::MAX, 999_999_999, "that isn't a duration"),
        (5, 1, "ttl is 5s 1ns: give it in whole milliseconds"),
        (5, 1_500_000, "ttl is 5s 1500000ns: give it in whole milliseconds"),
    ];
    for (seconds, nanos, part) in malformed {
        let status = refused(&mut client, with(seconds, nanos)).await;
        assert_refused(&status, Code::InvalidArgument, "INVALID_REQUEST", &["ttl", part]);
    }
    let mut shortest = Campaign::open(&mut client, with(1, 0)).await?;
    assert_eq!(shortest.enrolled.ttl, Some(milliseconds(1_000)));
    shortest.elected().await?;
    assert_eq!(Campaign::open(&mut client, with(7, 0)).await?.enrolled.ttl, Some(milliseconds(7_000)));

    let waits = [
        (-1, 0, "max_wait is -1s: it must not be negative"),
        (0, 999_999, "max_wait is 0s 999999ns: give it in whole milliseconds"),
    ];
    for (seconds, nanos, part) in waits {
        let max_wait = Some(prost_types::Duration { seconds, nanos });
        let status = refused(&mut client, CampaignRequest { max_wait, ..leased("jobs/ttl", "x", 5_000) }).await;
        assert_refused(&status, Code::InvalidArgument, "INVALID_REQUEST", &[part]);
    }
    Ok(())
}

#[tokio::test]
async fn values() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let mut client = server.elections().await?;
    let with = |bytes: usize| CampaignRequest { value: "v".repeat(bytes), ..leased("jobs/value", "x", 5_000) };
    let status = refused(&mut client, with(4_097)).await;
    assert_refused(&status, Code::InvalidArgument, "VALUE_TOO_LONG", &["4097", "4096"]);
    let mut leader = Campaign::open(&mut client, with(4_096)).await?;
    leader.elected().await?;
    assert!(leader.ticket.len() <= 8_192, "a ticket has at most 8 KiB, and this one {}", leader.ticket.len());
    let status = leader.proclaim(&mut client, &"v".repeat(4_097)).await.expect_err("it is too long");
    assert_refused(&status, Code::InvalidArgument, "VALUE_TOO_LONG", &["4097", "4096"]);
    leader.proclaim(&mut client, &"v".repeat(4_096)).await?;
    leader.proclaim(&mut client, "").await?;
    Ok(())
}

#[tokio::test]
async fn tickets_that_the_server_never_made() -> anyhow::Result<()> {
    let (server, stranger) = (Server::start().await?, Server::start().await?);
    let mut client = server.elections().await?;
    let mut leader = Campaign::open(&mut client, leased("jobs/ticket", "x", 15_000)).await?;
    let token = leader.elected().await?.fencing_token;
    let mut other = Campaign::open(&mut stranger.elections().await?, leased("jobs/ticket", "x", 15_000)).await?;
    other.elected().await?;
    let good = leader.ticket.clone();
    let mut bad = vec![
        b"x".to_vec(),
        good[..good.len() - 1].to_vec(),
        good[..good.len() / 2].to_vec(),
        [&good[..], b"x"].concat(),
        vec![0; good.len()],
        vec![0xff; 100_000],
        other.ticket,
    ];
    // One bit of it, wherever it is.
    bad.extend((0..good.len()).step_by(7).map(|index| {
        let mut forged = good.clone();
        forged[index] ^= 1;
        forged
    }));
    for ticket in bad {
        let result = keep_alive(&mut client, &ticket).await?;
        assert_eq!((result.state(), result.fencing_token), (CandidacyState::Refused, 0), "{result:?}");
        assert!(result.ticket.is_empty() && result.detail.contains("ticket"), "{result:?}");
        let expect = |status: Status| assert_refused(&status, Code::InvalidArgument, "INVALID_TICKET", &["ticket"]);
        expect(refused(&mut client, reopened(&ticket)).await);
        let proclaim = ProclaimRequest { ticket: ticket.clone(), value: "mine".to_owned() };
        expect(client.proclaim(proclaim).await.expect_err("the ticket is bad"));
        expect(client.resign(ResignRequest { ticket }).await.expect_err("the ticket is bad"));
    }
    let status = client.resign(ResignRequest { ticket: Vec::new() }).await.expect_err("there is no ticket");
    assert_refused(&status, Code::InvalidArgument, "INVALID_TICKET", &["ticket"]);
    let result = leader.keep_alive(&mut client).await?;
    assert_eq!((result.state(), result.fencing_token), (CandidacyState::Leading, token));
    Ok(())
}

#[tokio::test]
async fn messages() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let mut client = server.elections().await?;
    let items = |number: usize| KeepAliveRequest {
        items: vec![KeepAliveItem { ticket: b"x".to_vec(), want_task_token: false }; number],
    };
    for number in [0, 1_001] {
        let status = client.keep_alive(items(number)).await.expect_err("1 to 1000 are allowed");
        assert_eq!((status.code(), refusal(&status).code), (Code::InvalidArgument, Code::InvalidArgument));
        assert!(status.message().contains(&number.to_string()) && status.message().contains("1000"), "{status:?}");
    }
    assert_eq!(client.keep_alive(items(1_000)).await?.into_inner().results.len(), 1_000);

    // Over 1 MiB: refused by its length, before it is read.
    let large = "v".repeat(4 << 20);
    let status = refused(&mut client, CampaignRequest { value: large, ..leased("jobs/large", "x", 5_000) }).await;
    assert_refused(&status, Code::InvalidArgument, "REQUEST_TOO_LONG", &["1048576"]);
    Campaign::open(&mut client, leased("jobs/large", "x", 5_000)).await?.elected().await?;
    Ok(())
}

/// Found by fuzzing: an error travels in headers, and one that showed all that was sent never
/// reached its caller.
#[tokio::test]
async fn errors_arrive_however_long_that_is_what_was_sent() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let mut client = server.elections().await?;
    let long = "\u{1}".repeat(100_000);
    let list = ListElectionsRequest { page_token: long.clone(), ..Default::default() };
    let status = client.list_elections(list).await.expect_err("no page token is like that");
    assert_refused(&status, Code::InvalidArgument, "INVALID_REQUEST", &["page_token", "..."]);

    let wanted = CampaignRequest { want_task_token: true, ..leased("jobs/long", "x", 5_000) };
    let mut leader = Campaign::open(&mut client, wanted).await?;
    let task_token = leader.elected().await?.task_token;
    let again = CampaignRequest { election: long.clone(), ..reopened(&leader.ticket) };
    let status = refused(&mut client, again).await;
    assert_refused(&status, Code::InvalidArgument, "INVALID_REQUEST", &["election is", "the ticket is for jobs/long"]);
    let verify = VerifyTokenRequest { election: long, token: Some(Token::TaskToken(task_token)) };
    let status = client.verify_token(verify).await.expect_err("the token is for another election");
    assert_refused(&status, Code::InvalidArgument, "INVALID_REQUEST", &["the task token is for jobs/long"]);
    Ok(())
}
