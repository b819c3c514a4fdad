//! Tests of the handshake and of the files, over real sockets.

use super::files::WatchedFiles;
use super::issuing::Issuing;
use super::*;
use crate::metrics::Metrics;
use crate::settings::{ClientAuth, ClientCa, TlsSettings, TlsSource};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, version};
use std::path::Path;
use tempfile::TempDir;
use tokio::io::AsyncRead;
use tokio::net::{TcpListener, TcpStream};

/// An authority that signs what a test needs.
pub(crate) struct TestCa(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, as PEM.
pub(crate) struct Pair {
    pub(crate) cert: String,
    pub(crate) key: String,
}

impl TestCa {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(crate) fn issue(&self, name: &str) -> Pair {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let cert = params.signed_by(&key, &self.0).unwrap();
        Pair { cert: cert.pem(), key: key.serialize_pem() }
    }
}

fn write(dir: &TempDir, name: &str, text: &str) {
    std::fs::write(dir.path().join(name), text).unwrap();
}

fn write_pair(dir: &TempDir, pair: &Pair) {
    write(dir, "tls.crt", &pair.cert);
    write(dir, "tls.key", &pair.key);
}

fn settings(dir: &Path, client_auth: Option<ClientAuth>) -> TlsSettings {
    TlsSettings {
        source: TlsSource::Files { cert: dir.join("tls.crt"), key: dir.join("tls.key") },
        client_ca: client_auth.map(|auth| ClientCa { path: dir.join("clients.crt"), auth }),
        ..TlsSettings::default()
    }
}

/// What a port shows with the files of this folder.
async fn tls(dir: &TempDir, client_auth: Option<ClientAuth>) -> (Arc<Tls>, WatchedFiles, Metrics) {
    let (tls, metrics) = (Arc::new(Tls::default()), Metrics::new());
    let mut files = WatchedFiles::new(settings(dir.path(), client_auth), Arc::default());
    assert!(files.look(&tls, &metrics).await.unwrap());
    (tls, files, metrics)
}

fn client(ca: &TestCa, version: &'static SupportedProtocolVersion, shown: Option<&Pair>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.pem().as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(config::provider()).with_protocol_versions(&[version]).unwrap();
    let builder = builder.with_root_certificates(roots);
    let mut config = match shown {
        None => builder.with_no_client_auth(),
        Some(Pair { cert, key }) => {
            let cert = CertificateDer::from_pem_slice(cert.as_bytes()).unwrap();
            builder.with_client_auth_cert(vec![cert], PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap()).unwrap()
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

/// What a server with this takes a client for, and the certificate and the protocol that the client
/// gets.
async fn meet(tls: &Arc<Tls>, client: ClientConfig) -> Result<(Presented, Vec<u8>, Vec<u8>), (String, String)> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tls = Arc::clone(tls);
    let accepts = tokio::spawn(async move { tls.accept(listener.accept().await.unwrap().0).await });
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("leasehold.test").unwrap();
    let connected = match tokio_rustls::TlsConnector::from(Arc::new(client)).connect(name, stream).await {
        // With TLS 1.3 a client is through before the server has seen its certificate.
        Ok(mut stream) => match accepts.await.unwrap() {
            Ok((accepted, presented)) => {
                let session = stream.get_ref().1;
                let leaf = session.peer_certificates().unwrap()[0].to_vec();
                let alpn = session.alpn_protocol().unwrap_or_default().to_vec();
                drop(accepted);
                return Ok((presented, leaf, alpn));
            }
            Err(server) => (stream.read(&mut [0]).await.unwrap_err().to_string(), server.to_string()),
        },
        Err(client) => (client.to_string(), accepts.await.unwrap().map(|_| ()).unwrap_err().to_string()),
    };
    Err(connected)
}

/// What a replica of this service shows to others, and to everybody.
fn replica(authorities: &Authorities, now: u64) -> (Issuing, Arc<Tls>) {
    let tls = Arc::new(Tls::default());
    let (mut issuing, _) = Issuing::new(vec!["leasehold.test".to_owned()], Arc::clone(&tls));
    assert!(issuing.refresh(authorities, now).unwrap() && !issuing.refresh(authorities, now).unwrap());
    let issued = issuing.issued.load_full().unwrap();
    tls.public.store(Some(Arc::new(config::server_config(issued, None).unwrap())));
    (issuing, tls)
}

/// What a replica takes another one for that connects to it.
async fn meet_as_replica(tls: &Arc<Tls>, links: &ReplicaLinks) -> Result<Presented, String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let tls = Arc::clone(tls);
    let accepts = tokio::spawn(async move { tls.accept(listener.accept().await.unwrap().0).await });
    let dialled = links.clone().dial(uri).await;
    let accepted = accepts.await.unwrap().map(|(_, presented)| presented).map_err(|error| error.to_string());
    dialled.map_err(|error| error.to_string()).and(accepted)
}

#[tokio::test]
async fn replicas_know_each_other_also_while_their_authority_is_replaced() {
    let now = crate::clock::unix_seconds();
    let mut authorities = Authorities::generate(now);
    let ((mut one, port), (two, _)) = (replica(&authorities, now), replica(&authorities, now));
    assert_eq!(meet_as_replica(&port, &two.links).await, Ok(Presented::Replica));
    let strangers = Authorities::generate(now);
    let (stranger, _) = replica(&strangers, now);
    let error = meet_as_replica(&port, &stranger.links).await.unwrap_err();
    assert!(error.contains("do all use one Secret"), "{error}");

    // The first replica has heard of the new authority, the second hasn't; then the new one signs.
    authorities.rotate(now, std::time::Duration::ZERO, false);
    assert!(one.refresh(&authorities, now).unwrap());
    let error = meet_as_replica(&port, &two.links).await.unwrap_err();
    assert!(error.contains("UnknownIssuer"), "whoever didn't hear in time: {error}");
    let (two, _) = replica(&authorities, now);
    assert_eq!(meet_as_replica(&port, &two.links).await, Ok(Presented::Replica));
    let half = now + 12 * 3600;
    assert!(!one.refresh(&authorities, half - 1).unwrap() && one.refresh(&authorities, half).unwrap());
}

/// Both ends of a connection between replicas.
async fn link(tls: &Arc<Tls>, links: &ReplicaLinks) -> (impl AsyncRead + use<>, Accepted) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let tls = Arc::clone(tls);
    let accepts = tokio::spawn(async move { tls.accept(listener.accept().await.unwrap().0).await });
    let dialled = links.clone().dial(uri).await.unwrap();
    (dialled.into_inner(), accepts.await.unwrap().unwrap().0)
}

/// What one end of a connection hears within a moment; `None`: it is open, and silent.
async fn heard(end: &mut (impl AsyncRead + Unpin)) -> Option<std::io::Result<usize>> {
    tokio::time::timeout(std::time::Duration::from_millis(100), end.read(&mut [0])).await.ok()
}

fn is_aborted(heard: Option<std::io::Result<usize>>) -> bool {
    heard.is_some_and(|heard| heard.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionAborted))
}

#[tokio::test]
async fn a_connection_between_replicas_ends_with_the_trust_in_whoever_signed_for_its_other_end() {
    let now = crate::clock::unix_seconds();
    let (mut authorities, minute) = (Authorities::generate(now), std::time::Duration::from_secs(60));
    let ((mut one, port), (mut two, other)) = (replica(&authorities, now), replica(&authorities, now));
    let (mut dialled, accepted) = link(&port, &two.links).await;
    let Accepted::Replica(mut accepted) = accepted else { panic!("it is a replica") };
    // Another authority is trusted beside the first.
    authorities.rotate(now, minute, false);
    assert!(one.refresh(&authorities, now).unwrap() && two.refresh(&authorities, now).unwrap());
    assert!(heard(&mut accepted).await.is_none() && heard(&mut dialled).await.is_none());

    // Each end by itself: the one that listens, then the one that dialled.
    authorities.rotate(now, minute, true);
    let (mut dialled_too, _accepted) = link(&other, &one.links).await;
    assert!(one.refresh(&authorities, now).unwrap());
    assert!(is_aborted(heard(&mut accepted).await) && is_aborted(heard(&mut dialled_too).await));
    assert!(is_aborted(heard(&mut accepted).await), "it stays so");
    assert!(heard(&mut dialled).await.is_none(), "two hasn't heard of it");
    assert!(two.refresh(&authorities, now).unwrap());
    assert!(is_aborted(heard(&mut dialled).await));

    // What the new one has signed for stays when another one comes and goes.
    let (mut dialled, accepted) = link(&port, &two.links).await;
    let Accepted::Replica(mut accepted) = accepted else { panic!("it is a replica") };
    authorities.rotate(now, minute, false);
    assert!(one.refresh(&authorities, now).unwrap() && two.refresh(&authorities, now).unwrap());
    authorities.rotate(now, minute, false);
    assert!(one.refresh(&authorities, now).unwrap() && two.refresh(&authorities, now).unwrap());
    assert!(heard(&mut accepted).await.is_none() && heard(&mut dialled).await.is_none());
}

#[tokio::test]
async fn what_everybody_is_shown_makes_nobody_a_replica() {
    let now = crate::clock::unix_seconds();
    let authorities = Authorities::generate(now);
    let (issuing, port) = replica(&authorities, now);
    let shown = issuing.issued.load_full().unwrap();
    let roots = || config::authorities(authorities.bundle(now).as_bytes()).unwrap();
    // Somebody has the key of the public certificate, and asks as a replica does.
    issuing.links.trust(config::replica_client(shown, roots()).unwrap());
    // With TLS 1.3 a client is through before the server has seen its certificate.
    let error = meet_as_replica(&port, &issuing.links).await.unwrap_err();
    assert!(error.contains("does not allow extended key usage for client authentication"), "{error}");
    let mut params = ClientConfig::builder_with_provider(config::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots())
        .with_no_client_auth();
    params.alpn_protocols = vec![b"h2".to_vec()];
    let (presented, ..) = meet(&port, params.clone()).await.unwrap();
    assert_eq!(presented, Presented::Nothing, "everybody trusts the port by the published authority");
    issuing.links.trust(params);
    let error = meet_as_replica(&port, &issuing.links).await.unwrap_err();
    assert!(error.contains("sent no certificates"), "{error}");
}

fn der(pair: &Pair) -> Vec<u8> {
    CertificateDer::from_pem_slice(pair.cert.as_bytes()).unwrap().to_vec()
}

#[tokio::test]
async fn both_versions_are_spoken_and_the_protocol_is_http_2() {
    let (dir, ca) = (TempDir::new().unwrap(), TestCa::new("ours"));
    let pair = ca.issue("leasehold.test");
    write_pair(&dir, &pair);
    let (tls, ..) = tls(&dir, None).await;
    for version in [&version::TLS12, &version::TLS13] {
        let met = meet(&tls, client(&ca, version, None)).await.unwrap();
        assert_eq!(met, (Presented::Nothing, der(&pair), b"h2".to_vec()), "{version:?}");
    }
    let mut http_1 = client(&ca, &version::TLS13, None);
    http_1.alpn_protocols = vec![b"http/1.1".to_vec()];
    assert!(meet(&tls, http_1).await.unwrap_err().0.contains("NoApplicationProtocol"));
    let mut replica = client(&ca, &version::TLS13, None);
    replica.enable_sni = false;
    assert!(meet(&tls, replica).await.is_ok(), "who connects by address names nobody");
}

#[tokio::test]
async fn a_client_shows_a_certificate_where_it_may_and_must_where_it_must() {
    let (dir, ca, other) = (TempDir::new().unwrap(), TestCa::new("ours"), TestCa::new("other"));
    let (worker, stranger) = (ca.issue("worker"), other.issue("worker"));
    write_pair(&dir, &ca.issue("leasehold.test"));
    write(&dir, "clients.crt", &ca.pem());
    let shown = |pair: &Pair| Presented::Certificate(ClientCertificate(Arc::new(der(pair).into())));
    for version in [&version::TLS12, &version::TLS13] {
        for auth in [ClientAuth::Optional, ClientAuth::Required] {
            let (tls, ..) = tls(&dir, Some(auth)).await;
            assert_eq!(meet(&tls, client(&ca, version, Some(&worker))).await.unwrap().0, shown(&worker));
            let (told, why) = meet(&tls, client(&ca, version, Some(&stranger))).await.unwrap_err();
            assert!(told.contains("received fatal alert") && why.contains("UnknownIssuer"), "{told}; {why}");
            match (auth, meet(&tls, client(&ca, version, None)).await) {
                (ClientAuth::Optional, Ok((presented, ..))) => assert_eq!(presented, Presented::Nothing),
                (ClientAuth::Required, Err((_, why))) => assert!(why.contains("sent no certificates"), "{why}"),
                (auth, met) => panic!("{auth:?}: {met:?}"),
            }
        }
    }
}

#[tokio::test]
async fn new_files_are_used_and_broken_ones_leave_the_former_in_use() {
    let (dir, ca) = (TempDir::new().unwrap(), TestCa::new("ours"));
    let (first, second) = (ca.issue("leasehold.test"), ca.issue("leasehold.test"));
    write_pair(&dir, &first);
    let (tls, mut files, metrics) = tls(&dir, None).await;
    let shown = async || meet(&tls, client(&ca, &version::TLS13, None)).await.unwrap().1;
    assert_eq!(shown().await, der(&first));
    assert!(!files.look(&tls, &metrics).await.unwrap(), "nothing is new");
    for (cert, key, says) in [
        (&*second.cert, &*first.key, "tls.key (--tls-key) isn't that of the first certificate in "),
        (&second.key, &second.key, "tls.crt (--tls-cert) can't be used: it has no certificate"),
        (&second.cert, &second.cert, "tls.key (--tls-key) can't be used: it has no private key"),
        ("", &second.key, "tls.crt (--tls-cert) can't be used: it has no certificate"),
        (&second.cert[..99], &second.key, "tls.crt (--tls-cert) can't be used: "),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", &second.key, "a certificate in it is broken"),
        (&"x".repeat(2 << 20), &second.key, "it is longer than 1048576 bytes"),
    ] {
        write(&dir, "tls.crt", cert);
        write(&dir, "tls.key", key);
        let error = files.look(&tls, &metrics).await.unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
        assert_eq!(shown().await, der(&first));
    }
    std::fs::remove_file(dir.path().join("tls.crt")).unwrap();
    let error = files.look(&tls, &metrics).await.unwrap_err().to_string();
    assert!(error.starts_with("can't read ") && error.contains("tls.crt (--tls-cert): No such file"), "{error}");
    write_pair(&dir, &second);
    assert!(files.look(&tls, &metrics).await.unwrap());
    assert_eq!(shown().await, der(&second));
    assert!(metrics.tls_certificate_not_after.get() > 0);
}
