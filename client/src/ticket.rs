//! The ticket of a candidacy, and how new what is known of the candidacy is.

use crate::proto::EndReason;

/// The latest ticket of a candidacy, and the version of the newest word about it.
///
/// Words overtake each other: a KeepAlive that was sent before a Proclaim may be answered after it,
/// with a ticket that doesn't have the new value. The service counts the states of a candidacy,
/// over failovers too, so the word with the lower version is the older one.
#[derive(Debug)]
pub(crate) struct Ticket {
    bytes: Vec<u8>,
    version: u64,
}

impl Ticket {
    pub(crate) fn new(bytes: Vec<u8>, version: u64) -> Self {
        Self { bytes, version }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Takes note of a word about the candidacy. False: a newer one was heard, so this one says
    /// nothing. A word without a version is an end, and no word is newer than that.
    pub(crate) fn admit(&mut self, version: u64) -> bool {
        let is_newest = version == 0 || version >= self.version;
        self.version = self.version.max(version);
        is_newest
    }

    /// Takes the ticket of a word that was admitted, if it has one.
    pub(crate) fn take(&mut self, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.bytes = bytes;
        }
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
    fn a_word_of_a_lower_version_says_nothing() {
        let mut ticket = Ticket::new(vec![1], 10);
        assert!(ticket.admit(10), "the same state, told again");
        assert!(ticket.admit(12));
        assert!(!ticket.admit(11), "it was overtaken");
        assert!(ticket.admit(12));
        assert!(ticket.admit(0), "an end has no version");
        assert!(!ticket.admit(11), "and makes nothing older new");
    }

    #[test]
    fn no_ticket_replaces_none() {
        let mut ticket = Ticket::new(vec![1], 10);
        ticket.take(Vec::new());
        assert_eq!(ticket.bytes(), [1]);
        ticket.take(vec![2]);
        assert_eq!(ticket.bytes(), [2]);
    }
}
