//! Tokens that were checked before. A call with the token that its connection showed last costs a
//! comparison, and any other one that was checked costs a hash.
//!
//! Of a token only its hash is kept, but for the last one of each connection, until that closes.

use super::Identity;
use ring::digest::{SHA256, digest};
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// So many are remembered in each of two generations.
const GENERATION: usize = 4096;
/// A connection remembers no longer metadata: thousands of connections may be open.
const MAX_LAST_BYTES: usize = 4096;

pub(super) type Hash = [u8; 32];

/// The older generation is forgotten when the younger one is full.
#[derive(Debug, Default)]
pub(super) struct Cache {
    kept: Mutex<Generations>,
    /// Rises when everything is forgotten.
    epoch: AtomicU64,
}

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<Hash, Arc<Identity>>,
    old: HashMap<Hash, Arc<Identity>>,
}

/// What a connection has shown last, as a whole, and who that is: most connections show one token
/// only, and each has one certificate at most.
#[derive(Debug, Default)]
pub(crate) struct LastShown {
    token: Mutex<Option<Last>>,
    certificate: OnceLock<Arc<Identity>>,
}

struct Last {
    authorization: Box<[u8]>,
    identity: Arc<Identity>,
    /// Of the cache when it was asked.
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
        self.epoch.load(Ordering::Acquire)
    }

    /// Remembers a token that was checked with the keys of that epoch.
    pub(super) fn keep(&self, epoch: u64, token: Hash, identity: &Arc<Identity>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        // Nothing is forgotten while this is locked.
        if self.epoch() == epoch {
            kept.insert(token, Arc::clone(identity));
        }
    }

    /// The issuer has other keys: all tokens are checked anew.
    pub(super) fn forget_all(&self) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = Generations::default();
        self.epoch.fetch_add(1, Ordering::Release);
    }
}

impl LastShown {
    /// Who it is that shows this, if it is what was shown before.
    pub(super) fn get(&self, authorization: &[u8], epoch: u64, now: u64) -> Option<Arc<Identity>> {
        let last = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        let last = last.as_ref().filter(|last| last.epoch == epoch && now < last.identity.until)?;
        (*last.authorization == *authorization).then(|| Arc::clone(&last.identity))
    }

    /// Remembers what the cache knew, of the epoch before it was asked.
    pub(super) fn keep(&self, authorization: &[u8], epoch: u64, identity: &Arc<Identity>) {
        if authorization.len() <= MAX_LAST_BYTES {
            let last = Last { authorization: authorization.into(), identity: Arc::clone(identity), epoch };
            *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
        }
    }

    /// Who its certificate says that it is, if that was read.
    pub(super) fn certificate(&self) -> Option<Arc<Identity>> {
        self.certificate.get().cloned()
    }

    /// Remembers what its certificate says.
    pub(super) fn keep_certificate(&self, identity: &Arc<Identity>) {
        let _ = self.certificate.set(Arc::clone(identity));
    }
}

/// Tokens are nothing for a log.
impl fmt::Debug for Last {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Last").field("identity", &self.identity).finish_non_exhaustive()
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

    #[test]
    fn what_a_connection_showed_last_is_known_as_a_whole_and_until_it_ends() {
        let (cache, last) = (Cache::default(), LastShown::default());
        let epoch = cache.epoch();
        last.keep(b"Bearer a", epoch, &identity(100));
        assert!(last.get(b"Bearer a", epoch, 99).is_some());
        for other in [&b"Bearer b"[..], b"Bearer ", b"Bearer aa", b""] {
            assert!(last.get(other, epoch, 99).is_none());
        }
        assert!(last.get(b"Bearer a", epoch, 100).is_none(), "the token is over");
        cache.forget_all();
        assert!(last.get(b"Bearer a", cache.epoch(), 99).is_none(), "it was checked with keys that are gone");
        last.keep(b"Bearer b", cache.epoch(), &identity(100));
        last.keep(&[b'c'; MAX_LAST_BYTES + 1], cache.epoch(), &identity(100));
        assert!(last.get(b"Bearer b", cache.epoch(), 99).is_some());
        assert!(last.get(&[b'c'; MAX_LAST_BYTES + 1], cache.epoch(), 99).is_none(), "it is too long");
        assert!(!format!("{last:?}").contains("Bearer"));
    }
}
