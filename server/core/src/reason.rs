//! Why a candidacy ends.

/// Why a candidacy ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EndReason {
    /// Its worker left.
    Resigned,
    /// It wasn't kept alive, or can't be put back.
    Expired,
    /// Its successor of the same name said that it is dead.
    Replaced,
    /// A leader of the former tenure with a higher token came back.
    Overtaken,
    /// It was told to hand over, and did.
    SteppedDown,
    /// It was a try.
    NotGranted,
}

impl EndReason {
    /// As the contract names it, without the prefix, e.g. `EXPIRED`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            EndReason::Resigned => "RESIGNED",
            EndReason::Expired => "EXPIRED",
            EndReason::Replaced => "REPLACED",
            EndReason::Overtaken => "OVERTAKEN",
            EndReason::SteppedDown => "STEPPED_DOWN",
            EndReason::NotGranted => "NOT_GRANTED",
        }
    }
}
