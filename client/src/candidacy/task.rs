//! The task of one campaign in the background: from entering the election to the last word about
//! it.

use super::campaign_stream::CampaignStream;
use super::entering::{Entered, Entering, not_granted, sleep_until_some};
use super::handle::{Handle, Orders};
use super::keep_alive::{KeepAlives, Tick};
use super::protocol::{Next, Protocol};
use super::resign;
use super::shared::Shared;
use super::standing::Standing;
use super::state::State;
use super::terms::Terms;
use super::ticket::Ticket;
use crate::clock;
use crate::error::Error;
use crate::lost::Lost;
use crate::proto::{ProclaimRequest, ProclaimResponse};
use crate::transport::{CALL_TIMEOUT, Connections, FallenBack};
use futures::future::{BoxFuture, OptionFuture};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// Starts the task of a campaign. It ends when the candidacy is over and the handle is gone.
pub(super) fn spawn(connections: Arc<Connections>, terms: Terms) -> Handle {
    let shared = Shared::new();
    let (handle, orders) = Handle::new(terms.election.clone(), terms.candidate.clone(), shared.clone());
    let entering = Entering::new(Arc::clone(&connections), terms, shared.clone());
    tokio::spawn(Task { connections, shared, entering }.run(orders));
    handle
}

struct Task {
    connections: Arc<Connections>,
    shared: Shared,
    entering: Entering,
}

/// The answer to a proclamation in flight.
type Proclaiming = OptionFuture<BoxFuture<'static, Result<ProclaimResponse, Error>>>;

impl Task {
    async fn run(mut self, mut orders: Orders) {
        while let Some(entered) = self.entering.enter(&mut orders).await {
            if !self.keep(&mut orders, entered).await {
                return;
            }
        }
    }

    fn election(&self) -> &str {
        &self.entering.terms.election
    }

    /// Keeps a candidacy until it is over. True: enter again.
    async fn keep(&mut self, orders: &mut Orders, entered: Entered) -> bool {
        let Entered { mut protocol, sent, stream } = entered;
        let mut keep_alives = KeepAlives::new(Arc::clone(&self.connections), sent, protocol.ttl);
        let mut events = CampaignStream::new(Arc::clone(&self.connections), sent, stream);
        let mut proclaiming = Proclaiming::default();
        let mut asker = None;
        let mut limit = self.entering.limit();
        let mut led = false;
        let next = loop {
            let next = tokio::select! {
                biased;
                resignation = &mut orders.resign => {
                    drop((keep_alives, events, proclaiming));
                    resign::resign(&self.connections, &protocol.ticket, resignation.ok()).await;
                    return false;
                }
                tick = keep_alives.tick() => self.on_tick(tick, &mut keep_alives, &mut protocol),
                heard = events.next(&protocol.ticket) => match heard {
                    Ok(response) => self.shared.update(|state, now| protocol.on_event(state, now, response)),
                    Err(error) => {
                        tracing::debug!(election = self.election(), %error, "the stream broke, opening it again");
                        Next::Go
                    }
                },
                Some(answer) = &mut proclaiming, if asker.is_some() => {
                    let result = answer.map(|answer| protocol.on_proclaimed(answer));
                    // If it failed, the next KeepAlive tells how it stands.
                    let next = if result.is_ok() { Next::Go } else { Next::Hurry };
                    asker.take().map(|asker: oneshot::Sender<_>| asker.send(result));
                    next
                }
                Some(proclamation) = orders.proclaims.recv(), if asker.is_none() => {
                    proclaiming = Some(self.proclaim(proclamation.value, &protocol.ticket)).into();
                    asker = Some(proclamation.done);
                    Next::Go
                }
                detail = self.entering.checks.sick() => self.on_sick(detail),
                () = sleep_until_some(limit) => {
                    limit = None;
                    let is_over = self.shared.update(|state, now| state.give_up(now, not_granted()));
                    if is_over { Next::Leave } else { Next::Go }
                }
            };
            match next {
                Next::Hurry => keep_alives.hurry(),
                Next::Go => {}
                Next::Restart | Next::StepBack | Next::Disown | Next::Over | Next::Leave => break next,
            }
            if self.has_fallen_back(protocol.ttl) {
                break Next::Disown;
            }
            if self.shared.look(|state, _| state.is_over()) {
                break Next::Go;
            }
            if !led && self.shared.look(State::leads) {
                // The work begins now: it gets an interval before its first check.
                led = true;
                self.entering.checks.rest();
            }
        };
        drop((keep_alives, events, proclaiming));
        if clock::now().since(sent) >= protocol.ttl {
            self.entering.backoff.reset();
        }
        self.close(orders, next, &protocol.ticket).await
    }

    /// The candidacy isn't kept any more. True: enter again.
    async fn close(&self, orders: &mut Orders, next: Next, ticket: &Ticket) -> bool {
        match next {
            Next::Over => {}
            Next::Restart => {
                tracing::info!(election = self.election(), "an outage ended the candidacy, entering again");
            }
            Next::Disown => resign::disown(&self.connections, ticket).await,
            Next::StepBack | Next::Leave => resign::resign(&self.connections, ticket, None).await,
            // The deadline has passed, or the worker is unhealthy: it has to stop. The way becomes
            // free for others when it has let go of its guard, as it may still be stopping. The
            // service waits a little longer than the deadline for that.
            Next::Go | Next::Hurry => {
                let resignation = (&mut orders.resign).await.ok();
                resign::resign(&self.connections, ticket, resignation).await;
            }
        }
        matches!(next, Next::Restart | Next::Disown | Next::StepBack)
    }

    /// Whether the service has fallen back for so long that nothing is left of what it accepted
    /// before. A worker that only waits isn't a candidate any more then; a leader has lost the lead
    /// at its deadline.
    fn has_fallen_back(&self, ttl: Duration) -> bool {
        let Some(FallenBack { tenure, newest }) = self.connections.fallen_back_for(ttl) else { return false };
        if self.shared.look(|state, now| state.delivered || state.is_over() || state.leads(now)) {
            return false;
        }
        tracing::warn!(
            election = self.election(),
            tenure,
            newest,
            "the service has fallen back to a lower tenure: not a candidate until it has come up"
        );
        let standing = Standing::Outdated { tenure, newest };
        self.shared.update(|state, now| state.end_or_restart(now, Lost::Deadline, standing))
    }

    /// A leader loses the lead: from now on its ticket is only used to resign, once the worker has
    /// let go of the guard. A worker that only waits leaves the queue.
    fn on_sick(&self, detail: String) -> Next {
        tracing::warn!(election = self.election(), detail, "unhealthy");
        let lost = Lost::Unhealthy { detail };
        let steps_back = self.shared.update(|state, now| state.end_or_restart(now, lost, Standing::Unhealthy));
        if steps_back { Next::StepBack } else { Next::Go }
    }

    fn on_tick(&self, tick: Tick, keep_alives: &mut KeepAlives, protocol: &mut Protocol) -> Next {
        match tick {
            Tick::Due => {
                // A leadership whose deadline has passed gets none: it would only keep others
                // waiting.
                if !self.shared.update(State::check_deadline) {
                    keep_alives.send(&protocol.ticket);
                }
                Next::Go
            }
            Tick::Answered(Ok(answer)) => self.shared.update(|state, now| protocol.on_answer(state, now, answer)),
            Tick::Answered(Err(error)) => {
                tracing::debug!(election = self.election(), %error, "a KeepAlive failed");
                // The service will never accept it, and nothing is left of what it accepted before.
                let is_hopeless = !error.is_temporary()
                    && self.shared.update(|state, now| state.deadline.has_passed(now) && state.give_up(now, error));
                if is_hopeless { Next::Over } else { Next::Go }
            }
        }
    }

    fn proclaim(&self, value: String, ticket: &Ticket) -> BoxFuture<'static, Result<ProclaimResponse, Error>> {
        let request = ProclaimRequest { ticket: ticket.bytes().to_vec(), value };
        let connections = Arc::clone(&self.connections);
        Box::pin(async move {
            let call = connections
                .calls
                .call("Proclaim", CALL_TIMEOUT, |mut client| async move { client.proclaim(request).await });
            call.await
        })
    }
}
