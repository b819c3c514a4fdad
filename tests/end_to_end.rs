//! The real server and three real workers in Python: a crash, a resignation, a pause, a server that hangs or restarts.

use anyhow::{Context as _, ensure};
use leasehold_harness::{Language, Observer, PATIENCE, Seen, Server, Worker, seen, token_in};
use leasehold_proto::v1::ChangeReason;
use std::time::{Duration, Instant};

const TTL: Duration = Duration::from_secs(3);
/// How long the server waits for a worker that says nothing more: a twentieth longer than the worker.
const LEASE: Duration = Duration::from_millis(3_150);
const ELECTION: &str = "billing/nightly-report";

/// Starts three workers, one after the other, so that their order is known: the first one leads, and works.
async fn three_workers(server: &Server) -> anyhow::Result<[Worker; 3]> {
    let first = Worker::start(Language::Python, server, ELECTION, "first", TTL)?;
    first.says("elected token=", PATIENCE).await?;
    first.says("task step token=", PATIENCE).await?;
    let second = Worker::start(Language::Python, server, ELECTION, "second", TTL)?;
    second.says("waiting ahead=1", PATIENCE).await?;
    let third = Worker::start(Language::Python, server, ELECTION, "third", TTL)?;
    third.says("waiting ahead=2", PATIENCE).await?;
    Ok([first, second, third])
}

async fn elected(worker: &Worker) -> anyhow::Result<(u64, Instant)> {
    let line = worker.says("elected token=", PATIENCE).await?;
    Ok((token_in(&line.text)?, line.at))
}

fn worked(worker: &Worker) -> bool {
    worker.process.lines().iter().any(|line| line.text.starts_with("task step"))
}

/// What an observer is told until the worker of this name leads.
async fn seen_until(observer: &mut Observer, name: &str) -> anyhow::Result<Vec<Seen>> {
    let (changes, _) = observer.changes_until(|change| seen(change).leader.as_deref() == Some(name)).await?;
    ensure!(changes.windows(2).all(|pair| pair[0].revision < pair[1].revision), "{changes:#?}");
    Ok(changes.iter().map(seen).collect())
}

fn of(leader: Option<&str>, reason: ChangeReason) -> Seen {
    Seen { leader: leader.map(str::to_owned), reason }
}

#[tokio::test]
async fn a_leader_that_is_killed_is_succeeded_within_its_ttl_and_a_second() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let mut observer = Observer::of(&mut server.elections().await?, ELECTION).await?;
    observer.synced().await?;
    let [mut first, second, third] = three_workers(&server).await?;
    let (token, _) = elected(&first).await?;
    let killed = Instant::now();
    first.process.kill9().await?;

    let (next, at) = elected(&second).await?;
    let took = at.duration_since(killed);
    ensure!(took < TTL + Duration::from_secs(1), "the next one led only after {took:?}");
    ensure!(next > token, "{next} after {token}");
    let step = second.says("task step token=", PATIENCE).await?;
    assert_eq!(token_in(&step.text)?, next);
    ensure!(!worked(&third), "the one that waits has worked: {}", third.process.stdout());
    let expected = [
        of(Some("first"), ChangeReason::Elected),
        of(None, ChangeReason::Expired),
        of(Some("second"), ChangeReason::Elected),
    ];
    assert_eq!(seen_until(&mut observer, "second").await?, expected);
    Ok(())
}

#[tokio::test]
async fn a_leader_that_resigns_is_succeeded_at_once() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let mut observer = Observer::of(&mut server.elections().await?, ELECTION).await?;
    observer.synced().await?;
    let [mut first, second, third] = three_workers(&server).await?;
    let (token, _) = elected(&first).await?;
    let asked = Instant::now();
    first.process.sigterm()?;
    let (next, at) = elected(&second).await?;
    ensure!(at.duration_since(asked) < Duration::from_secs(1), "it took {:?}", at.duration_since(asked));
    ensure!(next > token, "{next} after {token}");
    let ending = first.process.wait(PATIENCE).await?;
    assert_eq!((ending.status.code(), ending.stderr.as_str()), (Some(0), ""));
    assert_eq!(ending.stdout.lines().last(), Some("resigned"));
    let expected = [
        of(Some("first"), ChangeReason::Elected),
        of(None, ChangeReason::Resigned),
        of(Some("second"), ChangeReason::Elected),
    ];
    assert_eq!(seen_until(&mut observer, "second").await?, expected);
    ensure!(!worked(&third), "the one that waits has worked: {}", third.process.stdout());
    Ok(())
}

#[tokio::test]
async fn a_leader_that_is_paused_past_its_ttl_knows_it_when_it_wakes() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let [first, second, _third] = three_workers(&server).await?;
    let (token, _) = elected(&first).await?;
    first.process.sigstop().await?;
    let (next, _) = elected(&second).await?;
    ensure!(next > token, "{next} after {token}");
    let before = first.process.lines().len();
    first.process.sigcont()?;
    let any = |line: &str| line.starts_with("lost reason=") || line.starts_with("task step");
    let woke = first.process.wait_for_line_from(before, any, PATIENCE).await?;
    ensure!(woke.text.starts_with("lost reason="), "it worked after its time: {}", first.process.stdout());
    // It enters again, behind the others.
    let again = |line: &str| line == "waiting ahead=2";
    first.process.wait_for_line_from(woke.index, again, PATIENCE).await?;
    let later = first.process.lines();
    ensure!(!later[before..].iter().any(|line| line.text.starts_with("task step")), "{}", first.process.stdout());
    Ok(())
}

#[tokio::test]
async fn a_leader_that_was_paused_knows_it_by_its_own_clock() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let [first, ..] = three_workers(&server).await?;
    first.process.sigstop().await?;
    // Nobody is left who could tell it anything.
    server.process().sigstop().await?;
    tokio::time::sleep(LEASE).await;
    let before = first.process.lines().len();
    first.process.sigcont()?;
    // A task that had ended when it was stopped may be told first.
    let news = |line: &str| !line.starts_with("task ended");
    let woke = first.process.wait_for_line_from(before, news, PATIENCE).await?;
    assert_eq!(woke.text, "lost reason=DEADLINE");
    server.process().sigcont()
}

#[tokio::test]
async fn a_leader_whose_server_hangs_stops_in_time() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let [first, second, third] = three_workers(&server).await?;
    server.process().sigstop().await?;
    let hung = Instant::now();
    let lost = first.says("lost reason=DEADLINE", PATIENCE).await?;
    let steps = first.process.lines();
    let last = steps.iter().rfind(|line| line.text.starts_with("task step")).context("it worked")?;
    // Its last KeepAlive was sent before the server hung, so its time ends one TTL after that at most.
    let slack = Duration::from_millis(500);
    ensure!(
        last.index < lost.index && last.at < hung + TTL + slack,
        "it worked for {:?}",
        last.at.duration_since(hung)
    );
    ensure!(!worked(&second) && !worked(&third));
    server.process().sigcont()?;
    // Someone leads again: the first with its token, if the service puts it back, or another one with a higher one.
    let before = token_in(&elected_line(&first)?)?;
    let since = Instant::now();
    let (candidate, next) = loop {
        let leads = [&first, &second, &third].into_iter().find_map(|worker| {
            let lines = worker.process.lines();
            let mut elected = lines.into_iter().filter(|line| line.text.starts_with("elected") && line.at > lost.at);
            elected.next().map(|line| (worker.name.clone(), line))
        });
        if let Some((candidate, line)) = leads {
            break (candidate, token_in(&line.text)?);
        }
        ensure!(since.elapsed() < PATIENCE, "nobody leads");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    ensure!(next > before || (next == before && candidate == "first"), "{candidate} leads with {next} after {before}");
    Ok(())
}

fn elected_line(worker: &Worker) -> anyhow::Result<String> {
    let lines = worker.process.lines();
    Ok(lines.into_iter().find(|line| line.text.starts_with("elected")).context("it led")?.text)
}

#[tokio::test]
async fn a_leader_goes_on_over_a_restart_of_the_server() -> anyhow::Result<()> {
    for crash in [false, true] {
        let mut server = Server::builder().arg("--max-ttl").arg("15s").start().await?;
        let first = Worker::start(Language::Python, &server, ELECTION, "first", Duration::from_secs(15))?;
        let (token, _) = elected(&first).await?;
        let second = Worker::start(Language::Python, &server, ELECTION, "second", Duration::from_secs(15))?;
        second.says("waiting ahead=1", PATIENCE).await?;
        if crash {
            server.kill9().await?;
        } else {
            server.sigterm(Duration::from_secs(5)).await?;
        }
        server.restart().await?;
        let mut observer = Observer::of(&mut server.elections().await?, ELECTION).await?;
        let (changes, _) = observer.changes_until(|change| change.leader.is_some()).await?;
        let leader = changes.last().and_then(|change| change.leader.clone()).context("it is led again")?;
        assert_eq!((leader.candidate.as_str(), leader.fencing_token), ("first", token), "crash: {crash}");
        tokio::time::sleep(LEASE).await;
        let facts = first.process.lines();
        ensure!(!facts.iter().any(|line| line.text.starts_with("lost")), "{}", first.process.stdout());
        let step =
            first.process.wait_for_line_from(facts.len(), |line| line.starts_with("task step"), PATIENCE).await?;
        assert_eq!(token_in(&step.text)?, token);
        ensure!(!worked(&second));
    }
    Ok(())
}
