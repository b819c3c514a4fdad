//! What is published over HTTPS for everybody to read: the keys of the cluster, and those of
//! OpenID providers. The Kubernetes client reads both, so there is one HTTP client.

use super::{ApiError, CONNECT_TIMEOUT, api_client, api_config};
use kube::{Client, Config};
use std::fmt;
use std::time::Duration;
use tonic::codegen::http::{Request, Uri};

/// How long a server may be silent.
const READ_TIMEOUT: Duration = Duration::from_secs(3);

/// A server, and what it publishes below this path.
#[derive(Clone)]
pub(crate) struct Published {
    client: Client,
    path: String,
    name: String,
}

impl Published {
    /// The API server, with the rights that this process has there.
    ///
    /// # Errors
    /// When there is no cluster to be found, or no way to it.
    pub(crate) async fn by_the_cluster() -> anyhow::Result<Self> {
        let config = api_config().await?;
        Ok(Self { client: api_client(limited(config))?, path: String::new(), name: "the API server".to_owned() })
    }

    /// What is below this URL.
    ///
    /// # Errors
    /// As [`Published::check`].
    pub(crate) fn at(url: &str) -> Result<Self, String> {
        let (base, path) = parts(url)?;
        let client =
            api_client(limited(Config::new(base))).map_err(|error| format!("{url:?} can't be read: {error:#}"))?;
        Ok(Self { client, path, name: url.to_owned() })
    }

    /// Whether this URL can be read.
    ///
    /// # Errors
    /// When it isn't an `https` URL. Plain text is taken from this machine only: whoever stands
    /// between could publish any key.
    pub(crate) fn check(url: &str) -> Result<(), String> {
        parts(url).map(|_| ())
    }

    /// What is there.
    pub(crate) async fn get(&self, path: &str) -> Result<String, String> {
        let path = match format!("{}{path}", self.path) {
            root if root.is_empty() => "/".to_owned(),
            path => path,
        };
        let request = Request::get(path).body(Vec::new()).map_err(|error| error.to_string())?;
        let answer = self.client.request_text(request).await;
        answer.map_err(|error| match ApiError::from(error) {
            ApiError::Refused { code, message } => format!("{} answers {code}: {message}", self.name),
            ApiError::Unreachable(why) => format!("{} can't be reached: {why}", self.name),
            silent @ ApiError::Silent { .. } => silent.to_string(),
        })
    }
}

/// The server of a URL, and the path there.
fn parts(url: &str) -> Result<(Uri, String), String> {
    let bad = |why: &str| format!("{url:?} can't be read: {why}");
    let uri: Uri = url.parse().map_err(|_| bad("it isn't a URL"))?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(bad("write it like https://issuer.example"));
    };
    let local = ["127.0.0.1", "[::1]", "localhost"].contains(&authority.host());
    if scheme != "https" && !(scheme == "http" && local) {
        return Err(bad("only https:// is read from other machines"));
    }
    if uri.query().is_some() {
        return Err(bad("it has a query"));
    }
    let base = format!("{scheme}://{authority}").parse().map_err(|_| bad("it isn't a URL"))?;
    Ok((base, uri.path().trim_end_matches('/').to_owned()))
}

fn limited(mut config: Config) -> Config {
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = Some(READ_TIMEOUT);
    config
}

impl fmt::Debug for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Published({}{})", self.name, self.path)
    }
}
