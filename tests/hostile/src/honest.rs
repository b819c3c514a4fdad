//! Honest workers, who mustn't notice an attack: a leader with a short TTL, and a new candidate
//! each second.

use crate::sealed;
use anyhow::{Context as _, ensure};
use hyper_util::rt::TokioIo;
use leasehold_harness::{Campaign, ElectionClient, Server, keep_alive, leased};
use leasehold_proto::v1::CandidacyState;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::codegen::http::Uri;
use tonic::transport::{Channel, Endpoint};

/// The leader's TTL, and how often it is kept alive.
const TTL_MS: u32 = 3_000;
const EVERY: Duration = Duration::from_secs(1);
/// What attacks don't come from.
const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 77));

/// What they have seen so far.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// KeepAlives that were answered.
    pub keep_alives: usize,
    /// The longest that one took.
    pub slowest_keep_alive: Duration,
    /// Candidacies, from connecting to resigning.
    pub campaigns: usize,
    /// The longest that one took.
    pub slowest_campaign: Duration,
    /// Probes of `/healthz` that were answered.
    pub probes: usize,
    /// The longest that one took.
    pub slowest_probe: Duration,
    /// What went wrong.
    pub failures: Vec<String>,
}

/// Honest workers that work until this is dropped. They have a thread of their own: what the attack
/// costs the attacker isn't measured with them.
#[derive(Debug)]
pub struct Honest {
    seen: Arc<Mutex<Seen>>,
    _stop: oneshot::Sender<()>,
}

impl Honest {
    /// Starts them. They share an address if they are told to come from where the attacks come
    /// from, and speak TLS if they are told how.
    ///
    /// # Errors
    ///
    /// When the first of them doesn't lead.
    pub async fn start(server: &Server, shares_the_address: bool, tls: Option<TlsConnector>) -> anyhow::Result<Self> {
        let from = (!shares_the_address).then_some(ADDRESS);
        let endpoint = Endpoint::from_shared(server.endpoint())?
            .connect_timeout(Duration::from_secs(5))
            .timeout(Duration::from_secs(5))
            .tcp_nodelay(true)
            .local_address(from);
        let way = Way { endpoint, from, tls };
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (stop, stopped) = oneshot::channel();
        let (leads, hears) = oneshot::channel();
        let (http, their_view) = (server.http(), Arc::clone(&seen));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::spawn(move || {
            runtime.block_on(async {
                let (client, leader) = match first(&way).await {
                    Ok(first) => first,
                    Err(error) => return leads.send(Err(error)).ok(),
                };
                tokio::spawn(lead(client, leader, Arc::clone(&their_view)));
                tokio::spawn(enter(way, Arc::clone(&their_view)));
                tokio::spawn(probe(http, their_view));
                leads.send(Ok(())).ok();
                // An error: it was dropped.
                stopped.await.err().map(|_| ())
            })
        });
        hears.await??;
        Ok(Self { seen, _stop: stop })
    }

    /// What they have seen so far.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// How they reach the server.
struct Way {
    endpoint: Endpoint,
    from: Option<IpAddr>,
    tls: Option<TlsConnector>,
}

impl Way {
    async fn connect(&self) -> anyhow::Result<Channel> {
        let Some(tls) = &self.tls else { return Ok(self.endpoint.connect().await?) };
        let (from, tls) = (self.from, tls.clone());
        let shakes = move |uri: Uri| dial(uri, from, tls.clone());
        Ok(self.endpoint.connect_with_connector(tower::service_fn(shakes)).await?)
    }
}

async fn dial(uri: Uri, from: Option<IpAddr>, tls: TlsConnector) -> anyhow::Result<TokioIo<TlsStream<TcpStream>>> {
    let socket = TcpSocket::new_v4()?;
    if let Some(from) = from {
        socket.bind((from, 0).into())?;
    }
    let authority = uri.authority().context("it has one")?;
    let stream = socket.connect(authority.as_str().parse()?).await?;
    stream.set_nodelay(true)?;
    Ok(TokioIo::new(tls.connect(sealed::server_name(), stream).await?))
}

async fn first(way: &Way) -> anyhow::Result<(ElectionClient, Campaign)> {
    let mut client = ElectionClient::new(way.connect().await?);
    let mut leader = Campaign::open(&mut client, leased("honest/leader", "honest", TTL_MS)).await?;
    leader.elected().await?;
    Ok((client, leader))
}

fn note(seen: &Mutex<Seen>, note: impl FnOnce(&mut Seen)) {
    note(&mut seen.lock().unwrap_or_else(PoisonError::into_inner));
}

fn failed(seen: &Mutex<Seen>, what: &str, error: &anyhow::Error) {
    note(seen, |seen| seen.failures.push(format!("{what}: {error:#}")));
}

async fn lead(mut client: ElectionClient, mut leader: Campaign, seen: Arc<Mutex<Seen>>) {
    let mut every = tokio::time::interval(EVERY);
    loop {
        every.tick().await;
        let since = Instant::now();
        let kept = async {
            let result = keep_alive(&mut client, &leader.ticket).await?;
            ensure!(result.state() == CandidacyState::Leading, "it leads no more: {result:?}");
            ensure!(!result.task_token.is_empty(), "no task token came");
            Ok(result.ticket)
        };
        match tokio::time::timeout(Duration::from_secs(5), kept).await.context("no answer within 5 s") {
            Ok(Ok(ticket)) => {
                leader.ticket = ticket;
                let took = since.elapsed();
                note(&seen, |seen| {
                    seen.keep_alives += 1;
                    seen.slowest_keep_alive = seen.slowest_keep_alive.max(took);
                });
            }
            Ok(Err(error)) | Err(error) => failed(&seen, "KeepAlive", &error),
        }
    }
}

async fn enter(way: Way, seen: Arc<Mutex<Seen>>) {
    let mut every = tokio::time::interval(EVERY);
    loop {
        every.tick().await;
        let since = Instant::now();
        match tokio::time::timeout(Duration::from_secs(5), whole(&way)).await.context("not done within 5 s") {
            Ok(Ok(())) => {
                let took = since.elapsed();
                note(&seen, |seen| {
                    seen.campaigns += 1;
                    seen.slowest_campaign = seen.slowest_campaign.max(took);
                });
            }
            Ok(Err(error)) | Err(error) => failed(&seen, "Campaign", &error),
        }
    }
}

/// A whole candidacy, on a connection of its own.
async fn whole(way: &Way) -> anyhow::Result<()> {
    let mut client = ElectionClient::new(way.connect().await?);
    let mut campaign = Campaign::open(&mut client, leased("honest/passing", "honest", TTL_MS)).await?;
    campaign.elected().await?;
    let answer = campaign.resign(&mut client).await?;
    ensure!(answer.was_leading, "it didn't lead any more");
    Ok(())
}

async fn probe(http: String, seen: Arc<Mutex<Seen>>) {
    let mut every = tokio::time::interval(EVERY / 4);
    loop {
        every.tick().await;
        let since = Instant::now();
        let answer = leasehold_harness::http_get(&format!("{http}/healthz")).await;
        let answer = answer.and_then(|answer| {
            ensure!(answer.status == 200, "{answer:?}");
            Ok(since.elapsed())
        });
        match answer {
            Ok(took) => note(&seen, |seen| {
                seen.probes += 1;
                seen.slowest_probe = seen.slowest_probe.max(took);
            }),
            Err(error) => failed(&seen, "/healthz", &error),
        }
    }
}
