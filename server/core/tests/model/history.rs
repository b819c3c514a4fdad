//! What must be true of everything that a service said since it was first started, whatever the
//! model says.

use leasehold_core::{
    ChangeReason, EndReason, Enrolment, Event, FencingToken, Input, Kept, Output, Reply, Revision, StateVersion,
    StreamId, Tenure, TenureEnd, Ticket, Value,
};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Default)]
pub(crate) struct History {
    tenure: Option<Tenure>,
    settled: bool,
    /// The last number that stood for a tenure, a grant, or a change.
    last_number: u64,
    last_grant: FencingToken,
    /// The last change of all.
    last_change: Option<Revision>,
    /// An older record was put back.
    restored: bool,
    /// The record was lost or restored, and no clock vouches for the numbers.
    fell: bool,
    /// The input at hand is a Campaign.
    enters: bool,
    /// The last tenure ended because it had begun too low.
    behind: bool,
    /// A ticket has shown this number to a tenure that began too low.
    shown: u64,
    /// What was said last of each candidacy, and in which version.
    said: BTreeMap<Enrolment, (StateVersion, State)>,
    /// The version that was said before the input at hand.
    said_before: BTreeMap<Enrolment, StateVersion>,
    /// Whose streams they are, in this tenure.
    streams: BTreeMap<StreamId, Enrolment>,
    /// Streams that were closed: nothing is said on them any more.
    closed: BTreeSet<StreamId>,
    ended: BTreeMap<Enrolment, EndReason>,
    /// Each election's leader, as observers were told.
    leaders: BTreeMap<String, FencingToken>,
    /// Leaders of the former tenure of which observers that resume must be told.
    owed: BTreeMap<String, FencingToken>,
    /// What was seen at least once.
    pub(crate) reached: BTreeSet<String>,
}

/// What a candidacy is, as far as a version tells.
#[derive(Clone, Debug, PartialEq, Eq)]
struct State {
    token: Option<FencingToken>,
    /// `None`: that wasn't said.
    drains: Option<bool>,
    /// As well.
    value: Option<Value>,
}

impl State {
    fn new(ticket: Option<&Ticket>, token: Option<FencingToken>, drains: Option<bool>) -> Self {
        Self { token, drains, value: ticket.map(|ticket| ticket.value.clone()) }
    }

    /// Both are told of one version.
    fn and(self, other: Self) -> Option<Self> {
        fn both<T: PartialEq>(one: Option<T>, other: Option<T>) -> Option<Option<T>> {
            (one.is_none() || other.is_none() || one == other).then(|| one.or(other))
        }
        let (drains, value) = (both(self.drains, other.drains)?, both(self.value, other.value)?);
        (self.token == other.token).then_some(Self { token: self.token, drains, value })
    }
}

impl History {
    /// The next tenure may know an older one for the one before.
    pub(crate) fn restores(&mut self) {
        self.restored = true;
    }

    /// The next tenure may begin below what was handed out.
    pub(crate) fn falls(&mut self) {
        self.fell = true;
    }

    /// A process starts. That the tenure before it was behind knew only its process.
    pub(crate) fn starts(&mut self) {
        self.fell |= std::mem::take(&mut self.behind);
    }

    /// These tickets are shown to the replica.
    pub(crate) fn shows(&mut self, input: &Input) {
        use leasehold_core::Ask;
        let tickets = match input {
            Input::Reopen { ticket, .. } | Input::Call { ask: Ask::Resign(ticket) | Ask::Proclaim(ticket, _), .. } => {
                std::slice::from_ref(ticket)
            }
            Input::Call { ask: Ask::KeepAlive(tickets), .. } => tickets,
            _ => &[],
        };
        self.enters = matches!(input, Input::Campaign { .. });
        self.said_before.clear();
        self.shown = tickets.iter().map(Ticket::highest).max().unwrap_or_default();
        for enrolment in tickets.iter().map(|ticket| ticket.enrolment) {
            if let Some((version, _)) = self.said.get(&enrolment) {
                self.said_before.insert(enrolment, *version);
            }
        }
    }

    /// The replica has said all that it had to.
    pub(crate) fn said_all(&mut self) {
        assert!(self.owed.is_empty(), "observers that resume aren't told of {:?}", self.owed);
    }

    pub(crate) fn note(&mut self, output: &Output) {
        self.reach(output);
        match output {
            Output::TenureBegan { tenure, resumes_after, .. } => self.tenure_began(*tenure, *resumes_after),
            Output::TenureEnded { tenure, why } => {
                assert_eq!(self.tenure, Some(*tenure));
                if *why == TenureEnd::Behind {
                    assert!(self.shown > tenure.0, "{} doesn't show that {tenure} is behind", self.shown);
                    (self.behind, self.last_number) = (true, self.last_number.max(self.shown));
                }
            }
            Output::Settled => self.settled = true,
            Output::Changed(change) => {
                assert!(change.revision.0 > self.last_number, "revisions rise");
                (self.last_number, self.last_change) = (change.revision.0, Some(change.revision));
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
                        self.owed.retain(|owed, former| (owed, &*former) != (&name, &token));
                        assert_eq!(self.leaders.insert(name, token), None, "a vacancy comes between two leaders");
                    }
                    (ChangeReason::Held, None) => {
                        assert!(change.held_until.is_some() && !self.leaders.contains_key(&name), "it is on hold");
                    }
                    (ChangeReason::Proclaimed | ChangeReason::Draining, Some(token)) => {
                        assert_eq!(self.leaders.get(&name), Some(&token));
                    }
                    (ChangeReason::Ended(_), None) => assert!(self.leaders.remove(&name).is_some()),
                    (reason, token) => panic!("a change for {reason:?} can't leave {token:?}"),
                }
            }
            Output::Event { stream, version, event } => {
                self.event(*stream, event);
                self.event_of_version(*stream, *version, event);
            }
            Output::Reply { reply: Ok(Reply::KeptAlive(kept)), .. } => {
                for kept in kept {
                    match kept {
                        Kept::Waiting { ticket, version } | Kept::Leading { ticket, version } => {
                            self.says(ticket.enrolment, *version, State::new(Some(ticket), ticket.token, Some(false)));
                        }
                        Kept::Draining { ticket, version, .. } => {
                            self.says(ticket.enrolment, *version, State::new(Some(ticket), ticket.token, Some(true)));
                        }
                        Kept::Ended(_) => {}
                    }
                }
            }
            Output::Reply { reply: Ok(Reply::Proclaimed { revision, ticket }), .. } => {
                let state = State::new(Some(ticket), ticket.token, None);
                self.says(ticket.enrolment, StateVersion(revision.0), state);
            }
            Output::Ended(ended) => {
                let before = self.ended.insert(ended.enrolment, ended.reason);
                assert!(before.is_none(), "{} ends once in a tenure", ended.enrolment);
            }
            Output::Close { stream, .. } => assert!(self.closed.insert(*stream), "a stream is closed once"),
            _ => {}
        }
    }

    fn tenure_began(&mut self, tenure: Tenure, resumes_after: Option<Revision>) {
        self.behind = false;
        if std::mem::take(&mut self.fell) {
            let (closed, reached) = (std::mem::take(&mut self.closed), std::mem::take(&mut self.reached));
            *self = Self { closed, reached, ..Self::default() };
        } else if resumes_after.is_some() && !std::mem::take(&mut self.restored) {
            assert_eq!(resumes_after, self.last_change.or(self.tenure.map(|tenure| Revision(tenure.0))));
            self.owed = std::mem::take(&mut self.leaders);
            self.reached.insert("observers resume".to_owned());
        }
        assert!(self.tenure < Some(tenure), "tenures rise");
        assert!(tenure.0 > self.last_number, "a tenure's numbers begin above all that were used");
        (self.tenure, self.last_number, self.last_change, self.settled) = (Some(tenure), tenure.0, None, false);
        self.streams.clear();
        self.ended.clear();
        self.leaders.clear();
    }

    /// Of two words about a candidacy the one with the higher version is newer; those of one
    /// version say the same. What one input brings may be told in any order: a call with many
    /// tickets is answered last.
    fn says(&mut self, enrolment: Enrolment, version: StateVersion, state: State) {
        let before = self.said_before.get(&enrolment).copied();
        assert!(before <= Some(version), "{enrolment} was told of version {before:?} before {version}");
        let state = match self.said.get(&enrolment).cloned() {
            Some((later, _)) if later > version => {
                assert!(before.is_some(), "{enrolment} was told of version {later} before {version}");
                return;
            }
            Some((same, said)) if same == version => {
                let words = format!("{enrolment} was {said:?} in {version}, and is {state:?}");
                said.and(state).expect(&words)
            }
            _ => state,
        };
        self.said.insert(enrolment, (version, state));
    }

    fn event_of_version(&mut self, stream: StreamId, version: StateVersion, event: &Event) {
        let state = match event {
            Event::Enrolled { ticket: Some(ticket), .. } => State::new(Some(ticket), ticket.token, None),
            Event::Enrolled { ticket: None, .. } => return,
            Event::Waiting { .. } => State::new(None, None, Some(false)),
            Event::Elected(lead) => State::new(lead.ticket.as_ref(), Some(lead.token), Some(false)),
            Event::Draining { token, .. } => State::new(None, Some(*token), Some(true)),
            Event::Ended(_) => return assert_eq!(version, StateVersion(0)),
        };
        if let Some(enrolment) = self.streams.get(&stream) {
            self.says(*enrolment, version, state);
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
            Output::Event { event: Event::Waiting { hold, .. }, .. } if hold.0 > 0 => {
                format!("waits for the end of a hold{wait}")
            }
            Output::Event { event: Event::Enrolled { enrolment, .. }, .. }
                if self.enters && self.streams.values().any(|known| known == enrolment) =>
            {
                "entered once more".to_owned()
            }
            Output::Event { event: Event::Ended(EndReason::SteppedDown), .. } if self.enters => {
                "entered once more in a drain".to_owned()
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
