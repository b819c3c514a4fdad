//! Tests of the gate.

use super::*;
use crate::ledger::{Ledger, LedgerLimits};
use bytes::Bytes;
use http_body::Body as _;
use std::future::poll_fn;
use tower::{ServiceExt as _, service_fn};

type Served = Response<Body>;

async fn call(method: Method, content_type: Option<&str>, path: &str, peer: Option<Peer>) -> Served {
    let mut request = Request::builder().method(method).uri(format!("http://here{path}"));
    if let Some(content_type) = content_type {
        request = request.header(CONTENT_TYPE, content_type);
    }
    let mut request = request.body(Body::empty()).unwrap();
    if let Some(peer) = peer {
        request.extensions_mut().insert(peer);
    }
    let inner = service_fn(|_: Request<Body>| async {
        let body = Body::new(Once(Some(Bytes::from_static(b"answer"))));
        Ok::<_, Status>(Response::new(body))
    });
    GateLayer { metrics: Arc::new(Metrics::new()) }.layer(inner).oneshot(request).await.unwrap()
}

/// One piece, then nothing for ever.
struct Once(Option<Bytes>);

impl http_body::Body for Once {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Status>>> {
        match self.0.take() {
            Some(bytes) => Poll::Ready(Some(Ok(http_body::Frame::data(bytes)))),
            None => Poll::Pending,
        }
    }
}

async fn frame(body: &mut Body) -> http_body::Frame<Bytes> {
    poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await.unwrap().unwrap()
}

fn status(response: &Served) -> u16 {
    response.status().as_u16()
}

#[tokio::test]
async fn what_isnt_grpc_isnt_served() {
    for good in ["application/grpc", "application/grpc+proto", "application/grpc;x=y"] {
        assert_eq!(status(&call(Method::POST, Some(good), "/x/Y", None).await), 200, "{good}");
    }
    for bad in ["text/plain", "application/json", "application/grpc-web", "application/grpcweb", "application/grp", ""]
    {
        let response = call(Method::POST, Some(bad), "/x/Y", None).await;
        assert_eq!((status(&response), &response.headers()[ACCEPT]), (415, &GRPC_CONTENT_TYPE), "{bad}");
        assert!(response.body().is_end_stream());
    }
    assert_eq!(status(&call(Method::POST, None, "/x/Y", None).await), 415);
    let response = call(Method::GET, Some("application/grpc"), "/x/Y", None).await;
    assert_eq!((status(&response), response.headers()["allow"].as_bytes()), (405, &b"POST"[..]));
}

#[tokio::test]
async fn an_answer_is_in_the_ledger_until_it_is_sent_and_a_call_over_the_limit_is_refused() {
    let ledger = Ledger::new(LedgerLimits { unsent_bytes: 1000, streams: 8 }, Arc::new(Metrics::new()));
    let (peer, _registered) = ledger.register([10, 0, 0, 1].into());
    let mut answer = call(Method::POST, Some("application/grpc"), "/x/Y", Some(peer.clone())).await;
    let bytes = frame(answer.body_mut()).await.into_data().unwrap();
    assert_eq!(&bytes[..], b"answer");
    drop(answer);
    let refused = call(Method::POST, Some("application/grpc"), "/x/Y", Some(peer.clone())).await;
    let refused = Status::from_header_map(refused.headers()).unwrap();
    assert!(refused.message().starts_with("there are 1 calls under way from this address already"), "{refused:?}");
    drop(bytes);
    assert_eq!(status(&call(Method::POST, Some("application/grpc"), "/x/Y", Some(peer)).await), 200);
}

#[tokio::test(start_paused = true)]
async fn reflection_ends_after_a_minute() {
    let ledger = Ledger::new(LedgerLimits { unsent_bytes: 1000, streams: 8 }, Arc::new(Metrics::new()));
    let (peer, _registered) = ledger.register([10, 0, 0, 1].into());
    let path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    let mut answer = call(Method::POST, Some("application/grpc"), path, Some(peer)).await;
    assert!(frame(answer.body_mut()).await.is_data());
    let trailers = frame(answer.body_mut()).await.into_trailers().unwrap();
    let status = Status::from_header_map(&trailers).unwrap();
    assert_eq!(status.message(), "a stream of gRPC reflection lasts 60s at most; open another one");
    assert!(answer.body().is_end_stream());
}

#[test]
fn each_method_of_ours_is_of_its_class() {
    for (path, expected) in [
        ("/leasehold.v1.ElectionService/Campaign", Class::Stream),
        ("/leasehold.v1.ElectionService/Observe", Class::Stream),
        ("/leasehold.v1.ReplicaService/Mirror", Class::Stream),
        ("/leasehold.v1.ElectionService/KeepAlive", Class::Unary),
        ("/grpc.health.v1.Health/Check", Class::Unary),
        ("/grpc.health.v1.Health/Watch", Class::Watch),
        ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", Class::Reflection),
        ("/other/Method", Class::Unary),
    ] {
        assert_eq!(class(path), expected, "{path}");
    }
}

#[tokio::test]
async fn a_stream_ends_with_its_connection_unless_a_lead_hangs_on_it() {
    let ledger = Ledger::new(LedgerLimits { unsent_bytes: 1000, streams: 8 }, Arc::new(Metrics::new()));
    let (peer, _registered) = ledger.register([10, 0, 0, 1].into());
    let begun = |class| peer.try_begin(class).unwrap().unwrap();
    let stream = |bound: bool| {
        let body = Body::new(Once(Some(Bytes::from_static(b"event"))));
        let response = tonic::Response::new(body);
        let response = if bound { bound_to_stream(response) } else { response };
        let (metadata, body, _) = response.into_parts();
        let mut response = Response::new(body);
        *response.headers_mut() = metadata.into_headers();
        answered(Class::Stream, begun(Class::Stream), async { Ok::<_, Status>(response) })
    };
    let (mut leased, mut bound) = (stream(false).await.unwrap(), stream(true).await.unwrap());
    for answer in [&mut leased, &mut bound] {
        assert!(frame(answer.body_mut()).await.is_data());
    }
    peer.old().cancel();
    let trailers = frame(leased.body_mut()).await.into_trailers().unwrap();
    let status = Status::from_header_map(&trailers).unwrap();
    assert_eq!(status.code(), tonic::Code::Unavailable);
    assert!(status.message().contains("max_connection_age"), "{status:?}");
    assert!(leased.body().is_end_stream());
    let waits = tokio::time::timeout(Duration::from_millis(50), frame(bound.body_mut()));
    assert!(waits.await.is_err(), "its leader would lose the lead");
}
