//! What `observe` prints.

use super::{Args, Outcome};
use crate::machine::{cores, micros_each};

/// Says what is observed.
pub(super) fn print_head(args: &Args) {
    let rate = args.rate.map_or("each as soon as the last is answered".to_owned(), |rate| format!("{rate} a second"));
    println!(
        "observe: {} changes of one election ({rate}), {} observers on {} connections, {} cores\n\
         every observer must see the last change, all in order, and a mark where changes were left out for it\n\
         server: {}\n",
        args.changes,
        args.observers,
        args.connections,
        cores(),
        args.real,
    );
}

/// Prints what was found.
pub(super) fn print(args: &Args, outcome: &Outcome) {
    let Outcome { usage, seen, .. } = outcome;
    let line = |name: &str, value: String| println!("{name:<26}{value}");
    let changing = outcome.changing.as_secs_f64();
    line("changes made in", format!("{changing:.2} s, {:.0} a second", f64::from(args.changes) / changing));
    line("all had the last after", format!("{:.1} ms", outcome.until_all_had_it.as_secs_f64() * 1000.0));
    line(
        "delivered",
        format!("{}, {:.0} a second", seen.delivered, seen.delivered as f64 / usage.elapsed.as_secs_f64()),
    );
    line("left out, and marked", seen.left_out.to_string());
    let [p50, p99] = [50.0, 99.0].map(|percentage| seen.latency.percentile_ms(percentage));
    line("from leader to observer", format!("p50 {p50:.2} ms, p99 {p99:.2} ms, max {:.2} ms", seen.latency.max_ms()));
    line("server CPU a delivery", format!("{:.2} us", micros_each(usage.server, seen.delivered)));
    line("server CPU", format!("{:.1} % of one core", usage.percent_of_core(usage.server)));
    line("client CPU", format!("{:.1} % of one core", usage.percent_of_core(usage.client)));
    line("CPU of all others", format!("{:.1} % of one core", usage.percent_of_core(usage.others)));
}
