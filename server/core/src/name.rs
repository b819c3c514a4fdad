//! The words that workers choose: names of elections and candidates, values. Checked once, when
//! they come in.

use std::borrow::Borrow;
use std::fmt;
use std::sync::{Arc, LazyLock};

/// The longest name of an election or a candidate, in bytes.
pub const MAX_NAME_BYTES: usize = 256;
/// The longest value, in bytes.
pub const MAX_VALUE_BYTES: usize = 4096;
/// The longest name of an attempt, in bytes.
pub const MAX_ATTEMPT_BYTES: usize = 64;

/// Why a word isn't accepted: which one, what is wrong with it, and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadWord {
    /// Nothing was given.
    #[error("the {what} is empty; give 1 to {MAX_NAME_BYTES} bytes")]
    Empty {
        /// Which word.
        what: &'static str,
    },
    /// More bytes than allowed.
    #[error("the {what} has {bytes} bytes; at most {max} are allowed")]
    TooLong {
        /// Which word.
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// What is allowed.
        max: usize,
    },
    /// A character that isn't allowed.
    #[error("the {what} has {character:?} at byte {at}; allowed are {allowed}")]
    BadCharacter {
        /// Which word.
        what: &'static str,
        /// The first such character.
        character: char,
        /// Where it stands.
        at: usize,
        /// What is allowed.
        allowed: &'static str,
    },
    /// Two slashes in a row, or one at an end.
    #[error("the {what} {text:?} has an empty part; write it like billing/nightly-report")]
    EmptyPart {
        /// Which word.
        what: &'static str,
        /// The word.
        text: String,
    },
}

macro_rules! word {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

word! {
    /// The name of an election, e.g. `billing/nightly-report`: 1 to 256 bytes of ASCII letters,
    /// digits and `._-/`, without empty parts between slashes.
    ElectionName
}
word! {
    /// The label of a candidate: 1 to 256 bytes of UTF-8 without control characters. Not unique.
    CandidateName
}
word! {
    /// Who a caller is, as far as it was established: 1 to 256 bytes without control characters.
    Subject
}
word! {
    /// The pod that a worker runs in, as far as it was established: 1 to 64 bytes of printable
    /// ASCII that no other pod ever has.
    PodUid
}
word! {
    /// What a leader shows to observers: at most 4096 bytes of UTF-8.
    Value
}
word! {
    /// The name of one entry into an election, by which a Campaign that is sent twice finds what
    /// the first one made: 1 to 64 bytes of printable ASCII.
    Attempt
}

impl ElectionName {
    /// Checks a name.
    ///
    /// # Errors
    /// [`BadWord`] if it is empty, too long, or has characters or an empty part that aren't
    /// allowed.
    pub fn new(text: &str) -> Result<Self, BadWord> {
        let what = "election name";
        length(what, text)?;
        if let Some((at, character)) =
            text.char_indices().find(|(_, c)| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/')))
        {
            let allowed = "ASCII letters, digits and . _ - /";
            return Err(BadWord::BadCharacter { what, character, at, allowed });
        }
        if text.split('/').any(str::is_empty) {
            return Err(BadWord::EmptyPart { what, text: text.to_owned() });
        }
        Ok(Self(text.into()))
    }
}

impl CandidateName {
    /// Checks a label.
    ///
    /// # Errors
    /// [`BadWord`] if it is empty, too long, or has control characters.
    pub fn new(text: &str) -> Result<Self, BadWord> {
        printable("candidate name", text)?;
        Ok(Self(text.into()))
    }
}

impl Subject {
    /// Checks a subject.
    ///
    /// # Errors
    /// [`BadWord`] if it is empty, too long, or has control characters.
    pub fn new(text: &str) -> Result<Self, BadWord> {
        printable("subject", text)?;
        Ok(Self(text.into()))
    }

    /// The subject of all callers where the server doesn't ask who calls.
    #[must_use]
    pub fn anonymous() -> Self {
        static ANONYMOUS: LazyLock<Subject> = LazyLock::new(|| Subject("anonymous".into()));
        ANONYMOUS.clone()
    }
}

impl Attempt {
    /// Checks the name of an attempt.
    ///
    /// # Errors
    /// [`BadWord`] if it is empty, too long, or isn't printable ASCII.
    pub fn new(text: &str) -> Result<Self, BadWord> {
        like_a_uuid("attempt", text)?;
        Ok(Self(text.into()))
    }
}

impl PodUid {
    /// Checks a uid.
    ///
    /// # Errors
    /// [`BadWord`] if it is empty, too long, or isn't printable ASCII.
    pub fn new(text: &str) -> Result<Self, BadWord> {
        like_a_uuid("uid of a pod", text)?;
        Ok(Self(text.into()))
    }
}

impl Value {
    /// Checks a value.
    ///
    /// # Errors
    /// [`BadWord::TooLong`] above [`MAX_VALUE_BYTES`].
    pub fn new(text: &str) -> Result<Self, BadWord> {
        if text.len() > MAX_VALUE_BYTES {
            return Err(BadWord::TooLong { what: "value", bytes: text.len(), max: MAX_VALUE_BYTES });
        }
        Ok(Self(text.into()))
    }
}

fn length(what: &'static str, text: &str) -> Result<(), BadWord> {
    match text.len() {
        0 => Err(BadWord::Empty { what }),
        1..=MAX_NAME_BYTES => Ok(()),
        bytes => Err(BadWord::TooLong { what, bytes, max: MAX_NAME_BYTES }),
    }
}

fn like_a_uuid(what: &'static str, text: &str) -> Result<(), BadWord> {
    match text.len() {
        0 => return Err(BadWord::Empty { what }),
        1..=MAX_ATTEMPT_BYTES => {}
        bytes => return Err(BadWord::TooLong { what, bytes, max: MAX_ATTEMPT_BYTES }),
    }
    match text.char_indices().find(|(_, c)| !c.is_ascii_graphic()) {
        Some((at, character)) => {
            let allowed = "printable ASCII characters without spaces, as in a UUID";
            Err(BadWord::BadCharacter { what, character, at, allowed })
        }
        None => Ok(()),
    }
}

fn printable(what: &'static str, text: &str) -> Result<(), BadWord> {
    length(what, text)?;
    match text.char_indices().find(|(_, c)| c.is_control()) {
        Some((at, character)) => {
            Err(BadWord::BadCharacter { what, character, at, allowed: "all but control characters" })
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn election_names() {
        for good in ["a", "billing/nightly-report", "A.b_c-9/x", &"n".repeat(256)] {
            assert_eq!(ElectionName::new(good).unwrap().as_str(), good);
        }
        for (bad, says) in [
            ("", "the election name is empty; give 1 to 256 bytes"),
            (&"n".repeat(257), "the election name has 257 bytes; at most 256 are allowed"),
            ("a b", "the election name has ' ' at byte 1; allowed are ASCII letters, digits and . _ - /"),
            ("é", "the election name has 'é' at byte 0; allowed are ASCII letters, digits and . _ - /"),
            ("/a", "the election name \"/a\" has an empty part; write it like billing/nightly-report"),
        ] {
            assert_eq!(ElectionName::new(bad).unwrap_err().to_string(), says);
        }
    }

    #[test]
    fn candidate_names_and_values() {
        assert!(CandidateName::new("wörker 1").is_ok());
        assert!(CandidateName::new("a\nb").unwrap_err().to_string().contains("control"));
        assert!(Value::new("").is_ok());
        assert!(Value::new(&"v".repeat(4097)).unwrap_err().to_string().contains("4097"));
    }

    #[test]
    fn attempts() {
        for good in ["a", "6f1c2b1e-31f7-4c39-9d22-1c35b8a0d3a5", &"x".repeat(64)] {
            assert_eq!(Attempt::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "a b", "\u{e4}", &"x".repeat(65)] {
            assert!(Attempt::new(bad).is_err(), "{bad:?}");
        }
    }
}
