//! Tests of a whole server.

use super::*;
use crate::caller::TENURE;
use bytes::Bytes;
use leasehold_core::Reject;
use leasehold_proto::v1;
use tonic::body::Body;
use tonic::codegen::Service as _;
use tonic::codegen::http::header::CONTENT_TYPE;
use tonic::codegen::http::{Request, Response};
use tonic::{Code, Status};
use tower::{Layer as _, ServiceExt as _, service_fn};

/// A request with its whole body.
struct OneMessage(Option<Bytes>);

impl http_body::Body for OneMessage {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Status>>> {
        std::task::Poll::Ready(self.0.take().map(|bytes| Ok(http_body::Frame::data(bytes))))
    }
}

async fn start(dir: &std::path::Path) -> Server {
    let dir = format!("--data-dir={}", dir.display());
    let words = ["leasehold-server", &dir, "--listen=127.0.0.1:0", "--http-listen=127.0.0.1:0"];
    let settings = Settings::from_words(words).unwrap();
    let listener = TcpListener::bind(settings.listen).await.unwrap();
    let http_listener = TcpListener::bind(settings.http_listen).await.unwrap();
    let backend = Backend::open(&settings).await.unwrap();
    let mut server = Server::start(&settings, backend, listener, http_listener).await.unwrap();
    assert!(server.serves().await);
    server
}

/// Calls a server whose handlers do their work in tasks of their own, behind the layer that
/// forwards.
async fn call(server: &Server, method: &str, message: &impl prost::Message, tenure: Option<&str>) -> Response<Body> {
    let message = message.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let body = OneMessage(Some([&[0], &length[..], &message].concat().into()));
    let request = Request::post(format!("http://here/leasehold.v1.ElectionService/{method}"));
    let mut request = request.header(CONTENT_TYPE, "application/grpc").body(Body::new(body)).unwrap();
    if let Some(tenure) = tenure {
        request.headers_mut().insert(TENURE, tenure.parse().unwrap());
    }
    let context = Arc::clone(&server.context);
    let (right, line) = (Arc::clone(&context.handle.right), Arc::clone(&context.line));
    let (links, metrics) = (Arc::new(Links::new(None)), Arc::clone(&context.metrics));
    let layer = ForwardLayer { right, links, metrics, line, passports: None };
    let spawns = service_fn(move |request: Request<Body>| {
        let mut service = ElectionServiceServer::new(Elections(Arc::clone(&context)));
        let answer = tokio::spawn(async move { service.call(request).await });
        async { answer.await.unwrap() }
    });
    layer.layer(spawns).oneshot(request).await.unwrap()
}

#[tokio::test]
async fn a_forwarded_call_of_an_older_tenure_is_refused_even_when_the_handler_spawns() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let Phase::Active { tenure: Tenure(tenure), .. } = server.phases.borrow().clone() else {
        panic!("it isn't active")
    };
    let campaign = v1::CampaignRequest { election: "a".into(), candidate: "b".into(), ..Default::default() };
    let get = v1::GetElectionRequest { election: "a".into() };
    let observe = v1::ObserveRequest::default();
    let this = tenure.to_string();
    let older = (tenure - 1).to_string();
    for (meant_for, served) in [(None, true), (Some(&*this), true), (Some(&*older), false), (Some("nonsense"), false)] {
        let answers = [
            call(&server, "Campaign", &campaign, meant_for).await,
            call(&server, "GetElection", &get, meant_for).await,
            call(&server, "Observe", &observe, meant_for).await,
        ];
        for answer in answers {
            // A call that is served says how it ends in its trailers.
            let refused =
                Status::from_header_map(answer.headers()).map(|status| (status.code(), status.message().to_owned()));
            match refused {
                None => assert!(served, "{meant_for:?}"),
                Some((code, why)) => {
                    assert!(
                        !served && code == Code::Unavailable && why == Reject::OtherTenure.to_string(),
                        "{meant_for:?}: {why}"
                    )
                }
            }
        }
    }
    server.run(async {}).await.unwrap();
}
