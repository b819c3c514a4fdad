//! How the bench writes things down: numbers as `T2+3` (the third number of the second tenure),
//! times in seconds.

use leasehold_core::{
    Change, ChangeReason, EndReason, Event, Kept, Leader, Millis, Reject, Reply, StateVersion, Ticket,
};

/// The tenures in the order of their appearance, by which numbers are shown.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    all: Vec<u64>,
    /// The clock was set back: nothing is promised then of numbers that no record holds.
    pub(crate) may_go_back: bool,
    /// Whether versions are shown.
    pub(crate) show_versions: bool,
}

impl Numbers {
    pub(crate) fn learn(&mut self, tenure: u64) {
        if !self.all.contains(&tenure) {
            assert!(
                self.may_go_back || self.all.last().is_none_or(|last| *last < tenure),
                "tenure {tenure} after {:?}",
                self.all
            );
            self.all.push(tenure);
        }
    }

    pub(crate) fn show(&self, number: u64) -> String {
        let tenure =
            self.all.iter().enumerate().filter(|(_, start)| **start <= number).max_by_key(|(_, start)| **start);
        match tenure {
            None => number.to_string(),
            Some((index, start)) if *start == number => format!("T{}", index + 1),
            Some((index, start)) => format!("T{}+{}", index + 1, number - start),
        }
    }

    pub(crate) fn event(&self, event: &Event) -> String {
        match event {
            Event::Enrolled { enrolment, ticket } => {
                let place = ticket.as_ref().map(|ticket| ticket.place).filter(|place| place != enrolment);
                let place = place.map_or(String::new(), |place| format!(", place {}", self.show(place.0)));
                let bound = if ticket.is_some() { "" } else { ", stream-bound" };
                format!("enrolled {}{place}{bound}", self.show(enrolment.0))
            }
            Event::Waiting { ahead, settling, hold } => {
                let settling = match settling {
                    Millis(0) => String::new(),
                    settling => format!(", nothing is granted for {}", seconds(*settling)),
                };
                format!("waiting, {ahead} ahead{settling}{}", held(*hold))
            }
            Event::Elected(lead) => {
                let lease = lead.lease_left.map_or("stream-bound".to_owned(), |left| format!("{} left", seconds(left)));
                format!("elected {}, {lease}", self.show(lead.token.0))
            }
            Event::Draining { token, remaining } => {
                format!("draining {}, {} left", self.show(token.0), seconds(*remaining))
            }
            Event::Ended(reason) => format!("ended, {}", end(*reason)),
        }
    }

    pub(crate) fn change(&self, change: &Change) -> String {
        let reason = match change.reason {
            ChangeReason::Elected => "elected",
            ChangeReason::Proclaimed => "proclaimed",
            ChangeReason::Ended(reason) => end(reason),
            ChangeReason::Draining => "draining",
            ChangeReason::Restored => "restored",
            ChangeReason::Held => "on hold since before",
        };
        let leader = change.leader.as_ref().map_or("vacant".to_owned(), |leader| self.leader(leader));
        let held =
            change.held_until.map_or(String::new(), |until| format!(", held until {}", seconds(Millis(until.0))));
        format!("{} {}: {leader}, {reason}{held}", change.election, self.show(change.revision.0))
    }

    /// Which state of a candidacy a word is about, where that is shown.
    pub(crate) fn version(&self, version: StateVersion) -> String {
        if self.show_versions && version.0 > 0 { format!(" [{}]", self.show(version.0)) } else { String::new() }
    }

    fn leader(&self, leader: &Leader) -> String {
        let value = match leader.value.as_str().len() {
            0 => String::new(),
            1..=99 => format!(" {:?}", leader.value),
            bytes => format!(" (a value of {bytes} bytes)"),
        };
        format!("led by {}{value} with {}", leader.candidate, self.show(leader.token.0))
    }

    pub(crate) fn reply(&self, reply: &Result<Reply, Reject>) -> String {
        let reply = match reply {
            Err(reject) => return format!("refused: {reject}"),
            Ok(reply) => reply,
        };
        match reply {
            Reply::KeptAlive(kept) => kept.iter().map(|kept| self.kept(kept)).collect::<Vec<_>>().join("; "),
            Reply::Resigned { already_ended: true, .. } => "had ended already".to_owned(),
            Reply::Resigned { was_leading, .. } => {
                format!("resigned, was {}", if *was_leading { "leading" } else { "waiting" })
            }
            Reply::Proclaimed { revision, .. } => format!("proclaimed {}", self.show(revision.0)),
            Reply::SteppingDown { token, remaining } => {
                format!("stepping down {}, {} left", self.show(token.0), seconds(*remaining))
            }
            Reply::Election(state) => {
                let unknown = || format!("{}: no change known", state.name);
                let last = state.last.as_ref().map_or_else(unknown, |change| self.change(change));
                let unsettled = if state.settling > Millis(0) { ", unsettled" } else { "" };
                format!("{last}; {} waiting{unsettled}{}", state.waiting, held(state.hold))
            }
            Reply::Elections { elections, more } => {
                let names: Vec<_> = elections.iter().map(|state| state.name.as_str()).collect();
                format!("[{}]{}", names.join(" "), if *more { ", more" } else { "" })
            }
            Reply::Verified { current, leader } => {
                let leader = leader.as_ref().map_or("vacant".to_owned(), |leader| self.leader(leader));
                format!("{}: {leader}", if *current { "current" } else { "not current" })
            }
            Reply::Status(status) => format!(
                "tenure {}, {} old, settling {}, {} elections, {} candidacies, {} leaders, last number {}",
                status.tenure.map_or("none".to_owned(), |tenure| self.show(tenure.0)),
                seconds(status.age),
                seconds(status.settling),
                status.elections,
                status.candidacies,
                status.leaders,
                self.show(status.revision.0)
            ),
        }
    }

    fn kept(&self, kept: &Kept) -> String {
        match kept {
            Kept::Waiting { version, .. } => format!("waiting{}", self.version(*version)),
            Kept::Leading { ticket, version } => {
                let token = ticket.token.map_or("with no token".to_owned(), |token| self.show(token.0));
                format!("leading {token}{}", self.version(*version))
            }
            Kept::Draining { remaining, version, .. } => {
                format!("draining, {} left{}", seconds(*remaining), self.version(*version))
            }
            Kept::Ended(reason) => format!("ended, {}", end(*reason)),
        }
    }

    pub(crate) fn ticket(&self, ticket: &Ticket) -> String {
        let token = ticket.token.map_or("no token".to_owned(), |token| format!("token {}", self.show(token.0)));
        let (tenure, accepted) = (self.show(ticket.tenure.0), seconds(ticket.accepted_at));
        let (enrolment, election) = (self.show(ticket.enrolment.0), &ticket.election);
        let hold = held(ticket.hold);
        format!("{enrolment} of {election}, {token}, accepted {accepted} into {tenure}{hold}")
    }
}

fn held(hold: Millis) -> String {
    if hold == Millis(0) { String::new() } else { format!(", on hold for {}", seconds(hold)) }
}

pub(crate) fn seconds(millis: Millis) -> String {
    let text = format!("{}.{:03}", millis.0 / 1000, millis.0 % 1000);
    format!("{}s", text.trim_end_matches('0').trim_end_matches('.'))
}

pub(crate) fn end(reason: EndReason) -> &'static str {
    match reason {
        EndReason::Resigned => "resigned",
        EndReason::Expired => "expired",
        EndReason::Replaced => "replaced",
        EndReason::Overtaken => "overtaken",
        EndReason::SteppedDown => "stepped down",
        EndReason::NotGranted => "not granted",
    }
}
