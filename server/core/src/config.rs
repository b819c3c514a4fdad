//! Settings of a replica, checked together.

use crate::Millis;

/// No TTL may be shorter than this.
pub const MIN_TTL: Millis = Millis(1000);
/// No TTL may be longer than this, whatever `max_ttl` says: a day.
pub const MAX_MAX_TTL: Millis = Millis(86_400_000);
/// More candidacies than this could exhaust the line of numbers between two renewals.
pub const MAX_MAX_CANDIDACIES: usize = 100_000;

/// Settings of a [`Replica`](crate::Replica).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How long the right to be active lasts from the moment before a successful write was sent.
    pub duration: Millis,
    /// How often the right is renewed.
    pub renew_interval: Millis,
    /// The replica stops this much before its right ends: at least a twentieth of `duration`.
    pub margin: Millis,
    /// The longest TTL that Campaign accepts; also how long a new tenure waits before its first grant.
    pub max_ttl: Millis,
    /// Limits on what the replica holds.
    pub limits: Limits,
}

/// Limits on what a replica holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Elections with a candidate.
    pub elections: usize,
    /// Candidacies altogether.
    pub candidacies: usize,
    /// Candidacies in one election.
    pub candidacies_per_election: usize,
    /// Candidacies of one subject.
    pub candidacies_per_subject: usize,
    /// Ended candidacies whose reason is remembered for a late KeepAlive. When more end before a tenure has settled, it puts
    /// nobody else back: whoever ended mustn't come back with an older ticket.
    pub remembered_ends: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            elections: 100_000,
            candidacies: 100_000,
            candidacies_per_election: 10_000,
            candidacies_per_subject: 100_000,
            remembered_ends: 100_000,
        }
    }
}

/// Settings that can't be safe, or can't work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadConfig(String);

impl Config {
    /// What an embedded server uses: the right lasts 3 s and is renewed every second.
    #[must_use]
    pub fn embedded(max_ttl: Millis) -> Self {
        Self {
            duration: Millis(3000),
            renew_interval: Millis(1000),
            margin: Millis(300),
            max_ttl,
            limits: Limits::default(),
        }
    }

    /// Checks that the settings fit together.
    ///
    /// # Errors
    /// [`BadConfig`] with a sentence that names the values that clash.
    pub fn validate(&self) -> Result<(), BadConfig> {
        let bad = |text: String| Err(BadConfig(text));
        let Self { duration, renew_interval, margin, max_ttl, limits } = self;
        if margin.0 * 20 < duration.0 {
            return bad(format!(
                "the margin of {margin} is less than a twentieth of the duration of {duration}; raise it"
            ));
        }
        if renew_interval.0 == 0 {
            return bad("the renew interval must be longer than 0".to_owned());
        }
        if renew_interval.0 * 2 + margin.0 > duration.0 {
            return bad(format!(
                "two renew intervals of {renew_interval} and the margin of {margin} must fit into the duration of {duration}, \
                 so that one failed renewal does no harm"
            ));
        }
        if *max_ttl < MIN_TTL || *max_ttl > MAX_MAX_TTL {
            return bad(format!("max_ttl is {max_ttl}; it must lie between {MIN_TTL} and {MAX_MAX_TTL}"));
        }
        if limits.candidacies > MAX_MAX_CANDIDACIES {
            return bad(format!(
                "the limit on candidacies is {}; at most {MAX_MAX_CANDIDACIES} are supported",
                limits.candidacies
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_safe() {
        Config::embedded(Millis(15_000)).validate().unwrap();
    }

    #[test]
    fn clashes_are_named() {
        let good = Config::embedded(Millis(15_000));
        for (config, says) in [
            (Config { margin: Millis(149), ..good.clone() }, "twentieth"),
            (Config { renew_interval: Millis(1400), ..good.clone() }, "fit into the duration of 3 s"),
            (Config { renew_interval: Millis(0), ..good.clone() }, "longer than 0"),
            (Config { max_ttl: Millis(999), ..good.clone() }, "max_ttl is 999 ms"),
            (
                Config { limits: Limits { candidacies: 100_001, ..Limits::default() }, ..good.clone() },
                "at most 100000 are supported",
            ),
        ] {
            let text = config.validate().unwrap_err().to_string();
            assert!(text.contains(says), "{text}");
        }
    }
}
