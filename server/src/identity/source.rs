//! Where the keys of an issuer are published.

use super::jwks::{Jwks, MAX_JWKS_BYTES};
use crate::kubernetes::Published;
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;

/// How long one read may take.
const READ_TIMEOUT: Duration = Duration::from_secs(3);

/// Where keys come from.
#[derive(Clone, Debug)]
pub(crate) enum KeySource {
    /// A file with a JWK set.
    File(PathBuf),
    /// The API server of the cluster that this server runs in, read with its own rights.
    Cluster,
    /// What an OpenID provider publishes below its URL.
    Provider(String),
    /// A URL with a JWK set.
    Url(String),
}

/// Keys, and the issuer that publishes them where the source says that.
#[derive(Debug)]
pub(super) struct FoundKeys {
    pub(super) issuer: Option<String>,
    pub(super) keys: Jwks,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    #[serde(default)]
    jwks_uri: String,
}

impl KeySource {
    /// Reads the keys.
    pub(super) async fn read(&self) -> Result<FoundKeys, String> {
        match tokio::time::timeout(READ_TIMEOUT, self.read_slowly()).await {
            Ok(found) => found,
            Err(_) => Err(format!("it didn't answer within {READ_TIMEOUT:?}")),
        }
    }

    async fn read_slowly(&self) -> Result<FoundKeys, String> {
        let mut issuer = None;
        let text = match self {
            Self::File(path) => {
                let unreadable = |error| format!("{} can't be read: {error}", path.display());
                let mut text = String::new();
                let file = tokio::fs::File::open(path).await.map_err(unreadable)?;
                file.take(MAX_JWKS_BYTES as u64 + 1).read_to_string(&mut text).await.map_err(unreadable)?;
                text
            }
            Self::Cluster => {
                // Made anew each time: its own rights are files that change.
                let server = Published::by_the_cluster().await.map_err(|error| format!("{error:#}"))?;
                issuer = Some(discovery(&server).await?.issuer);
                // Not jwks_uri: that may be a place that pods don't reach.
                server.get("/openid/v1/jwks").await?
            }
            Self::Provider(provider) => {
                let found = discovery(&Published::at(provider)?).await?;
                issuer = Some(found.issuer);
                Published::at(&found.jwks_uri)?.get("").await?
            }
            Self::Url(url) => Published::at(url)?.get("").await?,
        };
        Ok(FoundKeys { issuer, keys: Jwks::parse(&text).map_err(|error| error.to_string())? })
    }
}

async fn discovery(server: &Published) -> Result<Discovery, String> {
    let text = server.get("/.well-known/openid-configuration").await?;
    serde_json::from_str(&text).map_err(|error| format!("its /.well-known/openid-configuration isn't one: {error}"))
}
