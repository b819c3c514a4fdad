//! What a replica has seen of the Lease: since when it stands unchanged, and when it may be taken
//! over.
//!
//! A standby never compares wall clocks. It waits until *it* has seen the Lease unchanged for a
//! whole lease duration. The holder had sent its last write before that write was seen, so its
//! right is over by then.

use crate::lease::{Content, Holder, Lease, Version};
use crate::{Address, Millis, Record, Tenure, Time};

/// A standby whose mirror doesn't reach the end of the released tenure waits this much longer than
/// one whose mirror does: that one costs nobody a lead.
pub(crate) const HEAD_START: Millis = Millis(200);

/// All that was seen.
#[derive(Debug)]
pub(crate) struct Sight {
    /// Who looks.
    me: Holder,
    last: Option<Sighting>,
    /// The last version that is known to be this replica's own.
    own: Option<Version>,
    /// The longest duration that any replica has claimed, this one among them. A duration that
    /// somebody else has written counts only as long as a replica holds the Lease: otherwise a
    /// manifest that is applied once would make every later failover longer.
    duration: Millis,
    /// The tenure that was seen held last.
    held: Option<HeldAt>,
    /// The highest tenure that was ever seen.
    highest: Tenure,
    /// The newest renewal that was ever seen.
    newest: Renewal,
}

/// What was seen last.
#[derive(Debug)]
struct Sighting {
    /// `None`: there is no Lease.
    lease: Option<Lease>,
    since: Time,
    /// When it was looked at last.
    looked: Time,
    /// It is a release that counts at once.
    handed_over: bool,
}

/// A tenure, and when it was seen to hold the Lease.
#[derive(Clone, Copy, Debug)]
struct HeldAt {
    tenure: Tenure,
    at: Time,
}

/// Names a write of the Lease: no two say the same. The later one is the greater one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Renewal {
    tenure: Tenure,
    renewed_at: Millis,
}

/// When the Lease that was seen last may be taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TakeOver {
    /// Once it was unchanged for a whole duration.
    At(Time),
    /// It was released: at once for a replica that knows how that tenure ended, a little later for
    /// others.
    Released(Time),
    /// This process wrote it, nobody has written since, and its right has ended: nobody else has
    /// one.
    /// Rule `own-lease`.
    Mine,
    /// There is none: one has to be made.
    Missing,
}

impl Sight {
    pub(crate) fn new(me: Holder, duration: Millis) -> Self {
        let newest = Renewal::default();
        Self { me, last: None, own: None, duration, held: None, highest: Tenure(0), newest }
    }

    /// The Lease is seen.
    pub(crate) fn see(&mut self, lease: Option<Lease>, now: Time) {
        let content = lease.as_ref().map(|lease| &lease.content);
        let unchanged = self.last.as_ref().is_some_and(|last| last.still_stands(lease.as_ref(), now, self.duration));
        let handed_over = content.is_some_and(|content| self.hands_over(content, now));
        if let Some(signed) = content.and_then(|content| content.signed.as_ref()) {
            let record = &signed.record;
            self.duration = self.duration.max(record.duration);
            self.highest = self.highest.max(record.tenure);
            self.newest = self.newest.max(Renewal::of(record));
        }
        if let Some(newer) = content.and_then(|content| content.newer.as_ref()) {
            self.wrote(newer.tenure, Millis(0));
            self.duration = self.duration.max(newer.duration);
        }
        if let Some(held) = content.and_then(Content::held) {
            self.held = Some(HeldAt { tenure: held.record.tenure, at: now });
        }
        if let Some(content) = content.filter(|content| content.is_held_by_its_author()) {
            self.duration = self.duration.max(content.duration.unwrap_or_default());
        }
        match &mut self.last {
            Some(last) if unchanged => (last.lease, last.looked) = (lease, now),
            _ => self.last = Some(Sighting { lease, since: now, looked: now, handed_over }),
        }
    }

    /// A replica has written a renewal.
    pub(crate) fn wrote(&mut self, tenure: Tenure, renewed_at: Millis) {
        self.highest = self.highest.max(tenure);
        self.newest = self.newest.max(Renewal { tenure, renewed_at });
    }

    /// This replica has written that version, or has found it within its right. So nobody else can
    /// have held the Lease before it.
    pub(crate) fn owns(&mut self, version: Version) {
        self.own = Some(version);
    }

    /// Whether that is who looks.
    pub(crate) fn is_me(&self, holder: &Holder) -> bool {
        *holder == self.me
    }

    /// Whether this is a release that counts at once: it is of the tenure that was seen held within
    /// the last duration, and no higher tenure is known. Another release may have come back with a
    /// restored manifest, while somebody holds the Lease.
    /// Rule `release-seen`.
    fn hands_over(&self, content: &Content, now: Time) -> bool {
        let (Some(record), Some(held)) = (content.released(), self.held) else { return false };
        record.tenure == held.tenure && self.highest <= held.tenure && now.since(held.at) <= self.duration
    }

    /// Whether a record is older than one that was seen: then somebody has put it back, or a watch
    /// is late.
    /// Rule `restored-says-nothing`.
    pub(crate) fn outdated(&self, record: &Record) -> bool {
        Renewal::of(record) < self.newest
    }

    /// What was seen last, if it is older than something that was seen before.
    pub(crate) fn restored(&self) -> Option<&Lease> {
        self.lease().filter(|lease| lease.content.signed.as_ref().is_some_and(|signed| self.outdated(&signed.record)))
    }

    /// Whether it was looked at right now.
    pub(crate) fn looked_at(&self, now: Time) -> bool {
        self.last.as_ref().is_some_and(|last| last.looked == now)
    }

    /// Whether something was seen right now that wasn't there before.
    pub(crate) fn has_changed_at(&self, now: Time) -> bool {
        self.last.as_ref().is_some_and(|last| last.since == now)
    }

    /// What was seen last, if there was a Lease.
    pub(crate) fn lease(&self) -> Option<&Lease> {
        self.last.as_ref().and_then(|last| last.lease.as_ref())
    }

    /// When what was seen last may be taken over. `None`: nothing was seen yet, or a replica of a
    /// later version has written it. This one can't know what the next tenure has to keep then, and
    /// would remove it.
    /// Rule `whole-duration`.
    pub(crate) fn take_over(&self) -> Option<TakeOver> {
        let last = self.last.as_ref()?;
        let Some(lease) = &last.lease else { return Some(TakeOver::Missing) };
        if lease.content.newer.is_some() {
            return None;
        }
        // The name alone isn't enough. Somebody may have put this replica's own words back, and
        // another replica may have held the Lease in between. The version was never anybody else's.
        let own = self.own.as_ref() == Some(&lease.version);
        if own && lease.content.held().is_some_and(|signed| signed.by == self.me) {
            return Some(TakeOver::Mine);
        }
        let theirs = lease.content.duration.filter(|_| lease.content.holder.is_some()).unwrap_or_default();
        let duration = self.duration.max(theirs);
        Some(if last.handed_over { TakeOver::Released(last.since) } else { TakeOver::At(last.since + duration) })
    }

    /// Whether there is no Lease, or one without annotations of ours.
    pub(crate) fn says_nothing(&self) -> bool {
        self.lease().is_none_or(|lease| lease.content.author().is_none())
    }

    /// The replica that holds the Lease, as far as is known: the tenure and the address. If
    /// somebody has emptied the holder, it is still the one that wrote the annotations.
    pub(crate) fn active(&self) -> Option<(Tenure, &Address)> {
        let content = &self.lease()?.content;
        let (by, address, tenure) = content.author()?;
        let ended = match &content.signed {
            Some(signed) => signed.record.ended_at.is_some(),
            // A replica of a later version has written the Lease, and what it says of an end can't
            // be read. A release has no holder.
            None => content.holder.is_none(),
        };
        let holds = content.holder.as_ref().is_none_or(|holder| holder == by);
        let over = ended || tenure < self.highest;
        (holds && !over && *by != self.me).then_some((tenure, address))
    }
}

impl Renewal {
    fn of(record: &Record) -> Self {
        Self { tenure: record.tenure, renewed_at: record.renewed_at }
    }
}

impl Sighting {
    /// Whether no replica has written since. Others may set labels as they like: that makes another
    /// version with the same content.
    fn still_stands(&self, lease: Option<&Lease>, now: Time, duration: Millis) -> bool {
        let (Some(before), Some(lease)) = (&self.lease, lease) else { return self.lease.as_ref() == lease };
        if before.version == lease.version {
            return true;
        }
        // Two Leases without our annotations may look the same, and somebody may have held and lost
        // the Lease in between: both were just made, or both were taken by the same foreign client.
        let bare = lease.content.signed.is_none();
        // Nor does the content tell a Lease that was labelled from one that was written and then
        // restored. For that it takes a while in which this replica didn't look.
        let blind = now.since(self.looked).0 * 2 > duration.0;
        before.content == lease.content && !bare && !blind
    }
}
