//! What must be true of everything that a service said since it was first started, whatever the model says.

use leasehold_core::{ChangeReason, EndReason, Enrolment, Event, FencingToken, Kept, Output, Reply, StreamId, Tenure};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Default)]
pub(crate) struct History {
    tenure: Option<Tenure>,
    settled: bool,
    /// The last number that stood for a tenure, a grant, or a change.
    last_number: u64,
    last_grant: FencingToken,
    /// Whose streams they are, in this tenure.
    streams: BTreeMap<StreamId, Enrolment>,
    /// Streams that were closed: nothing is said on them any more.
    closed: BTreeSet<StreamId>,
    ended: BTreeMap<Enrolment, EndReason>,
    /// Each election's leader, as observers were told.
    leaders: BTreeMap<String, FencingToken>,
    /// What was seen at least once.
    pub(crate) reached: BTreeSet<String>,
}

impl History {
    pub(crate) fn note(&mut self, output: &Output) {
        self.reach(output);
        match output {
            Output::TenureBegan { tenure, .. } => {
                assert!(self.tenure < Some(*tenure), "tenures rise");
                assert!(tenure.0 > self.last_number, "a tenure's numbers begin above all that were used");
                let last_grant = self.last_grant;
                let (closed, reached) = (std::mem::take(&mut self.closed), std::mem::take(&mut self.reached));
                let (tenure, last_number) = (Some(*tenure), tenure.0);
                *self = Self { tenure, last_number, last_grant, closed, reached, ..Self::default() };
            }
            Output::TenureEnded { tenure, .. } => assert_eq!(self.tenure, Some(*tenure)),
            Output::Settled => self.settled = true,
            Output::Changed(change) => {
                assert!(change.revision.0 > self.last_number, "revisions rise");
                self.last_number = change.revision.0;
                let token = change.leader.as_ref().map(|leader| leader.token);
                let name = change.election.to_string();
                match (change.reason, token) {
                    (ChangeReason::Elected, Some(token)) => {
                        assert_eq!(token.0, change.revision.0);
                        assert!(token > self.last_grant, "tokens rise");
                        self.last_grant = token;
                        assert_eq!(self.leaders.insert(name, token), None, "a vacancy comes between two leaders");
                    }
                    (ChangeReason::Restored, Some(token)) => {
                        assert!(Some(Tenure(token.0)) < self.tenure, "what is put back was granted before");
                        assert_eq!(self.leaders.insert(name, token), None, "a vacancy comes between two leaders");
                    }
                    (ChangeReason::Proclaimed | ChangeReason::Draining, Some(token)) => {
                        assert_eq!(self.leaders.get(&name), Some(&token));
                    }
                    (ChangeReason::Ended(_), None) => assert!(self.leaders.remove(&name).is_some()),
                    (reason, token) => panic!("a change for {reason:?} can't leave {token:?}"),
                }
            }
            Output::Event { stream, event } => self.event(*stream, event),
            Output::Ended(ended) => {
                let before = self.ended.insert(ended.enrolment, ended.reason);
                assert!(before.is_none(), "{} ends once in a tenure", ended.enrolment);
            }
            Output::Close { stream, .. } => assert!(self.closed.insert(*stream), "a stream is closed once"),
            _ => {}
        }
    }

    fn reach(&mut self, output: &Output) {
        let wait = if self.settled { "" } else { " in the wait" };
        let what = match output {
            Output::Changed(change) => format!("{:?}{wait}", change.reason),
            Output::Ended(ended) if ended.token.is_none() => format!("waiter {:?}", ended.reason),
            Output::TenureEnded { why, .. } => format!("{why:?}{wait}"),
            Output::Reply { reply: Err(why), .. } | Output::Close { why: Some(why), .. } => {
                let why = format!("{why:?}");
                why.split([' ', '{']).next().unwrap_or_default().to_owned()
            }
            Output::Reply { reply: Ok(Reply::KeptAlive(kept)), .. } => {
                let draining = kept.iter().any(|kept| matches!(kept, Kept::Draining { .. }));
                if draining { "kept draining".to_owned() } else { "kept".to_owned() }
            }
            Output::Event { event: Event::Enrolled { enrolment, .. }, .. }
                if Some(Tenure(enrolment.0)) < self.tenure =>
            {
                format!("reopened one of an earlier tenure{wait}")
            }
            _ => return,
        };
        if !self.reached.contains(&what) {
            self.reached.insert(what);
        }
    }

    fn event(&mut self, stream: StreamId, event: &Event) {
        assert!(!self.closed.contains(&stream), "nothing is said on a closed stream");
        if let Event::Enrolled { enrolment, .. } = event {
            assert_eq!(self.streams.insert(stream, *enrolment), None, "Enrolled comes once");
        }
        // A stream that is opened for a candidacy that is over hears only that.
        let Some(enrolment) = self.streams.get(&stream) else {
            assert!(matches!(event, Event::Ended(_)), "Enrolled comes first, not {event:?}");
            return;
        };
        let told = if let Event::Ended(reason) = event { Some(*reason) } else { None };
        assert_eq!(self.ended.get(enrolment).copied(), told, "{enrolment} hears {event:?}");
    }
}
