//! What /proc says about a process: memory, processor time, threads, open files.

use anyhow::{Context as _, bail};
use std::time::Duration;

/// Resident memory of a process, in bytes.
///
/// # Errors
///
/// When there is no such process.
pub fn rss_bytes(pid: u32) -> anyhow::Result<u64> {
    Ok(status_field(pid, "VmRSS:")? * 1024)
}

/// How many threads a process has.
///
/// # Errors
///
/// When there is no such process.
pub fn thread_count(pid: u32) -> anyhow::Result<u64> {
    status_field(pid, "Threads:")
}

/// How many files and sockets a process has open.
///
/// # Errors
///
/// When there is no such process.
pub fn open_files(pid: u32) -> anyhow::Result<usize> {
    Ok(std::fs::read_dir(format!("/proc/{pid}/fd")).with_context(|| gone(pid))?.count())
}

/// Processor time that all threads of a process have used so far, user and system, in steps of 10
/// ms.
///
/// # Errors
///
/// When there is no such process.
pub fn cpu_time(pid: u32) -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| gone(pid))?;
    // The second field is the command in brackets, and may itself hold brackets and spaces.
    let (_, rest) = stat.rsplit_once(')').context("/proc/PID/stat has no command")?;
    let mut fields = rest.split_whitespace().skip(11);
    let mut ticks = || -> anyhow::Result<u64> { Ok(fields.next().context("/proc/PID/stat is short")?.parse()?) };
    let total = ticks()? + ticks()?;
    Ok(Duration::from_millis(total * 1000 / rustix::param::clock_ticks_per_second()))
}

fn status_field(pid: u32, name: &str) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).with_context(|| gone(pid))?;
    let Some(rest) = status.lines().find_map(|line| line.strip_prefix(name)) else {
        bail!("process {pid} has ended: /proc knows no {name}");
    };
    let number = rest.split_whitespace().next().with_context(|| format!("{name} is empty"))?;
    Ok(number.parse()?)
}

fn gone(pid: u32) -> String {
    format!("there is no process {pid}")
}
