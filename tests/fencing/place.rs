//! Where a recipe is tried: a folder with the examples, a Leasehold server, and two writers.

use anyhow::{Context as _, ensure};
use leasehold_harness::{Ending, PATIENCE, Process, Profile, Server, binary, from_run};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::process::Command;

/// What the first writer wants to write when it wakes, and what the second one has written by then.
const LATE: &str = "of the one that was paused";
const NEWER: &str = "of the next leader";

/// The program of `leasehold run` and of its watchdog.
const LEASEHOLD: &str = "leasehold";

/// A folder in which the page's commands run as they stand there.
pub(crate) struct Place {
    folder: TempDir,
    /// Who elects the writers.
    pub(crate) server: Server,
    env: Vec<(String, String)>,
    /// Addresses of the page, and those that take their place.
    addresses: Vec<(String, String)>,
}

impl Place {
    pub(crate) async fn new() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let server = Server::start().await?;
        symlink(from_run("LEASEHOLD_FENCING")?.join("examples"), folder.path().join("examples"))?;
        let own = [from_run("LEASEHOLD_PYTHON")?, binary("leasehold-cli", LEASEHOLD, Profile::Same)?];
        let own = own.iter().filter_map(|program| program.parent()).map(Path::to_path_buf);
        let others = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(own.chain(std::env::split_paths(&others)))?;
        let path = path.into_string().ok().context("PATH isn't UTF-8")?;
        let env = vec![("PATH".to_owned(), path), ("LEASEHOLD_ENDPOINT".to_owned(), server.address().to_string())];
        let addresses = vec![("127.0.0.1:7401".to_owned(), server.http_address().to_string())];
        Ok(Self { folder, server, env, addresses })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Sets a variable of the commands' environment.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.env.push((name.to_owned(), value.to_owned()));
    }

    /// Lets the commands use this address where the page says that one.
    pub(crate) fn instead_of(&mut self, on_the_page: &str, here: &str) {
        self.addresses.insert(0, (on_the_page.to_owned(), here.to_owned()));
    }

    /// An address that nobody listens at: nothing else here uses the server's.
    pub(crate) fn free_address(&self) -> anyhow::Result<std::net::SocketAddr> {
        Ok(TcpListener::bind((self.server.address().ip(), 0))?.local_addr()?)
    }

    /// A command of the page, in bash.
    pub(crate) fn command(&self, script: &str) -> Command {
        let script = self.addresses.iter().fold(script.to_owned(), |text, (from, to)| text.replace(from, to));
        let mut command = Command::new("bash");
        command.args(["-euo", "pipefail", "-c", &script]).current_dir(self.path());
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    pub(crate) async fn run(&self, script: &str) -> anyhow::Result<Ending> {
        Process::spawn(script, self.command(script))?.wait(PATIENCE).await
    }

    /// Runs it, and gives what it has written to stdout.
    pub(crate) async fn output(&self, script: &str) -> anyhow::Result<String> {
        let ending = self.run(script).await?;
        ensure!(ending.status.success(), "{script}: {ending:?}");
        Ok(ending.stdout)
    }

    pub(crate) fn report(&self, content: &str) -> anyhow::Result<()> {
        Ok(std::fs::write(self.path().join("report.txt"), content)?)
    }

    /// Waits until `script` writes something that has this part in it.
    async fn until(&self, script: &str, part: &str) -> anyhow::Result<()> {
        let start = Instant::now();
        while !self.output(script).await?.contains(part) {
            ensure!(start.elapsed() < PATIENCE, "{script} never says {part}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// `write` is the page's command, which writes report.txt; `read` shows what is written.
    /// A leader that begins to write, and is paused until the next one has written, is refused by
    /// the resource, with this word. With `claims` a leader claims the resource before it writes.
    pub(crate) async fn refuses_a_paused_writer(
        &self,
        write: &str,
        read: &str,
        refusal: &str,
        claims: bool,
    ) -> anyhow::Result<()> {
        let content = self.path().join("report.txt");
        self.report("of nobody in particular")?;
        ensure!(self.output(write).await.is_ok() && self.output(read).await?.contains("nobody in particular"));

        // It reads what it writes from a pipe, after it was elected and before it writes.
        std::fs::remove_file(&content)?;
        self.output("mkfifo report.txt").await?;
        let mut pipe = File::options().read(true).write(true).open(&content)?;
        let first = write.replace("leasehold run ", "exec leasehold run --ttl 2s --name first ");
        let mut first = Process::spawn("first", self.command(&first))?;
        let token = token(&first).await?;
        if claims {
            self.until(read, &token.to_string()).await?;
        }
        let paused = Paused::all_of(first.pid()).await?;

        std::fs::remove_file(&content)?;
        self.report(NEWER)?;
        let mut second = Process::spawn("second", self.command(write))?;
        let next = self::token(&second).await?;
        ensure!(next > token, "{next} after {token}");
        let ending = second.wait(PATIENCE).await?;
        ensure!(ending.status.success(), "{write}: {ending:?}");

        pipe.write_all(LATE.as_bytes())?;
        drop(pipe);
        // The command alone: it may run on when what watches over it doesn't.
        paused.go_on(|program| program != LEASEHOLD)?;
        first.wait_for_error(refusal, PATIENCE).await?;
        let written = self.output(read).await?;
        ensure!(written.contains(NEWER) && !written.contains(LATE), "{written}");
        paused.go_on(|program| program == LEASEHOLD)?;
        let ending = first.wait(PATIENCE).await?;
        ensure!(!ending.status.success(), "{ending:?}");
        Ok(())
    }

    /// A resource takes a leader's second write, and never one with a lower token than before.
    pub(crate) async fn takes_rising_tokens_only(&self, write: &str) -> anyhow::Result<()> {
        let (_, command) = write.split_once(" -- ").context("a command stands behind --")?;
        let highest = 1_u64 << 52;
        self.report("again")?;
        for (token, is_taken) in [(1, true), (1, true), (0, false), (2, true), (1, false), (2, true)] {
            let script = format!("export LEASEHOLD_FENCING_TOKEN={}; {command}", highest + token);
            let ending = self.run(&script).await?;
            ensure!(ending.status.success() == is_taken, "{token}: {ending:?}");
        }
        Ok(())
    }
}

/// The fencing token with which `leasehold run` leads.
async fn token(process: &Process) -> anyhow::Result<u64> {
    let line = process.wait_for_error("with fencing token ", PATIENCE).await?;
    line.rsplit(' ').next().and_then(|word| word.parse().ok()).with_context(|| format!("no token in {line}"))
}

/// `leasehold run`, its watchdog and its command, while they stand still.
struct Paused(BTreeSet<u32>);

impl Paused {
    /// Stops them as soon as the command has begun, the topmost first.
    async fn all_of(pid: u32) -> anyhow::Result<Self> {
        let start = Instant::now();
        while !descendants(pid).into_iter().any(|pid| program(pid).is_some_and(|name| name != LEASEHOLD)) {
            ensure!(start.elapsed() < PATIENCE, "the command doesn't begin");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let mut stopped = BTreeSet::new();
        loop {
            let all = descendants(pid);
            all.difference(&stopped).try_for_each(|&pid| signal(pid, Signal::STOP))?;
            let moving = processes().any(|(pid, _, state)| all.contains(&pid) && !['T', 'Z'].contains(&state));
            if all == stopped && !moving {
                return Ok(Self(all));
            }
            ensure!(start.elapsed() < PATIENCE, "they don't stand still");
            stopped = all;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Lets those go on whose program has such a name.
    fn go_on(&self, which: impl Fn(&str) -> bool) -> anyhow::Result<()> {
        let mut chosen = self.0.iter().filter(|pid| program(**pid).is_some_and(|name| which(&name)));
        chosen.try_for_each(|&pid| signal(pid, Signal::CONT))
    }
}

/// The name of what a process runs; `None` when it has ended.
fn program(pid: u32) -> Option<String> {
    let path = std::fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    // What the kernel adds when the file was replaced meanwhile.
    Some(path.file_name()?.to_string_lossy().trim_end_matches(" (deleted)").to_owned())
}

/// A process and all that descends from it.
fn descendants(pid: u32) -> BTreeSet<u32> {
    let mut all = BTreeSet::from([pid]);
    loop {
        let before = all.len();
        all.extend(processes().filter(|(_, parent, _)| all.contains(parent)).map(|(pid, ..)| pid).collect::<Vec<_>>());
        if all.len() == before {
            return all;
        }
    }
}

fn signal(pid: u32, signal: Signal) -> anyhow::Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).context("a process id is a positive i32")?;
    Ok(kill_process(pid, signal)?)
}

/// Id, parent and state of every process.
fn processes() -> impl Iterator<Item = (u32, u32, char)> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        let mut fields = stat.rsplit_once(") ")?.1.split(' ');
        Some((pid, fields.nth(1)?.parse().ok()?, stat.rsplit_once(") ")?.1.chars().next()?))
    })
}
