//! Times on the command line, such as `1m 30s`.

use std::time::Duration;

/// No option means a longer time. Beyond it a number is a mistake, and sums of times overflow some
/// day.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// No election is on hold for longer.
const LONGEST_HOLD: Duration = Duration::from_secs(24 * 60 * 60);

/// A time of ten years at most, in whole milliseconds.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if time > LONGEST => Err("it is longer than ten years".to_owned()),
        Ok(time) if time.subsec_nanos() % 1_000_000 != 0 => Err("give it in whole milliseconds".to_owned()),
        Ok(time) => Ok(time),
        Err(error) => Err(format!("{error}; write it like 15s, 500ms or 1m 30s")),
    }
}

/// Such a time that is longer than zero.
pub(super) fn some_time(text: &str) -> Result<Duration, String> {
    let time = time(text)?;
    if time.is_zero() { Err("it must be longer than 0s".to_owned()) } else { Ok(time) }
}

/// A time for which an election is on hold.
pub(super) fn hold(text: &str) -> Result<Duration, String> {
    let time = time(text)?;
    if time > LONGEST_HOLD { Err("it is longer than 24h".to_owned()) } else { Ok(time) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_bounded() {
        assert_eq!(time("1m 30s"), Ok(Duration::from_secs(90)));
        assert_eq!(time("0s"), Ok(Duration::ZERO));
        assert_eq!(time("3650d"), Ok(LONGEST));
        for absurd in ["3651d", "100years", "18446744073709551615s", "99999999999999999999s", "-1s", "1", "soon", ""] {
            assert!(time(absurd).is_err(), "{absurd}");
        }
        assert_eq!(some_time("1ms"), Ok(Duration::from_millis(1)));
        assert!(some_time("0ms").is_err());
        assert_eq!(some_time("500us"), Err("give it in whole milliseconds".to_owned()));
    }

    #[test]
    fn a_hold_lasts_a_day_at_most() {
        for fine in ["0s", "1ms", "1m", "24h", "1day"] {
            assert_eq!(hold(fine), time(fine));
        }
        assert_eq!(hold("24h 1ms"), Err("it is longer than 24h".to_owned()));
        assert_eq!(hold("1us"), Err("give it in whole milliseconds".to_owned()));
    }
}
