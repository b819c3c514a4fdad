//! What `cycles` prints.

use anyhow::{Context as _, Result};
use leasehold_proto::v1::campaign_response::Event;

use super::{Args, round::Round};
use crate::exchange::Exchange;
use crate::machine::{cores, micros_each};

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
    let Spread { min, median, max } = spread(ratios).context("no round has a ratio")?;
    println!(
        "\nserver CPU a cycle, {measured} / bare: min {min:.2}, median {median:.2}, max {max:.2} (limit {limit:.2}): {}",
        if median <= limit { "kept" } else { "not kept" }
    );
    Ok(median)
}

/// The smallest, the middle and the largest.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Spread {
    min: f64,
    median: f64,
    max: f64,
}

/// `None` when there is nothing, or something that isn't a number.
fn spread(mut values: Vec<f64>) -> Option<Spread> {
    if values.iter().any(|value| !value.is_finite()) {
        return None;
    }
    values.sort_by(f64::total_cmp);
    let (min, max) = (*values.first()?, *values.last()?);
    let half = values.len() / 2;
    let median = if values.len() % 2 == 1 { values[half] } else { f64::midpoint(values[half - 1], values[half]) };
    Some(Spread { min, median, max })
}

#[cfg(test)]
mod tests {
    use super::{Spread, spread};

    #[test]
    fn the_median_is_the_middle_or_the_mean_of_the_two_in_the_middle() {
        assert_eq!(spread(vec![3.0, 1.0, 2.0]), Some(Spread { min: 1.0, median: 2.0, max: 3.0 }));
        assert_eq!(spread(vec![4.0, 1.0, 2.0, 3.0]), Some(Spread { min: 1.0, median: 2.5, max: 4.0 }));
        assert_eq!((spread(vec![]), spread(vec![1.0, f64::NAN])), (None, None));
    }
}
