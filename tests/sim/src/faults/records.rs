//! A file that is slow, hung, failed or full; a record that is lost, or older than it was.

use crate::checks::Violation;
use crate::plan::Fault;
use crate::store::Written;
use crate::truth::Fact;
use crate::world::World;
use leasehold_core::Found;

impl World {
    pub(super) fn store_fault(&mut self, fault: Fault) {
        let time = self.rng.millis(100, 10_000);
        let until = self.now + time;
        match fault {
            Fault::StoreHangs => {
                self.reach("store hung");
                self.store.hangs_until = until;
            }
            Fault::StoreFails => {
                self.reach("store failed");
                self.store.fails_until = until;
            }
            Fault::StoreFull => {
                self.reach("disk full");
                // For longer than many a TTL.
                let time = self.rng.millis(1000, 30_000);
                self.store.full_until = self.now + time;
            }
            _ => {
                self.reach("store slow");
                self.store.slow_until = until;
            }
        }
    }

    pub(super) fn record_fault(&mut self, fault: Fault) -> Result<(), Violation> {
        let server = &self.servers[0];
        let up = server.up && !server.stopping;
        let file = match fault {
            Fault::StoreLost if !up && self.store.file.found != Found::Fresh => {
                self.reach("record lost");
                // Only the clock still tells which numbers were used; it must have moved on.
                self.wall_clock_ms += 100_000_000;
                Written::lost()
            }
            Fault::StoreRestored if up && server.has_read => {
                let was_active = server.was_active;
                let index = self.rng.index(self.store.versions.len());
                let old = self.store.versions[index].clone();
                let newest = self.store.versions.last() == Some(&old) && !was_active;
                if newest || !matches!(old.found, Found::Record(_)) {
                    return Ok(());
                }
                self.reach("older record restored");
                self.store.restored = true;
                old
            }
            _ => return Ok(()),
        };
        let found = file.found.clone();
        self.store.file = file;
        self.note(0, &Fact::Stored { found: &found, by_fault: true })
    }
}
