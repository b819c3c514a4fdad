//! What `cycles` prints.

use anyhow::Result;
use leasehold_proto::v1::campaign_response::Event;

use super::{Args, round::Round};
use crate::exchange::Exchange;
use crate::machine::{cores, micros_each};
use crate::ratio::print_ratio as print_ratio_of;

/// Says what is compared, and begins the table.
pub(super) fn print_head(args: &Args, messages: &Exchange, measured: &str) {
    let sizes = match (&messages.enrolled.event, &messages.elected.event) {
        (Some(Event::Enrolled(enrolled)), Some(Event::Elected(elected))) => {
            let task_token = match elected.task_token.len() {
                0 => "not asked for".to_owned(),
                bytes => bytes.to_string(),
            };
            (enrolled.ticket.len(), elected.ticket.len(), task_token)
        }
        _ => (0, 0, String::new()),
    };
    let described = match args.against_itself {
        true => "a second bare one: the ratio is the noise of the method".to_owned(),
        false => args.real.to_string(),
    };
    println!(
        "cycles: {} clients over {} connections, {} s a round, {} cores (servers and clients share them)\n\
         cycle:  Campaign with a ttl, read Enrolled and Elected, Resign, read Ended and the end of the stream\n\
         bare:   a tonic service with the same messages and no logic, in a process of its own\n\
         {measured:<6}: {}\n\
         bytes:  tickets {} and {}, task token {}\n",
        args.clients,
        args.connections,
        args.seconds,
        cores(),
        described,
        sizes.0,
        sizes.1,
        sizes.2,
    );
    println!(
        "{:>5}  {:<6}  {:>8}  {:>14}  {:>14}  {:>7}  {:>7}  {:>10}",
        "round", "server", "cycles/s", "server us each", "client us each", "p50 ms", "p99 ms", "others CPU"
    );
}

/// Prints a line of the table.
pub(super) fn print_round(number: u16, server: &str, round: &Round) {
    println!(
        "{number:>5}  {server:<6}  {:>8.0}  {:>14.1}  {:>14.1}  {:>7.2}  {:>7.2}  {:>8.0} %",
        round.rate(),
        micros_each(round.usage.server, round.cycles),
        micros_each(round.usage.client, round.cycles),
        round.latency.percentile_ms(50.0),
        round.latency.percentile_ms(99.0),
        round.usage.percent_of_core(round.usage.others),
    );
}

/// Prints how much more the measured server costs than the bare one, and returns the median.
///
/// # Errors
///
/// When there was no round, or the bare one cost nothing.
pub(super) fn print_ratio(pairs: &[[Round; 2]], measured: &str, limit: f64) -> Result<f64> {
    let cost = |round: &Round| micros_each(round.usage.server, round.cycles);
    let ratios = pairs.iter().map(|[bare, other]| cost(other) / cost(bare)).collect();
    print_ratio_of(&format!("server CPU a cycle, {measured} / bare"), ratios, limit)
}
