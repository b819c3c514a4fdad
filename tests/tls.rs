//! The gRPC port inside TLS: what openssl and grpcurl see, files that are replaced, and strangers
//! who stop in the middle of the handshake.

use anyhow::{Context as _, ensure};
use leasehold::{Access, Client};
use leasehold_harness::{Authority, Ending, Files, PATIENCE, Process, Server, ServerBuilder, http_get};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;

/// What a certificate of a server on loopback is for.
const HERE: [&str; 2] = ["127.0.0.1", "localhost"];

fn server(files: &Files) -> ServerBuilder {
    Server::builder().listen(([127, 0, 0, 1], 0).into()).tls(files)
}

fn url(server: &Server) -> String {
    format!("https://{}", server.address())
}

/// What `openssl s_client` says of a connection that it makes with these words.
async fn openssl(server: &Server, words: &[&str]) -> anyhow::Result<Ending> {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &server.address().to_string(), "-alpn", "h2", "-verify_return_error"]);
    command.args(words).stdin(Stdio::null());
    Process::spawn("openssl", command)?.wait(PATIENCE).await
}

/// The value of a metric, with its labels.
async fn metric(server: &Server, name: &str) -> anyhow::Result<f64> {
    let text = http_get(&format!("{}/metrics", server.http())).await?.body;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(line.map_or(0.0, |value| value.parse().expect("metrics are numbers")))
}

/// Waits until this holds.
async fn until<F: Future<Output = anyhow::Result<bool>>>(
    what: &str,
    mut holds: impl FnMut() -> F,
) -> anyhow::Result<()> {
    let since = Instant::now();
    while !holds().await? {
        ensure!(since.elapsed() < PATIENCE, "{what}: in vain");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

#[tokio::test]
async fn openssl_speaks_tls_1_2_and_1_3_and_http_2() -> anyhow::Result<()> {
    let (ours, other) = (Authority::new("ours")?, Authority::new("other")?);
    let server = server(&ours.issue("server", &HERE)?).start().await?;
    let (ca, wrong) = (ours.ca().display().to_string(), other.ca().display().to_string());
    for (version, name) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let ending = openssl(&server, &[version, "-CAfile", &ca]).await?;
        let said = &ending.stdout;
        ensure!(ending.status.success() && said.contains("Verify return code: 0 (ok)"), "{ending:?}");
        ensure!(said.contains(name) && said.contains("ALPN protocol: h2"), "{said}");
    }
    let old = openssl(&server, &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0", "-CAfile", &ca]).await?;
    ensure!(!old.status.success() && old.stderr.contains("alert"), "{old:?}");
    let distrusted = openssl(&server, &["-CAfile", &wrong]).await?;
    ensure!(distrusted.stderr.contains("unable to get local issuer certificate"), "{distrusted:?}");
    until("both are counted", async || {
        Ok(metric(&server, "leasehold_connections_closed_total{reason=\"TLS_FAILED\"}").await? >= 2.0)
    })
    .await
}

#[tokio::test]
async fn openssl_shows_a_certificate_where_one_must_be_shown() -> anyhow::Result<()> {
    let (ours, other) = (Authority::new("ours")?, Authority::new("other")?);
    let ca = ours.ca().display().to_string();
    let server = server(&ours.issue("server", &HERE)?).arg("--tls-client-ca").arg(&ca).start().await?;
    let (worker, stranger) = (ours.issue("worker", &["worker"])?, other.issue("worker", &["worker"])?);
    let expired = ours.issue_between("expired", &["worker"], 2020, 2021)?;
    for (shown, refused) in [
        (Some(&worker), None),
        (None, Some("alert certificate required")),
        (Some(&stranger), Some("alert unknown ca")),
        (Some(&expired), Some("alert certificate expired")),
    ] {
        let mut words = vec!["-CAfile".to_owned(), ca.clone()];
        if let Some(Files { cert, key }) = shown {
            words.extend(["-cert", &cert.display().to_string(), "-key", &key.display().to_string()].map(str::to_owned));
        }
        // The word of a server that refuses comes after the handshake: openssl must read on.
        let mut command = Command::new("openssl");
        command.args(["s_client", "-connect", &server.address().to_string(), "-alpn", "h2"]).args(words);
        command.arg("-ign_eof").stdin(Stdio::null());
        let process = Process::spawn("openssl", command)?;
        match refused {
            None => _ = process.wait_for_line(|line| line.contains("Verify return code: 0 (ok)"), PATIENCE).await?,
            Some(says) => {
                until(says, async || Ok(process.stderr().contains(says))).await?;
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn grpcurl_finds_its_way() -> anyhow::Result<()> {
    let ours = Authority::new("ours")?;
    let server = server(&ours.issue("server", &HERE)?).start().await?;
    let grpcurl = std::env::var("LEASEHOLD_GRPCURL").context("tests/run service says where grpcurl is")?;
    let address = server.address().to_string();
    let list = async |words: &[&str]| {
        let mut command = Command::new(&grpcurl);
        command.args(words).args([&address, "list"]);
        Process::spawn("grpcurl", command)?.wait(PATIENCE).await
    };
    let listed = list(&["-cacert", &ours.ca().display().to_string()]).await?;
    ensure!(listed.stdout.contains("leasehold.v1.ElectionService"), "{listed:?}");
    let distrusted = list(&[]).await?;
    ensure!(!distrusted.status.success() && distrusted.stderr.contains("unknown authority"), "{distrusted:?}");
    Ok(())
}

/// Puts a pair where the kubelet would: in a folder of its own, and a link to that is swapped.
fn project(volume: &Path, generation: &str, files: &Files) -> anyhow::Result<()> {
    let folder = volume.join(generation);
    std::fs::create_dir_all(&folder)?;
    std::fs::copy(&files.cert, folder.join("tls.crt"))?;
    std::fs::copy(&files.key, folder.join("tls.key"))?;
    symlink(generation, volume.join("..data_tmp"))?;
    std::fs::rename(volume.join("..data_tmp"), volume.join("..data"))?;
    Ok(())
}

#[tokio::test]
async fn new_files_are_used_without_a_failed_call_and_broken_ones_are_not() -> anyhow::Result<()> {
    let ours = Authority::new("ours")?;
    let volume = tempfile::tempdir()?;
    let (first, second) = (ours.issue("first", &HERE)?, ours.issue("second", &HERE)?);
    project(volume.path(), "1", &first)?;
    for file in ["tls.crt", "tls.key"] {
        symlink(format!("..data/{file}"), volume.path().join(file))?;
    }
    let mounted = Files { cert: volume.path().join("tls.crt"), key: volume.path().join("tls.key") };
    let server = server(&mounted).start().await?;
    let shows = async |name: &str| {
        let ending = openssl(&server, &["-CAfile", &ours.ca().display().to_string()]).await?;
        anyhow::Ok(
            ending.stdout.contains(&format!("subject=CN = {name}"))
                || ending.stdout.contains(&format!("subject=CN={name}")),
        )
    };
    ensure!(shows("first").await?);

    let access = Access::new().ca(ours.ca());
    let client = Client::connect_with(url(&server), access.clone()).await?;
    let leadership = client.campaign("jobs/reload").await?;
    let (address, token) = (url(&server), leadership.fencing_token());
    let load = tokio::spawn(async move {
        let mut calls = 0;
        loop {
            // Each second call over a connection of its own.
            let fresh = Client::connect_with(&*address, access.clone()).await?;
            for client in [&client, &fresh] {
                let leader = client.get("jobs/reload").await?.leader.context("it is led")?;
                ensure!(leader.fencing_token == token);
                calls += 1;
            }
            if calls > 2000 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        anyhow::Ok(calls)
    });
    project(volume.path(), "2", &second)?;
    until("the second certificate is shown", async || shows("second").await).await?;
    ensure!(metric(&server, "leasehold_tls_files_broken").await? == 0.0);

    // The certificate of one and the key of the other.
    project(volume.path(), "3", &Files { cert: first.cert.clone(), key: second.key.clone() })?;
    until("the fault shows", async || Ok(metric(&server, "leasehold_tls_files_broken").await? == 1.0)).await?;
    let log = server.process().stderr();
    ensure!(log.contains("isn't that of the first certificate in") && log.contains("tls.key (--tls-key)"), "{log}");
    ensure!(shows("second").await?);
    project(volume.path(), "4", &first)?;
    until("the first certificate is shown again", async || shows("first").await).await?;
    until("the fault is gone", async || Ok(metric(&server, "leasehold_tls_files_broken").await? == 0.0)).await?;
    ensure!(!load.is_finished() || load.await?.is_ok(), "calls failed");
    ensure!(leadership.is_leading());
    Ok(())
}

#[tokio::test]
async fn files_that_cant_be_used_are_named_at_the_start() -> anyhow::Result<()> {
    let ours = Authority::new("ours")?;
    let good = ours.issue("server", &HERE)?;
    let missing = Files { cert: ours.dir().join("missing"), key: good.key.clone() };
    let swapped = Files { cert: good.key.clone(), key: good.cert.clone() };
    let other = Files { cert: good.cert.clone(), key: ours.issue("other", &HERE)?.key };
    for (files, says) in [
        (&missing, "missing (--tls-cert): No such file or directory"),
        (&swapped, "server.key (--tls-cert) can't be used: it has no certificate"),
        (&other, "other.key (--tls-key) isn't that of the first certificate in "),
    ] {
        let ending = server(files).run_to_end().await?;
        ensure!(ending.status.code() == Some(1) && ending.stderr.contains(says), "{ending:?}");
    }
    Ok(())
}

#[tokio::test]
async fn whoever_stops_in_the_middle_of_the_handshake_keeps_nobody_out() -> anyhow::Result<()> {
    let ours = Authority::new("ours")?;
    let server = server(&ours.issue("server", &HERE)?)
        .open_files(1024)
        .arg("--max-connections-per-address=1000")
        .start()
        .await?;
    let client = Client::connect_with(url(&server), Access::new().ca(ours.ca())).await?;
    let leadership = client.campaign("jobs/handshakes").ttl(Duration::from_secs(3)).await?;
    // The beginning of a ClientHello: so much more is said to follow.
    let hello = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    let mut strangers = Vec::new();
    let since = Instant::now();
    for number in 0..400 {
        let mut stranger = TcpStream::connect(server.address()).await?;
        let words: &[u8] = match number % 4 {
            0 => &[],
            1 => &hello,
            2 => b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            _ => &[0xff; 600],
        };
        // It may be closed already: more have come than there may be.
        _ = stranger.write_all(words).await;
        strangers.push(stranger);
        if number % 40 == 0 {
            Client::connect_with(url(&server), Access::new().ca(ours.ca())).await?.get("jobs/handshakes").await?;
        }
    }
    for mut stranger in strangers {
        let closed = tokio::time::timeout(PATIENCE, stranger.read_to_end(&mut Vec::new())).await;
        ensure!(closed.is_ok(), "it stays open after {:?}", since.elapsed());
    }
    ensure!(leadership.is_leading());
    ensure!(metric(&server, "leasehold_connections_closed_total{reason=\"NO_PREFACE\"}").await? > 0.0);
    ensure!(metric(&server, "leasehold_connections_closed_total{reason=\"TLS_FAILED\"}").await? > 0.0);
    Ok(())
}

#[tokio::test]
async fn plain_text_that_others_can_reach_is_told_and_tls_may_be_reached() -> anyhow::Result<()> {
    let everywhere = ([0, 0, 0, 0], 0).into();
    let open = Server::builder().listen(everywhere).arg("--insecure").start().await?;
    ensure!(metric(&open, "leasehold_insecure").await? == 1.0);
    ensure!(open.process().stderr().contains("serving plain text where others can reach it (--insecure)"));
    let near = Server::builder().arg("--insecure").start().await?;
    ensure!(metric(&near, "leasehold_insecure").await? == 0.0);
    let ours = Authority::new("ours")?;
    let files = ours.issue("server", &HERE)?;
    let sealed = Server::builder().listen(everywhere).http_listen(everywhere).tls(&files).start().await?;
    let end = metric(&sealed, "leasehold_tls_certificate_not_after_seconds").await?;
    ensure!(metric(&sealed, "leasehold_insecure").await? == 0.0 && end == 4_733_510_400.0, "{end}");
    let address = format!("https://localhost:{}", sealed.address().port());
    Client::connect_with(address, Access::new().ca(ours.ca())).await?.status().await?;
    Ok(())
}
