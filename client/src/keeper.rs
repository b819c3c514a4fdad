//! The keeper: the background task of one candidacy, from entering the election to the last word about it.

use crate::attempt;
use crate::backoff::Backoff;
use crate::beat::{Beat, Tick};
use crate::campaign::Terms;
use crate::clock::{self, Moment};
use crate::events::{self, Events, Stream};
use crate::farewell;
use crate::health::Pulse;
use crate::hold::{Hold, Proclamation, Resignation};
use crate::kept::{Kept, Next};
use crate::proto::campaign_response::Event;
use crate::proto::{CampaignRequest, CampaignResponse, ProclaimRequest, ProclaimResponse};
use crate::tenure::Below;
use crate::ticket::Ticket;
use crate::view::{Shared, View};
use crate::wire::{CALL_TIMEOUT, Wires};
use crate::{Error, Lost, Standing};
use futures::future::{BoxFuture, OptionFuture};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Proclamations that wait for the one in flight.
const PROCLAIM_QUEUE: usize = 16;
/// The first delay before an election is entered again.
const FIRST_RETRY: Duration = Duration::from_millis(100);
/// The longest one.
const LONGEST_RETRY: Duration = Duration::from_secs(5);
/// The service itself ends a try that took too long. This side waits so much longer for that word.
const MAX_WAIT_GRACE: Duration = Duration::from_millis(500);

/// Starts the keeper of a candidacy. It ends when the candidacy is over, after the hold is gone.
pub(crate) fn spawn(wires: Arc<Wires>, terms: Terms) -> Hold {
    let shared = Shared::new();
    let (proclaims, to_proclaim) = mpsc::channel(PROCLAIM_QUEUE);
    let (resign, to_resign) = oneshot::channel();
    let (election, candidate) = (terms.election.clone(), terms.candidate.clone());
    let started = clock::now();
    let backoff = Backoff::new(FIRST_RETRY, LONGEST_RETRY, wires.endpoints());
    let pulse = Pulse::new(terms.health.clone());
    let keeper = Keeper {
        wires,
        terms,
        shared: shared.clone(),
        started,
        tried: None,
        entered: false,
        attempt: String::new(),
        backoff,
        pulse,
    };
    tokio::spawn(keeper.run(Orders { proclaims: to_proclaim, resign: to_resign }));
    Hold { election, candidate, shared, proclaims, resign: Some(resign) }
}

/// What the holder of the candidacy wants.
struct Orders {
    proclaims: mpsc::Receiver<Proclamation>,
    resign: oneshot::Receiver<Resignation>,
}

struct Keeper {
    wires: Arc<Wires>,
    terms: Terms,
    shared: Shared,
    started: Moment,
    /// When the service was first asked.
    tried: Option<Moment>,
    /// Whether the service has confirmed a candidacy of this campaign before.
    entered: bool,
    /// The name of the entry that is under way. A try that is repeated finds the candidacy that an
    /// earlier one has made, if its answer was lost.
    attempt: String,
    backoff: Backoff,
    pulse: Pulse,
}

/// The answer to a proclamation in flight.
type Proclaiming = OptionFuture<BoxFuture<'static, Result<ProclaimResponse, Error>>>;

impl Keeper {
    async fn run(mut self, mut orders: Orders) {
        while let Some((kept, sent, stream)) = self.enter(&mut orders).await {
            if !self.keep(&mut orders, kept, sent, stream).await {
                return;
            }
        }
    }

    /// Enters the election, in as many tries as it takes. None: it is over.
    async fn enter(&mut self, orders: &mut Orders) -> Option<(Kept, Moment, Stream)> {
        self.get_well(orders).await?;
        self.attempt = attempt::name();
        let mut last_error = None;
        loop {
            if self.entered || last_error.is_some() {
                let delay = self.delay(last_error.as_ref());
                tokio::select! {
                    biased;
                    _ = &mut orders.resign => return None,
                    () = clock::sleep_until(clock::now().plus(delay)) => {}
                }
            }
            if self.limit().is_some_and(Moment::has_passed) {
                self.shared.fail(last_error.unwrap_or_else(not_granted));
                return None;
            }
            self.tried.get_or_insert_with(clock::now);
            let error = match self.try_once(orders).await? {
                Ok(entered) => return Some(entered),
                Err(error) => error,
            };
            if self.is_hopeless(&error) {
                self.shared.fail(error);
                return None;
            }
            tracing::debug!(election = self.terms.election, %error, "couldn't enter, trying again");
            last_error = Some(error);
        }
    }

    /// Waits until the worker is well: before that it isn't a candidate. None: it is over.
    async fn get_well(&mut self, orders: &mut Orders) -> Option<()> {
        let mut last_detail = None;
        while !self.pulse.is_well() {
            let limit = self.limit();
            let checked = tokio::select! {
                biased;
                _ = &mut orders.resign => return None,
                checked = self.pulse.next() => checked,
                () = sleep_until_some(limit) => {
                    self.shared.fail(last_detail.map_or_else(not_granted, |detail| Error::Unhealthy { detail }));
                    return None;
                }
            };
            let Err(detail) = checked else { break };
            if self.terms.no_wait {
                self.shared.fail(Error::Unhealthy { detail });
                return None;
            }
            if last_detail.is_none() {
                tracing::info!(
                    election = self.terms.election,
                    detail,
                    "unhealthy: not entering until the check succeeds"
                );
            }
            self.shared.stand(Standing::Unhealthy);
            last_detail = Some(detail);
        }
        Some(())
    }

    /// How long to wait before the next try.
    fn delay(&mut self, last_error: Option<&Error>) -> Duration {
        // A service that has fallen back: each try is a candidacy in its queue, if only for a
        // moment.
        let below = self.wires.below_for(self.terms.ttl);
        if let Some(Below { tenure, newest }) = below {
            self.shared.stand(Standing::Outdated { tenure, newest });
            return Backoff::of(self.terms.ttl.max(LONGEST_RETRY));
        }
        match last_error {
            Some(error) => self.backoff.after(error),
            None => self.backoff.delay(),
        }
    }

    /// One try. None: the worker doesn't want it any more, or its time is over; what was sent is resigned.
    async fn try_once(&mut self, orders: &mut Orders) -> Option<Result<(Kept, Moment, Stream), Error>> {
        let wires = Arc::clone(&self.wires);
        let election = self.terms.election.as_str();
        let ahead = async {
            // Whoever leads needs it: nobody becomes a candidate who couldn't keep what it gets.
            wires.keeper.open_ahead().await?;
            wires.ask_first(election).await
        };
        let ahead = tokio::select! {
            biased;
            _ = &mut orders.resign => return None,
            ahead = ahead => ahead,
            () = sleep_until_some(self.limit()) => {
                self.shared.fail(not_granted());
                return None;
            }
        };
        if let Err(error) = ahead {
            return Some(Err(error));
        }
        let sent = clock::now();
        let mut opening = Box::pin(events::open(&wires, self.request()));
        let resignation = tokio::select! {
            biased;
            resignation = &mut orders.resign => resignation.ok(),
            result = &mut opening => return Some(result.and_then(|(stream, first)| {
                Ok((self.entered(sent, first)?, sent, stream))
            })),
            () = sleep_until_some(self.limit()) => {
                self.shared.fail(not_granted());
                None
            }
        };
        // The service may be about to confirm a candidacy: only its ticket can end it before its ttl does.
        if let Ok((_, CampaignResponse { version, event: Some(Event::Enrolled(enrolled)), .. })) = opening.await {
            farewell::resign(&self.wires, &Ticket::new(enrolled.ticket, version), resignation).await;
        }
        None
    }

    /// The first answer to a Campaign: a candidacy, or why there is none.
    fn entered(&mut self, sent: Moment, mut first: CampaignResponse) -> Result<Kept, Error> {
        match first.event.take() {
            Some(Event::Enrolled(enrolled)) => {
                self.entered = true;
                Ok(Kept::new(self.shared.clone(), &first, enrolled, sent, self.terms.ttl))
            }
            Some(Event::Ended(ended)) => Err(Lost::Ended { reason: ended.reason(), detail: ended.detail }.into()),
            _ => Err(Error::Unreachable { detail: "the stream didn't begin with Enrolled or Ended".to_owned() }),
        }
    }

    /// What to ask for. A candidacy that is entered again, long after the process has started, doesn't replace others: a
    /// successor of the same name may have come meanwhile.
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
            replace_former: terms.replace_former && !self.entered,
            ticket: Vec::new(),
            want_task_token: true,
            attempt: self.attempt.clone(),
            hold: terms.hold.and_then(some),
        }
    }

    /// When this side gives up a try.
    fn limit(&self) -> Option<Moment> {
        self.terms.max_wait.map(|max_wait| self.started.plus(max_wait).plus(MAX_WAIT_GRACE))
    }

    /// Whether it makes no sense to try again. Once it was entered, it only makes none when the service will always refuse.
    fn is_hopeless(&self, error: &Error) -> bool {
        if self.entered {
            return !error.is_temporary();
        }
        let reached_limit = matches!(error, Error::Refused { code: tonic::Code::ResourceExhausted, .. });
        !error.is_temporary()
            || reached_limit
            || self.tried.is_some_and(|tried| clock::now().since(tried) >= self.terms.patience)
    }

    /// Keeps a candidacy until it is over. True: enter again.
    async fn keep(&mut self, orders: &mut Orders, mut kept: Kept, sent: Moment, stream: Stream) -> bool {
        let mut beat = Beat::new(Arc::clone(&self.wires), sent, kept.ttl);
        let mut events = Events::new(Arc::clone(&self.wires), sent, stream);
        let mut proclaiming = Proclaiming::default();
        let mut asker = None;
        let mut limit = self.limit();
        let mut led = false;
        let next = loop {
            let next = tokio::select! {
                biased;
                resignation = &mut orders.resign => {
                    drop((beat, events, proclaiming));
                    farewell::resign(&self.wires, &kept.ticket, resignation.ok()).await;
                    return false;
                }
                tick = beat.tick() => self.on_tick(tick, &mut beat, &mut kept),
                heard = events.next(&kept.ticket) => match heard {
                    Ok(response) => kept.on_event(response),
                    Err(error) => {
                        tracing::debug!(election = self.terms.election, %error, "the stream broke, opening it again");
                        Next::Go
                    }
                },
                Some(answer) = &mut proclaiming, if asker.is_some() => {
                    let result = answer.map(|answer| kept.on_proclaimed(answer));
                    // If it failed, the next KeepAlive tells how it stands.
                    let next = if result.is_ok() { Next::Go } else { Next::Hurry };
                    asker.take().map(|asker: oneshot::Sender<_>| asker.send(result));
                    next
                }
                Some(proclamation) = orders.proclaims.recv(), if asker.is_none() => {
                    proclaiming = Some(self.proclaim(proclamation.value, &kept.ticket)).into();
                    asker = Some(proclamation.done);
                    Next::Go
                }
                detail = self.pulse.sick() => self.on_sick(detail),
                () = sleep_until_some(limit) => {
                    limit = None;
                    if self.shared.give_up(not_granted()) { Next::Leave } else { Next::Go }
                }
            };
            match next {
                Next::Hurry => beat.hurry(),
                Next::Go => {}
                Next::Restart | Next::StepBack | Next::Disown | Next::Over | Next::Leave => break next,
            }
            if self.has_fallen_back(kept.ttl) {
                break Next::Disown;
            }
            if self.shared.look(View::is_over) {
                break Next::Go;
            }
            if !led && self.shared.look(View::leads) {
                // The work begins now: give it an interval before it is asked how it is.
                led = true;
                self.pulse.rest();
            }
        };
        drop((beat, events, proclaiming));
        if clock::now().since(sent) >= kept.ttl {
            self.backoff.reset();
        }
        self.close(orders, next, &kept.ticket).await
    }

    /// The candidacy isn't kept any more. True: enter again.
    async fn close(&self, orders: &mut Orders, next: Next, ticket: &Ticket) -> bool {
        if next == Next::Restart {
            tracing::info!(election = self.terms.election, "an outage ended the candidacy, entering again");
            return true;
        }
        match next {
            Next::Over | Next::Restart => {}
            Next::StepBack => {
                farewell::resign(&self.wires, ticket, None).await;
                return true;
            }
            Next::Disown => {
                farewell::disown(&self.wires, ticket).await;
                return true;
            }
            Next::Leave => farewell::resign(&self.wires, ticket, None).await,
            // The deadline has passed, or it is unhealthy: the worker has to stop. Not before it lets go of the guard is the way free for others:
            // it may still be stopping, and the service waits a little longer than the deadline for just that.
            Next::Go | Next::Hurry => {
                let resignation = (&mut orders.resign).await.ok();
                farewell::resign(&self.wires, ticket, resignation).await;
            }
        }
        false
    }

    /// Whether the service has answered from below for so long that nothing is left of what it
    /// accepted before. Who only waits isn't a candidate any more from now on; a leader has lost
    /// the lead at its deadline.
    fn has_fallen_back(&self, ttl: Duration) -> bool {
        let Some(Below { tenure, newest }) = self.wires.below_for(ttl) else { return false };
        if self.shared.look(|view| view.delivered || view.is_over() || view.leads()) {
            return false;
        }
        tracing::warn!(
            election = self.terms.election,
            tenure,
            newest,
            "the service has fallen back to a lower tenure: not a candidate until it has come up"
        );
        self.shared.end_or_restart(Lost::Deadline, Standing::Outdated { tenure, newest })
    }

    /// A leader loses the lead: from now on its ticket is only used to resign, once the worker has let go of the guard. Who only waits
    /// leaves the queue.
    fn on_sick(&self, detail: String) -> Next {
        tracing::warn!(election = self.terms.election, detail, "unhealthy");
        if self.shared.end_or_restart(Lost::Unhealthy { detail }, Standing::Unhealthy) {
            Next::StepBack
        } else {
            Next::Go
        }
    }

    fn on_tick(&self, tick: Tick, beat: &mut Beat, kept: &mut Kept) -> Next {
        let answer = match tick {
            Tick::Due => {
                // Not for a leadership whose deadline has passed: it would only keep others waiting.
                self.shared.check_deadline();
                if !self.shared.look(View::is_over) {
                    beat.send(&kept.ticket);
                }
                return Next::Go;
            }
            Tick::Answered(answer) => answer,
        };
        let Err(error) = &answer.result else { return kept.on_answer(answer) };
        tracing::debug!(election = self.terms.election, %error, "a KeepAlive failed");
        // A service that will never accept it, and nothing is left of what it accepted before.
        let gone = self.shared.look(|view| view.deadline.has_passed());
        if gone && !error.is_temporary() && self.shared.give_up(error.clone()) { Next::Over } else { Next::Go }
    }

    fn proclaim(&self, value: String, ticket: &Ticket) -> BoxFuture<'static, Result<ProclaimResponse, Error>> {
        let request = ProclaimRequest { ticket: ticket.bytes().to_vec(), value };
        let wires = Arc::clone(&self.wires);
        Box::pin(async move {
            wires.calls.call("Proclaim", CALL_TIMEOUT, |mut client| async move { client.proclaim(request).await }).await
        })
    }
}

/// What is left of a time is seldom whole milliseconds, and the service takes no others. Rounded
/// up: nothing left is nothing.
fn whole_millis(time: Duration) -> Duration {
    let part = u64::from(time.subsec_nanos() % 1_000_000);
    if part == 0 { time } else { time.saturating_add(Duration::from_nanos(1_000_000 - part)) }
}

fn not_granted() -> Error {
    Error::NotGranted { detail: "it wasn't granted within max_wait".to_owned() }
}

async fn sleep_until_some(moment: Option<Moment>) {
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
