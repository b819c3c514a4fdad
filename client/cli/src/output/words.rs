//! Values of the API in words for people.

use std::time::Duration;

use leasehold_proto::v1::{ChangeReason, Leadership, Role};

/// Values are cut to this many characters in tables: JSON has all of them.
const VALUE_CHARS_MAX: usize = 60;

/// Text that somebody else chose, on one line and without power over the terminal.
pub(crate) fn printable(text: &str) -> String {
    let escaped =
        |c: char| if c.is_control() || is_invisible(c) { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(escaped).collect()
}

/// Reorders or hides what stands around it.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// Text that somebody else chose, cut to what fits into a table.
pub(crate) fn brief(text: &str) -> String {
    let mut brief: String = text.chars().take(VALUE_CHARS_MAX).collect();
    if brief.len() < text.len() {
        brief.push_str("...");
    }
    printable(&brief)
}

/// A cell that is never empty, so that columns can be counted.
pub(crate) fn cell(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

pub(crate) fn leadership(leadership: Leadership) -> &'static str {
    match leadership {
        Leadership::Unspecified => "unknown",
        Leadership::Vacant => "vacant",
        Leadership::Led => "led",
        Leadership::Unsettled => "unsettled",
    }
}

pub(crate) fn role(role: Role) -> &'static str {
    match role {
        Role::Unspecified => "unknown",
        Role::Active => "active",
        Role::Standby => "standby",
    }
}

pub(crate) fn change(reason: ChangeReason) -> &'static str {
    match reason {
        ChangeReason::Unspecified => "-",
        ChangeReason::Elected => "elected",
        ChangeReason::Proclaimed => "proclaimed",
        ChangeReason::Resigned => "resigned",
        ChangeReason::Expired => "expired",
        ChangeReason::Replaced => "replaced",
        ChangeReason::Overtaken => "overtaken",
        ChangeReason::Draining => "draining",
        ChangeReason::SteppedDown => "stepped-down",
        ChangeReason::Restored => "restored",
        ChangeReason::Held => "held",
    }
}

/// A time such as `12s 250ms`, without parts that nobody reads.
pub(crate) fn time(time: Duration) -> String {
    let shown = if time < Duration::from_secs(10) { time.as_millis() } else { time.as_millis() / 1000 * 1000 };
    humantime::format_duration(Duration::from_millis(u64::try_from(shown).unwrap_or(u64::MAX))).to_string()
}

/// A time of the API in such words; a negative time is zero.
pub(crate) fn api_time(time: prost_reflect::prost_types::Duration) -> String {
    self::time(Duration::try_from(time).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_chose_has_no_power_over_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\nc\u{202e}d\u{7f}"), r"a\u{1b}[2Jb\nc\u{202e}d\u{7f}");
        assert_eq!(printable("grüße 你好"), "grüße 你好");
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        let long = "ü".repeat(100);
        assert_eq!(brief(&long), format!("{}...", "ü".repeat(60)));
        assert_eq!(brief(&"ü".repeat(60)), "ü".repeat(60));
    }

    #[test]
    fn an_empty_cell_is_a_dash() {
        assert_eq!(cell(String::new()), "-");
        assert_eq!(cell("x".to_owned()), "x");
    }

    #[test]
    fn times_have_no_needless_parts() {
        assert_eq!(time(Duration::from_nanos(1_234_567_890)), "1s 234ms");
        assert_eq!(time(Duration::from_millis(75_432)), "1m 15s");
        assert_eq!(time(Duration::ZERO), "0s");
    }
}
