//! Ratios of rounds that were made side by side.

use anyhow::{Context as _, Result};

/// Prints what these ratios are of, their spread, and whether the median is within the limit, and
/// returns the median.
///
/// # Errors
///
/// When there is none, or one that isn't a number.
pub(crate) fn print_ratio(what: &str, ratios: Vec<f64>, limit: f64) -> Result<f64> {
    let Spread { min, median, max } = spread(ratios).context("no round has a ratio")?;
    let verdict = match limit.is_finite() {
        true if median <= limit => format!(" (limit {limit:.2}): kept"),
        true => format!(" (limit {limit:.2}): not kept"),
        false => String::new(),
    };
    println!("\n{what}: min {min:.2}, median {median:.2}, max {max:.2}{verdict}");
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
