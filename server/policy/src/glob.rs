//! Patterns for subjects and elections.
//!
//! `*` stands for any characters but `/` and `:`, so it stays within one part of a name. `**`
//! stands for any characters. `{namespace}` and `{name}`, in elections only, stand for the parts of
//! the service account that calls; for any other caller such a pattern matches nothing.

use super::Account;
use std::fmt;

/// The longest pattern, in bytes.
const MAX_GLOB_BYTES: usize = 512;

/// A pattern.
#[derive(Clone, PartialEq, Eq)]
pub struct Glob {
    text: String,
    pieces: Vec<GlobPiece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum GlobPiece {
    Literal(String),
    /// `*`.
    Part,
    /// `**`.
    Anything,
    Namespace,
    Name,
}

/// One step through a pattern in which everything is filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Byte(u8),
    Part,
    Anything,
}

/// Why a pattern can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadGlob {
    /// It matches nothing.
    #[error("a pattern is empty; write ** for anything")]
    Empty,
    /// It is longer than what it could match.
    #[error("a pattern has {0} bytes; none is longer than {MAX_GLOB_BYTES}")]
    TooLong(usize),
    /// `***`, which nobody can read.
    #[error("{0:?} has three stars in a row; write * for a part of a name, and ** for anything")]
    Stars(String),
    /// A brace that doesn't belong to a name of a caller's part.
    #[error("{0:?} has a brace; an election may have {{namespace}} and {{name}} in it, a subject has none")]
    Brace(String),
    /// A character that no subject and no election has.
    #[error("{0:?} has {1:?} in it, which no such name has")]
    Character(String, char),
}

impl Glob {
    /// A pattern for elections.
    ///
    /// # Errors
    /// [`BadGlob`].
    pub fn election(text: &str) -> Result<Self, BadGlob> {
        let glob = Self::new(text)?;
        let fair = |c: &char| c.is_ascii_alphanumeric() || "._-/*{}".contains(*c);
        match text.chars().find(|c| !fair(c)) {
            Some(character) => Err(BadGlob::Character(text.to_owned(), character)),
            None => Ok(glob),
        }
    }

    /// A pattern for subjects.
    ///
    /// # Errors
    /// [`BadGlob`].
    pub fn subject(text: &str) -> Result<Self, BadGlob> {
        let glob = Self::new(text)?;
        if text.contains(['{', '}']) {
            return Err(BadGlob::Brace(text.to_owned()));
        }
        Ok(glob)
    }

    /// `**`.
    #[must_use]
    pub fn of_anything() -> Self {
        Self { text: "**".to_owned(), pieces: vec![GlobPiece::Anything] }
    }

    fn new(text: &str) -> Result<Self, BadGlob> {
        match text.len() {
            0 => return Err(BadGlob::Empty),
            1..=MAX_GLOB_BYTES => {}
            bytes => return Err(BadGlob::TooLong(bytes)),
        }
        if text.contains("***") {
            return Err(BadGlob::Stars(text.to_owned()));
        }
        if let Some(character) = text.chars().find(|c| c.is_control()) {
            return Err(BadGlob::Character(text.to_owned(), character));
        }
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let special = [
                ("**", GlobPiece::Anything),
                ("*", GlobPiece::Part),
                ("{namespace}", GlobPiece::Namespace),
                ("{name}", GlobPiece::Name),
            ];
            if let Some((found, piece)) = special.into_iter().find(|(word, _)| rest.starts_with(word)) {
                pieces.push(piece);
                rest = &rest[found.len()..];
                continue;
            }
            if "{}".contains(first) {
                return Err(BadGlob::Brace(text.to_owned()));
            }
            let length = rest.find(['*', '{', '}']).unwrap_or(rest.len());
            pieces.push(GlobPiece::Literal(rest[..length].to_owned()));
            rest = &rest[length..];
        }
        Ok(Self { text: text.to_owned(), pieces })
    }

    /// Whether the pattern matches all of `text`, for this caller.
    pub(super) fn matches(&self, account: Option<Account<'_>>, text: &str) -> bool {
        // What most patterns differ in, and most texts fail at.
        if let Some(GlobPiece::Literal(begin)) = self.pieces.first()
            && !text.starts_with(begin.as_str())
        {
            return false;
        }
        if self.pieces == [GlobPiece::Anything] {
            return true;
        }
        self.steps(account).is_some_and(|steps| run(&steps, text.as_bytes()))
    }

    /// The pattern with the parts of this caller in their places. `None`: the caller has none.
    pub(super) fn filled_in(&self, account: Option<Account<'_>>) -> Option<Self> {
        let mut pieces: Vec<GlobPiece> = Vec::new();
        for piece in &self.pieces {
            let text = match piece {
                GlobPiece::Literal(text) => text,
                GlobPiece::Namespace => account?.namespace,
                GlobPiece::Name => account?.name,
                star => {
                    pieces.push(star.clone());
                    continue;
                }
            };
            match pieces.last_mut() {
                Some(GlobPiece::Literal(before)) => before.push_str(text),
                _ => pieces.push(GlobPiece::Literal(text.to_owned())),
            }
        }
        Some(Self { text: self.text.clone(), pieces })
    }

    /// How all that matches begins, once everything is filled in.
    pub(super) fn beginning(&self) -> &str {
        if let Some(GlobPiece::Literal(begin)) = self.pieces.first() { begin } else { "" }
    }

    fn steps(&self, account: Option<Account<'_>>) -> Option<Vec<Step>> {
        let mut steps = Vec::with_capacity(self.text.len());
        for piece in &self.pieces {
            let text = match piece {
                GlobPiece::Part => {
                    steps.push(Step::Part);
                    continue;
                }
                GlobPiece::Anything => {
                    steps.push(Step::Anything);
                    continue;
                }
                GlobPiece::Literal(text) => text,
                GlobPiece::Namespace => account?.namespace,
                GlobPiece::Name => account?.name,
            };
            steps.extend(text.bytes().map(Step::Byte));
        }
        Some(steps)
    }
}

/// Follows all ways through the pattern at once: a pattern with many stars costs no more than its
/// length for each byte.
fn run(steps: &[Step], text: &[u8]) -> bool {
    // Most patterns begin with what they mean word for word, and many end with anything.
    let same = steps.iter().zip(text).take_while(|(step, byte)| **step == Step::Byte(**byte)).count();
    let (steps, text) = (&steps[same..], &text[same..]);
    match steps {
        [] => return text.is_empty(),
        [Step::Byte(_), ..] => return false,
        [Step::Anything] => return true,
        _ => {}
    }
    let mut at = vec![false; steps.len() + 1];
    let mut next = at.clone();
    at[0] = true;
    skip_stars(steps, &mut at);
    for byte in text {
        next.fill(false);
        for (index, step) in steps.iter().enumerate().filter(|(index, _)| at[*index]) {
            match step {
                Step::Byte(wanted) if wanted == byte => next[index + 1] = true,
                Step::Part if !b"/:".contains(byte) => next[index] = true,
                Step::Anything => next[index] = true,
                _ => {}
            }
        }
        std::mem::swap(&mut at, &mut next);
        skip_stars(steps, &mut at);
    }
    at[steps.len()]
}

/// A star may stand for nothing.
fn skip_stars(steps: &[Step], at: &mut [bool]) {
    for (index, step) in steps.iter().enumerate() {
        if at[index] && !matches!(step, Step::Byte(_)) {
            at[index + 1] = true;
        }
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text)
    }
}
