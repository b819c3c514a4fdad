//! The word of a standby about which replica is the active one: read, and doubted.

use super::endpoint::{Target, is_loopback, literal};
use tonic::metadata::MetadataMap;

/// The response metadata that has it: `HOST:PORT`.
const HEADER: &str = "leasehold-active";
/// Bytes of its value, at most.
const LONGEST: usize = 256;

/// What to connect to by the metadata of a response of this replica, if they name an address that
/// may be believed.
///
/// A client that talks TLS goes on with TLS: the certificate there must be for that address, or for
/// the service that has named it. A replica elsewhere that says to be on this machine has a wrong
/// setting.
pub(super) fn target(metadata: &MetadataMap, said_by: &Target) -> Option<Target> {
    let address = metadata.get(HEADER)?.to_str().ok()?;
    let host = host(address)?;
    let uri = said_by.endpoint.uri();
    if is_loopback(host) && !is_loopback(uri.host()?) {
        return None;
    }
    said_by.named(address)
}

/// The host of an address, if it is one and nothing else.
fn host(address: &str) -> Option<&str> {
    if address.len() > LONGEST {
        return None;
    }
    let (host, port) = address.rsplit_once(':')?;
    let is_port = port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port != 0);
    let is_host = match literal(host) {
        Some(ip) => !ip.is_unspecified() && ip.is_ipv6() == host.starts_with('['),
        None => !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)),
    };
    (is_host && is_port).then_some(host)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn said_by(by: &Target, value: &str) -> Option<String> {
        let mut metadata = MetadataMap::new();
        metadata.insert(HEADER, value.parse().ok()?);
        target(&metadata, by).map(|target| target.address.to_string())
    }

    fn said(value: &str) -> Option<String> {
        said_by(&Target::new("leasehold.prod.svc:7400").unwrap(), value)
    }

    #[test]
    fn an_address_is_a_host_and_a_port() {
        let longest = format!("{}:7400", "a".repeat(LONGEST - 5));
        for good in
            ["10.0.0.7:7400", "[fd00::7]:7400", "leasehold-0.leasehold.prod.svc:7400", "a_b:1", "unix:1", &longest]
        {
            assert_eq!(said(good).as_deref(), Some(good));
        }
        assert!(target(&MetadataMap::new(), &Target::new("a:1").unwrap()).is_none());
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
    fn tls_leads_to_tls_and_only_loopback_to_loopback() {
        let near = Target::new("127.0.0.1:7400").unwrap();
        assert!(said_by(&near, "10.0.0.7:7400").is_some(), "a forwarded port");
        assert!(said_by(&near, "localhost:7401").is_some());
        for local in ["127.0.0.1:7400", "[::1]:7400", "LocalHost:7400"] {
            assert!(said(local).is_none(), "{local}");
        }
        for (by, scheme) in [("https://leasehold.prod.svc:7400", "https"), ("leasehold.prod.svc:7400", "http")] {
            let mut metadata = MetadataMap::new();
            metadata.insert(HEADER, "10.0.0.7:7400".parse().unwrap());
            let target = target(&metadata, &Target::new(by).unwrap()).unwrap();
            assert_eq!(target.endpoint.uri().to_string(), format!("{scheme}://10.0.0.7:7400/"));
        }
    }
}
