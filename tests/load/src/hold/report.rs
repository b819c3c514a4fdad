//! What `hold` prints.

use super::plan::Plan;
use super::tally::Fate;
use super::{BATCH, Outcome};
use crate::machine::cores;
use crate::real::RealArgs;

/// Says what is held.
pub(super) fn print_head(plan: &Plan, real: &RealArgs) {
    println!(
        "hold: {} leased candidacies, ttl {:?}, in {} elections (one leads in each), on {} connections, {} cores\n\
         each is kept alive every {:?}, up to {BATCH} in a call, calls spread evenly; Campaign streams {}; leaders ask \
         for {}\nserver: {real}\n",
        plan.candidacies,
        plan.ttl,
        plan.elections,
        plan.connections,
        cores(),
        plan.interval(),
        if plan.streams { "stay open" } else { "are closed after enrolment" },
        if plan.task_tokens { "a fresh task token each time" } else { "no task token" },
    );
}

/// Prints what was found.
pub(super) fn print(plan: &Plan, outcome: &Outcome) {
    let Outcome { usage, tally, streams, .. } = outcome;
    let [before, after] = outcome.rss.map(|bytes| bytes as f64 / f64::from(1 << 20));
    let each = (after - before) * 1024.0 / plan.candidacies as f64;
    let line = |name: &str, value: String| println!("{name:<26}{value}");
    let rate = plan.candidacies as f64 / outcome.enrolment.as_secs_f64();
    line("enrolment", format!("{:.2} s, {rate:.0} a second", outcome.enrolment.as_secs_f64()));
    line("held for", format!("{:.1} s", usage.elapsed.as_secs_f64()));
    line("KeepAlive calls", format!("{:.1} a second", tally.latency.count() as f64 / usage.elapsed.as_secs_f64()));
    line("KeepAlive latency", quantiles(&tally.latency));
    line("sent later than due", quantiles(&tally.sent_late));
    line("server CPU", format!("{:.1} % of one core", usage.percent_of_core(usage.server)));
    line("client CPU", format!("{:.1} % of one core", usage.percent_of_core(usage.client)));
    line("CPU of all others", format!("{:.1} % of one core", usage.percent_of_core(usage.others)));
    line("server memory", format!("{before:.1} MiB empty, {after:.1} MiB full, {each:.1} KiB a candidacy"));
    let (watched, heartbeats, broken) = (streams.watched, streams.heartbeats, streams.broken.len());
    line("streams", format!("{watched} open, {heartbeats} heartbeats, {broken} broken"));
    line("kept", tally.count(Fate::Kept).to_string());
    let losses = Fate::LOSSES.map(|(fate, name)| format!("{name} {}", tally.count(fate)));
    line("false expiries", losses.join(", "));
    let status = &outcome.status;
    let counted = format!("{} candidacies, {} leaders", status.candidacies, status.leaders);
    line("the server counts", format!("{counted}, {} elections", status.elections));
}

fn quantiles(latency: &crate::latency::Latency) -> String {
    let [p50, p99] = [50.0, 99.0].map(|percentage| latency.percentile_ms(percentage));
    format!("p50 {p50:.2} ms, p99 {p99:.2} ms, max {:.2} ms", latency.max_ms())
}
