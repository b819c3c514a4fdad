//! Where a server keeps its record and its keys: in a directory of its own, or in a cluster that it
//! shares with other replicas.

use crate::keys::Keys;
use crate::kubernetes::{self, Cluster, LeaseStore, Objects, Signature};
use crate::metrics::Metrics;
use crate::settings::Settings;
use crate::state_file::StateFile;
use crate::store::{FileStore, RecordStore};
use crate::tls::Authorities;
use leasehold_core::{Holder, Input};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::mpsc;

/// An open place for record and keys.
#[derive(Debug)]
pub struct Backend(Opened);

#[derive(Debug)]
enum Opened {
    File(StateFile),
    Cluster(Box<Cluster>, Keys, Option<Authorities>),
}

impl Backend {
    /// Opens what the settings say. Waits for an API server that can't be reached.
    ///
    /// # Errors
    /// A sentence that says what is wrong and what to do.
    pub async fn open(settings: &Settings) -> anyhow::Result<Self> {
        Ok(Self(match &settings.replica {
            None => Opened::File(StateFile::open(&settings.data_dir)?),
            Some(replica) => {
                let cluster = Cluster::connect(replica).await?;
                let keys = kubernetes::load_keys(&cluster).await?;
                let authorities =
                    if settings.tls.is_on() { Some(kubernetes::load_authorities(&cluster).await?) } else { None };
                Opened::Cluster(Box::new(cluster), keys, authorities)
            }
        }))
    }

    pub(crate) fn keys(&self) -> &Keys {
        match &self.0 {
            Opened::File(file) => file.keys(),
            Opened::Cluster(_, keys, _) => keys,
        }
    }

    /// The cluster, and the authorities that the replicas there share; `None` where there are none.
    pub(crate) fn authorities(&self) -> Option<(&Cluster, &Authorities)> {
        match &self.0 {
            Opened::Cluster(cluster, _, Some(authorities)) => Some((cluster, authorities)),
            _ => None,
        }
    }

    /// The name of this replica; empty where there are no others.
    pub(crate) fn me(&self) -> Holder {
        match &self.0 {
            Opened::File(_) => Holder(String::new()),
            Opened::Cluster(cluster, ..) => cluster.me.clone(),
        }
    }

    /// The Lease as NAMESPACE/NAME; empty where there is none.
    pub(crate) fn lease(&self) -> String {
        match &self.0 {
            Opened::File(_) => String::new(),
            Opened::Cluster(cluster, ..) => format!("{}/{}", cluster.namespace, cluster.lease),
        }
    }

    /// What people are told of it.
    #[must_use]
    pub fn describe(&self) -> String {
        match &self.0 {
            Opened::File(file) => format!("data in {}", file.dir().display()),
            Opened::Cluster(cluster, ..) => format!("replica {} of the Lease {}", cluster.me.0, self.lease()),
        }
    }

    /// Starts to read and write. `listening` is where this server serves gRPC.
    pub(crate) fn start(
        self,
        settings: &Settings,
        listening: SocketAddr,
        metrics: Arc<Metrics>,
        results: mpsc::Sender<Input>,
    ) -> std::io::Result<RecordStore> {
        let (cluster, keys) = match self.0 {
            Opened::File(file) => return Ok(RecordStore::File(FileStore::start(file, metrics, results)?)),
            Opened::Cluster(cluster, keys, _) => (cluster, keys),
        };
        let replica = settings.replica.as_ref().expect("a cluster is only opened for a replica");
        let signature = Signature {
            me: cluster.me.clone(),
            address: replica.advertised(listening),
            keys: keys.fingerprint(),
            duration: settings.core_config(cluster.me.clone()).lease_seconds(),
        };
        let objects = Objects::default();
        tokio::spawn(kubernetes::watch((*cluster).clone(), objects.clone(), results.clone()));
        tokio::spawn(kubernetes::look_after_keys((*cluster).clone(), keys));
        Ok(RecordStore::Lease(LeaseStore::start(*cluster, signature, objects, metrics, results)))
    }
}
