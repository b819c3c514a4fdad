//! What a replica says to its callers: nobody can read it without the right to be active.

use crate::Right;
use leasehold_core::{Event, Reject, Reply, StateVersion, Tenure, Time};

/// Something that was said in a tenure. It may lie in a channel or in a pause for any time, so only
/// the right opens it.
#[derive(Debug)]
pub struct Word<T> {
    tenure: Tenure,
    at: Time,
    what: T,
}

/// The answer to a call.
pub type Answer = Word<Result<Reply, Reject>>;

/// What comes on a Campaign stream.
#[derive(Debug)]
pub enum StreamItem {
    /// An event.
    Event(Word<(StateVersion, Event)>),
    /// The end, and why. It tells nothing of the state of an election.
    Close(Option<Box<Reject>>),
}

impl<T> Word<T> {
    pub(crate) fn new(tenure: Tenure, at: Time, what: T) -> Self {
        Self { tenure, at, what }
    }

    /// The tenure that said it; 0 for what was said without one.
    #[must_use]
    pub fn tenure(&self) -> Tenure {
        self.tenure
    }

    /// Not later than the moment at which it was decided.
    #[must_use]
    pub fn at(&self) -> Time {
        self.at
    }

    /// Whether it could be opened now.
    #[must_use]
    pub fn opens(&self, right: &Right, now: Time) -> bool {
        right.allows(self.tenure, now)
    }

    /// What was said, if the right lasts: `now` is to be read for this.
    ///
    /// # Errors
    /// [`Reject::NotActive`] when the right is over: somebody else may have been granted since.
    pub fn open(self, right: &Right, now: Time) -> Result<T, Reject> {
        if self.opens(right, now) { Ok(self.what) } else { Err(Reject::NotActive) }
    }

    /// Something else that is as true as this word, in the same tenure.
    #[must_use]
    pub fn with<U>(&self, what: U) -> Word<U> {
        Word { tenure: self.tenure, at: self.at, what }
    }

    /// What is made of it, still closed.
    #[must_use]
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> Word<U> {
        Word { tenure: self.tenure, at: self.at, what: make(self.what) }
    }

    /// What is made of it in a while, still closed.
    pub async fn ready(self) -> Word<T::Output>
    where
        T: Future,
    {
        Word { tenure: self.tenure, at: self.at, what: self.what.await }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_opens_as_long_as_the_right_lasts() {
        let right = Right::new(false);
        let word = |tenure| Word::new(Tenure(tenure), Time(0), "said");
        assert_eq!(word(7).open(&right, Time(5)), Err(Reject::NotActive), "there was no right yet");
        right.extend(Time(10));
        assert_eq!(word(7).open(&right, Time(9)), Ok("said"));
        assert_eq!(word(7).map(str::len).open(&right, Time(10)), Err(Reject::NotActive));
        assert_eq!(word(7).with(1).open(&right, Time(10)), Err(Reject::NotActive));
        right.end();
        assert_eq!(word(7).open(&right, Time(9)), Err(Reject::NotActive));
        assert_eq!(word(0).open(&right, Time(9)), Ok("said"), "without a tenure it tells of none");
    }
}
