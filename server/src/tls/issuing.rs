//! What a replica shows by the authority that replicas share: signed by itself, for a day, and
//! signed again when half of that is over, or when another authority signs.

use super::authority::{Authorities, For, Issue, LIFE};
use super::files::Issued;
use super::links::ReplicaLinks;
use super::{Tls, TlsError, config};
use crate::settings::ClientAuth;
use rustls::sign::CertifiedKey;
use std::sync::Arc;
use tokio::sync::watch;

/// Whoever issues for this replica.
#[derive(Debug)]
pub(crate) struct Issuing {
    /// For whom everybody takes it.
    names: Vec<String>,
    /// What everybody is shown, where no file says otherwise.
    pub(crate) issued: Issued,
    pub(crate) tls: Arc<Tls>,
    pub(crate) links: ReplicaLinks,
    /// The authorities that are trusted, as PEM.
    bundle: watch::Sender<String>,
    /// When the last certificates were signed, and by whom.
    last: Option<(u64, String)>,
}

impl Issuing {
    pub(crate) fn new(names: Vec<String>, tls: Arc<Tls>) -> (Self, watch::Receiver<String>) {
        let (bundle, published) = watch::channel(String::new());
        let (issued, links) = (Issued::default(), ReplicaLinks::new(tls.trust.clone()));
        (Self { names, issued, tls, links, bundle, last: None }, published)
    }

    /// Signs what is due, and trusts whom these authorities are. Says whether anything is new.
    pub(crate) fn refresh(&mut self, authorities: &Authorities, now: u64) -> Result<bool, TlsError> {
        let (bundle, signer) = (authorities.bundle(now), authorities.signer(now));
        let is_signed = self.last.as_ref().is_some_and(|(at, by)| {
            let age = now.abs_diff(*at);
            by == signer && age < LIFE.as_secs() / 2
        });
        if is_signed && *self.bundle.borrow() == bundle {
            return Ok(false);
        }
        let signed = |whom| -> Result<Arc<CertifiedKey>, TlsError> {
            let Issue { certificates, key } = authorities.sign(now, whom).map_err(TlsError::Issue)?;
            config::identity(certificates, key).map_err(|error| TlsError::Issue(error.to_string()))
        };
        let roots = || config::authorities(bundle.as_bytes()).map_err(TlsError::Issue);
        let own = signed(For::Replicas)?;
        let replicas = config::server_config(Arc::clone(&own), Some((roots()?, ClientAuth::Required)))?;
        let (client, public) = (config::replica_client(own, roots()?)?, signed(For::Everybody(&self.names))?);
        // First: whoever still shakes hands by what was there before is then noticed at once.
        self.tls.trust.only(authorities.names(now));
        self.links.trust(client);
        self.tls.replicas.store(Some(Arc::new(replicas)));
        self.issued.store(Some(public));
        self.last = Some((now, signer.to_owned()));
        self.bundle.send_replace(bundle);
        Ok(true)
    }
}
