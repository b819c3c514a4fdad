//! The address of a replica.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// The longest name of a host, in bytes.
const MAX_NAME_BYTES: usize = 253;

/// Where a replica serves gRPC, as others reach it: `HOST:PORT`. The host is a name, an IPv4
/// address, or an IPv6 address in brackets.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Address(Arc<str>);

/// Why a text isn't an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAddress {
    /// It hasn't the form of one.
    #[error("{0:?} isn't HOST:PORT; write it like 10.0.0.7:7400, [fd00::7]:7400 or leasehold-0.leasehold:7400")]
    Form(String),
    /// `0.0.0.0` or `[::]`: whoever connects to it reaches its own machine.
    #[error(
        "{0:?} means every address of a machine, and leads nobody to this one; give the address at which the other replicas \
         reach it, like 10.0.0.7:7400 or leasehold-0.leasehold:7400"
    )]
    Unspecified(String),
}

impl Address {
    /// Checks an address.
    ///
    /// # Errors
    /// [`BadAddress`] if others can't connect to it.
    pub fn new(text: &str) -> Result<Self, BadAddress> {
        match text.parse::<SocketAddr>() {
            Ok(socket) if socket.ip().to_canonical().is_unspecified() => Err(BadAddress::Unspecified(text.to_owned())),
            // A scope means something on one machine only.
            Ok(_) if !text.contains('%') => Ok(Self(text.into())),
            Err(_) if is_name_with_port(text) => Ok(Self(text.into())),
            _ => Err(BadAddress::Form(text.to_owned())),
        }
    }

    /// Stands for an address that can't be used. Names of `.invalid` are never given to anybody, so
    /// whoever tries to connect is told that there is no such host.
    #[must_use]
    pub fn unusable() -> Self {
        Self("unusable-address.invalid:1".into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// This address, with that port if its own is 0.
    #[must_use]
    pub fn or_port(self, port: u16) -> Self {
        match self.0.rsplit_once(':') {
            Some((host, digits)) if digits.parse() == Ok(0_u16) => Self(format!("{host}:{port}").into()),
            _ => self,
        }
    }
}

fn is_name_with_port(text: &str) -> bool {
    let fair = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    let Some((name, port)) = text.split_once(':') else { return false };
    let digits = port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    (1..=MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(fair) && !ends_in_number(name) && digits
}

/// Whether a system may take this name for an IPv4 address of another spelling: `0`, `10.1` and
/// `127.0.0.0x1` are. No name on the network ends in a number.
fn ends_in_number(name: &str) -> bool {
    let last = name.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    let hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    last.bytes().all(|byte| byte.is_ascii_digit())
        || hex.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in ["10.0.0.7:7400", "leasehold-0.leasehold:7400", "[fd00::7]:7400", "a_b:0"] {
            assert_eq!(Address::new(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "host",
            ":7400",
            "host:",
            "host:65536",
            "host:+1",
            "fd00::7:7400",
            "[host]:1",
            "[fe80::1%1]:1",
            "http://h:1",
            "a b:1",
        ] {
            assert_eq!(Address::new(bad), Err(BadAddress::Form(bad.to_owned())));
        }
        for nowhere in ["0.0.0.0:7400", "[::]:7400", "[::ffff:0.0.0.0]:7400"] {
            assert_eq!(Address::new(nowhere), Err(BadAddress::Unspecified(nowhere.to_owned())));
        }
        for (given, with_port) in
            [("a:0", "a:7"), ("a:00", "a:7"), ("[fd00::7]:0", "[fd00::7]:7"), ("a:1", "a:1"), ("a:010", "a:010")]
        {
            assert_eq!(Address::new(given).unwrap().or_port(7).as_str(), with_port);
        }
    }

    #[test]
    fn the_address_that_cant_be_used_has_the_form_of_one() {
        let unusable = Address::unusable();
        assert_eq!(Address::new(unusable.as_str()), Ok(unusable));
    }

    /// Systems read these as IPv4 addresses, some of them as 0.0.0.0.
    #[test]
    fn another_spelling_of_an_ipv4_address_is_no_name() {
        for host in ["0", "0.0", "00.0.0.0", "010.0.0.7", "10.1", "0x0", "0X7f000001", "1.0x", "a.7", "0.0.0.0.", "."] {
            let text = format!("{host}:7400");
            assert_eq!(Address::new(&text), Err(BadAddress::Form(text)));
        }
        for host in ["leasehold-0", "0.leasehold", "0x0.leasehold.", "a.0xg", "7a"] {
            assert!(Address::new(&format!("{host}:7400")).is_ok(), "{host}");
        }
    }
}
