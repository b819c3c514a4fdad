//! Kubernetes: the Lease through which replicas elect the active one, and the Secret with their
//! keys.

#[cfg(not(turmoil))]
mod access;
mod authority;
mod events;
mod keys;
pub(crate) mod object;
mod published;
mod store;
mod watch;

#[cfg(not(turmoil))]
pub(crate) use authority::rotate as rotate_authorities;
pub(crate) use authority::{load as load_authorities, publish, publish_for_all, read_or_make as read_authorities};
pub(crate) use keys::{load as load_keys, look_after as look_after_keys};
pub(crate) use object::Signature;
pub(crate) use published::Published;
pub(crate) use store::{LeaseStore, Objects};
pub(crate) use watch::watch;

#[cfg(turmoil)]
use crate::net::{api_client, api_config};
use crate::settings::ReplicaSettings;
#[cfg(not(turmoil))]
use access::{api_client, api_config};
use k8s_openapi::api::coordination::v1::Lease as LeaseObject;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, Client};
use leasehold_core::Holder;
use ring::rand::{SecureRandom, SystemRandom};
use std::fmt;
use std::time::Duration;

/// How long a connection to the API server may take to come up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The API server as one replica sees it.
#[derive(Clone)]
pub(crate) struct Cluster {
    /// For reads and writes: a watch takes its connection for itself.
    client: Client,
    watcher: Client,
    pub(crate) namespace: String,
    pub(crate) lease: String,
    secret: String,
    pub(crate) me: Holder,
    request_timeout: Duration,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cluster({}/{} as {})", self.namespace, self.lease, self.me.0)
    }
}

impl Cluster {
    /// In a pod with the pod's own service account, elsewhere with a kubeconfig.
    ///
    /// # Errors
    /// When neither is there, or can't be used.
    pub(crate) async fn connect(settings: &ReplicaSettings) -> anyhow::Result<Self> {
        let mut config = api_config().await?;
        // The core decides when to try again. A retry that the core doesn't know of could be
        // applied after the right of this replica has ended.
        config.default_retry = false;
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        let namespace = settings.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        Ok(Self {
            client: api_client(config.clone())?,
            watcher: api_client(config)?,
            namespace,
            lease: settings.lease.clone(),
            secret: settings.keys_secret.clone(),
            me: name(&settings.replica),
            request_timeout: Duration::from_millis(settings.request_timeout.0),
        })
    }

    fn leases(&self) -> Api<LeaseObject> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    fn watched_leases(&self) -> Api<LeaseObject> {
        Api::namespaced(self.watcher.clone(), &self.namespace)
    }

    /// The ConfigMap with the certificates of this service's authorities: named as the Secret.
    pub(crate) fn published(&self) -> String {
        format!("{}-ca", self.secret.strip_suffix("-keys").unwrap_or(&self.secret))
    }

    fn config_maps(&self) -> Api<ConfigMap> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}

/// A name that no other process has, not even the next one in the same pod. So a replica can tell
/// whether a claim that it finds in the Lease is its own.
fn name(first: &str) -> Holder {
    let mut random = [0; 5];
    SystemRandom::new().fill(&mut random).expect("the system has a random source");
    let random: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    Holder(format!("{first}_{random}"))
}

/// Waits for an answer of the API server, but not for ever: its client has no limit of its own.
async fn bounded<T>(limit: Duration, call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, ApiError> {
    match tokio::time::timeout(limit, call).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(ApiError::from(error)),
        Err(_) => Err(ApiError::Silent { limit }),
    }
}

/// Why the API server didn't do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// It refused.
    #[error("the API server answers {code}: {message}")]
    Refused {
        /// The HTTP status.
        code: u16,
        /// Its words.
        message: String,
    },
    /// It couldn't be reached, or the connection broke.
    #[error("the API server can't be reached: {0}")]
    Unreachable(String),
    /// No answer came.
    #[error("the API server didn't answer within {limit:?}")]
    Silent {
        /// So long was waited.
        limit: Duration,
    },
}

impl ApiError {
    fn code(&self) -> Option<u16> {
        if let Self::Refused { code, .. } = self { Some(*code) } else { None }
    }
}

impl From<kube::Error> for ApiError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::Refused { code: status.code, message: status.message.clone() },
            other => {
                let mut text = other.to_string();
                let mut cause = std::error::Error::source(&other);
                while let Some(error) = cause {
                    let message = error.to_string();
                    if !text.contains(&message) {
                        text = format!("{text}: {message}");
                    }
                    cause = error.source();
                }
                Self::Unreachable(text)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_life_has_a_name_of_its_own() {
        let (one, two) = (name("pod-1"), name("pod-1"));
        assert!(one.0.starts_with("pod-1_") && one.0.len() == "pod-1_".len() + 10, "{one:?}");
        assert_ne!(one, two);
    }
}
