//! The cluster's keys: while its API server is away, and when they change.

use super::Place;
use anyhow::ensure;
use leasehold_harness::{PATIENCE, assert_refused, by, refusal};
use leasehold_proto::v1::GetElectionRequest;
use std::time::{Duration, Instant};
use tonic::Code;

fn get() -> GetElectionRequest {
    GetElectionRequest { election: "team-a/x".to_owned() }
}

#[tokio::test]
async fn callers_stay_known_while_the_api_server_is_away() -> anyhow::Result<()> {
    let mut place = Place::new(&[]).await?;
    let seen = place.cluster.unbound("team-a", "worker");
    place.client.get_election(by(&seen, get())).await?;
    place.cluster.stop();
    let unseen = place.cluster.unbound("team-a", "another");
    for token in [&seen, &unseen] {
        place.client.get_election(by(token, get())).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_new_key_is_learned_from_the_first_token_that_names_it() -> anyhow::Result<()> {
    let mut place = Place::new(&[]).await?;
    let former = place.cluster.unbound("team-a", "worker");
    place.client.get_election(by(&former, get())).await?;
    place.cluster.rotate()?;
    let token = place.cluster.unbound("team-a", "worker");
    let since = Instant::now();
    // Keys aren't read for every token that names any key: at most every 10 s.
    while let Err(status) = place.client.get_election(by(&token, get())).await {
        assert_refused(&status, Code::Unavailable, "ISSUER_KEYS_UNKNOWN", &["try again"]);
        ensure!(since.elapsed() < PATIENCE, "it isn't learned");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // The key that was taken out of use isn't believed any more, nor what was checked with it.
    let refused = place.client.get_election(by(&former, get())).await.unwrap_err();
    let reason = refusal(&refused).reason;
    ensure!(["INVALID_TOKEN", "ISSUER_KEYS_UNKNOWN"].contains(&reason.as_str()), "{refused:?}");
    Ok(())
}
