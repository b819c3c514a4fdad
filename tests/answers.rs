//! Answers that no service gives, but what is before it: each with its code, its reason and what
//! its text says.

use leasehold_harness::{Server, assert_refused, http_get};
use leasehold_proto::v1::{GetElectionRequest, GetElectionResponse};
use prost::Message;
use std::time::{Duration, Instant};
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

const GET: &str = "/leasehold.v1.ElectionService/GetElection";

/// A number where GetElectionRequest has the name of an election.
#[derive(Clone, PartialEq, Message)]
struct Wrong {
    #[prost(uint64, tag = "1")]
    election: u64,
}

async fn call<M>(channel: &Channel, path: &'static str, request: Request<M>) -> Result<GetElectionResponse, Status>
where
    M: Message + Default + 'static,
{
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.map_err(|error| Status::unknown(error.to_string()))?;
    let codec = ProstCodec::<M, GetElectionResponse>::default();
    Ok(grpc.unary(request, PathAndQuery::from_static(path), codec).await?.into_inner())
}

fn get() -> Request<GetElectionRequest> {
    Request::new(GetElectionRequest { election: "a".to_owned() })
}

#[tokio::test]
async fn what_the_grpc_layer_refuses_has_a_reason() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let channel = server.channel().await?;
    for path in ["/leasehold.v1.ElectionService/GetElections", "/leasehold.v2.ElectionService/GetElection", "/x"] {
        let status = call(&channel, path, get()).await.expect_err("there is no such method");
        assert_refused(&status, Code::Unimplemented, "UNKNOWN_METHOD", &["has no method", path, "leasehold-server 0."]);
    }
    let status = call(&channel, GET, Request::new(Wrong { election: 7 })).await.expect_err("it isn't a name");
    assert_refused(&status, Code::InvalidArgument, "INVALID_REQUEST", &["the request can't be read", "wire type"]);

    let mut compressed = get();
    compressed.metadata_mut().insert("grpc-encoding", "gzip".parse()?);
    let status = call(&channel, GET, compressed).await.expect_err("it takes nothing compressed");
    assert_refused(&status, Code::Unimplemented, "COMPRESSED_REQUEST", &["gzip", "uncompressed"]);
    // As gRPC's specification of compression wants it.
    assert_eq!(status.metadata().get("grpc-accept-encoding").map(|value| value.as_bytes()), Some(&b"identity"[..]));

    let long = Request::new(GetElectionRequest { election: "a".repeat(2 << 20) });
    let status = call(&channel, GET, long).await.expect_err("1 MiB is the limit");
    assert_refused(&status, Code::InvalidArgument, "REQUEST_TOO_LONG", &["too long: found 2097", "1048576"]);
    call(&channel, GET, get()).await?;

    let metrics = http_get(&format!("{}/metrics", server.http())).await?.body;
    for reason in ["UNKNOWN_METHOD", "INVALID_REQUEST", "COMPRESSED_REQUEST", "REQUEST_TOO_LONG"] {
        assert!(metrics.contains(&format!("leasehold_refusals_total{{reason=\"{reason}\"}}")), "{reason}: {metrics}");
    }
    Ok(())
}

/// It was CANCELLED, "Timeout expired", without a word about who gave up what.
#[tokio::test]
async fn a_call_that_the_server_gives_up_is_unavailable_and_says_so() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let channel = server.channel().await?;
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await?;
    let codec = ProstCodec::<GetElectionRequest, GetElectionResponse>::default();
    let never = Request::new(tokio_stream::pending());
    let since = Instant::now();
    let answer = grpc.client_streaming(never, PathAndQuery::from_static(GET), codec);
    let answer = tokio::time::timeout(Duration::from_secs(30), answer).await?;
    let status = answer.expect_err("the request never arrives");
    assert_refused(&status, Code::Unavailable, "CALL_TIMED_OUT", &["after 10s", "try again"]);
    assert!(since.elapsed() >= Duration::from_secs(9), "that was no timeout: {:?}", since.elapsed());
    call(&channel, GET, get()).await?;
    Ok(())
}
