//! The targets without a fuzzer: their seeds, and what a few thousand careless changes make of
//! them. Whoever has no C++ compiler finds at least what is near.

use super::script::Script;
use super::{TARGETS, lease, mirror, state_file, ticket};
use leasehold_core::Tenure;
use leasehold_server::fuzzing::{decode_state, open_frames, seal_frames, seal_plain, seen};
use leasehold_server::keys::Keys;
use leasehold_server::ticket::Sealer;

/// Changes of each seed.
const CHANGES: u64 = 300;

/// xorshift64: the same numbers in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % sides
    }

    fn change(&mut self, bytes: &mut Vec<u8>) {
        let at = self.roll(bytes.len() + 1);
        match self.roll(4) {
            0 => bytes.insert(at, self.roll(256) as u8),
            1 => bytes.truncate(at),
            _ => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = self.roll(256) as u8),
        }
    }
}

#[test]
fn seeds_and_their_neighbours() {
    for target in TARGETS {
        let mut dice = Dice(88_172_645_463_325_252);
        for seed in (target.seeds)() {
            (target.run)(&seed);
            for _ in 0..CHANGES {
                let mut bytes = seed.clone();
                (0..=dice.roll(4)).for_each(|_| dice.change(&mut bytes));
                (target.run)(&bytes);
            }
        }
    }
}

/// A decoder refuses in silence what a fuzzer ought to begin from.
#[test]
fn seeds_are_what_they_say() {
    let keys = Keys::generate();
    let sealer = Sealer::new(&keys);
    assert!(sealer.open(&seal_plain(&sealer, Tenure(99), &ticket::seeds()[1][2..])).is_ok());
    for seed in &mirror::seeds()[1..3] {
        let mut script = Script::new(&seed[1..]);
        let frames: Vec<_> = std::iter::from_fn(|| (!script.is_over()).then(|| script.blob().to_vec())).collect();
        let (batch, snapshot) = open_frames(&keys, &seal_frames(&keys, &frames)).expect("these are frames");
        assert!(snapshot && batch.there.len() == frames.len());
    }
    let stored = decode_state(&state_file::seeds()[0][1..]).expect("this is a state file");
    assert_eq!(stored.record.and_then(|record| Some(record.handover.as_ref()?.candidacies.len())), Some(1));
    let leases = lease::seeds();
    let [held, released, half, newer] =
        [0, 1, 2, 3].map(|index| seen(&serde_json::from_slice(&leases[index][1..]).expect("this is a Lease")).content);
    assert!(held.held().is_some() && released.released().is_some());
    assert!(half.signed.is_none() && half.newer.is_none() && newer.newer.is_some());
}
