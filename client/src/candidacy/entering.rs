//! Entering an election, in as many tries as it takes.

use super::attempt;
use super::campaign_stream::{self, Begun};
use super::handle::Orders;
use super::protocol::{Confirmed, Protocol};
use super::resign;
use super::shared::Shared;
use super::standing::Standing;
use super::terms::Terms;
use super::ticket::Ticket;
use crate::clock::{self, Moment};
use crate::error::Error;
use crate::health::HealthChecks;
use crate::lost::Lost;
use crate::proto::campaign_response::Event;
use crate::proto::{CampaignRequest, CampaignResponse};
use crate::refusal::RefusalKind;
use crate::transport::{Backoff, Connections, FallenBack, OpenStream};
use std::sync::Arc;
use std::time::Duration;

/// After answers of a lower tenure a try is made no more often than this.
const LOWER_TENURE_RETRY: Duration = Duration::from_secs(5);
/// The service itself ends a try that took too long. This side waits so much longer for that word.
const MAX_WAIT_GRACE: Duration = Duration::from_millis(500);

/// A candidacy that the service has confirmed.
pub(super) struct Entered {
    pub(super) protocol: Protocol,
    /// The moment before the Campaign was sent.
    pub(super) sent: Moment,
    pub(super) stream: OpenStream<CampaignResponse>,
}

/// What one campaign knows over all candidacies that it enters.
pub(super) struct Entering {
    pub(super) connections: Arc<Connections>,
    pub(super) terms: Terms,
    pub(super) shared: Shared,
    pub(super) checks: HealthChecks,
    pub(super) backoff: Backoff,
    started: Moment,
    /// When the service was first asked.
    tried: Option<Moment>,
    /// Whether the service has confirmed a candidacy of this campaign before.
    was_confirmed: bool,
    /// The name of the entry that is under way. A try that is repeated finds the candidacy that an
    /// earlier try has made, if its answer was lost.
    attempt: String,
}

impl Entering {
    pub(super) fn new(connections: Arc<Connections>, terms: Terms, shared: Shared) -> Self {
        Self {
            checks: HealthChecks::new(terms.health.clone()),
            backoff: Backoff::new(connections.endpoints()),
            connections,
            terms,
            shared,
            started: clock::now(),
            tried: None,
            was_confirmed: false,
            attempt: String::new(),
        }
    }

    /// Enters the election, in as many tries as it takes. None: it is over.
    pub(super) async fn enter(&mut self, orders: &mut Orders) -> Option<Entered> {
        self.get_well(orders).await?;
        self.attempt = attempt::name();
        let mut last_error = None;
        loop {
            if self.was_confirmed || last_error.is_some() {
                let delay = self.delay(last_error.as_ref());
                tokio::select! {
                    biased;
                    _ = &mut orders.resign => return None,
                    () = clock::sleep_until(clock::now().plus(delay)) => {}
                }
            }
            if self.limit().is_some_and(|limit| limit.has_passed(clock::now())) {
                return self.fail(last_error.unwrap_or_else(not_granted));
            }
            self.tried.get_or_insert_with(clock::now);
            let error = match self.try_once(orders).await? {
                Ok(entered) => return Some(entered),
                Err(error) => error,
            };
            if self.is_hopeless(&error) {
                return self.fail(error);
            }
            tracing::debug!(election = self.terms.election, %error, "couldn't enter, trying again");
            last_error = Some(error);
        }
    }

    /// Waits until the worker is well: before that it isn't a candidate. None: it is over.
    async fn get_well(&mut self, orders: &mut Orders) -> Option<()> {
        let mut last_detail = None;
        while !self.checks.is_well() {
            let limit = self.limit();
            let checked = tokio::select! {
                biased;
                _ = &mut orders.resign => return None,
                checked = self.checks.next() => checked,
                () = sleep_until_some(limit) => {
                    return self.fail(last_detail.map_or_else(not_granted, |detail| Error::Unhealthy { detail }));
                }
            };
            let Err(detail) = checked else { break };
            if self.terms.no_wait {
                return self.fail(Error::Unhealthy { detail });
            }
            if last_detail.is_none() {
                let election = &self.terms.election;
                tracing::info!(election, detail, "unhealthy: not entering until the check succeeds");
            }
            self.stand(Standing::Unhealthy);
            last_detail = Some(detail);
        }
        Some(())
    }

    /// How long to wait before the next try.
    fn delay(&mut self, last_error: Option<&Error>) -> Duration {
        // Each try at a service that has fallen back is a candidacy in its queue, if only for a
        // moment.
        if let Some(FallenBack { tenure, newest }) = self.connections.fallen_back_for(self.terms.ttl) {
            self.stand(Standing::Outdated { tenure, newest });
            return Backoff::of(self.terms.ttl.max(LOWER_TENURE_RETRY));
        }
        match last_error {
            Some(error) => self.backoff.after(error),
            None => self.backoff.delay(),
        }
    }

    /// One try. None: the worker doesn't want it any more, or its time is over; what was sent is
    /// resigned.
    async fn try_once(&mut self, orders: &mut Orders) -> Option<Result<Entered, Error>> {
        let connections = Arc::clone(&self.connections);
        let election = self.terms.election.as_str();
        let ahead = async {
            // A leader needs this connection: a worker that couldn't keep the lead doesn't ask for
            // it.
            connections.keep_alives.open_ahead().await?;
            connections.ask_first(election).await
        };
        let ahead = tokio::select! {
            biased;
            _ = &mut orders.resign => return None,
            ahead = ahead => ahead,
            () = sleep_until_some(self.limit()) => return self.fail(not_granted()),
        };
        if let Err(error) = ahead {
            return Some(Err(error));
        }
        let sent = clock::now();
        let mut opening = Box::pin(campaign_stream::open(&connections, self.request()));
        let resignation = tokio::select! {
            biased;
            resignation = &mut orders.resign => resignation.ok(),
            result = &mut opening => return Some(result.and_then(|Begun { stream, first }| {
                Ok(Entered { protocol: self.confirmed(sent, first)?, sent, stream })
            })),
            () = sleep_until_some(self.limit()) => self.fail(not_granted()),
        };
        // The service may be about to confirm a candidacy: only its ticket can end it before its
        // ttl does.
        if let Ok(Begun { first: CampaignResponse { version, event: Some(Event::Enrolled(enrolled)), .. }, .. }) =
            opening.await
        {
            resign::resign(&self.connections, &Ticket::new(enrolled.ticket, version), resignation).await;
        }
        None
    }

    /// The first answer to a Campaign: a candidacy, or why there is none.
    fn confirmed(&mut self, sent: Moment, first: CampaignResponse) -> Result<Protocol, Error> {
        let CampaignResponse { tenure, version, event } = first;
        match event {
            Some(Event::Enrolled(enrolled)) => {
                self.was_confirmed = true;
                let (confirmed, ttl) = (Confirmed { tenure, version, enrolled }, self.terms.ttl);
                Ok(self.shared.update(|state, now| Protocol::new(state, now, confirmed, sent, ttl)))
            }
            Some(Event::Ended(ended)) => {
                Err(Lost::Ended { reason: ended.reason().into(), detail: ended.detail }.into())
            }
            _ => Err(Error::Unreachable { detail: "the stream didn't begin with Enrolled or Ended".to_owned() }),
        }
    }

    /// What to ask for. A candidacy that is entered again, long after the process has started,
    /// doesn't replace others: a successor of the same name may have come meanwhile.
    fn request(&self) -> CampaignRequest {
        let terms = &self.terms;
        let max_wait = terms.max_wait.map(|max_wait| max_wait.saturating_sub(clock::now().since(self.started)));
        let max_wait = max_wait.map(whole_millis);
        let some = |duration: Duration| prost_types::Duration::try_from(duration).ok();
        CampaignRequest {
            election: terms.election.clone(),
            candidate: terms.candidate.clone(),
            ttl: some(terms.ttl),
            value: terms.value.clone(),
            no_wait: terms.no_wait || max_wait == Some(Duration::ZERO),
            max_wait: max_wait.and_then(some),
            replace_former: terms.replace_former && !self.was_confirmed,
            ticket: Vec::new(),
            want_task_token: true,
            attempt: self.attempt.clone(),
            hold: terms.hold.and_then(some),
        }
    }

    /// When this side gives up a try.
    pub(super) fn limit(&self) -> Option<Moment> {
        self.terms.max_wait.map(|max_wait| self.started.plus(max_wait).plus(MAX_WAIT_GRACE))
    }

    /// Whether it makes no sense to try again. Once the election was entered, that is so only if
    /// the service will always refuse.
    fn is_hopeless(&self, error: &Error) -> bool {
        if self.was_confirmed {
            return !error.is_temporary();
        }
        let is_full = matches!(error, Error::Refused { kind: RefusalKind::ResourceExhausted, .. });
        !error.is_temporary()
            || is_full
            || self.tried.is_some_and(|tried| clock::now().since(tried) >= self.terms.patience)
    }

    /// It couldn't be entered, and is over.
    fn fail<T>(&self, error: Error) -> Option<T> {
        self.shared.update(|state, now| state.fail(now, error));
        None
    }

    fn stand(&self, standing: Standing) {
        self.shared.update(|state, now| state.stand(now, standing));
    }
}

/// What is left of a time is seldom whole milliseconds, and the service takes no others. It is
/// rounded up, so that only nothing becomes nothing.
fn whole_millis(time: Duration) -> Duration {
    let part = u64::from(time.subsec_nanos() % 1_000_000);
    if part == 0 { time } else { time.saturating_add(Duration::from_nanos(1_000_000 - part)) }
}

pub(super) fn not_granted() -> Error {
    Error::NotGranted { detail: "it wasn't granted within max_wait".to_owned() }
}

/// Never returns without a moment.
pub(super) async fn sleep_until_some(moment: Option<Moment>) {
    match moment {
        Some(moment) => clock::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_asked_for_in_whole_milliseconds() {
        let nanos = Duration::from_nanos;
        assert_eq!(whole_millis(Duration::ZERO), Duration::ZERO);
        assert_eq!(whole_millis(nanos(1)), Duration::from_millis(1));
        assert_eq!(whole_millis(nanos(1_999_000_001)), Duration::from_secs(2));
        assert_eq!(whole_millis(Duration::from_millis(1234)), Duration::from_millis(1234));
        assert_eq!(whole_millis(Duration::MAX), Duration::MAX);
    }
}
