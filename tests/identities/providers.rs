//! OpenID providers that publish their keys below their URL.

use anyhow::{Context as _, ensure};
use leasehold_harness::{AdminClient, Authority, Issuer, PATIENCE, Process, Provider, Server, by, refusal};
use leasehold_proto::v1::WhoAmIRequest;
use serde_json::json;
use std::net::TcpListener;
use std::time::{Duration, Instant};
use tokio::process::Command;
use tonic::{Code, Status};

async fn whoami(admin: &mut AdminClient, token: &str) -> Result<String, Status> {
    Ok(admin.who_am_i(by(token, WhoAmIRequest {})).await?.into_inner().subject)
}

/// Who calls with this token, once the server knows its key. Until then the caller is told to try
/// again.
async fn known(admin: &mut AdminClient, token: &str) -> anyhow::Result<String> {
    let since = Instant::now();
    loop {
        match whoami(admin, token).await {
            Ok(subject) => return Ok(subject),
            Err(status) => {
                let reason = refusal(&status).reason;
                ensure!(status.code() == Code::Unavailable && reason == "ISSUER_KEYS_UNKNOWN", "{status:?}");
                ensure!(since.elapsed() < PATIENCE, "it isn't learned: {status:?}");
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What a caller is told of whom the server can't know yet, once that has these words in it.
async fn told(admin: &mut AdminClient, token: &str, words: &str) -> anyhow::Result<()> {
    let since = Instant::now();
    loop {
        let status = whoami(admin, token).await.err().context("the key can't be known")?;
        ensure!(refusal(&status).reason == "ISSUER_KEYS_UNKNOWN", "{status:?}");
        if status.message().contains(words) {
            return Ok(());
        }
        ensure!(since.elapsed() < PATIENCE, "{words:?} is due: {status:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn keys_of_a_provider_are_found_by_its_url_and_read_again_for_a_new_one() -> anyhow::Result<()> {
    let mut provider = Provider::start().await?;
    let server = Server::builder().arg("--oidc").arg(provider.flag()).start().await?;
    let mut admin = server.admin().await?;
    let former = provider.token("ann");
    assert_eq!(known(&mut admin, &former).await?, provider.subject("ann"));

    provider.rotate()?;
    assert_eq!(known(&mut admin, &provider.token("bob")).await?, provider.subject("bob"));
    let refused = whoami(&mut admin, &former).await.unwrap_err();
    let reason = refusal(&refused).reason;
    ensure!(["INVALID_TOKEN", "ISSUER_KEYS_UNKNOWN"].contains(&reason.as_str()), "{refused:?}");
    Ok(())
}

#[tokio::test]
async fn while_a_provider_is_down_its_known_keys_stay_in_use() -> anyhow::Result<()> {
    let mut provider = Provider::start().await?;
    let server = Server::builder().arg("--oidc").arg(provider.flag()).start().await?;
    let mut admin = server.admin().await?;
    let seen = provider.token("ann");
    known(&mut admin, &seen).await?;
    let unseen = provider.token("bob");

    provider.stop();
    provider.rotate()?;
    let newer = provider.token("eve");
    told(&mut admin, &newer, "its keys can't be read: ").await?;
    assert_eq!(whoami(&mut admin, &seen).await?, provider.subject("ann"));
    assert_eq!(whoami(&mut admin, &unseen).await?, provider.subject("bob"));

    provider.start_again().await?;
    assert_eq!(known(&mut admin, &newer).await?, provider.subject("eve"));
    Ok(())
}

/// A provider over HTTPS, by another implementation: the folder of its two files, served by
/// openssl.
#[tokio::test]
async fn a_provider_over_https_must_have_a_certificate_that_is_trusted() -> anyhow::Result<()> {
    let (ours, folder) = (Authority::new("ours")?, tempfile::tempdir()?);
    let files = ours.issue("provider", &["localhost"])?;
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let url = format!("https://localhost:{port}");
    let issuer = Issuer::new(&url)?;
    std::fs::create_dir(folder.path().join(".well-known"))?;
    let discovery = json!({"issuer": url, "jwks_uri": format!("{url}/keys")}).to_string();
    std::fs::write(folder.path().join(".well-known/openid-configuration"), discovery)?;
    std::fs::copy(issuer.keys_file(), folder.path().join("keys"))?;
    let mut command = Command::new("openssl");
    command.args(["s_server", "-WWW", "-accept", &format!("127.0.0.1:{port}")]);
    command.arg("-cert").arg(&files.cert).arg("-key").arg(&files.key).current_dir(folder.path());
    let provider = Process::spawn("openssl", command)?;
    provider.wait_for_line(|line| line.contains("ACCEPT"), PATIENCE).await?;

    let flag = format!("issuer={url}");
    let trusting = Server::builder().env("SSL_CERT_FILE", ours.ca().display().to_string());
    let trusting = trusting.arg("--oidc").arg(&flag).start().await?;
    let token = issuer.token("ann");
    assert_eq!(known(&mut trusting.admin().await?, &token).await?, format!("oidc:{url}#ann"));

    let wary = Server::builder().arg("--oidc").arg(&flag).start().await?;
    told(&mut wary.admin().await?, &token, "haven't been read yet").await?;
    let since = Instant::now();
    while !wary.process().stderr().contains("can't read the keys of an issuer") {
        ensure!(since.elapsed() < PATIENCE, "{}", wary.process().stderr());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
