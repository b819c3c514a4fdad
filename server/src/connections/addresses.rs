//! How many connections each address has.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The part of an IPv6 address that names a network. One host has all of the rest.
const NETWORK: u128 = u128::MAX << 64;

/// Counts connections by address.
#[derive(Clone, Debug)]
pub(super) struct Addresses {
    limit: usize,
    counts: Arc<Mutex<BTreeMap<IpAddr, usize>>>,
}

/// One connection's place among those of its address. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Place {
    addresses: Addresses,
    address: IpAddr,
}

impl Addresses {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, counts: Arc::default() }
    }

    /// A place for one more connection from there, if there is one left.
    pub(super) fn enter(&self, from: IpAddr) -> Option<Place> {
        let address = host(from);
        let mut counts = self.counts();
        let count = counts.entry(address).or_default();
        if *count >= self.limit {
            return None;
        }
        *count += 1;
        Some(Place { addresses: self.clone(), address })
    }

    fn counts(&self) -> MutexGuard<'_, BTreeMap<IpAddr, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The host's address, as far as one host is told from another.
    pub(crate) fn address(&self) -> IpAddr {
        self.address
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.addresses.counts();
        debug_assert!(counts.contains_key(&self.address), "each place is counted");
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

/// What stands for a host: an IPv4 address, or the network of an IPv6 address.
fn host(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & NETWORK).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn each_address_has_so_many_places_and_gets_them_back() {
        let addresses = Addresses::new(2);
        let places: Vec<_> = (0..2).map(|_| addresses.enter(ip("10.0.0.1")).unwrap()).collect();
        assert!(addresses.enter(ip("10.0.0.1")).is_none());
        assert!(addresses.enter(ip("::ffff:10.0.0.1")).is_none(), "it is the same host");
        assert!(addresses.enter(ip("10.0.0.2")).is_some());
        drop(places);
        assert!(addresses.counts().is_empty(), "nothing is kept of who is gone");
        assert!(addresses.enter(ip("10.0.0.1")).is_some());
    }

    #[test]
    fn a_host_has_a_whole_network_of_ipv6_addresses() {
        let addresses = Addresses::new(1);
        let _place = addresses.enter(ip("2001:db8:0:1::1")).unwrap();
        assert!(addresses.enter(ip("2001:db8:0:1:ffff::9")).is_none());
        assert!(addresses.enter(ip("2001:db8:0:2::1")).is_some());
    }
}
