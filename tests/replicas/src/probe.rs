//! A worker with a single replica, by raw gRPC: which of its calls that replica accepted until
//! when, and how it refused the others.

use anyhow::{Context as _, bail};
use leasehold_harness::{Campaign, ElectionClient, Observer, Server, leased};
use leasehold_proto::v1::verify_token_request::Token;
use leasehold_proto::v1::{CandidacyState, KeepAliveItem, KeepAliveRequest, TokenStatus, VerifyTokenRequest};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tonic::{Code, Status};

/// Between two rounds of calls.
const INTERVAL: Duration = Duration::from_millis(100);
/// A call that takes longer counts as refused, as DEADLINE_EXCEEDED.
const PATIENCE: Duration = Duration::from_secs(5);

/// One call.
#[derive(Debug, Clone)]
pub struct Call {
    /// `KeepAlive` or `VerifyToken`.
    pub method: &'static str,
    /// The moment before it was sent.
    pub sent: Instant,
    /// When its answer was there.
    pub answered: Instant,
    /// The tenure that did what was asked, or the code of the refusal.
    pub result: Result<u64, Code>,
}

/// Leads an election and calls a replica ten times a second, until it is dropped.
#[derive(Debug)]
pub struct Probe {
    /// The tenure in which it was granted.
    pub tenure: u64,
    calls: Arc<Mutex<Vec<Call>>>,
    observer: JoinHandle<anyhow::Result<(Instant, Status)>>,
    _tasks: JoinSet<()>,
}

impl Probe {
    /// Enters an election of its own, and returns once it leads and observes.
    ///
    /// # Errors
    ///
    /// When this replica isn't active, or doesn't grant.
    pub async fn start(server: &Server, election: &str, ttl: Duration) -> anyhow::Result<Self> {
        let mut client = server.elections().await?;
        let ttl_ms = u32::try_from(ttl.as_millis())?;
        let mut campaign = Campaign::open(&mut client, leased(election, "probe", ttl_ms)).await?;
        let elected = campaign.elected().await?;
        let mut observer = Observer::of(&mut client, election).await?;
        observer.synced().await?;
        let calls = Arc::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(keep_alive(client.clone(), campaign.ticket, Arc::clone(&calls)));
        tasks.spawn(verify(client, election.to_owned(), elected.fencing_token, Arc::clone(&calls)));
        let observer = tokio::spawn(async move {
            let status = observer.failure().await?;
            Ok((Instant::now(), status))
        });
        Ok(Self { tenure: campaign.tenure, calls, observer, _tasks: tasks })
    }

    /// All calls so far.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The last moment at which a call was sent that its first tenure accepted.
    #[must_use]
    pub fn accepted_until(&self) -> Option<Instant> {
        let accepted = |call: &Call| call.result == Ok(self.tenure);
        self.calls().iter().filter(|call| accepted(call)).map(|call| call.sent).max()
    }

    /// The calls that were sent since then and that weren't accepted by its first tenure.
    #[must_use]
    pub fn refused_since(&self, since: Instant) -> Vec<Call> {
        let refused = |call: &Call| call.sent >= since && call.result != Ok(self.tenure);
        self.calls().into_iter().filter(refused).collect()
    }

    /// Whether its Observe stream has ended.
    #[must_use]
    pub fn lost_its_stream(&self) -> bool {
        self.observer.is_finished()
    }

    /// Waits until both methods are refused as UNAVAILABLE and the Observe stream has ended as
    /// that; the moment when all of it was so.
    ///
    /// # Errors
    ///
    /// When that isn't so within `limit`, or something else is answered.
    pub async fn unavailable(&mut self, limit: Duration) -> anyhow::Result<Instant> {
        let deadline = Instant::now() + limit;
        let observer = timeout(limit, &mut self.observer).await.context("the Observe stream doesn't end")?;
        let (ended, status) = observer??;
        if status.code() != Code::Unavailable {
            bail!("the Observe stream ought to end as UNAVAILABLE: {status:?}");
        }
        loop {
            let calls = self.calls();
            let refused = |method| calls.iter().find(|call| call.method == method && call.result.is_err());
            if let (Some(keep_alive), Some(verify)) = (refused("KeepAlive"), refused("VerifyToken")) {
                for call in [keep_alive, verify] {
                    if call.result != Err(Code::Unavailable) {
                        bail!("it ought to be refused as UNAVAILABLE: {call:?}");
                    }
                }
                return Ok(ended.max(keep_alive.answered).max(verify.answered));
            }
            if Instant::now() >= deadline {
                bail!("calls are still accepted: {:?}", calls.last());
            }
            sleep(INTERVAL).await;
        }
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.observer.abort();
    }
}

async fn keep_alive(mut client: ElectionClient, mut ticket: Vec<u8>, calls: Arc<Mutex<Vec<Call>>>) {
    loop {
        let items = vec![KeepAliveItem { ticket: ticket.clone(), want_task_token: false }];
        let sent = Instant::now();
        let answer = timeout(PATIENCE, client.keep_alive(KeepAliveRequest { items })).await;
        let answer = answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer")));
        let result = match answer.map(tonic::Response::into_inner) {
            Ok(answer) if answer.results[0].state() == CandidacyState::Leading => {
                ticket.clone_from(&answer.results[0].ticket);
                Ok(answer.tenure)
            }
            Ok(_) => Err(Code::FailedPrecondition),
            Err(status) => Err(status.code()),
        };
        note(&calls, "KeepAlive", sent, result);
        sleep(INTERVAL).await;
    }
}

async fn verify(mut client: ElectionClient, election: String, token: u64, calls: Arc<Mutex<Vec<Call>>>) {
    loop {
        let request = VerifyTokenRequest { election: election.clone(), token: Some(Token::FencingToken(token)) };
        let sent = Instant::now();
        let answer = timeout(PATIENCE, client.verify_token(request)).await;
        let answer = answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer")));
        let result = match answer.map(tonic::Response::into_inner) {
            Ok(answer) if answer.status() == TokenStatus::Current => Ok(answer.tenure),
            Ok(_) => Err(Code::FailedPrecondition),
            Err(status) => Err(status.code()),
        };
        note(&calls, "VerifyToken", sent, result);
        sleep(INTERVAL).await;
    }
}

fn note(calls: &Mutex<Vec<Call>>, method: &'static str, sent: Instant, result: Result<u64, Code>) {
    let call = Call { method, sent, answered: Instant::now(), result };
    calls.lock().unwrap_or_else(PoisonError::into_inner).push(call);
}
