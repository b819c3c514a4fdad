//! Tokens that were checked before: a call with one of them costs a hash. Of a token only its hash
//! is kept.

use super::Identity;
use ring::digest::{SHA256, digest};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// So many are remembered in each of two generations.
const GENERATION: usize = 4096;

pub(super) type Hash = [u8; 32];

/// The older generation is forgotten when the younger one is full.
#[derive(Debug, Default)]
pub(super) struct Cache {
    kept: Mutex<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<Hash, Arc<Identity>>,
    old: HashMap<Hash, Arc<Identity>>,
    /// Rises when everything is forgotten.
    epoch: u64,
}

pub(super) fn hash(token: &str) -> Hash {
    digest(&SHA256, token.as_bytes()).as_ref().try_into().expect("SHA-256 makes 32 bytes")
}

impl Cache {
    /// Whose token it is, if that was found out and still holds.
    pub(super) fn get(&self, token: &Hash, now: u64) -> Option<Arc<Identity>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let found = match kept.young.get(token) {
            Some(found) => Arc::clone(found),
            None => {
                let found = kept.old.remove(token)?;
                kept.insert(*token, Arc::clone(&found));
                found
            }
        };
        (now < found.until).then_some(found)
    }

    /// What must be handed to [`Cache::keep`]: read before the keys are.
    pub(super) fn epoch(&self) -> u64 {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).epoch
    }

    /// Remembers a token that was checked with the keys of that epoch.
    pub(super) fn keep(&self, epoch: u64, token: Hash, identity: &Arc<Identity>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.epoch == epoch {
            kept.insert(token, Arc::clone(identity));
        }
    }

    /// The issuer has other keys: all tokens are checked anew.
    pub(super) fn forget_all(&self) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = Generations { epoch: kept.epoch + 1, ..Generations::default() };
    }
}

impl Generations {
    fn insert(&mut self, token: Hash, identity: Arc<Identity>) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(token, identity);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leasehold_core::Subject;

    fn identity(until: u64) -> Arc<Identity> {
        Arc::new(Identity { subject: Subject::anonymous(), pod: None, until })
    }

    #[test]
    fn what_is_kept_ends_with_its_token_with_its_keys_and_with_its_room() {
        let cache = Cache::default();
        cache.keep(cache.epoch(), hash("a"), &identity(100));
        assert!(cache.get(&hash("a"), 99).is_some());
        assert!(cache.get(&hash("a"), 100).is_none() && cache.get(&hash("b"), 1).is_none());

        let before = cache.epoch();
        cache.forget_all();
        assert!(cache.get(&hash("a"), 1).is_none());
        cache.keep(before, hash("a"), &identity(100));
        assert!(cache.get(&hash("a"), 1).is_none(), "it was checked with keys that are gone");

        cache.keep(cache.epoch(), hash("used"), &identity(100));
        cache.keep(cache.epoch(), hash("unused"), &identity(100));
        for number in 0..2 * GENERATION {
            cache.keep(cache.epoch(), hash(&number.to_string()), &identity(100));
            assert!(cache.get(&hash("used"), 1).is_some(), "{number}");
        }
        assert!(cache.get(&hash("unused"), 1).is_none());
        let kept = cache.kept.lock().unwrap();
        assert!(kept.young.len() <= GENERATION && kept.old.len() <= GENERATION);
    }
}
