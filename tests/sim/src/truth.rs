//! What is so, as far as it follows from what the cores were told and said, and from what is
//! stored: the checks look things up here.

mod fact;
mod holds;
mod known;
mod past;
mod view;

use crate::clock::Clock;
pub(crate) use fact::Fact;
use holds::Holds;
use leasehold_core::{
    Attempt, CandidateName, Carried, ChangeNumber, ElectionName, EndReason, Enrolment, FencingToken, Input, Millis,
    Record, StreamId, Tenure, Ticket, Time, WriteId,
};
use past::Past;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

/// A candidacy that a core knows.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) election: ElectionName,
    pub(crate) name: CandidateName,
    pub(crate) place: Enrolment,
    pub(crate) leased: bool,
    pub(crate) token: Option<FencingToken>,
    pub(crate) draining: bool,
    pub(crate) stream: Option<StreamId>,
    /// What names the entry that made it.
    pub(crate) attempt: Option<Attempt>,
}

/// What a tenure knew when it ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Former {
    pub(crate) tenure: Tenure,
    pub(crate) candidacies: BTreeMap<Enrolment, Known>,
    /// It ended in good order after its wait.
    pub(crate) orderly: bool,
}

/// A write that a core has asked for.
#[derive(Clone, Debug)]
struct Sent {
    /// The moment before, by its clock.
    at: Time,
    record: Record,
    /// What its mirror knew then.
    mirror: Reached,
}

/// How far a mirror has come: the tenure, and the number of the last change, if it has missed none.
type Reached = Option<(Tenure, ChangeNumber)>;

/// One replica: what its process was told and said. Times are by its own clock.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// Whether there is a Lease.
    pub(crate) with_lease: bool,
    pub(crate) clock: Clock,
    /// Its local time.
    pub(crate) now: Time,
    pub(crate) tenure: Option<Tenure>,
    pub(crate) began: Time,
    pub(crate) settled: bool,
    /// What the tenure replaced.
    pub(crate) found: Option<Record>,
    /// What was replaced isn't what the last tenure wrote.
    pub(crate) outdated: bool,
    /// The tenure that it replaced, as it was when it ended.
    pub(crate) former: Former,
    /// Its last tenure ended because a ticket showed higher numbers.
    behind: bool,
    /// It must know all that the former one knew, and delay nobody.
    pub(crate) handed_over: bool,
    /// The moment before the last confirmed write of this tenure was sent, and what it is good for.
    pub(crate) right_until: Time,
    sent: BTreeMap<WriteId, Sent>,
    /// With a file: what this process wrote to claim a tenure that hasn't begun: if it finds that,
    /// what it had found before still counts.
    claim: Option<Record>,
    /// How far its mirror has come, and what is in it.
    mirror: Reached,
    mirrored: BTreeMap<Enrolment, Carried>,
    pub(crate) candidacies: BTreeMap<Enrolment, Known>,
    pub(crate) leaders: BTreeMap<ElectionName, FencingToken>,
    pub(crate) ended: BTreeMap<Enrolment, EndReason>,
    /// Told that they are over when they were opened again or proclaimed: that is final.
    pub(crate) refused: BTreeSet<Enrolment>,
    /// Whose leader's ticket was refused, and the tenure of the latest one: the waiters' tickets up
    /// to that tenure are older.
    pub(crate) led_later: BTreeMap<Enrolment, Tenure>,
    pub(crate) owners: BTreeMap<FencingToken, Enrolment>,
    /// What is being handled.
    pub(crate) input: Option<Input>,
    /// The tenure for which it was forwarded.
    pub(crate) forwarded: Option<Tenure>,
    /// A leader was replaced by the candidate that enters.
    pub(crate) heir: bool,
    /// The place that the candidate takes over that enters.
    inherits: Option<Enrolment>,
    newcomer: Option<Enrolment>,
}

/// All replicas. Derefs to the one that the fact at hand is about.
#[derive(Debug)]
pub(crate) struct Truth {
    pub(crate) views: Vec<View>,
    /// Whom the fact at hand is about.
    pub(crate) at: usize,
    /// Which elections are on hold.
    pub(crate) holds: Holds,
    now_for_all: Time,
    past: Past,
}

impl Deref for Truth {
    type Target = View;
    fn deref(&self) -> &View {
        &self.views[self.at]
    }
}

impl Truth {
    pub(crate) fn new(replicas: usize, with_lease: bool) -> Self {
        let views = (0..replicas).map(|_| View { with_lease, ..View::default() }).collect();
        Self { views, at: 0, holds: Holds::default(), now_for_all: Time(0), past: Past::default() }
    }

    /// The fact at hand is about this replica.
    pub(crate) fn look_at(&mut self, now: Time, at: usize) {
        (self.at, self.now_for_all) = (at, now);
        self.views[at].now = self.views[at].clock.read(now);
    }

    /// Another replica that has a tenure and may still act on it.
    pub(crate) fn rival(&self, now: Time) -> Option<(usize, Tenure, Time)> {
        let others = self.views.iter().enumerate().filter(|(at, _)| *at != self.at);
        let mut active = others.filter_map(|(at, view)| Some((at, view.tenure?, view.clock.when(view.right_until))));
        active.find(|(_, _, until)| *until > now)
    }

    /// The newest tenure that has written into the Lease.
    pub(crate) fn last_written(&self) -> Option<Tenure> {
        self.past.newest()
    }

    /// Whether the claim of this tenure is stored, or was.
    pub(crate) fn is_claimed(&self, tenure: Tenure) -> bool {
        !self.with_lease || self.past.basis(tenure).is_some()
    }

    /// Before the checks look: what a tenure that begins comes after.
    pub(crate) fn tenure_begins(&mut self, tenure: Tenure) {
        let behind = std::mem::take(&mut self.views[self.at].behind);
        let view = &self.views[self.at];
        let (found, outdated, mut handed_over) = if self.with_lease {
            let basis = self.past.basis(tenure).cloned().unwrap_or_default();
            let complete = basis.found.as_ref().is_some_and(|record| view.knew_the_end_of(tenure, record));
            (basis.found, basis.outdated, complete)
        } else {
            let complete = view.found.as_ref().is_some_and(|record| record.handover.is_some());
            (view.found.clone(), view.outdated, complete)
        };
        let former = found.as_ref().map(|record| self.former(record.tenure)).unwrap_or_default();
        // It doesn't trust what it has found then.
        let outdated = outdated || behind;
        handed_over &= !outdated && former.orderly;
        let view = &mut self.views[self.at];
        (view.found, view.outdated, view.former, view.handed_over) = (found, outdated, former, handed_over);
    }

    /// A tenure that is over, or whose right is, though its process hasn't noticed.
    fn former(&self, tenure: Tenure) -> Former {
        let unaware = self.views.iter().find(|view| view.tenure == Some(tenure));
        unaware
            .map(|view| view.as_former(tenure, false))
            .or_else(|| self.past.former(tenure).cloned())
            .unwrap_or_default()
    }

    pub(crate) fn note(&mut self, fact: &Fact<'_>) {
        let with_lease = self.with_lease;
        let view = &mut self.views[self.at];
        if let Some(former) = view.note(fact) {
            self.past.remember(former);
        }
        self.holds.note(self.now_for_all, view, fact);
        match fact {
            Fact::Stored { by_fault, .. } => self.past.tampered = *by_fault,
            Fact::Fell => self.past = Past::default(),
            Fact::Read => self.past.read_tampered = self.past.tampered,
            Fact::Told(Input::Found { found, .. }) if !with_lease => view.found_file(found, self.past.read_tampered),
            Fact::Applied { record: Some(record), replaced, me, .. } => self.past.applied(record, *replaced, me),
            _ => {}
        }
        // A token names the same candidacy in every replica.
        if let Fact::Said(leasehold_core::Output::Changed(change)) = fact
            && let Some(leader) = &change.leader
            && let Some(owner) = self.owners.get(&leader.token).copied()
        {
            self.views.iter_mut().for_each(|view| _ = view.owners.insert(leader.token, owner));
        }
    }
}

impl View {
    /// What the tenure knows, for the next one.
    fn as_former(&self, tenure: Tenure, orderly: bool) -> Former {
        Former { tenure, candidacies: self.candidacies.clone(), orderly: orderly && self.settled }
    }

    /// Whether its mirror knew everything that the tenure of this record knew, when it claimed the
    /// next one.
    fn knew_the_end_of(&self, claimed: Tenure, record: &Record) -> bool {
        let claim = self.sent.values().find(|sent| sent.record.tenure == claimed);
        let mirror = claim.and_then(|sent| sent.mirror);
        record.ended_at.is_some() && record.last_change.is_some_and(|last| mirror == Some((record.tenure, last)))
    }

    /// Whether the worker of this waiter's ticket led by a later one, and was told that it is over.
    pub(crate) fn was_refused(&self, ticket: &Ticket) -> bool {
        let refused = self.led_later.get(&ticket.enrolment);
        ticket.token.is_none() && refused.is_some_and(|refused| ticket.tenure <= *refused)
    }

    /// How much of its tenure has passed.
    pub(crate) fn age(&self) -> Millis {
        self.now.since(self.began)
    }
}
