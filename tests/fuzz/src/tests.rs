//! The targets without a fuzzer: their seeds, and what a few thousand careless changes make of them. Whoever has no C++ compiler
//! finds at least what is near.

use super::TARGETS;

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
