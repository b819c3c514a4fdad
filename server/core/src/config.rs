//! Settings of a replica, checked together.

use crate::{Holder, MAX_MAX_TTL, Millis};

/// No TTL may be shorter than this.
pub const MIN_TTL: Millis = Millis(1000);
/// A Lease's duration is no shorter than this: failover isn't faster than the clocks and networks
/// of a cluster allow.
pub const MIN_LEASE_DURATION: Millis = Millis(2000);
/// And no longer than this: nobody would wait for that.
pub const MAX_LEASE_DURATION: Millis = Millis(600_000);
/// More candidacies than this could exhaust the line of numbers between two renewals.
pub const MAX_MAX_CANDIDACIES: usize = 100_000;

/// What a candidacy takes beside its words: its own fields, its places in tables, its election.
pub const CANDIDACY_BYTES: usize = 1024;

/// Settings of a [`Replica`](crate::Replica).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How long the right to be active lasts from the moment before a successful write was sent.
    pub duration: Millis,
    /// How often the right is renewed.
    pub renew_interval: Millis,
    /// The replica stops this much before its right ends: at least a twentieth of `duration`.
    pub margin: Millis,
    /// The longest TTL that Campaign accepts; also how long a new tenure waits before its first
    /// grant.
    pub max_ttl: Millis,
    /// Limits on what the replica holds.
    pub limits: Limits,
    /// Where the record stands.
    pub store: Store,
}

/// Where the record stands, and who else may write there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Store {
    /// A file that is locked: nobody else does.
    File,
    /// A Lease that replicas compete for.
    Lease {
        /// This replica.
        me: Holder,
        /// How long one request to the API server may take.
        request_timeout: Millis,
    },
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
    /// Memory of all candidacies: [`CANDIDACY_BYTES`] for each, and its words. The last eighth is
    /// for those whose words are short.
    pub bytes: usize,
    /// Ended candidacies whose reason is remembered for a late KeepAlive. When more end before a
    /// tenure has settled, it puts nobody else back: whoever ended mustn't come back with an older
    /// ticket.
    pub remembered_ends: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            elections: 100_000,
            candidacies: 100_000,
            candidacies_per_election: 10_000,
            candidacies_per_subject: 100_000,
            bytes: usize::MAX,
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
            store: Store::File,
        }
    }

    /// What a replica uses unless told otherwise: the right lasts 8 s and is renewed every 2 s.
    #[must_use]
    pub fn replica(me: Holder, max_ttl: Millis) -> Self {
        Self {
            duration: Millis(8000),
            renew_interval: Millis(2000),
            margin: Millis(1000),
            store: Store::Lease { me, request_timeout: Millis(1500) },
            ..Self::embedded(max_ttl)
        }
    }

    /// The duration as a Lease says it: in whole seconds, rounded up.
    #[must_use]
    pub fn lease_seconds(&self) -> Millis {
        Millis::from_secs(self.duration.0.div_ceil(1000))
    }

    /// Between two tries of what failed.
    pub(crate) fn retry_interval(&self) -> Millis {
        Millis(self.renew_interval.0 / 5)
    }

    /// Checks that the settings fit together.
    ///
    /// # Errors
    /// [`BadConfig`] with a sentence that names the values that clash.
    pub fn validate(&self) -> Result<(), BadConfig> {
        let bad = |text: String| Err(BadConfig(text));
        let Self { duration, renew_interval, margin, max_ttl, limits, store } = self;
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
        if let Store::Lease { request_timeout, .. } = store {
            validate_lease(*duration, *renew_interval, *margin, *request_timeout)?;
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

fn validate_lease(duration: Millis, renew: Millis, margin: Millis, timeout: Millis) -> Result<(), BadConfig> {
    if duration < MIN_LEASE_DURATION || duration > MAX_LEASE_DURATION {
        return Err(BadConfig(format!(
            "the lease duration is {duration}; it must lie between {MIN_LEASE_DURATION} and {MAX_LEASE_DURATION}"
        )));
    }
    if timeout.0 == 0 {
        return Err(BadConfig("the request timeout must be longer than 0".to_owned()));
    }
    if renew.0 + 2 * timeout.0 + margin.0 > duration.0 {
        return Err(BadConfig(format!(
            "a renew interval of {renew}, two request timeouts of {timeout} and the margin of {margin} must fit into the lease \
             duration of {duration}, so that one request without an answer does no harm"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_safe() {
        Config::embedded(Millis(15_000)).validate().unwrap();
        Config::replica(Holder("a".to_owned()), Millis(15_000)).validate().unwrap();
    }

    #[test]
    fn clashes_of_a_lease_are_named() {
        let good = Config::replica(Holder("a".to_owned()), Millis(15_000));
        let timeout = |millis| Store::Lease { me: Holder("a".to_owned()), request_timeout: Millis(millis) };
        for (config, says) in [
            (Config { store: timeout(0), ..good.clone() }, "timeout must be longer than 0"),
            (Config { store: timeout(2600), ..good.clone() }, "two request timeouts of 2600 ms"),
            (
                Config { duration: Millis(1500), renew_interval: Millis(200), margin: Millis(200), ..good.clone() },
                "between 2 s and 600 s",
            ),
        ] {
            let text = config.validate().unwrap_err().to_string();
            assert!(text.contains(says), "{text}");
        }
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
