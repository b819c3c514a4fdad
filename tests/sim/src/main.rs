//! Runs seeds: `cargo run --release -p leasehold-sim -- --seeds 10000 --from 0`.

use anyhow::{Result, bail};
use clap::Parser;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::{Duration, Instant};

/// Simulates replicas and a Lease, or one process and a file, with a network and workers, and checks the guarantees.
#[derive(Debug, Parser)]
struct Args {
    /// How many seeds to run.
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Go on after a failure, and count the failures of each guarantee.
    #[arg(long)]
    keep_going: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    // A panic of the core is a finding like any other: it is reported with its seed.
    std::panic::set_hook(Box::new(|_| {}));
    let began = Instant::now();
    let mut told = began;
    let mut reached: BTreeMap<String, u64> = BTreeMap::new();
    let mut failures: BTreeMap<String, u64> = BTreeMap::new();
    let mut events = 0;
    for (done, seed) in (1..).zip(args.from..args.from.saturating_add(args.seeds)) {
        match leasehold_sim::run(seed, false) {
            Ok(report) => {
                events += report.events;
                for (what, count) in report.reached {
                    *reached.entry(what).or_default() += count;
                }
            }
            Err(failure) => {
                *failures.entry(failure.guarantee.clone()).or_default() += 1;
                if !args.keep_going {
                    tell_failure(seed);
                    bail!("seed {seed} broke {} after {done} seeds", failure.guarantee);
                }
                eprintln!("seed {seed} broke {} {}", failure.guarantee, failure.detail);
            }
        }
        if told.elapsed() > Duration::from_secs(10) {
            told = Instant::now();
            eprintln!("{done} of {} seeds, {:.0} seeds/s", args.seeds, rate(done, began.elapsed()));
        }
    }
    summary(&args, events, began.elapsed(), &reached);
    if !failures.is_empty() {
        bail!("broken: {failures:?}");
    }
    Ok(())
}

fn rate(seeds: u64, time: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "it is shown, not counted with")]
    let seeds = seeds as f64;
    seeds / time.as_secs_f64().max(0.001)
}

/// Runs the seed once more, to show what came before: in a smaller world, if that fails in the same way.
fn tell_failure(seed: u64) {
    let Err(failure) = leasehold_sim::run(seed, true) else { return };
    let small = leasehold_sim::minimise(&failure);
    let mut out = std::io::stderr().lock();
    for line in &small.trace {
        let _ = writeln!(out, "{line}");
    }
    if small.events < failure.events {
        let (most, least) = (failure.events, small.events);
        let _ = writeln!(out, "\nThis world was made smaller: {least} events instead of {most}. In it");
        let _ = writeln!(out, "{} is broken {}", small.guarantee, small.detail);
    }
    let _ = writeln!(out, "\n{} is broken {}", failure.guarantee, failure.detail);
    let _ = writeln!(out, "repeat it with: cargo run --release -p leasehold-sim -- --seeds 1 --from {seed}");
}

fn summary(args: &Args, events: u64, time: Duration, reached: &BTreeMap<String, u64>) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(
        out,
        "{} seeds from {}, {events} events, {:.1} s, {:.0} seeds/s",
        args.seeds,
        args.from,
        time.as_secs_f64(),
        rate(args.seeds, time)
    );
    let _ = writeln!(out, "checked: {}", leasehold_sim::GUARANTEES.join(", "));
    for (what, count) in reached {
        let _ = writeln!(out, "{count:>12}  {what}");
    }
}
