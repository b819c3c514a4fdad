//! The Secret with the keys that replicas share: made by the first one, and made again when it is
//! gone.

use super::object::keys_in_use;
use super::{ApiError, Cluster, bounded};
use crate::keys::Keys;
use anyhow::bail;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::PostParams;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::sleep;

/// The field of the Secret.
const FIELD: &str = "keys.json";
/// How often a replica looks whether the Secret is still there.
const CHECK_INTERVAL: Duration = Duration::from_secs(10);
/// Before the next try, when the API server didn't answer, or while another replica has to make the
/// Secret.
const RETRY: Duration = Duration::from_secs(1);
/// New keys make every ticket worthless that is out there. So a new replica that finds no Secret
/// waits this long before it makes one: a replica that runs makes a lost Secret again, with the
/// keys in use, within [`CHECK_INTERVAL`].
const PATIENCE: Duration = Duration::from_secs(30);

/// The keys of this service. Waits for as long as the API server can't be reached.
///
/// # Errors
/// When the Secret can't be understood, or this replica may not read or make it.
pub(crate) async fn load(cluster: &Cluster) -> anyhow::Result<Keys> {
    let mut waited = Duration::ZERO;
    loop {
        match try_load(cluster, waited >= PATIENCE).await {
            Ok(Some(keys)) => return Ok(keys),
            Ok(None) => {
                tracing::warn!(
                    secret = cluster.secret,
                    "the Secret is gone, and a replica that runs has its keys: waiting for it"
                );
                waited += RETRY;
            }
            Err(LoadError::Api(error @ ApiError::Refused { code: 401 | 403, .. })) => {
                bail!(
                    "this replica may not use the Secret {}/{}: {error}; grant it get and create on secrets there",
                    cluster.namespace,
                    cluster.secret
                );
            }
            Err(LoadError::Api(error)) => {
                tracing::warn!(secret = cluster.secret, %error, "can't read the keys; trying again")
            }
            Err(LoadError::Unusable(why)) => bail!(
                "the Secret {}/{} can't be used: {why}; restore it, or, if no worker is running, delete it",
                cluster.namespace,
                cluster.secret
            ),
        }
        sleep(RETRY).await;
    }
}

/// Looks after the Secret for as long as this replica runs.
pub(crate) async fn look_after(cluster: Cluster, keys: Keys) {
    let mut complained = false;
    loop {
        sleep(CHECK_INTERVAL).await;
        match read(&cluster).await {
            Ok(None) => match make(&cluster, &keys).await {
                Ok(()) => {
                    tracing::warn!(secret = cluster.secret, "the Secret was gone; made it again with the keys in use")
                }
                Err(error) => {
                    tracing::warn!(secret = cluster.secret, %error, "the Secret is gone, and can't be made again")
                }
            },
            Ok(Some(stored)) if stored != keys => {
                if !complained {
                    tracing::error!(
                        secret = cluster.secret,
                        "the Secret holds other keys than this replica uses: restart all replicas to use them; tickets sealed with the old ones are refused then"
                    );
                }
                complained = true;
            }
            Ok(Some(_)) => complained = false,
            Err(error) => tracing::debug!(secret = cluster.secret, %error, "can't look after the Secret"),
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum LoadError {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("{0}")]
    Unusable(String),
}

/// `None`: somebody else should make it.
async fn try_load(cluster: &Cluster, impatient: bool) -> Result<Option<Keys>, LoadError> {
    if let Some(keys) = read(cluster).await? {
        return Ok(Some(keys));
    }
    let lease = bounded(cluster.request_timeout, cluster.leases().get_opt(&cluster.lease)).await?;
    if !impatient && lease.is_some_and(|lease| keys_in_use(&lease).is_some()) {
        return Ok(None);
    }
    let keys = Keys::generate();
    match make(cluster, &keys).await {
        Ok(()) => {
            tracing::info!(secret = cluster.secret, "made the Secret with new keys");
            Ok(Some(keys))
        }
        // Another replica was faster: its keys count.
        Err(ApiError::Refused { code: 409, .. }) => Ok(read(cluster).await?),
        Err(error) => Err(error.into()),
    }
}

async fn read(cluster: &Cluster) -> Result<Option<Keys>, LoadError> {
    let secret = bounded(cluster.request_timeout, cluster.secrets().get_opt(&cluster.secret)).await?;
    let Some(secret) = secret else { return Ok(None) };
    let field = secret.data.as_ref().and_then(|data| data.get(FIELD));
    let field = field.ok_or_else(|| LoadError::Unusable(format!("it has no field {FIELD}")))?;
    serde_json::from_slice(&field.0).map(Some).map_err(|error| LoadError::Unusable(format!("{FIELD}: {error}")))
}

async fn make(cluster: &Cluster, keys: &Keys) -> Result<(), ApiError> {
    let bytes = serde_json::to_vec(keys).expect("two texts can be written as JSON");
    let mut secret = Secret::default();
    secret.metadata.name = Some(cluster.secret.clone());
    secret.type_ = Some("leasehold.dev/keys".to_owned());
    secret.data = Some(BTreeMap::from([(FIELD.to_owned(), ByteString(bytes))]));
    bounded(cluster.request_timeout, cluster.secrets().create(&PostParams::default(), &secret)).await.map(|_| ())
}
