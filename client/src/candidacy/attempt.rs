//! Names for entries: a Campaign that is sent again, because its answer was lost, finds the
//! candidacy that it has made.

/// A name that no other entry has: 128 random bits in hexadecimal.
///
/// The name has to be unique among the entries of one candidate, and needn't be secret: std's seeds
/// of hash maps, which the system draws at random, are good enough.
#[cfg(not(turmoil))]
pub(super) fn name() -> String {
    use std::hash::BuildHasher as _;
    let random = std::hash::RandomState::new();
    format!("{:016x}{:016x}", random.hash_one(0), random.hash_one(1))
}

/// A simulation that is repeated with its seed has the same names.
#[cfg(turmoil)]
pub(super) fn name() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{:032x}", NEXT.fetch_add(1, Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    #[test]
    fn each_entry_has_a_name_of_its_own_that_the_service_takes() {
        let names: HashSet<_> = (0..1000).map(|_| super::name()).collect();
        assert_eq!(names.len(), 1000);
        assert!(names.iter().all(|name| name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit())));
    }
}
