//! Calls that are given up before the server has looked at them: a stall makes many, and so does an
//! attack.

use anyhow::{Context as _, ensure};
use leasehold_harness::{Campaign, Keeper, PATIENCE, Provider, Server, http_get, leased, stream_bound};
use leasehold_proto::v1::GetElectionRequest;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tonic::Request;

const SETTINGS: u8 = 4;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// In RST_STREAM: the call is given up.
const CANCEL: u32 = 8;
/// In GOAWAY: so many can't be meant well.
const ENHANCE_YOUR_CALM: u32 = 11;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("frames are short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A call that is given up as soon as it is begun.
fn reset(number: u32) -> Vec<u8> {
    let stream = number * 2 + 1;
    let path = b"/leasehold.v1.ElectionService/GetElection";
    let length = u8::try_from(path.len()).expect("it is short");
    // HPACK: the method POST, the scheme http, a path, and an authority of one letter.
    let headers = [&[0x83, 0x86, 0x04, length][..], path, &[0x01, 1, b'a']].concat();
    [frame(HEADERS, END_HEADERS, stream, &headers), frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())].concat()
}

/// Reads frames until GOAWAY, or the end of the connection: the code and the words of the one, or
/// nothing.
async fn goaway(mut reader: impl tokio::io::AsyncRead + Unpin) -> anyhow::Result<Option<(u32, String)>> {
    loop {
        let mut head = [0; 9];
        if reader.read_exact(&mut head).await.is_err() {
            return Ok(None);
        }
        let mut payload = vec![0; usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2])];
        reader.read_exact(&mut payload).await?;
        if head[3] == GOAWAY {
            let code = payload.get(4..8).context("GOAWAY has a code")?;
            let words = String::from_utf8_lossy(&payload[8..]).into_owned();
            return Ok(Some((u32::from_be_bytes(code.try_into()?), words)));
        }
    }
}

async fn preface(server: &Server) -> anyhow::Result<(tokio::net::tcp::OwnedReadHalf, OwnedWriteHalf)> {
    let (reader, mut writer) = TcpStream::connect(server.address()).await?.into_split();
    writer.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await?;
    writer.write_all(&frame(SETTINGS, 0, 0, &[])).await?;
    Ok((reader, writer))
}

/// It closed the connection on waking (GOAWAY, too_many_resets), and its stream-bound leaders lost
/// their lead.
#[tokio::test]
async fn a_stall_in_which_many_calls_time_out_breaks_no_connection() -> anyhow::Result<()> {
    const CALLS: usize = 500;
    let server = Server::start().await?;
    let mut client = server.elections().await?;
    let mut leader = Campaign::open(&mut client, stream_bound("jobs/stall", "leader")).await?;
    let token = leader.elected().await?.fencing_token;
    server.process().sigstop().await?;
    let stopped = Instant::now();
    let calls: Vec<_> = (0..CALLS)
        .map(|_| {
            let mut client = client.clone();
            let mut request = Request::new(GetElectionRequest { election: "jobs/stall".to_owned() });
            request.set_timeout(Duration::from_millis(500));
            tokio::spawn(async move { client.get_election(request).await })
        })
        .collect();
    for call in calls {
        ensure!(call.await?.is_err(), "a server that stands still answers nothing");
    }
    tokio::time::sleep(Duration::from_millis(1500).saturating_sub(stopped.elapsed())).await;
    server.process().sigcont()?;

    // On the same connection: a new one would show neither.
    let request = Request::new(GetElectionRequest { election: "jobs/stall".to_owned() });
    let state = tokio::time::timeout(PATIENCE, client.get_election(request)).await??.into_inner();
    let led = state.election.and_then(|election| election.leader).context("it is led")?;
    ensure!((led.candidate.as_str(), led.fencing_token) == ("leader", token), "{led:?}");
    leader.quiet_for(Duration::from_millis(500)).await
}

#[tokio::test]
async fn a_flood_of_calls_that_are_given_up_at_once_ends_its_connection_and_no_other() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let mut client = server.elections().await?;
    let mut leader = Campaign::open(&mut client, leased("jobs/calm", "leader", 5_000)).await?;
    leader.elected().await?;
    let keeper = Keeper::start(&client, &[&leader], Duration::from_millis(500));

    let (reader, mut writer) = preface(&server).await?;
    // All of it lies there when the server looks.
    server.process().sigstop().await?;
    let flood = tokio::spawn(async move {
        for number in 0..20_000 {
            if writer.write_all(&reset(number)).await.is_err() {
                break;
            }
        }
        writer
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    server.process().sigcont()?;
    let told = tokio::time::timeout(PATIENCE, goaway(reader)).await.context("the flood goes on")??;
    let (code, words) = told.context("the connection ended without GOAWAY")?;
    ensure!((code, words.as_str()) == (ENHANCE_YOUR_CALM, "too_many_resets"), "{code} {words}");
    flood.await?;

    leader.quiet_for(Duration::from_secs(1)).await?;
    drop(keeper);
    let metrics = http_get(&format!("{}/metrics", server.http())).await?.body;
    ensure!(metrics.contains("leasehold_leaders 1"), "{metrics}");
    Ok(())
}

/// However long it lasts: it costs what as many calls cost, and workers on other connections are
/// answered.
#[tokio::test]
async fn a_steady_stream_of_calls_that_are_given_up_holds_nobody_up() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let mut client = server.elections().await?;
    let mut leader = Campaign::open(&mut client, leased("jobs/steady", "leader", 5_000)).await?;
    leader.elected().await?;
    let (address, since) = (&server, Instant::now());
    let attack = async {
        while since.elapsed() < Duration::from_secs(4) {
            let (reader, mut writer) = preface(address).await?;
            let reads = tokio::spawn(goaway(reader));
            let mut number = 0;
            while since.elapsed() < Duration::from_secs(4) && writer.write_all(&reset(number)).await.is_ok() {
                number += 1;
            }
            reads.abort();
        }
        anyhow::Ok(())
    };
    let keep = async {
        while since.elapsed() < Duration::from_secs(4) {
            let sent = Instant::now();
            leader.keep_alive(&mut client).await?;
            ensure!(sent.elapsed() < Duration::from_secs(3), "a KeepAlive took {:?}", sent.elapsed());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        anyhow::Ok(())
    };
    tokio::try_join!(attack, keep)?;
    Ok(())
}

/// The message of a call comes a moment after its headers, when it was refused already. Nobody who
/// shares that connection may lose it: h2 closes one of which it had to reset too many streams.
#[tokio::test]
async fn whoever_is_refused_takes_nobody_else_with_it() -> anyhow::Result<()> {
    let provider = Provider::start().await?;
    let server = Server::builder().arg("--oidc").arg(provider.flag()).start().await?;
    let (reader, mut writer) = preface(&server).await?;
    let end = tokio::spawn(goaway(reader));
    let path = b"/leasehold.v1.ElectionService/GetElection";
    let kind = b"application/grpc";
    let length = |text: &[u8]| u8::try_from(text.len()).expect("it is short");
    // HPACK: the method POST, the scheme http, a path, an authority and a content type.
    let headers =
        [&[0x83, 0x86, 0x04, length(path)][..], path, &[0x01, 1, b'a', 0x0f, 0x10, length(kind)], kind].concat();
    for batch in 0..40 {
        let streams: Vec<u32> = (0..50).map(|number| (batch * 50 + number) * 2 + 1).collect();
        let begins = streams.iter().flat_map(|stream| frame(HEADERS, END_HEADERS, *stream, &headers));
        writer.write_all(&begins.collect::<Vec<_>>()).await?;
        tokio::time::sleep(Duration::from_millis(20)).await;
        let messages = streams.iter().flat_map(|stream| frame(DATA, END_STREAM, *stream, &[0; 5]));
        writer.write_all(&messages.collect::<Vec<_>>()).await?;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    ensure!(!end.is_finished(), "the connection is over: {:?}", end.await??);
    end.abort();
    Ok(())
}
