//! The ticket of a candidacy, and the version of the newest word about it. No I/O.

/// Words overtake each other: a KeepAlive that was sent before a Proclaim may be answered after it,
/// with a ticket that doesn't have the new value. The service counts the states of a candidacy,
/// over failovers too, so the word with the lower version is the older one.
#[derive(Debug)]
pub(super) struct Ticket {
    bytes: Vec<u8>,
    version: u64,
}

impl Ticket {
    pub(super) fn new(bytes: Vec<u8>, version: u64) -> Self {
        Self { bytes, version }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Takes note of a word about the candidacy. False: a newer word was heard, so this one says
    /// nothing. A word of version 0 is an end, and no word is newer than that.
    pub(super) fn admit(&mut self, version: u64) -> bool {
        let is_newest = version == 0 || version >= self.version;
        self.version = self.version.max(version);
        is_newest
    }

    /// Takes the ticket of a word that was admitted, if it has one.
    pub(super) fn take(&mut self, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.bytes = bytes;
        }
    }
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
