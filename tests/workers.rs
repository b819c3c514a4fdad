//! Workers in Python, Go and Node in one election; what networks and settings do to them; and
//! pauses of those in Go and Node (`end_to_end`: those in Python).

use anyhow::{Context as _, ensure};
use leasehold_harness::{Authority, Language, Observer, PATIENCE, Seen, Server, Way, Worker, seen, token_in};
use leasehold_proto::v1::{ChangeReason, StepDownRequest};
use serde_json::Value;
use std::time::{Duration, Instant};

const LANGUAGES: [Language; 3] = [Language::Python, Language::Go, Language::Node];
const TTL: Duration = Duration::from_secs(2);
/// How long the server waits for a worker that says nothing more: a twentieth longer than the
/// worker.
const LEASE: Duration = Duration::from_millis(2_100);
/// Shorter than what is left of a lease after any KeepAlive, as those come every third of the TTL.
const AT_ONCE: Duration = Duration::from_secs(1);

/// Starts the one that leads first, and waits until it works; its fencing token.
async fn leading(language: Language, server: &Server, election: &str) -> anyhow::Result<(Worker, u64)> {
    let worker = Worker::start(language, server, election, "first", TTL)?;
    let (token, _) = elected(&worker).await?;
    Ok((worker, token))
}

/// Waits until it leads and works with its token: that, and the moment it led.
async fn elected(worker: &Worker) -> anyhow::Result<(u64, Instant)> {
    let line = worker.says("elected token=", PATIENCE).await?;
    let token = token_in(&line.text)?;
    let step = worker.says("task step token=", PATIENCE).await?;
    ensure!(token_in(&step.text)? == token && step.index > line.index, "{}", worker.process.stdout());
    Ok((token, line.at))
}

fn worked(worker: &Worker) -> bool {
    worker.process.lines().iter().any(|line| line.text.starts_with("task step"))
}

/// Waits for a step that hasn't come yet and pauses the worker right after it, so far away from the
/// next one's check.
async fn pause_after_a_step(worker: &Worker) -> anyhow::Result<()> {
    let seen = worker.process.lines().len();
    worker.process.wait_for_line_from(seen, |line| line.starts_with("task step"), PATIENCE).await?;
    worker.process.sigstop().await
}

/// The three in this order in one election: the first is killed, the second resigns, the third
/// leads.
async fn lead_in_turn(server: &Server, order: [Language; 3]) -> anyhow::Result<()> {
    let election = format!("workers/{order:?}").to_lowercase().replace(['[', ']', ' '], "").replace(',', "-");
    let mut observer = Observer::of(&mut server.elections().await?, &election).await?;
    observer.synced().await?;
    let (mut first, token) = leading(order[0], server, &election).await?;
    let mut second = Worker::start(order[1], server, &election, "second", TTL)?;
    second.says("waiting ahead=1", PATIENCE).await?;
    let third = Worker::start(order[2], server, &election, "third", TTL)?;
    third.says("waiting ahead=2", PATIENCE).await?;

    let killed = Instant::now();
    first.process.kill9().await?;
    let (next, at) = elected(&second).await?;
    let took = at.duration_since(killed);
    ensure!(took < TTL + Duration::from_secs(1), "the next one led only after {took:?}");
    ensure!(next > token, "{next} after {token}");
    ensure!(!worked(&third), "the one that waits has worked: {}", third.process.stdout());

    let asked = Instant::now();
    second.process.sigterm()?;
    let (last, at) = elected(&third).await?;
    let took = at.duration_since(asked);
    ensure!(took < AT_ONCE, "the next one led only after {took:?}");
    ensure!(last > next, "{last} after {next}");
    let ending = second.process.wait(PATIENCE).await?;
    assert_eq!((ending.status.code(), ending.stderr.as_str()), (Some(0), ""));
    assert_eq!(ending.stdout.lines().last(), Some("resigned"));

    let (changes, _) = observer.changes_until(|change| seen(change).leader.as_deref() == Some("third")).await?;
    let of = |leader: Option<&str>, reason| Seen { leader: leader.map(str::to_owned), reason };
    let expected = [
        of(Some("first"), ChangeReason::Elected),
        of(None, ChangeReason::Expired),
        of(Some("second"), ChangeReason::Elected),
        of(None, ChangeReason::Resigned),
        of(Some("third"), ChangeReason::Elected),
    ];
    assert_eq!(changes.iter().map(seen).collect::<Vec<_>>(), expected);
    Ok(())
}

#[tokio::test]
async fn workers_in_three_languages_lead_in_turn() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let mut order = LANGUAGES;
    // Each language is killed once, resigns once and is last once.
    for _ in 0..order.len() {
        lead_in_turn(&server, order).await.with_context(|| format!("in the order {order:?}"))?;
        order.rotate_left(1);
    }
    Ok(())
}

/// The lines of a worker as JSON, up to the one with this message.
async fn facts_until(worker: &Worker, message: &str) -> anyhow::Result<Vec<Value>> {
    let last = worker.process.wait_for_line(|line| line.contains(&format!("\"{message}\"")), PATIENCE).await?;
    let lines = worker.process.lines();
    lines[..=last.index].iter().map(|line| Ok(serde_json::from_str(&line.text)?)).collect()
}

#[tokio::test]
async fn workers_whose_output_nobody_reads_along_log_json_with_the_same_fields() -> anyhow::Result<()> {
    let server = Server::start().await?;
    for language in LANGUAGES {
        let election = format!("workers/{language:?}").to_lowercase();
        let mut worker = Worker::start_with(language, &server, &election, "me", TTL, |command| {
            command.env_remove("LEASEHOLD_LOG_FORMAT");
        })?;
        facts_until(&worker, "task step").await?;
        worker.process.sigterm()?;
        let facts = facts_until(&worker, "resigned").await?;
        let elected = facts.iter().find(|fact| fact["message"] == "elected").context("it led")?;
        ensure!(
            elected["token"].as_u64() > elected["tenure"].as_u64() && elected["tenure"].as_u64() > Some(0),
            "{elected}"
        );
        for fact in &facts {
            ensure!(fact["election"] == *election && fact["candidate"] == "me", "{fact}");
            ensure!(fact["timestamp"].is_string() && fact["level"] == "INFO" && fact["tenure"].is_u64(), "{fact}");
            ensure!(fact["message"] == "waiting" || fact["token"] == elected["token"], "{fact}");
        }
        worker.process.wait(PATIENCE).await?;
    }
    Ok(())
}

/// Leads over a way on which the connections of the moment go silent, once and again.
async fn leads_over_silent_connections(language: Language) -> anyhow::Result<()> {
    let server = Server::start().await?;
    let way = Way::to(server.address()).await?;
    // So that a third of it is longer than `AT_ONCE`.
    let ttl = TTL * 2;
    let worker = Worker::start_at(language, &way.address.to_string(), "workers/silent", "me", ttl, |_| {})?;
    let (token, _) = elected(&worker).await?;
    for _ in 0..2 {
        let before = way.taken();
        way.silence();
        tokio::time::sleep(ttl * 3 / 2).await;
        ensure!(way.taken() > before, "it made no new connection");
    }
    let facts = worker.process.lines();
    ensure!(!facts.iter().any(|line| line.text.starts_with("lost")), "{}", worker.process.stdout());
    let step = worker.process.wait_for_line_from(facts.len(), |line| line.starts_with("task step"), PATIENCE).await?;
    assert_eq!(token_in(&step.text)?, token);
    // The stream is where the KeepAlives are: what comes on it comes at once.
    let second = Worker::start(language, &server, "workers/silent", "second", ttl)?;
    second.says("waiting ahead=1", PATIENCE).await?;
    let asked = Instant::now();
    let election = "workers/silent".to_owned();
    server.admin().await?.step_down(StepDownRequest { election, ..StepDownRequest::default() }).await?;
    let (_, at) = elected(&second).await?;
    ensure!(at.duration_since(asked) < AT_ONCE, "it handed over after {:?}", at.duration_since(asked));
    Ok(())
}

#[tokio::test]
async fn a_connection_that_goes_silent_costs_no_lead() -> anyhow::Result<()> {
    let [first, second, third] = LANGUAGES.map(leads_over_silent_connections);
    tokio::try_join!(first, second, third).map(|_| ())
}

#[tokio::test]
async fn proxies_of_the_environment_arent_used_for_the_service() -> anyhow::Result<()> {
    let server = Server::start().await?;
    // Nobody listens there.
    let nowhere = "http://127.0.0.1:9";
    for language in LANGUAGES {
        let election = format!("workers/proxies-{language:?}");
        let endpoint = format!("http://{}", server.address());
        let worker = Worker::start_at(language, &endpoint, &election, "me", TTL, |command| {
            for name in ["http_proxy", "https_proxy", "grpc_proxy", "all_proxy"] {
                command.env(name, nowhere).env(name.to_uppercase(), nowhere);
            }
            command.env_remove("no_proxy").env_remove("NO_PROXY");
        })?;
        elected(&worker).await.with_context(|| format!("in {language:?}"))?;
    }
    Ok(())
}

#[tokio::test]
async fn a_worker_says_at_once_that_it_cant_reach_the_service_and_when_it_is_back() -> anyhow::Result<()> {
    for language in LANGUAGES {
        let mut server = Server::start().await?;
        let worker = Worker::start(language, &server, "workers/away", "me", TTL)?;
        elected(&worker).await?;
        let gone = Instant::now();
        server.kill9().await?;
        let said = worker.says("unreachable why=", PATIENCE).await?;
        ensure!(said.at.duration_since(gone) < AT_ONCE, "in {language:?} after {:?}", said.at.duration_since(gone));
        server.restart().await?;
        worker.process.wait_for_line_from(said.index, |line| line == "reachable", PATIENCE).await?;
        let lines = worker.process.lines();
        let told = lines.iter().filter(|line| line.text.starts_with("unreachable")).count();
        assert_eq!(told, 1, "in {language:?}, once: {}", worker.process.stdout());
    }
    Ok(())
}

#[tokio::test]
async fn a_worker_that_the_service_will_always_refuse_says_why_and_ends() -> anyhow::Result<()> {
    let server = Server::start().await?;
    for language in LANGUAGES {
        let mut worker = Worker::start(language, &server, "no such name?", "me", TTL)?;
        let ending = worker.process.wait(PATIENCE).await?;
        assert_eq!(ending.status.code(), Some(1), "in {language:?}: {}", ending.stdout);
        let why = ending.stdout.lines().filter(|line| line.starts_with("refused why=")).collect::<Vec<_>>();
        ensure!(
            matches!(why[..], [why] if why.contains("the election name has ' '")),
            "{language:?}: {}",
            ending.stdout
        );
    }
    Ok(())
}

/// A leader that is paused until another one leads: it says that it lost before it does anything
/// else.
async fn knows_it_when_it_wakes(language: Language) -> anyhow::Result<()> {
    let server = Server::start().await?;
    let (first, token) = leading(language, &server, "workers/paused").await?;
    let second = Worker::start(language, &server, "workers/paused", "second", TTL)?;
    second.says("waiting ahead=1", PATIENCE).await?;
    pause_after_a_step(&first).await?;
    let (next, _) = elected(&second).await?;
    ensure!(next > token, "{next} after {token}");
    let before = first.process.lines().len();
    first.process.sigcont()?;
    let woke = first.process.wait_for_line_from(before, |_| true, PATIENCE).await?;
    ensure!(woke.text.starts_with("lost reason="), "it says something else first: {}", first.process.stdout());
    // It enters again, behind the other one.
    first.process.wait_for_line_from(woke.index, |line| line == "waiting ahead=1", PATIENCE).await?;
    let later = first.process.lines();
    ensure!(!later[before..].iter().any(|line| line.text.starts_with("task step")), "{}", first.process.stdout());
    Ok(())
}

/// The same while the server is paused as well: nobody is left who could tell it anything.
async fn knows_it_by_its_own_clock(language: Language) -> anyhow::Result<()> {
    let server = Server::start().await?;
    let (first, _) = leading(language, &server, "workers/paused").await?;
    pause_after_a_step(&first).await?;
    server.process().sigstop().await?;
    tokio::time::sleep(LEASE).await;
    let before = first.process.lines().len();
    first.process.sigcont()?;
    let woke = first.process.wait_for_line_from(before, |_| true, PATIENCE).await?;
    assert_eq!(woke.text, "lost reason=DEADLINE");
    server.process().sigcont()
}

#[tokio::test]
async fn a_leader_in_go_that_is_paused_past_its_ttl_knows_it_when_it_wakes() -> anyhow::Result<()> {
    knows_it_when_it_wakes(Language::Go).await
}

#[tokio::test]
async fn a_leader_in_node_that_is_paused_past_its_ttl_knows_it_when_it_wakes() -> anyhow::Result<()> {
    knows_it_when_it_wakes(Language::Node).await
}

#[tokio::test]
async fn a_leader_in_go_that_was_paused_knows_it_by_its_own_clock() -> anyhow::Result<()> {
    knows_it_by_its_own_clock(Language::Go).await
}

#[tokio::test]
async fn a_leader_in_node_that_was_paused_knows_it_by_its_own_clock() -> anyhow::Result<()> {
    knows_it_by_its_own_clock(Language::Node).await
}

#[tokio::test]
async fn workers_in_each_language_find_a_service_inside_tls() -> anyhow::Result<()> {
    let ours = Authority::new("ours")?;
    let (files, worker) = (ours.issue("server", &["127.0.0.1"])?, ours.issue("worker", &["worker"])?);
    let ca = ours.ca();
    let server = Server::builder().listen(([127, 0, 0, 1], 0).into()).tls(&files);
    let server = server.arg("--tls-client-ca").arg(ca.display().to_string()).start().await?;
    let token = ours.dir().join("token");
    std::fs::write(&token, "a.b.c\n")?;
    let endpoint = format!("https://{}", server.address());
    for language in LANGUAGES {
        let election = format!("sealed/{language:?}");
        let give = |command: &mut tokio::process::Command| {
            command.env("LEASEHOLD_CA", &ca).env("LEASEHOLD_TOKEN_FILE", &token);
            command.env("LEASEHOLD_CERT", &worker.cert).env("LEASEHOLD_KEY", &worker.key);
        };
        let leads = Worker::start_at(language, &endpoint, &election, "sealed", TTL, give)?;
        elected(&leads).await.with_context(|| format!("{language:?}"))?;
        // Without an authority nobody trusts this service.
        let lost = Worker::start_at(language, &endpoint, &election, "lost", TTL, |_| {})?;
        lost.says("unreachable why=", PATIENCE).await.with_context(|| format!("{language:?}"))?;
    }
    Ok(())
}
