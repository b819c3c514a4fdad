//! The highest tenure that a client has seen: what comes from a lower one was sent by a replica that has been replaced.

use crate::Error;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Debug, Default)]
pub(crate) struct Tenure(AtomicU64);

impl Tenure {
    /// Takes note of the tenure of an answer, and refuses the answer if a higher one is known.
    pub(crate) fn admit(&self, tenure: u64) -> Result<(), Error> {
        let newest = self.0.fetch_max(tenure, Ordering::AcqRel).max(tenure);
        if tenure == newest { Ok(()) } else { Err(Error::Outdated { tenure, newest }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_tenure_is_heard() {
        let seen = Tenure::default();
        assert!(seen.admit(5).is_ok());
        assert!(seen.admit(5).is_ok());
        assert!(seen.admit(7).is_ok());
        assert_eq!(seen.admit(5), Err(Error::Outdated { tenure: 5, newest: 7 }));
        assert!(seen.admit(7).is_ok());
    }
}
