//! The authorities that replicas share: in the Secret beside the keys, and their certificates for
//! everybody in a ConfigMap.

use super::{ApiError, Cluster, bounded};
use crate::clock;
use crate::tls::Authorities;
use anyhow::bail;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, PostParams};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::sleep;

/// The field of the Secret.
const FIELD: &str = "ca.json";
/// The field of the ConfigMap.
const PUBLISHED: &str = "ca.crt";
/// Before the next try, when the API server didn't answer or another replica was faster.
const RETRY: Duration = Duration::from_secs(1);
/// How often an operator's command tries against replicas that write at the same time.
#[cfg(not(turmoil))]
const TRIES: u32 = 5;

/// Why the authorities can't be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthorityError {
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The Secret has something else there.
    #[error("its field {FIELD} can't be used: {0}")]
    Unusable(String),
    /// It is made by whoever looks after the keys.
    #[error("there is no Secret yet")]
    NoSecret,
}

/// The authorities of this service, made if there are none. Waits for as long as the API server
/// can't be reached.
///
/// # Errors
/// When the Secret can't be understood, or this replica may not change it.
pub(crate) async fn load(cluster: &Cluster) -> anyhow::Result<Authorities> {
    loop {
        match read_or_make(cluster, None).await {
            Ok(authorities) => return Ok(authorities),
            Err(AuthorityError::Api(error @ ApiError::Refused { code: 401 | 403, .. })) => bail!(
                "this replica may not use the Secret {}/{}: {error}; grant it get and update on that Secret, or turn TLS off",
                cluster.namespace,
                cluster.secret
            ),
            Err(error @ AuthorityError::Unusable(_)) => {
                bail!("the Secret {}/{}: {error}; remove that field, or restore it", cluster.namespace, cluster.secret)
            }
            Err(error) => tracing::warn!(secret = cluster.secret, %error, "can't read the authorities; trying again"),
        }
        sleep(RETRY).await;
    }
}

/// What the Secret has now; if it has none, these, or new ones.
pub(crate) async fn read_or_make(
    cluster: &Cluster,
    in_use: Option<&Authorities>,
) -> Result<Authorities, AuthorityError> {
    let secret = read(cluster).await?;
    if let Some(authorities) = of(&secret)? {
        return Ok(authorities);
    }
    let authorities = in_use.cloned().unwrap_or_else(|| Authorities::generate(clock::unix_seconds()));
    // Whoever has changed the Secret meanwhile was faster: this write is refused then.
    write(cluster, secret, &authorities).await?;
    tracing::info!(secret = cluster.secret, "made an authority for this service's certificates");
    Ok(authorities)
}

/// Adds an authority. The replicas take it up within some seconds.
///
/// # Errors
/// When the API server refuses, or there is no authority that could be replaced.
#[cfg(not(turmoil))]
pub(crate) async fn rotate(cluster: &Cluster, after: Duration, distrust: bool) -> anyhow::Result<Authorities> {
    for _ in 0..TRIES {
        let secret = read(cluster).await?;
        let Some(mut authorities) = of(&secret)? else {
            bail!(
                "the Secret {}/{} has no authority: no replica has run with TLS yet",
                cluster.namespace,
                cluster.secret
            );
        };
        authorities.rotate(clock::unix_seconds(), after, distrust);
        match write(cluster, secret, &authorities).await {
            Ok(()) => return Ok(authorities),
            Err(ApiError::Refused { code: 409, .. }) => sleep(RETRY).await,
            Err(error) => return Err(error.into()),
        }
    }
    bail!("somebody else changes the Secret {}/{} all the time; try again", cluster.namespace, cluster.secret)
}

/// Publishes certificates for everybody, unless they stand there already.
pub(crate) async fn publish(cluster: &Cluster, bundle: &str) -> Result<(), ApiError> {
    let (maps, name) = (cluster.config_maps(), cluster.published());
    let found = bounded(cluster.request_timeout, maps.get_opt(&name)).await?;
    let parameters = PostParams::default();
    let with = |mut map: ConfigMap| {
        map.data.get_or_insert_default().insert(PUBLISHED.to_owned(), bundle.to_owned());
        map
    };
    let written = match found {
        Some(map) if map.data.as_ref().and_then(|data| data.get(PUBLISHED)).is_some_and(|now| now == bundle) => {
            return Ok(());
        }
        Some(map) => bounded(cluster.request_timeout, maps.replace(&name, &parameters, &with(map))).await,
        None => {
            let mut map = with(ConfigMap::default());
            map.metadata.name = Some(name.clone());
            bounded(cluster.request_timeout, maps.create(&parameters, &map)).await
        }
    };
    match written {
        // Another replica was faster: the next look says with what.
        Ok(_) | Err(ApiError::Refused { code: 409, .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Publishes them for all namespaces, as the ClusterTrustBundle of this name.
pub(crate) async fn publish_for_all(cluster: &Cluster, name: &str, bundle: &str) -> Result<(), ApiError> {
    let kind = GroupVersionKind::gvk("certificates.k8s.io", "v1", "ClusterTrustBundle");
    let resource = ApiResource::from_gvk_with_plural(&kind, "clustertrustbundles");
    let bundles: Api<DynamicObject> = Api::all_with(cluster.client.clone(), &resource);
    let found = bounded(cluster.request_timeout, bundles.get_opt(name)).await?;
    let (is_there, mut object) = match found {
        Some(object) if object.data["spec"]["trustBundle"] == bundle => return Ok(()),
        Some(object) => (true, object),
        None => (false, DynamicObject::new(name, &resource)),
    };
    object.data["spec"]["trustBundle"] = bundle.into();
    let parameters = PostParams::default();
    let written = if is_there {
        bounded(cluster.request_timeout, bundles.replace(name, &parameters, &object)).await
    } else {
        bounded(cluster.request_timeout, bundles.create(&parameters, &object)).await
    };
    match written {
        Ok(_) | Err(ApiError::Refused { code: 409, .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

async fn read(cluster: &Cluster) -> Result<Secret, AuthorityError> {
    let secret = bounded(cluster.request_timeout, cluster.secrets().get_opt(&cluster.secret)).await?;
    secret.ok_or(AuthorityError::NoSecret)
}

fn of(secret: &Secret) -> Result<Option<Authorities>, AuthorityError> {
    let field = secret.data.as_ref().and_then(|data| data.get(FIELD));
    field.map(|field| Authorities::parse(&field.0).map_err(AuthorityError::Unusable)).transpose()
}

async fn write(cluster: &Cluster, mut secret: Secret, authorities: &Authorities) -> Result<(), ApiError> {
    let data: &mut BTreeMap<_, _> = secret.data.get_or_insert_default();
    data.insert(FIELD.to_owned(), ByteString(authorities.to_json()));
    let replace = cluster.secrets();
    bounded(cluster.request_timeout, replace.replace(&cluster.secret, &PostParams::default(), &secret))
        .await
        .map(|_| ())
}
