//! One attack on a server of its own, with figures.

use crate::attacks::{Attack, Report, Target};
use crate::honest::{Honest, Seen};
use leasehold_harness::{Server, rss_bytes};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;
/// Between two looks at the server's memory.
const LOOK: Duration = Duration::from_millis(20);
/// Honest workers work so long before an attack, so that the server has what it needs for them.
const BEFORE: Duration = Duration::from_secs(2);
/// How long memory may take to come back.
const COMES_BACK_WITHIN: Duration = Duration::from_secs(15);
/// What the server keeps of what it has once used: places in tables, pages that are half full.
const KEPT: u64 = 48 * MIB;

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
    /// Resident memory before it, at its height, and after it, in bytes.
    pub memory: [u64; 3],
    /// What honest workers saw.
    pub honest: Seen,
    /// What the attacker saw.
    pub report: Report,
}

impl Outcome {
    /// Whether the server gave back what the attack had cost.
    #[must_use]
    pub fn memory_came_back(&self) -> bool {
        self.memory[2] < self.memory[0] + KEPT
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [before, peak, after] = self.memory.map(|bytes| bytes / MIB);
        let Seen { keep_alives, slowest_keep_alive, campaigns, slowest_campaign, probes, slowest_probe, failures } =
            &self.honest;
        for figure in &self.report.figures {
            writeln!(f, "  {figure}")?;
        }
        writeln!(f, "  refused or closed: {}", self.report.refused)?;
        writeln!(f, "  memory: {before} MiB before, {peak} at its height, {after} after")?;
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
    let server = builder.start().await?;
    let honest = Honest::start(&server, attack.shares_the_address).await?;
    let target = Target { grpc: server.address(), http: server.http_address() };
    (attack.prepare)(target).await?;
    tokio::time::sleep(BEFORE).await;
    let pid = server.pid();
    let (before, peak) = (rss_bytes(pid)?, Arc::new(AtomicU64::new(0)));
    let sampler = tokio::spawn({
        let peak = Arc::clone(&peak);
        async move {
            while let Ok(now) = rss_bytes(pid) {
                peak.fetch_max(now, Ordering::Relaxed);
                tokio::time::sleep(LOOK).await;
            }
        }
    });
    let report = (attack.run)(target, time).await?;
    sampler.abort();
    let since = Instant::now();
    let after = loop {
        let now = rss_bytes(pid)?;
        if now < before + KEPT / 2 || since.elapsed() > COMES_BACK_WITHIN {
            break now;
        }
        tokio::time::sleep(LOOK).await;
    };
    // Whatever the attack has left behind, they go on.
    tokio::time::sleep(BEFORE).await;
    Ok(Outcome { memory: [before, peak.load(Ordering::Relaxed), after], honest: honest.seen(), report })
}
