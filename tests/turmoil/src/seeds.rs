//! Seeds from the command line, on all processors: a process each, as tokio's order at a host's
//! crash depends on how many tasks a process has had before.

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use leasehold_turmoil::{Course, run};
use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Runs whole servers and real clients in a simulated network, and checks the guarantees.
#[derive(Debug, Parser)]
struct Args {
    /// How many seeds to run.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Seeds at a time.
    #[arg(long, default_value_t = std::thread::available_parallelism().map_or(1, usize::from))]
    jobs: usize,
    /// Runs each seed twice, and fails if anything happened in another way.
    #[arg(long)]
    twice: bool,
    /// Shows what happened in each seed.
    #[arg(long)]
    trace: bool,
    /// Shows the log of servers and clients: e.g. `leasehold_server=debug`.
    #[arg(long)]
    log: Option<String>,
    /// Runs this seed in this process, and says what came of it as JSON.
    #[arg(long, hide = true)]
    only: Option<u64>,
}

#[derive(Debug, Default)]
struct Results {
    done: u64,
    reached: BTreeMap<String, u64>,
    failure: Option<(u64, String)>,
}

pub(crate) fn main() -> Result<()> {
    let args = Args::parse();
    if let Some(seed) = args.only {
        return run_one(seed, args.log.as_deref());
    }
    let began = Instant::now();
    let next = AtomicU64::new(args.from);
    let results = Mutex::new(Results::default());
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..args.jobs.max(1)).map(|_| scope.spawn(|| work(&args, &next, &results))).collect();
        scope.spawn(|| tell_progress(&args, began, &results, &ended));
        for worker in workers {
            let _ = worker.join();
        }
        ended.store(true, Ordering::Relaxed);
    });
    let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    let seconds = began.elapsed().as_secs_f64();
    println!("{} seeds from {}, {seconds:.1} s, {:.1} seeds/s", results.done, args.from, rate(results.done, began));
    for (what, count) in &results.reached {
        println!("{count:>10}  {what}");
    }
    if let Some((seed, failure)) = results.failure {
        eprintln!("{failure}\nrepeat it with: tests/turmoil/run --seeds 1 --from {seed}");
        bail!("seed {seed} failed after {} seeds", results.done);
    }
    if results.done < args.seeds {
        bail!("{} of {} seeds ran", results.done, args.seeds);
    }
    Ok(())
}

fn run_one(seed: u64, log: Option<&str>) -> Result<()> {
    if let Some(filter) = log {
        let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).without_time();
        log.with_writer(std::io::stderr).init();
    }
    println!("{}", serde_json::to_string(&run(seed))?);
    Ok(())
}

fn work(args: &Args, next: &AtomicU64, results: &Mutex<Results>) {
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        let failed = results.lock().unwrap_or_else(PoisonError::into_inner).failure.is_some();
        if failed || seed >= args.from.saturating_add(args.seeds) {
            return;
        }
        let course = in_a_process(seed, args).and_then(|course| {
            if args.twice && in_a_process(seed, args)? != course {
                bail!("the same seed had another course");
            }
            Ok(course)
        });
        let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
        results.done += 1;
        let failure = match course {
            Ok(course) => {
                if args.trace || course.broken.is_some() {
                    eprintln!("seed {seed}");
                    course.lines.iter().for_each(|line| eprintln!("{line}"));
                }
                for (what, count) in course.reached {
                    *results.reached.entry(what).or_default() += count;
                }
                course.broken.map(|broken| format!("\n{} is broken: {}", broken.guarantee, broken.detail))
            }
            Err(error) => Some(format!("{error:#}")),
        };
        if let Some(failure) = failure {
            results.failure.get_or_insert((seed, failure));
        }
    }
}

fn in_a_process(seed: u64, args: &Args) -> Result<Course> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(format!("--only={seed}"));
    command.args(args.log.iter().map(|filter| format!("--log={filter}")));
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().context("can't start a process")?;
    if !output.status.success() {
        bail!("seed {seed}: {}", output.status);
    }
    serde_json::from_slice(&output.stdout).context("a process of a seed says something else")
}

fn tell_progress(args: &Args, began: Instant, results: &Mutex<Results>, ended: &AtomicBool) {
    let mut told = began;
    while !ended.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(100));
        if told.elapsed() > Duration::from_secs(10) {
            told = Instant::now();
            let done = results.lock().unwrap_or_else(PoisonError::into_inner).done;
            eprintln!("{done} of {} seeds, {:.1} seeds/s", args.seeds, rate(done, began));
        }
    }
}

fn rate(seeds: u64, began: Instant) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "it is shown, not counted with")]
    let seeds = seeds as f64;
    seeds / began.elapsed().as_secs_f64().max(0.001)
}
