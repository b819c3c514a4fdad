//! The streams through which standbys mirror the active replica: late, cut, begun anew, or with a
//! buffer that overflows.

use crate::checks::Violation;
use crate::network::Party;
use crate::server::{Parcel, Proc};
use crate::world::{Event, World};
use leasehold_core::{Active, Address, Input, Millis, MirrorBatch, Time};
use leasehold_shell::{Gone, News};

/// A standby that mirrors a replica.
#[derive(Clone, Debug)]
pub(crate) struct Mirroring {
    stream: u64,
    standby: Proc,
    /// When the last thing on it arrives.
    last: Time,
    /// Nothing comes through any more.
    broken: bool,
}

/// The replica that serves at this address.
pub(crate) fn replica_at(address: &Address) -> usize {
    let number = address.as_str().trim_start_matches('r').trim_end_matches(":1");
    number.parse().expect("addresses are those of replicas")
}

/// Where this replica serves.
pub(crate) fn address_of(at: usize) -> Address {
    Address::new(&format!("r{at}:1")).expect("this is one")
}

impl World {
    /// The core follows another replica, or nobody.
    pub(crate) fn follow(&mut self, at: usize, active: Option<Active>) {
        self.servers[at].followed = active;
        self.leave_mirror(at);
        self.open_mirror(at, Millis(0));
    }

    /// Asks whoever is followed for a stream.
    fn open_mirror(&mut self, at: usize, wait: Millis) {
        let Some(active) = self.servers[at].followed.clone() else { return };
        let (to, stream, from) = (replica_at(&active.address), self.new_id(), self.proc(at));
        self.servers[at].mirror = Some(stream);
        let delay = wait + self.hop_delay();
        if self.parted(Party::Replica(at), Party::Replica(to)).is_some() {
            self.after(Millis(700), Event::Arrive { at, parcel: Parcel::MirrorOver { stream } });
        } else {
            self.after(delay, Event::Arrive { at: to, parcel: Parcel::MirrorAsked { from, stream } });
        }
    }

    /// The stream is over: asks again, if there is still somebody to follow.
    pub(crate) fn mirror_again(&mut self, at: usize) {
        self.leave_mirror(at);
        let wait = self.rng.millis(50, 500);
        self.open_mirror(at, wait);
    }

    /// Closes the stream through which this replica mirrors another.
    fn leave_mirror(&mut self, at: usize) {
        if let Some(stream) = self.servers[at].mirror.take() {
            self.abandon_mirror(stream);
        }
    }

    /// Nobody listens on this stream.
    pub(crate) fn abandon_mirror(&mut self, stream: u64) {
        let other = self.servers.iter().position(|server| server.mirrors.iter().any(|m| m.stream == stream));
        if let Some(other) = other {
            let delay = self.rng.millis(1, if self.calm { 100 } else { 5000 });
            self.after(delay, Event::Arrive { at: other, parcel: Parcel::MirrorLeft { stream } });
        }
    }

    /// A standby wants to mirror this replica.
    pub(crate) fn mirror_asked(&mut self, at: usize, from: Proc, stream: u64) -> Result<(), Violation> {
        if self.servers[at].tenure.is_none() {
            self.undelivered(Parcel::MirrorAsked { from, stream });
            return Ok(());
        }
        self.reach("mirror opened");
        let last = self.now;
        self.servers[at].mirrors.push(Mirroring { stream, standby: from, last, broken: false });
        self.run_shell(at, |shell, now, ports| shell.receive(now, leasehold_shell::Message::Mirror(stream), ports))
    }

    /// A mirror of this replica is told something. One that is too slow for it is let go.
    pub(crate) fn tell_news(&mut self, at: usize, stream: u64, news: News) -> Result<(), Gone> {
        let input = match news {
            News::Snapshot(batch) => Input::MirrorSnapshot(MirrorBatch::clone(&batch)),
            News::Changed(_) if !self.calm && self.rng.chance(self.plan.gaps) => {
                if self.rng.chance(500) {
                    self.reach("mirror has a gap");
                    return Ok(());
                }
                self.reach("mirror too slow");
                self.tell_mirror(at, stream, |stream| Parcel::MirrorOver { stream });
                self.servers[at].mirrors.retain(|mirroring| mirroring.stream != stream);
                return Err(Gone);
            }
            News::Changed(batch) => Input::MirrorChanged(MirrorBatch::clone(&batch)),
        };
        self.tell_mirror(at, stream, |stream| Parcel::Mirror { stream, input });
        Ok(())
    }

    fn tell_mirror(&mut self, at: usize, stream: u64, parcel: impl FnOnce(u64) -> Parcel) {
        let delay = self.hop_delay();
        let Some(index) = self.servers[at].mirrors.iter().position(|m| m.stream == stream && !m.broken) else {
            return;
        };
        let standby = self.servers[at].mirrors[index].standby;
        let apart = self.parted(Party::Replica(at), Party::Replica(standby.at)).unwrap_or_default();
        let mirroring = &mut self.servers[at].mirrors[index];
        mirroring.last = mirroring.last.max(self.now + delay).max(apart);
        let due = mirroring.last;
        self.at(due, Event::Arrive { at: standby.at, parcel: parcel(stream) });
    }

    /// A mirror of this replica is gone, as it notices.
    pub(crate) fn mirror_left(&mut self, at: usize, stream: u64) -> Result<(), Violation> {
        let before = self.servers[at].mirrors.len();
        self.servers[at].mirrors.retain(|mirroring| mirroring.stream != stream);
        if self.servers[at].mirrors.len() == before {
            return Ok(());
        }
        self.run_shell(at, |shell, now, ports| shell.close_mirror(now, |mirror| *mirror == stream, ports))
    }

    /// The tenure is over: its mirrors get what was said before, then the end of the stream.
    pub(crate) fn end_mirrors_of(&mut self, at: usize) {
        let streams: Vec<_> = self.servers[at].mirrors.iter().map(|mirroring| mirroring.stream).collect();
        for stream in streams {
            self.tell_mirror(at, stream, |stream| Parcel::MirrorOver { stream });
        }
        self.servers[at].mirrors.clear();
    }

    /// The process is gone: its mirrors notice, and so does the replica that it mirrored.
    pub(crate) fn mirrors_of_the_dead(&mut self, at: usize) {
        let mirrors = std::mem::take(&mut self.servers[at].mirrors);
        for Mirroring { stream, standby, last, .. } in mirrors {
            let delay = self.rng.millis(1, if self.calm { 100 } else { 3000 });
            let due = last.max(self.now + delay);
            self.at(due, Event::Arrive { at: standby.at, parcel: Parcel::MirrorOver { stream } });
        }
        self.leave_mirror(at);
    }

    /// A mirror's stream breaks; each side notices when it does.
    pub(crate) fn cut_a_mirror(&mut self) {
        let open = self.servers.iter().enumerate().flat_map(|(at, server)| {
            server.mirrors.iter().map(move |mirroring| (at, mirroring.stream, mirroring.standby))
        });
        let open: Vec<_> = open.collect();
        if open.is_empty() {
            return;
        }
        self.reach("mirror cut");
        let (at, stream, standby) = open[self.rng.index(open.len())];
        let (up, down) = (self.rng.millis(1, 5000), self.rng.millis(1, 5000));
        self.after(up, Event::Arrive { at, parcel: Parcel::MirrorLeft { stream } });
        self.after(down, Event::Arrive { at: standby.at, parcel: Parcel::MirrorOver { stream } });
        self.servers[at].mirrors.iter_mut().filter(|m| m.stream == stream).for_each(|m| m.broken = true);
    }
}
