//! The worlds: how long things take, and how many of each fault can happen.

use crate::state::Ticks;

/// What can still happen, and how often.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Faults {
    /// A replica dies.
    pub crashes: u8,
    /// A replica is shut down in good order.
    pub stops: u8,
    /// A replica that is down starts.
    pub starts: u8,
    /// A replica's clock is a tick fast.
    pub skews: u8,
    /// A mirror is brought up to date while nobody shuts down.
    pub syncs: u8,
    /// The answer to a write is lost, or comes too late to be waited for.
    pub lost_answers: u8,
    /// Somebody empties the holder.
    pub empties: u8,
    /// The annotations are lost.
    pub strips: u8,
    /// Somebody sets the duration to 1.
    pub edits: u8,
    /// The Lease is deleted.
    pub deletions: u8,
    /// The Lease is kept, to be restored later.
    pub backups: u8,
    /// What was kept is put back.
    pub restores: u8,
    /// A worker enters.
    pub campaigns: u8,
    /// A worker resigns.
    pub resigns: u8,
    /// A Resign is lost.
    pub lost_resigns: u8,
    /// StepDown.
    pub step_downs: u8,
    /// The network holds a KeepAlive up.
    pub held_by_network: u8,
    /// A standby holds a KeepAlive up.
    pub held_by_standby: u8,
    /// An answer to a KeepAlive, or an Elected, comes late or never.
    pub late_news: u8,
}

/// How a run begins. In each the first replica is active, in its first tick, and nobody waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// Nobody has enrolled.
    Empty,
    /// The first worker leads.
    Leader,
    /// The first worker leads, the second one waits.
    Both,
}

/// Who must have seen the tenure that a restore of the Lease undoes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Witness {
    /// Every replica that runs; nobody starts or dies until the next tenure begins.
    All,
    /// One that runs, and doesn't die until the next tenure begins.
    One,
}

/// Which writes of the Lease take time. The others are done at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slow {
    /// None.
    None,
    /// Releases.
    Releases,
    /// All.
    All,
}

/// A world.
#[derive(Clone, Copy, Debug)]
pub struct World {
    /// What it is called.
    pub name: &'static str,
    /// How it begins.
    pub begin: Begin,
    /// A run ends after so many ticks.
    pub ticks: Ticks,
    /// Each replica's setting of the Lease's duration.
    pub duration: [Ticks; 2],
    /// The holder stops so much earlier.
    pub margin: Ticks,
    /// The server waits so much longer than a worker.
    pub drift: Ticks,
    /// Each replica's setting of the longest TTL.
    pub max_ttl: [Ticks; 2],
    /// Each worker's TTL.
    pub ttl: [Ticks; 2],
    /// So many numbers does a tenure have.
    pub headroom: u8,
    /// Which writes of the Lease take time.
    pub slow: Slow,
    /// Standbys look when they like, and the active replica does what is due when it likes.
    /// Otherwise at once.
    pub lazy: bool,
    /// There are mirrors.
    pub mirror: bool,
    /// Workers have read an older contract: WAITING is a sign of life as well, and doesn't end a
    /// lead.
    pub old_contract: bool,
    /// Under what condition the Lease can be restored.
    pub witness: Witness,
    /// What can happen.
    pub faults: Faults,
}

/// Nothing happens but what must.
pub const CALM: World = World {
    name: "calm",
    begin: Begin::Both,
    ticks: 4,
    duration: [2, 2],
    margin: 0,
    drift: 0,
    max_ttl: [2, 2],
    ttl: [2, 2],
    headroom: 10,
    slow: Slow::None,
    lazy: false,
    mirror: false,
    old_contract: false,
    witness: Witness::All,
    faults: Faults {
        crashes: 0,
        stops: 0,
        starts: 0,
        skews: 0,
        syncs: 0,
        lost_answers: 0,
        empties: 0,
        strips: 0,
        edits: 0,
        deletions: 0,
        backups: 0,
        restores: 0,
        campaigns: 0,
        resigns: 0,
        lost_resigns: 0,
        step_downs: 0,
        held_by_network: 0,
        held_by_standby: 0,
        late_news: 0,
    },
};
