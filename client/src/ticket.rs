//! The ticket of a candidacy, and which of several answers has the newest one.

use crate::proto::EndReason;

/// The latest ticket.
///
/// Calls overlap: a KeepAlive that was sent before a Proclaim may be answered after it, with a ticket that doesn't have the new
/// value. So an answer's ticket counts only if no other was taken since its call was sent, or if it is of a later tenure.
#[derive(Debug)]
pub(crate) struct Ticket {
    bytes: Vec<u8>,
    tenure: u64,
    version: u64,
}

impl Ticket {
    pub(crate) fn new(bytes: Vec<u8>, tenure: u64) -> Self {
        Self { bytes, tenure, version: 0 }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Goes up with each ticket that is taken.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Takes the ticket of an answer whose call was sent with this version. Says no if a newer one is held: then it is time to
    /// ask for one that has everything.
    pub(crate) fn take(&mut self, bytes: Vec<u8>, tenure: u64, sent_with: u64) -> bool {
        if bytes.is_empty() {
            return true;
        }
        let newest = tenure > self.tenure || (tenure == self.tenure && sent_with == self.version);
        if newest {
            (self.bytes, self.tenure, self.version) = (bytes, tenure, self.version + 1);
        }
        newest
    }
}

/// Whether a candidacy that ended so did so because of an outage, so that a waiting worker may enter again by itself.
pub(crate) fn is_outage(reason: EndReason) -> bool {
    matches!(reason, EndReason::Expired | EndReason::Overtaken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_an_older_call_doesnt_replace_a_newer_ticket() {
        let mut ticket = Ticket::new(vec![1], 10);
        let keep_alive = ticket.version();
        let proclaim = ticket.version();
        assert!(ticket.take(vec![2], 10, proclaim));
        assert!(!ticket.take(vec![3], 10, keep_alive), "sent before the proclamation was answered");
        assert_eq!(ticket.bytes(), [2]);
        assert!(ticket.take(vec![4], 11, keep_alive), "a later tenure knows better");
        assert_eq!(ticket.bytes(), [4]);
        assert!(!ticket.take(vec![5], 10, ticket.version()), "an earlier one doesn't");
    }
}
