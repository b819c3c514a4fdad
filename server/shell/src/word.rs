//! What a replica says to its callers: nobody may tell it without the right to be active.

use crate::Right;
use leasehold_core::{Event, Reject, Reply, StateVersion, Tenure, Time};

/// Something that was said in a tenure. A word may lie in a channel or in a pause for any time, so
/// only the right of its own tenure opens it.
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

    /// What was said, if the right of its tenure lasts: `now` is to be read for this.
    ///
    /// # Errors
    /// [`Reject::NotActive`] when that right is over: somebody else may have been granted since.
    pub fn open(self, right: &Right, now: Time) -> Result<T, Reject> {
        if self.opens(right, now) { Ok(self.what) } else { Err(Reject::NotActive) }
    }

    /// Something else that is as true as this word, in the same tenure.
    #[must_use]
    pub fn with<U>(&self, what: U) -> Word<U> {
        Word { tenure: self.tenure, at: self.at, what }
    }

    /// The message that `make` makes of the content, still closed. Making it may take a while, as
    /// signing does, so it comes before the right is asked. `make` sees the content without any
    /// right: it must keep nothing of it, and tell nobody.
    pub async fn into_message<U, F: Future<Output = U>>(self, make: impl FnOnce(T) -> F) -> Word<U> {
        Word { tenure: self.tenure, at: self.at, what: make(self.what).await }
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
        right.extend(Tenure(7), Time(10));
        assert_eq!(word(7).open(&right, Time(9)), Ok("said"));
        assert_eq!(word(7).open(&right, Time(10)), Err(Reject::NotActive));
        assert_eq!(word(7).with(1).open(&right, Time(10)), Err(Reject::NotActive));
        right.end();
        assert_eq!(word(7).open(&right, Time(9)), Err(Reject::NotActive));
        assert_eq!(word(0).open(&right, Time(9)), Ok("said"), "without a tenure it tells of none");
    }

    /// `Elected` of tenure 7 lies unread in a channel. Another replica grants in tenure 8. Then
    /// this one is active again.
    #[test]
    fn a_word_of_one_tenure_is_not_opened_by_the_right_of_another() {
        let right = Right::new(false);
        right.extend(Tenure(7), Time(10));
        let word = |tenure| Word::new(Tenure(tenure), Time(0), "elected");
        right.end();
        assert!(right.would_last(Tenure(7), Time(9)), "nobody else can be active yet");
        right.extend(Tenure(9), Time(30));
        assert_eq!(word(7).open(&right, Time(20)), Err(Reject::NotActive));
        assert_eq!(word(7).with("heartbeat").open(&right, Time(20)), Err(Reject::NotActive));
        assert_eq!(word(9).open(&right, Time(20)), Ok("elected"));
        assert!(!right.would_last(Tenure(7), Time(9)), "the right of 7 isn't the last one any more");
        right.end();
        assert!(!right.would_last(Tenure(7), Time(20)) && right.would_last(Tenure(9), Time(20)));
    }
}
