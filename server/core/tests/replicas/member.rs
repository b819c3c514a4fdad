//! One replica of the bench, and what lies between it and the others: its way to the API server,
//! its watch, its mirror.

use crate::api::{Writer, address};
use crate::link::Link;
use leasehold_core::{Active, ClockFloor, Config, Holder, Input, Millis, Replica, Store, Tenure, Time};
use std::collections::VecDeque;

/// A stream of news to a replica.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) state: Flow,
    held: VecDeque<Input>,
}

/// Whether news arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    On,
    Off,
    /// They arrive when it is on again.
    Held,
}

impl Stream {
    fn new(state: Flow) -> Self {
        Self { state, held: VecDeque::new() }
    }

    /// News: what arrives now.
    pub(crate) fn carry(&mut self, input: Input) -> Option<Input> {
        match self.state {
            Flow::On => Some(input),
            Flow::Off => None,
            Flow::Held => {
                self.held.push_back(input);
                None
            }
        }
    }

    /// What was held up and arrives now, if it is on again.
    pub(crate) fn change(&mut self, state: Flow) -> VecDeque<Input> {
        self.state = state;
        if state == Flow::Held { VecDeque::new() } else { std::mem::take(&mut self.held) }
    }
}

#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) replica: Option<Replica>,
    pub(crate) link: Link,
    pub(crate) watch: Stream,
    pub(crate) mirror: Stream,
    /// Whom it mirrors: the name and the tenure.
    pub(crate) mirrors: Option<(String, Tenure)>,
    /// Mirrors that wait for their snapshot, by name.
    pub(crate) openers: VecDeque<String>,
    /// What arrives while the process stands still.
    pub(crate) inbox: Option<VecDeque<Input>>,
    pub(crate) follows: Option<Active>,
    /// Until when it may act as active, by its own clock.
    pub(crate) right_until: Option<Time>,
    /// A wall clock that stands still there.
    pub(crate) stopped_clock: Option<ClockFloor>,
    /// No two replicas' clocks show the same time.
    ahead: Millis,
    lives: u32,
}

impl Member {
    pub(crate) fn new(name: &str, index: u64) -> Self {
        let (me, address) = (Holder(name.to_owned()), address(name));
        Self {
            name: name.to_owned(),
            replica: None,
            link: Link::new(Writer { me, address, lease_seconds: Millis(0) }),
            watch: Stream::new(Flow::On),
            mirror: Stream::new(Flow::Off),
            mirrors: None,
            openers: VecDeque::new(),
            inbox: None,
            follows: None,
            right_until: None,
            stopped_clock: None,
            ahead: Millis(index * 1_000_000),
            lives: 0,
        }
    }

    /// A new process. No two have the same name.
    pub(crate) fn start(&mut self, config: impl FnOnce(Holder) -> Config) {
        self.lives += 1;
        let suffix = if self.lives == 1 { String::new() } else { format!("-{}", self.lives) };
        let me = Holder(format!("{}{suffix}", self.name));
        let config = config(me.clone());
        config.validate().expect("the transcript's settings fit together");
        if let Store::Lease { request_timeout, .. } = &config.store {
            self.link.timeout = *request_timeout;
        }
        self.link.writer.me = me;
        self.link.writer.lease_seconds = config.lease_seconds();
        self.replica = Some(Replica::new(config));
    }

    /// The process is gone.
    pub(crate) fn end(&mut self) {
        (self.replica, self.inbox, self.follows, self.right_until, self.mirrors) = (None, None, None, None, None);
        self.openers.clear();
    }

    /// What its wall clock vouches for.
    pub(crate) fn clock_floor(&self, now: Time) -> ClockFloor {
        self.stopped_clock.unwrap_or(ClockFloor((now.0 << 20) / 1000))
    }

    pub(crate) fn clock(&self, now: Time) -> Time {
        now + self.ahead
    }

    /// What its clock shows, as the transcript tells it.
    pub(crate) fn told(&self, time: Time) -> Time {
        Time(time.0.saturating_sub(self.ahead.0))
    }

    pub(crate) fn tenure(&self) -> Option<Tenure> {
        self.replica.as_ref().and_then(Replica::tenure)
    }

    /// When the replica or its way to the API server wants attention next.
    pub(crate) fn next_at(&self) -> Option<Time> {
        self.link.next_at().into_iter().chain(self.wants()).min()
    }

    /// When the replica wants to look.
    pub(crate) fn wants(&self) -> Option<Time> {
        if self.inbox.is_some() {
            return None;
        }
        self.replica.as_ref().and_then(Replica::next_deadline).map(|at| self.told(at))
    }
}
