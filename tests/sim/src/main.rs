//! Runs seeds: `cargo run --profile sim --bin sim -- --seeds 10000 --from 0`.

use clap::Parser;
use leasehold_sim::{Failure, Runs, run_all};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How often a long run says how far it is.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// Simulates replicas and a Lease, or one process and a file, with a network and workers, and
/// checks the guarantees.
#[derive(Debug, Parser)]
struct Args {
    /// How many seeds to run.
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// How many seeds to run at a time [default: one on each processor]
    #[arg(long)]
    jobs: Option<NonZeroUsize>,
    /// Go on after a failure, and count the failures of each guarantee.
    #[arg(long)]
    keep_going: bool,
    /// Only say which seed failed: look for no smaller world, and show no events.
    #[arg(long)]
    brief: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    // A panic of the core is a finding like any other: it is reported with its seed.
    std::panic::set_hook(Box::new(|_| {}));
    let jobs = args.jobs.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
    let began = Instant::now();
    let told = Mutex::new(began);
    let runs = run_all(args.from..args.from.saturating_add(args.seeds), jobs, args.keep_going, &|done| {
        let mut told = told.lock().expect("nothing panics while it is held");
        if told.elapsed() >= TELL_EVERY {
            *told = Instant::now();
            eprintln!("{done} of {} seeds, {:.0} seeds/s", args.seeds, rate(done, began.elapsed()));
        }
    });
    if let Some((seed, failure)) = runs.failures.first_key_value()
        && !args.keep_going
    {
        if !args.brief {
            tell_failure(failure);
        }
        eprintln!("seed {seed} broke {} after {} seeds", failure.guarantee, seed - args.from + 1);
        return ExitCode::FAILURE;
    }
    summary(&args, &runs, began.elapsed());
    if runs.failures.is_empty() {
        return ExitCode::SUCCESS;
    }
    let mut broken: BTreeMap<&str, u64> = BTreeMap::new();
    for (seed, failure) in &runs.failures {
        eprintln!("seed {seed} broke {} {}", failure.guarantee, failure.detail);
        *broken.entry(&failure.guarantee).or_default() += 1;
    }
    eprintln!("broken: {broken:?}");
    ExitCode::FAILURE
}

fn rate(seeds: u64, time: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "it is shown, not counted with")]
    let seeds = seeds as f64;
    seeds / time.as_secs_f64().max(0.001)
}

/// Runs the seed once more, to show what came before: in a smaller world, if that fails in the same
/// way.
fn tell_failure(failure: &Failure) {
    let seed = failure.seed;
    let mut out = std::io::stderr().lock();
    let Err(failure) = leasehold_sim::run(seed, true) else {
        let _ = writeln!(out, "{} is broken {}, but not the second time", failure.guarantee, failure.detail);
        return;
    };
    let _ =
        writeln!(out, "seed {seed} breaks {}; looking for a smaller world that breaks it as well", failure.guarantee);
    let small = leasehold_sim::minimise(&failure);
    for line in &small.trace {
        let _ = writeln!(out, "{line}");
    }
    if small.events < failure.events {
        let (most, least) = (failure.events, small.events);
        let _ = writeln!(out, "\nThis world was made smaller: {least} events instead of {most}. {}", small.world);
        let _ = writeln!(out, "In it {} is broken {}", small.guarantee, small.detail);
    }
    let _ = writeln!(out, "\nThe world of the seed: {}", failure.world);
    let _ = writeln!(out, "In it {} is broken {}", failure.guarantee, failure.detail);
    let _ = writeln!(out, "repeat it with: cargo run --profile sim --bin sim -- --seeds 1 --from {seed}");
}

fn summary(args: &Args, runs: &Runs, time: Duration) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(
        out,
        "{} seeds from {}, {} events, {:.1} s, {:.0} seeds/s",
        runs.seeds,
        args.from,
        runs.report.events,
        time.as_secs_f64(),
        rate(runs.seeds, time)
    );
    let _ = writeln!(out, "checked: {}", leasehold_sim::GUARANTEES.join(", "));
    for (what, count) in &runs.report.reached {
        let _ = writeln!(out, "{count:>12}  {what}");
    }
}
