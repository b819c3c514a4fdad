//! An issuer of tokens, and the keys that it has now.

use super::cache::{Cache, Hash};
use super::claims::IssuerRules;
use super::jwks::Jwks;
use super::jwt::{self, Unverified};
use super::source::{FoundKeys, KeySource};
use super::{BadToken, Identity};
use crate::clock;
use crate::errors::shown;
use leasehold_core::{Millis, Time};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::Mutex;

/// How often keys are read anew.
const REFRESH: Duration = Duration::from_secs(300);
/// How soon after a read that failed, and while nothing is known yet.
const RETRY: Duration = Duration::from_secs(10);
const FIRST_RETRY: Duration = Duration::from_secs(2);
/// Between two reads because of a key that isn't known: anybody can name any key.
const UNKNOWN_KEY_INTERVAL: Millis = Millis(10_000);

/// Whoever issues tokens that this server accepts.
#[derive(Debug)]
pub(super) struct Issuer {
    /// Without an issuer's name: the source says which one.
    rules: IssuerRules,
    source: KeySource,
    now: RwLock<Option<Known>>,
    /// When keys were asked for last.
    asked: Mutex<Option<Time>>,
    cache: Arc<Cache>,
}

/// What is known of an issuer.
#[derive(Clone, Debug)]
struct Known {
    rules: Arc<IssuerRules>,
    keys: Arc<Jwks>,
}

impl Issuer {
    /// An issuer whose keys aren't known yet. With an empty name it is called what its source says.
    pub(super) fn new(rules: IssuerRules, source: KeySource, cache: Arc<Cache>) -> Self {
        Self { rules, source, now: RwLock::default(), asked: Mutex::default(), cache }
    }

    /// Its name, as far as it is known.
    pub(super) fn name(&self) -> Option<String> {
        match self.known() {
            Some(known) => Some(known.rules.issuer.clone()),
            None => Some(self.rules.issuer.clone()).filter(|name| !name.is_empty()),
        }
    }

    fn known(&self) -> Option<Known> {
        self.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps the keys up to date, for ever.
    pub(super) async fn look_after(self: Arc<Self>) {
        loop {
            let read = self.refresh(&mut *self.asked.lock().await).await;
            if let Err(why) = &read {
                tracing::warn!(
                    issuer = self.name(),
                    why,
                    "can't read the keys of an issuer; what is known of it stays"
                );
            }
            let pause = match read {
                Ok(()) => REFRESH,
                Err(_) if self.known().is_some() => RETRY,
                Err(_) => FIRST_RETRY,
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Reads the keys anew.
    async fn refresh(&self, asked: &mut Option<Time>) -> Result<(), String> {
        *asked = Some(clock::now());
        let FoundKeys { issuer, keys } = self.source.read().await?;
        let mut rules = self.rules.clone();
        match issuer {
            Some(issuer) if rules.issuer.is_empty() => rules.issuer = issuer,
            Some(issuer) if issuer != rules.issuer => {
                return Err(format!("it calls itself {:?}, not {:?}", shown(&issuer), rules.issuer));
            }
            _ => {}
        }
        let known = self.known();
        if known.as_ref().is_some_and(|known| known.keys.is_same(&keys) && *known.rules == rules) {
            return Ok(());
        }
        tracing::info!(issuer = rules.issuer, keys = keys.count(), "read the keys of an issuer");
        let known = Known { rules: Arc::new(rules), keys: Arc::new(keys) };
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = Some(known);
        self.cache.forget_all();
        Ok(())
    }

    /// Who calls with this token; `now` in seconds since 1970. With a key that isn't known the keys
    /// are read anew, and this waits for it.
    pub(super) async fn authenticate(&self, token: &str, hash: Hash, now: u64) -> Result<Arc<Identity>, BadToken> {
        let epoch = self.cache.epoch();
        let unknown = || BadToken::KeysUnknown(format!("the keys of {} haven't been read yet", self.described()));
        let known = self.known().ok_or_else(unknown)?;
        match jwt::verify(token, &known.keys) {
            Ok(claims) => {
                let identity = Arc::new(known.rules.identity(&claims, now)?);
                self.cache.keep(epoch, hash, &identity);
                Ok(identity)
            }
            Err(Unverified::Bad(why)) => Err(why),
            Err(Unverified::UnknownKey(kid)) => {
                self.read_for(&kid).await?;
                let known = self.known().ok_or_else(unknown)?;
                match jwt::verify(token, &known.keys) {
                    Ok(claims) => known.rules.identity(&claims, now).map(Arc::new),
                    Err(Unverified::Bad(why)) => Err(why),
                    Err(Unverified::UnknownKey(kid)) => Err(BadToken::Invalid(format!(
                        "{} has no key {:?}: the token is another service's, or its key was taken out of use",
                        self.described(),
                        shown(&kid)
                    ))),
                }
            }
        }
    }

    /// Reads the keys because of one that isn't known. Not often: then the token may be good.
    async fn read_for(&self, kid: &str) -> Result<(), BadToken> {
        let unknown = |why: &str| {
            let why = format!("{} may have a new key {:?}, and {why}", self.described(), shown(kid));
            BadToken::KeysUnknown(why)
        };
        let mut asked = self.asked.lock().await;
        if self.known().is_some_and(|known| known.keys.find(Some(kid)).is_some()) {
            return Ok(());
        }
        if asked.is_some_and(|at| clock::now().since(at) < UNKNOWN_KEY_INTERVAL) {
            return Err(unknown("its keys were read a moment ago"));
        }
        self.refresh(&mut asked).await.map_err(|why| unknown(&format!("its keys can't be read: {why}")))
    }

    #[cfg(test)]
    pub(super) async fn read_keys(&self) -> Result<(), String> {
        self.refresh(&mut *self.asked.lock().await).await
    }

    #[cfg(test)]
    pub(super) async fn forget_when_keys_were_read(&self) {
        *self.asked.lock().await = None;
    }

    fn described(&self) -> String {
        self.name().map_or_else(|| "the cluster".to_owned(), |name| format!("the issuer {:?}", shown(&name)))
    }
}
