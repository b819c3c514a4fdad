//! The steps of the property test, and how often each is taken.

use proptest::collection::{SizeRange, vec};
use proptest::prelude::*;

use crate::store::Mode;
use leasehold_core::{Millis, Replace};

/// One step. Tickets, tokens and streams are picked among all that were ever given, the newest
/// first.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Campaign {
        election: u8,
        label: u8,
        subject: u8,
        pod: Option<u8>,
        ttl: Option<Millis>,
        wait: Wait,
        replace_former: Replace,
        /// Its name, if it has one.
        attempt: Option<u8>,
        hold: Millis,
    },
    /// An earlier Campaign is sent once more.
    Again(usize),
    KeepAlive(Vec<usize>),
    /// So many of the newest tickets, the oldest of them first.
    KeepMany(usize),
    Resign(usize),
    Proclaim(usize, u8),
    Reopen(usize),
    Close(usize),
    Depose {
        election: u8,
        token: Option<usize>,
    },
    Get(u8),
    List {
        prefix: bool,
        after: Option<u8>,
        limit: usize,
    },
    Verify {
        election: u8,
        token: usize,
    },
    Status,
    /// Time passes, and the replica looks whenever it wants to.
    Advance(Millis),
    /// Time passes, and the replica doesn't look.
    Pause(Millis),
    Store(Mode, Millis),
    /// The process is killed; what it was writing was stored, or wasn't.
    Crash {
        stored: bool,
    },
    /// And the next one starts at once, after which tickets come back.
    Restart(usize),
    Shutdown,
    /// A process starts, unless one runs. In the same start of the machine it knows when the last
    /// one was gone.
    Start {
        max_ttl: Millis,
        same_boot: bool,
    },
    /// The process is killed and started at once, and several come back: what chance seldom brings
    /// together.
    Failover {
        same_boot: bool,
        tickets: Vec<usize>,
    },
    /// The record is removed.
    Remove,
    /// The record that was read at some start is put back.
    Restore(usize),
    /// The record is removed, or an older one is put back, and the clock doesn't vouch for the
    /// numbers.
    Fall(Option<usize>),
}

/// How long a candidate waits.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wait {
    Forever,
    Not,
    For(Millis),
}

pub(crate) fn steps(count: impl Into<SizeRange>) -> impl Strategy<Value = Vec<Step>> {
    vec(step(), count)
}

fn ttl() -> impl Strategy<Value = Millis> {
    prop_oneof![4 => 1000..15_001_u64, 1 => 900..20_000_u64].prop_map(Millis)
}

fn pick() -> impl Strategy<Value = usize> {
    prop_oneof![3 => 0..3_usize, 2 => 0..10_usize, 1 => 0..100_usize]
}

fn campaign() -> impl Strategy<Value = Step> {
    let wait = prop_oneof![
        6 => Just(Wait::Forever),
        1 => Just(Wait::Not),
        2 => (0..20_000_u64).prop_map(|millis| Wait::For(Millis(millis))),
    ];
    let ttl = prop_oneof![4 => ttl().prop_map(Some), 1 => Just(None)];
    let attempt = prop::option::weighted(0.5, any::<u8>());
    let hold = prop_oneof![12 => Just(0), 6 => 1..30_000_u64, 1 => 86_399_000..86_402_000_u64].prop_map(Millis);
    let replaces = prop_oneof![4 => Just(Replace::Nobody), 1 => Just(Replace::OfItsPod), 1 => Just(Replace::All)];
    let pod = prop::option::weighted(0.5, 0..2_u8);
    (0..3_u8, 0..4_u8, 0..2_u8, pod, ttl, wait, replaces, attempt, hold).prop_map(
        |(election, label, subject, pod, ttl, wait, replace_former, attempt, hold)| Step::Campaign {
            election,
            label,
            subject,
            pod,
            ttl,
            wait,
            replace_former,
            attempt,
            hold,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let mode = prop_oneof![
        8 => Just(Mode::Works),
        1 => Just(Mode::Fails),
        1 => Just(Mode::LosesReplies),
        1 => Just(Mode::Hangs),
        2 => Just(Mode::Full),
        1 => Just(Mode::Lost),
    ];
    let latency = prop_oneof![3 => Just(Millis(0)), 1 => (0..3500_u64).prop_map(Millis)];
    let time = || prop_oneof![2 => 0..3000_u64, 1 => 0..17_000_u64].prop_map(Millis);
    let max_ttl = prop_oneof![3 => Just(Millis(15_000)), 1 => (1000..20_001_u64).prop_map(Millis)];
    prop_oneof![
        16 => campaign(),
        4 => pick().prop_map(Step::Again),
        14 => vec(pick(), 1..5).prop_map(Step::KeepAlive),
        3 => (1..12_usize).prop_map(Step::KeepMany),
        4 => pick().prop_map(Step::Resign),
        2 => (pick(), any::<u8>()).prop_map(|(ticket, value)| Step::Proclaim(ticket, value)),
        5 => pick().prop_map(Step::Reopen),
        3 => pick().prop_map(Step::Close),
        5 => (0..3_u8, prop::option::weighted(0.3, pick()))
            .prop_map(|(election, token)| Step::Depose { election, token }),
        2 => (0..3_u8).prop_map(Step::Get),
        1 => (any::<bool>(), prop::option::of(0..4_u8), 0..4_usize)
            .prop_map(|(prefix, after, limit)| Step::List { prefix, after, limit }),
        2 => (0..3_u8, pick()).prop_map(|(election, token)| Step::Verify { election, token }),
        1 => Just(Step::Status),
        14 => time().prop_map(Step::Advance),
        2 => time().prop_map(Step::Pause),
        4 => (mode, latency).prop_map(|(mode, latency)| Step::Store(mode, latency)),
        3 => any::<bool>().prop_map(|stored| Step::Crash { stored }),
        2 => (1..12_usize).prop_map(Step::Restart),
        3 => Just(Step::Shutdown),
        8 => (max_ttl, any::<bool>()).prop_map(|(max_ttl, same_boot)| Step::Start { max_ttl, same_boot }),
        3 => (any::<bool>(), vec(0..8_usize, 2..8))
            .prop_map(|(same_boot, tickets)| Step::Failover { same_boot, tickets }),
        1 => Just(Step::Remove),
        1 => (0..4_usize).prop_map(Step::Restore),
        2 => prop::option::of(0..6_usize).prop_map(Step::Fall),
    ]
}
