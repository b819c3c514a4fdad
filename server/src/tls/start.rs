//! TLS of a whole server: what its port shows, what it shows to other replicas, and what keeps that
//! up to date.

use super::authority::Authorities;
use super::files::{Issued, WatchedFiles, serve_files};
use super::issuing::Issuing;
use super::links::ReplicaLinks;
use super::{Tls, TlsError};
use crate::backend::Backend;
use crate::clock;
use crate::kubernetes::{self, Cluster};
use crate::metrics::Metrics;
use crate::settings::{ReplicaSettings, Settings};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How often a replica looks at the Secret, and whether a certificate is due.
const LOOK: Duration = Duration::from_secs(5);
/// The Services of the manifests.
const SERVICES: [&str; 2] = ["leasehold", "leasehold-replicas"];

/// TLS of a server; all `None` in plain text.
#[derive(Debug, Default)]
pub(crate) struct ServerTls {
    /// What the gRPC port shows.
    pub(crate) port: Option<Arc<Tls>>,
    /// The way to other replicas.
    pub(crate) links: Option<ReplicaLinks>,
    /// Whom to trust for the certificate of the port, where replicas have signed it.
    pub(crate) ca: Option<watch::Receiver<String>>,
}

impl ServerTls {
    /// Reads and signs what is shown, and keeps it up to date. `listening` is where gRPC is served.
    pub(crate) async fn start(
        settings: &Settings,
        backend: &Backend,
        listening: SocketAddr,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, TlsError> {
        if !settings.tls.is_on() {
            let is_open = !listening.ip().to_canonical().is_loopback();
            metrics.insecure.set(i64::from(is_open));
            if is_open {
                tracing::warn!(
                    %listening,
                    "serving plain text where others can reach it (--insecure): whoever can may read every ticket"
                );
            }
            return Ok(Self::default());
        }
        let tls = Arc::new(Tls::default());
        let mut this = Self { port: Some(Arc::clone(&tls)), ..Self::default() };
        let mut issued = Issued::default();
        if let (Some((cluster, authorities)), Some(replica)) = (backend.authorities(), &settings.replica) {
            let names = names(settings, replica, &cluster.namespace, listening);
            let (mut issuing, ca) = Issuing::new(names, Arc::clone(&tls));
            issuing.refresh(authorities, clock::unix_seconds())?;
            issued = Arc::clone(&issuing.issued);
            this.links = Some(issuing.links.clone());
            // What a file says is signed by somebody else.
            this.ca = settings.tls.is_auto().then_some(ca);
            let publishing = Publishing { bundle: this.ca.clone(), for_all: settings.tls.trust_bundle.clone() };
            tokio::spawn(look_after((*cluster).clone(), authorities.clone(), issuing, publishing));
        }
        let mut files = WatchedFiles::new(settings.tls.clone(), issued);
        files.look(&tls, metrics).await?;
        tokio::spawn(serve_files(files, tls, Arc::clone(metrics)));
        Ok(this)
    }
}

/// Whoever connects by one of these finds the certificate good.
fn names(settings: &Settings, replica: &ReplicaSettings, namespace: &str, listening: SocketAddr) -> Vec<String> {
    let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
    for service in SERVICES {
        for end in ["", ".svc", ".svc.cluster.local"] {
            names.push(format!("{service}.{namespace}{end}"));
        }
        names.push(service.to_owned());
    }
    let advertised = replica.advertised(listening);
    let host = advertised.as_str().rsplit_once(':').map_or("", |(host, _)| host);
    names.push(host.trim_matches(['[', ']']).to_owned());
    if !listening.ip().is_unspecified() {
        names.push(listening.ip().to_string());
    }
    names.extend(settings.tls.names.iter().cloned());
    names.sort();
    names.dedup();
    names
}

/// What is told to whoever connects.
struct Publishing {
    /// Whom to trust; `None` where somebody else signs for everybody.
    bundle: Option<watch::Receiver<String>>,
    /// The ClusterTrustBundle in which that stands as well.
    for_all: Option<String>,
}

impl Publishing {
    async fn publish(&self, cluster: &Cluster) {
        let Some(bundle) = self.bundle.as_ref().map(|bundle| bundle.borrow().clone()) else { return };
        if let Err(error) = kubernetes::publish(cluster, &bundle).await {
            let map = cluster.published();
            tracing::warn!(map, %error, "can't publish whom to trust in this ConfigMap; trying again");
        }
        if let Some(name) = &self.for_all
            && let Err(error) = kubernetes::publish_for_all(cluster, name, &bundle).await
        {
            tracing::warn!(name, %error, "can't publish whom to trust in this ClusterTrustBundle; trying again");
        }
    }
}

/// Takes up what the Secret has, signs what is due, and publishes whom to trust, for as long as
/// this replica runs.
async fn look_after(cluster: Cluster, mut authorities: Authorities, mut issuing: Issuing, publishing: Publishing) {
    loop {
        publishing.publish(&cluster).await;
        tokio::time::sleep(LOOK).await;
        match kubernetes::read_authorities(&cluster, Some(&authorities)).await {
            Ok(now) => authorities = now,
            Err(error) => tracing::debug!(%error, "can't look after the authorities"),
        }
        match issuing.refresh(&authorities, clock::unix_seconds()) {
            Ok(false) => {}
            Ok(true) => tracing::info!(?authorities, "signed new certificates for this replica"),
            Err(error) => tracing::error!(%error, "no new certificates for this replica"),
        }
    }
}
