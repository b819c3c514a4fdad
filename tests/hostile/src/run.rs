//! One attack on a server of its own, with figures.

use crate::attacks::{Attack, Report, Target};
use crate::honest::{Honest, Seen};
use crate::sealed::Sealed;
use leasehold_harness::{Server, open_files, rss_bytes};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

const MIB: u64 = 1 << 20;
/// Between two looks at the server's memory.
const LOOK: Duration = Duration::from_millis(20);
/// Honest workers work so long before an attack, so that the server has what it needs for them, and
/// after it.
const BEFORE: Duration = Duration::from_secs(1);
/// How long memory may take to come back.
const COMES_BACK_WITHIN: Duration = Duration::from_secs(15);
/// How long an orderly end may take on a busy machine.
const ENDS_WITHIN: Duration = Duration::from_secs(15);
/// What the server keeps of what it has once used: places in tables, pages that are half full.
const KEPT: u64 = 48 * MIB;
/// The same attack is made so many times more, until it takes little more than it has taken before.
/// The first time it takes the least: what is kept lies in the way of what comes next, and after
/// some rounds there is room between. What is lost grows each time.
const ROUNDS: usize = 4;

/// How servers are started.
#[derive(Clone, Debug, Default)]
pub struct How {
    /// From the optimised build. Without this: from the build that the caller is of.
    pub release: bool,
    /// With these words, after those that an attack asks for.
    pub server_args: Vec<String>,
}

/// What an attack did.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Resident memory before it, at its height, after it, and at the height of the server's
    /// orderly end, in bytes.
    pub memory: [u64; 4],
    /// The most open files of the server.
    pub files: usize,
    /// At the height of the same attack each time once more, where the system didn't get it back.
    pub again: Vec<u64>,
    /// What honest workers saw.
    pub honest: Seen,
    /// What the attacker saw.
    pub report: Report,
}

impl Outcome {
    /// Whether what the attack had cost is there again: for the system, or for the same attack.
    #[must_use]
    pub fn memory_came_back(&self) -> bool {
        self.again.is_empty() || has_enough(self.memory[1], &self.again)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [before, peak, after, ending] = self.memory.map(|bytes| bytes / MIB);
        let Seen { keep_alives, slowest_keep_alive, campaigns, slowest_campaign, probes, slowest_probe, failures } =
            &self.honest;
        for figure in &self.report.figures {
            writeln!(f, "  {figure}")?;
        }
        writeln!(f, "  refused or closed: {}", self.report.refused)?;
        writeln!(f, "  memory: {before} MiB before, {peak} at its height, {after} after, {ending} while it ended")?;
        writeln!(f, "  open files: {} at most", self.files)?;
        for again in &self.again {
            writeln!(f, "  memory of the same once more: {} MiB at its height", again / MIB)?;
        }
        writeln!(
            f,
            "  honest: {keep_alives} KeepAlives, the slowest {slowest_keep_alive:.0?}; {campaigns} candidacies, the slowest \
             {slowest_campaign:.0?}; {probes} probes, the slowest {slowest_probe:.0?}"
        )?;
        write!(
            f,
            "  honest workers failed {} times{}",
            failures.len(),
            failures.first().map(|first| format!(", first {first}")).unwrap_or_default()
        )
    }
}

/// Attacks a server of its own for so long.
///
/// # Errors
///
/// When the server doesn't start, or the attack can't be made.
pub async fn run(attack: &Attack, time: Duration, how: &How) -> anyhow::Result<Outcome> {
    let mut builder = Server::builder().release(how.release).arg("--max-ttl=15m").arg("--log-level=warn");
    for arg in attack.server_args.iter().copied().chain(how.server_args.iter().map(String::as_str)) {
        builder = builder.arg(arg);
    }
    let sealed = attack.over_tls.then(Sealed::new).transpose()?;
    if let Some(sealed) = &sealed {
        builder = sealed.serve(builder);
    }
    let mut server = builder.start().await?;
    let tls = sealed.as_ref().map(Sealed::connector).transpose()?;
    let honest = Honest::start(&server, attack.shares_the_address, tls).await?;
    let target = Target { grpc: server.address(), http: server.http_address() };
    (attack.prepare)(target).await?;
    tokio::time::sleep(BEFORE).await;
    let pid = server.pid();
    let (before, mut height) = (rss_bytes(pid)?, Height::watch(pid));
    let report = (attack.run)(target, time).await?;
    let peak = height.take();
    let after = comes_back(pid, before).await?;
    let mut again = Vec::new();
    // Free memory between what is in use stays with the process: then it must be enough for the
    // same once more.
    while after >= before + KEPT && again.len() < ROUNDS && !has_enough(peak, &again) {
        (attack.run)(target, time).await?;
        again.push(height.take());
        comes_back(pid, before).await?;
    }
    // Whatever the attack has left behind, they go on.
    tokio::time::sleep(BEFORE).await;
    let seen = honest.seen();
    drop(honest);
    // What is left of the state is handed over.
    height.take();
    let ending = server.sigterm(ENDS_WITHIN).await?;
    anyhow::ensure!(ending.status.success(), "it doesn't end in good order: {ending:?}");
    let (ending, files) = (height.take(), height.files());
    Ok(Outcome { memory: [before, peak, after, ending], files, again, honest: seen, report })
}

/// Whether the last round took little more than any before it did.
fn has_enough(first: u64, again: &[u64]) -> bool {
    let Some((last, before)) = again.split_last() else { return false };
    *last < before.iter().copied().max().unwrap_or_default().max(first) + KEPT / 2
}

/// What a process has when it has given back what it had for an attack, or doesn't.
async fn comes_back(pid: u32, before: u64) -> anyhow::Result<u64> {
    let since = Instant::now();
    loop {
        let now = rss_bytes(pid)?;
        if now < before + KEPT / 2 || since.elapsed() > COMES_BACK_WITHIN {
            return Ok(now);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The most memory and open files that a process was seen to have.
struct Height {
    most: Arc<AtomicU64>,
    files: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Height {
    fn watch(pid: u32) -> Self {
        let most = Arc::new(AtomicU64::new(0));
        let files = Arc::new(AtomicUsize::new(0));
        let (seen, seen_files) = (Arc::clone(&most), Arc::clone(&files));
        let task = tokio::spawn(async move {
            while let Ok(now) = rss_bytes(pid) {
                seen.fetch_max(now, Ordering::Relaxed);
                seen_files.fetch_max(open_files(pid).unwrap_or_default(), Ordering::Relaxed);
                tokio::time::sleep(LOOK).await;
            }
        });
        Self { most, files, task }
    }

    /// Since the last time.
    fn take(&mut self) -> u64 {
        self.most.swap(0, Ordering::Relaxed)
    }

    /// Open files, since the beginning.
    fn files(&self) -> usize {
        self.files.load(Ordering::Relaxed)
    }
}

impl Drop for Height {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_lost_each_time_never_suffices() {
        let rounds = |again: &[u64]| has_enough(96 * MIB, &again.iter().map(|mib| mib * MIB).collect::<Vec<_>>());
        assert!(!rounds(&[]) && rounds(&[113]) && !rounds(&[121]) && rounds(&[121, 122]));
        assert!(!rounds(&[121, 146, 171, 196]));
    }
}
