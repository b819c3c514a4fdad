//! What an invariant promises to be there: where it is missing, tests and simulations panic, and a
//! release goes on without it.

pub(crate) trait Must {
    /// The same. A plain `Option` is for what may lawfully be gone.
    fn must(self) -> Self;
}

impl<T> Must for Option<T> {
    #[track_caller]
    fn must(self) -> Self {
        debug_assert!(self.is_some(), "something that must be there is missing");
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "something that must be there is missing")]
    fn tests_notice_what_is_missing() {
        assert_eq!(Some(7).must(), Some(7));
        None::<u8>.must();
    }
}
