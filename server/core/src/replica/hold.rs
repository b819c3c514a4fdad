//! The active replica: a tenure with its elections, its right, and its mirrors.

use super::desk::Write;
use super::right::Right;
use super::sent::SentClaim;
use super::shared::{News, Next, NextRole, Shared, Since};
use crate::elections::{Elections, Turn};
use crate::must::Must;
use crate::tenure::{ActiveTenure, Pending};
use crate::{Outcome, Output, Over, Record, RecordParts, Reject, Revision, StreamId, Tenure, TenureEnd, Ticket, Time};
use std::sync::Arc;

/// A replica that is active.
#[derive(Debug)]
pub(super) struct Holding {
    tenure: ActiveTenure,
    right: Right,
    elections: Elections,
    /// Streams that were closed while the right had lapsed.
    closed: Vec<StreamId>,
    /// So many standbys mirror this replica.
    mirrors: usize,
}

impl Holding {
    /// The claim is stored.
    pub(super) fn new(shared: &mut Shared, sent: SentClaim, over: Over) -> Self {
        let mut claim = sent.claim;
        shared.desk.abandon();
        shared.sight.wrote(claim.tenure, claim.pending.renewed_at);
        let (handover, resumes_after) = (std::mem::take(&mut claim.handover), claim.resumes_after);
        let tenure = ActiveTenure::new(&claim);
        let right = Right::new(&shared.config, claim.pending, over);
        shared.out.push_back(Output::RightUntil(right.until()));
        shared.out.push_back(Output::TenureBegan {
            tenure: tenure.tenure,
            began: tenure.began,
            settles_in: tenure.settling(shared.now),
            resumes_after,
        });
        let elections = Elections::new(&shared.config);
        let mut holding = Self { tenure, right, elections, closed: Vec::new(), mirrors: 0 };
        if let Some((elections, mut turn)) = holding.turn(shared).ok().must() {
            elections.take_over(&mut turn, handover);
        }
        holding
    }

    pub(super) fn tenure(&self) -> Tenure {
        self.tenure.tenure
    }

    /// The elections and what they need, unless the right has lapsed.
    pub(super) fn turn<'a>(&'a mut self, shared: &'a mut Shared) -> Result<(&'a mut Elections, Turn<'a>), Reject> {
        if self.right.has_lapsed(shared.now) {
            return Err(Reject::NotActive);
        }
        let turn = Turn { now: shared.now, config: &shared.config, active: &mut self.tenure, out: &mut shared.out };
        Ok((&mut self.elections, turn))
    }

    pub(super) fn on(&mut self, shared: &mut Shared, news: News) -> Next {
        let end = match news {
            News::Written(Write::Renewal(pending), outcome) => self.renewed(shared, pending, outcome),
            News::Read => self.right.read(shared, &mut self.tenure),
            News::Shutdown => return self.release(shared),
            News::ReadFailed => {
                self.right.retry_soon(shared);
                None
            }
            News::Watched => {
                self.right.watched(shared, &self.tenure);
                None
            }
            News::Mirrored => None,
            News::Written(..) | News::Found(_) => {
                debug_assert!(false, "an active replica has only asked for renewals, and read the Lease: {news:?}");
                None
            }
        };
        end.map_or(Next::Stay, |why| self.end(shared, why))
    }

    pub(super) fn pass_time(&mut self, shared: &mut Shared) -> Next {
        if self.right.has_lapsed(shared.now) {
            // Nobody else can have the file, so the right may come back.
            if !shared.is_alone() {
                return self.end(shared, TenureEnd::RightEnded);
            }
        } else {
            let settles = self.tenure.settles_at.take_if(|at| *at <= shared.now).is_some();
            if let Some((elections, mut turn)) = self.turn(shared).ok().must() {
                elections.expire(&mut turn);
                if settles {
                    turn.out.push_back(Output::Settled);
                    elections.grant_all(&mut turn);
                }
            }
        }
        self.right.renew_if_due(shared, &self.tenure);
        Next::Stay
    }

    fn renewed(&mut self, shared: &mut Shared, pending: Pending, outcome: Outcome) -> Option<TenureEnd> {
        let had_lapsed = self.right.has_lapsed(shared.now);
        let end = self.right.renewed(shared, &mut self.tenure, pending, outcome);
        if end.is_none() && had_lapsed && !self.right.has_lapsed(shared.now) {
            self.go_on(shared);
        }
        end
    }

    /// The right had lapsed and is back. First ends whatever has run out meanwhile, and only then
    /// is anything granted: a stream that was closed may pass its lead on.
    fn go_on(&mut self, shared: &mut Shared) {
        let closed = std::mem::take(&mut self.closed);
        let next = self.pass_time(shared);
        debug_assert!(matches!(next, Next::Stay), "the right is back, and {next:?}");
        for stream in closed {
            self.stream_closed(shared, stream);
        }
    }

    /// After each input.
    pub(super) fn finish(&mut self, shared: &mut Shared) {
        self.right.renew_if_numbers_run_low(shared, &self.tenure);
        self.tell_mirrors(shared);
    }

    /// What ends with the stream ends when the right is back: somebody else may have to be granted
    /// then.
    pub(super) fn stream_closed(&mut self, shared: &mut Shared, stream: StreamId) {
        match self.turn(shared) {
            Ok((elections, mut turn)) => elections.stream_closed(&mut turn, stream),
            Err(_) => self.closed.push(stream),
        }
    }

    /// The highest number in these tickets that this tenure can't have handed out, nor any before
    /// it. Rule `above-tickets`.
    #[inline]
    pub(super) fn beyond(&self, shared: &Shared, tickets: &[Ticket]) -> Option<u64> {
        let (tenure, last) = (self.tenure.tenure, self.tenure.line.last());
        let beyond = |ticket: &&Ticket| {
            let limit = if ticket.issued == tenure { last } else { tenure.0 - 1 };
            ticket.highest() > limit
        };
        let highest = tickets.iter().filter(beyond).map(Ticket::highest).max();
        highest.filter(|_| !self.right.has_lapsed(shared.now))
    }

    /// A ticket has shown such a number. So the record was lost, or an older one was put back, and
    /// this tenure began too low: workers that have seen higher numbers don't listen to it, and
    /// resources refuse its tokens. The next tenure begins above all that can have been handed out.
    /// Only this service's keys can seal a ticket.
    pub(super) fn step_above(&mut self, shared: &mut Shared, number: u64) -> Next {
        shared.known.step_above(number, shared.now);
        self.end(shared, TenureEnd::Behind)
    }

    /// A standby wants to mirror this replica. The others are told all news first, so that a batch
    /// goes on where each of them is.
    pub(super) fn open_mirror(&mut self, shared: &mut Shared) {
        self.tell_mirrors(shared);
        self.mirrors += 1;
        let snapshot = self.elections.snapshot(&self.tenure);
        shared.out.push_back(Output::MirrorSnapshot(Box::new(snapshot)));
    }

    pub(super) fn close_mirror(&mut self) {
        self.mirrors = self.mirrors.saturating_sub(1);
    }

    fn tell_mirrors(&mut self, shared: &mut Shared) {
        if !self.elections.has_news() {
            return;
        }
        if self.mirrors > 0 {
            let batch = self.elections.take_news(&self.tenure);
            shared.out.push_back(Output::MirrorChanged(Arc::new(batch)));
        } else {
            self.elections.forget_news();
        }
    }

    fn end(&self, shared: &mut Shared, why: TenureEnd) -> Next {
        shared.out.push_back(Output::TenureEnded { tenure: self.tenure.tenure, why });
        // What comes of a request that is under way is looked at like anything else.
        shared.desk.abandon();
        NextRole::StandBy(Since::TenureEnded).into()
    }

    /// Stops serving. Mirrors are told everything before the release says how far that was.
    /// Rule `stop-first`.
    fn release(&mut self, shared: &mut Shared) -> Next {
        self.tell_mirrors(shared);
        let last_revision = self.last_revision(shared);
        let (last, over) = self.right.last_write(shared, &self.tenure);
        let (now, has_settled) = (shared.now, self.tenure.settles_at.is_none());
        // Rule `wait-cut-short`.
        // What a tenure inside its wait knows isn't all there is, so the next one has to wait as
        // well. A file hands everything over, a Lease names the last change for mirrors.
        let handover = (has_settled && shared.is_alone()).then(|| self.elections.hand_over(&self.tenure, now));
        let last_change = (has_settled && !shared.is_alone()).then(|| self.elections.last_change());
        let ended_at = Some(now.since(self.tenure.began));
        let parts = self.tenure.parts(&shared.config, last);
        let (tenure, why) = (self.tenure.tenure, TenureEnd::Shutdown);
        shared.out.push_back(Output::TenureEnded { tenure, why });
        let last = RecordParts { ended_at, last_change, handover, last_revision, ..parts };
        NextRole::Release(Box::new(Record::made(last)), over).into()
    }

    /// The last change that observers are told of. Leaders that live as long as their streams end
    /// with the tenure, and the next one doesn't know of them. Unless observers are told, they go
    /// on showing these leaders when they resume there.
    fn last_revision(&mut self, shared: &mut Shared) -> Option<Revision> {
        let (elections, mut turn) = self.turn(shared).ok()?;
        if turn.active.settles_at.is_some() {
            return None;
        }
        let told = elections.vacate_stream_bound(&mut turn);
        told.then(|| elections.last_revision().unwrap_or(Revision(turn.active.tenure.0)))
    }

    pub(super) fn next_deadline(&self, shared: &Shared) -> Option<Time> {
        let renewal = self.right.next_deadline(shared);
        // While the right has lapsed nobody's time runs out.
        if self.right.has_lapsed(shared.now) {
            return renewal;
        }
        let end = (!shared.is_alone()).then_some(self.right.until());
        [renewal, end, self.tenure.settles_at, self.elections.next_deadline()].into_iter().flatten().min()
    }

    pub(super) fn check(&self, shared: &Shared) {
        let lapsed = self.right.has_lapsed(shared.now);
        assert!(self.tenure.line.last() >= self.tenure.tenure.0);
        assert!(!lapsed || shared.is_alone(), "active past its right");
        assert!(lapsed || self.closed.is_empty(), "closed streams are forgotten");
        assert!(!self.elections.has_news(), "mirrors weren't told");
        self.elections.check(&self.tenure, shared.now, lapsed);
    }
}
