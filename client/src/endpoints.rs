//! Where the service is: one address or several, as they are given.

use crate::Error;
use std::sync::Arc;
use std::time::Duration;
use tonic::transport::Endpoint;

/// Endpoints of one client.
const MOST: usize = 16;
/// How long a connection may take to come up.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a connection is probed with an HTTP/2 ping, idle or not.
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// How long the answer to that ping may take.
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// What a connection is made to.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) endpoint: Endpoint,
    /// `HOST:PORT`, to tell targets apart.
    pub(crate) address: Arc<str>,
}

impl Target {
    /// One that was given as `http://HOST:PORT`, with the settings of every connection.
    pub(crate) fn new(url: &str) -> Result<Self, Error> {
        let invalid = |detail| Error::Invalid { what: "the endpoint", detail };
        let endpoint = Endpoint::from_shared(url.to_owned()).map_err(|error| invalid(format!("{url:?}: {error}")))?;
        let Some(authority) = endpoint.uri().authority().filter(|_| endpoint.uri().scheme_str() == Some("http")) else {
            return Err(invalid(format!("{url:?}: give it as http://HOST:PORT")));
        };
        let address = Arc::from(authority.as_str());
        let endpoint = endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .keep_alive_while_idle(true);
        Ok(Self { endpoint, address })
    }
}

/// Reads a list, `http://a:7400,http://b:7400`.
pub(crate) fn parse(list: &str) -> Result<Vec<Target>, Error> {
    let targets = list.split(',').map(|url| Target::new(url.trim())).collect::<Result<Vec<_>, _>>()?;
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
        Ok(parse(list)?.into_iter().map(|target| target.address.to_string()).collect())
    }

    #[test]
    fn a_list_is_separated_by_commas_and_spaces_dont_matter() {
        assert_eq!(addresses("http://a:7400").unwrap(), ["a:7400"]);
        assert_eq!(addresses(" http://a:7400 ,http://[::1]:7401/").unwrap(), ["a:7400", "[::1]:7401"]);
    }

    #[test]
    fn what_isnt_a_list_of_addresses_is_refused() {
        for list in
            ["", ",", "http://a:1,", "http://a:1,,http://b:1", "http://a:1 http://b:1", "http://a:1,https://b:1"]
        {
            assert!(matches!(addresses(list), Err(Error::Invalid { what: "the endpoint", .. })), "{list:?}");
        }
        assert_eq!(addresses(&["http://a:1"; MOST].join(",")).unwrap().len(), MOST);
        assert!(addresses(&["http://a:1"; MOST + 1].join(",")).is_err());
    }
}
