//! The bare service: the messages of Campaign and Resign over tonic, and no logic. The measure for
//! the real server.

use anyhow::{Context as _, Result};
use leasehold_proto::v1::election_service_server::ElectionServiceServer;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use crate::exchange::Exchange;

pub(crate) mod process;
mod service;

use service::Bare;

/// How often it looks whether its parent still lives.
const PARENT_CHECK: Duration = Duration::from_secs(1);

/// How the bare server is started.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The messages to send, as `Exchange::to_text` writes them.
    #[arg(long, value_parser = |text: &str| Exchange::from_text(text))]
    messages: Exchange,
}

/// Serves on a free port of 127.0.0.1, which it prints, until its parent has ended.
///
/// # Errors
///
/// When there is no free port, or the listener fails.
pub(crate) async fn serve(args: &Args) -> Result<()> {
    let incoming = TcpIncoming::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?.with_nodelay(Some(true));
    let address = incoming.local_addr().context("a bound listener has an address")?;
    println!("{}{address}", process::LISTENING);
    router(&args.messages)?.serve_with_incoming_shutdown(incoming, parent_ends()).await?;
    Ok(())
}

/// The service with the settings that leasehold-server gives to tonic, in server/src/server.rs.
fn router(messages: &Exchange) -> Result<tonic::transport::server::Router> {
    let service = ElectionServiceServer::new(Bare::new(messages.clone())?);
    Ok(Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(10)))
        .http2_keepalive_timeout(Some(Duration::from_secs(5)))
        .max_concurrent_streams(4096)
        .add_service(service))
}

/// Returns when this process has got another parent: the one that started it is gone, however it
/// ended.
async fn parent_ends() {
    let parent = rustix::process::getppid();
    while rustix::process::getppid() == parent {
        tokio::time::sleep(PARENT_CHECK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::router;
    use crate::connect::connect;
    use crate::exchange::{Exchange, tests::sample};
    use leasehold_harness::ElectionClient;
    use leasehold_proto::v1::campaign_response::Event;
    use leasehold_proto::v1::{CampaignRequest, EndReason, Ended, ResignRequest};
    use tonic::transport::server::TcpIncoming;

    /// A client of a bare service in this process that sends these messages.
    async fn client(messages: &Exchange) -> ElectionClient {
        let incoming = TcpIncoming::bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
        let address = incoming.local_addr().expect("it is bound");
        tokio::spawn(router(messages).expect("a sample").serve_with_incoming(incoming));
        connect(&format!("http://{address}"), 1).await.expect("it serves").remove(0)
    }

    fn request() -> CampaignRequest {
        CampaignRequest { want_task_token: true, ..Default::default() }
    }

    #[tokio::test]
    async fn it_sends_messages_of_the_same_size_with_numbers_that_rise() {
        let mut client = client(&sample()).await;
        let one = Exchange::make(&mut client, request(), None).await.expect("a cycle");
        let two = Exchange::make(&mut client, request(), None).await.expect("another");
        assert_eq!(one.to_text().len(), sample().to_text().len());
        assert!(one.fencing_token().expect("elected") < two.fencing_token().expect("elected"));
    }

    #[tokio::test]
    async fn the_stream_stays_open_until_its_own_resign() {
        let mut client = client(&sample()).await;
        let mut stream = client.campaign(request()).await.expect("it opens").into_inner();
        for _ in 0..2 {
            assert!(stream.message().await.expect("it is open").is_some());
        }
        Exchange::make(&mut client, request(), None).await.expect("a cycle of another");
        let stranger = client.resign(ResignRequest { ticket: vec![0; 180] }).await.expect_err("nobody has this ticket");
        assert_eq!(stranger.code(), tonic::Code::NotFound);
        let more = tokio::time::timeout(std::time::Duration::from_millis(50), stream.message()).await;
        assert!(more.is_err(), "{more:?} came before Resign");
    }

    #[tokio::test]
    async fn a_cycle_that_ends_otherwise_is_refused() {
        let mut messages = sample();
        let expired = Ended { reason: EndReason::Expired.into(), detail: String::new() };
        messages.ended.event = Some(Event::Ended(expired));
        let error = Exchange::make(&mut client(&messages).await, request(), None).await;
        let text = error.expect_err("it ended as EXPIRED").to_string();
        assert!(text.starts_with("after Resign comes Some(Ended"), "{text}");

        let not_asked = CampaignRequest::default();
        let error = Exchange::make(&mut client(&sample()).await, not_asked, None).await;
        assert!(error.expect_err("it has a task token").to_string().starts_with("asked: false, but"));

        let mut messages = sample();
        messages.resigned.was_leading = false;
        let error = Exchange::make(&mut client(&messages).await, request(), None).await;
        assert!(error.expect_err("it didn't lead").to_string().starts_with("Resign of a leader answers"));
    }
}
