//! What the replicas of the bench say, carried out and written down; and how a Lease is shown. The
//! shell takes no part in it: a transcript shows each output as the core says it.

use crate::api::name_at;
use crate::group::Group;
use crate::member::Flow;
use crate::render::{Numbers, end, seconds};
use leasehold_core::{
    BatchParts, CallId, Content, Event, Input, Lease, Millis, Outcome, Output, Over, Record, Reject, Reply, Signed,
    Tenure, TenureEnd, Ticket, WriteId,
};

impl Group {
    pub(crate) fn output(&mut self, name: &str, output: Output) {
        let now = self.now;
        match output {
            Output::Read => {
                self.say_more(name, "reads the Lease");
                self.member(name).link.read(now);
            }
            Output::Write { write, over, record } => self.write(name, write, over, Some(record)),
            Output::WriteUnsigned { write, over } => self.write(name, write, over, None),
            Output::RightUntil(at) => {
                let member = self.member(name);
                member.right_until = Some(at);
                let until = seconds(Millis(member.told(at).0));
                self.say_more(name, &format!("right until {until}"));
            }
            Output::TenureBegan { tenure, settles_in, .. } => self.began(name, tenure, settles_in),
            Output::TenureEnded { tenure, why } => self.ended(name, tenure, why),
            Output::Settled => self.say_of(name, "settled"),
            Output::Stopped => {
                self.say_of(name, "stopped");
                self.member(name).end();
            }
            Output::Follow(active) => {
                let whom = match &active {
                    Some(active) => {
                        format!("follows {} in {}", name_at(&active.address), self.numbers.show(active.tenure.0))
                    }
                    None => "follows nobody".to_owned(),
                };
                self.say_of(name, &whom);
                self.member(name).follows = active;
                self.leave_mirror(name);
            }
            Output::MirrorSnapshot(snapshot) => {
                let opener = self.member(name).openers.pop_front().expect("somebody opened a mirror");
                self.mirror(&opener, Input::MirrorSnapshot(*snapshot));
            }
            Output::MirrorChanged(batch) => {
                for mirror in self.mirrors_of(name) {
                    self.mirror(&mirror, Input::MirrorChanged((*batch).clone()));
                }
            }
            Output::Reply { call, reply } => self.replied(name, call, &reply),
            Output::Event { stream, event, .. } => {
                let worker = self.streams.get(&stream).expect("the stream was opened").clone();
                self.hear(&worker, &event);
                let event = self.numbers.event(&event);
                self.say_of(name, &format!("{worker}: {event}"));
            }
            Output::Close { stream, why } => {
                let worker = self.streams.get(&stream).expect("the stream was opened").clone();
                let why = why.map_or(String::new(), |why| format!(": {why}"));
                self.say_of(name, &format!("{worker}: stream closed{why}"));
            }
            Output::Changed(change) => {
                let change = self.numbers.change(&change);
                self.say_of(name, &change);
            }
            Output::Ended(ended) => self.say_of(name, &format!("{} has ended, {}", ended.candidate, end(ended.reason))),
        }
    }

    fn say_of(&mut self, name: &str, line: &str) {
        self.say(&format!("{name}| {line}"));
    }

    fn say_more(&mut self, name: &str, line: &str) {
        if self.show_all {
            self.say_of(name, line);
        }
    }

    fn write(&mut self, name: &str, write: WriteId, over: Over, record: Option<Box<Record>>) {
        let now = self.now;
        if let Some(record) = &record {
            self.name_tenure(record.tenure);
        }
        let over_what = match &over {
            Over::Anything => "anything",
            Over::Version(version) => &version.0,
            Over::Nothing => "nothing",
        };
        let what = record.as_ref().map_or("an empty Lease".to_owned(), |record| words(&self.numbers, record));
        let line = format!("writes over {over_what}: {what}");
        self.say_more(name, &line);
        self.member(name).link.write(now, write, over, record);
    }

    fn began(&mut self, name: &str, tenure: Tenure, settles_in: Millis) {
        self.name_tenure(tenure);
        assert!(self.numbers.may_go_back || tenure > self.highest, "{tenure} began after {}", self.highest);
        self.highest = tenure;
        let member = self.member(name);
        let right_until = member.right_until.map_or(Millis(0), |at| Millis(member.told(at).0));
        let wait = if settles_in == Millis(0) {
            String::new()
        } else {
            format!(", grants nothing for {}", seconds(settles_in))
        };
        let tenure = self.numbers.show(tenure.0);
        self.say_of(name, &format!("tenure {tenure} began, right until {}{wait}", seconds(right_until)));
    }

    fn ended(&mut self, name: &str, tenure: Tenure, why: TenureEnd) {
        self.member(name).right_until = None;
        self.member(name).openers.clear();
        let why = match why {
            TenureEnd::RightEnded => "its right ended",
            TenureEnd::Lost => "somebody else holds the Lease",
            TenureEnd::Behind => "a ticket shows higher numbers",
            TenureEnd::Shutdown => "shut down",
        };
        let tenure = self.numbers.show(tenure.0);
        self.say_of(name, &format!("tenure {tenure} ended, {why}"));
        self.mirrors_break(name);
    }

    /// Nobody mirrors it any more.
    pub(crate) fn mirrors_break(&mut self, name: &str) {
        for mirror in self.mirrors_of(name) {
            self.member(&mirror).mirrors = None;
        }
    }

    fn mirrors_of(&self, name: &str) -> Vec<String> {
        let mirrors = |of: &Option<(String, Tenure)>| of.as_ref().is_some_and(|(of, _)| of == name);
        self.members.values().filter(|member| mirrors(&member.mirrors)).map(|member| member.name.clone()).collect()
    }

    fn mirror(&mut self, name: &str, news: Input) {
        if let Input::MirrorSnapshot(batch) | Input::MirrorChanged(batch) = &news {
            let BatchParts { after, number, there, gone, .. } = &**batch;
            let line = format!("mirrors {after} to {number}: {} there, {} gone", there.len(), gone.len());
            self.say_more(name, &line);
        }
        if let Some(news) = self.member(name).mirror.carry(news) {
            self.mail.push_back((name.to_owned(), news));
        }
    }

    /// A standby that follows another, or nobody, closes its mirror.
    pub(crate) fn leave_mirror(&mut self, name: &str) {
        let member = self.member(name);
        let follows = member.follows.as_ref().map(|active| active.tenure);
        let stays = member.mirror.state != Flow::Off && member.mirrors.as_ref().map(|(_, of)| *of) == follows;
        if let Some((of, tenure)) = member.mirrors.take_if(|_| !stays)
            && self.member(&of).tenure() == Some(tenure)
        {
            self.mail.push_back((of, Input::MirrorClosed));
        }
    }

    fn replied(&mut self, name: &str, call: CallId, reply: &Result<Reply, Reject>) {
        let caller = self.callers.remove(&call).expect("the call was made");
        match reply {
            Ok(Reply::KeptAlive(kept)) => {
                if let [kept] = &kept[..]
                    && let Some(ticket) = kept.ticket()
                {
                    self.give(&caller, ticket.clone());
                }
            }
            Ok(Reply::Proclaimed { ticket, .. }) => self.give(&caller, ticket.clone()),
            _ => {}
        }
        let mirrored = match reply {
            Ok(Reply::Status(status)) if status.tenure.is_none() => Some(status.mirrored),
            _ => None,
        };
        let reply = self.numbers.reply(reply);
        match mirrored {
            Some(mirrored) => self.say_of(name, &format!("standby, mirrors {mirrored} candidacies")),
            None => self.say_of(name, &reply),
        }
    }

    fn hear(&mut self, worker: &str, event: &Event) {
        match event {
            Event::Enrolled { ticket: Some(ticket), .. } => self.give(worker, (**ticket).clone()),
            Event::Elected(lead) => {
                self.workers.entry(worker.to_owned()).or_default().token = Some(lead.token);
                if let Some(ticket) = &lead.ticket {
                    self.give(worker, ticket.clone());
                }
            }
            _ => {}
        }
    }

    fn give(&mut self, worker: &str, ticket: Ticket) {
        let worker = self.workers.entry(worker.to_owned()).or_default();
        worker.token = ticket.token.or(worker.token);
        worker.ticket = Some(ticket);
    }

    /// Shows what a request came to, but for what went well: that the Lease itself shows.
    pub(crate) fn show_answer(&mut self, name: &str, answer: &Input) {
        match answer {
            Input::ReadFailed => self.say_of(name, "can't read the Lease"),
            Input::Written { outcome: Outcome::Conflict, .. } => self.say_of(name, "its write conflicts"),
            Input::Written { outcome: Outcome::Unknown, .. } => self.say_of(name, "its write has no answer"),
            _ => {}
        }
    }

    /// Shows a change of the Lease, unless it is a renewal.
    pub(crate) fn show_change(&mut self, lease: Option<&Lease>) {
        let key = |lease: &Lease| {
            let Content { holder, duration, signed, .. } = &lease.content;
            let signed = signed.as_ref().map(|s| (s.by.clone(), s.record.tenure, s.record.ended_at));
            (holder.clone(), *duration, signed)
        };
        let renewal = lease.is_some() && self.shown.as_ref().map(key) == lease.map(key);
        self.shown = lease.cloned();
        if !renewal || self.show_all {
            let line = format!("Lease {}", lease_words(&self.numbers, lease));
            self.say(&line);
        }
    }
}

pub(crate) fn lease_words(numbers: &Numbers, lease: Option<&Lease>) -> String {
    let Some(Lease { version, content }) = lease else { return "is gone".to_owned() };
    let holder = content.holder.as_ref().map_or("held by nobody".to_owned(), |holder| format!("held by {}", holder.0));
    let duration = content.duration.map_or("no duration".to_owned(), seconds);
    let signed = match (&content.signed, &content.newer) {
        (Some(Signed { by, record, .. }), _) => format!("by {}: {}", by.0, words(numbers, record)),
        (None, Some(newer)) => format!("by {} in a later format: {}", newer.by.0, numbers.show(newer.tenure.0)),
        (None, None) => "no annotations".to_owned(),
    };
    format!("{}: {holder}, {duration}; {signed}", version.0)
}

fn words(numbers: &Numbers, record: &Record) -> String {
    let (tenure, ceiling) = (numbers.show(record.tenure.0), numbers.show(record.ceiling.0));
    let renewed = seconds(record.renewed_at);
    let ended = record.ended_at.map_or(String::new(), |at| {
        let last = record.last_change.map_or("no last change".to_owned(), |number| format!("last change {number}"));
        format!(", ended at {}, {last}", seconds(at))
    });
    let longest = seconds(record.longest_ttl);
    format!("{tenure} renewed at {renewed}{ended}, ceiling {ceiling}, longest ttl {longest}")
}
