//! The way in: what a client says that can't get in, and how the command is told what to trust.

use anyhow::ensure;
use leasehold::{Access, Client, Error};
use leasehold_harness::{Authority, Ending, Files, PATIENCE, Process, Profile, Server, ServerBuilder, binary};
use tokio::process::Command;

const HERE: [&str; 2] = ["127.0.0.1", "localhost"];

fn near() -> ServerBuilder {
    Server::builder().listen(([127, 0, 0, 1], 0).into())
}

async fn error(endpoint: String, access: Access) -> String {
    match Client::connect_with(endpoint.as_str(), access).await {
        Ok(_) => panic!("{endpoint} can be reached"),
        Err(error @ Error::Unreachable { .. }) => error.to_string(),
        Err(error) => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn an_error_says_what_is_wrong_and_what_to_do() -> anyhow::Result<()> {
    let (ours, other) = (Authority::new("ours")?, Authority::new("other")?);
    let trusted = || Access::new().ca(ours.ca());
    let plain = near().start().await?;
    let good = near().tls(&ours.issue("good", &HERE)?).start().await?;
    let expired = near().tls(&ours.issue_between("expired", &HERE, 2020, 2021)?).start().await?;
    let early = near().tls(&ours.issue_between("early", &HERE, 2110, 2120)?).start().await?;
    let elsewhere = near().tls(&ours.issue("elsewhere", &["leasehold.example"])?).start().await?;
    let at = |scheme: &str, server: &Server| format!("{scheme}://{}", server.address());
    for (endpoint, access, says) in [
        (
            at("https", &good),
            Access::new().ca(other.ca()),
            "signed by an authority that isn't trusted here: give the service's own with --ca (LEASEHOLD_CA)",
        ),
        (at("https", &expired), trusted(), "its certificate has expired: it must be renewed at the service"),
        (at("https", &early), trusted(), "its certificate isn't valid yet: is the clock of this machine right?"),
        (at("https", &elsewhere), trusted(), "its certificate isn't for 127.0.0.1, but for "),
        (at("https", &elsewhere), trusted(), "leasehold.example"),
        (
            at("https", &plain),
            trusted(),
            "speaks plain text, and was asked for TLS: let it have a certificate, or give it as http://127.0.0.1:",
        ),
        (at("http", &good), Access::new(), "speaks TLS, and was asked in plain text: give it as https://127.0.0.1:"),
    ] {
        let error = error(endpoint, access).await;
        ensure!(error.contains(says), "{error}");
    }
    let client = Client::connect_with(at("https", &good), trusted()).await?;
    ensure!(client.status().await.is_ok());
    Ok(())
}

#[tokio::test]
async fn a_client_without_a_good_certificate_is_told_so() -> anyhow::Result<()> {
    let (ours, other) = (Authority::new("ours")?, Authority::new("other")?);
    let ca = ours.ca().display().to_string();
    let server = near().tls(&ours.issue("server", &HERE)?).arg("--tls-client-ca").arg(ca).start().await?;
    let endpoint = || format!("https://{}", server.address());
    let with = |Files { cert, key }: Files| Access::new().ca(ours.ca()).cert(cert).key(key);
    for (access, says) in [
        (Access::new().ca(ours.ca()), "the service wants a certificate of this client: give --cert and --key"),
        (with(other.issue("worker", &["worker"])?), "doesn't accept the certificate of this client (UnknownCA)"),
        (with(ours.issue_between("late", &["worker"], 2020, 2021)?), "this client (CertificateExpired)"),
    ] {
        let error = error(endpoint(), access).await;
        ensure!(error.contains(says), "{error}");
    }
    let client = Client::connect_with(endpoint(), with(ours.issue("worker", &["worker"])?)).await?;
    ensure!(client.campaign("jobs/sealed").await?.is_leading());
    Ok(())
}

#[tokio::test]
async fn files_that_cant_be_used_are_named_before_anybody_is_asked() -> anyhow::Result<()> {
    let ours = Authority::new("ours")?;
    let Files { cert, key } = ours.issue("worker", &["worker"])?;
    let empty = ours.dir().join("empty");
    std::fs::write(&empty, "")?;
    let missing = ours.dir().join("missing");
    for (access, says) in [
        (Access::new().ca(&missing), "the authority (--ca, LEASEHOLD_CA) isn't valid: can't read "),
        (Access::new().ca(&key), "has no certificate; PEM begins with -----BEGIN CERTIFICATE-----"),
        (Access::new().ca(ours.ca()).cert(&cert), "it is given without its key (--key, LEASEHOLD_KEY)"),
        (Access::new().ca(ours.ca()).key(&key), "it is given without its certificate (--cert, LEASEHOLD_CERT)"),
        (Access::new().ca(ours.ca()).cert(&cert).key(&cert), "the client's key (--key, LEASEHOLD_KEY) isn't valid: "),
        (
            Access::new().ca(ours.ca()).token_file(&missing),
            "the token (--token-file, LEASEHOLD_TOKEN_FILE) isn't valid",
        ),
        (Access::new().ca(ours.ca()).token_file(&empty), "empty is empty; it must have a token"),
    ] {
        match Client::connect_lazy_with("https://127.0.0.1:7400", access) {
            Err(Error::Invalid { .. }) => {}
            other => panic!("{says}: {other:?}"),
        }
    }
    Ok(())
}

async fn leasehold(words: &[&str], environment: &[(&str, String)]) -> anyhow::Result<Ending> {
    let mut command = Command::new(binary("leasehold-cli", "leasehold", Profile::Same)?);
    command.args(words).envs(environment.iter().map(|(name, value)| (name, value)));
    Process::spawn("leasehold", command)?.wait(PATIENCE).await
}

#[tokio::test]
async fn the_command_is_told_by_options_and_by_variables_and_tells_what_it_runs() -> anyhow::Result<()> {
    let ours = Authority::new("ours")?;
    let ca = ours.ca().display().to_string();
    let server = near().tls(&ours.issue("server", &HERE)?).start().await?;
    let (address, url) = (server.address().to_string(), format!("https://{}", server.address()));
    let variable = |name: &'static str, value: &str| (name, value.to_owned());
    let ca_is = || variable("LEASEHOLD_CA", &ca);
    for (words, environment) in [
        (&["--endpoint", &url, "--ca", &ca, "status"][..], vec![]),
        (&["--endpoint", &address, "--ca", &ca, "status"], vec![]),
        (&["status"], vec![variable("LEASEHOLD_ENDPOINT", &url), ca_is()]),
        (&["--endpoint", &url, "--ca", &ca, "status"], vec![variable("LEASEHOLD_CA", "/nowhere")]),
        // The command inside finds the service by what the one outside was given.
        (&["--endpoint", &url, "--ca", &ca, "run", "jobs/x", "--", "sh", "-c", "leasehold get jobs/x"], vec![]),
    ] {
        let folder = binary("leasehold-cli", "leasehold", Profile::Same)?;
        let folder = folder.parent().map(|folder| folder.display().to_string()).unwrap_or_default();
        let path = format!("{folder}:{}", std::env::var("PATH")?);
        let environment = [environment, vec![("PATH", path)]].concat();
        let ending = leasehold(words, &environment).await?;
        ensure!(ending.status.success(), "{words:?}: {ending:?}");
    }
    let ending = leasehold(&["--endpoint", &url, "status"], &[]).await?;
    ensure!(ending.status.code() == Some(69) && ending.stderr.contains("with --ca (LEASEHOLD_CA)."), "{ending:?}");
    ensure!(!ending.stderr.contains("Is a server running there?"), "{ending:?}");
    let ending = leasehold(&["--endpoint", "https://127.0.0.1:1", "--ca", "/nowhere", "status"], &[]).await?;
    ensure!(ending.status.code() == Some(64) && ending.stderr.contains("can't read /nowhere"), "{ending:?}");
    Ok(())
}
