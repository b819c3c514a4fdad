//! What the machine did while something was measured.

use anyhow::{Context as _, Result};
use leasehold_harness::cpu_time;
use std::time::{Duration, Instant};

/// How many cores this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Begins a measurement of a server and of this process, its client.
#[derive(Debug)]
pub(crate) struct Meter {
    server: u32,
    at: Instant,
    before: Reading,
}

/// What a measurement found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// How long it lasted.
    pub(crate) elapsed: Duration,
    /// Processor time of the server, user and system.
    pub(crate) server: Duration,
    /// Processor time of this process, user and system.
    pub(crate) client: Duration,
    /// Processor time of everything else on the machine: what makes figures doubtful.
    pub(crate) others: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Reading {
    server: Duration,
    client: Duration,
    machine: Duration,
}

impl Meter {
    /// Begins now, with the server that has this process id.
    ///
    /// # Errors
    ///
    /// When there is no such process.
    pub(crate) fn start(server: u32) -> Result<Self> {
        Ok(Self { server, at: Instant::now(), before: Reading::take(server)? })
    }

    /// What was used since the start.
    ///
    /// # Errors
    ///
    /// When the server has ended.
    pub(crate) fn read(&self) -> Result<Usage> {
        let elapsed = self.at.elapsed();
        let after = Reading::take(self.server)?;
        let server = after.server - self.before.server;
        let client = after.client - self.before.client;
        let machine = after.machine.saturating_sub(self.before.machine);
        Ok(Usage { elapsed, server, client, others: machine.saturating_sub(server + client) })
    }
}

impl Usage {
    /// This processor time as a share of one core, in per cent.
    pub(crate) fn percent_of_core(&self, time: Duration) -> f64 {
        100.0 * time.as_secs_f64() / self.elapsed.as_secs_f64()
    }
}

/// A processor time in microseconds for each of `count` things; 0 when there were none.
pub(crate) fn micros_each(time: Duration, count: u64) -> f64 {
    if count == 0 { 0.0 } else { time.as_secs_f64() * 1e6 / count as f64 }
}

impl Reading {
    fn take(server: u32) -> Result<Self> {
        let stat = std::fs::read_to_string("/proc/stat").context("/proc/stat can't be read")?;
        Ok(Self {
            server: cpu_time(server)?,
            client: cpu_time(std::process::id())?,
            machine: busy_time(&stat).context("/proc/stat has no line `cpu`")?,
        })
    }
}

/// Processor time that all processes have used, from the text of /proc/stat: user, nice, system,
/// irq and softirq.
fn busy_time(stat: &str) -> Option<Duration> {
    let fields = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let fields: Vec<u64> = fields.split_whitespace().map_while(|field| field.parse().ok()).collect();
    let ticks: u64 = [0, 1, 2, 5, 6].iter().map(|&place| fields.get(place).copied()).sum::<Option<u64>>()?;
    Some(Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second()))
}

#[cfg(test)]
mod tests {
    use super::{Meter, busy_time, micros_each};
    use std::time::{Duration, Instant};

    #[test]
    fn waiting_and_idling_arent_work() {
        let stat = "cpu  10 1 20 9999 8888 3 4 7777 0 0\ncpu0 1 1 1 1 1 1 1 0 0 0\n";
        let ticks = rustix::param::clock_ticks_per_second();
        assert_eq!(busy_time(stat), Some(Duration::from_millis(38 * 1000 / ticks)));
        assert_eq!(busy_time("cpu0 1 2 3"), None);
    }

    #[test]
    fn work_of_this_process_is_measured() {
        let meter = Meter::start(std::process::id()).expect("this process runs");
        let until = Instant::now() + Duration::from_millis(120);
        while Instant::now() < until {
            std::hint::black_box(micros_each(Duration::from_secs(1), 10));
        }
        let usage = meter.read().expect("this process runs");
        assert!(usage.elapsed >= Duration::from_millis(120));
        assert!(usage.server >= Duration::from_millis(20), "{usage:?}");
    }

    #[test]
    fn nothing_costs_nothing() {
        assert_eq!(micros_each(Duration::from_secs(1), 0), 0.0);
        assert_eq!(micros_each(Duration::from_secs(1), 4), 250_000.0);
    }
}
