//! The end in good order: the last words of a tenure on their way into the store.

use super::desk::Write;
use super::shared::{News, Next, NextRole, Shared};
use crate::{Outcome, Over, Record, Time};

/// A replica that stores its last words. It serves nobody any more.
///
/// With a Lease each try checks that the Lease is still this tenure's own: it is neither repaired
/// nor taken back. The shell knows how long this may go on. A file is written once, whatever comes
/// of it.
#[derive(Debug)]
pub(super) struct Releasing {
    record: Box<Record>,
    /// Reads the Lease again then, when nothing is under way: the API server hasn't answered.
    read_at: Time,
}

impl Releasing {
    /// A request of the tenure may still be under way: its answer tells what the release replaces.
    pub(super) fn new(shared: &mut Shared, record: Box<Record>, over: Over) -> Self {
        let releasing = Self { record, read_at: shared.now };
        if shared.desk.is_idle() {
            releasing.write(shared, over);
        }
        releasing
    }

    pub(super) fn on(&mut self, shared: &mut Shared, news: News) -> Next {
        match news {
            News::Written(Write::Renewal(_), Outcome::Stored(Some(version))) => {
                self.write(shared, Over::Version(version));
            }
            News::Written(Write::Renewal(_), _) if shared.is_alone() => self.write(shared, Over::Anything),
            News::Written(Write::Release, Outcome::Stored(_)) => return NextRole::Stop.into(),
            News::Written(Write::Release, _) if shared.is_alone() => return NextRole::Stop.into(),
            News::Written(..) => shared.read(),
            News::Read if shared.desk.is_idle() => match self.own_version(shared) {
                Some(over) => self.write(shared, over),
                None => return NextRole::Stop.into(),
            },
            News::ReadFailed => self.read_at = shared.retry_at(),
            _ => {}
        }
        Next::Stay
    }

    pub(super) fn pass_time(&mut self, shared: &mut Shared) -> Next {
        if shared.desk.is_idle() && self.read_at <= shared.now {
            shared.read();
        }
        Next::Stay
    }

    fn write(&self, shared: &mut Shared, over: Over) {
        if over == Over::Nothing {
            // The Lease was gone, and a repair of it failed.
            return shared.read();
        }
        shared.write(Write::Release, over, self.record.clone());
    }

    /// The Lease as it was read, if it is still this tenure's.
    /// Rule `release-checks`.
    fn own_version(&self, shared: &Shared) -> Option<Over> {
        let lease = shared.sight.lease()?;
        let signed = lease.content.held().filter(|signed| shared.sight.is_me(&signed.by))?;
        (signed.record.tenure == self.record.tenure).then(|| Over::Version(lease.version.clone()))
    }

    pub(super) fn next_deadline(&self, shared: &Shared) -> Option<Time> {
        shared.desk.is_idle().then_some(self.read_at)
    }
}
