//! Where the service is: its endpoints, as they are given.

use super::tls::{self, Tls};
use super::token::TokenFile;
use crate::access::Access;
use crate::error::Error;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tonic::transport::Endpoint;

/// What to do about something that isn't an endpoint.
const FORM: &str = "give it as HOST:PORT";
/// What stands before an address in other clients of gRPC.
const SCHEMES: [&str; 9] = ["dns", "ipv4", "ipv6", "xds", "unix-abstract", "vsock", "passthrough", "http", "https"];
/// How many endpoints a client may have.
const MOST: usize = 16;
/// How long a connection may take to come up.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a connection is probed with an HTTP/2 ping, idle or not.
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// How long the answer to that ping may take.
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// What a connection is made to.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) endpoint: Endpoint,
    /// `HOST:PORT`, to tell targets apart.
    pub(super) address: Arc<str>,
    /// None: plain text.
    pub(super) tls: Option<Tls>,
    pub(super) token: Option<Arc<TokenFile>>,
    access: Arc<Access>,
}

impl Target {
    /// A target that nothing is known of but its name.
    #[cfg(test)]
    pub(super) fn new(given: &str) -> Result<Self, Error> {
        Self::with(given, &Arc::default(), None)
    }

    /// The target that was given as `HOST:PORT`, `https://HOST:PORT` or `http://HOST:PORT`, with
    /// the settings of every connection.
    fn with(given: &str, access: &Arc<Access>, token: Option<Arc<TokenFile>>) -> Result<Self, Error> {
        let invalid = |detail: &str| Error::Invalid { what: "the endpoint", detail: format!("{given:?}: {detail}") };
        let Given { scheme, host, port } = split(given).map_err(invalid)?;
        let is_tls = scheme.map_or(access.means_tls(), |scheme| scheme == Scheme::Https);
        if token.is_some() && !is_tls && !is_loopback(host) {
            return Err(invalid(
                "the token isn't sent in plain text, where others could read it; give https://HOST:PORT",
            ));
        }
        let tls = if is_tls { Some(Tls::new(access, host).ok_or_else(|| invalid(FORM))?) } else { None };
        let address = format!("{host}:{port}");
        let url = format!("{}://{address}", if is_tls { "https" } else { "http" });
        let endpoint = Endpoint::from_shared(url).map_err(|_| invalid(FORM))?;
        // The parser of URLs may have read something else than was meant.
        if endpoint.uri().host() != Some(host) || endpoint.uri().port_u16() != Some(port) {
            return Err(invalid(FORM));
        }
        let endpoint = endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .keep_alive_while_idle(true);
        Ok(Self { endpoint, address: Arc::from(address), tls, token, access: Arc::clone(access) })
    }

    /// The target at an address that a replica of this one has named. It is as well sealed.
    pub(super) fn named(&self, address: &str) -> Option<Self> {
        // With its scheme, as a host may be called like one of gRPC.
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let named = Self::with(&format!("{scheme}://{address}"), &self.access, self.token.clone()).ok()?;
        let tls = named.tls.zip(self.tls.as_ref()).map(|(tls, by)| tls.said_by(by));
        Some(Self { tls, ..named })
    }

    /// As it is given.
    pub(super) fn url(&self) -> String {
        format!("{}://{}", if self.tls.is_some() { "https" } else { "http" }, self.address)
    }

    /// This target with other pings.
    pub(super) fn pinged(mut self, interval: Duration, timeout: Duration) -> Self {
        self.endpoint = self.endpoint.http2_keep_alive_interval(interval).keep_alive_timeout(timeout);
        self
    }
}

/// Whether a host is this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || literal(host).is_some_and(|ip| ip.is_loopback())
}

/// The address in numbers, if the host is one.
pub(super) fn literal(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    bare.unwrap_or(host).parse().ok()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

/// An endpoint as it was given.
struct Given<'a> {
    scheme: Option<Scheme>,
    host: &'a str,
    port: u16,
}

/// What an endpoint says, or why it isn't one.
fn split(given: &str) -> Result<Given<'_>, &'static str> {
    let (scheme, authority) = match given.split_once("://") {
        None if given.starts_with("unix:") => return Err("sockets of Unix aren't supported; give HOST:PORT"),
        None if has_bare_scheme(given) => {
            return Err("this scheme isn't supported; give HOST:PORT, https://HOST:PORT or http://HOST:PORT");
        }
        None => (None, given),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (Some(Scheme::Http), rest),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (Some(Scheme::Https), rest),
        Some(("unix", _)) => return Err("sockets of Unix aren't supported; give HOST:PORT"),
        Some(_) => return Err("this scheme isn't supported; give HOST:PORT, https://HOST:PORT or http://HOST:PORT"),
    };
    // A slash alone is what libraries put at the end of a URL.
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    if authority.starts_with(['/', '.']) {
        return Err("it is the path of a file; give HOST:PORT");
    }
    if authority.split(['/', '?', '#']).next().is_some_and(|before| before != authority && !before.contains(':')) {
        return Err("the port is missing, and nothing may follow it; give HOST:PORT");
    }
    if authority.contains(['/', '?', '#']) {
        return Err("nothing may follow the port; give HOST:PORT");
    }
    if authority.contains('@') {
        return Err("it has no user; give HOST:PORT");
    }
    let bare = |host: &str| host.contains(':') && !(host.starts_with('[') && host.ends_with(']'));
    let (host, port) = match authority.rsplit_once(':') {
        // The last colon of [::1] is a part of the address.
        Some((_, rest)) if rest.ends_with(']') => (authority, None),
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    if bare(host) {
        return Err("an address of IPv6 stands in brackets; give [HOST]:PORT");
    }
    if host.is_empty() {
        return Err(FORM);
    }
    let Some(port) = port else { return Err("the port is missing; give HOST:PORT (the default port is 7400)") };
    match port.parse::<u16>() {
        Ok(port_number @ 1..) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            Ok(Given { scheme, host, port: port_number })
        }
        _ => Err("the port isn't a number from 1 to 65535"),
    }
}

/// Whether an endpoint begins with a scheme of gRPC that has no slashes, such as `dns:HOST:PORT`. A
/// host may have such a name, too: then a port alone follows.
fn has_bare_scheme(given: &str) -> bool {
    let Some((scheme, rest)) = given.split_once(':') else { return false };
    SCHEMES.iter().any(|known| known.eq_ignore_ascii_case(scheme)) && rest.contains(|char: char| !char.is_ascii_digit())
}

/// Reads a list, `a:7400,https://b:7400`, and the files that are needed to go there.
pub(super) fn parse(list: &str, access: Access) -> Result<Vec<Target>, Error> {
    let access = Arc::new(access);
    let token = access.token_file.clone().map(TokenFile::new);
    if let Some(token) = &token {
        let invalid = |detail| Error::Invalid { what: "the token (--token-file, LEASEHOLD_TOKEN_FILE)", detail };
        token.read().map_err(invalid)?;
    }
    let target = |given: &str| Target::with(given.trim(), &access, token.clone());
    let targets = list.split(',').map(target).collect::<Result<Vec<_>, _>>()?;
    access.identity()?;
    if targets.iter().any(|target| target.tls.is_some()) {
        tls::check(&access)?;
    }
    if targets.len() > MOST {
        let detail = format!("{} of them: {MOST} is the most", targets.len());
        return Err(Error::Invalid { what: "the list of endpoints", detail });
    }
    Ok(targets)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn addresses(list: &str) -> Result<Vec<String>, Error> {
        Ok(parse(list, Access::new())?.into_iter().map(|target| target.address.to_string()).collect())
    }

    #[test]
    fn a_list_is_separated_by_commas_and_spaces_dont_matter() {
        assert_eq!(addresses("http://a:7400").unwrap(), ["a:7400"]);
        assert_eq!(
            addresses(" http://a:7400 ,[::1]:7401, HTTP://B.example:1/").unwrap(),
            ["a:7400", "[::1]:7401", "B.example:1"]
        );
    }

    #[test]
    fn a_scheme_isnt_needed() {
        for (given, address) in
            [("127.0.0.1:7400", "127.0.0.1:7400"), ("localhost:1/", "localhost:1"), ("dns:53", "dns:53")]
        {
            let target = Target::new(given).unwrap();
            assert_eq!(&*target.address, address);
            assert_eq!(target.endpoint.uri().to_string(), format!("http://{address}/"));
        }
    }

    #[test]
    fn https_means_tls_and_so_does_an_authority_where_nothing_else_is_said() {
        let ca = Arc::new(Access::new().ca("ca.crt"));
        for (access, given, url) in [
            (&Arc::default(), "a:1", "http://a:1"),
            (&Arc::default(), "https://a:1", "https://a:1"),
            (&Arc::default(), "HTTPS://[::1]:1", "https://[::1]:1"),
            (&ca, "a:1", "https://a:1"),
            (&ca, "http://a:1", "http://a:1"),
        ] {
            let target = Target::with(given, access, None).unwrap();
            assert_eq!((target.url().as_str(), target.tls.is_some()), (url, url.starts_with("https")));
            assert_eq!(target.named("b:2").unwrap().url(), url.replace("a:1", "b:2").replace("[::1]:1", "b:2"));
        }
    }

    #[test]
    fn a_token_is_sent_inside_tls_or_inside_this_machine() {
        let token = || Some(TokenFile::new("token".into()));
        for good in ["https://a:1", "127.0.0.1:1", "http://[::1]:1", "localhost:1"] {
            assert!(Target::with(good, &Arc::default(), token()).is_ok(), "{good}");
        }
        let error = Target::with("a:1", &Arc::default(), token()).unwrap_err().to_string();
        assert!(error.contains("\"a:1\": the token isn't sent in plain text"), "{error}");
        let near = Target::with("127.0.0.1:1", &Arc::default(), token()).unwrap();
        assert!(near.named("10.0.0.7:1").is_none() && near.named("127.0.0.1:2").is_some());
    }

    #[test]
    fn what_isnt_a_list_of_addresses_is_refused() {
        for list in ["", ",", "http://a:1,", "http://a:1,,http://b:1", "http://a:1 http://b:1", "a:1,ftp://b:1"] {
            assert!(matches!(addresses(list), Err(Error::Invalid { what: "the endpoint", .. })), "{list:?}");
        }
        assert_eq!(addresses(&["http://a:1"; MOST].join(",")).unwrap().len(), MOST);
        assert!(addresses(&["http://a:1"; MOST + 1].join(",")).is_err());
    }

    #[test]
    fn a_refusal_names_the_endpoint_and_says_what_to_give() {
        for (given, said) in [
            ("127.0.0.1:99999", "the port isn't a number from 1 to 65535"),
            ("http://a:0", "the port isn't a number from 1 to 65535"),
            ("a:+1", "the port isn't a number from 1 to 65535"),
            ("a:", "the port isn't a number from 1 to 65535"),
            ("http://a:7400/leasehold", "nothing may follow the port"),
            ("a:7400?x=1", "nothing may follow the port"),
            ("unix:/run/leasehold.sock", "sockets of Unix aren't supported"),
            ("unix:///run/leasehold.sock", "sockets of Unix aren't supported"),
            ("https://a", "the port is missing"),
            ("https://a_b:7400/x", "nothing may follow the port"),
            ("dns:///a:7400", "this scheme isn't supported"),
            ("dns:a:7400", "this scheme isn't supported"),
            ("ipv4:127.0.0.1:7400", "this scheme isn't supported"),
            ("ipv6:[::1]:7400", "this scheme isn't supported"),
            ("/tmp/x", "it is the path of a file; give HOST:PORT"),
            ("./x", "it is the path of a file; give HOST:PORT"),
            ("a/x", "the port is missing, and nothing may follow it"),
            ("me@a:7400", "it has no user"),
            ("fd00::7:7400", "an address of IPv6 stands in brackets"),
            ("a", "the port is missing"),
            ("[::1]", "the port is missing"),
            (":7400", "give it as HOST:PORT"),
            ("a b:7400", "give it as HOST:PORT"),
            ("http://", "give it as HOST:PORT"),
        ] {
            let error = Target::new(given).unwrap_err().to_string();
            assert!(error.contains(&format!("{given:?}: {said}")), "{given}: {error}");
        }
    }
}
