//! A worker's process: the real client crate. It enters its election again and again, leads for a
//! while, gives up or is crashed.

use crate::history::{History, now};
use fastrand::Rng;
use futures::FutureExt as _;
use leasehold::{Client, Leadership, Token, TokenStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often a leader looks whether it still leads.
const BEAT: Duration = Duration::from_millis(20);
/// Between two campaigns of one worker.
const PAUSE: Duration = Duration::from_millis(200);

/// What a worker is.
#[derive(Clone, Debug)]
pub(crate) struct Worker {
    pub(crate) name: String,
    pub(crate) election: String,
    pub(crate) ttl: Duration,
    pub(crate) endpoints: String,
    /// From here on it leads for as long as it may.
    pub(crate) settle: Arc<AtomicBool>,
    pub(crate) history: Arc<History>,
}

impl Worker {
    /// Runs until it is crashed. `life` is another number each time that it is started.
    pub(crate) async fn work(self, life: u64) -> turmoil::Result {
        let mut rng = Rng::with_seed(life);
        let client = Client::connect_lazy(&*self.endpoints)?;
        loop {
            let mut campaign = client.campaign(&*self.election).candidate(&*self.name).ttl(self.ttl);
            if rng.u8(..) < 40 && !self.settling() {
                campaign = campaign.max_wait(Duration::from_millis(rng.u64(0..4000)));
            }
            match campaign.await {
                Ok(leadership) => self.lead(&client, leadership, &mut rng).await,
                Err(error) => {
                    self.history.reach(error_kind(&error));
                    self.history.note(now(), format_args!("{} isn't elected: {error}", self.name));
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn lead(&self, client: &Client, leadership: Leadership, rng: &mut Rng) {
        let token = leadership.fencing_token();
        let patience = Duration::from_millis(rng.u64(200..20_000));
        let began = tokio::time::Instant::now();
        self.history.elected(&self.election, &self.name, token, leadership.remaining());
        while leadership.is_leading() {
            self.history.leads(&self.election, &self.name, token, leadership.remaining());
            if began.elapsed() > patience && !self.settling() {
                return self.give_up(leadership, rng).await;
            }
            match rng.u16(0..600) {
                0 | 1 => self.verify(client, &leadership).await,
                2 if !self.settling() => self.step_down(client).await,
                _ => {}
            }
            if leadership.draining().now_or_never().is_some() && rng.u8(0..100) == 0 {
                return self.give_up(leadership, rng).await;
            }
            tokio::time::sleep(BEAT).await;
        }
        let lost = leadership.lost().await;
        self.history.over(&self.election, &self.name, &lost);
        self.history.reach(&format!("lost: {}", lost_kind(&lost)));
    }

    async fn give_up(&self, leadership: Leadership, rng: &mut Rng) {
        if rng.bool() {
            self.history.over(&self.election, &self.name, "it resigns");
            let told = leadership.resign().await;
            self.history.reach(if told.is_ok() { "resigned" } else { "resigned, and nobody was told" });
        } else {
            self.history.over(&self.election, &self.name, "it drops the lead");
            self.history.reach("dropped the lead");
            drop(leadership);
        }
    }

    /// A leader's own token is good, by whoever may say so.
    async fn verify(&self, client: &Client, leadership: &Leadership) {
        let token = leadership.fencing_token();
        let Ok(answer) = client.verify(&*self.election, Token::Fencing(token)).await else { return };
        // Somebody who isn't active any more may have answered before the lead was over; nobody may
        // while it lasts.
        if leadership.is_leading() && answer.status != TokenStatus::Current {
            self.history.denied(&self.election, &self.name, token, &answer.detail);
        }
        self.history.reach("verified");
    }

    /// An operator tells whoever leads to hand over. Some do; others use their time up.
    async fn step_down(&self, client: &Client) {
        if client.step_down(&*self.election, None).await.is_ok() {
            self.history.reach("told to step down");
            self.history.note(now(), format_args!("{} told whoever leads {} to step down", self.name, self.election));
        }
    }

    fn settling(&self) -> bool {
        self.settle.load(Ordering::Relaxed)
    }
}

fn error_kind(error: &leasehold::Error) -> &'static str {
    match error {
        leasehold::Error::Unreachable { .. } => "campaign: unreachable",
        leasehold::Error::NotGranted { .. } => "campaign: not granted",
        leasehold::Error::Ended { .. } => "campaign: ended",
        leasehold::Error::Refused { .. } => "campaign: refused",
        _ => "campaign: another error",
    }
}

fn lost_kind(lost: &leasehold::Lost) -> &'static str {
    match lost {
        leasehold::Lost::Deadline => "deadline",
        leasehold::Lost::Ended { .. } => "ended",
        leasehold::Lost::Refused { .. } => "refused",
        _ => "otherwise",
    }
}
