//! Which elections an observer follows.

use crate::error::Error;
use crate::proto::ObserveRequest;

/// Which elections to observe: at most 100 by their names, or all with a prefix.
///
/// ```
/// use leasehold::Selection;
///
/// let few = Selection::elections(["billing/hourly", "billing/nightly"]);
/// let many = Selection::prefix("billing/");
/// let all = Selection::all();
/// assert_eq!(Selection::election("a"), Selection::elections(["a"]));
/// # let _ = (few, many, all);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection(Selected);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Selected {
    Elections(Vec<String>),
    Prefix(String),
}

impl Selection {
    /// One election. It needn't exist yet.
    pub fn election(name: impl Into<String>) -> Self {
        Self::elections([name])
    }

    /// Some elections, 1 to 100. They needn't exist yet. To observe none is an
    /// [`Error::Invalid`], which ends the observation at once; [`all`](Selection::all) is for all.
    pub fn elections<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Self {
        Self(Selected::Elections(names.into_iter().map(Into::into).collect()))
    }

    /// All elections whose names begin with this, those that come into being later as well.
    pub fn prefix(prefix: impl Into<String>) -> Self {
        Self(Selected::Prefix(prefix.into()))
    }

    /// All elections.
    #[must_use]
    pub fn all() -> Self {
        Self::prefix("")
    }

    /// What to ask for, to resume after this revision.
    pub(super) fn request(&self, after_revision: u64) -> Result<ObserveRequest, Error> {
        let (elections, prefix) = match &self.0 {
            // The contract takes no names for all.
            Selected::Elections(names) if names.is_empty() => {
                let detail = "it names no election; Selection::all() is for all of them".to_owned();
                return Err(Error::Invalid { what: "the selection", detail });
            }
            Selected::Elections(names) => (names.clone(), String::new()),
            Selected::Prefix(prefix) => (Vec::new(), prefix.clone()),
        };
        Ok(ObserveRequest { elections, prefix, after_revision })
    }
}
