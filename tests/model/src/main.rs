//! Checks the model: `cargo run --release -p leasehold-model -- --deep`.

use anyhow::{Result, bail};
use clap::{Parser, ValueEnum};
use leasehold_model::check::{self, Report};
use leasehold_model::proofs::refutation;
use leasehold_model::rules::{Rule, Rules};
use leasehold_model::world::World;
use leasehold_model::worlds::{DEEP, QUICK};
use std::io::Write as _;

/// Visits every state of the worlds, or shows what breaks without a rule.
#[derive(Debug, Parser)]
struct Args {
    /// Visit the larger worlds too: minutes, and some gigabytes of memory.
    #[arg(long)]
    deep: bool,
    /// Only worlds whose name has this in it.
    #[arg(long, default_value = "")]
    world: String,
    /// Take rules out, and show the shortest run that breaks a promise.
    #[arg(long, value_delimiter = ',')]
    without: Vec<Rule>,
    /// Show that run for each rule.
    #[arg(long)]
    without_each: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    if args.without_each {
        return without_each();
    }
    let deep: &[World] = if args.deep { &DEEP } else { &[] };
    let worlds: Vec<World> =
        QUICK.iter().chain(deep).filter(|world| world.name.contains(&args.world)).copied().collect();
    let rules = args.without.iter().fold(Rules::default(), |rules, rule| rules.without(*rule));
    let mut broken = 0;
    for world in worlds {
        let report = if args.without.is_empty() { check::exhaust(world) } else { check::refute(world, rules, None) };
        broken += report.broken.len();
        tell(world.name, &report);
    }
    if broken > 0 && args.without.is_empty() {
        bail!("{broken} promises are broken");
    }
    Ok(())
}

fn without_each() -> Result<()> {
    for rule in Rule::value_variants() {
        let Some((world, promise)) = refutation(*rule) else { continue };
        let report = check::refute(world, Rules::default().without(*rule), Some(promise));
        tell(&format!("{rule:?} in {}", world.name), &report);
        if !report.broken.iter().any(|(name, _)| *name == promise) {
            bail!("without {rule:?}, {promise} should be broken");
        }
    }
    Ok(())
}

fn tell(name: &str, report: &Report) {
    let mut out = std::io::stdout().lock();
    let (states, steps, depth) = (report.states, report.steps, report.depth);
    let seconds = report.time.as_secs_f64();
    let _ = writeln!(out, "{name:<30} {states:>9} states {steps:>10} steps  depth {depth:>2}  {seconds:>6.1} s");
    for (promise, run) in &report.broken {
        let _ = writeln!(out, "  {promise} is broken: {run:?}");
    }
}
