//! The API server of the bench: one Lease in memory, with compare-and-swap.

use leasehold_core::{Address, Content, Holder, Lease, Millis, Outcome, Over, Record, Signed, Time, Version};
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(crate) struct Api {
    pub(crate) lease: Option<Lease>,
    /// What stood there after each change that watches haven't been told of.
    pub(crate) events: Vec<Option<Lease>>,
    saved: BTreeMap<String, Content>,
    versions: u64,
}

/// Who writes: everything in a Lease that the core doesn't say.
#[derive(Clone, Debug)]
pub(crate) struct Writer {
    pub(crate) me: Holder,
    pub(crate) address: Address,
    pub(crate) lease_seconds: Millis,
}

/// Where the replica of this name serves.
pub(crate) fn address(name: &str) -> Address {
    Address::new(&format!("{name}:1")).expect("a fair name")
}

/// Who serves there.
pub(crate) fn name_at(address: &Address) -> &str {
    address.as_str().trim_end_matches(":1")
}

impl Api {
    fn put(&mut self, content: Content) -> Version {
        self.versions += 1;
        let version = Version(format!("v{}", self.versions));
        self.lease = Some(Lease { version: version.clone(), content });
        self.events.push(self.lease.clone());
        version
    }

    /// A replica's write.
    pub(crate) fn write(&mut self, writer: &Writer, over: &Over, record: Option<Record>, now: Time) -> Outcome {
        let found = self.lease.as_ref().map(|lease| &lease.version);
        let fits = match over {
            Over::Anything => unreachable!("a Lease has several writers"),
            Over::Version(version) => found == Some(version),
            Over::Nothing => found.is_none(),
        };
        if !fits {
            return Outcome::Conflict;
        }
        // One that is made looks like what `kubectl apply` makes: no two of them differ but in
        // their versions.
        let stands = self.lease.as_ref().map(|lease| lease.content.clone());
        let bare = || Content { signed: None, ..stands.unwrap_or_default() };
        let content = record.map_or_else(bare, |record| Content {
            holder: record.ended_at.is_none().then(|| writer.me.clone()),
            duration: Some(writer.lease_seconds),
            renew_time: now.0.to_string(),
            signed: Some(Signed { by: writer.me.clone(), address: writer.address.clone(), record }),
            newer: None,
        });
        Outcome::Stored(Some(self.put(content)))
    }

    pub(crate) fn delete(&mut self) {
        self.lease = None;
        self.events.push(None);
    }

    /// Somebody else changes what is there.
    pub(crate) fn edit(&mut self, change: impl FnOnce(&mut Content)) {
        let mut content = self.lease.as_ref().map(|lease| lease.content.clone()).unwrap_or_default();
        change(&mut content);
        self.put(content);
    }

    pub(crate) fn save(&mut self, name: String) -> Result<(), String> {
        let lease = self.lease.as_ref().ok_or("there is no Lease")?;
        self.saved.insert(name, lease.content.clone());
        Ok(())
    }

    pub(crate) fn restore(&mut self, name: &str) -> Result<(), String> {
        let content = self.saved.get(name).ok_or("no such Lease was saved")?.clone();
        self.put(content);
        Ok(())
    }
}
