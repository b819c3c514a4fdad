//! The highest tenure that a client has seen: what comes from a lower one was sent by a replica that has been replaced.

use crate::Error;
use crate::proto::{
    CampaignResponse, GetElectionResponse, GetStatusResponse, KeepAliveResponse, ListElectionsResponse,
    ObserveResponse, ProclaimResponse, ResignResponse, StepDownResponse, VerifyTokenResponse,
};
use std::sync::atomic::{AtomicU64, Ordering};
use tonic::Streaming;

#[derive(Debug, Default)]
pub(crate) struct Tenure(AtomicU64);

impl Tenure {
    /// Takes note of the tenure of an answer, and refuses the answer if a higher one is known.
    pub(crate) fn admit(&self, tenure: u64) -> Result<(), Error> {
        let newest = self.0.fetch_max(tenure, Ordering::AcqRel).max(tenure);
        if tenure == newest { Ok(()) } else { Err(Error::Outdated { tenure, newest }) }
    }
}

/// An answer, and what it says of its tenure.
pub(crate) trait Tenured {
    /// None: it says nothing that a replica which was replaced couldn't say.
    fn tenure(&self) -> Option<u64>;
}

macro_rules! tenured {
    ($($response:ty),*) => {
        $(impl Tenured for $response {
            fn tenure(&self) -> Option<u64> {
                Some(self.tenure)
            }
        })*
    };
}

tenured!(
    GetElectionResponse,
    KeepAliveResponse,
    ListElectionsResponse,
    ProclaimResponse,
    ResignResponse,
    StepDownResponse,
    VerifyTokenResponse
);

/// What a replica is it may say at any time.
impl Tenured for GetStatusResponse {
    fn tenure(&self) -> Option<u64> {
        None
    }
}

/// Each message will name its own.
impl Tenured for Streaming<ObserveResponse> {
    fn tenure(&self) -> Option<u64> {
        None
    }
}

/// A stream and its first message.
impl Tenured for (Streaming<CampaignResponse>, CampaignResponse) {
    fn tenure(&self) -> Option<u64> {
        Some(self.1.tenure)
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
