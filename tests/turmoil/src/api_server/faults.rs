//! What goes wrong with a request: it is slow, refused, or answered by nobody though it is done.

use super::{Etcd, Refused};
use std::time::Duration;

/// How often things go wrong, in a thousand requests each.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weather {
    /// Done or refused late.
    pub(crate) slow: u32,
    /// Refused as a server that can't cope does.
    pub(crate) refused: u32,
    /// Done, and not answered.
    pub(crate) unanswered: u32,
    /// Done after the one who asked has given up.
    pub(crate) belated: u32,
}

/// Something that goes wrong.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    Slow(Duration),
    Refused(Refused),
    Unanswered,
    Belated(Duration),
}

const OVERLOADED: [Refused; 4] = [
    Refused(500, "InternalError"),
    Refused(429, "TooManyRequests"),
    Refused(503, "ServiceUnavailable"),
    Refused(504, "Timeout"),
];

impl Etcd {
    /// What goes wrong with the next request.
    pub(super) fn fault(&self) -> Option<Fault> {
        let mut state = self.state();
        let weather = state.weather;
        let rng = &mut state.rng;
        let mut happens = |rate: u32| rng.u32(0..1000) < rate;
        let (slow, refused) = (happens(weather.slow), happens(weather.refused));
        let (unanswered, belated) = (happens(weather.unanswered), happens(weather.belated));
        let wait = Duration::from_millis(rng.u64(50..3000));
        let refusal = OVERLOADED[rng.usize(..OVERLOADED.len())];
        match (slow, refused, unanswered, belated) {
            (true, ..) => Some(Fault::Slow(wait)),
            (_, true, ..) => Some(Fault::Refused(refusal)),
            (_, _, true, _) => Some(Fault::Unanswered),
            (.., true) => Some(Fault::Belated(wait * 3)),
            _ => None,
        }
    }
}
