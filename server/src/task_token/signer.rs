//! Signs task tokens: on a thread of their own, in a fair line, and each only once while it is
//! fresh.

use super::{Claims, TaskTokens};
use crate::line::{Line, Owner};
use std::collections::HashMap;
use std::sync::mpsc as blocking;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;

/// So many are signed in one turn, some 20 us each.
const SLICE: usize = 32;
/// What is remembered in each of two generations, in bytes.
const GENERATION_BYTES: usize = 4 << 20;
/// What an entry takes beside its text.
const ENTRY_BYTES: usize = 256;

/// Hands out task tokens.
#[derive(Debug)]
pub(crate) struct Signer {
    tokens: Arc<TaskTokens>,
    line: Arc<Line>,
    work: Work,
    signed: Mutex<Remembered>,
}

/// Where signatures are made.
#[derive(Debug)]
#[cfg_attr(turmoil, allow(dead_code))]
enum Work {
    /// On a thread that does nothing else: it ends with this.
    There(blocking::Sender<Job>),
    /// Where the caller is: in a simulation, and while a fuzzer makes up requests, nothing waits
    /// for a thread.
    #[cfg(any(turmoil, feature = "fuzzing"))]
    Here,
}

#[derive(Debug)]
#[cfg_attr(turmoil, allow(dead_code))]
struct Job {
    claims: Vec<Claims>,
    done: oneshot::Sender<Vec<String>>,
}

impl Signer {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system has no thread left.
    #[cfg(not(turmoil))]
    pub(crate) fn start(tokens: Arc<TaskTokens>) -> std::io::Result<Self> {
        let (jobs, received) = blocking::channel::<Job>();
        let signs = Arc::clone(&tokens);
        std::thread::Builder::new().name("task-tokens".to_owned()).spawn(move || {
            while let Ok(Job { claims, done }) = received.recv() {
                // Whoever asked may have stopped waiting.
                let _ = done.send(claims.iter().map(|claims| signs.sign(claims)).collect());
            }
        })?;
        Ok(Self::new(tokens, Work::There(jobs)))
    }

    #[cfg(turmoil)]
    pub(crate) fn start(tokens: Arc<TaskTokens>) -> std::io::Result<Self> {
        Ok(Self::inline(tokens))
    }

    /// Signs where it is asked to.
    #[cfg(any(turmoil, feature = "fuzzing"))]
    pub(crate) fn inline(tokens: Arc<TaskTokens>) -> Self {
        Self::new(tokens, Work::Here)
    }

    fn new(tokens: Arc<TaskTokens>, work: Work) -> Self {
        Self { tokens, line: Line::new(1), work, signed: Mutex::default() }
    }

    /// What is signed, and how it is checked.
    pub(crate) fn tokens(&self) -> &TaskTokens {
        &self.tokens
    }

    /// A task token for each of these claims: one that was signed before, if at least half of the
    /// time is left that a new one would have. Empty where there are no claims.
    pub(crate) async fn sign(&self, owner: Owner, claims: &[Option<Claims>]) -> Vec<String> {
        let mut tokens: Vec<String> = self.known(claims);
        let unknown = |tokens: &[String]| -> Vec<usize> {
            (0..claims.len()).filter(|index| tokens[*index].is_empty() && claims[*index].is_some()).collect()
        };
        for slice in unknown(&tokens).chunks(SLICE) {
            let _turn = self.line.turn(owner, slice.len() as u64).await;
            // Another call may have had them signed meanwhile.
            let wanted: Vec<_> = slice.iter().map(|index| claims[*index].clone()).collect();
            let mut slice_tokens = self.known(&wanted);
            let missing: Vec<usize> = (0..wanted.len()).filter(|index| slice_tokens[*index].is_empty()).collect();
            let new: Vec<Claims> = missing.iter().filter_map(|index| wanted[*index].clone()).collect();
            let signed = self.work(new.clone()).await;
            self.remember(new, &signed);
            for (index, token) in missing.into_iter().zip(signed) {
                slice_tokens[index] = token;
            }
            for (index, token) in slice.iter().zip(slice_tokens) {
                tokens[*index] = token;
            }
        }
        tokens
    }

    async fn work(&self, claims: Vec<Claims>) -> Vec<String> {
        if claims.is_empty() {
            return Vec::new();
        }
        match &self.work {
            Work::There(jobs) => {
                let (done, signed) = oneshot::channel();
                // The thread lives as long as this does.
                jobs.send(Job { claims, done }).expect("the thread that signs task tokens is there");
                signed.await.expect("the thread that signs task tokens answers")
            }
            #[cfg(any(turmoil, feature = "fuzzing"))]
            Work::Here => claims.iter().map(|claims| self.tokens.sign(claims)).collect(),
        }
    }

    fn known(&self, claims: &[Option<Claims>]) -> Vec<String> {
        let mut signed = self.signed.lock().unwrap_or_else(PoisonError::into_inner);
        claims
            .iter()
            .map(|claims| claims.as_ref().and_then(|claims| signed.fresh(claims)).unwrap_or_default())
            .collect()
    }

    fn remember(&self, claims: Vec<Claims>, tokens: &[String]) {
        let mut signed = self.signed.lock().unwrap_or_else(PoisonError::into_inner);
        for (claims, token) in claims.into_iter().zip(tokens) {
            signed.remember(claims, token.clone());
        }
    }
}

/// What was signed, by fencing token: each leadership has its own. The older generation is
/// forgotten when the younger one is full.
#[derive(Debug, Default)]
struct Remembered {
    young: HashMap<u64, (Claims, String)>,
    young_bytes: usize,
    old: HashMap<u64, (Claims, String)>,
}

impl Remembered {
    /// A token that says the same of the leader as these claims, and holds for at least half as
    /// long from now.
    fn fresh(&mut self, wanted: &Claims) -> Option<String> {
        if !self.young.contains_key(&wanted.fence)
            && let Some((claims, token)) = self.old.remove(&wanted.fence)
        {
            self.remember(claims, token);
        }
        let (claims, token) = self.young.get(&wanted.fence)?;
        let same = claims.election == wanted.election && claims.sub == wanted.sub && claims.iss == wanted.iss;
        let left = |exp: u64| exp.saturating_sub(wanted.iat);
        // Of a moment ago, or of a wall clock that was set back.
        let lawful = claims.iat <= wanted.iat && claims.exp <= wanted.exp;
        (same && lawful && left(claims.exp) * 2 >= left(wanted.exp)).then(|| token.clone())
    }

    fn remember(&mut self, claims: Claims, token: String) {
        self.young_bytes += ENTRY_BYTES + token.len() + claims.election.len() + claims.sub.len() + claims.iss.len();
        if self.young_bytes > GENERATION_BYTES {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young.insert(claims.fence, (claims, token));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Keys;

    const OWNER: Owner = Owner::Connection(1);

    fn signer() -> Signer {
        Signer::start(Arc::new(TaskTokens::new(&Keys::generate(), "me".to_owned()))).unwrap()
    }

    /// Signed at this second, for a lease of 10 s.
    fn claims(fence: u64, iat: u64) -> Claims {
        Claims { iss: "me".into(), sub: "x".into(), subject: None, election: "a".into(), fence, iat, exp: iat + 10 }
    }

    async fn one(signer: &Signer, claims: Claims) -> String {
        signer.sign(OWNER, &[Some(claims)]).await.remove(0)
    }

    #[tokio::test]
    async fn each_claim_has_its_token_and_no_claim_has_none() {
        let signer = signer();
        let wanted: Vec<_> = (0..100).map(|fence| (fence % 3 != 0).then(|| claims(fence, 1000))).collect();
        // Some of them are known already.
        one(&signer, claims(50, 1000)).await;
        let tokens = signer.sign(OWNER, &wanted).await;
        for (wanted, token) in wanted.iter().zip(&tokens) {
            match wanted {
                Some(claims) => assert_eq!(signer.tokens().verify(token, 1001).unwrap(), *claims),
                None => assert!(token.is_empty()),
            }
        }
    }

    #[tokio::test]
    async fn a_token_is_signed_anew_when_less_than_half_of_its_time_is_left() {
        let signer = signer();
        let first = one(&signer, claims(7, 1000)).await;
        for second in 1000..=1005 {
            assert_eq!(one(&signer, claims(7, second)).await, first, "at {second}");
        }
        let second = one(&signer, claims(7, 1006)).await;
        assert_eq!(signer.tokens().verify(&second, 1006).unwrap(), claims(7, 1006));
    }

    #[tokio::test]
    async fn a_token_of_somebody_else_or_of_another_time_is_no_answer() {
        let signer = signer();
        let first = one(&signer, claims(7, 1000)).await;
        let shorter = Claims { exp: 1003, ..claims(7, 1000) };
        for other in [
            Claims { sub: "y".into(), ..claims(7, 1000) },
            Claims { election: "b".into(), ..claims(7, 1000) },
            // Drained, or the wall clock was set back.
            shorter,
            claims(7, 999),
        ] {
            let token = one(&signer, other.clone()).await;
            assert_ne!(token, first);
            assert_eq!(signer.tokens().verify(&token, 1000).unwrap(), other);
        }
    }

    #[test]
    fn what_is_remembered_is_bounded_and_what_is_used_stays() {
        let mut signed = Remembered::default();
        signed.remember(claims(0, 1000), "first".to_owned());
        let most = 2 * GENERATION_BYTES / ENTRY_BYTES;
        for fence in 1..100_000 {
            signed.remember(claims(fence, 1000), "t".repeat(500));
            assert_eq!(signed.fresh(&claims(0, 1000)).as_deref(), Some("first"), "{fence}");
            assert!(signed.young.len() + signed.old.len() < most);
        }
        assert_eq!(signed.fresh(&claims(1, 1000)), None);
    }
}
