//! The word of a standby about which replica is the active one: read, and doubted.

use crate::endpoints::Target;
use std::net::IpAddr;
use tonic::metadata::MetadataMap;

/// The response metadata that has it: `HOST:PORT`.
const HEADER: &str = "leasehold-active";
/// Bytes of its value, at most.
const LONGEST: usize = 256;

/// The address that a response names, if it names one.
pub(crate) fn address(metadata: &MetadataMap) -> Option<&str> {
    let address = metadata.get(HEADER)?.to_str().ok()?;
    split(address).map(|_| address)
}

/// What to connect to for that address, if it was said by this replica. It is plain text, so nobody is sent there who
/// doesn't talk plain text already; and a replica elsewhere that believes to be on this machine has a wrong setting.
pub(crate) fn target(address: &str, said_by: &Target) -> Option<Target> {
    let (host, _) = split(address)?;
    let uri = said_by.endpoint.uri();
    if uri.scheme_str() != Some("http") || (is_loopback(host) && !is_loopback(uri.host()?)) {
        return None;
    }
    Target::new(&format!("http://{address}")).ok()
}

/// Host and port, if it is an address and nothing else.
fn split(address: &str) -> Option<(&str, u16)> {
    if address.len() > LONGEST {
        return None;
    }
    let (host, port) = address.rsplit_once(':')?;
    let port = port.bytes().all(|byte| byte.is_ascii_digit()).then(|| port.parse().ok())?.filter(|port| *port != 0)?;
    let is_host = match literal(host) {
        Some(ip) => !ip.is_unspecified() && ip.is_ipv6() == host.starts_with('['),
        None => !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)),
    };
    is_host.then_some((host, port))
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || literal(host).is_some_and(|ip| ip.is_loopback())
}

/// The address in numbers, if the host is one.
fn literal(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    bare.unwrap_or(host).parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn said(value: &str) -> Option<String> {
        let mut metadata = MetadataMap::new();
        metadata.insert(HEADER, value.parse().ok()?);
        address(&metadata).map(str::to_owned)
    }

    #[test]
    fn an_address_is_a_host_and_a_port() {
        let longest = format!("{}:7400", "a".repeat(LONGEST - 5));
        for good in ["10.0.0.7:7400", "[fd00::7]:7400", "leasehold-0.leasehold.prod.svc:7400", "a_b:1", &longest] {
            assert_eq!(said(good).as_deref(), Some(good));
        }
        assert_eq!(address(&MetadataMap::new()), None);
    }

    #[test]
    fn anything_else_is_ignored() {
        let too_long = format!("{}:7400", "a".repeat(LONGEST - 4));
        for bad in [
            "",
            ":",
            "host",
            "host:",
            ":7400",
            "host:0",
            "host:65536",
            "host:+1",
            "host:7400/",
            "http://host:7400",
            "user@host:7400",
            "a b:7400",
            "a,b:7400",
            "0.0.0.0:7400",
            "[::]:7400",
            "fd00::7:7400",
            "[10.0.0.7]:7400",
            "[host]:7400",
            "[]:7400",
            &too_long,
        ] {
            assert_eq!(said(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn only_plain_text_leads_to_plain_text_and_only_loopback_to_loopback() {
        let near = Target::new("http://127.0.0.1:7400").unwrap();
        let far = Target::new("http://leasehold.prod.svc:7400").unwrap();
        assert_eq!(&*target("10.0.0.7:7400", &far).unwrap().address, "10.0.0.7:7400");
        assert!(target("10.0.0.7:7400", &near).is_some(), "a forwarded port");
        assert!(target("localhost:7401", &near).is_some());
        for local in ["127.0.0.1:7400", "[::1]:7400", "LocalHost:7400"] {
            assert!(target(local, &far).is_none(), "{local}");
        }
        let mut sealed = far;
        sealed.endpoint = tonic::transport::Endpoint::from_static("https://leasehold.prod.svc:7400");
        assert!(target("10.0.0.7:7400", &sealed).is_none());
    }
}
