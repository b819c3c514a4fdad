//! What is lawful: the bounds of all that tickets, records and batches for mirrors say.

use crate::{BadWord, Enrolment, Millis, NUMBER_LIMIT};
use std::ops::RangeInclusive;

/// The longest time that a ticket or a record tells of: 285,000 years.
pub const LONGEST: Millis = Millis(NUMBER_LIMIT - 1);
/// No TTL may be longer than this, whatever `max_ttl` says: a day.
pub const MAX_MAX_TTL: Millis = Millis(86_400_000);
/// The longest hold that Campaign accepts: a day.
pub const MAX_HOLD: Millis = Millis(86_400_000);

/// Why parts make no ticket, no record or no batch: which part is wrong, and what it must be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unlawful {
    /// A number or a time is outside of its bounds.
    #[error("{what} is {is}; it must lie between {least} and {most}")]
    OutOfBounds {
        /// Which one.
        what: &'static str,
        /// Its value.
        is: u64,
        /// The lowest that is lawful here.
        least: u64,
        /// The highest.
        most: u64,
    },
    /// One candidacy is handed over twice.
    #[error("enrolment {0} is handed over twice")]
    Twice(Enrolment),
    /// Only a leader can be told to hand over.
    #[error("enrolment {0} has a drain, and no token")]
    DrainsWithoutToken(Enrolment),
    /// A word isn't accepted.
    #[error(transparent)]
    Word(#[from] BadWord),
}

/// A type whose values are lawful. It reads like its parts, and can't be changed.
macro_rules! lawful {
    ($(#[$doc:meta])* $name:ident($parts:ident)) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name($parts);

        impl std::ops::Deref for $name {
            type Target = $parts;

            fn deref(&self) -> &$parts {
                &self.0
            }
        }

        impl $name {
            /// Checks parts that come from outside. There is no other door for them.
            ///
            /// # Errors
            /// [`Unlawful`](crate::Unlawful): the core makes none of these parts.
            pub fn from_parts(parts: $parts) -> Result<Self, crate::Unlawful> {
                parts.check()?;
                Ok(Self(parts))
            }

            /// Parts that the core makes are lawful.
            pub(crate) fn made(parts: $parts) -> Self {
                debug_assert_eq!(parts.check(), Ok(()));
                Self(parts)
            }
        }
    };
}
pub(crate) use lawful;

pub(crate) fn within(what: &'static str, is: u64, bounds: RangeInclusive<u64>) -> Result<(), Unlawful> {
    let (least, most) = (*bounds.start(), *bounds.end());
    if bounds.contains(&is) { Ok(()) } else { Err(Unlawful::OutOfBounds { what, is, least, most }) }
}

/// A number that was handed out.
pub(crate) fn number(what: &'static str, is: u64) -> Result<(), Unlawful> {
    within(what, is, 1..=NUMBER_LIMIT - 1)
}

pub(crate) fn time(what: &'static str, is: Millis) -> Result<(), Unlawful> {
    within(what, is.0, 0..=LONGEST.0)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A part that is set to a number, the lowest that is lawful, and the highest.
    pub(crate) type Rule<T> = (&'static str, fn(&mut T, u64), u64, u64);

    /// Each bound is lawful, and what lies beyond isn't.
    pub(crate) fn bounded<T: Clone, L>(parts: &T, door: fn(T) -> Result<L, Unlawful>, rules: &[Rule<T>]) {
        for (what, set, least, most) in rules {
            let with = |to: u64| {
                let mut parts = parts.clone();
                set(&mut parts, to);
                door(parts).err()
            };
            assert_eq!((with(*least), with(*most)), (None, None), "{what}");
            for bad in [least.checked_sub(1), Some(most + 1)].into_iter().flatten() {
                let error = with(bad).map(|error| error.to_string());
                let says = |error: &String| error.contains(&format!("is {bad}; it must lie between "));
                assert!(error.as_ref().is_some_and(says), "{what}: {error:?}");
            }
        }
    }
}
