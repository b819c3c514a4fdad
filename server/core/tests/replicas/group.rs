//! The world of a transcript of several replicas: them, the Lease, the clock, and what each worker
//! was told last.

use crate::api::{Api, name_at};
use crate::link::Mode;
use crate::member::{Flow, Member};
use crate::render::{Numbers, seconds};
use leasehold_core::{CallId, ClockFloor, Input, Lease, Millis, StreamId, Tenure, Ticket, Time};
use std::collections::{BTreeMap, VecDeque};

/// What the bench remembers of a worker.
#[derive(Debug, Default)]
pub(crate) struct Worker {
    pub(crate) ticket: Option<Ticket>,
    pub(crate) token: Option<leasehold_core::FencingToken>,
}

#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) now: Time,
    pub(crate) api: Api,
    pub(crate) members: BTreeMap<String, Member>,
    pub(crate) workers: BTreeMap<String, Worker>,
    pub(crate) tickets: BTreeMap<String, Ticket>,
    /// Calls on their way from a standby to the active replica.
    pub(crate) held: BTreeMap<String, (String, Input)>,
    pub(crate) numbers: Numbers,
    /// Renewals, reads, rights and mirrors are shown as well.
    pub(crate) show_all: bool,
    /// On their way, in this order.
    pub(crate) mail: VecDeque<(String, Input)>,
    pub(crate) streams: BTreeMap<StreamId, String>,
    pub(crate) callers: BTreeMap<CallId, String>,
    /// The highest tenure that was claimed, and the highest that has begun.
    claimed: Tenure,
    pub(crate) highest: Tenure,
    /// What stood in the Lease when it was shown last.
    pub(crate) shown: Option<Lease>,
    last_id: u64,
    stamped: bool,
    lines: String,
}

impl Group {
    pub(crate) fn new() -> Self {
        Self {
            now: Time(0),
            api: Api::default(),
            members: ["a", "b", "c"].into_iter().zip(0..).map(|(n, i)| (n.to_owned(), Member::new(n, i))).collect(),
            workers: BTreeMap::new(),
            tickets: BTreeMap::new(),
            held: BTreeMap::new(),
            numbers: Numbers::default(),
            show_all: false,
            mail: VecDeque::new(),
            streams: BTreeMap::new(),
            callers: BTreeMap::new(),
            claimed: Tenure(0),
            highest: Tenure(0),
            shown: None,
            last_id: 0,
            stamped: false,
            lines: String::new(),
        }
    }

    pub(crate) fn take_lines(&mut self) -> String {
        std::mem::take(&mut self.lines)
    }

    pub(crate) fn say(&mut self, line: &str) {
        if self.stamped {
            self.lines.push_str(&format!("{:>8} ", seconds(Millis(self.now.0))));
        }
        self.lines.push_str(line);
        self.lines.push('\n');
    }

    pub(crate) fn new_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    pub(crate) fn member(&mut self, name: &str) -> &mut Member {
        self.members.get_mut(name).expect("there is such a replica")
    }

    /// A claim that never comes to anything has a name as well, but not a second one.
    pub(crate) fn name_tenure(&mut self, tenure: Tenure) {
        if tenure > self.claimed || self.numbers.may_go_back {
            self.claimed = tenure;
            self.numbers.learn(tenure.0);
        }
    }

    /// Something reaches a replica; it is handled at once, unless the process stands still.
    pub(crate) fn tell(&mut self, name: &str, input: Input) {
        let now = self.now;
        let member = self.member(name);
        if let Some(inbox) = &mut member.inbox {
            inbox.push_back(input);
            return;
        }
        let clock = member.clock(now);
        let Some(replica) = &mut member.replica else {
            if matches!(input, Input::Forwarded { .. } | Input::Campaign { .. } | Input::Call { .. }) {
                self.say(&format!("{name}| nobody is there"));
            }
            return;
        };
        replica.handle(clock, input);
        replica.check();
        self.listen(name);
        self.check();
    }

    /// Does what a replica wants.
    pub(crate) fn listen(&mut self, name: &str) {
        while let Some(output) = self.member(name).replica.as_mut().and_then(leasehold_core::Replica::poll_output) {
            self.output(name, output);
        }
    }

    /// At most one replica may act as active at any moment, each by its own clock.
    fn check(&self) {
        let now = self.now;
        let lasts = |member: &&Member| member.right_until.is_some_and(|at| at > member.clock(now));
        let active: Vec<_> = self.members.values().filter(lasts).map(|member| &member.name).collect();
        assert!(active.len() < 2, "two replicas are active at {now:?}: {active:?}\n{}", self.lines);
    }

    /// Delivers and answers until all is quiet.
    pub(crate) fn settle(&mut self) {
        for round in 0.. {
            assert!(round < 10_000, "it never gets quiet\n{}", self.lines);
            if let Some((name, input)) = self.mail.pop_front() {
                self.tell(&name, input);
            } else if !self.watches_hear() && !self.api_answers() && !self.mirrors_open() {
                return;
            }
        }
    }

    fn watches_hear(&mut self) -> bool {
        let events = std::mem::take(&mut self.api.events);
        for lease in &events {
            self.show_change(lease.as_ref());
            for (name, member) in &mut self.members {
                let (lease, clock_floor) = (lease.clone(), member.clock_floor(self.now));
                if member.replica.is_some()
                    && member.link.mode != Mode::CutOff
                    && let Some(input) = member.watch.carry(Input::Watched { lease, clock_floor })
                {
                    self.mail.push_back((name.clone(), input));
                }
            }
        }
        !events.is_empty()
    }

    fn api_answers(&mut self) -> bool {
        let now = self.now;
        let (api, members) = (&mut self.api, &mut self.members);
        let answer = members.values_mut().find_map(|member| {
            let floor = member.clock_floor(now);
            let answer = member.link.run(api, now, floor)?;
            Some((member.name.clone(), answer))
        });
        // What was done is told before it is answered.
        let done = self.watches_hear();
        let Some((name, answer)) = answer else { return done };
        self.show_answer(&name, &answer);
        self.mail.push_back((name, answer));
        true
    }

    /// Its connection is new, or was broken: it is told of what stands there now.
    pub(crate) fn watch_anew(&mut self, name: &str) {
        let (lease, now) = (self.api.lease.clone(), self.now);
        let member = self.member(name);
        let clock_floor = member.clock_floor(now);
        if let Some(input) = member.watch.carry(Input::Watched { lease, clock_floor }) {
            self.tell(name, input);
        }
    }

    pub(crate) fn set_clock(&mut self, name: &str, floor: ClockFloor) {
        let now = self.now;
        self.numbers.may_go_back |= floor < self.member(name).clock_floor(now);
        self.member(name).stopped_clock = Some(floor);
    }

    /// A standby mirrors whom it follows, once that one is active.
    fn mirrors_open(&mut self) -> bool {
        let wants =
            |member: &&Member| member.mirror.state != Flow::Off && member.mirrors.is_none() && member.inbox.is_none();
        let wanting: Vec<_> = self
            .members
            .values()
            .filter(wants)
            .filter_map(|member| Some((member.name.clone(), member.follows.clone()?)))
            .collect();
        for (name, active) in wanting {
            let of = name_at(&active.address);
            let source = self.member(of);
            if source.tenure() == Some(active.tenure) && source.inbox.is_none() {
                source.openers.push_back(name.clone());
                self.member(&name).mirrors = Some((of.to_owned(), active.tenure));
                self.tell(of, Input::MirrorOpened);
                return true;
            }
        }
        false
    }

    /// Lets time pass, with a look whenever a replica wants one.
    pub(crate) fn advance(&mut self, time: Millis) {
        let end = self.now + time;
        self.stamped = true;
        let mut rounds = 0;
        loop {
            let next = self.members.values().filter_map(Member::next_at).min().unwrap_or(end).min(end);
            rounds = if next > self.now { 0 } else { rounds + 1 };
            assert!(rounds < 1000, "time stands still\n{}", self.lines);
            self.now = self.now.max(next);
            let due = |member: &&Member| member.wants().is_some_and(|at| at <= self.now);
            let due: Vec<_> = self.members.values().filter(due).map(|member| member.name.clone()).collect();
            let quiet = due.is_empty();
            for name in due {
                self.tell(&name, Input::Tick);
            }
            self.settle();
            if self.now == end && quiet {
                break;
            }
        }
        self.stamped = false;
    }
}
