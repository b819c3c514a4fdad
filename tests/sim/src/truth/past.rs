//! What is over: tenures that ended, and claims with what they replaced in the Lease.

use super::Former;
use leasehold_core::{Content, Holder, Millis, Record, Tenure};
use std::collections::BTreeMap;

/// So many tenures are remembered.
const TENURES: usize = 40;

/// What a claim came after.
#[derive(Clone, Debug, Default)]
pub(crate) struct Basis {
    pub(super) found: Option<Record>,
    /// It isn't what the last tenure wrote.
    pub(super) outdated: bool,
}

#[derive(Debug, Default)]
pub(super) struct Past {
    formers: BTreeMap<Tenure, Former>,
    claims: BTreeMap<Tenure, (Record, Basis)>,
    /// What a replica wrote last into the Lease.
    last_written: Option<Record>,
    /// What stands in the file now isn't what the last tenure wrote.
    pub(super) tampered: bool,
    /// What was read last wasn't.
    pub(super) read_tampered: bool,
}

impl Past {
    pub(super) fn remember(&mut self, former: Former) {
        self.formers.insert(former.tenure, former);
        if self.formers.len() > TENURES {
            self.formers.pop_first();
        }
    }

    pub(super) fn former(&self, tenure: Tenure) -> Option<&Former> {
        self.formers.get(&tenure)
    }

    pub(super) fn basis(&self, tenure: Tenure) -> Option<&Basis> {
        self.claims.get(&tenure).map(|(_, basis)| basis)
    }

    pub(super) fn newest(&self) -> Option<Tenure> {
        self.claims.last_key_value().map(|(tenure, _)| *tenure)
    }

    /// A replica's write was applied.
    pub(super) fn applied(&mut self, record: &Record, replaced: Option<&Content>, me: &str) {
        let signed = replaced.and_then(|content| content.signed.as_ref());
        let claims = record.renewed_at == Millis(0) && record.ended_at.is_none();
        if claims && !self.claims.contains_key(&record.tenure) {
            let mut basis = Basis { found: signed.map(|signed| signed.record.clone()), outdated: false };
            basis.outdated = basis.found.is_some() && basis.found != self.last_written;
            // A claim of its own that never began handed out nothing: what that had replaced still
            // counts.
            if let Some(signed) = signed
                && signed.by == Holder(me.to_owned())
                && let Some((unused, before)) = self.claims.get(&signed.record.tenure)
                && *unused == signed.record
                && !self.formers.contains_key(&signed.record.tenure)
            {
                basis = Basis { outdated: basis.outdated || before.outdated, ..before.clone() };
            }
            self.claims.insert(record.tenure, (record.clone(), basis));
            if self.claims.len() > TENURES {
                self.claims.pop_first();
            }
        }
        self.last_written = Some(record.without_handover());
    }
}
