//! Starts that must fail, each with a sentence that says what to do; and where settings come from.

use anyhow::{Context as _, ensure};
use leasehold_harness::{Campaign, Ending, Server, leased, milliseconds, stream_bound};
use leasehold_proto::v1::{CampaignRequest, GetStatusRequest};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::fs::Permissions;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// Asserts that a start failed with exit code 1 and one message that has each of these parts in it.
#[track_caller]
fn assert_failed(ending: &Ending, parts: &[&str]) {
    assert_eq!(ending.status.code(), Some(1), "{ending:?}");
    assert!(!ending.stdout.contains("listening on"), "it said that it listens: {ending:?}");
    assert!(!ending.stderr.contains("panicked"), "{}", ending.stderr);
    for part in parts {
        assert!(ending.stderr.contains(part), "stderr ought to say {part:?}: {}", ending.stderr);
    }
}

/// A data folder that a server has used and left in order.
async fn used_folder() -> anyhow::Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    let mut server = Server::builder().data_dir(folder.path()).start().await?;
    let mut client = server.elections().await?;
    Campaign::open(&mut client, leased("jobs/kept", "x", 15_000)).await?.elected().await?;
    server.sigterm(Duration::from_secs(5)).await?;
    Ok(folder)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary folders are UTF-8")
}

#[tokio::test]
async fn a_second_process_on_the_same_data_folder() -> anyhow::Result<()> {
    let mut first = Server::start().await?;
    let second = Server::builder().data_dir(first.data_dir()).run_to_end().await?;
    assert_failed(&second, &[text(first.data_dir()), "--data-dir"]);
    // The first one hasn't noticed, and its end frees the folder: a lock, not a file that stays behind.
    Campaign::open(&mut first.elections().await?, leased("jobs/x", "x", 5_000)).await?.elected().await?;
    first.kill9().await?;
    first.restart().await
}

#[tokio::test]
async fn a_port_in_use() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let taken = listener.local_addr()?;
    let address = taken.to_string();
    assert_failed(&Server::builder().listen(taken).run_to_end().await?, &[&address, "--listen"]);
    assert_failed(&Server::builder().http_listen(taken).run_to_end().await?, &[&address, "--http-listen"]);
    Ok(())
}

#[tokio::test]
async fn a_state_file_that_is_damaged() -> anyhow::Result<()> {
    let folder = used_folder().await?;
    let path = folder.path().join("state.json");
    let whole = std::fs::read(&path)?;
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 0x10;
    let damaged: [&[u8]; 6] =
        [b"", b"not a state file\n", &whole[..1], &whole[..whole.len() / 2], &whole[..whole.len() - 2], &flipped];
    for content in damaged {
        std::fs::write(&path, content)?;
        let ending = Server::builder().data_dir(folder.path()).run_to_end().await?;
        assert_failed(&ending, &[text(&path)]);
        assert_eq!(std::fs::read(&path)?, content, "a file that can't be read is left as it is");
    }
    std::fs::write(&path, whole)?;
    Server::builder().data_dir(folder.path()).start().await?;
    Ok(())
}

#[tokio::test]
async fn a_state_file_that_cant_be_read_at_all() -> anyhow::Result<()> {
    let folder = used_folder().await?;
    let path = folder.path().join("state.json");
    std::fs::remove_file(&path)?;
    std::fs::create_dir(&path)?;
    assert_failed(&Server::builder().data_dir(folder.path()).run_to_end().await?, &[text(&path)]);
    let file = tempfile::NamedTempFile::new()?;
    assert_failed(&Server::builder().data_dir(file.path()).run_to_end().await?, &[text(file.path()), "--data-dir"]);
    Ok(())
}

#[tokio::test]
async fn a_data_folder_with_something_else_in_it() -> anyhow::Result<()> {
    let folder = used_folder().await?;
    let (lock, state) = (folder.path().join("lock"), folder.path().join("state.json"));
    let precious = folder.path().join("precious");
    std::fs::rename(&lock, &precious)?;
    std::os::unix::fs::symlink(&precious, &lock)?;
    let before = std::fs::read(&precious)?;
    let ending = Server::builder().data_dir(folder.path()).run_to_end().await?;
    assert_failed(&ending, &[text(&lock), "a symbolic link", "remove it"]);
    assert_eq!(std::fs::read(&precious)?, before);
    std::fs::remove_file(&lock)?;
    // A pipe that nobody writes to, and a file that takes minutes to read.
    std::fs::remove_file(&state)?;
    mknodat(CWD, &state, FileType::Fifo, Mode::RUSR, 0)?;
    assert_failed(&Server::builder().data_dir(folder.path()).run_to_end().await?, &[text(&state), "a pipe"]);
    std::fs::remove_file(&state)?;
    std::fs::File::create(&state)?.set_len(3 << 30)?;
    assert_failed(&Server::builder().data_dir(folder.path()).run_to_end().await?, &[text(&state), "3221225472 bytes"]);
    Ok(())
}

#[tokio::test]
async fn a_data_folder_that_others_can_read() -> anyhow::Result<()> {
    let folder = used_folder().await?;
    let state = folder.path().join("state.json");
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o777))?;
    std::fs::set_permissions(&state, Permissions::from_mode(0o644))?;
    let mut server = Server::builder().data_dir(folder.path()).start().await?;
    assert_eq!(folder.path().metadata()?.permissions().mode() & 0o777, 0o700);
    assert_eq!(state.metadata()?.permissions().mode() & 0o777, 0o600);
    let log = server.sigterm(Duration::from_secs(5)).await?.stderr;
    ensure!(log.contains("others could use the data folder") && log.contains("others could read the keys"), "{log}");
    Ok(())
}

#[tokio::test]
async fn a_state_file_that_is_gone() -> anyhow::Result<()> {
    let mut server = Server::builder().arg("--max-ttl").arg("2s").start().await?;
    let mut client = server.elections().await?;
    let mut leader = Campaign::open(&mut client, leased("jobs/gone", "x", 2_000)).await?;
    let token = leader.elected().await?.fencing_token;
    server.sigterm(Duration::from_secs(5)).await?;
    std::fs::remove_file(server.data_dir().join("state.json"))?;
    let stopped = Instant::now();
    server.restart().await?;
    // Leaders may be out there that it knows nothing of, so it waits; and the clock vouches for the numbers.
    let mut next = Campaign::open(&mut client, stream_bound("jobs/gone", "y")).await?;
    let next_token = next.elected().await?.fencing_token;
    ensure!(stopped.elapsed() >= Duration::from_millis(2_100), "a grant after {:?}", stopped.elapsed());
    ensure!(next_token > token, "{next_token} after {token}");
    Ok(())
}

#[tokio::test]
async fn settings_that_cant_be() -> anyhow::Result<()> {
    for (flag, value, part) in [
        ("--max-ttl", "999ms", "max_ttl"),
        ("--max-ttl", "2days", "max_ttl"),
        ("--max-ttl", "soon", "max-ttl"),
        ("--max-candidacies", "1000000", "candidacies"),
        ("--config", "/nonexistent/leasehold.toml", "/nonexistent/leasehold.toml"),
    ] {
        let ending = Server::builder().arg(flag).arg(value).run_to_end().await?;
        ensure!(!ending.status.success(), "{flag} {value}: {ending:?}");
        ensure!(ending.stderr.contains(part) && !ending.stderr.contains("panicked"), "{flag} {value}: {ending:?}");
    }
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("leasehold.toml");
    for (content, part) in [("max_tll = \"7s\"\n", "max_tll"), ("max_ttl = \"7s\n", "leasehold.toml")] {
        std::fs::write(&config, content)?;
        let ending = Server::builder().arg("--config").arg(text(&config)).run_to_end().await?;
        assert_failed(&ending, &[text(&config), part]);
    }
    Ok(())
}

#[tokio::test]
async fn a_flag_beats_the_environment_which_beats_the_file() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("leasehold.toml");
    std::fs::write(&config, "max_ttl = \"7s\"\n")?;
    let from_file = || Server::builder().arg("--config").arg(text(&config));
    let from_env = || from_file().env("LEASEHOLD_MAX_TTL", "8s");
    let from_flag = || from_env().arg("--max-ttl").arg("9s");
    for (builder, seconds) in [(from_file(), 7), (from_env(), 8), (from_flag(), 9)] {
        let server = builder.start().await?;
        let status = server.admin().await?.get_status(GetStatusRequest {}).await?.into_inner();
        assert_eq!(status.max_ttl, Some(milliseconds(seconds * 1_000)));
    }
    Ok(())
}

#[tokio::test]
async fn the_first_lines_say_where_it_listens_and_what_to_try() -> anyhow::Result<()> {
    let server = Server::start().await?;
    server.process().wait_for_line_from(1, |line| !line.is_empty(), Duration::from_secs(10)).await?;
    let output = server.process().stdout();
    let (first, second) = output.split_once('\n').context("two lines")?;
    for part in [&server.address().to_string(), &server.http_address().to_string(), text(server.data_dir())] {
        ensure!(first.contains(part), "{part} isn't in {first:?}");
    }
    ensure!(second.contains(&server.address().to_string()), "what to try ought to work as it stands: {second:?}");
    Ok(())
}

#[tokio::test]
async fn when_it_says_that_it_listens_it_serves() -> anyhow::Result<()> {
    for start in 0..20 {
        let server = Server::start().await?;
        let mut client = server.elections().await?;
        let request = CampaignRequest { no_wait: true, ..stream_bound("jobs/now", "x") };
        let mut campaign = Campaign::open(&mut client, request).await.with_context(|| format!("start {start}"))?;
        campaign.elected().await.with_context(|| format!("start {start}"))?;
    }
    Ok(())
}

/// A kubeconfig of an API server that isn't there.
fn kubeconfig_of_nobody(folder: &Path) -> anyhow::Result<String> {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let path = folder.join("kubeconfig");
    let content = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{{name: c, cluster: {{server: \"http://127.0.0.1:{port}\"}}}}]\n\
         users: [{{name: u, user: {{}}}}]\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n"
    );
    std::fs::write(&path, content)?;
    Ok(text(&path).to_owned())
}

/// Its ERROR lines came in hundreds, and said nothing that ours don't.
#[tokio::test]
async fn the_kubernetes_client_is_silent_unless_it_is_named() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let kubeconfig = kubeconfig_of_nobody(folder.path())?;
    for (level, named) in [("info", false), ("info,kube_client=error", true)] {
        let builder =
            Server::builder().env("KUBECONFIG", &kubeconfig).arg("--kubernetes").arg("--log-level").arg(level);
        let process = builder.spawn(folder.path())?;
        let mut waited = Duration::ZERO;
        while process.stderr().matches("can't read the keys").count() < 2 && waited < Duration::from_secs(20) {
            tokio::time::sleep(Duration::from_millis(50)).await;
            waited += Duration::from_millis(50);
        }
        let log = process.stderr();
        ensure!(log.contains("can't read the keys; trying again"), "{level}: {log}");
        ensure!(log.contains("can't be reached") && log.contains("refused"), "our line says why: {log}");
        ensure!(log.contains("failed with error") == named, "{level}: {log}");
    }
    Ok(())
}
