//! The worlds that are checked to the end. Each is as small as what it shows allows, so that all of
//! it is visited.

use crate::world::{Begin, CALM, Faults, Slow, Witness, World};

const NONE: Faults = CALM.faults;

/// A replica dies, and comes back; a worker leaves, and enters again.
pub const CRASH: World = World {
    name: "crash",
    ticks: 6,
    faults: Faults { crashes: 1, starts: 1, campaigns: 1, resigns: 1, ..NONE },
    ..CALM
};

/// Writes of the Lease take time, their answers are lost, and standbys look late. No workers.
pub const SLOW_API: World = World {
    name: "slow-api",
    begin: Begin::Empty,
    slow: Slow::All,
    lazy: true,
    ticks: 5,
    faults: Faults { crashes: 1, starts: 1, lost_answers: 1, ..NONE },
    ..CALM
};

/// Others write to the Lease, while writes take time. No workers.
pub const MEDDLING: World = World {
    name: "meddling",
    begin: Begin::Empty,
    slow: Slow::All,
    ticks: 5,
    faults: Faults { empties: 1, strips: 1, deletions: 1, stops: 1, ..NONE },
    ..CALM
};

/// The release takes long to arrive.
pub const SLOW_RELEASE: World = World {
    name: "slow-release",
    slow: Slow::Releases,
    ticks: 6,
    faults: Faults { stops: 1, crashes: 1, starts: 1, ..NONE },
    ..CALM
};

/// Two settings of the duration, and somebody who edits it. No workers.
pub const DURATIONS: World = World {
    name: "durations",
    begin: Begin::Empty,
    duration: [3, 2],
    lazy: true,
    ticks: 6,
    faults: Faults { edits: 1, crashes: 1, starts: 1, ..NONE },
    ..CALM
};

/// Somebody edits the duration, and the holder dies.
pub const EDITED: World = World {
    name: "edited",
    duration: [3, 3],
    ticks: 6,
    faults: Faults { edits: 1, crashes: 1, campaigns: 1, ..NONE },
    ..CALM
};

/// One replica's clock is fast.
pub const SKEWED: World = World {
    name: "skewed",
    duration: [3, 3],
    margin: 1,
    drift: 1,
    ticks: 6,
    faults: Faults { skews: 1, resigns: 1, ..NONE },
    ..CALM
};

/// The Lease is deleted or stripped, and nobody's memory is safe.
pub const LOST: World = World {
    name: "lost",
    begin: Begin::Leader,
    ticks: 5,
    faults: Faults { crashes: 1, starts: 1, deletions: 1, strips: 1, ..NONE },
    ..CALM
};

/// An older Lease is put back, and all who run have seen the newer one.
pub const RESTORED: World = World {
    name: "restored",
    max_ttl: [3, 3],
    ttl: [3, 3],
    ticks: 6,
    faults: Faults { backups: 1, restores: 1, stops: 1, starts: 1, ..NONE },
    ..CALM
};

/// An older Lease is put back, and only one who runs has seen the newer one.
pub const NEWCOMER: World = World { name: "newcomer", ticks: 5, witness: Witness::One, ..RESTORED };

/// Orderly ends, with mirrors that are complete or behind.
pub const HANDOVER: World = World {
    name: "handover",
    mirror: true,
    ticks: 5,
    faults: Faults { stops: 2, starts: 1, syncs: 1, campaigns: 1, ..NONE },
    ..CALM
};

/// Two settings of the longest TTL.
pub const TTLS: World = World {
    name: "ttls",
    max_ttl: [3, 2],
    ttl: [3, 2],
    ticks: 6,
    faults: Faults { stops: 2, starts: 1, ..NONE },
    ..CALM
};

/// StepDown, with orderly ends and mirrors.
pub const DRAIN: World = World {
    name: "drain",
    mirror: true,
    max_ttl: [3, 3],
    ttl: [3, 3],
    ticks: 5,
    faults: Faults { stops: 2, starts: 1, step_downs: 1, ..NONE },
    ..CALM
};

/// The network holds up a KeepAlive and what is said to workers.
pub const NETWORK: World = World {
    name: "network",
    ticks: 5,
    faults: Faults { resigns: 1, held_by_network: 1, late_news: 1, ..NONE },
    ..CALM
};

/// A standby holds up a KeepAlive.
pub const STANDBY: World = World {
    name: "standby",
    ticks: 5,
    faults: Faults { resigns: 1, held_by_standby: 1, late_news: 1, ..NONE },
    ..CALM
};

/// Answers come late or never, before and after an orderly end.
pub const LATE_NEWS: World =
    World { name: "late-news", ticks: 5, faults: Faults { stops: 1, late_news: 2, ..NONE }, ..CALM };

/// Workers enter, and hear of their grant late or never.
pub const UNHEARD: World = World {
    name: "unheard",
    begin: Begin::Empty,
    ticks: 6,
    faults: Faults { campaigns: 2, late_news: 1, ..NONE },
    ..CALM
};

/// Workers lead on when they are told that they wait; the network holds up a KeepAlive from when
/// one waited.
pub const OLD_CONTRACT: World = World {
    name: "old-contract",
    old_contract: true,
    ticks: 6,
    faults: Faults { campaigns: 1, resigns: 1, held_by_network: 1, ..NONE },
    ..CALM
};

/// What the tests check.
pub const QUICK: [World; 18] = [
    CRASH,
    SLOW_API,
    MEDDLING,
    SLOW_RELEASE,
    DURATIONS,
    EDITED,
    SKEWED,
    LOST,
    RESTORED,
    NEWCOMER,
    HANDOVER,
    TTLS,
    DRAIN,
    NETWORK,
    STANDBY,
    LATE_NEWS,
    UNHEARD,
    OLD_CONTRACT,
];

/// What takes minutes.
pub const DEEP: [World; 7] = [
    World { name: "meddling, longer", ticks: 6, faults: Faults { starts: 1, ..MEDDLING.faults }, ..MEDDLING },
    World { name: "slow-api, longer", ticks: 6, ..SLOW_API },
    World { name: "newcomer, longer", ticks: 8, ..NEWCOMER },
    World {
        name: "network, standby and resigns",
        ticks: 5,
        faults: Faults { resigns: 1, held_by_network: 1, held_by_standby: 1, late_news: 1, ..NONE },
        ..CALM
    },
    World {
        name: "slow writes, with workers",
        slow: Slow::All,
        ticks: 5,
        faults: Faults { crashes: 1, lost_answers: 1, ..NONE },
        ..CALM
    },
    World {
        name: "many tenures",
        mirror: true,
        ticks: 8,
        faults: Faults { crashes: 1, stops: 2, starts: 3, ..NONE },
        ..CALM
    },
    World {
        name: "many tenures, two TTLs",
        max_ttl: [3, 2],
        ttl: [3, 2],
        ticks: 9,
        faults: Faults { crashes: 1, stops: 1, starts: 2, strips: 1, ..NONE },
        ..CALM
    },
];
