//! The recipes of docs/fencing.md, word for word, against real resources: a leader that was paused
//! past its TTL writes, and the resource refuses it.

#[path = "fencing/page.rs"]
mod page;
#[path = "fencing/place.rs"]
mod place;
#[path = "fencing/servers.rs"]
mod servers;
#[path = "fencing/service.rs"]
mod service;

use anyhow::{Context as _, ensure};
use leasehold_harness::{PATIENCE, Process};
use page::commands;
use place::Place;
use std::collections::BTreeSet;

/// The sections whose commands are run below. Those of services are in `service`; the first command
/// of each language, which builds its service, is run by tests/tools.sh.
const RUN: [&str; 5] =
    ["PostgreSQL, a column", "PostgreSQL, a trigger", "SQLite", "Redis or Valkey", "An object store"];

#[test]
fn each_block_of_the_page_is_run_or_stands_in_an_example() {
    let sources = page::sources();
    let mut run = BTreeSet::new();
    for block in page::blocks() {
        if block.language == "sh" {
            run.insert(block.heading);
        } else {
            assert!(sources.contains(&block.text), "in no example:\n{}", block.text);
        }
    }
    let known = RUN.iter().chain(&["An HTTP service"]).chain(&service::LANGUAGES);
    assert_eq!(run, known.map(|heading| (*heading).to_owned()).collect());
}

/// Runs what the section says before its last command, and gives that: the one that writes.
async fn prepared(place: &Place, heading: &str) -> anyhow::Result<String> {
    let mut commands = commands(heading);
    let write = commands.pop().with_context(|| format!("the page has no section {heading}"))?;
    for command in commands {
        place.output(&command).await?;
    }
    Ok(write)
}

#[tokio::test]
async fn postgresql_refuses_a_paused_writer_by_a_column() -> anyhow::Result<()> {
    let mut place = Place::new().await?;
    let postgres = servers::Postgres::start(&mut place).await?;
    let write = prepared(&place, RUN[0]).await?;
    let read = "psql -Xqtc 'SELECT content FROM report'";
    place.refuses_a_paused_writer(&write, read, "ERROR:  stale fencing token", false).await?;
    place.takes_rising_tokens_only(&write).await?;
    postgres.stop().await
}

#[tokio::test]
async fn postgresql_refuses_a_paused_writer_by_a_trigger() -> anyhow::Result<()> {
    let mut place = Place::new().await?;
    let postgres = servers::Postgres::start(&mut place).await?;
    let write = prepared(&place, RUN[1]).await?;
    let read = "psql -Xqtc 'SELECT content FROM report'";
    place.refuses_a_paused_writer(&write, read, "ERROR:  stale fencing token", false).await?;
    // Writers that own nothing are fenced alike, and can't get around it.
    place.output("psql -Xqc 'CREATE ROLE writer LOGIN' -c 'GRANT ALL ON report TO writer'").await?;
    place.set("PGUSER", "writer");
    place.takes_rising_tokens_only(&write).await?;
    for (sql, refusal) in [
        ("UPDATE report SET content = 'x'", "stale fencing token (none given)"),
        ("INSERT INTO report VALUES ('weekly', '')", "stale fencing token (none given)"),
        ("DELETE FROM report", "stale fencing token (none given)"),
        ("TRUNCATE report", "stale fencing token (none given)"),
        ("BEGIN; SET LOCAL leasehold.fence = 9; DELETE FROM report; COMMIT", "stale fencing token 9"),
        ("UPDATE fence SET token = 0", "permission denied"),
        ("ALTER TABLE report DISABLE TRIGGER fenced", "must be owner"),
        ("SET session_replication_role = replica", "permission denied"),
    ] {
        let ending = place.run(&format!("psql -Xq -v ON_ERROR_STOP=1 -c \"{sql}\"")).await?;
        ensure!(!ending.status.success() && ending.stderr.contains(refusal), "{sql}: {ending:?}");
    }
    a_later_leader_waits_for_what_is_under_way(&place).await?;
    postgres.stop().await
}

/// No higher token passes while a transaction that has passed is under way, and PostgreSQL ends one
/// whose leader stands still.
async fn a_later_leader_waits_for_what_is_under_way(place: &Place) -> anyhow::Result<()> {
    let write = |token: u64| format!("SET LOCAL leasehold.fence = {token}; UPDATE report SET content = '{token}'");
    let (earlier, later) = ((1 << 52) + 5, (1 << 52) + 10);
    let begin = format!("exec psql -Xq -c \"BEGIN; {}\" -c '\\echo passed' -c '\\! kill -STOP $PPID'", write(earlier));
    let late =
        |patience| format!("psql -Xq -c \"BEGIN; SET LOCAL lock_timeout = '{patience}'; {}; COMMIT\"", write(later));
    let first = Process::spawn("first", place.command(&begin))?;
    first.wait_for_line(|line| line == "passed", PATIENCE).await?;
    let ending = place.run(&late("200ms")).await?;
    ensure!(ending.stderr.contains("lock timeout"), "{ending:?}");
    drop(first);

    let options = "export PGOPTIONS='-c idle_in_transaction_session_timeout=500ms'";
    let first = Process::spawn("first", place.command(&format!("{options}; {begin}")))?;
    first.wait_for_line(|line| line == "passed", PATIENCE).await?;
    place.output(&late("20s")).await?;
    Ok(())
}

#[tokio::test]
async fn sqlite_refuses_a_paused_writer() -> anyhow::Result<()> {
    let place = Place::new().await?;
    let write = prepared(&place, RUN[2]).await?;
    let read = "sqlite3 report.db 'SELECT content FROM report'";
    place.refuses_a_paused_writer(&write, read, "refused: stale fencing token", false).await?;
    place.takes_rising_tokens_only(&write).await?;
    let ending = place.run("sqlite3 report.db 'DELETE FROM fence'").await?;
    ensure!(ending.stderr.contains("the fence is never deleted"), "{ending:?}");
    Ok(())
}

#[tokio::test]
async fn redis_refuses_a_paused_writer() -> anyhow::Result<()> {
    let mut place = Place::new().await?;
    let _redis = servers::redis(&mut place).await?;
    let write = prepared(&place, RUN[3]).await?;
    place.refuses_a_paused_writer(&write, "redis-cli -u \"$REDIS_URL\" HGETALL report", "STALE", false).await?;
    place.takes_rising_tokens_only(&write).await
}

#[tokio::test]
async fn valkey_refuses_a_paused_writer() -> anyhow::Result<()> {
    let mut place = Place::new().await?;
    let _valkey = servers::valkey(&mut place).await?;
    ensure!(place.output("redis-cli -u \"$REDIS_URL\" INFO server").await?.contains("valkey_version"));
    ensure!(place.output("redis-cli --version").await?.contains("valkey-cli"));
    let write = prepared(&place, RUN[3]).await?;
    place.refuses_a_paused_writer(&write, "redis-cli -u \"$REDIS_URL\" HGETALL report", "STALE", false).await?;
    place.takes_rising_tokens_only(&write).await
}

#[tokio::test]
async fn an_object_store_refuses_a_paused_writer() -> anyhow::Result<()> {
    let mut place = Place::new().await?;
    let _s3 = servers::s3(&mut place).await?;
    let write = prepared(&place, RUN[4]).await?;
    let read = r#"python3 -c 'import boto3
print(boto3.client("s3").get_object(Bucket="reports", Key="daily.json")["Body"].read().decode())'"#;
    // By the store itself, not by what it reads: it has claimed before it was paused.
    place.refuses_a_paused_writer(&write, read, "PreconditionFailed", true).await?;
    place.takes_rising_tokens_only(&write).await
}
