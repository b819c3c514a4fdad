//! The services of docs/fencing.md that check task tokens, in four languages.

use crate::page::commands;
use crate::place::Place;
use anyhow::{Context as _, ensure};
use leasehold_harness::{Campaign, PATIENCE, Process, Server, leased};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The sections with a service.
pub(crate) const LANGUAGES: [&str; 4] = ["Python", "Go", "Node", "Java"];
/// Of all four services.
const LEEWAY: Duration = Duration::from_secs(10);

/// Writes with a task token: what the service answers, with its status in the first line.
async fn put(place: &Place, token: &str) -> anyhow::Result<String> {
    let header = if token.is_empty() { String::new() } else { format!("-H 'Authorization: Bearer {token}'") };
    let url = "http://127.0.0.1:8000/report";
    let script =
        format!("curl -sS -X PUT {header} -d again -o answer.txt -w '%{{http_code}} ' {url} && cat answer.txt");
    Ok(place.output(&script).await?.trim().to_owned())
}

/// A new leader's task token and candidacy.
async fn leader(server: &Server, election: &str, ttl_ms: u32) -> anyhow::Result<(String, Campaign)> {
    let mut campaign = Campaign::open(&mut server.elections().await?, leased(election, "leader", ttl_ms)).await?;
    Ok((campaign.elected().await?.task_token, campaign))
}

/// Tokens that nobody signed, made from one that is good.
async fn forged(place: &Place, token: &str) -> anyhow::Result<Vec<String>> {
    let [header, claims, signature] = token.split('.').collect::<Vec<_>>()[..] else {
        anyhow::bail!("a JWT has three parts: {token}")
    };
    // Signed with the public key, as if that were a secret: for who believes the token's `alg`.
    let confused = place
        .output(&format!(
            "python3 -c '
import base64, hashlib, hmac, json
key = json.load(open(\"jwks.json\"))[\"keys\"][0]
def encode(data): return base64.urlsafe_b64encode(data).rstrip(b\"=\").decode()
signed = encode(json.dumps({{\"alg\": \"HS256\", \"kid\": key[\"kid\"]}}).encode()) + \".{claims}\"
secret = base64.urlsafe_b64decode(key[\"x\"] + \"=\")
print(signed + \".\" + encode(hmac.digest(secret, signed.encode(), hashlib.sha256)))'"
        ))
        .await?;
    Ok(vec![
        String::new(),
        "token".to_owned(),
        format!("{header}.{claims}."),
        format!("eyJhbGciOiJub25lIn0.{claims}."),
        format!("{header}.{claims}.A{signature}"),
        format!("{header}.{claims}.{}", signature.chars().rev().collect::<String>()),
        confused.trim().to_owned(),
    ])
}

async fn checks_task_tokens(language: &str) -> anyhow::Result<()> {
    let mut place = Place::new().await?;
    let [keys, write] = &commands("An HTTP service")[..] else { anyhow::bail!("a command more or less on the page") };
    place.output(keys).await?;
    place.instead_of("127.0.0.1:8000", "127.0.0.1:0");
    let serve = commands(language).pop().context("the page starts it")?;
    let service = Process::spawn(language, place.command(&format!("exec {serve}")))?;
    let line = service.wait_for_line(|line| line.starts_with("listening on "), PATIENCE).await?.text;
    place.instead_of("127.0.0.1:8000", &line.replace("listening on ", ""));

    let read = "curl -sS http://127.0.0.1:8000/report";
    place.refuses_a_paused_writer(write, read, "error: 409", false).await?;

    let (token, campaign) = leader(&place.server, "jobs/report", 15_000).await?;
    for _ in 0..2 {
        assert_eq!(put(&place, &token).await?, "200 written", "the leader writes again");
    }
    let stranger = Server::start().await?;
    let (other, _campaign) = leader(&place.server, "jobs/other", 15_000).await?;
    let mut refused = forged(&place, &token).await?;
    refused.extend([other, leader(&stranger, "jobs/report", 15_000).await?.0]);
    for token in refused {
        let answer = put(&place, &token).await?;
        ensure!(answer.starts_with("401 not a leader's task token: "), "{token}: {answer}");
    }

    // A stale one is refused for as long as its time isn't over, and from then on anyhow.
    campaign.resign(&mut place.server.elections().await?).await?;
    let (short, _campaign) = leader(&place.server, "jobs/report", 1_000).await?;
    assert_eq!(put(&place, &short).await?, "200 written");
    let answer = put(&place, &token).await?;
    ensure!(answer.starts_with("409 stale fencing token "), "{answer}");
    let end = SystemTime::now().duration_since(UNIX_EPOCH)? + LEEWAY + Duration::from_secs(4);
    while put(&place, &short).await?.starts_with("200") {
        ensure!(SystemTime::now().duration_since(UNIX_EPOCH)? < end, "a token for a lease of 1 s doesn't expire");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let answer = put(&place, &short).await?;
    ensure!(answer.starts_with("401 "), "{answer}");

    // It asks nobody. Then: the same keys in another name.
    let (token, campaign) = leader(&place.server, "jobs/report", 15_000).await?;
    campaign.resign(&mut place.server.elections().await?).await?;
    place.server.sigterm(PATIENCE).await?;
    assert_eq!(put(&place, &token).await?, "200 written");
    place.server.reconfigure(|server| server.arg("--issuer").arg("another"));
    place.server.restart().await?;
    let (token, _campaign) = leader(&place.server, "jobs/report", 15_000).await?;
    let answer = put(&place, &token).await?;
    ensure!(answer.starts_with("401 "), "{answer}");
    Ok(())
}

#[tokio::test]
async fn a_python_service_refuses_a_paused_writer() -> anyhow::Result<()> {
    checks_task_tokens("Python").await
}

#[tokio::test]
async fn a_go_service_refuses_a_paused_writer() -> anyhow::Result<()> {
    checks_task_tokens("Go").await
}

#[tokio::test]
async fn a_node_service_refuses_a_paused_writer() -> anyhow::Result<()> {
    checks_task_tokens("Node").await
}

#[tokio::test]
async fn a_java_service_refuses_a_paused_writer() -> anyhow::Result<()> {
    checks_task_tokens("Java").await
}
